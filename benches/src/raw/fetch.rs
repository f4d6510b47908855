//! Receive a small request, send a header and a piece of a file.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, send};

use super::connections::serve_all;
use crate::request::SIZE_BYTES;

/// How the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sending {
    /// The header with `MSG_MORE`, the records with `sendfile`.
    Sendfile,
    /// The records read into a reused buffer, header and records in one `writev`.
    Copy,
}

/// What the server has to know about the requests.
#[derive(Args, Clone, Debug)]
pub struct RawFetch {
    /// File to send from, over and over.
    #[arg(long)]
    pub file: PathBuf,
    /// Bytes of a request, without its length prefix.
    #[arg(long)]
    pub request_bytes: usize,
    /// Bytes of an answer besides the records, without its length prefix.
    #[arg(long)]
    pub head_bytes: usize,
    /// Bytes of records in an answer; the file holds a multiple of it.
    #[arg(long)]
    pub step_bytes: usize,
    /// Connections to accept before serving.
    #[arg(long)]
    pub connections: usize,
    /// How to send.
    #[arg(long)]
    pub sending: Sending,
}

impl RawFetch {
    /// Serves until all connections are closed.
    ///
    /// # Errors
    ///
    /// Whatever the file or a socket fails with.
    pub fn run(&self) -> io::Result<()> {
        let file = File::open(&self.file)?;
        let file_bytes = file.metadata()?.len();
        let mut head = vec![0; SIZE_BYTES + self.head_bytes];
        let size = u32::try_from(self.head_bytes + self.step_bytes).expect("an answer is smaller than 4 GiB");
        head[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());

        let listener = super::listen()?;
        let open = |stream| Ok(Connection { stream, position: 0, requests: 0 });
        let mut request = vec![0; SIZE_BYTES + self.request_bytes];
        let mut buffer = vec![0; self.step_bytes];
        serve_all(&listener, self.connections, open, |connection| {
            let received = connection.stream.read(&mut request)?;
            if received == 0 {
                return Ok(false);
            }
            connection.requests += received;
            if connection.requests < request.len() {
                return Ok(true);
            }
            connection.requests = 0;
            match self.sending {
                Sending::Sendfile => connection.sendfile(&file, &head, self.step_bytes)?,
                Sending::Copy => connection.copy(&file, &head, &mut buffer)?,
            }
            connection.position += self.step_bytes as u64;
            if connection.position >= file_bytes {
                connection.position = 0;
            }
            Ok(true)
        })
    }
}

struct Connection {
    stream: TcpStream,
    position: u64,
    /// Bytes of the current request received so far.
    requests: usize,
}

impl Connection {
    fn sendfile(&self, file: &File, head: &[u8], bytes: usize) -> io::Result<()> {
        let sent = send(self.stream.as_raw_fd(), head, MORE)?;
        if sent < head.len() {
            return Err(io::Error::other("a short send of a header"));
        }
        let mut position = i64::try_from(self.position).expect("a file is smaller than 2^63 bytes");
        let mut left = bytes;
        while left > 0 {
            left -= sendfile64(&self.stream, file, Some(&mut position), left)?;
        }
        Ok(())
    }

    fn copy(&mut self, file: &File, head: &[u8], buffer: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(buffer, self.position)?;
        let sent = self.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(buffer)])?;
        match sent.checked_sub(head.len()) {
            Some(of_records) => self.stream.write_all(&buffer[of_records..]),
            None => Err(io::Error::other("a short send of a header")),
        }
    }
}

/// More is coming: do not send a packet for this alone. (nix has no name for it.)
const MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
