//! Asks the controller for what only it decides: the in-sync replicas that leaders want, and tells it where replicas are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use highwater_metadata::{AlterIsr, AlterPartition, AssignReplicasToDirs, LeaderRecovery};
use highwater_replication::leader::{Input, IsrAnswer, RecoveryState};
use highwater_types::{BrokerEpoch, DirectoryId, NodeId, PartitionIndex, TopicId};

use super::controller_link::ControllerLink;
use crate::lifecycle::{Event, spawn};
use crate::net::{Now, Wakers};
use crate::partition::{ControllerAsk, IsrAsk};
use crate::view::ViewCell;

/// The thread that asks.
pub(crate) struct AskingThread {
    pub(crate) node: NodeId,
    /// The registration of this process, 0 while it has none.
    pub(crate) broker_epoch: Arc<AtomicU64>,
    pub(crate) link: ControllerLink,
    pub(crate) asked: Receiver<ControllerAsk>,
    pub(crate) view: Arc<ViewCell>,
    pub(crate) wakers: Arc<Wakers>,
}

impl AskingThread {
    /// Starts it. It ends when it is told to.
    pub(crate) fn start(self, events: Sender<Event>) -> io::Result<JoinHandle<()>> {
        spawn("asking".to_owned(), "the thread that asks the controller", events, move || self.run())
    }

    fn run(mut self) {
        // What the controller could not be told yet.
        let mut directories: Vec<(DirectoryId, TopicId, PartitionIndex)> = Vec::new();
        loop {
            let wait = if directories.is_empty() { IDLE } else { RETRY };
            let first = match self.asked.recv_timeout(wait) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // What has come meanwhile goes along: one request for many partitions, as after a follower's restart.
            let mut proposals = Vec::new();
            for ask in first.into_iter().chain(self.asked.try_iter().take(ASKS_MAX)) {
                match ask {
                    ControllerAsk::Isr(proposal) => proposals.push(proposal),
                    ControllerAsk::Directory(directory, topic, partition) => {
                        directories.push((directory, topic, partition));
                    }
                    ControllerAsk::Stop => return,
                }
            }
            if !proposals.is_empty() {
                self.propose(proposals);
            }
            if !directories.is_empty() && self.say_where(&directories) {
                directories.clear();
            }
        }
    }

    fn epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.broker_epoch.load(Ordering::Acquire))
    }

    /// Whether the controller was told.
    fn say_where(&mut self, directories: &[(DirectoryId, TopicId, PartitionIndex)]) -> bool {
        let mut replicas = directories.to_vec();
        // The one that was said last counts.
        replicas.reverse();
        let mut seen = std::collections::BTreeSet::new();
        replicas.retain(|(_, topic, partition)| seen.insert((*topic, *partition)));
        let request = AssignReplicasToDirs { node: self.node, epoch: self.epoch(), replicas };
        let told = self.link.assign_replicas_to_dirs(&request);
        if let Err(error) = &told {
            tracing::debug!("the controller could not be told where replicas are, it is tried again: {error}");
        }
        told.is_ok()
    }

    fn propose(&mut self, asks: Vec<IsrAsk>) {
        let partitions = asks.iter().map(alter).collect();
        let request = AlterPartition { node: self.node, epoch: self.epoch(), partitions };
        let answers: Vec<IsrAnswer> = match self.link.alter_partition(&request) {
            Ok(results) => results
                .into_iter()
                .map(|result| match result {
                    Ok(state) => IsrAnswer::Committed {
                        leader_epoch: state.leader_epoch,
                        partition_epoch: state.partition_epoch,
                        isr: state.isr,
                    },
                    Err(code) => IsrAnswer::from_error(code),
                })
                .collect(),
            Err(error) => {
                tracing::debug!("in-sync replicas could not be changed, it is tried again: {error}");
                vec![IsrAnswer::Unknown; asks.len()]
            }
        };
        for (ask, answer) in asks.into_iter().zip(answers) {
            self.answer(&ask, answer);
        }
    }

    fn answer(&self, ask: &IsrAsk, answer: IsrAnswer) {
        let view = self.view.load();
        let topic = view.topics.by_id(ask.topic_id);
        let Some(partition) = topic.and_then(|topic| topic.partition(ask.partition.to_wire())) else { return };
        let Ok(mut locked) = partition.lock() else { return };
        // Proposals of another leader epoch have numbers of their own.
        if locked.leader_epoch() != ask.proposal.leader_epoch {
            return;
        }
        let id = ask.proposal.id;
        let has_news = locked
            .with_leader(Now::read().ticks(), |leader, now| leader.handle(now, Input::IsrAnswered { id, answer }));
        drop(locked);
        if has_news.is_some_and(|((), has_news)| has_news) {
            partition.wake(&self.wakers);
        }
    }
}

fn alter(ask: &IsrAsk) -> AlterIsr {
    let proposal = &ask.proposal;
    AlterIsr {
        topic_id: ask.topic_id,
        partition: ask.partition,
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal.isr.iter().map(|member| (member.node, member.epoch)).collect(),
        recovery: match proposal.recovery {
            RecoveryState::Recovered => LeaderRecovery::Recovered,
            RecoveryState::Recovering => LeaderRecovery::Recovering,
        },
    }
}

/// Partitions in one request.
const ASKS_MAX: usize = 1000;
/// How long to wait before the controller is told again where replicas are.
const RETRY: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(3600);
