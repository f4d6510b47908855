//! The v2 record batch: its 61-byte header, read and changed in place.

mod builder;
mod header;
mod patch;
mod view;

pub use builder::{BatchBuilder, BatchOptions, BuildError, retained_empty};
pub use header::{Attributes, BatchHeader, ProducerStamp};
pub use patch::BatchMut;
pub use view::BatchView;

pub(crate) use header::{field, sequence_plus};
