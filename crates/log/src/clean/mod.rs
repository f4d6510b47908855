//! Compaction: of each key only the last record is kept (storage format, section 19).
//!
//! A pass has two halves. It reads what has not been cleaned yet and notes the last offset of every key
//! ([`offset_map`]). Then it goes over the log from its beginning, in groups of segments that fit one segment
//! ([`group`]), writes what is to be kept ([`retain`], [`rewrite`]) to new files ([`output`]) and has the log put them
//! in the place of the old ones ([`swap`]).

mod choose;
mod cleaning;
mod config;
mod group;
mod offset_map;
mod output;
mod retain;
mod rewrite;
mod source;
mod split;
mod stats;
mod swap;
mod task;
mod txns;

pub use choose::{Cleanable, dirtiest};
pub use config::CleanerConfig;
pub use stats::{CleanStats, Cleaned};
pub use task::{CleanProgress, CleanStep, CleanTask, Cleaner};

pub(crate) use cleaning::LogCleaning;
pub(crate) use group::Extent;
pub(crate) use retain::LastBatches;
pub(crate) use source::Source;
pub(crate) use split::{Split, split_overflowed};
pub(crate) use swap::{commit, complete, sync_dir};
pub(crate) use task::{CleanInput, Ready};
