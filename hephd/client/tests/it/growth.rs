//! Lists neither end early nor fill the memory, however long they are.

use serde_json::{Value, json};

use crate::home::{Ended, HEPH, Home};

/// How many nodes one write makes.
const BATCH: usize = 2_000;

fn fill(home: &Home, from: usize, to: usize) {
    for start in (from..to).step_by(BATCH) {
        let task = |n: usize| {
            // Titles and days in an order of their own, many of them equal.
            let (title, due) = (n * 7919 % 1000, n % 3);
            let due =
                if due == 0 { Value::Null } else { json!(format!("2027-01-{:02}", n % 28 + 1)) };
            let set = json!({ "kind": if n.is_multiple_of(2) { "task" } else { "doc" },
                              "title": format!("title {title}"), "due": due, "done": n.is_multiple_of(10) });
            json!({ "node": { "id": format!("n{n:07}"), "set": set } })
        };
        home.write(&(start..to.min(start + BATCH)).map(task).collect());
    }
}

#[test]
fn a_list_of_many_pages_has_everything_once_and_in_order() {
    let home = Home::new();
    fill(&home, 0, 5_000);
    let all = home.json(&["task", "list", "--all"]);
    let tasks = all["data"].as_array().unwrap();
    let keys: Vec<_> = tasks
        .iter()
        .map(|task| {
            let due = task["fields"]["due"].as_str().unwrap_or("~").to_owned();
            let title = task["title"].as_str().unwrap().to_owned();
            (task["fields"]["done"] == true, due, title, task["id"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(keys.len(), 2_500);
    assert!(keys.is_sorted() && keys.windows(2).all(|w| w[0] != w[1]));
    let open = home.json(&["task", "list"]);
    assert_eq!(open["data"].as_array().map(Vec::len), Some(2_000));
    assert_eq!(home.heph(&["task", "list"]).out.lines().count(), 2_001);
    let docs = home.json(&["doc", "list"]);
    let docs: Vec<_> = docs["data"].as_array().unwrap().iter().collect();
    assert_eq!(docs.len(), 2_500);
    assert!(docs.is_sorted_by_key(|doc| (doc["title"].as_str(), doc["id"].as_str())));
    let page = home.call("node.list", &json!({ "kind": "doc", "limit": 1_000_000 }));
    assert_eq!(
        (page["nodes"].as_array().map(Vec::len), &page["more"]),
        (Some(1_000), &json!(true))
    );
}

#[test]
fn what_fails_half_way_is_still_one_document() {
    let mut home = Home::new();
    fill(&home, 0, 5_000);
    // More than a pipe holds: heph waits for a reader, and has more to ask for.
    let mut command = home.command(HEPH);
    command.args(["doc", "list", "--json"]).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut begun = [0; 1];
    std::io::Read::read_exact(&mut out, &mut begun).unwrap();
    home.stop();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    let code = child.wait().unwrap().code().unwrap();
    let ended = Ended { code, out: format!("{{{rest}"), err: String::new() };
    let document = ended.json();
    assert_eq!((code, &document["error"]["code"]), (3, &json!("not_ready")), "{document}");
    assert_eq!((&document["status"], &document["changed"]), (&json!("failed"), &json!(false)));
    let told = document["data"].as_array().unwrap().len();
    assert!((1..2_500).contains(&told), "what came before stands: {told}");
}

/// The most memory that a process had, in KiB; none of one that has ended.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a list to its end; the most memory that heph had before the last
/// piece of it, which a pipe holds.
fn heph_water(home: &Home, args: &[&str]) -> u64 {
    let mut command = home.command(HEPH);
    let mut child = command.args(args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut piece, mut water) = (vec![0; 1 << 14], 0);
    while std::io::Read::read(&mut out, &mut piece).unwrap() > 0 {
        water = high_water(child.id()).unwrap_or(water).max(water);
    }
    assert!(child.wait().unwrap().success(), "{args:?}");
    water
}

/// One node that is written so many times.
fn write_often(home: &Home, from: usize, to: usize) {
    for start in (from..to).step_by(BATCH) {
        let title = |n: usize| json!({ "node": { "id": "often", "set": { "kind": "doc", "title": format!("title {n}") } } });
        home.write(&(start..to.min(start + BATCH)).map(title).collect());
    }
}

/// All nodes of all kinds, which no index has in this order.
fn page_through_everything(home: &Home) {
    let mut asked = json!({});
    loop {
        let page = home.call("node.list", &asked);
        if page["more"] != true {
            return;
        }
        asked = json!({ "after": page["cursor"] });
    }
}

/// The same lists so many times; the most memory that heph had in each of them,
/// and at last the daemon.
fn water(home: &Home, rounds: usize) -> Vec<u64> {
    let lists: [&[&str]; 4] = [
        &["task", "list", "--all", "--json"],
        &["task", "list", "--all"],
        &["doc", "list"],
        &["history", "often", "--json"],
    ];
    page_through_everything(home);
    let most = |args: &&[&str]| (0..rounds).map(|_| heph_water(home, args)).max().unwrap();
    let mut water: Vec<u64> = lists.iter().map(most).collect();
    water.push(high_water(home.pid()).unwrap());
    water
}

/// What the page caches of the two readers hold when they are full, and a bit.
/// A list that is sorted whole is seen above it, by a little here and by much in
/// a deep run.
const CACHES_KIB: u64 = 5 * 1024;

/// Many times as many nodes, and no more memory on either side. The short lists
/// are asked for as often as the long ones are longer: the daemon answers as
/// many pages, and every thread of it has what it keeps for the next one.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_a_list() {
    let full = std::env::var_os("HEPH_FULL").is_some();
    let (few, times) = if full { (20_000, 10) } else { (4_000, 6) };
    let mut home = Home::new();
    let mut seen: Vec<Vec<u64>> = Vec::new();
    for (from, to, rounds) in [(0, few, times), (few, few * times, 1)] {
        fill(&home, from, to);
        write_often(&home, from, to);
        // The daemon's memory for writing is not the list's.
        home.stop();
        home.start(&["--mode", "local"]);
        seen.push(water(&home, rounds));
    }
    println!("KiB at {few} and {} nodes: {seen:?}", few * times);
    for (few, many) in seen[0].iter().zip(&seen[1]) {
        assert!(*many <= few + CACHES_KIB, "{few} KiB became {many} KiB: {seen:?}");
    }
}
