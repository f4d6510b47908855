#![doc = include_str!("../README.md")]

mod batch;
mod codec;
mod control;
mod crc;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod head;
#[cfg(feature = "json")]
pub mod json;
mod legacy;
mod limit;
mod record;
mod records;
mod set;
pub mod validate;
mod varint;

pub use batch::{
    Attributes, BatchBuilder, BatchHeader, BatchMut, BatchOptions, BatchView, BuildError, ProducerStamp, retained_empty,
};
pub use codec::{Codec, Compression, InvalidLevel, TimestampType};
pub use control::{ControlType, EndTxnMarker};
pub use crc::{Crc32c, crc32, crc32c};
pub use error::RecordError;
pub use head::EntryHead;
pub use legacy::{InnerMessage, InnerMessages, LegacyBuilder, LegacyMagic, LegacyMessage};
pub use limit::DecompressLimit;
pub use record::{HeaderIter, HeaderView, Headers, RecordContext, RecordView, RecordWalk, WalkMark};
pub use records::Records;
pub use set::{Entries, Entry, RecordSet};
