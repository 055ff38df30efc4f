//! Disks that really are full, small or read-only. They are mounted where
//! nobody else sees them: the test is run once more, by itself, as root of
//! mounts of its own.

use std::{
    env, io,
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    Place, Stand, Subject,
    place::Stock,
    strace::{Call, calls},
};
use crate::sandbox::{Ended, wait_for};

/// Said to the second run.
const INSIDE: &str = "HEPH_TEST_OWN_MOUNTS";

/// Whether this is that run. Where the system allows nobody to have mounts of
/// their own the test says that it is skipped.
#[track_caller]
pub fn inside(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |program: PathBuf| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount"]).arg(program);
        unshare
    };
    if !unshare("true".into()).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {test}: this user may not have mounts of its own");
        return false;
    }
    let mut again = unshare(env::current_exe().unwrap());
    again.args(["--exact", &format!("sweeps::{test}"), "--nocapture"]).env(INSIDE, "yes");
    let output = again.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A disk of eight megabytes in the target's place.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn below(place: &Place<'_>, options: &str) -> Self {
        let target = place.target();
        std::fs::create_dir_all(&target).unwrap();
        let options = format!("size=8m,mode=700,{options}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&target));
        Self(target)
    }

    /// Takes the room that is left.
    fn fill(&self) {
        let full = io::copy(&mut io::repeat(7), &mut std::fs::File::create(self.filler()).unwrap());
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The disk has room when the command looks, and none a moment later: after
/// it has made a file, and after some of what it writes.
pub fn disk_fills_up(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let place = stock.place();
    let calls = {
        let _disk = SmallDisk::below(&place, "rw");
        calls(&place)
    };
    let makes_file = |call: &&Call| call.changes_something() && call.text.contains(".new-");
    let opens = calls.iter().filter(|call| call.name.starts_with("open")).filter(makes_file);
    let pages = |call: &&Call| {
        let written = call.text.rsplit(" = ").next().and_then(|bytes| bytes.parse::<u64>().ok());
        call.name.contains("write") && written.is_some_and(|bytes| bytes >= 4096)
    };
    let writes: Vec<_> = calls.iter().filter(pages).collect();
    let step = writes.len().div_ceil(10).max(1);
    let points: Vec<&Call> = opens.chain(writes.into_iter().step_by(step)).collect();
    assert!(points.len() >= 5, "only {} points", points.len());
    for point in points {
        place.lay();
        let disk = SmallDisk::below(&place, "rw");
        let ended = run_stopped(&place, point, || disk.fill());
        let tried = refused(&place, &ended, "no_space");
        disk.make_room();
        let healed = tried.and_then(|stand| place.heals(stand));
        assert_eq!(healed, Ok(()), "full after {}", point.text);
    }
}

/// Runs the command, stops it after a call, does something, and lets it go on.
fn run_stopped(place: &Place<'_>, point: &Call, meanwhile: impl FnOnce()) -> Ended {
    let mut strace = place.traced(&point.inject("signal=STOP").each_ref().map(String::as_str));
    let child = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stopped = None;
    wait_for("the command to stop", || {
        let trace = place.trace();
        let line = trace.lines().find(|line| line.contains("stopped by SIGSTOP"));
        stopped = line.and_then(|line| line.split(' ').next()?.parse().ok());
        stopped.is_some()
    });
    meanwhile();
    kill_process(Pid::from_raw(stopped.unwrap()).unwrap(), Signal::CONT).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Refused for that reason, and nothing has come of it.
fn refused(place: &Place<'_>, ended: &Ended, because: &str) -> Result<Stand, String> {
    let answer: Value = serde_json::from_str(&ended.out).unwrap_or_default();
    let stand = place.look()?;
    let is_refusal = matches!(ended.code, 1 | 4) && answer["error"]["code"] == because;
    if !is_refusal || stand != Stand::Old {
        return Err(format!("exit {}, {stand:?}: {}{}", ended.code, ended.out, ended.err));
    }
    place.check_staging().map(|()| stand)
}

/// No file may be longer than that.
pub fn files_stay_short(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let place = stock.place();
    for length in [0, 1_000, 36_000, 70_000, 100_000, 150_000] {
        place.lay();
        let mut prlimit = place.sandbox.command("prlimit");
        prlimit.arg(format!("--fsize={length}"));
        let ended = place.run_under(prlimit).into();
        let healed = refused(&place, &ended, "no_space").and_then(|stand| place.heals(stand));
        assert_eq!(healed, Ok(()), "files of {length} bytes");
    }
}

pub fn target_is_read_only(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let place = stock.place();
    let disk = SmallDisk::below(&place, "ro");
    let tried = refused(&place, &place.run(), "insecure_permissions");
    run(Command::new("mount").args(["-o", "remount,rw"]).arg(&disk.0));
    assert_eq!(tried.and_then(|stand| place.heals(stand)), Ok(()));
}
