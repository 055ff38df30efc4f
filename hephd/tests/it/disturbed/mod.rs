//! Real processes under real faults: killed, cut off, starved of disk and
//! network. Whatever happens, nothing that was acknowledged is missing in the
//! end, and everything becomes equal by itself.
//!
//! - [`daemon`]: hephd as it is killed and started again; [`wire`]: the hub's
//!   HTTP by hand; [`ledger`]: what was acknowledged, kept outside
//! - [`kills`]: SIGKILL at any moment
//! - [`proxy`], [`network`]: a bad connection; [`portal`]: somebody else
//!   answers in the hub's place
//! - [`namespaces`]: loss, partition and black hole between two networks
//! - [`disk`]: a disk that is full, or that fails
//! - [`crowd`]: hundreds of sockets that say nothing, or say it slowly
//!
//! Each looks at the programs from outside. A check that has never been seen
//! to fail proves nothing, so each has a planted fault beside it.

mod crowd;
pub mod daemon;
mod disk;
mod kills;
pub mod ledger;
mod namespaces;
mod network;
mod portal;
mod proxy;
pub mod wire;
