//! The controller: one partition's registration, changed by compare and set, and the brokers'.

use highwater_replication::leader::{IsrAnswer, IsrProposal};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) leader: Option<NodeId>,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) partition_epoch: PartitionEpoch,
    pub(crate) isr: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Broker {
    pub(crate) epoch: BrokerEpoch,
    pub(crate) active: bool,
}

/// An entry of the metadata log.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Partition(Partition),
    Broker(NodeId, Broker),
}

pub(crate) struct Controller {
    pub(crate) partition: Partition,
    pub(crate) brokers: BTreeMap<NodeId, Broker>,
    pub(crate) log: Vec<News>,
}

impl Controller {
    pub(crate) fn new(replicas: &[NodeId]) -> Self {
        let partition = Partition {
            leader: Some(replicas[0]),
            leader_epoch: LeaderEpoch::ZERO,
            partition_epoch: PartitionEpoch::ZERO,
            isr: replicas.to_vec(),
        };
        let broker = |node: &NodeId| (*node, Broker { epoch: BrokerEpoch(u64::from(node.value())), active: true });
        let brokers: BTreeMap<NodeId, Broker> = replicas.iter().map(broker).collect();
        let mut log: Vec<News> = brokers.iter().map(|(node, broker)| News::Broker(*node, *broker)).collect();
        log.push(News::Partition(partition.clone()));
        Self { partition, brokers, log }
    }

    /// AlterPartition.
    pub(crate) fn alter(&mut self, from: NodeId, from_epoch: BrokerEpoch, proposal: &IsrProposal) -> IsrAnswer {
        let Partition { leader, leader_epoch, partition_epoch, .. } = self.partition;
        let refusal = if self.brokers[&from].epoch != from_epoch {
            Some(ErrorCode::StaleBrokerEpoch)
        } else if proposal.leader_epoch < leader_epoch {
            Some(ErrorCode::FencedLeaderEpoch)
        } else if leader != Some(from) {
            Some(ErrorCode::InvalidRequest)
        } else if proposal.partition_epoch < partition_epoch {
            Some(ErrorCode::InvalidUpdateVersion)
        } else if proposal.isr.iter().any(|member| !self.is_eligible(member.node, member.epoch)) {
            Some(ErrorCode::IneligibleReplica)
        } else {
            None
        };
        if let Some(code) = refusal {
            return IsrAnswer::from_error(code);
        }
        assert!(proposal.isr.iter().any(|member| member.node == from), "the leader is in sync");
        let isr: Vec<NodeId> = proposal.isr.iter().map(|member| member.node).collect();
        self.change(|partition| partition.isr.clone_from(&isr));
        IsrAnswer::Committed { leader_epoch, partition_epoch: self.partition.partition_epoch, isr }
    }

    /// A broker is gone: it leaves the in-sync replicas, unless it is the last, and leads no more.
    pub(crate) fn fence(&mut self, node: NodeId) {
        let broker = self.brokers[&node];
        self.register(node, Broker { active: false, ..broker });
        let in_sync = self.partition.isr.contains(&node) && 1 < self.partition.isr.len();
        if in_sync {
            self.change(|partition| partition.isr.retain(|member| *member != node));
        }
        if self.partition.leader == Some(node) {
            self.elect(None);
        }
    }

    pub(crate) fn register(&mut self, node: NodeId, broker: Broker) {
        self.brokers.insert(node, broker);
        self.log.push(News::Broker(node, broker));
    }

    /// A new leader epoch: with `wanted` if it may lead, else with the first that may, if any.
    pub(crate) fn elect(&mut self, wanted: Option<NodeId>) {
        let may_lead = |node: &NodeId| self.partition.isr.contains(node) && self.brokers[node].active;
        let leader = wanted.filter(may_lead).or_else(|| self.partition.isr.iter().copied().find(may_lead));
        self.change(|partition| {
            partition.leader = leader;
            partition.leader_epoch = partition.leader_epoch.next();
        });
    }

    fn is_eligible(&self, node: NodeId, epoch: Option<BrokerEpoch>) -> bool {
        let broker = self.brokers[&node];
        broker.active && epoch.is_none_or(|epoch| epoch == broker.epoch)
    }

    fn change(&mut self, change: impl FnOnce(&mut Partition)) {
        change(&mut self.partition);
        self.partition.partition_epoch = self.partition.partition_epoch.next();
        self.log.push(News::Partition(self.partition.clone()));
    }
}
