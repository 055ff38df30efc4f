//! Listens to the hub's hints that its heads have moved.
//!
//! A hint only says that a cycle is worth while now. Without any, the interval
//! brings one.

use reqwest::Response;
use tokio::sync::watch;

use super::{backoff::Backoff, wire::Wire};
use crate::{op::Hash, stopping::Stopping};

/// No line of a hub's stream is longer.
const MAX_LINE: usize = 1024;

/// What the hub last said of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// Of its heads; none while no stream is open.
    pub(super) digest: Option<Hash>,
    /// How many streams it has opened: one more, and it is there again.
    pub(super) streams: u64,
}

/// Keeps a stream open, again and again, and tells the digests that come.
pub(super) async fn listen(
    wire: Wire,
    told: watch::Sender<Hint>,
    mut backoff: Backoff,
    mut logins: Option<watch::Receiver<()>>,
    mut stopping: Stopping,
) {
    loop {
        let one = async {
            match wire.events().await {
                Ok(stream) => {
                    follow(stream, &told, &mut backoff).await;
                    // What was said is worth nothing once nobody says it any more.
                    told.send_modify(|hint| hint.digest = None);
                }
                Err(error) => tracing::debug!("{}", error.message),
            }
            tokio::time::sleep(backoff.failed()).await;
        };
        tokio::select! {
            () = one => {}
            // Whoever was let in with the old one is not with the next.
            () = super::another(&mut logins) => {
                backoff.reset();
                told.send_modify(|hint| hint.digest = None);
            }
            () = stopping.heard() => return,
        }
    }
}

async fn follow(mut stream: Response, told: &watch::Sender<Hint>, backoff: &mut Backoff) {
    let (mut lines, streams) = (Lines::default(), told.borrow().streams + 1);
    while let Ok(Some(chunk)) = stream.chunk().await {
        backoff.reset();
        for digest in lines.digests(&chunk) {
            told.send_replace(Hint { digest: Some(digest), streams });
        }
    }
}

/// Server-sent events, as far as ours go: `data:` and a digest.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn digests(&mut self, chunk: &[u8]) -> Vec<Hash> {
        let mut digests = Vec::new();
        for byte in chunk {
            match byte {
                b'\n' => {
                    digests.extend(digest(&self.rest));
                    self.rest.clear();
                }
                _ if self.rest.len() < MAX_LINE => self.rest.push(*byte),
                _ => {}
            }
        }
        digests
    }
}

fn digest(line: &[u8]) -> Option<Hash> {
    let data = std::str::from_utf8(line).ok()?.strip_prefix("data:")?;
    data.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_however_the_stream_is_cut() {
        let digest = Hash::of("some heads");
        let stream = format!(": hello\n\nevent: heads\ndata: {digest}\r\n\ndata:{digest}\n\n");
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let found: Vec<Hash> =
                stream.as_bytes().chunks(size).flat_map(|chunk| lines.digests(chunk)).collect();
            assert_eq!(found, [digest, digest], "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_no_digest_and_holds_no_memory() {
        let mut lines = Lines::default();
        assert!(lines.digests(&vec![b'x'; 1 << 20]).is_empty());
        assert!(lines.rest.len() <= MAX_LINE);
    }
}
