//! `heph-ops drill`: the rehearsal of a restore. The newest backup becomes a
//! scratch hub, a copy of the live store a scratch device, and that device
//! gives the hub back what came after the backup. They must end equal. The
//! live store is only read.

use std::{
    fs::DirBuilder,
    net::TcpListener,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hephd::{
    error::{Code, Error, Result, file},
    id::draw_hex,
    report::{Report, Style},
    rpc::{client::Client, status::SyncStatus},
    store::{
        backup::{self, Backup},
        file::Unfinished,
        seed::{self, Becoming, Receipt, Wish},
        snapshot::{Source, name_of},
        verify::{Verdict, against_store, ops_apart},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{How, restore, which_store::WhichStore};
use crate::{bars::Bars, host::Host, signals::giving_way};

/// Rehearse a restore: does the newest backup become a hub that ends equal?
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: WhichStore,
    /// The folder of the backups, or one backup's file
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Where the scratch hub and device live meanwhile; needs room for two
    /// stores [default: where temporary files lie]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The hephd to run [default: the one beside heph-ops]
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Give hub and device this long to become equal
    #[arg(long, default_value_t = 600, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// What a drill showed.
struct Shown {
    then: Receipt,
    live: Receipt,
    /// How many ops the store has that the backup has not.
    since: u64,
    restored: Duration,
    equal: Duration,
    all: Duration,
}

/// Rehearses.
///
/// # Errors
/// `backup_not_found`, `checksum_mismatch`; `store_differs` where they do not
/// end equal. Nothing is left of the scratch hub and device.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    let store = args.store.find(host)?;
    let kept = restore::find(&args.from, Some(&store.db))?;
    let then = kept.load()?;
    let bin = args.bin.clone().map_or_else(|| host.hephd(), Ok)?;
    if how.check {
        backup::verify(&kept, &then)?;
        let data = json!({ "backup": name_of(&kept.file), "db": name_of(&store.db) });
        let mut report = Report::new("drilled", false, data);
        report.check = true;
        return Ok(report.line(format!("  would rehearse with {}", kept.file.display())));
    }
    let scratch = Scratch::make(args.scratch.as_deref(), host)?;
    let bars = Bars::new(style);
    let shown = giving_way(host, style, "drill", || {
        rehearse(args, &kept, then, &store.db, &bin, &scratch, host, &bars)
    });
    bars.clear();
    Ok(describe(&kept, &shown?, host))
}

#[allow(clippy::too_many_arguments, reason = "all that a rehearsal is given, once")]
fn rehearse(
    args: &Args,
    kept: &Backup,
    then: Receipt,
    live: &Path,
    bin: &Path,
    scratch: &Scratch,
    host: &Host,
    bars: &Bars,
) -> Result<Shown> {
    let begun = Instant::now();
    let progress = |progress| bars.show(&progress);
    let (hub, device) = (scratch.place.join("hub/heph.db"), scratch.place.join("device/heph.db"));
    let becoming = Becoming::Restored { sha256: &then.sha256 };
    let wish = Wish { to: &hub, becoming, replace: false, run_as: None };
    backup::restore(kept, &then, &wish, &host.machine, &progress)?;
    let restored = begun.elapsed();
    let wish = Wish { to: &device, becoming: Becoming::Device, ..wish };
    let name = live.display();
    let live = seed::seed(Source::Store(live), &wish, &host.machine, &progress)?;
    bars.clear();
    let (since, lost) = ops_apart(&device, &hub, &host.machine)?;
    if lost > 0 {
        return Err(Error::new(
            Code::StoreDiffers,
            format!("{name} lacks ops that {} has: {lost}", kept.file.display()),
            "find out what became of them; keep that backup, which has them: heph-ops restore",
        ));
    }

    let deadline = Duration::from_secs(args.timeout);
    let (started, address) = (Instant::now(), free_address()?);
    let serve = ["--mode", "server", "--http-addr", &address, "--insecure-no-auth"];
    let serving = scratch.start(host, bin, &hub, "h", &serve, deadline)?;
    let url = format!("http://{address}");
    let sync = ["--mode", "local", "--hub-url", &url];
    let syncing = scratch.start(host, bin, &device, "d", &sync, deadline)?;
    let mut client = Client::connect(&scratch.socket("d"), deadline)?;
    let status: SyncStatus = client.call("sync.now", &Value::Null)?;
    let equal = started.elapsed();
    let differ = |how: &str| {
        Error::new(
            Code::StoreDiffers,
            format!("{} became a hub that does not end equal: {how}", kept.file.display()),
            "keep that backup, make a new one, and report this with: heph-ops verify",
        )
    };
    if status.equal != Some(true) {
        return Err(differ("it and its device do not have the same ops"));
    }
    drop((syncing, serving));
    // Their word was that they have the same ops. This is what they make of them.
    match against_store(&hub, &device, &host.machine, &progress)?.verdict {
        Verdict::Equal | Verdict::Alike => {}
        Verdict::Grown { ops } => return Err(differ(&format!("it has {ops} ops more"))),
        Verdict::Differs(how) => return Err(differ(&how)),
    }
    bars.clear();
    Ok(Shown { then, live, since, restored, equal, all: begun.elapsed() })
}

/// A port that nobody listens on. Whoever takes it meanwhile makes the drill
/// fail, and nothing else.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::internal)?;
    Ok(listener.local_addr().map_err(Error::internal)?.to_string())
}

/// The folder of a drill, 0700; it goes with it.
struct Scratch {
    place: PathBuf,
    running: Arc<Mutex<Vec<Pid>>>,
    _unfinished: Unfinished,
}

impl Scratch {
    fn make(place: Option<&Path>, host: &Host) -> Result<Self> {
        let place = place.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = place.join(format!("heph-drill-{}", draw_hex::<4>(&host.machine.entropy)));
        DirBuilder::new().mode(0o700).create(&path).map_err(file(&path, "create"))?;
        let running = Arc::<Mutex<Vec<Pid>>>::default();
        let (place, pids) = (path.clone(), Arc::clone(&running));
        let _unfinished = Unfinished::new(move || {
            for pid in pids.lock().iter().flat_map(|pids| pids.iter()) {
                let _ = kill_process(*pid, Signal::KILL);
            }
            let _ = std::fs::remove_dir_all(&place);
        });
        Ok(Self { place: path, running, _unfinished })
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.place.join(format!("{name}.sock"))
    }

    /// A daemon on one of the stores, which answers.
    fn start(
        &self,
        host: &Host,
        bin: &Path,
        db: &Path,
        name: &str,
        words: &[&str],
        deadline: Duration,
    ) -> Result<Running> {
        let socket = self.socket(name);
        let log = self.place.join(format!("{name}.log"));
        let mut argv: Vec<String> = [bin, Path::new("--db"), db, Path::new("--socket"), &socket]
            .map(|path| path.to_string_lossy().into_owned())
            .into();
        argv.push("--until-eof".to_owned());
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        let child = host.start(&argv, &log)?;
        if let Ok(mut running) = self.running.lock() {
            running.push(Pid::from_child(&child));
        }
        let mut running = Running { child, among: Arc::clone(&self.running) };
        let answers = host.poll(deadline, || {
            let ended = running.child.try_wait().ok().flatten().is_some();
            (ended || Client::connect(&socket, deadline).is_ok()).then_some(!ended)
        });
        if answers == Some(true) {
            return Ok(running);
        }
        let said = host.read(&log)?.unwrap_or_default();
        let last = said.lines().next_back().unwrap_or("it said nothing");
        Err(Error::new(
            Code::NotReady,
            format!("hephd does not start on {}: {last}", db.display()),
            "try that backup by hand: heph-ops restore, then hephd --check-store",
        ))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

/// A daemon that ends with the drill.
struct Running {
    child: Child,
    among: Arc<Mutex<Vec<Pid>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        // From then on it may be another process that is called so.
        if let Ok(mut running) = self.among.lock() {
            running.retain(|among| *among != pid);
        }
        let _ = self.child.wait();
    }
}

fn describe(kept: &Backup, shown: &Shown, host: &Host) -> Report {
    let (then, live) = (&shown.then, &shown.live);
    let later = shown.since;
    let data = json!({
        "backup": name_of(&kept.file),
        "as_of": then.at,
        "equal": true,
        "ops_in_backup": then.op_count,
        "ops_in_store": live.op_count,
        "ops_given_back": later,
        "restore_secs": shown.restored.as_secs_f64(),
        "equal_secs": shown.equal.as_secs_f64(),
        "seconds": shown.all.as_secs_f64(),
    });
    let age = hephd::clock::ago(&then.at, host.machine.clock.now_ms()).unwrap_or_default();
    Report::new("drilled", false, data)
        .line(format!("✓ {} became a hub again, and ended equal", kept.file.display()))
        .line(format!("  backup    of {age} ago, {} ops", then.op_count.unwrap_or(0)))
        .line(format!(
            "  restored  in {:.1} s, every table as it was kept",
            shown.restored.as_secs_f64()
        ))
        .line(format!(
            "  equal     {:.1} s later: the device gave back the {later} ops since",
            shown.equal.as_secs_f64()
        ))
        .line("  the live store was only read; nothing is left of hub and device")
}
