//! The catalogue of bad inputs, by number: command lines that hephd refuses.
//! Each gets two lines that name the thing, its exit code, and touches
//! nothing.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
};

use super::running::{Home, free_port, wait_for};

/// Runs words, and expects a refusal that names something.
#[track_caller]
fn refused(home: &Home, words: &[&str], code: i32, named: &[&str]) {
    let output = home.run(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert_eq!(said.lines().count(), 2, "{words:?}: {said}");
    assert!(!said.contains('\x1b'), "{words:?}: no colour without a terminal");
    for name in named {
        assert!(said.contains(name), "{words:?} should name {name}: {said}");
    }
}

#[test]
fn rows_01_to_04_words_that_make_no_sense() {
    let home = Home::new();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--mode", "local", "--hub-ulr", "x"], &["--hub-ulr", "--hub-url"]),
        (&["--mode", "cloud"], &["cloud", "server"]),
        (&["--mode", "local", "nonsense"], &["nonsense"]),
        (&["--mode", "server", "--http-addr", "127.0.0.1:0"], &["--http-addr", "1 to 65535"]),
        (&["--mode", "server", "--http-addr", "127.0.0.1:65536"], &["65536", "1 to 65535"]),
        (&["--mode", "server", "--http-addr", "127.0.0.1:abc"], &["abc", "1 to 65535"]),
        (&["--mode", "server", "--http-addr", "127.0.0.1"], &["127.0.0.1:8787"]),
        (&["--mode", "server", "--http-addr", "hub:8787"], &["hub:8787"]),
    ];
    for (words, named) in cases {
        refused(&home, words, 2, named);
    }
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn row_05_a_port_in_use_names_pid_and_program() {
    let home = Home::new();
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = squatter.local_addr().unwrap().to_string();
    let me = format!("process {} (", std::process::id());
    // Exit 1, so that a service manager tries again.
    refused(&home, &["--mode", "server", "--http-addr", &address], 1, &["[port_in_use]", &me]);
}

#[test]
fn rows_06_and_07_a_store_that_is_a_folder_or_has_none() {
    let home = Home::new();
    let folder = home.folder("folder").display().to_string();
    refused(&home, &["--mode", "local", "--db", &folder], 4, &[&folder, "is a folder"]);
    let nowhere = home.path("no/such/heph.db").display().to_string();
    refused(&home, &["--mode", "local", "--db", &nowhere], 4, &[&nowhere[..10], "mkdir -m 700"]);
    assert!(!home.path("no").exists(), "nothing was made");
}

#[test]
fn row_08_a_network_filesystem_is_refused() {
    let home = Home::new();
    let remote = Sshfs::mount(&home);
    let db = remote.mount.join("heph.db").display().to_string();
    refused(&home, &["--mode", "local", "--db", &db], 4, &[&db, "[network_filesystem]", "sshfs"]);
    assert_eq!(std::fs::read_dir(&remote.mount).unwrap().count(), 0, "nothing was made");

    // Whatever else is mounted on the machine, and under whatever name.
    let odd = home.folder("other").join(OsStr::from_bytes(b"\xff"));
    std::fs::create_dir(&odd).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--map-root-user", "--mount", "--propagation", "private", "/bin/sh", "-c"]);
    shell.arg("mount -t tmpfs none \"$0\" && exec \"$1\" --mode local --db \"$2\"");
    shell.arg(&odd).args([env!("CARGO_BIN_EXE_hephd"), &db]);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("[network_filesystem]"), "{said}");
}

#[test]
fn rows_09_to_12_16_and_17_flags_that_do_not_fit() {
    let home = Home::new();
    let server = |more: &[&'static str]| [&["--mode", "server"], more].concat();
    let local = |more: &[&'static str]| [&["--mode", "local"], more].concat();
    let cases: [(Vec<&str>, &str); 19] = [
        (server(&["--web-root", "/nowhere"]), "/nowhere"),
        (server(&["--web-root", "/proc"]), "index.html"),
        (server(&["--oidc-issuer", "https://id.example/"]), "--oidc-audience"),
        (server(&["--oidc-audience", "heph"]), "--oidc-issuer"),
        (server(&["--oidc-issuer", "https://id.example/", "--oidc-audience", ""]), "is empty"),
        (server(&["--oidc-issuer", "http://id.example/", "--oidc-audience", "h"]), "https"),
        (server(&["--http-addr", "0.0.0.0:8787"]), "--insecure-no-auth"),
        (local(&["--http-addr", "127.0.0.1:8787"]), "--http-addr"),
        (local(&["--web-root", "/"]), "--web-root"),
        (server(&["--hub-url", "http://h:8787"]), "--hub-url"),
        (local(&["--hub-url", "ftp://h"]), "ftp"),
        (local(&["--hub-url", "http://me:secret@h"]), "password"),
        (local(&["--hub-url", "http://h:8787/#part"]), "fragment"),
        (local(&["--hub-url", "http://h:8787/?a=b"]), "query"),
        (local(&["--hub-url", "h:8787"]), "h:8787"),
        (server(&["--sync-interval-secs", "5"]), "--sync-interval-secs"),
        (local(&["--sync-interval-secs", "0"]), "--sync-interval-secs"),
        (local(&["--sync-interval-secs", "-1"]), "--sync-interval-secs"),
        (local(&["--self-update-interval-secs", "9999999999"]), "--self-update-interval-secs"),
    ];
    for (words, named) in cases {
        refused(&home, &words, 2, &[named]);
    }
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0, "nothing was made");
}

/// Row 14 once more: what is refused is printed, but not a password in it.
#[test]
fn row_14_a_password_in_a_url_is_not_repeated() {
    let home = Home::new();
    let output = home.run(&["--mode", "local", "--hub-url", "http://me:geheim@h:8787"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && !said.contains("geheim"), "{said}");
}

#[test]
fn row_18_a_path_that_is_not_utf8_works() {
    let home = Home::new();
    let folder = home.folder("odd");
    let db = folder.join(OsStr::from_bytes(b"h\xff.db"));
    let mut child = home
        .command()
        .args(["--mode", "local", "--db"])
        .arg(&db)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the store", || db.exists() && folder.join("hephd.sock").exists());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn row_23_a_closed_stdout_is_silent() {
    let home = Home::new();
    let mut child =
        home.command().arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(matches!(output.status.code(), Some(0 | 141)), "{}", output.status);
}

#[test]
fn a_store_in_a_folder_that_everybody_may_write_to() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let open = home.folder("open");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let db = open.join("heph.db").display().to_string();
    refused(&home, &["--mode", "local", "--db", &db], 4, &["[insecure_permissions]"]);
}

#[test]
fn row_68_a_socket_path_that_is_too_long() {
    let home = Home::new();
    let long = format!("/tmp/{}/hephd.sock", "x".repeat(100));
    refused(&home, &["--mode", "local", "--socket", &long], 4, &["--socket", "104"]);
}

/// A folder of this machine, mounted by way of ssh.
struct Sshfs {
    sshd: std::process::Child,
    mount: std::path::PathBuf,
}

impl Sshfs {
    fn mount(home: &Home) -> Self {
        let (keys, remote, mount) =
            (home.folder("keys"), home.folder("remote"), home.folder("mount"));
        for name in ["host", "user"] {
            let done = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(keys.join(name))
                .status();
            assert!(done.unwrap().success());
        }
        std::fs::copy(keys.join("user.pub"), keys.join("authorized")).unwrap();
        let port = free_port();
        // From here on it is ended and unmounted, whatever fails.
        let made = Self { sshd: start_sshd(&keys, port), mount };
        wait_for("sshd", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let mut sshfs = Command::new("sshfs");
        sshfs.arg(format!("{}@127.0.0.1:{}", user.trim(), remote.display())).arg(&made.mount);
        sshfs.args(["-p", &port.to_string(), "-F", "/dev/null"]);
        for option in
            ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"]
        {
            sshfs.args(["-o", option]);
        }
        let key = format!("IdentityFile={}", keys.join("user").display());
        let output = sshfs.args(["-o", &key]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    }
}

fn start_sshd(keys: &Path, port: u16) -> std::process::Child {
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
         StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n\
         Subsystem sftp internal-sftp\n",
        keys.join("host").display(),
        keys.join("authorized").display()
    );
    std::fs::write(keys.join("config"), config).unwrap();
    // sshd wants this folder, and an absolute path of itself.
    let _ = std::fs::create_dir_all("/run/sshd");
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(keys.join("config")).stderr(Stdio::null());
    sshd.spawn().unwrap()
}

impl Drop for Sshfs {
    fn drop(&mut self) {
        let mut unmount = Command::new("fusermount3");
        let _ = unmount.arg("-uq").arg(&self.mount).status();
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}
