//! What was acknowledged, written down outside of hephd. Nothing is ever
//! taken out of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::daemon::Daemon;

/// Shared by those who write and whoever checks in the end.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, String>>>);

impl Ledger {
    /// A thing by its id, as it was sent.
    pub fn acknowledged(&self, id: String, sent: String) {
        self.0.lock().unwrap().insert(id, sent);
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// What is not there, or is there as something else.
    pub fn missing_in(&self, there: &BTreeMap<String, String>) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|(id, sent)| there.get(*id) != Some(sent)).map(|e| e.0.clone()).collect()
    }

    /// Adds a task at a daemon's socket, and notes it once it is acknowledged.
    pub fn add_task(&self, daemon: &Daemon, title: &str) -> bool {
        let socket = daemon.path("hephd.sock");
        let client = hephd::rpc::client::Client::connect(&socket, crate::running::DEADLINE);
        let written = client.and_then(|mut client| crate::running::add_task(&mut client, title));
        let Ok(written) = written else { return false };
        let id = written["ids"][0].as_str().unwrap().to_owned();
        self.acknowledged(id, title.to_owned());
        true
    }
}
