//! Where leader epochs end in a log, by which two replicas find where they part.

use highwater_types::{LeaderEpoch, Offset};

/// A leader epoch and the end of its records: the start of the next epoch, or the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

/// The leader epochs of a log: its leader epoch checkpoint.
pub trait EpochTable {
    /// The largest known epoch at or below `epoch`, and where it ends (OffsetForLeaderEpoch, KIP-279).
    ///
    /// `None` for an epoch above the newest, or if none is known. For one below the oldest, `epoch` itself and
    /// the start of the oldest.
    fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd>;
}

/// Where the log of a reader that has everything of `last_fetched` up to `offset` parts from the log with these
/// `epochs`; `None` if it does not, as far as this can be seen (KIP-595).
///
/// A leader answers with it instead of records, and takes no note of such a fetch.
///
/// # Errors
///
/// [`UnknownEpoch`] if the log knows no epoch that high: answer `OFFSET_OUT_OF_RANGE`.
pub fn divergence(
    epochs: &impl EpochTable,
    last_fetched: LeaderEpoch,
    offset: Offset,
) -> Result<Option<EpochEnd>, UnknownEpoch> {
    let known = epochs.end_of(last_fetched).ok_or(UnknownEpoch { requested: last_fetched })?;
    Ok((known.epoch < last_fetched || known.end < offset).then_some(known))
}

/// A reader has records of a leader epoch that is above every epoch of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leader epoch {requested} is above all epochs of the log")]
pub struct UnknownEpoch {
    /// The reader's epoch.
    pub requested: LeaderEpoch,
}
