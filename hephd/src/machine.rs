//! The machine that a replica runs on, as far as a store cares: its time, its
//! chance, its name.

use crate::clock::{Clock, Entropy};

/// Time, chance and name.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The wall clock.
    pub clock: Clock,
    /// Where random bytes come from.
    pub entropy: Entropy,
    /// How people call it: the title of its device's node.
    pub name: String,
}

#[cfg(feature = "daemon")]
impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let name = hostname::get().map(|name| name.to_string_lossy().into_owned());
        Self {
            clock: Clock::System,
            entropy: Entropy::System,
            name: name.unwrap_or_else(|_| "unnamed".to_owned()),
        }
    }
}
