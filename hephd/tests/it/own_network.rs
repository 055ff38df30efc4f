//! A network that a test may do with as it likes, also where its user may do
//! nothing to the machine's: the test is run once more, by itself, as root of
//! namespaces of its own.

use std::{
    net::{IpAddr, UdpSocket},
    process::Command,
};

/// Said to the second run.
const INSIDE: &str = "HEPH_TEST_OWN_NETWORK";

/// One interface that leads nowhere, with an address that is not loopback.
const LAY: &str = "mount -t tmpfs none /run && ip link set lo up && \
    ip link add heph0 type veth peer name heph1 && \
    ip address add 10.213.8.1/24 dev heph0 && ip link set heph0 up && \
    ip link set heph1 up && ip route add default dev heph0 && \
    exec \"$0\" --exact \"$1\" --nocapture";

/// What became of a test that is run in a network of its own.
pub enum Inside {
    /// This is that run: go on.
    Here,
    /// It is over.
    Ran,
}

/// Runs the test of that name once more, in a network of its own. Where the
/// system allows nobody to have one the test says that it is skipped.
#[track_caller]
pub fn inside(test: &str) -> Inside {
    if std::env::var_os(INSIDE).is_some() {
        return Inside::Here;
    }
    if !allowed() {
        eprintln!("skipped: {test}: this user may not have a network of its own");
        return Inside::Ran;
    }
    let mut again = unshare(LAY);
    again.arg(std::env::current_exe().unwrap()).arg(test).env(INSIDE, "yes");
    let output = again.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    Inside::Ran
}

/// An address of this machine that is not loopback; where it has none, one of a
/// network of the test's own. None where the test has nothing left to do.
#[track_caller]
pub fn own_address(test: &str) -> Option<IpAddr> {
    if let Some(ip) = address() {
        return Some(ip);
    }
    match inside(test) {
        Inside::Here => panic!("no address in a network of its own"),
        Inside::Ran => None,
    }
}

/// Nothing is sent.
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn allowed() -> bool {
    unshare("true").output().is_ok_and(|output| output.status.success())
}

fn unshare(script: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--net", "--mount", "--propagation", "private"]);
    unshare.args(["/bin/sh", "-c", script]);
    unshare.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    unshare
}
