//! What to do with the leader's answer.

use super::FetchPosition;
use highwater_types::{LeaderEpoch, Offset};

/// What to do with the leader's answer. Until it is done, and the follower has been told, nothing is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the answer came too late, or is an error that time may heal.
    Nothing,
    /// Truncate the log to here, then call [`truncated`](super::Follower::truncated). Leader epochs that begin
    /// there or later go even if the log itself is not longer (KAFKA-10706). Offsets below the high watermark
    /// may be among what goes: that is worth a warning.
    Truncate {
        /// The new end.
        to: Offset,
    },
    /// Empty the log and let it begin here, then call [`truncated`](super::Follower::truncated).
    StartOver {
        /// The new start and end.
        at: Offset,
    },
    /// Check the batches (length, checksum, offsets that go on at the end of the log, epochs that never go
    /// down from the last one in the log), append those at the front whose epoch is at most `epoch_max`,
    /// without the checks that a leader makes of producers, then call [`appended`](super::Follower::appended).
    Append {
        /// Empty the log first and let it begin here.
        start_over_at: Option<Offset>,
        /// Epoch of the request. From the first batch of a higher epoch on, everything is left out: what the
        /// leader read may have been replaced under its hands (KAFKA-18723).
        epoch_max: LeaderEpoch,
    },
    /// There are no new records; only take over these.
    Advance(Marks),
    /// Ask the leader where its log begins and ends (ListOffsets, in the leader epoch of the position), and
    /// give the answer to [`offsets_answered`](super::Follower::offsets_answered).
    AskOffsets(FetchPosition),
    /// Fetch no more: only another leader epoch helps.
    Fail,
}

/// What to set at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The high watermark. May be lower than before.
    pub high_watermark: Offset,
    /// Where the log begins; delete what is before it.
    pub log_start: Offset,
}

/// What became of [`Plan::Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The batches are in the log, but for those of higher epochs.
    Appended,
    /// Some bytes, offsets or lengths are wrong. Nothing of the answer is to be trusted; it is fetched again
    /// later.
    Corrupt,
    /// The log has failed.
    Failed,
}
