//! A way out of long steps that nothing else can end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hephd::report::{self, Style};

use crate::host::Host;

/// Runs `work`; a signal meanwhile runs `clear` in its place, is told, and ends
/// the process. All that such work makes before its end must be what `clear`
/// takes away.
#[allow(clippy::disallowed_methods, reason = "the work cannot be asked to stop")]
pub fn giving_way<T>(
    host: &Host,
    style: Style,
    command: &'static str,
    clear: impl FnOnce() + Send + 'static,
    work: impl FnOnce() -> T,
) -> T {
    // Whoever takes it has the last word.
    let last_word = Arc::new(AtomicBool::new(false));
    let (taken, watcher) = (Arc::clone(&last_word), host.clone());
    std::thread::spawn(move || {
        let signal = loop {
            match watcher.interrupted() {
                Some(signal) => break signal,
                None if taken.load(Ordering::SeqCst) => return,
                None => watcher.pause(Duration::from_millis(20)),
            }
        };
        if !taken.swap(true, Ordering::SeqCst) {
            clear();
            std::process::exit(report::finish(command, style, false, &Err(signal)).into());
        }
    });
    let done = work();
    if last_word.swap(true, Ordering::SeqCst) {
        loop {
            host.pause(Duration::from_secs(1)); // The signal has it; the process ends.
        }
    }
    done
}
