//! The coordinators of this broker.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use highwater_coordinator::{CoordinatorConfig, Now as CoordinatorNow, Shard as _, Ticks};
use highwater_group::{Event, GroupConfig, GroupShard, Request, Response, Topics};
use highwater_metadata::config::ConfigResolver;
use highwater_metadata::{MetadataImage, StaticConfig};
use highwater_records::{Codec, Compression};
use highwater_types::{ErrorCode, NodeId, Offset, TopicId};
use parking_lot::{Mutex, RwLock};

use super::OFFSETS_TOPIC;
use super::replies::{PendingResponse, Replies};
use super::settings::group_config;
use super::slot::Slot;
use super::timers::TimerQueue;
use super::topics::MetadataTopics;
use crate::net::{Now, WakeToken, Wakers};
use crate::partition::{PartitionTable, SyncThreads};
use crate::purgatory::Workers;

/// The coordinators of the partitions of `__consumer_offsets` that this broker leads.
pub(crate) struct Coordinators {
    shared: Arc<Shared>,
    state: RwLock<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What coordinators use of the broker.
pub(crate) struct Services {
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) syncs: Arc<SyncThreads>,
    pub(crate) node: NodeId,
    pub(crate) static_config: StaticConfig,
}

/// What all slots use.
pub(super) struct Shared {
    pub(super) services: Services,
    pub(super) replies: Arc<Replies>,
    pub(super) timers: TimerQueue,
    pub(super) loaders: Workers,
    /// Of what is appended.
    pub(super) compression: Compression,
    config: CoordinatorConfig,
    started: Instant,
}

/// The partitions, and what new shards must know.
struct State {
    topic: Option<TopicId>,
    slots: Vec<Option<Arc<Slot>>>,
    group_config: Arc<GroupConfig>,
    topics: Arc<dyn Topics>,
}

/// What a batch of metadata records concerns.
pub(crate) struct Changes {
    /// Topics or partitions have come or gone.
    pub(crate) topics: bool,
    /// Settings of brokers or groups have changed.
    pub(crate) configs: bool,
    /// Names of topics that are gone.
    pub(crate) deleted: Vec<Arc<str>>,
}

/// What became of a request.
pub(crate) enum Asked {
    /// The answer.
    Answered(Response),
    /// The answer comes later, and the connection is woken then.
    Waits(PendingResponse),
}

impl Coordinators {
    /// Starts the threads; there is no coordinator before the first [`follow`](Self::follow).
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub(crate) fn start(services: Services, started: Instant) -> io::Result<Arc<Self>> {
        let static_config = &services.static_config;
        let timeout_ms = static_config.number("offsets.commit.timeout.ms").and_then(|ms| u64::try_from(ms).ok());
        let defaults = CoordinatorConfig::default();
        let config = CoordinatorConfig { commit_timeout_ms: timeout_ms.unwrap_or(defaults.commit_timeout_ms) };
        let image = MetadataImage::empty("", services.node);
        let resolver = ConfigResolver { image: &image, static_config, node: services.node };
        let state = State {
            topic: None,
            slots: Vec::new(),
            group_config: Arc::new(group_config(&resolver)),
            topics: Arc::new(MetadataTopics { image: image.clone(), version: Offset::ZERO }),
        };
        let shared = Arc::new(Shared {
            replies: Arc::new(Replies::new(Arc::clone(&services.wakers))),
            timers: TimerQueue::new(),
            loaders: Workers::start(LOADERS, LOADS_MAX, Arc::clone(&services.wakers))?,
            compression: compression(static_config),
            config,
            started,
            services,
        });
        let coordinators = Arc::new(Self { shared, state: RwLock::new(state), thread: Mutex::new(None) });
        let (weak, shared) = (Arc::downgrade(&coordinators), Arc::clone(&coordinators.shared));
        let run = move || shared.timers.run(started, |index| timed_out(&weak, index));
        let thread = std::thread::Builder::new().name("group-timers".to_owned()).spawn(run)?;
        *coordinators.thread.lock() = Some(thread);
        Ok(coordinators)
    }

    /// Ends the thread. Requests are still answered, as far as they need no timer.
    pub(crate) fn stop(&self) {
        self.shared.timers.stop();
        if let Some(thread) = self.thread.lock().take() {
            // It catches the panics of its work.
            let _ = thread.join();
        }
    }

    /// Follows the metadata: coordinates what this broker leads now, and tells what has changed.
    ///
    /// Called by the controller's thread alone, before the new metadata is shown to anyone.
    pub(crate) fn follow(&self, image: &MetadataImage, version: Offset, table: &PartitionTable, changes: &Changes) {
        let Services { static_config, node, .. } = &self.shared.services;
        let mut state = self.state.write();
        let config = changes.configs.then(|| {
            let resolver = ConfigResolver { image, static_config, node: *node };
            Arc::new(group_config(&resolver))
        });
        if let Some(config) = &config {
            state.group_config = Arc::clone(config);
        }
        if changes.topics {
            state.topics = Arc::new(MetadataTopics { image: image.clone(), version });
            self.follow_partitions(&mut state, table);
        }
        let slots: Vec<Arc<Slot>> = state.slots.iter().flatten().cloned().collect();
        let topics = Arc::clone(&state.topics);
        drop(state);
        for slot in slots {
            if let Some(config) = &config {
                self.tell(&slot, Event::Config(Arc::clone(config)));
            }
            if changes.topics {
                self.tell(&slot, Event::Topics { topics: Arc::clone(&topics), deleted: changes.deleted.clone() });
            }
        }
    }

    fn follow_partitions(&self, state: &mut State, table: &PartitionTable) {
        let entry = table.by_name(OFFSETS_TOPIC);
        let id = entry.map(|entry| entry.id);
        if state.topic != id {
            state.slots.drain(..).flatten().for_each(|slot| self.resign(&slot));
            state.topic = id;
        }
        let Some(entry) = entry else { return };
        state.slots.resize_with(entry.partitions.len(), || None);
        for (index, partition) in entry.partitions.iter().enumerate() {
            let known = state.slots[index].take();
            let Some(partition) = partition else {
                known.iter().for_each(|slot| self.resign(slot));
                continue;
            };
            let slot = match known {
                Some(slot) if Arc::ptr_eq(&slot.partition, partition) => slot,
                other => {
                    other.iter().for_each(|slot| self.resign(slot));
                    self.host(index, partition)
                }
            };
            // A term that it leads already is ignored.
            match slot.leader_epoch() {
                Ok(epoch) => {
                    let shard = GroupShard::new(Arc::clone(&state.group_config), Arc::clone(&state.topics));
                    slot.run(&self.shared, Now::read(), None, |machine| machine.elect(epoch, shard));
                }
                Err(_) => self.resign(&slot),
            }
            state.slots[index] = Some(slot);
        }
    }

    fn host(&self, index: usize, partition: &Arc<crate::partition::Partition>) -> Arc<Slot> {
        let slot = Arc::new(Slot::new(index, Arc::clone(partition), self.shared.config));
        let (weak, shared) = (Arc::downgrade(&slot), Arc::downgrade(&self.shared));
        partition.on_progress(move || {
            if let (Some(slot), Some(shared)) = (weak.upgrade(), shared.upgrade()) {
                slot.progress(&shared, Now::read());
            }
        });
        slot
    }

    fn resign(&self, slot: &Arc<Slot>) {
        slot.run(&self.shared, Now::read(), None, |machine| machine.resign(None));
    }

    fn tell(&self, slot: &Arc<Slot>, event: Event) {
        slot.tell(&self.shared, Now::read(), event);
    }

    /// How many partitions the offsets topic has; none before it exists.
    pub(crate) fn partitions(&self) -> usize {
        self.state.read().slots.len()
    }

    /// Asks the coordinator of `group`.
    pub(crate) fn ask(&self, now: Now, wake: WakeToken, group: &str, request: Request<'_>) -> Asked {
        let slot = {
            let state = self.state.read();
            partition_of(group, state.slots.len()).and_then(|index| state.slots.get(index)?.clone())
        };
        self.ask_slot(now, wake, slot, request)
    }

    /// Asks the coordinator of a partition.
    pub(crate) fn ask_partition(&self, now: Now, wake: WakeToken, index: usize, request: Request<'_>) -> Option<Asked> {
        let slot = self.state.read().slots.get(index)?.clone()?;
        Some(self.ask_slot(now, wake, Some(slot), request))
    }

    fn ask_slot(&self, now: Now, wake: WakeToken, slot: Option<Arc<Slot>>, request: Request<'_>) -> Asked {
        let Some(slot) = slot else {
            return Asked::Answered(GroupShard::refuse(&request, ErrorCode::NotCoordinator));
        };
        let replies = &self.shared.replies;
        let token = replies.token();
        let time = self.shared.coordinator_now(now);
        let (answer, pending) = slot.run_then(
            &self.shared,
            now,
            Some(token),
            |machine| machine.handle(time, token, request),
            |answer| answer.is_none().then(|| replies.expect(token, wake)),
        );
        match (answer, pending) {
            (Some(response), _) => Asked::Answered(response),
            (None, Some(pending)) => Asked::Waits(pending),
            (None, None) => unreachable!("what has no answer is waited for"),
        }
    }
}

impl Shared {
    /// The clocks, as coordinators want them.
    pub(super) fn coordinator_now(&self, now: Now) -> CoordinatorNow {
        let since = now.instant.saturating_duration_since(self.started).as_millis();
        CoordinatorNow { ticks: Ticks(u64::try_from(since).unwrap_or(u64::MAX)), wall: now.wall }
    }
}

/// Lets one coordinator do what is due. A panic in it is logged, and ends nothing else.
fn timed_out(coordinators: &Weak<Coordinators>, index: usize) {
    let Some(coordinators) = coordinators.upgrade() else { return };
    let Some(slot) = coordinators.state.read().slots.get(index).cloned().flatten() else { return };
    if catch_unwind(AssertUnwindSafe(|| slot.timed_out(&coordinators.shared, Now::read()))).is_err() {
        tracing::error!(partition = %slot.partition.name(), "the group coordinator panicked at a timeout");
    }
}

/// Which of `count` partitions a group belongs to, as Java hashes its name; `None` without partitions.
pub(crate) fn partition_of(group: &str, count: usize) -> Option<usize> {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // As Kafka has it: the one number without a positive counterpart becomes 0.
    let positive = usize::try_from(hash.checked_abs().unwrap_or(0)).ok()?;
    positive.checked_rem(count)
}

/// `offsets.topic.compression.codec`, by Kafka's numbers.
fn compression(static_config: &StaticConfig) -> Compression {
    match static_config.number("offsets.topic.compression.codec") {
        Some(1) => Codec::Gzip.into(),
        Some(2) => Codec::Snappy.into(),
        Some(3) => Codec::Lz4.into(),
        Some(4) => Codec::Zstd.into(),
        _ => Compression::NONE,
    }
}

/// Threads that replay partitions, side by side.
const LOADERS: usize = 2;
/// Partitions that may wait to be replayed; the offsets topic has 50 by default.
const LOADS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Utils.abs(name.hashCode()) % 50` gives in Java.
    #[test]
    fn a_group_is_where_kafka_puts_it() {
        assert_eq!(partition_of("group", 0), None);
        assert_eq!(partition_of("", 50), Some(0));
        // "group".hashCode() is 98629247, "polygenelubricants".hashCode() the smallest number of all.
        assert_eq!(partition_of("group", 50), Some(98_629_247 % 50));
        assert_eq!(partition_of("polygenelubricants", 50), Some(0));
        // A negative one, and one of two units: U+1F600.
        assert_eq!(partition_of("zzzzzzz", 50), Some(abs("zzzzzzz") % 50));
        assert_eq!(partition_of("\u{1F600}", 50), Some((0xD83D * 31 + 0xDE00) % 50));
    }

    fn abs(name: &str) -> usize {
        let hash = name.bytes().fold(0_i64, |hash, byte| (hash * 31 + i64::from(byte)) & 0xffff_ffff);
        let signed = if hash < 1 << 31 { hash } else { hash - (1 << 32) };
        usize::try_from(signed.abs()).unwrap()
    }
}
