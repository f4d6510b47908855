//! What is checked of the records before the log sees them.

use highwater_types::ErrorCode;

/// Checks the shape of one partition's records: since version 3, exactly one batch of format v2.
///
/// Everything inside the batch is checked by the log; this reads a few bytes of its header.
pub(super) fn check_records(records: &[u8], version: i16) -> Result<(), (ErrorCode, &'static str)> {
    let invalid = |message| Err((ErrorCode::InvalidRecord, message));
    let size = records.get(SIZE_AT..).and_then(|bytes| bytes.first_chunk::<4>());
    let (Some(size), Some(magic)) = (size, records.get(MAGIC_AT)) else {
        return invalid("a produce request has one record batch for each partition");
    };
    if *magic != MAGIC_V2 {
        return invalid("a produce request has record batches of format v2 only");
    }
    let Some(end) = usize::try_from(i32::from_be_bytes(*size)).ok().map(|size| size + FRAME_SIZE) else {
        return invalid("the record batch has a negative size");
    };
    // Bytes too few to be another batch are dropped, as everywhere in the format.
    if records.get(end..).is_some_and(starts_with_whole_entry) {
        return invalid("a produce request has no more than one record batch for each partition");
    }
    let attributes = records.get(ATTRIBUTES_AT..).and_then(|bytes| bytes.first_chunk::<2>());
    let Some(attributes) = attributes.map(|bytes| u16::from_be_bytes(*bytes)) else {
        return invalid("the record batch is shorter than its header");
    };
    if version < VERSION_WITH_ZSTD && attributes & CODEC_MASK == CODEC_ZSTD {
        return Err((ErrorCode::UnsupportedCompressionType, "zstd needs version 7 of the produce request"));
    }
    if attributes & TRANSACTIONAL_BIT != 0 {
        // A transaction that nobody coordinates would hold back the last stable offset for ever.
        return Err((ErrorCode::InvalidTxnState, "transactions are not available"));
    }
    Ok(())
}

fn starts_with_whole_entry(bytes: &[u8]) -> bool {
    let size = bytes.get(SIZE_AT..).and_then(|bytes| bytes.first_chunk::<4>());
    let size = size.and_then(|size| usize::try_from(i32::from_be_bytes(*size)).ok());
    size.is_some_and(|size| size + FRAME_SIZE <= bytes.len())
}

/// Base offset and size stand before what the size counts.
const FRAME_SIZE: usize = 12;
const SIZE_AT: usize = 8;
const MAGIC_AT: usize = 16;
const ATTRIBUTES_AT: usize = 21;
const MAGIC_V2: u8 = 2;
const CODEC_MASK: u16 = 0b111;
const CODEC_ZSTD: u16 = 4;
const TRANSACTIONAL_BIT: u16 = 1 << 4;
const VERSION_WITH_ZSTD: i16 = 7;
