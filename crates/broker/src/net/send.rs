//! Puts an output on a socket with as few system calls as its shape allows.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, send, sendmsg};

use super::Stats;
use super::out::{FileSlice, Out};

/// File slices from this size go by `sendfile`; smaller ones are read into a reused buffer and leave together with the
/// bytes around them. Around this size both cost the same on loopback within what can be measured: an answer has bytes
/// before and behind its slice, so that `sendfile` means two calls more, and the copy is saved.
pub(super) const SENDFILE_BYTES_MIN: u64 = 64 << 10;
/// Buffer for the slices that are copied, per loop.
const SCRATCH_SIZE: usize = 256 << 10;
/// Most pieces given to one `sendmsg`.
const PARTS_MAX: usize = 64;

/// How far an output has been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    bytes: usize,
    slice: usize,
    /// Bytes sent of the slice at `slice`.
    slice_bytes: u32,
}

impl Cursor {
    /// Bytes of the output's own that have been sent.
    pub(super) fn bytes_sent(self) -> usize {
        self.bytes
    }

    /// Slices that have been sent whole.
    pub(super) fn slices_sent(self) -> usize {
        self.slice
    }

    /// The same place in an output from which everything sent was removed.
    pub(super) fn rebased(self) -> Self {
        Self { bytes: 0, slice: 0, slice_bytes: self.slice_bytes }
    }
}

/// An output that the socket did not take whole.
pub(super) struct Unsent {
    pub(super) out: Out,
    pub(super) cursor: Cursor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// The socket is full; it will report when there is room.
    Blocked,
}

/// Sends for all connections of one loop.
pub(super) struct Sender {
    scratch: Vec<u8>,
}

/// One piece of a `sendmsg`.
#[derive(Clone, Copy)]
enum Part {
    Bytes { end: usize },
    Copied { start: usize, end: usize, whole: bool },
}

impl Sender {
    pub(super) fn new() -> Self {
        Self { scratch: Vec::new() }
    }

    /// Sends what is left of `out` after `cursor`.
    ///
    /// # Errors
    ///
    /// Whatever the socket or a file refuses with, and `UnexpectedEof` if a file is shorter than its slice. The
    /// connection must be closed then: what was announced cannot be delivered.
    pub(super) fn send(
        &mut self,
        socket: &TcpStream,
        out: &Out,
        cursor: &mut Cursor,
        stats: &Stats,
    ) -> io::Result<Progress> {
        loop {
            let sent = match out.slices.get(cursor.slice) {
                None if cursor.bytes == out.bytes.len() => return Ok(Progress::Done),
                None => send_bytes(socket, out, cursor),
                Some(slice) if slice.at == cursor.bytes && is_sendfile(slice) => send_file(socket, slice, cursor),
                Some(_) => self.send_parts(socket, out, cursor),
            };
            stats.sends.add(1);
            match sent {
                Ok(Sent { count, blocked }) => {
                    stats.bytes_out.add(count as u64);
                    if blocked {
                        return Ok(Progress::Blocked);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends bytes and small slices together, up to the next slice for `sendfile`.
    fn send_parts(&mut self, socket: &TcpStream, out: &Out, cursor: &mut Cursor) -> io::Result<Sent> {
        if self.scratch.is_empty() {
            self.scratch.resize(SCRATCH_SIZE, 0);
        }
        let mut parts = [Part::Bytes { end: 0 }; PARTS_MAX];
        let (count, more) = self.gather(out, *cursor, &mut parts)?;
        let parts = &parts[..count];

        let mut iov = [IoSlice::new(&[]); PARTS_MAX];
        let mut total = 0;
        let mut bytes = cursor.bytes;
        for (part, io) in parts.iter().zip(&mut iov) {
            let piece = match *part {
                Part::Bytes { end } => &out.bytes[std::mem::replace(&mut bytes, end)..end],
                Part::Copied { start, end, .. } => &self.scratch[start..end],
            };
            total += piece.len();
            *io = IoSlice::new(piece);
        }
        let sent = sendmsg::<()>(socket.as_raw_fd(), &iov[..count], &[], flags(more), None)?;
        advance(cursor, parts, sent);
        Ok(Sent { count: sent, blocked: sent < total })
    }

    /// Lists what to send next, reading small slices into the scratch buffer. Also says whether more follows at once.
    fn gather(&mut self, out: &Out, from: Cursor, parts: &mut [Part; PARTS_MAX]) -> io::Result<(usize, bool)> {
        let mut at = from;
        let mut used = 0;
        let mut count = 0;
        while count < PARTS_MAX {
            let next_slice = out.slices.get(at.slice);
            let bytes_end = next_slice.map_or(out.bytes.len(), |slice| slice.at);
            if at.bytes < bytes_end {
                parts[count] = Part::Bytes { end: bytes_end };
                at.bytes = bytes_end;
                count += 1;
                continue;
            }
            let Some(slice) = next_slice else { break };
            if is_sendfile(slice) || used == self.scratch.len() {
                break;
            }
            let left = (slice.length - at.slice_bytes) as usize;
            let take = left.min(self.scratch.len() - used);
            let position = slice.position + u64::from(at.slice_bytes);
            read_exact_at(slice, &mut self.scratch[used..used + take], position)?;
            parts[count] = Part::Copied { start: used, end: used + take, whole: take == left };
            used += take;
            count += 1;
            if take < left {
                break;
            }
            at.slice += 1;
            at.slice_bytes = 0;
        }
        // Only true when something does follow, or the kernel would hold the last packet back.
        Ok((count, at.slice < out.slices.len() || at.bytes < out.bytes.len()))
    }
}

struct Sent {
    count: usize,
    /// A stream socket that takes less than it was given is full.
    blocked: bool,
}

fn send_bytes(socket: &TcpStream, out: &Out, cursor: &mut Cursor) -> io::Result<Sent> {
    let rest = &out.bytes[cursor.bytes..];
    let count = send(socket.as_raw_fd(), rest, flags(false))?;
    cursor.bytes += count;
    Ok(Sent { count, blocked: count < rest.len() })
}

fn send_file(socket: &TcpStream, slice: &FileSlice, cursor: &mut Cursor) -> io::Result<Sent> {
    let file = slice.file.as_fd().expect("only slices with a descriptor are sent by sendfile");
    let left = slice.length - cursor.slice_bytes;
    let position = slice.position + u64::from(cursor.slice_bytes);
    let mut position = i64::try_from(position).map_err(|_| io::ErrorKind::InvalidInput)?;
    let count = sendfile64(socket.as_fd(), file, Some(&mut position), left as usize).map_err(as_io)?;
    if count == 0 {
        return Err(file_too_short());
    }
    cursor.slice_bytes += u32::try_from(count).expect("no more was sent than asked for");
    if cursor.slice_bytes == slice.length {
        cursor.slice += 1;
        cursor.slice_bytes = 0;
    }
    // Less than asked for means a full socket or the end of the file; the next call tells which.
    Ok(Sent { count, blocked: false })
}

fn advance(cursor: &mut Cursor, parts: &[Part], mut sent: usize) {
    for part in parts {
        match *part {
            Part::Bytes { end } => {
                let count = sent.min(end - cursor.bytes);
                cursor.bytes += count;
                sent -= count;
            }
            Part::Copied { start, end, whole } => {
                let count = sent.min(end - start);
                sent -= count;
                if whole && count == end - start {
                    cursor.slice += 1;
                    cursor.slice_bytes = 0;
                } else {
                    cursor.slice_bytes += u32::try_from(count).expect("a copied part is smaller than its buffer");
                }
            }
        }
        if sent == 0 {
            // Parts behind this one were not touched, nor is an empty one possible.
            return;
        }
    }
}

fn read_exact_at(slice: &FileSlice, mut buf: &mut [u8], mut position: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match slice.file.read_at(buf, position) {
            Ok(0) => return Err(file_too_short()),
            Ok(count) => {
                let count = count.min(buf.len());
                buf = &mut buf[count..];
                position += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_sendfile(slice: &FileSlice) -> bool {
    SENDFILE_BYTES_MIN <= u64::from(slice.length) && slice.file.as_fd().is_some()
}

fn flags(more: bool) -> MsgFlags {
    let flags = MsgFlags::MSG_NOSIGNAL;
    if more { flags | MsgFlags::from_bits_retain(nix::libc::MSG_MORE) } else { flags }
}

fn file_too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the slice announced")
}

fn as_io(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}
