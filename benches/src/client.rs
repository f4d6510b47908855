//! Pipelined connections that cost the client as little as possible.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::allocations;
use crate::request::SIZE_BYTES;

/// What one connection sends, and how it judges the answers.
pub trait Exchange: Send {
    /// The next request, length prefix included.
    fn request(&mut self) -> &[u8];

    /// Looks at an answer: its first bytes (at most [`HEAD_BYTES`], without the length prefix) and its whole size.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    fn answer(&mut self, head: &[u8], bytes: usize) -> Result<(), String>;
}

/// How hard to load a server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Who serves.
    pub address: SocketAddr,
    /// Connections, each with its own thread.
    pub connections: usize,
    /// Requests that a connection keeps unanswered.
    pub depth: usize,
    /// Requests to send in all, divided among the connections.
    pub requests: u64,
}

impl Load {
    /// Sends the requests and waits for every answer; returns how long it took.
    ///
    /// # Errors
    ///
    /// The first failure of any connection, and the first answer that its exchange refuses.
    ///
    /// # Panics
    ///
    /// If a client thread panicked.
    pub fn run<E: Exchange>(&self, exchange: impl Fn() -> E) -> io::Result<Duration> {
        let each = self.requests / self.connections as u64;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|_| {
                    let exchange = exchange();
                    scope.spawn(move || {
                        let _uncounted = allocations::exempt_this_thread();
                        pipeline(self.address, self.depth, each, exchange)
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a client thread does not panic"))
        })?;
        Ok(started.elapsed())
    }
}

/// One connection: keeps `depth` requests unanswered until `requests` were answered.
fn pipeline(address: SocketAddr, depth: usize, requests: u64, mut exchange: impl Exchange) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = Answers::default();
    let mut buffer = vec![0; RECEIVE_BYTES];
    let (mut sent, mut answered) = (0, 0);
    while answered < requests {
        while sent < requests && sent - answered < depth as u64 {
            stream.write_all(exchange.request())?;
            sent += 1;
        }
        let received = stream.read(&mut buffer)?;
        if received == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        answered += answers.take(&buffer[..received], &mut exchange)?;
    }
    Ok(())
}

/// Cuts a stream of answers apart, keeping only the first bytes of each.
#[derive(Default)]
struct Answers {
    head: Vec<u8>,
    /// Bytes of the current answer that have not come yet, once its size is known.
    missing: Option<usize>,
    bytes: usize,
}

impl Answers {
    /// Takes in received bytes; returns how many answers they completed.
    fn take(&mut self, mut input: &[u8], exchange: &mut impl Exchange) -> io::Result<u64> {
        let mut completed = 0;
        while !input.is_empty() {
            let Some(missing) = self.missing else {
                input = self.take_size(input);
                continue;
            };
            let (part, rest) = input.split_at(missing.min(input.len()));
            let keep = (HEAD_BYTES - self.head.len()).min(part.len());
            self.head.extend_from_slice(&part[..keep]);
            input = rest;
            if part.len() < missing {
                self.missing = Some(missing - part.len());
            } else {
                exchange.answer(&self.head, self.bytes).map_err(io::Error::other)?;
                self.head.clear();
                self.missing = None;
                completed += 1;
            }
        }
        Ok(completed)
    }

    /// Collects the length prefix in `head` until it is whole; returns what is left of the input.
    fn take_size<'i>(&mut self, input: &'i [u8]) -> &'i [u8] {
        let (part, rest) = input.split_at((SIZE_BYTES - self.head.len()).min(input.len()));
        self.head.extend_from_slice(part);
        if let Ok(size) = <[u8; SIZE_BYTES]>::try_from(&self.head[..]) {
            self.bytes = u32::from_be_bytes(size) as usize;
            self.missing = Some(self.bytes);
            self.head.clear();
        }
        rest
    }
}

/// Most bytes of an answer that an [`Exchange`] gets to see.
pub const HEAD_BYTES: usize = 256;
/// One receive; small enough to stay in the second-level cache.
const RECEIVE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    struct Sizes(Vec<(Vec<u8>, usize)>);

    impl Exchange for Sizes {
        fn request(&mut self) -> &[u8] {
            &[]
        }

        fn answer(&mut self, head: &[u8], bytes: usize) -> Result<(), String> {
            self.0.push((head.to_vec(), bytes));
            Ok(())
        }
    }

    #[test]
    fn answers_are_cut_apart_wherever_the_stream_breaks() {
        let long = vec![7; 600];
        let mut stream = vec![0, 0, 0, 3, 1, 2, 3];
        stream.extend_from_slice(&600u32.to_be_bytes());
        stream.extend_from_slice(&long);
        for step in 1..stream.len() {
            let (mut answers, mut seen) = (Answers::default(), Sizes(Vec::new()));
            let mut completed = 0;
            for part in stream.chunks(step) {
                completed += answers.take(part, &mut seen).unwrap();
            }
            assert_eq!(completed, 2);
            assert_eq!(seen.0, [(vec![1, 2, 3], 3), (vec![7; HEAD_BYTES], 600)]);
        }
    }
}
