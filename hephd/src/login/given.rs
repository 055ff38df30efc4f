//! Tokens that a provider has given, and that lie in no vault yet. Whoever
//! waited for them may have gone; a refresh token that nobody has, and that is
//! good for months, must not stay behind.

use tokio::{runtime::Handle, task::JoinHandle};

use super::{entry::Entry, sign_in::Place};

/// A login that is taken back, unless somebody keeps it.
#[derive(Debug)]
pub(super) struct Given {
    place: Place,
    entry: Entry,
    /// Neither kept nor being taken back.
    loose: bool,
}

impl Given {
    pub(super) fn by(place: Place, entry: Entry) -> Self {
        Self { place, entry, loose: true }
    }

    pub(super) const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// It lies in a vault.
    pub(super) fn kept(mut self) {
        self.loose = false;
    }

    /// Takes it back; whoever waits for that may go away too.
    pub(super) async fn take_back(mut self) {
        if let Some(revoking) = self.revoke() {
            let _ = revoking.await;
        }
    }

    fn revoke(&mut self) -> Option<JoinHandle<bool>> {
        if !std::mem::take(&mut self.loose) {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let (place, entry) = (self.place.clone(), self.entry.clone());
        Some(runtime.spawn(async move { place.revoke(&entry).await }))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.revoke();
    }
}
