//! What moves on a terminal while a store is copied, proved or compressed.

use std::{sync::Mutex, time::Duration};

use hephd::{report::Style, store::snapshot::Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr; nothing where stderr is no terminal, or nobody wants it.
pub struct Bars(Option<Mutex<ProgressBar>>);

impl Bars {
    /// A bar, where there is somebody to look at it.
    #[must_use]
    pub fn new(style: Style) -> Self {
        if !style.live() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        let look = "  {msg:<10} {bar:20} {decimal_bytes} of {decimal_total_bytes} \
                    {decimal_bytes_per_sec} {eta} left";
        bar.set_style(
            ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(Mutex::new(bar)))
    }

    /// Shows how far it is.
    pub fn show(&self, progress: &Progress) {
        let Some(Ok(bar)) = self.0.as_ref().map(Mutex::lock) else { return };
        let moved = |what: &'static str, bytes, of| {
            if bar.message() != what {
                bar.set_message(what);
                bar.reset();
                bar.set_length(of);
            }
            bar.set_position(bytes);
        };
        match progress {
            Progress::Copying { bytes, of } => moved("copying", *bytes, *of),
            Progress::Packing { bytes, of } => moved("packing", *bytes, *of),
            Progress::Proving { .. } => bar.set_message("proving"),
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        if let Some(Ok(bar)) = self.0.as_ref().map(Mutex::lock) {
            bar.finish_and_clear();
        }
    }
}

/// A line that says how far something is whose end is not known. It goes when
/// this does.
pub struct Count(Option<ProgressBar>);

impl Count {
    /// Such a line, where there is somebody to look at it.
    #[must_use]
    pub fn new(style: Style, what: &'static str) -> Self {
        if !style.live() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_prefix(what);
        bar.set_style(
            ProgressStyle::with_template("  {prefix:<10} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self(Some(bar))
    }

    /// Shows how far it is.
    pub fn show(&self, how_far: &str) {
        self.0.iter().for_each(|bar| bar.set_message(how_far.to_owned()));
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}
