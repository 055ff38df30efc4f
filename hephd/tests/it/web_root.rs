//! The files of `--web-root`: what is shown, what never is, and the headers
//! that come with every answer.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use hephd::{
    config::Rules,
    hub::{door::Door, site::Site},
    oidc::keys::Pace,
};

use super::{
    running::{Home, free_port, get, http},
    served::Served,
};

const PAGE: &str = "<!doctype html><title>Hephaestus</title>";
const SECRET: &str = "nobody may read this";

/// One path a line, as it stands in a request. None of them is a file's.
const TRAVERSAL: &str = include_str!("corpus/traversal.txt");

/// A web app, a secret beside it, and links that lead there.
struct Web {
    hub: Served,
    root: PathBuf,
    _home: Home,
}

impl Web {
    fn new() -> Self {
        let home = Home::new();
        let root = home.path("web");
        fs::create_dir_all(root.join("assets")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::create_dir_all(home.path("outside")).unwrap();
        let files = [
            ("index.html", PAGE),
            ("assets/app.js", "console.log('app')"),
            ("assets/app.css", "body{}"),
            ("manifest.webmanifest", "{}"),
            ("naïve file.txt", "plain"),
            (".git/config", SECRET),
            (".env", SECRET),
            ("assets/.hidden", SECRET),
            ("../secret.txt", SECRET),
            ("../outside/secret.txt", SECRET),
        ];
        for (name, text) in files {
            fs::write(root.join(name), text).unwrap();
        }
        for (name, target) in [
            ("link-out", "../secret.txt"),
            ("link-out-folder", "../outside"),
            ("link-up", ".."),
            ("link-loop", "link-loop"),
            ("link-gone", "nowhere"),
            ("assets/link-out.js", "../../secret.txt"),
            ("link-in.js", "assets/app.js"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        let pipe = std::process::Command::new("mkfifo").arg(root.join("pipe")).status();
        assert!(pipe.unwrap().success());
        let site = Site::of(root.clone());
        let hub = Served::with(|mut hub| {
            hub.site = Some(site);
            hub
        });
        Self { hub, root, _home: home }
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        get(self.hub.port, path)
    }

    fn ask(&self, method: &str, path: &str, lines: &str) -> (u16, String, String) {
        ask(self.hub.port, method, path, lines)
    }
}

fn ask(port: u16, method: &str, path: &str, lines: &str) -> (u16, String, String) {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    http(port, request.as_bytes())
}

/// A header of an answer's head, which is in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

#[test]
fn files_are_shown_as_what_they_are() {
    let web = Web::new();
    let cases = [
        ("/", "text/html; charset=utf-8", PAGE),
        ("/index.html", "text/html; charset=utf-8", PAGE),
        ("/assets/app.js", "text/javascript; charset=utf-8", "console.log('app')"),
        ("/link-in.js", "text/javascript; charset=utf-8", "console.log('app')"),
        ("/assets/app.css", "text/css; charset=utf-8", "body{}"),
        ("/manifest.webmanifest", "application/manifest+json", "{}"),
        ("/na%C3%AFve%20file.txt", "text/plain; charset=utf-8", "plain"),
        ("/assets/app.js?v=7", "text/javascript; charset=utf-8", "console.log('app')"),
    ];
    for (path, kind, text) in cases {
        let (status, head, body) = web.get(path);
        assert_eq!((status, body.as_str()), (200, text), "{path}: {head}");
        assert_eq!(header(&head, "content-type"), Some(kind), "{path}");
        assert_eq!(header(&head, "cache-control"), Some("no-cache"), "{path}");
    }
    let (status, head, body) = web.ask("HEAD", "/", "");
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(header(&head, "content-length"), Some(PAGE.len().to_string().as_str()));
}

#[test]
fn a_file_that_is_known_is_not_sent_again() {
    let web = Web::new();
    let (_, head, _) = web.get("/assets/app.js");
    let tag = header(&head, "etag").unwrap().replace("w/", "W/");
    assert!(header(&head, "last-modified").is_some(), "{head}");
    let written = "Fri, 01 Jan 2100 00:00:00 GMT";
    for line in [
        format!("If-None-Match: {tag}\r\n"),
        format!("If-None-Match: \"other\", {tag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
        format!("If-Modified-Since: {written}\r\n"),
    ] {
        let (status, head, body) = web.ask("GET", "/assets/app.js", &line);
        assert_eq!((status, body.as_str()), (304, ""), "{line}");
        assert_eq!(header(&head, "etag"), Some(tag.to_ascii_lowercase().as_str()));
    }
    // The same second, the same length: only the tag can tell.
    fs::remove_file(web.root.join("assets/app.js")).unwrap();
    fs::write(web.root.join("assets/app.js"), "console.log('APP')").unwrap();
    let lines = format!("If-None-Match: {tag}\r\nIf-Modified-Since: {written}\r\n");
    let (status, _, body) = web.ask("GET", "/assets/app.js", &lines);
    assert_eq!((status, body.as_str()), (200, "console.log('APP')"));
    let (status, _, body) = web.ask("GET", "/assets/app.js", "Range: bytes=0-6\r\n");
    assert_eq!((status, body.as_str()), (206, "console"));
}

/// The catalogue's row 48: whatever the path, nothing outside is shown, and
/// neither is a page in its place.
#[test]
fn row_48_two_hundred_paths_that_lead_elsewhere() {
    let web = Web::new();
    assert!(TRAVERSAL.lines().count() >= 200, "{}", TRAVERSAL.lines().count());
    for path in TRAVERSAL.lines() {
        let (status, head, body) = web.get(path);
        assert!(matches!(status, 404 | 400), "{path}: {head}");
        assert!(!body.contains(SECRET) && !body.contains("root:"), "{path}: {body}");
        // A page is at most the index, and never for a path of a bad form.
        let (status, head, body) = web.ask("GET", path, BROWSER);
        assert!(matches!(status, 404 | 400) || body == PAGE, "{path}: {head} {body}");
        let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
        let climbs = decoded.replace("%5c", "\\").split(['/', '\\']).any(|name| name == "..");
        assert!(!climbs || status != 200, "{path} was shown a page");
    }
}

/// Links are followed when they are asked for, not when the hub starts.
#[test]
fn a_link_that_comes_later_leads_nowhere_either() {
    let web = Web::new();
    assert_eq!(web.get("/index.html").2, PAGE);
    fs::remove_file(web.root.join("index.html")).unwrap();
    symlink("../secret.txt", web.root.join("index.html")).unwrap();
    for path in ["/", "/index.html", "/some/page"] {
        let (status, _, body) = web.ask("GET", path, BROWSER);
        assert_eq!(status, 404, "{path}: {body}");
    }
    fs::remove_dir_all(web.root.join("assets")).unwrap();
    symlink("../outside", web.root.join("assets")).unwrap();
    assert_eq!(web.get("/assets/secret.txt").0, 404);
    // The folder itself may be a link: that is how an update swaps it.
    let swapped = web.root.with_file_name("next");
    fs::rename(&web.root, &swapped).unwrap();
    symlink(Path::new("next"), &web.root).unwrap();
    assert_eq!(web.get("/manifest.webmanifest").2, "{}");
}

#[test]
fn a_page_of_the_app_is_the_index_for_browsers_only() {
    let web = Web::new();
    for path in ["/tasks", "/tasks/", "/tasks/42?x=y", "/assets/", "/deep/er/page"] {
        let (status, head, body) = web.ask("GET", path, BROWSER);
        assert_eq!((status, body.as_str()), (200, PAGE), "{path}: {head}");
        assert_eq!(web.ask("HEAD", path, BROWSER).0, 200, "{path}");
        assert_eq!(web.ask("GET", path, "Accept: application/json\r\n").0, 404, "{path}");
        assert_eq!(web.ask("GET", path, "Accept: */*\r\n").0, 404, "{path}");
        assert_eq!(web.get(path).0, 404, "{path}");
        assert_eq!(web.ask("POST", path, &format!("{BROWSER}Content-Length: 0\r\n")).0, 404);
    }
    let (status, head, _) = web.ask("POST", "/index.html", "Content-Length: 0\r\n");
    assert_eq!((status, header(&head, "allow")), (405, Some("get, head")));
}

/// An app that asks for data must not get a page.
#[test]
fn the_hubs_own_paths_are_never_a_page() {
    let web = Web::new();
    for path in [
        "/rpc/x",
        "/rpc/",
        "/sync",
        "/sync/",
        "/sync/nothing",
        "/config/x",
        "/metrics/x",
        "/healthz/",
        "/readyz/x",
        "/%72pc",
        "/sy%6ec/heads",
        "/sync/heads/",
    ] {
        let (status, head, body) = web.ask("GET", path, BROWSER);
        assert_eq!(status, 404, "{path}: {head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"]["code"], "not_found", "{path}");
    }
    assert_eq!(web.ask("GET", "/rpc", BROWSER).0, 405);
}

const HEADERS: [&str; 9] = [
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cache-control",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "vary",
];

fn shown(head: &str) -> Vec<String> {
    let named = |name: &&str| header(head, name).map(|value| format!("{name}: {value}"));
    HEADERS.iter().filter_map(named).collect()
}

/// What replicas exchange is no page, and has no headers that only pages need.
fn fitting<'a>(path: &str, wanted: &[&'a str]) -> Vec<&'a str> {
    let pages = ["content-security-policy", "referrer-policy"];
    let of_pages = |line: &&str| pages.iter().any(|name| line.starts_with(name));
    let fits = |line: &&&str| !path.starts_with("/sync/") || !of_pages(line);
    wanted.iter().filter(fits).copied().collect()
}

/// Every answer, whatever became of the request.
const ANSWERS: [(&str, &str); 7] = [
    ("GET", "/"),
    ("GET", "/sync/heads"),
    ("GET", "/nothing"),
    ("GET", "/../x"),
    ("POST", "/sync/heads"),
    ("OPTIONS", "/rpc"),
    ("GET", "/sync/pull?after=!"),
];

#[test]
fn without_authentication_no_page_elsewhere_is_told_anything() {
    let web = Web::new();
    for (method, path) in ANSWERS {
        let (_, head, _) = web.ask(method, path, "Content-Length: 0\r\n");
        let caching = if path == "/" { "no-cache" } else { "no-store" };
        let wanted = [
            "content-security-policy: default-src 'self'; script-src 'self'; connect-src 'self'; \
             frame-ancestors 'none'; object-src 'none'; base-uri 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            &format!("cache-control: {caching}"),
        ];
        let mut seen = shown(&head);
        seen.retain(|line| !line.starts_with("vary"));
        assert_eq!(seen, fitting(path, &wanted), "{method} {path}");
    }
    for path in ["/", "/sync/heads", "/rpc"] {
        for method in ["GET", "OPTIONS"] {
            let (status, head, _) = web.ask(method, path, "Origin: https://evil.example\r\n");
            assert_eq!(status, 403, "{method} {path}");
            assert!(!head.contains("access-control"), "{head}");
        }
    }
}

/// A token is what counts then, and a browser adds none by itself.
#[test]
fn with_authentication_any_page_may_ask_and_none_is_trusted() {
    let issuer = "https://id.example:8443/o/heph/".to_owned();
    let door = Door::new(Rules { issuer, audience: "heph".to_owned() }, Pace::default()).unwrap();
    let home = Home::new();
    fs::create_dir_all(home.path("web")).unwrap();
    fs::write(home.path("web/index.html"), PAGE).unwrap();
    let site = Site::of(home.path("web"));
    let hub = Served::with(|hub| {
        let mut hub = hub.behind(door);
        hub.site = Some(site);
        hub
    });
    for (method, path) in ANSWERS {
        let lines = "Content-Length: 0\r\nOrigin: https://app.example\r\n";
        let (_, head, _) = ask(hub.port, method, path, lines);
        let caching = if path == "/" { "no-cache" } else { "no-store" };
        let wanted = [
            "content-security-policy: default-src 'self'; script-src 'self'; \
             connect-src 'self' https://id.example:8443; \
             frame-ancestors 'none'; object-src 'none'; base-uri 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            &format!("cache-control: {caching}"),
            "access-control-allow-origin: *",
            "access-control-allow-methods: get, head, post, options",
            "access-control-allow-headers: authorization, content-type, if-none-match",
        ];
        let mut seen = shown(&head);
        seen.retain(|line| !line.starts_with("vary"));
        assert_eq!(seen, fitting(path, &wanted), "{method} {path}");
    }
    // Nor does the Host matter any more: a token for this hub is proof enough.
    let request = "GET /config HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n";
    assert_eq!(http(hub.port, request.as_bytes()).0, 200);
}

/// The flag, in the real program.
#[test]
fn hephd_serves_the_folder_it_is_given() {
    let home = Home::new();
    fs::create_dir_all(home.path("web")).unwrap();
    fs::write(home.path("web/index.html"), PAGE).unwrap();
    let port = free_port();
    let (db, web) = (home.folder("hub").join("heph.db"), home.path("web"));
    let address = format!("127.0.0.1:{port}");
    let words = [
        "--mode",
        "server",
        "--db",
        db.to_str().unwrap(),
        "--http-addr",
        &address,
        "--web-root",
        web.to_str().unwrap(),
    ];
    let hub = home.start(&words);
    assert_eq!(get(port, "/").2, PAGE);
    let log = fs::read_to_string(home.path("log")).unwrap();
    assert!(!log.contains("web-root"), "{log}");
    assert_eq!(hub.stop(), 0);
}
