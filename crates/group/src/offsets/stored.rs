//! A committed offset in memory.

use std::sync::Arc;

use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};

use crate::record::CommittedOffset;
use crate::response::FetchedOffset;
use crate::shard::Expiration;

/// What is kept of a [`CommittedOffset`]: there may be millions, of which hardly one has metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredOffset {
    /// Where its record lies in the log.
    pub(super) at: Offset,
    offset: Offset,
    committed: TimestampMs,
    leader_epoch: Option<LeaderEpoch>,
    rest: Option<Box<Rest>>,
}

const _: () = assert!(size_of::<(PartitionIndex, StoredOffset)>() <= 48, "a million of them take 48 MB");

/// What most commits do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest {
    metadata: Arc<str>,
    expires: Option<TimestampMs>,
}

impl StoredOffset {
    /// The id of the topic is not kept: offsets of a topic that is deleted go with it.
    pub(super) fn new(at: Offset, value: CommittedOffset) -> Self {
        let CommittedOffset { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id: _ } = value;
        let is_plain = metadata.is_empty() && expire_timestamp.is_none();
        let rest = (!is_plain).then(|| Box::new(Rest { metadata, expires: expire_timestamp }));
        Self { at, offset, committed: commit_timestamp, leader_epoch, rest }
    }

    /// As an answer to a fetch.
    pub(super) fn fetched(&self, partition: PartitionIndex) -> FetchedOffset {
        FetchedOffset {
            offset: Some(self.offset),
            leader_epoch: self.leader_epoch,
            metadata: self.rest.as_ref().map_or_else(Arc::default, |rest| Arc::clone(&rest.metadata)),
            ..FetchedOffset::none(partition)
        }
    }

    /// Whether it has expired at `now`, in a topic of that name.
    pub(super) fn is_expired(&self, topic: &str, expiration: &Expiration, now: TimestampMs, retention_ms: i64) -> bool {
        let since = match expiration {
            Expiration::Never => return false,
            Expiration::SinceCommit { subscribed } if subscribed.contains(topic) => return false,
            Expiration::SinceCommit { .. } => self.committed,
            Expiration::Since(since) => *since,
        };
        match self.rest.as_ref().and_then(|rest| rest.expires) {
            Some(expires) => expires <= now,
            None => retention_ms <= now.value().saturating_sub(since.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::{TopicId, Uuid};
    use std::collections::BTreeSet;

    fn committed(at_ms: i64, expires_ms: Option<i64>) -> StoredOffset {
        let value = CommittedOffset {
            offset: Offset::new(7),
            leader_epoch: Some(LeaderEpoch::new(3)),
            metadata: Arc::from("m"),
            commit_timestamp: TimestampMs(at_ms),
            expire_timestamp: expires_ms.map(TimestampMs),
            topic_id: Some(TopicId(Uuid::from_bytes([1; 16]))),
        };
        StoredOffset::new(Offset::ZERO, value)
    }

    fn is_expired(stored: &StoredOffset, expiration: &Expiration, now: i64) -> bool {
        stored.is_expired("t", expiration, TimestampMs(now), 100)
    }

    fn since_commit(subscribed: &[&str]) -> Expiration {
        let subscribed: BTreeSet<Arc<str>> = subscribed.iter().map(|topic| Arc::from(*topic)).collect();
        Expiration::SinceCommit { subscribed }
    }

    #[test]
    fn a_commit_is_fetched_as_it_was_made() {
        let fetched = committed(0, None).fetched(PartitionIndex::new(4));
        assert_eq!(fetched.partition, PartitionIndex::new(4));
        assert_eq!(fetched.offset, Some(Offset::new(7)));
        assert_eq!(fetched.leader_epoch, Some(LeaderEpoch::new(3)));
        assert_eq!(&*fetched.metadata, "m");
    }

    #[test]
    fn retention_counts_from_the_commit() {
        let stored = committed(1000, None);
        assert!(!is_expired(&stored, &since_commit(&[]), 1099));
        assert!(is_expired(&stored, &since_commit(&[]), 1100));
    }

    #[test]
    fn offsets_of_subscribed_topics_stay() {
        let stored = committed(1000, None);
        assert!(!is_expired(&stored, &since_commit(&["a", "t"]), 9000));
        assert!(is_expired(&stored, &since_commit(&["a", "u"]), 9000));
    }

    #[test]
    fn retention_of_an_empty_group_counts_from_when_it_became_empty() {
        let stored = committed(1000, None);
        let expiration = Expiration::Since(TimestampMs(5000));
        assert!(!is_expired(&stored, &expiration, 5099));
        assert!(is_expired(&stored, &expiration, 5100));
    }

    #[test]
    fn a_group_between_states_keeps_everything() {
        assert!(!is_expired(&committed(1000, None), &Expiration::Never, i64::MAX));
        assert!(!is_expired(&committed(1000, Some(1)), &Expiration::Never, i64::MAX));
    }

    #[test]
    fn the_retention_of_an_old_client_overrides() {
        let late = committed(1000, Some(90_000));
        assert!(!is_expired(&late, &since_commit(&[]), 89_999));
        assert!(is_expired(&late, &since_commit(&[]), 90_000));
        let early = committed(1000, Some(1001));
        assert!(is_expired(&early, &Expiration::Since(TimestampMs(5000)), 1001));
        assert!(!is_expired(&early, &since_commit(&["t"]), 1001), "but not while the topic is subscribed");
    }

    #[test]
    fn times_at_the_ends_of_their_range_do_not_overflow() {
        let stored = committed(i64::MIN, None);
        assert!(is_expired(&stored, &since_commit(&[]), i64::MAX));
        let stored = committed(i64::MAX, None);
        assert!(!is_expired(&stored, &since_commit(&[]), i64::MIN));
    }
}
