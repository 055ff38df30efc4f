//! Listening on a TCP port, and naming whoever has it already.

use std::net::{SocketAddr, TcpListener};

use crate::error::{Code, Error, Result};

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

/// The error for a port that somebody else has.
#[must_use]
pub fn taken(address: SocketAddr) -> Error {
    let hint = "stop that program, or choose another port: --http-addr IP:PORT";
    Error::new(Code::PortInUse, format!("{address} is in use by {}", holder(address.port())), hint)
}

/// Who listens on a port, in words; also when it cannot be found out.
fn holder(port: u16) -> String {
    match listeners::get_process_by_port(port, listeners::Protocol::TCP) {
        Ok(process) => format!("process {} ({})", process.pid, process.name),
        Err(_) => "a process of another user".to_owned(),
    }
}
