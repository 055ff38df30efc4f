//! A token does not leave in the clear for elsewhere, whatever a name says.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use serde_json::{Value, json};

use super::{World, log_in, sync_now, wait_for_status};
use crate::{
    mock::{
        gate::Gate,
        provider::{CLIENT, Provider},
    },
    own_network::{Inside, inside},
    running::Home,
    served::Served,
};

/// A name of this machine's own, for an address that is no loopback.
const NAME: &str = "hub.test";
const ADDRESS: [u8; 4] = [10, 213, 8, 1];

#[test]
fn a_name_counts_for_the_addresses_that_it_leads_to() {
    let test = "login::clear::a_name_counts_for_the_addresses_that_it_leads_to";
    let Inside::Here = inside(test) else { return };
    let (provider, hub) = (Provider::agreeing(), Served::plain());
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let gate = Gate::at(listener, hub.port, &provider);
    let world = World { home: Home::new(), provider, gate, _hub: hub };
    let file = world.token_file().display().to_string();
    let start = |host: &str, more: &[&str]| {
        let url = format!("http://{host}:{}", world.gate.port);
        let words = ["--mode", "local", "--hub-url", &url, "--token-file", &file];
        // A hub elsewhere may not name a provider on this machine; a person may.
        let issuer = world.provider.issuer.as_str();
        let provider = ["--oidc-issuer", issuer, "--oidc-client-id", CLIENT];
        world.home.start_in(&[&words[..], &provider, more].concat(), &[])
    };

    name(Ipv4Addr::LOCALHOST.into());
    let device = start(NAME, &[]);
    log_in(&mut device.client()).unwrap();
    sync_now(&device).unwrap();
    drop(device);

    // The same login, and the name has moved.
    name(ADDRESS.into());
    world.gate.seen().asked.clear();
    let device = start(NAME, &[]);
    let status = wait_for_status(&device, "the wall", |s| !s["last_error"].is_null());
    assert_eq!(status["last_error"]["code"], "config_invalid");
    let said = status["last_error"]["message"].as_str().unwrap();
    assert!(said.contains(NAME) && said.contains("10.213.8.1"), "{said}");
    let hint = status["last_error"]["hint"].as_str().unwrap();
    assert!(hint.contains("https") && hint.contains("--allow-plaintext"), "{hint}");
    let before = world.provider.script().asked.len();
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!((refused.code.as_str(), &refused.message as &str), ("config_invalid", said));
    assert_eq!(world.provider.script().asked.len(), before, "nobody had to type a code");
    let at = json!({ "hub_url": format!("http://10.213.8.1:{}", world.gate.port) });
    let refused = device.client().call::<Value>("auth.login", &at).unwrap_err();
    assert_eq!(refused.code.as_str(), "config_invalid");
    assert!(world.gate.seen().asked.iter().all(|(_, token)| token.is_none()));
    drop(device);

    let device = start(NAME, &["--allow-plaintext"]);
    sync_now(&device).unwrap();
}

/// From now on the name leads there.
fn name(ip: IpAddr) {
    let hosts = format!("127.0.0.1 localhost\n{ip} {NAME}\n");
    std::fs::write("/run/hosts", hosts).unwrap();
    let mut mount = std::process::Command::new("mount");
    let mounted = mount.args(["--bind", "/run/hosts", "/etc/hosts"]).status().unwrap();
    assert!(mounted.success());
}
