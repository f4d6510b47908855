//! The threads that fetch from other brokers, and which partitions each fetches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use highwater_metadata::BrokerImage;
use highwater_replication::fetcher::PartitionKey;
use highwater_types::NodeId;
use parking_lot::Mutex;

use super::fetch_thread::{Command, FetchThread, Interrupt};
use super::quotas::ReplicationQuotas;
use crate::lifecycle::{Event, spawn};
use crate::net::Wakers;
use crate::partition::{Partition, SyncThreads};

/// How other brokers are fetched from.
#[derive(Clone)]
pub(crate) struct FetcherSettings {
    pub(crate) node: NodeId,
    pub(crate) cluster_id: String,
    /// The registration of this process, 0 while it has none.
    pub(crate) broker_epoch: Arc<AtomicU64>,
    /// Name of the listener on which brokers are reached.
    pub(crate) listener: String,
    /// `num.replica.fetchers`: threads for each broker that is fetched from.
    pub(crate) threads: usize,
    /// `replica.fetch.wait.max.ms`.
    pub(crate) wait_ms: i32,
    /// `replica.fetch.min.bytes`.
    pub(crate) min_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub(crate) response_bytes_max: i32,
    /// `replica.fetch.max.bytes`.
    pub(crate) partition_bytes_max: i32,
    /// `replica.fetch.backoff.ms`.
    pub(crate) backoff_ms: u64,
    /// `replica.socket.timeout.ms`.
    pub(crate) timeout: Duration,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) syncs: Arc<SyncThreads>,
    pub(crate) quotas: Arc<ReplicationQuotas>,
}

/// Which partitions are fetched from whom. Owned by the thread that follows the metadata.
pub(crate) struct Fetchers {
    settings: FetcherSettings,
    /// Is told of a thread that panics.
    events: Sender<Event>,
    threads: Arc<Mutex<Threads>>,
    sources: HashMap<PartitionKey, Source>,
    addresses: HashMap<NodeId, (String, u16)>,
}

/// A broker, and which of the threads for it.
type Source = (NodeId, usize);
/// The threads, which who stops the broker ends.
type Threads = BTreeMap<Source, Thread>;

struct Thread {
    commands: Sender<Command>,
    interrupt: Arc<Interrupt>,
    thread: JoinHandle<()>,
}

/// Ends the threads.
pub(crate) struct FetcherStop(Arc<Mutex<Threads>>);

impl FetcherStop {
    /// Ends the threads and waits for them. Nothing is fetched afterwards.
    pub(crate) fn stop(&self) {
        let threads = std::mem::take(&mut *self.0.lock());
        for thread in threads.values() {
            thread.interrupt.stop();
            let _ = thread.commands.send(Command::Stop);
        }
        for thread in threads.into_values() {
            if thread.thread.join().is_err() {
                tracing::error!("a fetcher had panicked");
            }
        }
    }
}

impl Fetchers {
    pub(crate) fn new(settings: FetcherSettings, events: Sender<Event>) -> Self {
        Self { settings, events, threads: Arc::default(), sources: HashMap::new(), addresses: HashMap::new() }
    }

    pub(crate) fn stopper(&self) -> FetcherStop {
        FetcherStop(Arc::clone(&self.threads))
    }

    /// Takes note of where a broker is reached.
    pub(super) fn set_address(&mut self, broker: &BrokerImage) {
        let endpoint = broker.endpoints.iter().find(|endpoint| endpoint.name == self.settings.listener);
        let Some(endpoint) = endpoint.or(broker.endpoints.first()) else { return };
        let address = (endpoint.host.clone(), endpoint.port);
        if self.addresses.get(&broker.node) == Some(&address) {
            return;
        }
        self.addresses.insert(broker.node, address.clone());
        self.tell(broker.node, &Some(address));
    }

    /// A broker is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.addresses.remove(&node);
        self.tell(node, &None);
    }

    fn tell(&self, node: NodeId, address: &Option<(String, u16)>) {
        for ((_, _), thread) in self.threads.lock().range((node, 0)..=(node, usize::MAX)) {
            let _ = thread.commands.send(Command::Address(address.clone()));
            thread.interrupt.interrupt();
        }
    }

    /// Has a partition fetched from `leader`, or says anew that it is. If the follower begins another epoch, the fetch
    /// that is under way is given up for it.
    pub(super) fn assign(&mut self, partition: &Arc<Partition>, leader: NodeId, in_sync: bool, is_new: bool) {
        let key = key_of(partition);
        let source = (leader, key.partition.value() as usize % self.settings.threads.max(1));
        if self.sources.get(&key).is_some_and(|known| *known != source) {
            self.remove(partition);
        }
        self.sources.insert(key, source);
        let mut threads = self.threads.lock();
        let thread = match threads.entry(source) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let address = self.addresses.get(&leader).cloned();
                match start(&self.settings, self.events.clone(), source, address) {
                    Ok(thread) => entry.insert(thread),
                    Err(error) => {
                        tracing::error!("a fetcher for broker {leader} could not be started: {error}");
                        return;
                    }
                }
            }
        };
        let _ = thread.commands.send(Command::Assign { key, partition: Arc::clone(partition), in_sync });
        if is_new {
            thread.interrupt.interrupt();
        }
    }

    /// Has whoever fetches the partition look again whether it is throttled.
    pub(super) fn throttled_changed(&self, partition: &Partition) {
        let key = key_of(partition);
        if let Some(source) = self.sources.get(&key)
            && let Some(thread) = self.threads.lock().get(source)
        {
            let _ = thread.commands.send(Command::Refresh(key));
        }
    }

    /// Has all threads look again when throttled replicas may be fetched.
    pub(super) fn quota_changed(&self) {
        for thread in self.threads.lock().values() {
            let _ = thread.commands.send(Command::QuotaChanged);
        }
    }

    /// Has a partition fetched no more.
    pub(super) fn remove(&mut self, partition: &Partition) {
        let key = key_of(partition);
        if let Some(source) = self.sources.remove(&key)
            && let Some(thread) = self.threads.lock().get(&source)
        {
            let _ = thread.commands.send(Command::Remove(key));
        }
    }
}

fn key_of(partition: &Partition) -> PartitionKey {
    PartitionKey { topic: partition.topic_id(), partition: partition.name().partition }
}

fn start(
    settings: &FetcherSettings,
    events: Sender<Event>,
    (source, index): Source,
    address: Option<(String, u16)>,
) -> std::io::Result<Thread> {
    let (commands, received) = unbounded();
    let interrupt = Arc::new(Interrupt::default());
    let thread = FetchThread::new(settings.clone(), source, address, received, Arc::clone(&interrupt));
    let name = format!("fetcher-{source}-{index}");
    let thread = spawn(name, "a fetcher", events, move || thread.run())?;
    Ok(Thread { commands, interrupt, thread })
}
