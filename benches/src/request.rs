//! The few requests a load needs, framed by hand.
//!
//! The versions are fixed and the answers are looked at in fixed places, which keeps the client's cost out of the
//! measurement and the program independent of the encoders it measures.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::client::Exchange;

/// A Produce request (version 9, acks 1) of one batch to partition 0 of a topic, sent unchanged each time.
#[derive(Clone, Debug)]
pub struct Produce {
    frame: Vec<u8>,
    records_at: usize,
    error_at: usize,
}

impl Produce {
    /// Prepares the request.
    pub fn new(topic: &str, batch: &Batch) -> Self {
        let mut frame = Frame::new(0, 9, true);
        frame.uvarint(0); // transactional id: null
        frame.i16(1); // acks
        frame.i32(30_000); // timeout, ms
        frame.uvarint(2); // one topic
        frame.compact_string(topic);
        frame.uvarint(2); // one partition
        frame.i32(0);
        frame.uvarint(batch.bytes.len() as u64 + 1);
        let records_at = frame.bytes.len() - SIZE_BYTES;
        frame.bytes.extend_from_slice(&batch.bytes);
        frame.bytes.extend_from_slice(&[0, 0, 0]); // no tagged fields: partition, topic, request
        // Correlation id and tags; then count, topic name, count, partition.
        let error_at = 4 + 1 + 1 + (1 + topic.len()) + 1 + 4;
        Self { frame: frame.finish(), records_at, error_at }
    }

    /// Where the batch starts, counted from behind the length prefix.
    pub fn records_at(&self) -> usize {
        self.records_at
    }

    /// Bytes of the answer, without its length prefix.
    pub fn answer_bytes(&self) -> usize {
        // Error, base offset, append time, log start; record errors, error message, tags; topic tags; throttle; tags.
        self.error_at + 2 + 8 + 8 + 8 + 1 + 1 + 1 + 1 + 4 + 1
    }
}

impl Exchange for Produce {
    fn request(&mut self) -> &[u8] {
        &self.frame
    }

    fn answer(&mut self, head: &[u8], _bytes: usize) -> Result<(), String> {
        no_error(head, self.error_at, "produce")
    }
}

/// Fetch requests (version 12, no session) that read one partition in steps of a fixed number of bytes, again and again.
#[derive(Clone, Debug)]
pub struct Fetch {
    frame: Vec<u8>,
    offset_at: usize,
    error_at: usize,
    step_records: u64,
    step_bytes: usize,
    end: u64,
    next: u64,
}

impl Fetch {
    /// Prepares requests for `batches_per_step` batches like `batch` each, on a topic that holds `steps` times as many.
    pub fn new(topic: &str, batch: &Batch, batches_per_step: usize, steps: u64) -> Self {
        let step_bytes = batch.bytes.len() * batches_per_step;
        let wire_bytes = i32::try_from(step_bytes).expect("a step is smaller than 2 GiB");
        let mut frame = Frame::new(1, 12, true);
        frame.i32(-1); // replica
        frame.i32(500); // wait, ms
        frame.i32(1); // least bytes
        frame.i32(wire_bytes); // most bytes
        frame.bytes.push(0); // read uncommitted
        frame.i32(0); // no session
        frame.i32(-1);
        frame.uvarint(2); // one topic
        frame.compact_string(topic);
        frame.uvarint(2); // one partition
        frame.i32(0);
        frame.i32(-1); // leader epoch
        let offset_at = frame.bytes.len();
        frame.i64(0);
        frame.i32(-1); // last fetched epoch
        frame.i64(-1); // log start
        frame.i32(wire_bytes);
        frame.bytes.extend_from_slice(&[0, 0]); // no tagged fields: partition, topic
        frame.uvarint(1); // nothing forgotten
        frame.uvarint(1); // no rack
        frame.bytes.push(0); // no tagged fields
        // Correlation id and tags; throttle, error, session; count, topic name, count, partition.
        let error_at = 4 + 1 + 4 + 2 + 4 + 1 + (1 + topic.len()) + 1 + 4;
        let step_records = u64::from(batch.records) * batches_per_step as u64;
        Self {
            frame: frame.finish(),
            offset_at,
            error_at,
            step_records,
            step_bytes,
            end: step_records * steps,
            next: 0,
        }
    }

    /// Bytes of one request, without its length prefix.
    pub fn request_bytes(&self) -> usize {
        self.frame.len() - SIZE_BYTES
    }

    /// Bytes of an answer that are not records, without its length prefix.
    pub fn answer_head_bytes(&self) -> usize {
        let length_bytes = uvarint_bytes(self.step_bytes as u64 + 1);
        // Error, three offsets, aborted, preferred replica; length; tags of partition, topic, body.
        self.error_at + 2 + 24 + 1 + 4 + length_bytes + 3
    }
}

impl Exchange for Fetch {
    fn request(&mut self) -> &[u8] {
        self.frame[self.offset_at..self.offset_at + 8].copy_from_slice(&self.next.to_be_bytes());
        self.next += self.step_records;
        if self.next == self.end {
            self.next = 0;
        }
        &self.frame
    }

    fn answer(&mut self, head: &[u8], bytes: usize) -> Result<(), String> {
        no_error(head, self.error_at, "fetch")?;
        let records = bytes.saturating_sub(self.answer_head_bytes());
        // The rest of the answer is optional or tagged and may be a few bytes longer or shorter than expected.
        if records.abs_diff(self.step_bytes) > 16 {
            return Err(format!("fetch: {bytes} bytes came, with {} bytes of records expected", self.step_bytes));
        }
        Ok(())
    }
}

fn no_error(head: &[u8], at: usize, what: &str) -> Result<(), String> {
    match error_code(head, at) {
        Some(0) => Ok(()),
        Some(code) => Err(format!("{what}: error code {code}")),
        None => Err(format!("{what}: an answer of {} bytes", head.len())),
    }
}

fn error_code(head: &[u8], at: usize) -> Option<i16> {
    head.get(at..)?.first_chunk().copied().map(i16::from_be_bytes)
}

/// A connection for the requests around a measurement: one at a time, checked.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Whatever connecting fails with.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Asks for the metadata of no topic, the cheapest question whose answer proves that the broker serves.
    ///
    /// # Errors
    ///
    /// If the connection fails or the answer is shorter than any valid one.
    pub fn metadata(&mut self) -> io::Result<()> {
        let mut frame = Frame::new(3, 4, false);
        frame.i32(0);
        frame.bytes.push(0); // no automatic creation
        let answer = self.call(frame)?;
        if answer.len() < 4 + 4 + 4 { Err(io::Error::other("a metadata answer without brokers")) } else { Ok(()) }
    }

    /// Creates a topic with one partition and the given configuration.
    ///
    /// # Errors
    ///
    /// If the connection fails or the broker refuses.
    pub fn create_topic(&mut self, topic: &str, configs: &[(&str, &str)]) -> io::Result<()> {
        let mut frame = Frame::new(19, 4, false);
        frame.i32(1);
        frame.string(topic);
        frame.i32(1); // partitions
        frame.i16(1); // replicas
        frame.i32(0); // no assignment
        frame.i32(i32::try_from(configs.len()).expect("a handful of settings"));
        for (name, value) in configs {
            frame.string(name);
            frame.string(value);
        }
        frame.i32(30_000);
        frame.bytes.push(0); // not only validate
        let answer = self.call(frame)?;
        // Correlation id, throttle, count, name.
        no_error(&answer, 4 + 4 + 4 + 2 + topic.len(), "create topic").map_err(io::Error::other)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    ///
    /// If the connection fails or the broker refuses.
    pub fn delete_topic(&mut self, topic: &str) -> io::Result<()> {
        let mut frame = Frame::new(20, 3, false);
        frame.i32(1);
        frame.string(topic);
        frame.i32(30_000);
        let answer = self.call(frame)?;
        no_error(&answer, 4 + 4 + 4 + 2 + topic.len(), "delete topic").map_err(io::Error::other)
    }

    /// Sends one batch, again and again while the broker says that it is not ready for the topic yet.
    ///
    /// # Errors
    ///
    /// If the connection fails, or the broker refuses for another reason or for too long.
    pub fn wait_until_served(&mut self, produce: &Produce) -> io::Result<()> {
        let deadline = Instant::now() + NOT_READY_TIME_MAX;
        loop {
            let answer = self.exchange(&produce.frame)?;
            let code = error_code(&answer, produce.error_at);
            if !code.is_some_and(|code| NOT_READY_CODES.contains(&code)) || Instant::now() > deadline {
                return no_error(&answer, produce.error_at, "produce").map_err(io::Error::other);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn call(&mut self, frame: Frame) -> io::Result<Vec<u8>> {
        self.exchange(&frame.finish())
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(request)?;
        let mut size = [0; SIZE_BYTES];
        self.stream.read_exact(&mut size)?;
        let mut answer = vec![0; u32::from_be_bytes(size).min(ANSWER_BYTES_MAX) as usize];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// A request being written, length prefix first.
struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    fn new(api_key: i16, version: i16, flexible: bool) -> Self {
        let mut frame = Self { bytes: vec![0; SIZE_BYTES] };
        frame.i16(api_key);
        frame.i16(version);
        frame.i32(1); // correlation id
        frame.string("load");
        if flexible {
            frame.bytes.push(0); // no tagged fields
        }
        frame
    }

    fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn string(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).expect("names are short"));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn compact_string(&mut self, text: &str) {
        self.uvarint(text.len() as u64 + 1);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let size = u32::try_from(self.bytes.len() - SIZE_BYTES).expect("a request is smaller than 4 GiB");
        self.bytes[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        self.bytes
    }
}

fn uvarint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of the length prefix.
pub(crate) const SIZE_BYTES: usize = 4;
/// Answers to control requests are small.
const ANSWER_BYTES_MAX: u32 = 1 << 20;
/// Unknown topic or partition, leader not available, not the leader: what a broker says while a topic is being set up.
const NOT_READY_CODES: [i16; 3] = [3, 5, 6];
const NOT_READY_TIME_MAX: Duration = Duration::from_secs(10);
