//! Answers travel compressed to a device, and what unfolds has an end.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::spawn,
};

use serde_json::{Value, json};

use super::{
    own_network::own_address,
    running::{Home, Running, add_task, get},
    served::Served,
};

/// A port that leads to another, and counts the bytes that come back.
fn counting(ip: IpAddr, to: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    spawn(move || {
        for here in listener.incoming().map_while(Result::ok) {
            let there = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut up, mut into) = (here.try_clone().unwrap(), there.try_clone().unwrap());
            let (mut down, mut back, counted) = (there, here, Arc::clone(&counted));
            spawn(move || std::io::copy(&mut up, &mut into));
            spawn(move || {
                let mut piece = [0; 16 << 10];
                while let Ok(len @ 1..) = down.read(&mut piece) {
                    counted.fetch_add(len, Ordering::Relaxed);
                    if back.write_all(&piece[..len]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, count)
}

/// On the machine itself a device asks for no compression, so it is given an
/// address that is not loopback.
fn device(home: &Home, ip: IpAddr, port: u16) -> Running {
    let db = home.folder("device").join("heph.db").display().to_string();
    let url = format!("http://{ip}:{port}");
    home.start(&["--mode", "local", "--db", &db, "--hub-url", &url])
}

#[test]
fn a_device_pulls_less_than_there_is() {
    let Some(ip) = own_address("compressed::a_device_pulls_less_than_there_is") else { return };
    let hub = Served::with(|mut hub| {
        hub.guard.exposed = true;
        hub
    });
    let filled = Home::new();
    let writer = device(&filled, Ipv4Addr::LOCALHOST.into(), hub.port);
    let mut client = writer.client();
    client.call::<Value>("sync.now", &json!({})).unwrap();
    for n in 0..300 {
        add_task(&mut client, &format!("task number {n}")).unwrap();
    }
    client.call::<Value>("sync.now", &json!({})).unwrap();
    let plain = get(hub.port, "/sync/pull?limit=5000").2.len();

    let (port, count) = counting(ip, hub.port);
    let home = Home::new();
    let reader = device(&home, ip, port);
    let mut client = reader.client();
    client.call::<Value>("sync.now", &json!({})).unwrap();
    let nodes: Value = client.call("node.list", &json!({ "kind": "task" })).unwrap();
    assert!(nodes.to_string().contains("task number 299"));
    let came = count.load(Ordering::Relaxed);
    assert!(came * 2 < plain, "{came} of {plain} bytes");
}

/// A small answer that unfolds to 400 MiB.
#[test]
fn an_answer_that_unfolds_without_end_is_cut_short() {
    let bomb = Command::new("sh")
        .args(["-c", "head -c 419430400 /dev/zero | gzip -1"])
        .output()
        .unwrap()
        .stdout;
    assert!((1..8 << 20).contains(&bomb.len()), "{}", bomb.len());
    let Some(ip) = own_address("compressed::an_answer_that_unfolds_without_end_is_cut_short")
    else {
        return;
    };
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 8192]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                bomb.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bomb));
        }
    });
    let home = Home::new();
    let device = device(&home, ip, port);
    let error = device.client().call::<Value>("sync.now", &json!({})).unwrap_err();
    assert_eq!(error.code.as_str(), "hub_unreachable");
    assert!(error.message.contains("without end"), "{}", error.message);
    let status = format!("/proc/{}/status", device.child.id());
    let Ok(status) = std::fs::read_to_string(status) else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 160 << 10, "{peak} kB at its highest");
}
