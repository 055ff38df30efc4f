//! What the documentation shows is what happens: each block marked as a
//! transcript is typed, line by line, and what comes back is held against what
//! stands there. `…` stands for what differs each time, and alone for any lines.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    identity::{Provider, approve},
    sandbox::{Sandbox, add_task, free_port, program},
};

/// A line that is typed, and what is shown then.
struct Step {
    typed: String,
    shown: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let blocks = text.split("```transcript\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(typed) => steps.push(Step { typed: typed.to_owned(), shown: Vec::new() }),
            None => steps.last_mut().expect("a line is typed first").shown.push(line.to_owned()),
        }
    }
    steps
}

/// What the page's names stand for in this run.
struct Names {
    pairs: Vec<(&'static str, String)>,
}

impl Names {
    fn real(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (name, real)| text.replace(name, real))
    }

    fn shown(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (name, real)| text.replace(real, name))
    }
}

/// A line against one with gaps: what is between them must be there, in order.
fn fits(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (n, part) in parts.iter().enumerate() {
        let last = n + 1 == parts.len();
        let at = if last && !part.is_empty() { rest.rfind(part) } else { rest.find(part) };
        let Some(at) = at.filter(|at| *at > 0 || part.is_empty()) else { return false };
        rest = if last && part.is_empty() { "" } else { &rest[at + part.len()..] };
    }
    rest.is_empty()
}

/// All lines against all that stand on the page.
fn all_fit(lines: &[String], patterns: &[String]) -> bool {
    match (lines, patterns) {
        ([], []) => true,
        (_, [any, rest @ ..]) if any == "…" => {
            (0..=lines.len()).any(|skipped| all_fit(&lines[skipped..], rest))
        }
        ([line, lines @ ..], [pattern, patterns @ ..]) => {
            fits(line, pattern) && all_fit(lines, patterns)
        }
        _ => false,
    }
}

/// Types a line; a person answers what it asks for on the way.
fn typed(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let path = program("heph").parent().unwrap().display().to_string();
    let before = std::env::var("PATH").unwrap();
    let mut command: Command = sandbox.command("bash");
    command.args(["-c", &format!("{line} 2>&1")]).env("PATH", format!("{path}:{before}"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some((uri, code)) =
            line.trim().strip_prefix("sign in ").and_then(|line| line.split_once("code"))
        {
            approve(uri.trim(), code.trim(), "alice");
        }
        shown.push(line);
    }
    child.wait().unwrap();
    shown
}

#[test]
fn the_way_to_a_login_is_as_the_page_shows_it() {
    let (sandbox, provider) = (Sandbox::new(), Provider::start(&[]));
    let names = Names {
        pairs: vec![
            ("https://id.example", provider.issuer.clone()),
            ("127.0.0.1:8787", format!("127.0.0.1:{}", free_port())),
            ("~", sandbox.home().display().to_string()),
        ],
    };
    type_all(&sandbox, "docs/how-to/log-in.md", &names);
}

/// Types all of a page's transcripts, and holds what comes against it.
fn type_all(sandbox: &Sandbox, page: &str, names: &Names) {
    let steps = steps(page);
    assert!(steps.len() >= 3);
    for Step { typed: line, shown } in steps {
        let mut real = names.real(&line);
        if line.contains("--role hub") {
            // The page's port is the usual one, which this machine may use.
            real.push_str(&names.real(" --http-addr 127.0.0.1:8787"));
        }
        let seen: Vec<String> = typed(sandbox, &real).iter().map(|l| names.shown(l)).collect();
        assert!(
            all_fit(&seen, &shown),
            "$ {line}\nthe page shows:\n{}\nthis came:\n{}",
            shown.join("\n"),
            seen.join("\n")
        );
    }
}

#[test]
fn a_new_device_joins_as_the_page_shows_it() {
    let (sandbox, provider, port) = (Sandbox::new(), Provider::start(&[]), free_port());
    let (db, address) = (sandbox.path("hub.db").display().to_string(), format!("127.0.0.1:{port}"));
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let hub = ["--role", "hub", "--db", &db, "--http-addr", &address];
    let oidc = ["--oidc-issuer", &provider.issuer, "--oidc-audience", "heph"];
    sandbox.install(&[hub.as_slice(), &oidc].concat()).expect(0);
    add_task(&mut sandbox.connect("hephd.sock"), "from the first device");
    let names = Names {
        pairs: vec![
            ("https://id.example", provider.issuer.clone()),
            ("hub:8787", address),
            ("~", sandbox.home().display().to_string()),
        ],
    };
    type_all(&sandbox, "docs/how-to/add-a-device.md", &names);
}

#[test]
fn the_way_from_a_backup_back_is_as_the_page_shows_it() {
    let sandbox = Sandbox::new();
    let db = sandbox.device_db().display().to_string();
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let address = format!("127.0.0.1:{}", free_port());
    sandbox.install(&["--role", "hub", "--db", &db, "--http-addr", &address]).expect(0);
    add_task(&mut sandbox.connect(".local/share/heph/hephd.sock"), "kept");
    let names = Names { pairs: vec![("~", sandbox.home().display().to_string())] };
    type_all(&sandbox, "docs/how-to/back-up.md", &names);
}

#[test]
fn a_line_fits_only_what_it_may() {
    assert!(fits("ready in 0.3 s (pid 7)", "ready in … s (pid …)"));
    assert!(fits("for 4m 59s, then renewed", "for …, then renewed"));
    for line in ["ready in s (pid 7)", "ready in 0.3 s (pid )", "ready in 0.3 s (pid 7) and more"] {
        assert!(!fits(line, "ready in … s (pid …)"), "{line}");
    }
    assert!(!fits("other", "word") && fits("word", "word"));
}
