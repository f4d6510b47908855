//! The small files around the segments (storage format, sections 6 and 7).

mod clean_marker;
mod meta_properties;
mod offset_checkpoint;
mod partition_metadata;
mod replace;
mod table;

pub(crate) use clean_marker::CleanMarker;
pub use meta_properties::MetaProperties;
pub(crate) use offset_checkpoint::{OffsetCheckpoint, PartitionOffsets, format_offsets, parse_offsets};
pub(crate) use partition_metadata::PartitionMetadata;
pub(crate) use replace::{read_small_file, replace_file, replace_file_lazily, replace_file_unsynced};
pub(crate) use table::{format_table, parse_table};
