//! The word to stop, said once and heard everywhere.

use tokio::sync::watch;

/// Says it.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Hears it.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

/// A pair of the two.
#[must_use]
pub fn channel() -> (Stop, Stopping) {
    let (say, hear) = watch::channel(false);
    (Stop(say), Stopping(hear))
}

impl Stop {
    /// To everybody who waits, now or later.
    pub fn say(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Waits for the word, or until nobody is left to say it.
    pub async fn heard(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
