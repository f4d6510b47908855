//! What the log remembers of its producers, for idempotence and transactions (storage format, section 13).

mod entry;
mod snapshot;
mod state;

pub use entry::{ProducerSummary, SequenceRange};
pub(crate) use snapshot::{format_snapshot, parse_snapshot, read_snapshot};
pub(crate) use state::{ProducerCheck, Producers, Source};
