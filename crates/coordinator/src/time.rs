//! The two clocks of a coordinator, both inputs.

use highwater_types::{Ticks, TimestampMs};

/// When an input happened, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines; never goes back.
    pub ticks: Ticks,
    /// For what is written down: commit timestamps, retention. May jump either way.
    pub wall: TimestampMs,
}
