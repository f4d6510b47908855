//! Waiting for whichever connection is readable.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Accepts `connections` connections, then calls `serve` for each one that is readable, until all are closed.
///
/// A single connection is read without asking first: that saves a call, and a raw loop saves what it can.
///
/// `serve` makes one read and returns whether the connection is still open.
///
/// # Errors
///
/// Whatever accepting, waiting or `serve` fails with.
pub(super) fn serve_all<T>(
    listener: &TcpListener,
    connections: usize,
    mut open: impl FnMut(TcpStream) -> io::Result<T>,
    mut serve: impl FnMut(&mut T) -> io::Result<bool>,
) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut opened = Vec::with_capacity(connections);
    for index in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        opened.push(Some(open(stream)?));
    }
    if let [Some(only)] = &mut opened[..] {
        while serve(only)? {}
        return Ok(());
    }
    let mut events = [EpollEvent::empty(); 64];
    let mut left = connections;
    while left > 0 {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            let slot = &mut opened[usize::try_from(event.data()).expect("an index comes back unchanged")];
            if let Some(connection) = slot
                && !serve(connection)?
            {
                // Dropping the connection closes the socket, which takes it out of the epoll set.
                *slot = None;
                left -= 1;
            }
        }
    }
    Ok(())
}
