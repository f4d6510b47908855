//! The raw loop: the least a server must do for the same bytes, as a process of its own.
//!
//! It knows in advance where the batch lies in a request and how long the answer is, keeps no state but a position, and
//! has one thread. What it costs is the floor for a broker on this machine, kernel and file system.

mod connections;
pub mod fetch;
pub mod produce;

use std::io;
use std::net::TcpListener;

/// Listens on a free port of the loopback interface and announces it the way `highwater dev` does.
///
/// # Errors
///
/// If there is no free port or standard output is closed.
fn listen() -> io::Result<TcpListener> {
    use std::io::Write as _;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = io::stdout().lock();
    writeln!(out, "ready {}", listener.local_addr()?)?;
    out.flush()?;
    Ok(listener)
}
