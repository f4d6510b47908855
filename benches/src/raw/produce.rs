//! Receive, checksum, patch the offset, append, answer.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use crc_fast::{CrcAlgorithm, Digest};
use nix::sys::uio::pwritev;

use super::connections::serve_all;
use crate::batch::CRC_FROM;
use crate::request::SIZE_BYTES;

/// How the server receives and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// Receive as much as there is; one write for each batch.
    Each,
    /// Receive as much as there is; one write for all whole batches.
    Grouped,
    /// Receive at most 256 KiB at a time and checksum each piece while it is in the cache; one write for each batch.
    Pieces,
}

/// What the server has to know about the requests.
#[derive(Args, Clone, Debug)]
pub struct RawProduce {
    /// File to append to; it is truncated first.
    #[arg(long)]
    pub file: PathBuf,
    /// Where the batch starts in a request, counted from behind the length prefix.
    #[arg(long)]
    pub records_at: usize,
    /// Bytes of the batch.
    #[arg(long)]
    pub batch_bytes: usize,
    /// Bytes of an answer, without its length prefix.
    #[arg(long)]
    pub answer_bytes: usize,
    /// Connections to accept before serving.
    #[arg(long)]
    pub connections: usize,
    /// How to receive and write.
    #[arg(long)]
    pub pattern: Pattern,
}

impl RawProduce {
    /// Serves until all connections are closed.
    ///
    /// # Errors
    ///
    /// Whatever the file or a socket fails with, and a batch whose checksum does not match.
    pub fn run(&self) -> io::Result<()> {
        let mut log = Appender {
            file: OpenOptions::new().write(true).create(true).truncate(true).open(&self.file)?,
            position: 0,
            next_offset: 0,
        };
        let mut answer = vec![0; SIZE_BYTES + self.answer_bytes];
        let size = u32::try_from(self.answer_bytes).expect("an answer is small");
        answer[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());

        let listener = super::listen()?;
        let open = |stream| Ok(Connection::new(stream, self));
        serve_all(&listener, self.connections, open, |connection| connection.turn(self, &mut log, &answer))
    }
}

struct Appender {
    file: File,
    position: i64,
    next_offset: i64,
}

impl Appender {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = pwritev(&self.file, slices, self.position)?;
        if written < bytes {
            return Err(io::Error::other("a short write; is the disk full?"));
        }
        self.position += i64::try_from(bytes).expect("a write is smaller than 2^63 bytes");
        Ok(())
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    frame_bytes_max: usize,
    /// The received bytes that are not served yet.
    held: Range<usize>,
    /// Checksum of the current batch so far, with the position in the buffer up to which it goes.
    digest: Digest,
    digested: usize,
    answers: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, config: &RawProduce) -> Self {
        let frame_bytes_max = SIZE_BYTES + config.records_at + config.batch_bytes + TAIL_BYTES_MAX;
        Self {
            stream,
            buffer: vec![0; frame_bytes_max.max(RECEIVE_BYTES) + frame_bytes_max],
            frame_bytes_max,
            held: 0..0,
            digest: Digest::new(CrcAlgorithm::Crc32Iscsi),
            digested: 0,
            answers: Vec::new(),
        }
    }

    /// Receives once and serves what is whole.
    fn turn(&mut self, config: &RawProduce, log: &mut Appender, answer: &[u8]) -> io::Result<bool> {
        let end = match config.pattern {
            Pattern::Pieces => self.buffer.len().min(self.held.end + RECEIVE_BYTES),
            Pattern::Each | Pattern::Grouped => self.buffer.len(),
        };
        let received = match self.stream.read(&mut self.buffer[self.held.end..end]) {
            Ok(0) => return Ok(false),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        };
        self.held.end += received;

        let mut batches: Vec<Range<usize>> = Vec::new();
        while let Some(frame) = self.next_frame(config)? {
            let batch = frame.start + config.records_at..frame.start + config.records_at + config.batch_bytes;
            self.buffer[batch.start..batch.start + 8].copy_from_slice(&log.next_offset.to_be_bytes());
            log.next_offset += 1;
            if config.pattern == Pattern::Grouped {
                batches.push(batch);
            } else {
                log.write(&[IoSlice::new(&self.buffer[batch])])?;
            }
            self.answers.extend_from_slice(answer);
        }
        for group in batches.chunks(IOV_MAX) {
            let slices: Vec<_> = group.iter().map(|batch| IoSlice::new(&self.buffer[batch.clone()])).collect();
            log.write(&slices)?;
        }
        if !self.answers.is_empty() {
            self.stream.write_all(&self.answers)?;
            self.answers.clear();
        }
        self.compact();
        Ok(true)
    }

    /// The next whole request, checksum verified; the checksum of an incomplete one is carried on in pieces.
    fn next_frame(&mut self, config: &RawProduce) -> io::Result<Option<Range<usize>>> {
        let held = &self.buffer[self.held.clone()];
        let Some(size) = held.first_chunk::<SIZE_BYTES>() else { return Ok(None) };
        let size = u32::from_be_bytes(*size) as usize;
        let frame = self.held.start + SIZE_BYTES..self.held.start + SIZE_BYTES + size;
        if frame.len() < config.records_at + config.batch_bytes || frame.len() > self.frame_bytes_max {
            return Err(io::Error::other(format!("a request of {size} bytes")));
        }
        let checked = frame.start + config.records_at + CRC_FROM..frame.start + config.records_at + config.batch_bytes;
        let whole = frame.end <= self.held.end;
        if whole || config.pattern == Pattern::Pieces {
            let from = self.digested.max(checked.start);
            let to = self.held.end.min(checked.end);
            if from < to {
                self.digest.update(&self.buffer[from..to]);
                self.digested = to;
            }
        }
        if !whole {
            return Ok(None);
        }
        let computed = self.digest.finalize_reset();
        self.digested = 0;
        let stored = &self.buffer[checked.start - 4..checked.start];
        if computed != u64::from(u32::from_be_bytes([stored[0], stored[1], stored[2], stored[3]])) {
            return Err(io::Error::other("a batch with a wrong checksum"));
        }
        self.held.start = frame.end;
        Ok(Some(frame))
    }

    /// Moves a partial request to the front when the rest of it might not fit behind.
    fn compact(&mut self) {
        if self.held.is_empty() {
            self.held = 0..0;
        } else if self.held.start + self.frame_bytes_max > self.buffer.len() {
            self.buffer.copy_within(self.held.clone(), 0);
            self.digested = self.digested.saturating_sub(self.held.start);
            self.held = 0..self.held.len();
        }
    }
}

/// Least room for one receive.
const RECEIVE_BYTES: usize = 256 << 10;
/// Most buffers that the kernel takes in one vectored write.
const IOV_MAX: usize = 1024;
/// Bytes of a request behind the batch.
const TAIL_BYTES_MAX: usize = 16;
