//! Listening on a TCP port, and naming whoever has it already.

use std::net::{SocketAddr, TcpListener};

use crate::error::{Code, Error, Result};

/// What root can see more with.
const SHOWS: &str = if cfg!(target_os = "macos") { "sudo lsof -nP -iTCP" } else { "sudo ss -ltnp" };

/// Listens.
///
/// # Errors
/// `port_in_use` with the holder's pid and program.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => taken(address),
        std::io::ErrorKind::AddrNotAvailable => Error::usage(
            format!("--http-addr {address} is no address of this machine"),
            "use 0.0.0.0 for all of its addresses, or 127.0.0.1",
        ),
        std::io::ErrorKind::PermissionDenied => Error::usage(
            format!("--http-addr {address}: this user may not listen on port {}", address.port()),
            "choose a port above 1023, for example 8787",
        ),
        _ => Error::internal(format!("cannot listen on {address}: {error}")),
    })
}

/// The error for a port that somebody else has: who, and what frees it.
#[must_use]
pub fn taken(address: SocketAddr) -> Error {
    let other = "choose another port: --http-addr IP:PORT";
    let (who, hint) = match listeners::get_process_by_port(address.port(), listeners::Protocol::TCP)
    {
        Ok(process) => (
            format!("process {} ({})", process.pid, process.name),
            format!("stop it: {}; or {other}", stops(process.pid)),
        ),
        Err(_) => (
            "a process that cannot be seen from here".to_owned(),
            format!("{SHOWS} shows it; or {other}"),
        ),
    };
    Error::new(Code::PortInUse, format!("{address} is in use by {who}"), hint)
}

/// The command that stops a process: for a unit's, one that it does not come
/// back from.
fn stops(pid: u32) -> String {
    let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    match group.trim().rsplit('/').next().filter(|unit| unit.ends_with(".service")) {
        Some(unit) if group.contains("/user@") => format!("systemctl --user stop {unit}"),
        Some(unit) => format!("sudo systemctl stop {unit}"),
        None => format!("kill {pid}"),
    }
}
