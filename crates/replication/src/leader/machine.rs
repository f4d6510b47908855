//! The leader's state machine.

use super::{
    AckError, Acknowledgement, Acks, EpochError, FollowerFetch, FollowerRefusal, IsrAnswer, IsrMember, IsrProposal,
    ProposalId, Ticks, isr::Pending, remote::Remote,
};
use highwater_types::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use std::collections::VecDeque;

/// What a leader is told when it becomes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSetup {
    /// The node it runs on.
    pub node: NodeId,
    /// Epoch in which it leads.
    pub leader_epoch: LeaderEpoch,
    /// Number of the partition's state that made it leader.
    pub partition_epoch: PartitionEpoch,
    /// Brokers that have a replica, itself among them.
    pub replicas: Vec<NodeId>,
    /// Replicas in sync, itself among them.
    pub isr: Vec<NodeId>,
    /// End of its log. Its leader epoch starts here.
    pub log_end: Offset,
    /// Its high watermark so far, from its time as follower or from the checkpoint.
    pub high_watermark: Offset,
    /// How it decides.
    pub config: LeaderConfig,
}

/// What a leader's decisions depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// `replica.lag.time.max.ms`: how long a follower may lag and count as in sync. Default 30 s.
    pub lag_ms_max: u64,
    /// `min.insync.replicas` of the topic. Default 1.
    pub min_insync_replicas: u32,
}

impl Default for LeaderConfig {
    fn default() -> Self {
        Self { lag_ms_max: 30_000, min_insync_replicas: 1 }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A follower's fetch was served. Not for one that [`Leader::check_follower`] refuses, that was answered
    /// with a diverging epoch, or that was read for a second time after waiting: none of these says where
    /// the follower is now.
    FollowerFetch(FollowerFetch),
    /// The metadata log has another state of this partition in the same leader epoch.
    PartitionChanged {
        /// Number of that state.
        partition_epoch: PartitionEpoch,
        /// Brokers that have a replica.
        replicas: Vec<NodeId>,
        /// Replicas in sync.
        isr: Vec<NodeId>,
    },
    /// The metadata log has another registration of a broker, or the first that this leader hears of.
    BrokerChanged {
        /// The broker.
        node: NodeId,
        /// Its registration; `None` if it has none.
        epoch: Option<BrokerEpoch>,
        /// Whether it is neither fenced nor shutting down.
        active: bool,
    },
    /// What became of a proposal.
    IsrAnswered {
        /// Which one.
        id: ProposalId,
        /// What became of it.
        answer: IsrAnswer,
    },
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The high watermark has moved here: tell the log, wake what waits for it.
    HighWatermark(Offset),
    /// The in-sync replicas should change: ask the controller, and give its answer back as
    /// [`Input::IsrAnswered`], or [`IsrAnswer::Unknown`] when none comes. A proposal with the same id as an
    /// earlier one repeats it.
    ProposeIsr(IsrProposal),
    /// The in-sync replicas have changed: wake what waits, since `acks=all` may now be refused.
    IsrChanged,
}

/// Leads one partition.
///
/// Contract: call [`appended`](Self::appended) after every append, under the lock that orders appends. After
/// every [`handle`](Self::handle) or [`handle_timeout`](Self::handle_timeout), call
/// [`poll_output`](Self::poll_output) until it returns `None`, then call `handle_timeout` when
/// [`poll_timeout`](Self::poll_timeout) says. `now` never goes backwards. Outputs may be dropped when the
/// leadership ends. A new leader epoch takes a new `Leader`.
///
/// With one replica nothing is ever proposed, there is no deadline, `appended` is two comparisons and two
/// stores, and nothing allocates after [`new`](Self::new).
#[derive(Debug)]
pub struct Leader {
    node: NodeId,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    /// End of the log when this leader epoch began.
    epoch_start: Offset,
    /// Invariant: `high_watermark <= log_end`.
    log_end: Offset,
    /// Never goes back.
    high_watermark: Offset,
    /// Replicas as the metadata log has them.
    replica_count: usize,
    /// Every replica, and in-sync replica, but this node.
    remotes: Vec<Remote>,
    /// The in-sync replicas that the controller has committed.
    isr: Vec<NodeId>,
    pending: Option<Pending>,
    next_proposal: ProposalId,
    config: LeaderConfig,
    /// Time as of the last event.
    now: Ticks,
    /// When to look for followers that lag; `None` without followers.
    next_lag_check: Option<Ticks>,
    outputs: VecDeque<Output>,
}

impl Leader {
    /// A leader at the beginning of its epoch. Its high watermark may be above the one given.
    ///
    /// # Panics
    ///
    /// If the high watermark is behind the end of the log, which the log itself rules out.
    #[must_use]
    pub fn new(setup: LeaderSetup, now: Ticks) -> Self {
        let LeaderSetup { node, leader_epoch, partition_epoch, replicas, isr, log_end, high_watermark, config } = setup;
        assert!(high_watermark <= log_end, "a log's high watermark is within it");
        let mut leader = Self {
            node,
            leader_epoch,
            partition_epoch,
            epoch_start: log_end,
            log_end,
            high_watermark,
            replica_count: 0,
            remotes: Vec::new(),
            isr,
            pending: None,
            next_proposal: ProposalId::default(),
            config,
            now,
            next_lag_check: None,
            outputs: VecDeque::new(),
        };
        leader.set_replicas(&replicas);
        leader.advance_high_watermark();
        leader.assert_invariants();
        leader
    }

    /// The log now ends at `log_end`. Returns the high watermark if that moved it.
    ///
    /// # Panics
    ///
    /// If the log has become shorter, which a leader's cannot.
    #[must_use = "the log and those who wait must hear of a new high watermark"]
    pub fn appended(&mut self, log_end: Offset) -> Option<Offset> {
        assert!(self.log_end <= log_end, "a leader only appends");
        self.log_end = log_end;
        self.advance_high_watermark()
    }

    /// Whether a follower's fetch may be served; if not, say why and do not feed it to `handle`.
    ///
    /// # Errors
    ///
    /// See [`FollowerRefusal`].
    pub fn check_follower(&self, fetch: &FollowerFetch) -> Result<(), FollowerRefusal> {
        self.check_epoch(fetch.leader_epoch)?;
        let node = fetch.node;
        let remote = self.remotes.iter().find(|remote| remote.node == node);
        let remote = remote.ok_or(FollowerRefusal::NotReplica { node })?;
        match (fetch.broker_epoch, remote.registered_as) {
            (Some(given), Some(current)) if given < current => {
                Err(FollowerRefusal::StaleBroker { node, given, current })
            }
            _ => Ok(()),
        }
    }

    /// Feeds one event. Late and repeated ones are dropped: a lossy network makes them.
    ///
    /// # Panics
    ///
    /// If outputs of the last event were not drained, or time goes back.
    pub fn handle(&mut self, now: Ticks, input: Input) {
        self.enter(now);
        match input {
            Input::FollowerFetch(fetch) => self.follower_fetched(&fetch),
            Input::PartitionChanged { partition_epoch, replicas, isr } => {
                self.partition_changed(partition_epoch, &replicas, isr);
            }
            Input::BrokerChanged { node, epoch, active } => {
                if let Some(remote) = self.remotes.iter_mut().find(|remote| remote.node == node) {
                    remote.registered_as = epoch;
                    remote.eligible_as = epoch.filter(|_| active);
                }
            }
            Input::IsrAnswered { id, answer } => self.isr_answered(id, answer),
        }
        self.leave();
    }

    /// Does what is due: finds followers that lag, repeats a proposal without an answer.
    ///
    /// # Panics
    ///
    /// If outputs of the last event were not drained, or time goes back.
    pub fn handle_timeout(&mut self, now: Ticks) {
        self.enter(now);
        if self.next_lag_check.is_some_and(|at| at <= now) {
            self.next_lag_check = Some(now.plus_ms(self.lag_check_ms()));
            self.propose_shrink();
        }
        if let Some(pending) = &mut self.pending
            && pending.retry_at.is_some_and(|at| at <= now)
        {
            pending.retry_at = None;
            self.outputs.push_back(Output::ProposeIsr(pending.proposal.clone()));
        }
        self.leave();
    }

    /// What to do next; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Ticks> {
        let retry_at = self.pending.as_ref().and_then(|pending| pending.retry_at);
        self.next_lag_check.into_iter().chain(retry_at).min()
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
    /// may not be committed yet.
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
    /// `OFFSET_NOT_AVAILABLE` (KIP-207).
    #[must_use]
    pub fn knows_high_watermark(&self) -> bool {
        self.epoch_start <= self.high_watermark
    }

    /// Changes the config. What it changes shows with the next event.
    pub fn set_config(&mut self, config: LeaderConfig) {
        self.config = config;
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

    fn enter(&mut self, now: Ticks) {
        assert!(self.outputs.is_empty(), "drain poll_output before the next event");
        assert!(self.now <= now, "time does not go back");
        self.now = now;
    }

    fn leave(&mut self) {
        if let Some(high_watermark) = self.advance_high_watermark() {
            self.outputs.push_back(Output::HighWatermark(high_watermark));
        }
        self.assert_invariants();
    }

    fn follower_fetched(&mut self, fetch: &FollowerFetch) {
        if self.check_follower(fetch).is_err() || self.log_end < fetch.offset {
            return;
        }
        let (log_end, now) = (self.log_end, self.now);
        let Some(remote) = self.remotes.iter_mut().find(|remote| remote.node == fetch.node) else { return };
        remote.fetched(fetch, log_end, now);
        self.propose_expansion(fetch.node);
    }

    fn partition_changed(&mut self, partition_epoch: PartitionEpoch, replicas: &[NodeId], isr: Vec<NodeId>) {
        if partition_epoch <= self.partition_epoch {
            // Older, or already known from the controller's answer.
            return;
        }
        self.commit_isr(partition_epoch, isr);
        self.set_replicas(replicas);
    }

    fn isr_answered(&mut self, id: ProposalId, answer: IsrAnswer) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.proposal.id == id) else { return };
        match answer {
            IsrAnswer::Committed { leader_epoch, .. } if leader_epoch != self.leader_epoch => {}
            IsrAnswer::Committed { partition_epoch, isr, .. } if self.partition_epoch <= partition_epoch => {
                self.commit_isr(partition_epoch, isr);
            }
            IsrAnswer::Committed { .. } | IsrAnswer::Superseded => {}
            IsrAnswer::NotApplied => self.pending = None,
            IsrAnswer::Unknown => pending.retry_at = Some(self.now.plus_ms(PROPOSAL_RETRY_MS)),
        }
    }

    fn commit_isr(&mut self, partition_epoch: PartitionEpoch, isr: Vec<NodeId>) {
        self.partition_epoch = partition_epoch;
        self.pending = None;
        if self.isr != isr {
            self.isr = isr;
            self.outputs.push_back(Output::IsrChanged);
        }
    }

    fn set_replicas(&mut self, replicas: &[NodeId]) {
        self.replica_count = replicas.len();
        let (node, now) = (self.node, self.now);
        let isr = &self.isr;
        self.remotes.retain(|remote| replicas.contains(&remote.node) || isr.contains(&remote.node));
        for other in replicas.iter().chain(isr).filter(|other| **other != node) {
            if self.remotes.iter().all(|remote| remote.node != *other) {
                self.remotes.push(Remote::new(*other, isr.contains(other), now));
            }
        }
        self.next_lag_check = match self.next_lag_check {
            _ if self.remotes.is_empty() => None,
            None => Some(now.plus_ms(self.lag_check_ms())),
            at => at,
        };
    }

    fn propose_expansion(&mut self, node: NodeId) {
        if self.pending.is_some() || self.isr.contains(&node) {
            return;
        }
        // The high watermark of a new leader may be behind the true one, which is at most where its epoch
        // began (KAFKA-7128).
        let needed = self.high_watermark.max(self.epoch_start);
        let joins = |remote: &Remote| {
            remote.node == node && remote.is_eligible() && remote.log_end.is_some_and(|end| needed <= end)
        };
        if self.remotes.iter().any(joins) {
            let isr = self.isr.iter().copied().chain([node]).collect();
            self.propose(isr, Some(node));
        }
    }

    fn propose_shrink(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let (log_end, lag_ms_max, now) = (self.log_end, self.config.lag_ms_max, self.now);
        let lags =
            |node: NodeId| self.remotes.iter().any(|r| r.node == node && !r.is_caught_up(log_end, lag_ms_max, now));
        let isr: Vec<NodeId> = self.isr.iter().copied().filter(|member| !lags(*member)).collect();
        if isr.len() < self.isr.len() {
            self.propose(isr, None);
        }
    }

    fn propose(&mut self, isr: Vec<NodeId>, joining: Option<NodeId>) {
        let fetched_as = |node| self.remotes.iter().find(|remote| remote.node == node).and_then(|r| r.fetched_as);
        let proposal = IsrProposal {
            id: self.next_proposal,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: isr.into_iter().map(|node| IsrMember { node, epoch: fetched_as(node) }).collect(),
        };
        self.next_proposal.0 += 1;
        self.outputs.push_back(Output::ProposeIsr(proposal.clone()));
        self.pending = Some(Pending { proposal, joining, retry_at: None });
    }

    /// Moves the high watermark to the end of what every replica has that is in sync, may be, or is about
    /// to be.
    fn advance_high_watermark(&mut self) -> Option<Offset> {
        let mut to = self.log_end;
        if !self.remotes.is_empty() {
            if self.isr.len() < self.required_in_sync() {
                return None;
            }
            for remote in self.remotes.iter().filter(|remote| self.holds_back(remote)) {
                to = to.min(remote.log_end?);
            }
        }
        if to <= self.high_watermark {
            return None;
        }
        self.high_watermark = to;
        Some(to)
    }

    /// Whether the high watermark waits for a follower. It does for one that keeps up but is not in sync
    /// yet, so that it can join, unless it is not eligible and so cannot (KAFKA-15021).
    fn holds_back(&self, remote: &Remote) -> bool {
        let joining = self.pending.as_ref().and_then(|pending| pending.joining);
        self.isr.contains(&remote.node)
            || joining == Some(remote.node)
            || (remote.is_eligible() && remote.is_caught_up(self.log_end, self.config.lag_ms_max, self.now))
    }

    fn maximal_isr_count(&self) -> usize {
        self.isr.len() + usize::from(self.pending.as_ref().is_some_and(|pending| pending.joining.is_some()))
    }

    /// `min.insync.replicas`, but not more than there are replicas.
    fn required_in_sync(&self) -> usize {
        usize::try_from(self.config.min_insync_replicas).unwrap_or(usize::MAX).min(self.replica_count)
    }

    fn lag_check_ms(&self) -> u64 {
        (self.config.lag_ms_max / 2).max(1)
    }

    fn assert_invariants(&self) {
        assert!(self.high_watermark <= self.log_end, "what is committed is in the log");
        assert!(
            self.pending.as_ref().is_none_or(|p| p.proposal.partition_epoch == self.partition_epoch),
            "a proposal starts from the current state"
        );
    }
}

/// How long to wait before a proposal without an answer is repeated.
const PROPOSAL_RETRY_MS: u64 = 100;
