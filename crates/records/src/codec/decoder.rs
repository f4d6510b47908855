//! Decompression of one payload, chunk by chunk and within a budget.

use crate::{Codec, DecompressLimit, RecordError};

/// Why a codec gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The compressed bytes are no valid stream.
    #[cfg_attr(
        not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
        expect(dead_code, reason = "stored bytes cannot be malformed")
    )]
    Malformed(&'static str),
    /// The next chunk does not fit the budget.
    OverBudget,
}

/// The decompressed bytes of one payload, in order.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    codec: Codec,
    stream: Stream<'a>,
}

#[derive(Debug)]
enum Stream<'a> {
    Stored(&'a [u8]),
    #[cfg(feature = "gzip")]
    Gzip(super::gzip::GzipDecoder<'a>),
    #[cfg(feature = "snappy")]
    Snappy(super::snappy::SnappyDecoder<'a>),
    #[cfg(feature = "lz4")]
    Lz4(super::lz4::Lz4Decoder<'a>),
    #[cfg(feature = "zstd")]
    Zstd(super::zstd::ZstdDecoder<'a>),
}

impl<'a> Decoder<'a> {
    /// Decodes `payload` as v1 and v2 write it.
    pub(crate) fn new(codec: Codec, payload: &'a [u8]) -> Result<Self, RecordError> {
        Self::with_header_check(codec, payload, true)
    }

    /// `lz4_header_checked` is false for v0, whose writers compute LZ4's header checksum over wrong bytes.
    fn with_header_check(codec: Codec, payload: &'a [u8], lz4_header_checked: bool) -> Result<Self, RecordError> {
        #[cfg(not(feature = "lz4"))]
        let _ = lz4_header_checked;
        let stream = match codec {
            Codec::None => Stream::Stored(payload),
            #[cfg(feature = "gzip")]
            Codec::Gzip => Stream::Gzip(super::gzip::GzipDecoder::new(payload)),
            #[cfg(feature = "snappy")]
            Codec::Snappy => Stream::Snappy(super::snappy::SnappyDecoder::new(payload)),
            #[cfg(feature = "lz4")]
            Codec::Lz4 => Stream::Lz4(super::lz4::Lz4Decoder::new(payload, lz4_header_checked)),
            #[cfg(feature = "zstd")]
            Codec::Zstd => Stream::Zstd(super::zstd::ZstdDecoder::new(payload)),
            #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
            _ => return Err(RecordError::CodecNotBuilt { codec }),
        };
        Ok(Self { codec, stream })
    }

    /// Appends the next bytes to `out`, at most `budget` of them; appends nothing at the end.
    ///
    /// `limit` is only named in the error for a budget that does not suffice.
    pub(crate) fn read_chunk(
        &mut self,
        out: &mut Vec<u8>,
        budget: usize,
        limit: DecompressLimit,
    ) -> Result<(), RecordError> {
        let read = match &mut self.stream {
            Stream::Stored(payload) => read_stored(payload, out, budget),
            #[cfg(feature = "gzip")]
            Stream::Gzip(decoder) => decoder.read_chunk(out, budget),
            #[cfg(feature = "snappy")]
            Stream::Snappy(decoder) => decoder.read_chunk(out, budget),
            #[cfg(feature = "lz4")]
            Stream::Lz4(decoder) => decoder.read_chunk(out, budget),
            #[cfg(feature = "zstd")]
            Stream::Zstd(decoder) => decoder.read_chunk(out, budget),
        };
        read.map_err(|fault| match fault {
            Fault::Malformed(what) => RecordError::Decompress { codec: self.codec, what },
            Fault::OverBudget => RecordError::LimitExceeded { limit: limit.bytes() as u64 },
        })
    }

    fn read_to_end(mut self, limit: DecompressLimit, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let mut budget = limit.bytes();
        loop {
            let before = out.len();
            self.read_chunk(out, budget, limit)?;
            let added = out.len() - before;
            if added == 0 {
                return Ok(());
            }
            budget -= added;
        }
    }
}

fn read_stored(payload: &mut &[u8], out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
    if budget < payload.len() {
        return Err(Fault::OverBudget);
    }
    out.extend_from_slice(core::mem::take(payload));
    Ok(())
}

/// Appends all of `payload`, decompressed, to `out`.
pub(crate) fn decompress(
    codec: Codec,
    payload: &[u8],
    limit: DecompressLimit,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    Decoder::new(codec, payload)?.read_to_end(limit, out)
}

/// As [`decompress`], for the value of a wrapper of format `magic`.
pub(crate) fn decompress_legacy(
    codec: Codec,
    magic: u8,
    payload: &[u8],
    limit: DecompressLimit,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    Decoder::with_header_check(codec, payload, magic != 0)?.read_to_end(limit, out)
}
