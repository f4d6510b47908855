//! Replicas that lead: what is produced, what is committed, who is in sync.

use highwater_metadata::{AlterIsr, AlterIsrResult, AlterPartition, LeaderRecovery};
use highwater_replication::fetcher::PartitionKey;
use highwater_replication::leader::{
    Acknowledgement, Acks, Input, IsrAnswer, IsrProposal, Leader, Output, ProposalId, RecoveryState,
};
use highwater_types::{ErrorCode, LeaderEpoch, Offset};

use super::super::context::Context;
use super::super::log::Record;
use super::super::message::{Call, Reply};
use super::super::node::Node;
use super::{Pending, Replica, Role};

impl Node {
    /// The leader of a partition, if this node has it.
    pub(super) fn leader(&self, key: &PartitionKey) -> Option<&Leader> {
        match &self.broker()?.replicas.get(key)?.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) => None,
        }
    }

    pub(super) fn leader_mut(&mut self, key: &PartitionKey) -> Option<&mut Leader> {
        match &mut self.broker_mut()?.replicas.get_mut(key)?.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) => None,
        }
    }

    /// Tells the leader of a partition something, if this node has it.
    pub(super) fn lead(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey, input: Input) {
        let now = self.ticks(ctx.now_ms);
        let log_start = self.disk.logs.get(&key).map_or(Offset::ZERO, |log| Offset::new(log.start()));
        let Some(leader) = self.leader_mut(&key) else { return };
        leader.log_start_raised(log_start);
        leader.handle(now, input);
        self.drain_leader(ctx, key);
    }

    pub(super) fn drive_leaders(&mut self, ctx: &mut Context<'_, '_>) {
        let now = self.ticks(ctx.now_ms);
        let Some(broker) = self.broker() else { return };
        let is_due = |replica: &Replica| match &replica.role {
            Role::Leader(leader) => leader.poll_timeout().is_some_and(|at| at <= now),
            Role::Follower(_) => false,
        };
        let due: Vec<PartitionKey> =
            broker.replicas.iter().filter(|(_, replica)| is_due(replica)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(leader) = self.leader_mut(&key) {
                leader.handle_timeout(now);
                self.drain_leader(ctx, key);
            }
        }
    }

    fn drain_leader(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey) {
        let Some(leader) = self.leader_mut(&key) else { return };
        // All of them first: what is done about one may be an event.
        let outputs: Vec<Output> = std::iter::from_fn(|| leader.poll_output()).collect();
        for output in outputs {
            match output {
                Output::ProposeIsr(proposal) => self.propose(ctx, key, &proposal),
                Output::HighWatermark(to) => {
                    self.set_high_watermark(key, to.value());
                    self.acknowledge(ctx, key);
                }
                Output::LowWatermark => {}
                Output::IsrChanged => self.acknowledge(ctx, key),
            }
        }
    }

    pub(super) fn set_high_watermark(&mut self, key: PartitionKey, to: u64) {
        if let Some(replica) = self.broker_mut().and_then(|broker| broker.replicas.get_mut(&key)) {
            replica.high_watermark = to;
        }
    }

    fn propose(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey, proposal: &IsrProposal) {
        let (node, controller) = (self.id(), self.controller());
        let (leader_epoch, id) = (proposal.leader_epoch, proposal.id);
        let epoch = self.broker().and_then(|broker| broker.epoch);
        let Some((controller, epoch)) = controller.zip(epoch) else {
            return self.answer_proposal(ctx, key, leader_epoch, id, IsrAnswer::Unknown);
        };
        let partition = AlterIsr {
            topic_id: key.topic,
            partition: key.partition,
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            // The leader itself does not fetch.
            isr: proposal
                .isr
                .iter()
                .map(|member| (member.node, if member.node == node { Some(epoch) } else { member.epoch }))
                .collect(),
            recovery: match proposal.recovery {
                RecoveryState::Recovered => LeaderRecovery::Recovered,
                RecoveryState::Recovering => LeaderRecovery::Recovering,
            },
        };
        let call = Call::AlterPartition(AlterPartition { node, epoch, partitions: vec![partition] });
        self.call(ctx, controller, call, Pending::Alter { key, leader_epoch, id });
    }

    pub(super) fn isr_answered(
        &mut self,
        ctx: &mut Context<'_, '_>,
        key: PartitionKey,
        leader_epoch: LeaderEpoch,
        id: ProposalId,
        reply: Option<Reply>,
    ) {
        let answer = match reply {
            Some(Reply::Altered(Ok(results))) => match results.into_iter().next() {
                Some(AlterIsrResult { result: Ok(state), .. }) => IsrAnswer::Committed {
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                    isr: state.isr,
                },
                Some(AlterIsrResult { result: Err(error), .. }) => IsrAnswer::from_error(error.code),
                None => IsrAnswer::Unknown,
            },
            Some(Reply::Altered(Err(code))) => IsrAnswer::from_error(code),
            _ => IsrAnswer::Unknown,
        };
        self.answer_proposal(ctx, key, leader_epoch, id, answer);
    }

    fn answer_proposal(
        &mut self,
        ctx: &mut Context<'_, '_>,
        key: PartitionKey,
        leader_epoch: LeaderEpoch,
        id: ProposalId,
        answer: IsrAnswer,
    ) {
        // Proposals of an earlier leadership have the same numbers.
        if self.leader(&key).is_some_and(|leader| leader.leader_epoch() == leader_epoch) {
            self.lead(ctx, key, Input::IsrAnswered { id, answer });
        }
    }

    /// A producer's batch has reached this node.
    pub(in super::super) fn produce(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey, acks: Acks, value: u64) {
        let Some(leader) = self.leader(&key) else {
            return ctx.judge.partitions.refused(value, ErrorCode::NotLeaderOrFollower);
        };
        if let Err(error) = leader.admit(acks) {
            return ctx.judge.partitions.refused(value, error.code());
        }
        let record = Record { epoch: leader.leader_epoch(), value };
        let log = self.disk.logs.get_mut(&key).expect("a replica has a log");
        let offset = log.end();
        log.append(record);
        ctx.say(|| format!("{} appends {value} at {offset} of {}", self.key.id, key.partition));
        let Some(broker) = self.process.as_mut().and_then(|process| process.broker.as_mut()) else { return };
        broker.is_woken = true;
        let Some(replica) = broker.replicas.get_mut(&key) else { return };
        if acks == Acks::All {
            replica.parked.push((offset, record));
        }
        if let Some(to) = self.leader_mut(&key).and_then(|leader| leader.appended(Offset::new(offset + 1))) {
            self.set_high_watermark(key, to.value());
        }
        self.acknowledge(ctx, key);
    }

    /// Deletes some of what is committed at the front of the logs of leaders, as DeleteRecords and retention do.
    pub(in super::super) fn delete_records(&mut self, ctx: &mut Context<'_, '_>) {
        let Some(broker) = self.process.as_mut().and_then(|process| process.broker.as_mut()) else { return };
        for (key, replica) in broker.replicas.iter().filter(|(_, replica)| matches!(replica.role, Role::Leader(_))) {
            let log = self.disk.logs.get_mut(key).expect("a replica has a log");
            log.delete_before(replica.high_watermark.saturating_sub(ctx.random.below(20)));
        }
    }

    /// Answers the producers whose records are committed.
    pub(super) fn acknowledge(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey) {
        let Some(broker) = self.process.as_mut().and_then(|process| process.broker.as_mut()) else { return };
        let Some(Replica { role: Role::Leader(leader), parked, .. }) = broker.replicas.get_mut(&key) else { return };
        let (epoch, high_watermark) = (leader.leader_epoch(), leader.high_watermark().value());
        ctx.judge.partitions.committed(key, epoch, &self.disk.logs[&key], high_watermark);
        parked.retain(|(offset, record)| match leader.acknowledge(Acks::All, Offset::new(offset + 1)) {
            Acknowledgement::Wait => true,
            Acknowledgement::Refused(error) => {
                ctx.judge.partitions.refused(record.value, error.code());
                false
            }
            Acknowledgement::Ready => {
                ctx.judge.partitions.acknowledged(key, *offset, *record);
                false
            }
        });
    }
}
