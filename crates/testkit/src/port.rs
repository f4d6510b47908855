//! Ports that stay ours while nobody listens on them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt};

/// A port of 127.0.0.1 that the system gives to nobody else.
///
/// A socket is bound to it and does not listen. One that listens can be bound beside it, since both allow the address
/// to be used again: so a broker finds its port free, also after it was killed, and until then connections are refused.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    port: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// Takes a free one.
    pub(crate) fn take() -> nix::Result<Self> {
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
        let bound: SockaddrIn = getsockname(fd.as_raw_fd())?;
        Ok(Self { port: bound.port(), _socket: fd })
    }

    pub(crate) fn number(&self) -> u16 {
        self.port
    }
}
