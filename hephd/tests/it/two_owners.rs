//! A hub with the data of two owners: each request acts for the owner of its
//! subject, on every route, and sees nothing of the other's.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use hephd::{
    clock::Entropy,
    hub::door::Door,
    id::OwnerId,
    oidc::{Subject, keys::Pace},
};
use serde_json::{Value, json};

use super::{
    mint::{Key, Mint},
    running::{DEADLINE, http},
    served::Served,
};

struct World {
    hub: Served,
    mint: Mint,
    second: OwnerId,
}

impl World {
    fn new() -> Self {
        let mint = Mint::new(Key::ec());
        let second = OwnerId::draw(&Entropy::System);
        let door = Door::new(mint.rules(), Pace::default()).unwrap();
        let bound = Subject { issuer: mint.issuer.clone(), sub: "bob".to_owned() };
        let owner = second.clone();
        let hub = Served::with(|hub| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let bind = hub.replica.write(move |store| store.bind(&owner, &bound));
            runtime.block_on(bind).unwrap();
            hub.behind(door)
        });
        let world = Self { hub, mint, second };
        // Ann claims what is the store's own.
        assert_eq!(world.get("ann", "/sync/heads").0, 200);
        world
    }

    fn get(&self, sub: &str, path: &str) -> (u16, Value) {
        self.ask(sub, "GET", path, "")
    }

    fn ask(&self, sub: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.mint.token(sub),
            body.len()
        );
        let (status, _, body) = http(self.hub.port, text.as_bytes());
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    fn call(&self, sub: &str, method: &str, params: &Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, answer) = self.ask(sub, "POST", "/rpc", &call.to_string());
        assert_eq!(status, 200, "{answer}");
        answer["result"].clone()
    }

    fn add(&self, sub: &str, title: &str) -> String {
        let set = json!({ "kind": "task", "title": title });
        let params = json!({ "changes": [{ "node": { "set": set } }] });
        self.call(sub, "node.write", &params)["ids"][0].as_str().unwrap().to_owned()
    }
}

#[test]
fn each_sees_their_own_and_nothing_of_the_others() {
    let world = World::new();
    let (anns, bobs) = (world.add("ann", "ann's"), world.add("bob", "bob's"));
    for (sub, own, theirs) in [("ann", &anns, &bobs), ("bob", &bobs, &anns)] {
        let all = world.call(sub, "node.list", &json!({ "kind": "task" })).to_string();
        assert!(all.contains(own) && !all.contains(theirs), "{sub}: {all}");
        for method in ["node.get", "history", "link.count"] {
            let found = world.call(sub, method, &json!({ "id": theirs }));
            assert!(!found.to_string().contains("task"), "{sub} {method}: {found}");
        }
        let (status, page) = world.get(sub, "/sync/pull?after=");
        assert_eq!(status, 200);
        let page = page.to_string();
        assert!(page.contains(own) && !page.contains(theirs), "{sub}: {page}");
    }
    let owner = |sub: &str| world.get(sub, "/sync/heads").1["owner_id"].clone();
    assert_eq!(owner("bob"), world.second.as_str());
    assert_ne!(owner("ann"), owner("bob"));
    let told = |sub: &str| world.call(sub, "sync.status", &json!({}))["owner_id"].clone();
    assert_eq!((told("ann"), told("bob")), (owner("ann"), owner("bob")));
}

/// Nobody writes for somebody else either: an op says whose it is.
#[test]
fn what_is_pushed_must_be_ones_own() {
    let world = World::new();
    world.add("ann", "ann's");
    let page = world.get("ann", "/sync/pull?after=").1;
    let push = json!({ "entries": page["entries"] }).to_string();
    let (status, answer) = world.ask("bob", "POST", "/sync/push", &push);
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("owner_mismatch")), "{answer}");
}

/// The hints of one are none of the other's, and each has them.
#[test]
fn each_hears_when_their_own_heads_move() {
    let world = World::new();
    let listen = |sub: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", world.hub.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let token = world.mint.token(sub);
        let ask = format!(
            "GET /sync/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        BufReader::new(stream)
    };
    let next = |stream: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        while !line.starts_with("data:") {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "the stream has ended");
        }
        line
    };
    let (mut ann, mut bob) = (listen("ann"), listen("bob"));
    let (anns, bobs) = (next(&mut ann), next(&mut bob));
    assert_ne!(anns, bobs);
    world.add("bob", "bob's");
    assert_ne!(next(&mut bob), bobs);
    ann.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut rest = String::new();
    while ann.read_line(&mut rest).is_ok_and(|read| read > 0) {}
    assert!(!rest.contains("data:"), "nothing of hers has moved: {rest}");
}

/// Who syncs with one owner's data is no news for the other.
#[test]
fn devices_of_one_are_not_shown_to_the_other() {
    let world = World::new();
    let ask = |token: &str, origin: &str| {
        let text = format!(
            "GET /sync/heads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Heph-Origin: {origin}\r\nHeph-Version: 1\r\nHeph-Time: 1\r\nConnection: close\r\n\r\n"
        );
        http(world.hub.port, text.as_bytes()).0
    };
    world.add("ann", "so that the hub has an origin of hers");
    let status = world.call("ann", "sync.status", &json!({}));
    let known = status["origin"].as_str().unwrap().to_owned();
    assert_eq!(ask(&world.mint.token("ann"), &known), 200);
    let shown = |sub: &str| world.call(sub, "sync.status", &json!({}))["devices"].to_string();
    assert!(shown("ann").contains(&known), "{}", shown("ann"));
    assert_eq!(shown("bob"), "[]");
}
