//! The web app: the files of `--web-root`, and nothing beside them.
//!
//! A path is taken apart before the disk is asked, and what the disk gives is
//! looked at again: the file must lie in the folder after every link has been
//! followed, both as they are at that moment.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use tower_http::services::ServeFile;

use super::{Hub, reply};

/// Paths that are the hub's own: no page is shown in their place.
const OWN: [&str; 6] = ["config", "healthz", "metrics", "readyz", "rpc", "sync"];

const INDEX: &str = "index.html";

/// A folder of files.
#[derive(Debug, Clone)]
pub struct Site {
    root: PathBuf,
}

/// A file that may be shown.
struct Found {
    path: PathBuf,
    /// Changes when the file does.
    tag: String,
}

impl Site {
    /// The files below a folder.
    #[must_use]
    pub fn of(root: PathBuf) -> Self {
        Self { root }
    }

    async fn answer(&self, request: Request) -> Response {
        let Some(names) = names(request.uri().path()) else { return reply::nothing_here() };
        if names.first().is_some_and(|first| OWN.contains(&first.as_str())) {
            return reply::nothing_here();
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let page = reads && wants_page(request.headers());
        let root = self.root.clone();
        let found = tokio::task::spawn_blocking(move || {
            find(&root, &names).or_else(|| find(&root, &[INDEX.to_owned()]).filter(|_| page))
        });
        match found.await.ok().flatten() {
            Some(_) if !reads => reply::only_to_read(),
            Some(found) => show(&found, request).await,
            None => reply::nothing_here(),
        }
    }
}

/// The names in a path; none where one of them could lead elsewhere or is
/// not for showing.
fn names(path: &str) -> Option<Vec<String>> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let path = path.strip_prefix('/')?;
    if path.is_empty() {
        return Some(vec![INDEX.to_owned()]);
    }
    let names = path.strip_suffix('/').unwrap_or(path).split('/').map(|name| {
        let hidden = name.starts_with('.') && name != ".well-known";
        let odd = name.is_empty() || name.contains(|c: char| c.is_control() || c == '\\');
        (!hidden && !odd).then(|| name.to_owned())
    });
    // With a slash behind it a file's name is not the file's.
    names.chain(path.ends_with('/').then(|| Some(String::new()))).collect()
}

fn find(root: &Path, names: &[String]) -> Option<Found> {
    let root = root.canonicalize().ok()?;
    let path = root.join(names.iter().collect::<PathBuf>()).canonicalize().ok()?;
    let meta = path.metadata().ok().filter(|meta| path.starts_with(&root) && meta.is_file())?;
    let written = (meta.mtime(), meta.mtime_nsec());
    let tag = format!("W/\"{:x}-{:x}.{:x}-{:x}\"", meta.ino(), written.0, written.1, meta.len());
    Some(Found { path, tag })
}

/// A person's browser that opens a page, rather than an app that wants data.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accept.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

async fn show(found: &Found, mut request: Request) -> Response {
    let known = request.headers_mut().remove(header::IF_NONE_MATCH);
    let known = known.as_ref().map(|value| value.to_str().unwrap_or_default());
    let response = match known {
        Some(known) if is_known(known, &found.tag) => reply::file_not_modified(),
        Some(_) => {
            // The tag is the better judge, and it has judged.
            request.headers_mut().remove(header::IF_MODIFIED_SINCE);
            read(found, request).await
        }
        None => read(found, request).await,
    };
    tagged(response, &found.tag)
}

fn is_known(known: &str, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.split(',').any(|known| known.trim() == "*" || bare(known) == bare(tag))
}

async fn read(found: &Found, mut request: Request) -> Response {
    // A part is only good for a file that is known to be the same.
    if request.headers_mut().remove(header::IF_RANGE).is_some() {
        request.headers_mut().remove(header::RANGE);
    }
    match ServeFile::new(&found.path).try_call(request).await {
        Ok(response) => reply::unless_missing(response.map(Body::new)),
        Err(_) => reply::nothing_here(),
    }
}

fn tagged(mut response: Response, tag: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if let Some(kind) = kind.filter(|kind| kind.starts_with("text/") && !kind.contains("charset"))
        && let Ok(kind) = HeaderValue::from_str(&format!("{kind}; charset=utf-8"))
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Whatever is no route of the hub's.
pub(super) async fn fallback(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    match &hub.site {
        Some(site) => site.answer(request).await,
        None => reply::nothing_here().into_response(),
    }
}
