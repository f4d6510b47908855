//! Fetching ahead: one fetch under way for each broker, in a session (KIP-227).

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Ticks, TopicId, TopicPartition};

use crate::buffer::Buffer;
use crate::machine::Life;
use crate::partition::Stage;
use crate::pending::{Pending, PendingFetch};
use crate::retry::Retry;
use crate::{
    Consumer, ConsumerError, Event, Failure, FetchAnswer, FetchPartition, FetchRequest, FetchSession, FetchedPartition,
    IsolationLevel, Request, RequestId, Target,
};

/// A broker that is fetched from.
#[derive(Debug, Default)]
pub(crate) struct Node {
    fetching: Option<RequestId>,
    session: Session,
    retry: Retry,
    /// Fetches outside of sessions begin with another partition each.
    turn: usize,
}

/// What a broker remembers of the fetches to it.
#[derive(Debug, Default)]
struct Session {
    id: i32,
    epoch: i32,
    /// What each partition was last asked with.
    partitions: BTreeMap<TopicPartition, Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    topic_id: Option<TopicId>,
}

/// A partition that is to be fetched.
struct Wanted {
    name: TopicPartition,
    version: u64,
    asked: Asked,
}

impl Session {
    /// Begins anew with the next fetch, which closes this one if the broker still has it.
    fn restart(&mut self) {
        self.epoch = 0;
        self.partitions.clear();
    }

    /// The partitions to name, and those to forget; what is wanted is in the session from now on.
    fn turn(&mut self, wanted: &[Wanted], bytes_max: u32) -> (Vec<FetchPartition>, Vec<TopicPartition>) {
        let mut before = core::mem::take(&mut self.partitions);
        let mut named = Vec::new();
        for Wanted { name, asked, .. } in wanted {
            let known = before.remove(name);
            if known != Some(*asked) {
                let Asked { offset, leader_epoch, .. } = *asked;
                named.push(FetchPartition { partition: name.clone(), offset, leader_epoch, bytes_max });
            }
            self.partitions.insert(name.clone(), *asked);
        }
        (named, before.into_keys().collect())
    }
}

impl<T> Consumer<T> {
    pub(crate) fn step_fetches(&mut self, now: Ticks) {
        if self.life != Life::Open {
            return;
        }
        let waiting: usize = self.partitions.values().filter_map(|known| known.buffer.as_ref()).map(|b| b.size).sum();
        if self.config.queued_kbytes_max as usize * 1024 <= waiting && 0 < waiting {
            return;
        }
        let (mut is_leader_missing, mut due) = (false, None);
        let mut wanted: BTreeMap<NodeId, Vec<Wanted>> = BTreeMap::new();
        for (name, partition) in &mut self.partitions {
            let Stage::Ready(position) = partition.stage else { continue };
            if !partition.is_given() || partition.buffer.is_some() {
                continue;
            }
            if !partition.retry.is_due(now) {
                due = [due, partition.retry.at()].into_iter().flatten().min();
                continue;
            }
            partition.preferred = partition.preferred.filter(|(_, until)| now < *until);
            let known = partition.leader;
            let Some(node) = partition.preferred.map(|(node, _)| node).or(known.leader) else {
                is_leader_missing = true;
                continue;
            };
            let at = self.nodes.get(&node);
            if at.is_some_and(|node| node.fetching.is_some()) {
                continue;
            }
            let topic_id = partition.topic_id;
            let asked = Asked { offset: position.offset, leader_epoch: known.leader_epoch, topic_id };
            let (name, version) = (name.clone(), partition.version);
            wanted.entry(node).or_default().push(Wanted { name, version, asked });
        }
        due.into_iter().for_each(|due| self.hurry(due));
        if is_leader_missing {
            self.refresh_metadata();
        }
        wanted.into_iter().for_each(|(id, wanted)| self.fetch(now, id, wanted));
    }

    /// Brokers that are not fetched from need not be remembered without end.
    pub(crate) fn forget_nodes(&mut self) {
        if NODES_MAX < self.nodes.len() {
            self.nodes.retain(|_, node| node.fetching.is_some());
        }
    }

    fn fetch(&mut self, now: Ticks, id: NodeId, mut wanted: Vec<Wanted>) {
        let node = self.nodes.entry(id).or_default();
        if !node.retry.is_due(now) {
            node.retry.at().into_iter().for_each(|at| self.hurry(at));
            return;
        }
        if node.session.id == 0 {
            // Whoever comes first gets most of `bytes_max`.
            node.turn = (node.turn + 1) % wanted.len().max(1);
            wanted.rotate_left(node.turn);
        }
        let session = FetchSession { id: node.session.id, epoch: node.session.epoch };
        if session.epoch == 0 {
            self.stats.fetch_sessions += 1;
        }
        let (partitions, forgotten) = node.session.turn(&wanted, self.config.partition_fetch_bytes_max);
        let request = FetchRequest {
            session,
            wait_ms_max: self.config.fetch_wait_ms_max,
            bytes_min: self.config.fetch_bytes_min,
            bytes_max: self.config.fetch_bytes_max,
            isolation: self.config.isolation_level,
            rack: self.config.client_rack.as_deref().map(Into::into),
            partitions,
            forgotten,
        };
        self.stats.fetches += 1;
        let partitions = wanted.into_iter().map(|wanted| (wanted.name, (wanted.version, wanted.asked.offset)));
        let pending = PendingFetch { node: id, partitions: partitions.collect() };
        let request = self.request(Target::Node(id), Request::Fetch(request), Pending::Fetch(pending));
        if let Some(node) = self.nodes.get_mut(&id) {
            node.fetching = Some(request);
        }
    }

    pub(crate) fn fetch_answered(
        &mut self,
        now: Ticks,
        id: RequestId,
        asked: &PendingFetch,
        outcome: Result<FetchAnswer, Failure>,
    ) {
        let Some(node) = self.nodes.get_mut(&asked.node) else { return };
        if node.fetching != Some(id) {
            return;
        }
        node.fetching = None;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => return self.fetch_failed(now, asked, failure),
        };
        match answer.error {
            ErrorCode::None => {}
            code => {
                if code == ErrorCode::FetchSessionIdNotFound {
                    node.session.id = 0;
                }
                node.session.restart();
                let is_of_session = matches!(
                    code,
                    ErrorCode::FetchSessionIdNotFound
                        | ErrorCode::InvalidFetchSessionEpoch
                        | ErrorCode::FetchSessionTopicIdError
                );
                // A session that cannot be begun is no reason to hurry either.
                if !is_of_session || node.retry.at().is_some() {
                    node.retry.fail(now, self.backoff, &mut self.random);
                    return self.refresh_metadata();
                }
                node.retry.fail(now, crate::backoff::Backoff { first_ms: 0, longest_ms: 0 }, &mut self.random);
                return;
            }
        }
        node.retry.clear();
        match answer.session {
            0 => node.session = Session::default(),
            session if node.session.id == session && node.session.epoch != 0 => {
                node.session.epoch = node.session.epoch.checked_add(1).unwrap_or(1);
            }
            session => {
                node.session.id = session;
                node.session.epoch = 1;
            }
        }
        let mut silent: BTreeSet<&TopicPartition> = asked.partitions.keys().collect();
        for fetched in answer.partitions {
            silent.remove(&fetched.partition);
            if self.still_wants(asked, &fetched.partition) {
                self.partition_fetched(now, asked.node, fetched);
            }
        }
        for partition in silent {
            if self.still_wants(asked, partition) {
                self.tell_end(partition);
            }
        }
    }

    /// Whether a partition waits for what it was fetched for.
    fn still_wants(&self, asked: &PendingFetch, partition: &TopicPartition) -> bool {
        let Some((version, offset)) = asked.partitions.get(partition) else { return false };
        let Some(partition) = self.partitions.get(partition) else { return false };
        let is_as_asked = matches!(partition.stage, Stage::Ready(position) if position.offset == *offset);
        partition.version == *version && is_as_asked && !partition.is_revoking && partition.buffer.is_none()
    }

    /// Nothing came of a partition: tells the application once if that is because there is no more.
    fn tell_end(&mut self, name: &TopicPartition) {
        let Some(partition) = self.partitions.get_mut(name) else { return };
        let Stage::Ready(position) = partition.stage else { return };
        let is_at_end = partition.end.is_some_and(|end| end <= position.offset);
        if self.config.enable_partition_eof && is_at_end && partition.eof_told != Some(position.offset) {
            partition.eof_told = Some(position.offset);
            self.events.push_back(Event::Eof { partition: name.clone(), offset: position.offset });
        }
    }

    fn fetch_failed(&mut self, now: Ticks, asked: &PendingFetch, failure: Failure) {
        if let Some(node) = self.nodes.get_mut(&asked.node) {
            node.session.restart();
            node.retry.fail(now, self.backoff, &mut self.random);
        }
        if failure == Failure::Unsupported {
            let names: Vec<TopicPartition> = asked.partitions.keys().cloned().collect();
            return self.refuse_partitions(&names, ErrorCode::UnsupportedVersion);
        }
        for name in asked.partitions.keys() {
            if let Some(partition) = self.partitions.get_mut(name) {
                // Its leader may do better.
                partition.preferred = partition.preferred.filter(|(node, _)| *node != asked.node);
            }
        }
        self.refresh_metadata();
    }

    /// An answer for a partition that still wants it.
    fn partition_fetched(&mut self, now: Ticks, node: NodeId, fetched: FetchedPartition) {
        let name = &fetched.partition;
        let is_leader_news =
            fetched.leader.is_some_and(|(leader, epoch)| self.metadata.set_leader(name, leader, epoch));
        let leader = self.metadata.partition(name).unwrap_or_default();
        let Some(partition) = self.partitions.get_mut(name) else { return };
        let Stage::Ready(position) = partition.stage else { return };
        partition.leader = leader;
        let is_from_preferred = partition.preferred.is_some_and(|(preferred, _)| preferred == node);
        if fetched.error.is_none() {
            partition.retry.clear();
            if let Some(preferred) = fetched.preferred_replica.filter(|preferred| *preferred != node) {
                partition.preferred = Some((preferred, now.plus_ms(self.config.metadata_age_ms_max)));
            }
            return self.store(fetched);
        }
        partition.preferred = None;
        if is_leader_news {
            partition.suspect();
            return self.go_round();
        }
        match fetched.error {
            ErrorCode::OffsetOutOfRange if is_from_preferred => {}
            ErrorCode::OffsetOutOfRange => {
                let error = ConsumerError::OutOfRange { partition: name.clone(), position: position.offset };
                self.reset(name, error);
            }
            // The broker's disk says so, and will say it again.
            ErrorCode::CorruptMessage => self.refuse_partitions(std::slice::from_ref(name), fetched.error),
            code => {
                partition.retry.fail(now, self.backoff, &mut self.random);
                self.leader_refused(name, code);
            }
        }
    }

    fn store(&mut self, fetched: FetchedPartition) {
        let is_committed_only = self.config.isolation_level == IsolationLevel::ReadCommitted;
        let end = if is_committed_only { fetched.last_stable } else { fetched.high_watermark };
        let Some(partition) = self.partitions.get_mut(&fetched.partition) else { return };
        partition.end = end;
        if fetched.records.is_empty() {
            return self.tell_end(&fetched.partition);
        }
        self.stats.bytes_fetched += fetched.records.len() as u64;
        partition.buffer = Some(Buffer::new(fetched.records, is_committed_only.then_some(fetched.aborted)));
        if !partition.is_queued {
            partition.is_queued = true;
            self.fetched.push_back(fetched.partition);
        }
    }
}

/// Brokers that are remembered with their sessions.
const NODES_MAX: usize = 4_096;
