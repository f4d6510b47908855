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

#[cfg(test)]
mod tests {
    use super::{EpochEnd, EpochTable, UnknownEpoch, divergence};
    use highwater_types::{LeaderEpoch, Offset};

    const fn end(epoch: u32, end: u64) -> EpochEnd {
        EpochEnd { epoch: LeaderEpoch::new(epoch), end: Offset::new(end) }
    }

    /// Epoch 2 from offset 10 to 20, epoch 4 from there to 30.
    struct Log;

    impl EpochTable for Log {
        fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
            match epoch.value() {
                0 | 1 => Some(EpochEnd { epoch, end: Offset::new(10) }),
                2 | 3 => Some(end(2, 20)),
                4 => Some(end(4, 30)),
                _ => None,
            }
        }
    }

    fn parts(last_fetched: u32, offset: u64) -> Result<Option<EpochEnd>, UnknownEpoch> {
        divergence(&Log, LeaderEpoch::new(last_fetched), Offset::new(offset))
    }

    #[test]
    fn a_reader_within_an_epoch_goes_on() {
        assert_eq!(parts(4, 30), Ok(None));
        assert_eq!(parts(4, 20), Ok(None));
        assert_eq!(parts(2, 20), Ok(None));
        assert_eq!(parts(1, 10), Ok(None));
    }

    #[test]
    fn a_reader_past_the_end_of_its_epoch_parts_there() {
        assert_eq!(parts(4, 31), Ok(Some(end(4, 30))));
        assert_eq!(parts(2, 21), Ok(Some(end(2, 20))));
        assert_eq!(parts(1, 11), Ok(Some(end(1, 10))));
    }

    #[test]
    fn a_reader_with_an_epoch_that_the_log_lacks_parts_at_the_end_of_the_one_before() {
        assert_eq!(parts(3, 15), Ok(Some(end(2, 20))));
    }

    #[test]
    fn a_reader_with_a_higher_epoch_is_out_of_range() {
        assert_eq!(parts(5, 30), Err(UnknownEpoch { requested: LeaderEpoch::new(5) }));
    }
}
