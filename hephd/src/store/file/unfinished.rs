//! What this process has made and takes away again, unless it finishes it. A value
//! does that when it goes; a signal that ends the process lets nothing go, and
//! asks for it here. What another process has made is none of its business.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

type Clear = Box<dyn Fn() + Send>;

static ALL: Mutex<BTreeMap<u64, Clear>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

fn all() -> MutexGuard<'static, BTreeMap<u64, Clear>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is not finished while this is there.
#[derive(Debug)]
#[must_use]
pub struct Unfinished(u64);

impl Unfinished {
    /// `clear` takes it away, as far as that can be done.
    pub fn new(clear: impl Fn() + Send + 'static) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        all().insert(number, Box::new(clear));
        Self(number)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        all().remove(&self.0);
    }
}

/// Takes away all that is not finished, the latest first, for a process that ends
/// in this moment. Until what this gives is gone, nobody else's value goes: whoever
/// is at work still shall not say that it is done.
pub fn clear_unfinished() -> impl Sized {
    let mut all = all();
    while let Some((_, clear)) = all.pop_last() {
        clear();
    }
    all
}
