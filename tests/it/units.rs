//! What is written for systemd, word for word, and what systemd makes of it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::sandbox::Sandbox;

fn printed(words: &[&str]) -> String {
    let sandbox = Sandbox::new();
    let mut all = vec!["install-service", "--print", "--scope", "user", "--bin", "/usr/bin/hephd"];
    all.extend(words);
    let home = sandbox.home().display().to_string();
    sandbox.ops(&all).expect(0).out.replace(&home, "/home/me")
}

#[test]
fn a_hub_unit_spells_every_flag_out() {
    let unit =
        printed(&["--role", "hub", "--http-addr", "127.0.0.1:8787", "--env", "RUST_LOG=info"]);
    // The edition is of the whole text, with a home that is another each time.
    let (before, edition) = unit.split_once("HEPH_UNIT=").unwrap();
    let after = &edition[edition.find('"').unwrap()..];
    insta::assert_snapshot!(format!("{before}HEPH_UNIT=EDITION{after}"));
}

#[test]
fn odd_words_come_out_as_they_went_in() {
    let odd = r#"/srv/a b/"q"/100%/$HOME/c\d/ü/heph.db"#;
    let unit = printed(&["--role", "spoke", "--db", odd, "--socket", "/run/h.sock"]);
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let wanted = r#""/srv/a b/\"q\"/100%%/$HOME/c\\d/ü/heph.db""#;
    assert!(line.contains(wanted), "{line}");
}

/// The files of a service as they would be written, in a folder.
fn files(words: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let sandbox = Sandbox::new();
    let mut all = vec!["install-service", "--print", "--json", "--bin", "/bin/true"];
    all.extend(words);
    let printed = sandbox.ops(&all).expect(0).json();
    let dir = tempfile::tempdir().unwrap();
    let files = printed["data"]["files"].as_array().unwrap().iter().map(|file| {
        let name = Path::new(file["path"].as_str().unwrap()).file_name().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, file["text"].as_str().unwrap()).unwrap();
        path
    });
    let files = files.collect();
    (dir, files)
}

fn analyze(scope: &str, words: &[&str], files: &[PathBuf]) -> Output {
    let mut analyze = Command::new("systemd-analyze");
    // It wants to know where a person's runtime folder is, and that there is one.
    analyze.env("XDG_RUNTIME_DIR", "/tmp");
    analyze.args((scope == "user").then_some("--user")).args(words).args(files);
    analyze.output().unwrap()
}

/// Everything that can be rendered for systemd.
fn each(mut look: impl FnMut(&str, &str, &[PathBuf])) {
    for role in ["hub", "spoke"] {
        for scope in ["user", "system"] {
            for level in ["off", "basic", "strict"] {
                let words = ["--role", role, "--scope", scope, "--hardening", level];
                let more =
                    ["--manager", "systemd", "--backup-dir", "/srv/backups", "--env", "A=b c"];
                let (_dir, files) = files(&[&words[..], &more].concat());
                assert_eq!(files.len(), 3, "a service, its backups, what starts them");
                look(scope, level, &files);
            }
        }
    }
}

#[test]
fn systemd_itself_finds_nothing_to_say_about_the_units() {
    each(|scope, level, files| {
        let output = analyze(scope, &["verify", "--man=no"], files);
        // It exits 0 on keys that it does not know, so its silence is what counts.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said, "", "{scope} {level}");
        assert!(output.status.success());
    });
}

/// Thresholds are ten times the number: 1.5 for the machine's, 2.5 for a person's.
#[test]
fn a_strict_unit_leaves_little_to_be_done() {
    each(|scope, level, files| {
        let bar = if scope == "user" { "--threshold=25" } else { "--threshold=15" };
        for file in files.iter().filter(|file| file.extension().unwrap() == "service") {
            let words = ["security", "--offline=true", bar];
            let output = analyze(scope, &words, std::slice::from_ref(file));
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let last = said.lines().last().unwrap_or_default();
            assert_eq!(output.status.success(), level == "strict", "{}: {last}", file.display());
        }
    });
}

/// Where a directive is not known yet, it is left out rather than complained about.
#[test]
fn an_older_systemd_gets_what_it_knows() {
    use heph_ops::{host::Host, service::Service, unit::systemd};
    let record: hephd::record::Record = toml_record("system");
    let service = Service::new(&Host::this().unwrap(), record).unwrap();
    let text =
        |version| systemd::files(&service, Path::new("/units"), version).unwrap()[0].text.clone();
    assert!(text(252).contains("ProtectProc=") && text(252).contains("PrivateIPC="));
    let old = text(245);
    assert!(!old.contains("ProtectProc=") && !old.contains("PrivateIPC="), "{old}");
    assert!(old.contains("ProtectSystem=strict") && old.contains("ProtectClock="), "{old}");
}

fn toml_record(scope: &str) -> hephd::record::Record {
    let text = format!(
        "label = \"heph-hub\"\nrole = \"hub\"\nmanager = \"systemd\"\nscope = \"{scope}\"\n\
         bin = \"/usr/local/bin/hephd\"\nrun-as = \"heph\"\n"
    );
    hephd::record::Record::parse(&text, Path::new("heph-hub.toml")).unwrap()
}

#[test]
fn property_lists_are_what_launchd_reads() {
    for role in ["hub", "spoke"] {
        for scope in ["user", "system"] {
            let words = ["--role", role, "--scope", scope, "--manager", "launchd"];
            let more = ["--backup-dir", "/srv/backups", "--env", "A=<b> & c"];
            let (_dir, files) = files(&[&words[..], &more].concat());
            assert_eq!(files.len(), 2);
            let check = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/plist-check");
            let output = Command::new(check).args(&files).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            // Keys that are none, and values of another kind, it does not read.
            for file in &files {
                let read: Result<launchd::Launchd, _> = plist::from_file(file);
                read.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            }
            let text = std::fs::read_to_string(&files[0]).unwrap();
            assert_eq!(text.contains("<key>UserName</key>"), scope == "system", "{text}");
        }
    }
}

/// Those of updates and of a status file too, which nothing turns on yet.
#[test]
fn every_timer_of_a_service_is_what_its_manager_reads() {
    use heph_ops::{host::Host, service::Service, unit};
    let mut service = Service::new(&Host::this().unwrap(), toml_record("system")).unwrap();
    let (ops, prom) = (Path::new("/bin/true"), Path::new("/var/lib/prom/heph hub.prom"));
    service.jobs = vec![
        unit::job::Job::update("heph-hub", Path::new("/opt/heph/hephd"), ops, 600).unwrap(),
        unit::job::Job::status_file("heph-hub", prom, ops, 25_200).unwrap(),
    ];
    service.argv[0] = "/bin/true".to_owned();
    let dir = tempfile::tempdir().unwrap();
    let written = |files: Vec<unit::UnitFile>| -> Vec<PathBuf> {
        files.iter().for_each(|file| std::fs::write(&file.path, &file.text).unwrap());
        files.into_iter().map(|file| file.path).collect()
    };
    let units = written(unit::systemd::files(&service, dir.path(), 252).unwrap());
    let output = analyze("system", &["verify", "--man=no"], &units);
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), units.len()), ("", 5));
    let timer = std::fs::read_to_string(dir.path().join("heph-hub-update.timer")).unwrap();
    assert!(timer.contains("OnCalendar=*-*-* *:00/10:00\nPersistent=yes"), "{timer}");
    let timer = std::fs::read_to_string(dir.path().join("heph-hub-status.timer")).unwrap();
    assert!(timer.contains("OnUnitActiveSec=25200"), "{timer}");
    let plists = written(unit::plist::files(&service, dir.path()).unwrap());
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/plist-check");
    let output = Command::new(check).args(&plists).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
