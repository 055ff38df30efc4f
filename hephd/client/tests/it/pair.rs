//! A hub and two devices that sync with it: what they write while the hub is
//! away, each writes without knowing of the other.

use std::net::TcpListener;

use hephd::id::EntityId;
use serde_json::{Value, json};

use crate::home::Home;

/// `laptop`, `phone`, and the hub between them.
pub struct Pair {
    hub: Home,
    flags: Vec<String>,
    pub laptop: Home,
    pub phone: Home,
}

impl Pair {
    /// All three are equal, and the devices have their names.
    pub fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let flags = ["--mode", "server", "--http-addr", &url["http://".len()..]];
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (mut hub, device) = (Home::empty(), || Home::with_flags(&["--hub-url", &url]));
        hub.start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        let pair = Self { hub, flags, laptop: device(), phone: device() };
        pair.meet();
        for (home, name) in [(&pair.laptop, "laptop"), (&pair.phone, "phone")] {
            home.json(&["task", "add", "a first op"]);
            let origin = home.json(&["sync", "--status"])["data"]["origin"].clone();
            let id = EntityId::of_device(&origin.as_str().unwrap().parse().unwrap());
            home.write(&json!([{ "node": { "id": id, "set": { "title": name } } }]));
        }
        pair.meet();
        pair
    }

    /// Both know all that both know.
    #[track_caller]
    pub fn meet(&self) {
        for home in [&self.laptop, &self.phone, &self.laptop] {
            home.json(&["sync"]);
        }
    }

    /// Each device does something without knowing of the other; then they
    /// meet.
    pub fn apart(&mut self, laptop: impl FnOnce(&Home), phone: impl FnOnce(&Home)) {
        self.hub.stop();
        laptop(&self.laptop);
        phone(&self.phone);
        self.hub.start(&self.flags.iter().map(String::as_str).collect::<Vec<_>>());
        self.meet();
    }

    /// What both say to a command.
    #[track_caller]
    pub fn both(&self, args: &[&str]) -> Value {
        let said = self.laptop.json(args);
        assert_eq!(said, self.phone.json(args), "the two agree on {args:?}");
        said
    }
}
