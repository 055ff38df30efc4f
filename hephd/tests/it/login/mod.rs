//! A device logs in, stays logged in, and says so when it is not any more.
//! Real daemons, a real hub behind a door, and a provider that does as it is
//! told.

mod callers;
mod clear;
mod fresh;
mod life;
mod real;
mod vaults;

use std::path::PathBuf;

use hephd::{error::Error, rpc::client::Client};
use serde_json::{Value, json};

use super::{
    mock::{gate::Gate, provider::Provider},
    running::{DEADLINE, Home, Running, wait_for},
    served::Served,
};

/// A device, its hub behind a door, and who says who is who.
pub struct World {
    pub home: Home,
    pub provider: Provider,
    pub gate: Gate,
    _hub: Served,
}

impl World {
    pub fn new() -> Self {
        Self::with(Provider::agreeing())
    }

    pub fn with(provider: Provider) -> Self {
        let hub = Served::plain();
        let gate = Gate::before(hub.port, &provider);
        Self { home: Home::new(), provider, gate, _hub: hub }
    }

    pub fn token_file(&self) -> PathBuf {
        self.home.path("tokens")
    }

    /// A device that keeps its token in a file, and syncs seldom by itself.
    pub fn device(&self) -> Running {
        let (url, file) = (self.gate.url(), self.token_file());
        let file = file.to_str().unwrap();
        let flags = ["--mode", "local", "--hub-url", &url, "--token-file", file];
        self.home.start(&[&flags[..], &["--sync-interval-secs", "86400"]].concat())
    }

    /// A device that has logged in.
    pub fn logged_in(&self) -> Running {
        let device = self.device();
        log_in(&mut device.client()).unwrap();
        device
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path("log")).unwrap()
    }

    /// The device's entry in the token file.
    pub fn entry(&self) -> Value {
        let text = std::fs::read_to_string(self.token_file()).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        all[format!("{}/", self.gate.url())].clone()
    }
}

pub fn log_in(client: &mut Client) -> Result<Value, Error> {
    log_in_with(client, &json!({})).map(|(_, result)| result)
}

/// Logs in; what was told meanwhile.
pub fn log_in_with(client: &mut Client, wanted: &Value) -> Result<(Vec<Value>, Value), Error> {
    let mut events = Vec::new();
    let result = client.stream("auth.login", wanted, |event| {
        events.push(event.clone());
        Ok(DEADLINE)
    });
    result.map(|result| (events, result))
}

pub fn call(device: &Running, method: &str) -> Value {
    device.client().call(method, &json!({})).unwrap()
}

pub fn sync_now(device: &Running) -> Result<Value, Error> {
    device.client().call("sync.now", &json!({}))
}

/// Waits until sync stands so.
#[track_caller]
pub fn wait_for_status(device: &Running, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    wait_for(what, || {
        last = call(device, "sync.status");
        is_so(&last)
    });
    last
}

/// Nothing of this may be anywhere but in the vault.
#[track_caller]
pub fn no_canary(what: &str, text: &str) {
    assert!(!text.contains("canary"), "{what} shows a token: {text}");
}
