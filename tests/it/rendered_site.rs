//! The site for Caddy, in a real Caddy, in front of a real hub.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use super::sandbox::{Ended, Sandbox, free_port, program, wait_for};

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(sandbox: &Sandbox, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Running {
    let mut command = sandbox.command(program);
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn caddy(sandbox: &Sandbox, words: &[&str]) -> Ended {
    sandbox.command("caddy").args(words).output().unwrap().into()
}

#[test]
fn caddy_itself_finds_nothing_to_say_about_the_site() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("Caddyfile").display().to_string();
    for tls in ["auto", "internal"] {
        let words = ["render", "caddy", "--domain", "heph.example.org", "--tls", tls];
        sandbox.ops(&[&words[..], &["--output", &file]].concat()).expect(0);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(caddy(&sandbox, &["fmt", &file]).expect(0).out, text, "it is as Caddy lays it");
        let valid = ["validate", "--config", &file, "--adapter", "caddyfile"];
        let said = caddy(&sandbox, &valid).expect(0).err;
        assert!(!said.contains("\"level\":\"warn\""), "{said}");
        assert_eq!(text.contains("Strict-Transport-Security"), tls == "auto", "{text}");
    }
}

/// A hub, and Caddy before it with a certificate of its own.
struct Site {
    sandbox: Sandbox,
    url: String,
    authority: String,
    _running: [Running; 2],
}

impl Site {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let [hub, https, http] = [free_port(), free_port(), free_port()];
        let address = format!("127.0.0.1:{hub}");
        let db = sandbox.path("hub.db").display().to_string();
        let words = ["--mode", "server", "--db", &db, "--owner-id", "me", "--http-addr", &address];
        let daemon = run(&sandbox, program("hephd"), &words);
        let site = sandbox.path("site").display().to_string();
        let words = ["render", "caddy", "--domain", "localhost", "--tls", "internal"];
        let more = ["--http-addr", &address, "--output", &site];
        sandbox.ops(&[&words[..], &more].concat()).expect(0);
        // Ports that a test may have, and no certificate in this machine's store.
        let main = sandbox.path("Caddyfile");
        let around = format!(
            "{{\n\tadmin off\n\thttp_port {http}\n\thttps_port {https}\n\tskip_install_trust\n}}\n\
             import {site}\n"
        );
        std::fs::write(&main, around).unwrap();
        let main = main.display().to_string();
        let words = ["run", "--config", &main, "--adapter", "caddyfile"];
        let caddy = run(&sandbox, "caddy", &words);
        let authority = ".local/share/caddy/pki/authorities/local/root.crt";
        let authority = sandbox.path(authority).display().to_string();
        let url = format!("https://localhost:{https}");
        let site = Self { sandbox, url, authority, _running: [daemon, caddy] };
        wait_for("the hub behind Caddy", || {
            Path::new(&site.authority).exists() && site.curl("/readyz", &[]).out.ends_with("200")
        });
        site
    }

    /// The answer's body, and below it the version of HTTP and the status.
    fn curl(&self, path: &str, words: &[&str]) -> Ended {
        let mut command = self.sandbox.command("curl");
        command.args(["-sS", "--max-time", "20", "--cacert", &self.authority]);
        command.args(["-w", "\n%{http_version} %{http_code}"]).args(words);
        command.arg(format!("{}{path}", self.url)).output().unwrap().into()
    }

    fn post(&self, path: &str, words: &[&str]) -> Ended {
        let json = ["-H", "Content-Type: application/json", "-H", "Expect:"];
        self.curl(path, &[&json[..], words].concat()).expect(0)
    }
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;

#[test]
fn a_hub_answers_through_caddy() {
    let site = Site::new();
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = site.post("/rpc", &[flag, "-d", CALL]).out;
        assert!(answer.contains("\"mode\":\"server\""), "{answer}");
        assert!(answer.ends_with(&format!("\n{version} 200")), "{answer}");
        // From a pipe there is no length; so it gets there in chunks, which the
        // hub does not take.
        let file = site.sandbox.path("call");
        std::fs::write(&file, CALL).unwrap();
        let mut command = site.sandbox.command("curl");
        command.args(["-sS", flag, "--cacert", &site.authority, "-X", "POST", "-T", "-"]);
        command.args(["-H", "Content-Type: application/json", "-w", "\n%{http_code}"]);
        command.arg(format!("{}/rpc", site.url)).stdin(std::fs::File::open(&file).unwrap());
        let answer = Ended::from(command.output().unwrap()).expect(0).out;
        assert!(answer.contains("Content-Length") && answer.ends_with("400"), "{answer}");
    }
    let wrong = site.url.replace("localhost", "127.0.0.1");
    let ended: Ended = site.sandbox.command("curl").args(["-sS", &wrong]).output().unwrap().into();
    assert_ne!(ended.code, 0, "a name that it has no certificate for");
}

/// A device learns from the hub how much it may send at once.
#[test]
fn the_hub_itself_says_what_is_too_large() {
    let site = Site::new();
    let file = site.sandbox.path("large");
    for bytes in [8 * 1024 * 1024 + 1, 32 * 1024 * 1024] {
        std::fs::write(&file, vec![b' '; bytes]).unwrap();
        let body = format!("@{}", file.display());
        // As the devices ask: they speak HTTP/1.1.
        let answer = site.post("/sync/push", &["--http1.1", "--data-binary", &body]).out;
        assert!(answer.contains("\"limit\":8388608"), "{bytes}: {answer}");
        assert!(answer.ends_with("\n1.1 413"), "{bytes}: {answer}");
        // Over HTTP/2 Caddy ends its whole answer with RST_STREAM(NO_ERROR), as
        // RFC 9113, 8.1 has it. curl 7.88 may then drop a body that it has not
        // read yet, and ends with 18; the status is there either way.
        let json = ["-H", "Content-Type: application/json", "-H", "Expect:"];
        let words = [&json[..], &["--http2", "--data-binary", &body]].concat();
        let ended = site.curl("/sync/push", &words);
        assert!(ended.code == 0 || ended.code == 18, "{bytes}: {}", ended.err);
        assert!(ended.out.ends_with("\n2 413"), "{bytes}: {}", ended.out);
        assert!(ended.code == 18 || ended.out.contains("\"limit\":8388608"), "{}", ended.out);
    }
}

#[test]
fn events_are_not_held_back() {
    let site = Site::new();
    let mut command = site.sandbox.command("curl");
    let log = site.sandbox.path("events");
    command.args(["-sSN", "--cacert", &site.authority]).arg(format!("{}/sync/events", site.url));
    command.stdout(std::fs::File::create(&log).unwrap());
    let _listening = Running(command.spawn().unwrap());
    let seen = || std::fs::read_to_string(&log).unwrap().matches("event: heads").count();
    wait_for("the first event", || seen() == 1);
    // A write, and it is told at once: long before the sign of life, which
    // would push out whatever is held back.
    let begun = std::time::Instant::now();
    super::sandbox::add_task(&mut site.sandbox.connect("hephd.sock"), "told at once");
    wait_for("the second event", || seen() == 2);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

/// Else the devices that come and go would in time use up the hub's 512.
#[test]
fn a_device_that_goes_leaves_no_connection_behind() {
    let site = Site::new();
    let open = || {
        let metrics = site.curl("/metrics", &[]).expect(0).out;
        let count = metrics.lines().find_map(|line| line.strip_prefix("heph_http_connections "));
        count.unwrap().parse::<u32>().unwrap()
    };
    let before = open();
    let listen = |_| {
        let url = format!("{}/sync/events", site.url);
        run(&site.sandbox, "curl", &["-sSN", "--cacert", &site.authority, &url])
    };
    let devices: Vec<Running> = (0..8).map(listen).collect();
    wait_for("eight streams", || open() >= before + 8);
    drop(devices);
    wait_for("the end of their streams", || open() <= before + 1);
}

#[test]
fn a_device_that_trusts_the_authority_syncs_through_it() {
    let site = Site::new();
    super::sandbox::add_task(&mut site.sandbox.connect("hephd.sock"), "on the hub");
    let device = ["--role", "spoke", "--hub-url", &site.url];
    site.sandbox.install(&device).expect(0);
    let status = site.sandbox.ops(&["status", "--wait", "1", "--for", "equal"]);
    assert_eq!(status.code, 3, "it does not know the authority: {}", status.out);
    site.sandbox.install(&[&device[..], &["--hub-ca", &site.authority]].concat()).expect(0);
    site.sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);
}
