//! A whole host with a systemd of its own as PID 1: tests/lab/twin-host.

use std::process::{Command, Output};

use serde_json::Value;

use super::sandbox::program;

/// One twin. It goes when this does, or when this process ends.
pub struct Twin {
    dir: tempfile::TempDir,
}

fn lab() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/twin-host"))
}

#[track_caller]
fn fine(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

impl Twin {
    /// A host that has our programs, and nothing of ours installed.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("heph-twin-").tempdir().unwrap();
        let twin = Self { dir };
        let pid = std::process::id().to_string();
        let mut start = lab();
        start.args(["start", "--for", &pid]);
        for name in ["heph", "hephd", "heph-ops"] {
            let bind = format!("{}:/usr/local/bin/{name}", program(name).display());
            start.args(["--bind", &bind]);
        }
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/launchd:/opt/launchd");
        start.args(["--bind", model]);
        fine(&start.arg(twin.dir.path()).output().unwrap());
        twin
    }

    /// Shuts it down, and starts it again.
    pub fn reboot(&self) {
        for verb in ["stop", "start"] {
            fine(&lab().arg(verb).arg(self.dir.path()).output().unwrap());
        }
    }

    /// Runs shell lines as root; what they print.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        let script = format!("{FUNCTIONS}{script}");
        let words = ["bash", "-euc", &script];
        fine(&lab().arg("run").arg(self.dir.path()).args(words).output().unwrap())
    }

    /// Runs them as a user who has just logged in, and logs out afterwards.
    #[track_caller]
    pub fn run_as(&self, user: &str, script: &str) -> String {
        let script = format!("{FUNCTIONS}{script}");
        let words = ["bash", "-euc", &script];
        let mut run = lab();
        fine(&run.args(["run", "--as", user]).arg(self.dir.path()).args(words).output().unwrap())
    }

    /// The JSON documents that they print, one a line.
    #[track_caller]
    pub fn documents(&self, script: &str) -> Vec<Value> {
        documents(&self.run(script))
    }

    /// The same, of a user.
    #[track_caller]
    pub fn documents_as(&self, user: &str, script: &str) -> Vec<Value> {
        documents(&self.run_as(user, script))
    }
}

#[track_caller]
fn documents(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines.map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}\n{text}"))).collect()
}

/// `ops` ends well whatever heph-ops says: what it says is what a test looks at.
const FUNCTIONS: &str = r#"
ops() { heph-ops "$@" --json || true; }
hub() { ops install-service --role hub --settle-ms 100 "$@"; }
spoke() { ops install-service --role spoke --settle-ms 100 "$@"; }
drop_in() {
  mkdir -p /etc/systemd/system/heph-hub.service.d
  { echo '[Service]'; printf '%s\n' "$@"; } >/etc/systemd/system/heph-hub.service.d/mine.conf
  systemctl daemon-reload
}
property() { systemctl show "$1" --property "$2" --value | jq --raw-input .; }
until_() { local n=0; until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 400 ] || return 1; sleep 0.05; done; }
"#;

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = lab().arg("remove").arg(self.dir.path()).output();
    }
}
