//! Where to begin in each partition, and whether that is still right.

use std::collections::BTreeMap;

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Ticks, TopicPartition};

use crate::machine::Life;
use crate::partition::{Partition, Position, Stage};
use crate::pending::Pending;
use crate::{
    Consumer, ConsumerError, Failure, IsolationLevel, ListOffsetsAnswer, ListOffsetsPartition, ListOffsetsRequest,
    MetadataUpdate, OffsetAndMetadata, OffsetFetchAnswer, OffsetFetchRequest, OffsetForLeaderEpochAnswer,
    OffsetForLeaderEpochPartition, OffsetForLeaderEpochRequest, OffsetReset, OffsetSpec, Request, RequestId, Target,
};

impl<T> Consumer<T> {
    pub(crate) fn add_partition(&mut self, name: &TopicPartition) {
        let stage = if self.group.is_some() { Stage::Committed } else { self.reset_stage() };
        let version = self.number();
        let topic_id = self.metadata.topic(&name.topic).and_then(|topic| topic.id);
        let is_unset = stage == Stage::Stopped;
        let mut partition = Partition::new(version, topic_id, stage);
        partition.leader = self.metadata.partition(name).unwrap_or_default();
        self.partitions.insert(name.clone(), partition);
        if is_unset {
            self.stop(name, ConsumerError::NoOffset { partition: name.clone() });
        }
        self.is_want_stale = true;
        self.go_round();
    }

    pub(crate) fn remove_partitions(&mut self, names: &[TopicPartition]) {
        if names.is_empty() {
            return;
        }
        names.iter().for_each(|name| drop(self.partitions.remove(name)));
        let partitions = &self.partitions;
        self.fetched.retain(|name| partitions.contains_key(name));
        self.forget_events_of(|name| names.contains(name));
        self.is_want_stale = true;
        self.go_round();
    }

    /// What `auto.offset.reset` says.
    fn reset_stage(&self) -> Stage {
        match self.config.auto_offset_reset {
            OffsetReset::Latest => Stage::Reset(OffsetSpec::Latest),
            OffsetReset::Earliest => Stage::Reset(OffsetSpec::Earliest),
            OffsetReset::ByDuration { ms } => Stage::Reset(OffsetSpec::Ago(ms)),
            OffsetReset::None => Stage::Stopped,
        }
    }

    /// Begins anew as the config says, or tells `error`.
    pub(crate) fn reset(&mut self, name: &TopicPartition, error: ConsumerError) {
        match self.reset_stage() {
            Stage::Stopped => self.stop(name, error),
            stage => {
                self.stats.resets += 1;
                self.go(name, stage);
            }
        }
    }

    /// Has a partition go on elsewhere, not by the application's will: what it has consumed it has.
    fn go(&mut self, name: &TopicPartition, stage: Stage) {
        let version = self.number();
        if let Some(partition) = self.partitions.get_mut(name) {
            let consumed = partition.consumed;
            partition.go(version, stage);
            partition.consumed = partition.consumed.or(consumed);
        }
        self.go_round();
    }

    pub(crate) fn handle_metadata(&mut self, now: Ticks, update: MetadataUpdate) {
        self.metadata.update(update);
        let metadata = &self.metadata;
        for (name, partition) in &mut self.partitions {
            partition.topic_id = metadata.topic(&name.topic).and_then(|topic| topic.id).or(partition.topic_id);
            partition.leader = metadata.partition(name).unwrap_or_default();
            partition.suspect();
        }
        self.complain_of_topics();
        self.forget_nodes();
        if self.subscription.rematch(&self.metadata, self.config.exclude_internal_topics) {
            self.group_subscribed(now);
        }
        self.group_knows_more();
    }

    /// Tells once of topics that cannot be used.
    fn complain_of_topics(&mut self) {
        let Self { metadata, events, partitions, subscription, told_topics, .. } = self;
        for (name, topic) in metadata.topics() {
            let is_consumed = || {
                subscription.topics().is_some_and(|topics| topics.contains(name))
                    || partitions.keys().any(|partition| partition.topic == *name)
            };
            match topic.error {
                Some(code) if !code.is_retriable() && is_consumed() => {
                    if told_topics.insert(name.clone()) {
                        let topic = name.clone();
                        events.push_back(crate::Event::Error(ConsumerError::Topic { topic, code }));
                    }
                }
                _ => drop(told_topics.remove(name)),
            }
        }
    }

    pub(crate) fn step_positions(&mut self, now: Ticks) {
        if self.life != Life::Open {
            return;
        }
        let mut unknown = Vec::new();
        let mut lists: BTreeMap<NodeId, Vec<(TopicPartition, OffsetSpec)>> = BTreeMap::new();
        let mut epochs: BTreeMap<NodeId, Vec<(TopicPartition, LeaderEpoch)>> = BTreeMap::new();
        let mut is_leader_missing = false;
        let mut due: Option<Ticks> = None;
        for (name, partition) in &self.partitions {
            if partition.question.is_some() || partition.is_revoking {
                continue;
            }
            if matches!(partition.stage, Stage::Ready(_) | Stage::Stopped) {
                continue;
            }
            if !partition.retry.is_due(now) {
                due = due.into_iter().chain(partition.retry.at()).min();
                continue;
            }
            if partition.stage == Stage::Committed {
                unknown.push(name.clone());
                continue;
            }
            let Some(leader) = partition.leader.leader else {
                is_leader_missing = true;
                continue;
            };
            match partition.stage {
                Stage::Reset(at) => lists.entry(leader).or_default().push((name.clone(), at)),
                Stage::Validate(Position { epoch: Some(epoch), .. }) => {
                    epochs.entry(leader).or_default().push((name.clone(), epoch));
                }
                _ => {}
            }
        }
        due.into_iter().for_each(|due| self.hurry(due));
        if is_leader_missing {
            self.refresh_metadata();
        }
        if !unknown.is_empty() {
            self.ask_committed(unknown);
        }
        lists.into_iter().for_each(|(node, asked)| self.list_offsets(node, asked));
        epochs.into_iter().for_each(|(node, asked)| self.ask_epochs(node, asked));
    }

    fn ask_committed(&mut self, partitions: Vec<TopicPartition>) {
        let Some(group) = &self.group else { return };
        if group.refusal().is_some() {
            return;
        }
        let Some(coordinator) = group.coordinator() else { return };
        let request = OffsetFetchRequest {
            group: group.id.clone(),
            member: group.membership().filter(|_| group.is_modern() && self.subscription.is_by_group()),
            partitions: partitions.clone(),
            require_stable: self.config.isolation_level == IsolationLevel::ReadCommitted,
        };
        let asked = self.with_versions(partitions);
        let to = Target::Coordinator(coordinator);
        let id = self.request(to, Request::OffsetFetch(request), Pending::OffsetFetch(asked.clone()));
        self.mark_asked(&asked, id);
    }

    fn list_offsets(&mut self, node: NodeId, partitions: Vec<(TopicPartition, OffsetSpec)>) {
        let asked = self.with_versions(partitions.iter().map(|(name, _)| name.clone()).collect());
        let questions = partitions.into_iter().map(|(partition, at)| {
            let leader_epoch = self.metadata.partition(&partition).and_then(|known| known.leader_epoch);
            ListOffsetsPartition { partition, leader_epoch, at }
        });
        let request = ListOffsetsRequest { partitions: questions.collect(), isolation: self.config.isolation_level };
        let pending = Pending::ListOffsets(asked.clone());
        let id = self.request(Target::Node(node), Request::ListOffsets(request), pending);
        self.mark_asked(&asked, id);
    }

    fn ask_epochs(&mut self, node: NodeId, partitions: Vec<(TopicPartition, LeaderEpoch)>) {
        let asked = self.with_versions(partitions.iter().map(|(name, _)| name.clone()).collect());
        let questions = partitions.into_iter().map(|(partition, leader_epoch)| {
            let current_leader_epoch = self.metadata.partition(&partition).and_then(|known| known.leader_epoch);
            OffsetForLeaderEpochPartition { partition, current_leader_epoch, leader_epoch }
        });
        let request = OffsetForLeaderEpochRequest { partitions: questions.collect() };
        let pending = Pending::Epochs(asked.clone());
        let id = self.request(Target::Node(node), Request::OffsetForLeaderEpoch(request), pending);
        self.mark_asked(&asked, id);
    }

    fn with_versions(&self, names: Vec<TopicPartition>) -> Vec<(TopicPartition, u64)> {
        let version = |name: &TopicPartition| self.partitions.get(name).map_or(0, |partition| partition.version);
        names.into_iter().map(|name| (version(&name), name)).map(|(version, name)| (name, version)).collect()
    }

    fn mark_asked(&mut self, asked: &[(TopicPartition, u64)], id: RequestId) {
        for (name, _) in asked {
            if let Some(partition) = self.partitions.get_mut(name) {
                partition.question = Some(id);
                partition.asked_epoch = partition.leader.leader_epoch;
            }
        }
    }

    /// Partitions that still want to know what was asked. Each has failed unless its answer says otherwise.
    fn still_asking(&mut self, now: Ticks, id: RequestId, asked: &[(TopicPartition, u64)]) -> Vec<TopicPartition> {
        let mut asking = Vec::new();
        for (name, version) in asked {
            let Some(partition) = self.partitions.get_mut(name) else { continue };
            if partition.version == *version && partition.question == Some(id) {
                partition.question = None;
                partition.retry.fail(now, self.backoff, &mut self.random);
                asking.push(name.clone());
            }
        }
        asking
    }

    pub(crate) fn offsets_fetched(
        &mut self,
        now: Ticks,
        id: RequestId,
        asked: &[(TopicPartition, u64)],
        outcome: Result<OffsetFetchAnswer, Failure>,
    ) {
        let asking = self.still_asking(now, id, asked);
        let answer = match outcome {
            Ok(answer) => answer,
            Err(Failure::Unsupported) => {
                return self.refuse_partitions(&asking, ErrorCode::UnsupportedVersion);
            }
            Err(Failure::Disconnected | Failure::TimedOut) => return self.lose_coordinator(now),
        };
        match answer.error {
            ErrorCode::None => {}
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => return self.lose_coordinator(now),
            // The group will say more to a heartbeat.
            ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => return,
            code if code.is_retriable() => return,
            code => return self.refuse_partitions(&asking, code),
        }
        for (name, committed) in answer.partitions.into_iter().filter(|(name, _)| asking.contains(name)) {
            match committed {
                Ok(Some(at)) => self.begin_at(&name, &at),
                Ok(None) => self.reset(&name, ConsumerError::NoOffset { partition: name.clone() }),
                Err(code) if code.is_retriable() => {}
                Err(code) => self.refuse_partitions(&[name], code),
            }
        }
    }

    pub(crate) fn refuse_partitions(&mut self, names: &[TopicPartition], code: ErrorCode) {
        for name in names {
            self.stop(name, ConsumerError::Partition { partition: name.clone(), code });
        }
    }

    fn begin_at(&mut self, name: &TopicPartition, at: &OffsetAndMetadata) {
        let position = Position { offset: at.offset, epoch: at.leader_epoch };
        self.go(name, Stage::Ready(position));
        if let Some(partition) = self.partitions.get_mut(name) {
            partition.stored = Some(at.offset);
            partition.validated_epoch = at.leader_epoch;
            partition.suspect();
        }
    }

    pub(crate) fn offsets_listed(
        &mut self,
        now: Ticks,
        id: RequestId,
        asked: &[(TopicPartition, u64)],
        outcome: Result<Vec<ListOffsetsAnswer>, Failure>,
    ) {
        let asking = self.still_asking(now, id, asked);
        let answers = match outcome {
            Ok(answers) => answers,
            Err(failure) => return self.broker_failed(&asking, failure),
        };
        for answer in answers.into_iter().filter(|answer| asking.contains(&answer.partition)) {
            let name = answer.partition;
            let Some(Stage::Reset(spec)) = self.partitions.get(&name).map(|partition| partition.stage) else {
                continue;
            };
            match (answer.error, answer.offset) {
                (ErrorCode::None, Some(offset)) => {
                    self.go(&name, Stage::Ready(Position { offset, epoch: answer.leader_epoch }));
                    self.validated_as_asked(&name);
                }
                // Nothing is that new.
                (ErrorCode::None, None) if matches!(spec, OffsetSpec::Timestamp(_) | OffsetSpec::Ago(_)) => {
                    self.go(&name, Stage::Reset(OffsetSpec::Latest));
                }
                (ErrorCode::None, None) => {}
                (code, _) => self.leader_refused(&name, code),
            }
        }
    }

    /// The position is what the leader said that was asked.
    fn validated_as_asked(&mut self, name: &TopicPartition) {
        if let Some(partition) = self.partitions.get_mut(name) {
            partition.validated_epoch = partition.asked_epoch;
            partition.suspect();
        }
    }

    pub(crate) fn epochs_told(
        &mut self,
        now: Ticks,
        id: RequestId,
        asked: &[(TopicPartition, u64)],
        outcome: Result<Vec<OffsetForLeaderEpochAnswer>, Failure>,
    ) {
        let asking = self.still_asking(now, id, asked);
        let answers = match outcome {
            Ok(answers) => answers,
            // Brokers that cannot say keep no epochs either.
            Err(Failure::Unsupported) => {
                asking.iter().for_each(|name| self.trust(name));
                return;
            }
            Err(failure) => return self.broker_failed(&asking, failure),
        };
        for answer in answers.into_iter().filter(|answer| asking.contains(&answer.partition)) {
            let name = answer.partition;
            let stage = self.partitions.get(&name).map(|partition| partition.stage);
            let Some(Stage::Validate(position)) = stage else { continue };
            if !answer.error.is_none() {
                self.leader_refused(&name, answer.error);
                continue;
            }
            let diverging = answer.end_offset.zip(answer.leader_epoch);
            if diverging.is_some_and(|(end, _)| position.offset <= end) {
                self.trust(&name);
                continue;
            }
            let error = ConsumerError::Truncated { partition: name.clone(), position: position.offset, diverging };
            match diverging {
                Some((offset, epoch)) if self.config.auto_offset_reset != OffsetReset::None => {
                    self.stats.resets += 1;
                    self.go(&name, Stage::Ready(Position { offset, epoch: Some(epoch) }));
                    self.validated_as_asked(&name);
                }
                _ => self.reset(&name, error),
            }
        }
    }

    /// The position was right.
    fn trust(&mut self, name: &TopicPartition) {
        if let Some(partition) = self.partitions.get_mut(name)
            && let Stage::Validate(position) = partition.stage
        {
            partition.stage = Stage::Ready(position);
            partition.retry.clear();
        }
        self.validated_as_asked(name);
    }

    /// A broker has not answered.
    fn broker_failed(&mut self, asking: &[TopicPartition], failure: Failure) {
        match failure {
            Failure::Unsupported => self.refuse_partitions(asking, ErrorCode::UnsupportedVersion),
            Failure::Disconnected | Failure::TimedOut => self.refresh_metadata(),
        }
    }

    /// A leader has refused a question, for which the partition waits already.
    pub(crate) fn leader_refused(&mut self, name: &TopicPartition, code: ErrorCode) {
        if !code.is_retriable() {
            return self.refuse_partitions(std::slice::from_ref(name), code);
        }
        self.refresh_metadata();
    }

    pub(crate) fn refresh_metadata(&mut self) {
        if !self.metadata.is_refresh_asked {
            self.metadata.is_refresh_asked = true;
            self.outputs.push_back(crate::Output::RefreshMetadata);
        }
    }
}

impl Partition {
    /// A position is to be validated once there is a leader that it was not validated with (KIP-320).
    pub(crate) fn suspect(&mut self) {
        let leader_epoch = self.leader.leader_epoch;
        let Stage::Ready(position) = self.stage else { return };
        let is_new = leader_epoch.is_some() && self.validated_epoch < leader_epoch;
        if !is_new {
            return;
        }
        if position.epoch.is_some() && position.epoch < leader_epoch {
            self.stage = Stage::Validate(position);
            self.question = None;
            self.retry.clear();
        } else {
            // Nothing to compare with, or a record of that very leader's.
            self.validated_epoch = leader_epoch;
        }
    }
}
