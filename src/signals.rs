//! A way out of long steps that nothing else can end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hephd::{
    report::{self, Style},
    store::file::clear_unfinished,
};

use crate::host::Host;

/// Runs `work`; a signal meanwhile takes away what is not finished, is told, and
/// ends the process.
#[allow(clippy::disallowed_methods, reason = "the work cannot be asked to stop")]
pub fn giving_way<T>(
    host: &Host,
    style: Style,
    command: &'static str,
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
            let _held = clear_unfinished();
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
