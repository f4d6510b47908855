//! The sparse indexes of a segment (storage format, section 4).

mod file;
mod offset;
mod time;

pub(crate) use file::{IndexEntry, IndexFile, IndexPlace};
pub(crate) use offset::{OffsetIndex, relative_offset};
pub(crate) use time::TimeIndex;
