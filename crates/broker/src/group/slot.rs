//! One coordinator with its partition.

use std::sync::Arc;

use highwater_coordinator::{Coordinator, CoordinatorConfig, Output, Reply, Ticks, Token};
use highwater_group::{Event, GroupShard, Response, Topics};
use highwater_types::{ErrorCode, LeaderEpoch, Offset};
use parking_lot::Mutex;

use super::append::{Appended, Buffers};
use super::coordinators::Shared;
use super::load;
use crate::net::Now;
use crate::partition::Partition;

/// The coordinator of one partition of the offsets topic.
pub(super) struct Slot {
    /// Which partition.
    pub(super) index: usize,
    pub(super) partition: Arc<Partition>,
    driven: Mutex<Driven>,
}

struct Driven {
    machine: Coordinator<GroupShard>,
    /// When the timers' thread will look here, as far as it has been told.
    armed: Option<Ticks>,
    buffers: Buffers,
    /// What happened while the shard was loaded.
    missed: Missed,
}

/// Events that a shard could not be told yet.
#[derive(Default)]
struct Missed {
    config: Option<Event>,
    topics: Option<Arc<dyn Topics>>,
    deleted: Vec<Arc<str>>,
}

impl Slot {
    pub(super) fn new(index: usize, partition: Arc<Partition>, config: CoordinatorConfig) -> Self {
        let driven = Driven {
            machine: Coordinator::new(config),
            armed: None,
            buffers: Buffers::new(),
            missed: Missed::default(),
        };
        Self { index, partition, driven: Mutex::new(driven) }
    }

    /// Feeds one input and does what follows. The answer to `own`, if it is there already.
    pub(super) fn run(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        now: Now,
        own: Option<Token>,
        input: impl FnOnce(&mut Coordinator<GroupShard>),
    ) -> Option<Response> {
        self.run_then(shared, now, own, input, |_| ()).0
    }

    /// Like [`run`](Self::run), and calls `then` before anything else can happen to the coordinator.
    pub(super) fn run_then<R>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        now: Now,
        own: Option<Token>,
        input: impl FnOnce(&mut Coordinator<GroupShard>),
        then: impl FnOnce(Option<&Response>) -> R,
    ) -> (Option<Response>, R) {
        let mut driven = self.driven.lock();
        input(&mut driven.machine);
        let answer = self.drain(&mut driven, shared, now, own);
        driven.arm(self.index, shared);
        let then = then(answer.as_ref());
        (answer, then)
    }

    fn drain(
        self: &Arc<Self>,
        driven: &mut Driven,
        shared: &Arc<Shared>,
        now: Now,
        own: Option<Token>,
    ) -> Option<Response> {
        let Driven { machine, buffers, .. } = driven;
        let mut answer = None;
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Append(append) => {
                    let services = &shared.services;
                    let epoch = append.epoch;
                    let appended = buffers.append(&self.partition, &append, shared.compression, now.wall, services);
                    let (first, committed) = match appended {
                        Ok(Appended { first, high_watermark }) => (Ok(first), Some(high_watermark)),
                        Err(error) => (Err(error), None),
                    };
                    if let Err(error) = first {
                        // Whoever failed has said so already, and clients may fail at will.
                        tracing::debug!(partition = %self.partition.name(), "records of groups were not stored: {error}");
                    }
                    machine.appended(shared.coordinator_now(now), append, first);
                    if let Some(high_watermark) = committed {
                        machine.commit(epoch, high_watermark);
                    }
                }
                Output::Reply(Reply { token, response }) if own == Some(token) => answer = Some(response),
                Output::Reply(Reply { token, response }) => shared.replies.deliver(token, response),
                Output::Load { epoch } => {
                    if !load::start(self, shared, epoch) {
                        machine.load_failed(epoch);
                    }
                }
            }
        }
        answer
    }

    /// Tells the shard of an event: now, or when it has been loaded.
    pub(super) fn tell(self: &Arc<Self>, shared: &Arc<Shared>, now: Now, event: Event) {
        let mut driven = self.driven.lock();
        if !driven.machine.is_active() {
            driven.missed.add(event);
            return;
        }
        driven.machine.handle_event(shared.coordinator_now(now), event);
        self.drain(&mut driven, shared, now, None);
        driven.arm(self.index, shared);
    }

    /// Everything before `end` has been replayed: requests are handled from now on.
    pub(super) fn loaded(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        now: Now,
        epoch: LeaderEpoch,
        end: Offset,
        high_watermark: Offset,
    ) {
        let mut driven = self.driven.lock();
        let time = shared.coordinator_now(now);
        driven.machine.commit(epoch, high_watermark);
        driven.machine.loaded(time, epoch, end);
        self.drain(&mut driven, shared, now, None);
        if driven.machine.is_active() {
            for event in std::mem::take(&mut driven.missed).into_events() {
                driven.machine.handle_event(time, event);
                self.drain(&mut driven, shared, now, None);
            }
        }
        driven.arm(self.index, shared);
    }

    /// Does a part of what is due; when there is more.
    pub(super) fn timed_out(self: &Arc<Self>, shared: &Arc<Shared>, now: Now) {
        let mut driven = self.driven.lock();
        driven.armed = None;
        driven.machine.handle_timeout(shared.coordinator_now(now));
        self.drain(&mut driven, shared, now, None);
        driven.arm(self.index, shared);
    }

    /// The partition's high watermark may have moved.
    pub(super) fn progress(self: &Arc<Self>, shared: &Arc<Shared>, now: Now) {
        let mut driven = self.driven.lock();
        let Some(epoch) = driven.machine.epoch() else { return };
        let Ok(locked) = self.partition.lock_leader() else {
            // Its directory has failed, it is gone, or another broker leads it.
            driven.machine.resign(None);
            self.drain(&mut driven, shared, now, None);
            return;
        };
        // A high watermark of another term says nothing of what this one has appended (KAFKA-20634).
        let high_watermark = (locked.leader_epoch() == epoch).then(|| locked.log().high_watermark());
        drop(locked);
        if let Some(high_watermark) = high_watermark {
            driven.machine.commit(epoch, high_watermark);
            self.drain(&mut driven, shared, now, None);
            driven.arm(self.index, shared);
        }
    }

    /// The term in which the partition is led.
    pub(super) fn leader_epoch(&self) -> Result<LeaderEpoch, ErrorCode> {
        self.partition.lock_leader().map(|locked| locked.leader_epoch()).map_err(|_| ErrorCode::NotCoordinator)
    }
}

impl Missed {
    fn add(&mut self, event: Event) {
        match event {
            Event::Topics { topics, deleted } => {
                self.topics = Some(topics);
                self.deleted.extend(deleted);
            }
            config @ Event::Config(_) => self.config = Some(config),
        }
    }

    fn into_events(self) -> impl Iterator<Item = Event> {
        let Self { config, topics, deleted } = self;
        config.into_iter().chain(topics.map(|topics| Event::Topics { topics, deleted }))
    }
}

impl Driven {
    /// Tells the timers' thread of an earlier deadline. A later one it finds by itself.
    fn arm(&mut self, index: usize, shared: &Shared) {
        let Some(due) = self.machine.next_timeout() else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            shared.timers.set(index, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::topics::MetadataTopics;
    use highwater_group::GroupConfig;
    use highwater_metadata::MetadataImage;
    use highwater_types::NodeId;

    #[test]
    fn what_was_missed_is_told_once_with_every_deletion() {
        let topics = |version| -> Arc<dyn Topics> {
            Arc::new(MetadataTopics {
                image: MetadataImage::empty("cluster", NodeId::new(1)),
                version: Offset::new(version),
            })
        };
        let mut missed = Missed::default();
        assert_eq!(std::mem::take(&mut missed).into_events().count(), 0);
        missed.add(Event::Topics { topics: topics(1), deleted: vec![Arc::from("a")] });
        missed.add(Event::Config(Arc::new(GroupConfig { classic_size_max: 1, ..GroupConfig::default() })));
        missed.add(Event::Topics { topics: topics(2), deleted: vec![Arc::from("b")] });
        missed.add(Event::Config(Arc::new(GroupConfig { classic_size_max: 2, ..GroupConfig::default() })));
        let events: Vec<Event> = std::mem::take(&mut missed).into_events().collect();
        let [Event::Config(config), Event::Topics { topics, deleted }] = &events[..] else { panic!("two events") };
        assert_eq!((config.classic_size_max, topics.version()), (2, 2));
        assert_eq!(*deleted, [Arc::from("a"), Arc::from("b")]);
        assert_eq!(missed.into_events().count(), 0);
    }
}
