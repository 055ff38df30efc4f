//! Services under our own supervisor: what crashes is started again, what
//! cannot get better is not, and whoever is killed at whatever moment, the next
//! command mends it.

use std::{
    collections::BTreeSet,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::{Command, ExitStatus, Stdio},
};

use heph_ops::detached::take_lock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::sandbox::{Sandbox, add_task, kill, program, wait_for};

const SPOKE: &str = "heph-spoke";

/// How much of something: in a usual run, and when all is to be tried.
fn full(few: usize, many: usize) -> usize {
    if std::env::var_os("HEPH_FULL").is_some() { many } else { few }
}

fn service(sandbox: &Sandbox) -> Value {
    sandbox.ops(&["status", SPOKE, "--json"]).json()["data"]["services"][0].clone()
}

fn pid(sandbox: &Sandbox) -> Pid {
    sandbox.processes(SPOKE)[1]
}

/// All that lives in a sandbox.
pub fn living(sandbox: &Sandbox) -> BTreeSet<i32> {
    let home = format!("HOME={}", sandbox.home().display());
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let environ = std::fs::read(entry.path().join("environ")).ok()?;
        let lives_here = environ.split(|byte| *byte == 0).any(|pair| pair == home.as_bytes());
        lives_here.then(|| entry.file_name().to_str()?.parse().ok())?
    });
    pids.collect()
}

/// A supervisor and a hephd live, and nothing else.
#[track_caller]
fn both_live(sandbox: &Sandbox) {
    let both: BTreeSet<i32> = sandbox.processes(SPOKE).map(Pid::as_raw_pid).into();
    assert_eq!((living(sandbox), service(sandbox)["state"].as_str()), (both, Some("active")));
}

/// A hephd that ends with the exit code in the file `ends`, where there is one.
fn moody(sandbox: &Sandbox) -> String {
    let script = format!(
        "#!/bin/sh\n[ -f ~/ends ] && echo moody >&2 && exit $(cat ~/ends)\nexec {} \"$@\"\n",
        program("hephd").display()
    );
    let path = sandbox.path("moody");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn what_is_killed_is_started_again_and_counted() {
    let sandbox = Sandbox::new();
    sandbox.device();
    for restarts in 1..=2 {
        kill(pid(&sandbox));
        wait_for("it to run again", || service(&sandbox)["health"] == "ok");
        let now = service(&sandbox);
        assert_eq!((&now["restarts"], &now["result"]), (&restarts.into(), &"signal 9".into()));
    }
    both_live(&sandbox);
}

#[test]
fn what_does_not_get_better_is_not_started_again() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--bin", &moody(&sandbox)]).expect(0);
    std::fs::write(sandbox.path("ends"), "4").unwrap();
    let ended = sandbox.ops(&["restart", "--settle-ms", "0", "--json"]).expect(3).json();
    let said = ended["error"]["message"].as_str().unwrap();
    assert!(said.contains("ended at once (exit code 4)\n  | moody"), "{said}");
    wait_for("the supervisor to end", || living(&sandbox).is_empty());
    let now = service(&sandbox);
    assert_eq!((&now["state"], &now["restarts"]), (&"failed".into(), &0.into()));
    assert_eq!(now["result"], "exit code 4");
    std::fs::remove_file(sandbox.path("ends")).unwrap();
    sandbox.ops(&["start", "--settle-ms", "0"]).expect(0);
    both_live(&sandbox);
}

#[test]
fn a_crash_loop_is_told_and_can_be_stopped_or_started_anew() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--bin", &moody(&sandbox)]).expect(0);
    std::fs::write(sandbox.path("ends"), "1").unwrap();
    let ended = sandbox.ops(&["restart", "--json"]).expect(3).json();
    assert_eq!(ended["error"]["code"], "crash_loop");
    let now = service(&sandbox);
    assert_eq!((&now["state"], &now["result"]), (&"failing".into(), &"exit code 1".into()));
    assert!(now["restarts"].as_u64() >= Some(3) && now["pid"].is_null(), "{now}");
    std::fs::remove_file(sandbox.path("ends")).unwrap();
    sandbox.ops(&["start", "--settle-ms", "0"]).expect(0);
    both_live(&sandbox);

    std::fs::write(sandbox.path("ends"), "1").unwrap();
    kill(pid(&sandbox));
    wait_for("it to fail", || service(&sandbox)["state"] == "failing");
    assert_eq!(sandbox.ops(&["stop", "--json"]).expect(0).json()["status"], "stopped");
    assert_eq!(living(&sandbox), BTreeSet::new());
}

#[test]
fn a_service_whose_supervisor_was_killed_goes_on_and_is_mended() {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    let mends: [(&[&str], &str); 3] = [
        (&["start", "--settle-ms", "0", "--json"], "started"),
        (&["install-service", "--role", "spoke", "--settle-ms", "0", "--json"], "updated"),
        (&["restart", "--settle-ms", "0", "--json"], "restarted"),
    ];
    for (words, status) in mends {
        let [supervisor, orphan] = sandbox.processes(SPOKE);
        kill(supervisor);
        add_task(&mut device, "nobody takes down what it logs");
        let seen = sandbox.ops(&["status", "--json"]).expect(0).json();
        assert_eq!(seen["warnings"][0]["code"], "unsupervised", "{seen}");
        assert_eq!(seen["data"]["services"][0]["pid"], orphan.as_raw_pid());
        assert_eq!(sandbox.ops(words).expect(0).json()["status"], status);
        both_live(&sandbox);
        assert_ne!(pid(&sandbox), orphan);
        device = sandbox.connect(".local/share/heph/hephd.sock");
    }
    kill(sandbox.processes(SPOKE)[0]);
    assert_eq!(sandbox.ops(&["stop", "--json"]).expect(0).json()["status"], "stopped");
    assert_eq!(living(&sandbox), BTreeSet::new());
    assert!(!sandbox.path(".local/share/heph/heph.db-wal").exists(), "it ended in order");
}

#[test]
fn a_process_that_took_the_pid_over_is_not_signalled() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let mut state = sandbox.state(SPOKE);
    sandbox.ops(&["stop"]).expect(0);
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    for who in ["supervisor", "child"] {
        state[who] = json!({ "pid": bystander.id(), "start_time": "another boot 1" });
    }
    let lay = || {
        let path = sandbox.path(&format!(".local/state/heph/{SPOKE}.pid"));
        std::fs::write(path, state.to_string()).unwrap();
    };
    let install = ["install-service", "--role", "spoke", "--settle-ms", "0"];
    for words in
        [&["stop"][..], &["start", "--settle-ms", "0"], &["stop"], &install, &["uninstall-service"]]
    {
        lay();
        sandbox.ops(words).expect(0);
        assert!(bystander.try_wait().unwrap().is_none(), "{words:?}: the bystander lives");
        if words != ["stop"] {
            let _ = sandbox.ops(&["stop"]);
        }
    }
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_log_is_put_by_and_no_line_of_it_is_lost() {
    let sandbox = Sandbox::new();
    let last = 1_600_000;
    let path = sandbox.path("talks");
    let hephd = program("hephd");
    let script = format!("#!/bin/sh\nseq 1 {last}\nexec {} \"$@\"\n", hephd.display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.install(&["--role", "spoke", "--bin", path.to_str().unwrap()]).expect(0);
    let log = sandbox.path(&format!(".local/state/heph/{SPOKE}.log"));
    let old = log.with_extension("log.1");
    let text = [&old, &log].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(text[0].len() <= (10 << 20) + 16 && text[0].ends_with('\n'));
    let numbers =
        text.iter().flat_map(|text| text.lines()).map_while(|line| line.parse::<u32>().ok());
    assert!(numbers.eq(1..=last), "a line is lost, or cut");
    for path in [old, log] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_a_service_was_given_in_its_environment_is_nobodys_command_line() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--env", "LOUD=s3cret"]).expect(0);
    let pids = living(&sandbox);
    assert_eq!(pids.len(), 2);
    for pid in pids {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&words).contains("s3cret"));
    }
    let environ = std::fs::read(format!("/proc/{}/environ", pid(&sandbox).as_raw_pid())).unwrap();
    assert!(String::from_utf8_lossy(&environ).contains("LOUD=s3cret"));
}

#[test]
fn many_starts_and_stops_leave_no_process() {
    let sandbox = Sandbox::new();
    sandbox.device();
    for n in 0..full(25, 200) {
        sandbox.ops(&["stop"]).expect(0);
        assert_eq!(living(&sandbox), BTreeSet::new(), "after {n}");
        sandbox.ops(&["start", "--settle-ms", "0"]).expect(0);
        both_live(&sandbox);
    }
}

/// A program under strace, its children not.
fn traced(sandbox: &Sandbox, options: &[&str], words: &[&str]) -> Command {
    let mut strace = sandbox.command("strace");
    strace.args(["-qq", "-o"]).arg(sandbox.path("trace")).args(options);
    strace.arg(program("heph-ops")).args(words).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

/// Kills a run at its calls, one after another, and mends what is left. The
/// first call is the one that touches this.
fn kill_at_each(sandbox: &Sandbox, touches: &str, run: impl Fn(&[&str]) -> ExitStatus) {
    run(&["-e", "trace=all"]);
    let trace = std::fs::read_to_string(sandbox.path("trace")).unwrap();
    let first = trace.lines().position(|line| line.contains(touches)).unwrap();
    let name = |line: &str| Some(line.split_once('(')?.0.to_owned());
    let calls: Vec<(String, &str)> =
        trace.lines().filter_map(|line| Some((name(line)?, line))).collect();
    lay(sandbox);
    let step = ((calls.len() - first) / full(24, 10_000)).max(1);
    let (mut tried, mut killed) = (0, 0);
    for (at, (name, line)) in calls.iter().enumerate().skip(first).step_by(step) {
        // strace counts the calls of each name by themselves.
        let nth = calls[..=at].iter().filter(|(other, _)| other == name).count();
        let status =
            run(&["-e", "trace=all", "-e", &format!("inject={name}:signal=KILL:when={nth}")]);
        killed += usize::from(status.signal() == Some(9));
        mend(sandbox, tried, line);
        lay(sandbox);
        tried += 1;
    }
    // What waits does so in more calls or fewer.
    assert!(killed * 2 > tried, "of {tried} only {killed} were killed");
}

/// A service that is installed and does not run.
fn lay(sandbox: &Sandbox) {
    sandbox.install(&["--role", "spoke", "--no-start"]).expect(0);
    sandbox.ops(&["stop"]).expect(0);
    assert_eq!(living(sandbox), BTreeSet::new());
}

/// Whatever the next command is, it finishes; nothing lives that it does not
/// know.
fn mend(sandbox: &Sandbox, n: usize, at: &str) {
    let install = ["install-service", "--role", "spoke", "--settle-ms", "0"];
    let next: [&[&str]; 4] =
        [&["start", "--settle-ms", "0"], &["stop"], &install, &["uninstall-service"]];
    let words = next[n % next.len()];
    let ended = sandbox.ops(words);
    assert_eq!(ended.code, 0, "killed at {at}, then {words:?}: {}", ended.err);
    let known: BTreeSet<i32> = match n % 2 {
        0 => sandbox.processes(SPOKE).map(Pid::as_raw_pid).into(),
        _ => BTreeSet::new(),
    };
    // One that was about to begin when its supervisor was killed gives up soon.
    let only_known = || living(sandbox) == known;
    wait_for(&format!("the rest to end, killed at {at}, then {words:?}"), only_known);
}

#[test]
fn a_start_that_is_killed_is_mended_by_the_next_command() {
    let sandbox = Sandbox::new();
    sandbox.device();
    lay(&sandbox);
    kill_at_each(&sandbox, "heph-spoke.ops", |options| {
        traced(&sandbox, options, &["start", "--settle-ms", "0"]).status().unwrap()
    });
}

#[test]
fn a_supervisor_that_is_killed_is_mended_by_the_next_command() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let words = words(&sandbox);
    lay(&sandbox);
    kill_at_each(&sandbox, "read(0,", |options| supervise(&sandbox, options, &words));
}

/// What a supervisor is told.
fn words(sandbox: &Sandbox) -> String {
    let state = sandbox.state(SPOKE);
    let mut words: Value = serde_json::from_str(state["fingerprint"].as_str().unwrap()).unwrap();
    words["log"] = json!(sandbox.path(&format!(".local/state/heph/{SPOKE}.log")));
    words["pid_file"] = json!(sandbox.path(&format!(".local/state/heph/{SPOKE}.pid")));
    words.to_string()
}

/// The whole life of a supervisor: it is ended once its hephd answers.
fn supervise(sandbox: &Sandbox, options: &[&str], words: &str) -> ExitStatus {
    let input = sandbox.path("words");
    std::fs::write(&input, words).unwrap();
    let mut strace = traced(sandbox, options, &["supervise"]);
    let mut strace = strace.stdin(std::fs::File::open(input).unwrap()).spawn().unwrap();
    let socket = sandbox.path(".local/share/heph/hephd.sock");
    let answers = || socket.exists() && !sandbox.state(SPOKE).is_null();
    wait_for("hephd to answer", || strace.try_wait().unwrap().is_some() || answers());
    if strace.try_wait().unwrap().is_none() {
        let supervisor = sandbox.state(SPOKE)["supervisor"]["pid"].as_i64().unwrap();
        let supervisor = Pid::from_raw(i32::try_from(supervisor).unwrap()).unwrap();
        let _ = kill_process(supervisor, Signal::TERM);
    }
    strace.wait().unwrap()
}

/// Whoever started it may be gone, and the next command come before it has said
/// a word.
#[test]
fn a_supervisor_that_is_about_to_live_is_waited_for() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let words = words(&sandbox);
    lay(&sandbox);
    let input = sandbox.path("words");
    std::fs::write(&input, words).unwrap();
    let lock = take_lock(&sandbox.path(&format!(".local/state/heph/{SPOKE}.pid")));
    let slow = "inject=?rename,?renameat,?renameat2:delay_enter=400000:when=1";
    let mut strace = traced(&sandbox, &["-e", "trace=all", "-e", slow], &["supervise"]);
    strace.stdin(std::fs::File::open(input).unwrap()).stdout(lock.unwrap().unwrap());
    let mut supervisor = strace.spawn().unwrap();
    drop(strace);
    assert_eq!(sandbox.ops(&["stop", "--json"]).expect(0).json()["status"], "stopped");
    supervisor.wait().unwrap();
    assert_eq!(living(&sandbox), BTreeSet::new());
}
