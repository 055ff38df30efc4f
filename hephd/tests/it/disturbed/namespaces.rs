//! A hub and a device in two networks of their own, and what happens on the
//! cable between them. Only root can lay one; for others these tests run as
//! root of namespaces of their own.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use hephd::rpc::client::Client;
use serde_json::Value;

use super::{
    daemon::{Daemon, equal_in_two_cycles},
    ledger::Ledger,
};
use crate::{
    own_network::{Inside, inside},
    running::Home,
    world::full,
};

const HUB: &str = "10.213.7.1";
const DEVICE: &str = "10.213.7.2";

/// The kernel sends what was lost again after 0.2, 0.4, 0.8 … seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Two network namespaces with a cable between them.
struct Cable {
    hub: String,
    device: String,
}

#[track_caller]
fn run(words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cable {
    /// None where the test has nothing left to do here: see [`inside`].
    fn lay(test: &str, name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root()
            && let Inside::Ran = inside(&format!("disturbed::namespaces::{test}"))
        {
            return None;
        }
        let unique = std::process::id();
        let namespace = |end: &str| format!("heph-{name}-{unique}-{end}");
        let cable = Self { hub: namespace("hub"), device: namespace("device") };
        let (hub, device) = (&cable.hub, &cable.device);
        run(&format!("ip netns add {hub}"));
        run(&format!("ip netns add {device}"));
        run(&format!("ip -n {hub} link add cable type veth peer name cable netns {device}"));
        for (end, address) in [(hub, HUB), (device, DEVICE)] {
            run(&format!("ip -n {end} address add {address}/24 dev cable"));
            run(&format!("ip -n {end} link set lo up"));
            run(&format!("ip -n {end} link set cable up"));
        }
        Some(cable)
    }

    /// A verdict on everything that comes in at both ends.
    fn all_that_comes(&self, verdict: &str) {
        self.what_comes_to(&[&self.hub, &self.device], verdict);
    }

    fn what_comes_to(&self, ends: &[&str], verdict: &str) {
        for end in ends {
            let rules = format!(
                "table inet harm {{\nchain come {{\ntype filter hook input priority 0\n\
                 iifname \"cable\" {verdict}\n}}\n}}"
            );
            let mut nft = Command::new("ip");
            nft.args(["netns", "exec", *end, "nft", &rules]);
            let output = nft.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// How many packets a rule with a counter has met, at both ends.
    fn harmed(&self) -> u64 {
        let at = |end: &String| {
            let mut nft = Command::new("ip");
            nft.args(["netns", "exec", end, "nft", "list", "ruleset"]);
            let said = String::from_utf8(nft.output().unwrap().stdout).unwrap();
            let (_, counted) = said.split_once("counter packets ").unwrap();
            counted.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        at(&self.hub) + at(&self.device)
    }

    fn well_again(&self) {
        for end in [&self.hub, &self.device] {
            run(&format!("ip netns exec {end} nft flush ruleset"));
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in [&self.hub, &self.device] {
            let _ = Command::new("ip").args(["netns", "del", end]).status();
        }
    }
}

struct Pair {
    hub: Daemon,
    device: Daemon,
    ledger: Ledger,
    cable: Cable,
    _home: Home,
}

/// A hub and a device that are equal. The device tries once a second.
fn pair(test: &str, name: &str) -> Option<Pair> {
    let cable = Cable::lay(test, name)?;
    let home = Home::new();
    let (address, url) = (format!("{HUB}:8787"), format!("http://{HUB}:8787"));
    let words = ["--mode", "server", "--http-addr", &address, "--insecure-no-auth"];
    let mut hub = Daemon::new(&home, "hub", &words);
    hub.wrapped_in = ["ip", "netns", "exec", &cable.hub].map(str::to_owned).to_vec();
    hub.start();
    let words = ["--mode", "local", "--hub-url", &url, "--sync-interval-secs", "1"];
    let mut device = Daemon::new(&home, "device", &words);
    device.wrapped_in = ["ip", "netns", "exec", &cable.device].map(str::to_owned).to_vec();
    device.start();
    device.sync().unwrap();
    let pair = Pair { hub, device, ledger: Ledger::default(), cable, _home: home };
    pair.write("before");
    equal_in_two_cycles(&pair.device, &pair.hub);
    Some(pair)
}

impl Pair {
    fn write(&self, when: &str) {
        for n in 0..5 {
            assert!(self.ledger.add_task(&self.hub, &format!("hub, {when}, {n}")));
            assert!(self.ledger.add_task(&self.device, &format!("device, {when}, {n}")));
        }
    }

    fn equal(&self) -> bool {
        let (device, hub) = (self.device.status(), self.hub.status());
        device["heads"] == hub["heads"] && device["equal"] == true
    }

    /// Waits, and asks for nothing: it has to happen by itself.
    #[track_caller]
    fn becomes_equal(&self, patience: Duration) {
        let begun = Instant::now();
        while !self.equal() {
            assert!(begun.elapsed() < patience, "not equal: {}", self.device.status());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.ledger.missing_in(&self.hub.tasks()), Vec::<String>::new());
        assert_eq!(self.ledger.missing_in(&self.device.tasks()), Vec::<String>::new());
    }

    #[track_caller]
    fn hears_of_trouble(&self) {
        let begun = Instant::now();
        while self.device.status()["last_error"]["code"] != "hub_unreachable" {
            assert!(begun.elapsed() < PATIENCE, "no trouble: {}", self.device.status());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!self.equal());
    }
}

#[test]
fn every_third_packet_is_lost_and_both_become_equal_all_the_same() {
    let Some(pair) = pair("every_third_packet_is_lost_and_both_become_equal_all_the_same", "loss")
    else {
        return;
    };
    pair.cable.all_that_comes("numgen random mod 100 < 30 counter drop");
    while pair.cable.harmed() < full(30, 1_000) {
        pair.write("while packets are lost");
        pair.becomes_equal(PATIENCE);
    }
    pair.cable.well_again();
    equal_in_two_cycles(&pair.device, &pair.hub);
}

#[test]
fn a_cable_that_is_pulled_and_put_back() {
    let Some(pair) = pair("a_cable_that_is_pulled_and_put_back", "pull") else { return };
    run(&format!("ip -n {} link set cable down", pair.cable.hub));
    pair.write("while apart");
    assert!(!pair.equal());
    // Told after half a minute at most: until then nothing may be wrong.
    if full(0, 1) == 1 {
        pair.hears_of_trouble();
    }
    run(&format!("ip -n {} link set cable up", pair.cable.hub));
    pair.becomes_equal(PATIENCE);
}

#[test]
fn a_firewall_that_resets_every_connection() {
    let Some(pair) = pair("a_firewall_that_resets_every_connection", "reset") else { return };
    pair.cable.what_comes_to(&[&pair.cable.hub], "meta l4proto tcp reject with tcp reset");
    pair.write("while it resets");
    pair.hears_of_trouble();
    pair.cable.well_again();
    pair.becomes_equal(PATIENCE);
}

/// What swallows everything is the worst: nobody ever hears of it.
#[test]
fn a_black_hole_holds_nobody_for_longer_than_the_deadline() {
    let Some(mut pair) = pair("a_black_hole_holds_nobody_for_longer_than_the_deadline", "hole")
    else {
        return;
    };
    // A connection that was there before has a longer deadline than a new
    // one, so that takes its time.
    let fresh = full(1, 0) == 1;
    if fresh {
        pair.device.kill();
    }
    pair.cable.all_that_comes("drop");
    if fresh {
        pair.device.start();
    }
    pair.write("in the dark");
    let begun = Instant::now();
    let mut patient = Client::connect(&pair.device.path("hephd.sock"), PATIENCE).unwrap();
    let error = patient.call::<Value>("sync.now", &Value::Null).unwrap_err();
    assert_eq!(error.code.as_str(), "hub_unreachable", "{error}");
    // Up to two cycles: one under way, and the one that was asked for.
    let most = if fresh { 20 } else { 2 * 60 + 10 };
    assert!(begun.elapsed() < Duration::from_secs(most), "{:?}", begun.elapsed());
    pair.cable.well_again();
    pair.becomes_equal(PATIENCE);
}
