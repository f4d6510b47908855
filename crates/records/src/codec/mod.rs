//! Compression codecs: their names, numbers, levels, and the work itself.

mod compression;
mod decoder;
mod encoder;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "lz4")]
mod xxh32;
#[cfg(feature = "zstd")]
mod zstd;

pub use compression::{Codec, Compression, InvalidLevel, TimestampType};

pub(crate) use decoder::{Decoder, decompress, decompress_legacy};
pub(crate) use encoder::{compress, compress_legacy};
