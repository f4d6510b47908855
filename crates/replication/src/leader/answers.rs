//! What a leader answers to those who produce, fetch and ask.

use super::{
    AckError, Acknowledgement, Acks, EpochError, FollowerFetch, FollowerRefusal, Leader, RecoveryState, remote::Remote,
};
use highwater_types::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

impl Leader {
    /// Whether a follower's fetch may be served; if not, say why and do not feed it to
    /// [`handle`](Self::handle). Ask again when a fetch that waited is read a second time.
    ///
    /// # Errors
    ///
    /// See [`FollowerRefusal`].
    pub fn check_follower(&self, fetch: &FollowerFetch) -> Result<(), FollowerRefusal> {
        self.check_epoch(fetch.leader_epoch)?;
        let node = fetch.node;
        let remote = self.remote(node).ok_or(FollowerRefusal::NotReplica { node })?;
        match (fetch.broker_epoch, remote.registered_as) {
            (Some(given), Some(current)) if given < current => {
                Err(FollowerRefusal::StaleBroker { node, given, current })
            }
            _ => Ok(()),
        }
    }

    /// Whether records may be appended for a producer that waits for `acks`.
    ///
    /// # Errors
    ///
    /// [`AckError::NotEnoughReplicas`] for `acks=all` when too few replicas are in sync.
    pub fn admit(&self, acks: Acks) -> Result<(), AckError> {
        let (in_sync, required) = (self.isr.len(), self.required_in_sync());
        match acks {
            Acks::All if in_sync < required => Err(AckError::NotEnoughReplicas { in_sync, required }),
            _ => Ok(()),
        }
    }

    /// Whether records that end at `end`, the offset after their last, can be acknowledged.
    ///
    /// Also for a batch that was found to be a duplicate, with the end of the original: its copy elsewhere
    /// may not be committed yet. When the leadership ends first, the outcome is indefinite: answer
    /// `NOT_LEADER_OR_FOLLOWER`.
    #[must_use]
    pub fn acknowledge(&self, acks: Acks, end: Offset) -> Acknowledgement {
        if acks != Acks::All {
            return Acknowledgement::Ready;
        }
        if self.high_watermark < end {
            return Acknowledgement::Wait;
        }
        let (in_sync, required) = (self.maximal_isr_count(), self.required_in_sync());
        if in_sync < required {
            return Acknowledgement::Refused(AckError::NotEnoughReplicasAfterAppend { in_sync, required });
        }
        Acknowledgement::Ready
    }

    /// Compares the leader epoch that a request names, if it does, with this leader's.
    ///
    /// # Errors
    ///
    /// [`EpochError`], which has the code.
    pub fn check_epoch(&self, requested: Option<LeaderEpoch>) -> Result<(), EpochError> {
        EpochError::check(requested, self.leader_epoch)
    }

    /// Whether "the latest offset" means anything yet. A new leader does not know the true high watermark
    /// until its own has reached the start of its epoch; until then ListOffsets answers
    /// `OFFSET_NOT_AVAILABLE` (KIP-207) to a consumer that asks for the latest offset, or for a time whose
    /// offset is not below the high watermark.
    #[must_use]
    pub fn knows_high_watermark(&self) -> bool {
        self.epoch_start <= self.high_watermark
    }

    /// Where all replicas begin whose brokers are active: DeleteRecords is done when this has reached its
    /// offset. `log_start` is where the leader's own log begins. `None` while some follower has not said. When it may have
    /// risen because of a follower there is an [`Output::LowWatermark`](super::Output::LowWatermark).
    #[must_use]
    pub fn low_watermark(&self, log_start: Offset) -> Option<Offset> {
        Some(self.followers_start()?.map_or(log_start, |start| log_start.min(start)))
    }

    /// Where the first of the followers begins whose brokers are active, if there is one; `None` while one has not said.
    pub(super) fn followers_start(&self) -> Option<Option<Offset>> {
        let active = |remote: &&Remote| remote.eligible_as.is_some();
        let earlier = |low: Option<Offset>, start: Offset| Some(low.map_or(start, |low| low.min(start)));
        self.remotes.iter().filter(active).try_fold(None, |low, remote| Some(earlier(low, remote.log_start?)))
    }

    /// The follower that a consumer should rather fetch from (KIP-392); `None` for this leader.
    ///
    /// `is_near` says whether a broker is in the consumer's rack. No follower is nearer than a leader that is
    /// there itself. Of the others those qualify that are active, in sync, and have the records from `offset`
    /// on or will have them next; the one with the longest log is taken, then the one that was caught up
    /// last, then the one with the higher number.
    #[must_use]
    pub fn preferred_replica(&self, offset: Offset, is_near: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let qualifies = |remote: &&Remote| {
            self.isr.contains(&remote.node)
                && remote.eligible_as.is_some()
                && remote.log_end.is_some_and(|end| offset <= end)
                && remote.log_start.is_some_and(|start| start <= offset)
                && is_near(remote.node)
        };
        if is_near(self.node) {
            return None;
        }
        let best = self
            .remotes
            .iter()
            .filter(qualifies)
            .max_by_key(|remote| (remote.log_end, remote.caught_up(), remote.node));
        best.map(|remote| remote.node)
    }

    /// First offset that is not committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Offset that the next record will get.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Epoch in which this node leads.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// Where the log ended when that epoch began.
    #[must_use]
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// Number of the partition's state.
    #[must_use]
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// The in-sync replicas that the controller has committed.
    #[must_use]
    pub fn isr(&self) -> &[NodeId] {
        &self.isr
    }

    /// The replicas that the high watermark waits for as long as nothing else is known: those in sync, and one
    /// that may be by now (the maximal ISR of KIP-497).
    pub fn maximal_isr(&self) -> impl Iterator<Item = NodeId> {
        self.isr.iter().copied().chain(self.joining())
    }

    /// Whether the controller still takes this leader for one that was elected uncleanly.
    #[must_use]
    pub fn recovery(&self) -> RecoveryState {
        self.recovery
    }
}
