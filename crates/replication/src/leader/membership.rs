//! Who is in sync: what the leader proposes, and what became of it.

use super::{
    IsrAnswer, IsrMember, IsrProposal, Leader, Output, ProposalId, RecoveryState, Ticks, isr::Pending, remote::Remote,
};
use highwater_types::{NodeId, PartitionEpoch};

impl Leader {
    pub(super) fn partition_changed(
        &mut self,
        partition_epoch: PartitionEpoch,
        replicas: &[NodeId],
        isr: Vec<NodeId>,
        recovery: RecoveryState,
    ) {
        if partition_epoch < self.partition_epoch {
            return;
        }
        // The same state may be known from the controller's answer, which does not name the replicas. What has
        // been proposed since then stays.
        if self.partition_epoch < partition_epoch {
            self.commit(partition_epoch, isr, recovery);
        }
        self.set_replicas(replicas);
    }

    pub(super) fn isr_answered(&mut self, id: ProposalId, answer: IsrAnswer) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.proposal.id == id) else { return };
        match answer {
            IsrAnswer::Committed { leader_epoch, .. } if leader_epoch != self.leader_epoch => {}
            IsrAnswer::Committed { partition_epoch, isr, .. } if self.partition_epoch <= partition_epoch => {
                let recovery = pending.proposal.recovery;
                self.commit(partition_epoch, isr, recovery);
                self.add_remotes_in_sync();
            }
            IsrAnswer::Committed { .. } | IsrAnswer::Superseded => {}
            IsrAnswer::NotApplied => self.pending = None,
            IsrAnswer::Unknown => pending.retry(self.now),
        }
    }

    /// Proposes what is due: that this leader has recovered, or to leave out those that lag.
    pub(super) fn propose_due(&mut self) {
        if self.pending.is_some() {
            return;
        }
        if self.recovery == RecoveryState::Recovering {
            self.propose(vec![self.node], None);
            return;
        }
        let (log_end, lag_ms_max, now) = (self.log_end, self.config.lag_ms_max, self.now);
        let lags =
            |node: NodeId| self.remote(node).is_some_and(|remote| !remote.is_caught_up(log_end, lag_ms_max, now));
        let isr: Vec<NodeId> = self.isr.iter().copied().filter(|member| !lags(*member)).collect();
        if isr.len() < self.isr.len() {
            self.propose(isr, None);
        }
    }

    /// Proposes to take in a follower that has just fetched, if it may join.
    pub(super) fn propose_expansion(&mut self, node: NodeId) {
        if self.pending.is_some() || self.isr.contains(&node) || self.recovery == RecoveryState::Recovering {
            return;
        }
        // The high watermark of a new leader may be behind the true one, which is at most where its epoch
        // began (KAFKA-7128).
        let needed = self.high_watermark.max(self.epoch_start);
        // Of what is deleted here nothing is left to compare: a follower may have other records there, and has to
        // delete them before it can be elected. It does so with the answer to this fetch.
        let begins = |remote: &Remote| remote.log_start.is_none_or(|start| self.log_start <= start);
        let joins =
            |remote: &Remote| remote.is_eligible() && remote.log_end.is_some_and(|end| needed <= end) && begins(remote);
        if self.remote(node).is_some_and(joins) {
            let isr = self.isr.iter().copied().chain([node]).collect();
            self.propose(isr, Some(node));
        }
    }

    fn propose(&mut self, isr: Vec<NodeId>, joining: Option<NodeId>) {
        let fetched_as = |node| self.remote(node).and_then(|remote| remote.fetched_as);
        let proposal = IsrProposal {
            id: self.next_proposal,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: isr.into_iter().map(|node| IsrMember { node, epoch: fetched_as(node) }).collect(),
            recovery: RecoveryState::Recovered,
        };
        self.next_proposal.0 += 1;
        self.outputs.push_back(Output::ProposeIsr(proposal.clone()));
        self.pending = Some(Pending::new(proposal, joining));
    }

    fn commit(&mut self, partition_epoch: PartitionEpoch, isr: Vec<NodeId>, recovery: RecoveryState) {
        self.partition_epoch = partition_epoch;
        self.pending = None;
        self.recovery = recovery;
        self.schedule();
        if self.isr != isr {
            self.isr = isr;
            self.outputs.push_back(Output::IsrChanged);
        }
    }

    /// Forgets those that are no replicas any more, so that one that comes back starts from nothing.
    pub(super) fn set_replicas(&mut self, replicas: &[NodeId]) {
        self.replica_count = replicas.len();
        let Self { remotes, isr, node: leader, now, .. } = self;
        remotes.retain(|remote| replicas.contains(&remote.node) || isr.contains(&remote.node));
        for node in replicas.iter().filter(|node| *node != leader) {
            if remotes.iter().all(|remote| remote.node != *node) {
                remotes.push(Remote::new(*node, isr.contains(node), *now));
            }
        }
        self.add_remotes_in_sync();
        self.schedule();
    }

    /// Whoever is in sync is waited for, whatever else is known of it.
    fn add_remotes_in_sync(&mut self) {
        let Self { remotes, isr, node: leader, now, .. } = self;
        for node in isr.iter().filter(|node| *node != leader) {
            if remotes.iter().all(|remote| remote.node != *node) {
                remotes.push(Remote::new(*node, true, *now));
            }
        }
    }

    /// Decides when to look next for what is due. The recovery of this leader is, at once.
    pub(super) fn schedule(&mut self) {
        let recovering = self.recovery == RecoveryState::Recovering && self.pending.is_none();
        let latest = if recovering { self.now } else { self.now.plus_ms(self.lag_check_ms()) };
        let needed = recovering || !self.remotes.is_empty();
        self.next_lag_check = needed.then(|| self.next_lag_check.map_or(latest, |at: Ticks| at.min(latest)));
    }

    pub(super) fn remote(&self, node: NodeId) -> Option<&Remote> {
        self.remotes.iter().find(|remote| remote.node == node)
    }

    pub(super) fn joining(&self) -> Option<NodeId> {
        self.pending.as_ref().and_then(|pending| pending.joining)
    }

    pub(super) fn maximal_isr_count(&self) -> usize {
        self.maximal_isr().count()
    }

    /// `min.insync.replicas`, but not more than there are replicas.
    pub(super) fn required_in_sync(&self) -> usize {
        usize::try_from(self.config.min_insync_replicas).unwrap_or(usize::MAX).min(self.replica_count)
    }

    pub(super) fn lag_check_ms(&self) -> u64 {
        (self.config.lag_ms_max / 2).max(1)
    }
}
