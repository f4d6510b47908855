//! The leader's state machine.

use super::{
    FollowerFetch, Input, LeaderConfig, LeaderSetup, Output, ProposalId, RecoveryState, Ticks, isr::Pending,
    remote::Remote,
};
use highwater_types::{LeaderEpoch, NodeId, Offset, PartitionEpoch};
use std::collections::VecDeque;

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
    pub(super) node: NodeId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) partition_epoch: PartitionEpoch,
    /// End of the log when this leader epoch began.
    pub(super) epoch_start: Offset,
    /// Where the log begins, as far as the leader was told.
    pub(super) log_start: Offset,
    /// Invariant: `high_watermark <= log_end`.
    pub(super) log_end: Offset,
    /// Never goes back.
    pub(super) high_watermark: Offset,
    /// Replicas as the metadata log has them.
    pub(super) replica_count: usize,
    /// Every replica, and in-sync replica, but this node.
    pub(super) remotes: Vec<Remote>,
    /// The in-sync replicas that the controller has committed.
    pub(super) isr: Vec<NodeId>,
    pub(super) recovery: RecoveryState,
    pub(super) pending: Option<Pending>,
    pub(super) next_proposal: ProposalId,
    pub(super) config: LeaderConfig,
    /// Time as of the last event.
    pub(super) now: Ticks,
    /// Where followers began when that was last told.
    pub(super) followers_start: Option<Option<Offset>>,
    /// When to look for followers that lag; `None` without followers.
    pub(super) next_lag_check: Option<Ticks>,
    pub(super) outputs: VecDeque<Output>,
}

impl Leader {
    /// A leader at the beginning of its epoch. Its high watermark may be above the one given.
    ///
    /// # Panics
    ///
    /// If the high watermark is behind the end of the log, which the log itself rules out.
    #[must_use]
    pub fn new(setup: LeaderSetup, now: Ticks) -> Self {
        let LeaderSetup { node, leader_epoch, partition_epoch, log_end, high_watermark, .. } = setup;
        assert!(high_watermark <= log_end, "a log's high watermark is within it");
        let mut leader = Self {
            node,
            leader_epoch,
            partition_epoch,
            epoch_start: log_end,
            log_start: Offset::ZERO,
            log_end,
            high_watermark,
            replica_count: 0,
            remotes: Vec::new(),
            isr: setup.isr,
            recovery: setup.recovery,
            pending: None,
            next_proposal: ProposalId::default(),
            config: setup.config,
            now,
            followers_start: None,
            next_lag_check: None,
            outputs: VecDeque::new(),
        };
        leader.set_replicas(&setup.replicas);
        leader.advance_high_watermark();
        leader.followers_start = leader.followers_start();
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

    /// Records before `start` have been deleted. Followers that still have what they take for them do not join.
    pub fn log_start_raised(&mut self, start: Offset) {
        self.log_start = self.log_start.max(start);
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
            Input::PartitionChanged { partition_epoch, replicas, isr, recovery } => {
                self.partition_changed(partition_epoch, &replicas, isr, recovery);
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

    /// Does what is due: finds followers that lag, says that this leader has recovered, repeats a proposal without an answer.
    ///
    /// # Panics
    ///
    /// If outputs of the last event were not drained, or time goes back.
    pub fn handle_timeout(&mut self, now: Ticks) {
        self.enter(now);
        if self.next_lag_check.is_some_and(|at| at <= now) {
            self.next_lag_check = Some(now.plus_ms(self.lag_check_ms()));
            self.propose_due();
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

    /// Changes the config. Returns the high watermark if that moved it, as fewer in-sync replicas may do now
    /// ([`high_watermark`](Self::high_watermark) has it too). Wake what waits: `acks=all` may be refused or
    /// granted now.
    pub fn set_config(&mut self, config: LeaderConfig) -> Option<Offset> {
        self.config = config;
        self.schedule();
        self.advance_high_watermark()
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
        let start = self.followers_start();
        if start != self.followers_start {
            self.followers_start = start;
            if start.is_some() {
                self.outputs.push_back(Output::LowWatermark);
            }
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
        if fetch.leader_epoch.is_some() {
            // Otherwise it may have been made before this leader began, by a replica that has since been
            // taken away and given back.
            self.propose_expansion(fetch.node);
        }
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
        self.isr.contains(&remote.node)
            || self.joining() == Some(remote.node)
            || (remote.log_end.is_some()
                && remote.is_eligible()
                && remote.is_caught_up(self.log_end, self.config.lag_ms_max, self.now))
    }

    fn assert_invariants(&self) {
        assert!(self.high_watermark <= self.log_end, "what is committed is in the log");
        assert!(
            self.pending.as_ref().is_none_or(|p| p.proposal.partition_epoch == self.partition_epoch),
            "a proposal starts from the current state"
        );
    }
}
