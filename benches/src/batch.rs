//! Record batches built once and sent many times.

use std::fmt;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crc_fast::{CrcAlgorithm, checksum};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchCodec {
    /// Not at all.
    None,
    /// LZ4 frames.
    Lz4,
    /// Zstandard, level 3.
    Zstd,
}

impl fmt::Display for BatchCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// One record batch (magic 2), ready to be sent.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The whole batch, header included.
    pub bytes: Vec<u8>,
    /// Number of records in it.
    pub records: u32,
    /// Size of the batch before compression.
    pub uncompressed_bytes: usize,
}

impl Batch {
    /// Builds a batch that takes exactly `batch_bytes` before compression, of records with values of `value_bytes`
    /// (the last one is longer, to fill the batch).
    ///
    /// Written by hand rather than with the library under test, so that a mistake there cannot hide here. The values
    /// look like JSON events, which compress about as well as real ones.
    ///
    /// # Panics
    ///
    /// If a batch of this size cannot hold one record, or if compressing into memory fails.
    pub fn build(batch_bytes: usize, value_bytes: usize, codec: BatchCodec) -> Self {
        let room = batch_bytes.checked_sub(HEADER_BYTES).expect("a batch is larger than its header");
        let events = events(batch_bytes + value_bytes);
        let mut records = Vec::with_capacity(room);
        let mut count = 0;
        let mut start = 0;
        loop {
            let left = room - records.len();
            let record = encode_record(count, &events[start..start + value_bytes]);
            // The next record would leave too little room for another one: this is the last, and it fills the batch.
            if left < record.len() + value_bytes + RECORD_OVERHEAD_MAX {
                let value = largest_value(count, left).expect("the batch has room for a record");
                records.extend_from_slice(&encode_record(count, &events[start..start + value]));
                break;
            }
            records.extend_from_slice(&record);
            start += value_bytes;
            count += 1;
        }
        let (attributes, body) = compress(records, codec);
        let bytes = seal(attributes, count, &body);
        Self { bytes, records: count + 1, uncompressed_bytes: batch_bytes }
    }
}

fn compress(records: Vec<u8>, codec: BatchCodec) -> (i16, Vec<u8>) {
    match codec {
        BatchCodec::None => (0, records),
        BatchCodec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&records).expect("writing to memory does not fail");
            (3, encoder.finish().expect("writing to memory does not fail"))
        }
        BatchCodec::Zstd => (4, zstd::bulk::compress(&records, 3).expect("compressing in memory does not fail")),
    }
}

/// Puts a batch header with a valid checksum before `body`.
fn seal(attributes: i16, last_offset_delta: u32, body: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis();
    let now = i64::try_from(now).expect("milliseconds since 1970 fit 63 bits");
    let length = i32::try_from(HEADER_BYTES - LENGTH_FROM + body.len()).expect("a batch is smaller than 2 GiB");
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&0i64.to_be_bytes()); // base offset
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&(-1i32).to_be_bytes()); // leader epoch
    out.push(2); // magic
    out.extend_from_slice(&[0; 4]); // checksum, set below
    out.extend_from_slice(&attributes.to_be_bytes());
    out.extend_from_slice(&last_offset_delta.to_be_bytes());
    out.extend_from_slice(&now.to_be_bytes()); // first timestamp
    out.extend_from_slice(&now.to_be_bytes()); // largest timestamp
    out.extend_from_slice(&(-1i64).to_be_bytes()); // producer id
    out.extend_from_slice(&(-1i16).to_be_bytes()); // producer epoch
    out.extend_from_slice(&(-1i32).to_be_bytes()); // base sequence
    out.extend_from_slice(&(last_offset_delta + 1).to_be_bytes());
    out.extend_from_slice(body);
    let crc = crc32c(&out[CRC_FROM..]);
    out[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    out
}

/// CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("a CRC of 32 bits fits 32 bits")
}

/// A record without key and headers, at timestamp delta 0.
fn encode_record(offset_delta: u32, value: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0]; // attributes, timestamp delta
    put_varint(&mut body, i64::from(offset_delta));
    put_varint(&mut body, -1);
    put_varint(&mut body, i64::try_from(value.len()).expect("a value fits memory"));
    body.extend_from_slice(value);
    body.push(0); // header count
    let mut out = Vec::with_capacity(body.len() + 5);
    put_varint(&mut out, i64::try_from(body.len()).expect("a record fits memory"));
    out.extend_from_slice(&body);
    out
}

/// The length of the value with which the record takes exactly `bytes`.
fn largest_value(offset_delta: u32, bytes: usize) -> Option<usize> {
    (0..RECORD_OVERHEAD_MAX)
        .filter_map(|overhead| bytes.checked_sub(overhead))
        .find(|&value| encode_record(offset_delta, &vec![0; value]).len() == bytes)
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// At least `bytes` of JSON events from a fixed seed.
fn events(bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 128);
    let mut state = 88_172_645_463_325_252_u64;
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let action = ["view", "click", "buy", "cart"][(state >> 50) as usize & 3];
        let (id, user, at) = (state & 0xff_ffff, (state >> 24) % 100_000, 1_700_000_000_000 + (state >> 44));
        write!(out, r#"{{"id":{id},"user":"u{user:06}","action":"{action}","ts":{at}}}"#)
            .expect("writing to memory does not fail");
    }
    out
}

/// Bytes of a batch header.
const HEADER_BYTES: usize = 61;
/// The length field counts what follows it.
const LENGTH_FROM: usize = 12;
/// Place of the checksum.
const CRC_AT: usize = 17;
/// The checksum covers everything from here on.
pub(crate) const CRC_FROM: usize = 21;
/// Bytes of a record besides its value: two varints of up to 5 bytes for lengths, one for the offset, and four more.
const RECORD_OVERHEAD_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncompressed_batches_have_exactly_the_size_asked_for() {
        for batch_bytes in [1 << 10, 16 << 10, 64 << 10, 1 << 20] {
            for value_bytes in [100, 1000] {
                if batch_bytes > value_bytes + HEADER_BYTES {
                    let batch = Batch::build(batch_bytes, value_bytes.min(batch_bytes / 2), BatchCodec::None);
                    assert_eq!(batch.bytes.len(), batch_bytes);
                }
            }
        }
    }

    #[test]
    fn compressed_batches_are_smaller_and_hold_the_same_records() {
        let plain = Batch::build(64 << 10, 100, BatchCodec::None);
        for codec in [BatchCodec::Lz4, BatchCodec::Zstd] {
            let batch = Batch::build(64 << 10, 100, codec);
            assert_eq!(batch.records, plain.records);
            assert!(batch.bytes.len() < plain.bytes.len() / 2, "{codec}: {}", batch.bytes.len());
        }
    }
}
