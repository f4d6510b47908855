//! Compression of one payload.

use crate::{Codec, Compression, RecordError};

/// Appends `payload`, compressed, to `out`.
///
/// Fails only with [`RecordError::CodecNotBuilt`], before anything is appended.
pub(crate) fn compress(compression: Compression, payload: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
    compress_with(compression, payload, true, out)
}

/// As [`compress`], for the value of a wrapper of format `magic`.
pub(crate) fn compress_legacy(
    compression: Compression,
    magic: u8,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    compress_with(compression, payload, magic != 0, out)
}

/// `lz4_header_right` is false for v0, whose readers expect the checksum its writers have always computed.
fn compress_with(
    compression: Compression,
    payload: &[u8],
    lz4_header_right: bool,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    #[cfg(not(feature = "lz4"))]
    let _ = lz4_header_right;
    match compression.codec() {
        Codec::None => out.extend_from_slice(payload),
        #[cfg(feature = "gzip")]
        Codec::Gzip => super::gzip::compress(payload, compression.level(), out),
        #[cfg(feature = "snappy")]
        Codec::Snappy => super::snappy::compress(payload, out),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => super::lz4::compress(payload, lz4_header_right, out),
        #[cfg(feature = "zstd")]
        Codec::Zstd => super::zstd::compress(payload, compression.level(), out),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
        codec => return Err(RecordError::CodecNotBuilt { codec }),
    }
    Ok(())
}
