//! How the real program ends: told to stop, it stops, whatever others hold
//! open; and what it may not take with it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    process::Stdio,
};

use super::running::{DEADLINE, Home, Running, add_task, free_port, get};

/// A hub of its own.
fn hub(home: &Home) -> (Running, u16) {
    let (db, port) = (home.folder("hub").join("heph.db").display().to_string(), free_port());
    let address = format!("127.0.0.1:{port}");
    (home.start(&["--mode", "server", "--db", &db, "--http-addr", &address]), port)
}

#[test]
fn a_hub_stops_beside_visitors_who_never_end_what_they_say() {
    let home = Home::new();
    let (hub, port) = hub(&home);
    let body = "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";
    let visitors = ["", "GET /healthz HTTP/1.1\r\nHo", body].map(|said| {
        let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
        visitor.write_all(said.as_bytes()).unwrap();
        visitor
    });
    // By the time that this one is answered the visitors have been seen.
    assert_eq!(get(port, "/healthz").0, 200);
    let ended = hub.stop_within(DEADLINE);
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    let left = std::fs::metadata(home.path("hub/heph.db-wal")).map_or(0, |meta| meta.len());
    assert_eq!(left, 0, "the log is in the file");
    drop(visitors);
}

#[test]
fn an_idle_connection_that_was_used_does_not_hold_the_hub() {
    let home = Home::new();
    let (hub, port) = hub(&home);
    let mut kept = TcpStream::connect(("127.0.0.1", port)).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut some = [0; 64];
    kept.read_exact(&mut some).unwrap();
    let ended = hub.stop_within(DEADLINE);
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

/// A service manager may stop a service the moment that it is ready.
#[test]
fn a_stop_at_the_very_moment_of_ready_is_a_stop() {
    let home = Home::new();
    let manager = UnixDatagram::bind(home.path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    for round in 0..30 {
        let mut command = home.command();
        command.args(["--mode", "local"]).env("NOTIFY_SOCKET", home.path("notify"));
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut heard = [0; 512];
        loop {
            let len = manager.recv(&mut heard).unwrap();
            if String::from_utf8_lossy(&heard[..len]).contains("READY=1") {
                break;
            }
        }
        let device = Running { child, socket: home.path("") };
        let ended = device.stop_within(DEADLINE).unwrap();
        assert!(ended.success(), "round {round}: {ended}");
    }
}

#[test]
fn stopping_is_told_to_the_service_manager() {
    let home = Home::new();
    let manager = UnixDatagram::bind(home.path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = home.command();
    command.args(["--mode", "local"]).env("NOTIFY_SOCKET", home.path("notify"));
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut heard = String::new();
    let hear = |wanted: &str, heard: &mut String| {
        while !heard.contains(wanted) {
            let mut datagram = [0; 512];
            let len = manager.recv(&mut datagram).unwrap();
            heard.push_str(&String::from_utf8_lossy(&datagram[..len]));
        }
    };
    hear("READY=1", &mut heard);
    let device = Running { child, socket: home.path("") };
    assert!(device.stop_within(DEADLINE).unwrap().success());
    hear("STOPPING=1", &mut heard);
}

/// `hephd … 2>&1 | head -1`: who reads the log goes away, the daemon stays.
#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let home = Home::new();
    let mut command = home.command();
    let mut child = command.args(["--mode", "local"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    drop(log);
    let socket = home.path(".local/share/heph/hephd.sock");
    let device = Running { child, socket };
    add_task(&mut device.client(), "still here").unwrap();
    let ended = device.stop_within(DEADLINE).unwrap();
    assert!(ended.success(), "{ended}");
    let log = home.path(".local/share/heph/heph.db-wal");
    assert_eq!(std::fs::metadata(log).map_or(0, |meta| meta.len()), 0);
}

#[test]
fn a_log_is_plain_text_or_one_json_object_a_line() {
    for (format, plain) in [("text", true), ("json", false)] {
        let home = Home::new();
        let device = home.start(&["--mode", "local", "--log-format", format]);
        assert_eq!(device.stop(), 0);
        let log = std::fs::read_to_string(home.path("log")).unwrap();
        assert!(log.lines().count() >= 2 && !log.contains('\x1b'), "{log}");
        for line in log.lines() {
            let read = serde_json::from_str::<serde_json::Value>(line);
            assert_eq!(read.is_err(), plain, "{line}");
        }
    }
}
