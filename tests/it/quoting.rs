//! Any word comes out of a unit as it went in: written by us, read by systemd
//! itself and by Python's reader of property lists.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use heph_ops::{host::Host, service::Service, unit};
use hephd::{
    args::Flags,
    record::{ManagerKind, Record, Role, Scope},
};

use super::{dice::Dice, sandbox::Sandbox};

/// A service with any words and any environment.
fn service(argv: Vec<String>, env: BTreeMap<String, String>) -> Service {
    let record = Record {
        label: "heph-spoke".to_owned(),
        role: Role::Spoke,
        manager: ManagerKind::Systemd,
        scope: Scope::User,
        installed: true,
        bin: PathBuf::from("/bin/true"),
        run_as: None,
        hardening: None,
        log_dir: None,
        enabled_linger: false,
        keyring: false,
        backups: None,
        env: BTreeMap::new(),
        flags: Flags { db: Some("/srv/heph/heph.db".into()), ..Flags::default() },
    };
    let mut service = Service::new(&Host::this().unwrap(), record).unwrap();
    service.argv = argv;
    service.env = env;
    service
}

/// What means something to a shell, to systemd or in XML, and what does not.
const LETTERS: &str = " \"'\\%$&<>;#=`{}()[]|*?!~^@+-:,./abcxyzABC019 éß日🔥\u{a0}\u{2028}\u{202e}";

fn word(dice: &Dice) -> String {
    let letters: Vec<char> = LETTERS.chars().collect();
    (0..dice.below(13)).map(|_| *dice.pick(&letters)).collect()
}

/// Some hundred lists of words, the same for the same seed.
fn lists(seed: u64, count: usize, length: usize) -> Vec<Vec<String>> {
    let dice = Dice::new(seed);
    (0..count).map(|_| (0..length).map(|_| word(&dice)).collect()).collect()
}

/// HEPH_SEED, or another one each time.
fn seed() -> u64 {
    let given = std::env::var("HEPH_SEED").ok();
    let seed = given.and_then(|seed| seed.split("..").next()?.parse().ok());
    seed.unwrap_or_else(|| u64::from(std::process::id()))
}

fn line<'a>(unit: &'a str, key: &str) -> &'a str {
    unit.lines().find(|line| line.starts_with(key)).unwrap()
}

fn rendered(service: &Service) -> String {
    unit::systemd::files(service, Path::new("/units"), 252).unwrap()[0].text.clone()
}

/// One unit with many lines, so that ten thousand words take a second.
#[test]
fn systemd_reads_every_word_as_it_was_written() {
    let sandbox = Sandbox::new();
    let out = sandbox.path("out");
    let show = sandbox.path("show");
    std::fs::write(
        &show,
        format!("#!/bin/sh\nprintf '%s\\0' \"$@\" >>{0}\nprintf '\\n\\0' >>{0}\n", out.display()),
    )
    .unwrap();
    Command::new("chmod").args(["+x", show.to_str().unwrap()]).status().unwrap();
    let seed = seed();
    let lists = lists(seed, 250, 40);
    let mut unit = "[Service]\nType=oneshot\n".to_owned();
    for words in &lists {
        let argv = [vec![show.display().to_string()], words.clone()].concat();
        unit.push_str(line(&rendered(&service(argv, BTreeMap::new())), "ExecStart="));
        unit.push('\n');
    }
    let env = sandbox.path("env");
    let variables: BTreeMap<String, String> = lists
        .concat()
        .into_iter()
        .take(500)
        .enumerate()
        .map(|(n, word)| (format!("K{n}"), word))
        .collect();
    let with_environment = rendered(&service(vec!["/bin/true".to_owned()], variables.clone()));
    let lines = with_environment.lines().filter(|line| line.starts_with("Environment="));
    unit.push_str(&lines.collect::<Vec<_>>().join("\n"));
    unit.push_str(&format!("\nExecStart=/bin/sh -c 'env -0 >{}'\n", env.display()));
    let folder = sandbox.path(".config/systemd/user");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("words.service"), unit).unwrap();
    let manager = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/user-manager");
    let run = ["root", "systemctl", "--user", "start", "words.service"];
    let done =
        Command::new(manager).args(run).env("HEPH_LAB_HOME", sandbox.home()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let read = std::fs::read_to_string(&out).unwrap();
    let read: Vec<&str> = read.split("\n\0").collect();
    for (words, read) in lists.iter().zip(&read) {
        let read: Vec<&str> = read.split_terminator('\0').collect();
        assert_eq!(words, &read, "HEPH_SEED={seed}");
    }
    assert_eq!(read.len(), lists.len() + 1);
    let environment = std::fs::read_to_string(&env).unwrap();
    let environment: BTreeMap<&str, &str> =
        environment.split('\0').filter_map(|pair| pair.split_once('=')).collect();
    for (key, value) in &variables {
        assert_eq!(environment.get(key.as_str()), Some(&value.as_str()), "{key}, HEPH_SEED={seed}");
    }
}

#[test]
fn python_reads_every_word_of_a_property_list_as_it_was_written() {
    let sandbox = Sandbox::new();
    let seed = seed();
    let lists = lists(seed, 250, 40);
    for (n, words) in lists.iter().enumerate() {
        let env = words.iter().enumerate().map(|(k, word)| (format!("K{k}"), word.clone()));
        let service = service(words.clone(), env.collect());
        let text = &unit::plist::files(&service, Path::new("/agents")).unwrap()[0].text;
        std::fs::write(sandbox.path(&format!("{n}.plist")), text).unwrap();
    }
    let script = "
import json, plistlib, sys
for n in range(int(sys.argv[1])):
    with open(f'{sys.argv[2]}/{n}.plist', 'rb') as file:
        read = plistlib.load(file)
    env = [read['EnvironmentVariables'][f'K{k}'] for k in range(40)]
    print(json.dumps([read['ProgramArguments'], env]))
";
    let count = lists.len().to_string();
    let mut python = Command::new("python3");
    let output = python.args(["-c", script, &count]).arg(sandbox.home()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = String::from_utf8(output.stdout).unwrap();
    for (words, read) in lists.iter().zip(read.lines()) {
        let read: [Vec<String>; 2] = serde_json::from_str(read).unwrap();
        assert_eq!(read, [words.clone(), words.clone()], "HEPH_SEED={seed}");
    }
    assert_eq!(read.lines().count(), lists.len());
}

#[test]
fn what_no_unit_can_hold_is_refused() {
    for odd in ["a\nb", "a\rb", "a\0b", "\u{7f}", "\u{1b}[0m"] {
        let service = service(vec!["/bin/true".to_owned(), odd.to_owned()], BTreeMap::new());
        let refused = unit::systemd::files(&service, Path::new("/units"), 252).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{odd:?}");
        assert!(unit::plist::files(&service, Path::new("/agents")).is_err(), "{odd:?}");
    }
}
