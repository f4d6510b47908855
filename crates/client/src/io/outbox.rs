//! Requests on their way to the socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, sendmsg};

use super::connection::CallCell;

/// Bytes that are still to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is sent.
    sent: usize,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: PieceBytes,
    /// Who is told when it is sent: requests that are never answered.
    pub(super) done: Option<CallCell>,
}

#[derive(Debug)]
pub(super) enum PieceBytes {
    Own(Vec<u8>, std::ops::Range<usize>),
    Shared(Arc<Vec<u8>>),
}

impl PieceBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes, range) => &bytes[range.clone()],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Outbox {
    pub(super) fn push(&mut self, piece: Piece) {
        self.bytes += piece.bytes.as_slice().len();
        self.pieces.push_back(piece);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Sends as much as the socket takes.
    pub(super) fn send(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
                let bytes = piece.bytes.as_slice();
                *slot = IoSlice::new(if count == 0 { &bytes[self.sent..] } else { bytes });
                count += 1;
            }
            match sendmsg::<()>(stream.as_raw_fd(), &slices[..count], &[], MsgFlags::MSG_NOSIGNAL, None) {
                Ok(sent) => self.advance(sent),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        self.bytes -= count;
        while let Some(first) = self.pieces.front() {
            let length = first.bytes.as_slice().len();
            if self.sent < length {
                break;
            }
            self.sent -= length;
            if let Some(done) = self.pieces.pop_front().and_then(|piece| piece.done) {
                done.complete(Ok(bytes::Bytes::new()));
            }
        }
    }

    /// What is told of what was not sent.
    pub(super) fn into_untold(self) -> impl Iterator<Item = CallCell> {
        self.pieces.into_iter().filter_map(|piece| piece.done)
    }
}

/// Pieces that go to the socket with one system call.
const SLICES_MAX: usize = 64;
