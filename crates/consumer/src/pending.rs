//! Requests that are to be answered.

use std::collections::BTreeMap;

use highwater_types::{NodeId, Offset, Ticks, TopicPartition};

use crate::{Answer, Consumer, Failure, RequestId};

/// What was asked, and what is needed to make sense of the answer.
#[derive(Debug)]
pub(crate) enum Pending {
    Coordinator,
    Join,
    Sync,
    Heartbeat,
    Leave,
    GroupHeartbeat,
    Commit,
    /// Partitions with their versions.
    OffsetFetch(Vec<(TopicPartition, u64)>),
    Query,
    ListOffsets(Vec<(TopicPartition, u64)>),
    Epochs(Vec<(TopicPartition, u64)>),
    Fetch(PendingFetch),
}

#[derive(Debug)]
pub(crate) struct PendingFetch {
    pub(crate) node: NodeId,
    /// Every partition of the session, with its version and the offset asked for.
    pub(crate) partitions: BTreeMap<TopicPartition, (u64, Offset)>,
}

impl<T> Consumer<T> {
    /// Makes of a request's end what it is worth. An answer to something else is none.
    pub(crate) fn conclude(&mut self, now: Ticks, id: RequestId, pending: Pending, outcome: Result<Answer, Failure>) {
        macro_rules! expect {
            ($kind:ident) => {
                match outcome {
                    Ok(Answer::$kind(answer)) => Ok(answer),
                    Ok(_) => Err(Failure::Disconnected),
                    Err(failure) => Err(failure),
                }
            };
        }
        let is_of_member =
            matches!(pending, Pending::Join | Pending::Sync | Pending::Heartbeat | Pending::GroupHeartbeat);
        if is_of_member && self.is_leaving() {
            return;
        }
        match pending {
            Pending::Coordinator => self.coordinator_found(now, id, expect!(FindCoordinator)),
            Pending::Join => self.joined(now, id, expect!(JoinGroup)),
            Pending::Sync => self.synced(now, id, expect!(SyncGroup)),
            Pending::Heartbeat => self.heart_beaten(now, id, expect!(Heartbeat)),
            Pending::Leave => self.left(id),
            Pending::GroupHeartbeat => self.group_heart_beaten(now, id, expect!(ConsumerGroupHeartbeat)),
            Pending::Commit => self.committed_or_not(now, id, expect!(OffsetCommit)),
            Pending::OffsetFetch(asked) => self.offsets_fetched(now, id, &asked, expect!(OffsetFetch)),
            Pending::Query => self.query_answered(now, id, expect!(OffsetFetch)),
            Pending::ListOffsets(asked) => self.offsets_listed(now, id, &asked, expect!(ListOffsets)),
            Pending::Epochs(asked) => self.epochs_told(now, id, &asked, expect!(OffsetForLeaderEpoch)),
            Pending::Fetch(asked) => self.fetch_answered(now, id, &asked, expect!(Fetch)),
        }
    }
}
