//! One or more brokers inside this process.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use highwater_broker::{Broker, BrokerConfig, InitialControllers, ReplicaState, format};
use highwater_types::{NodeId, Offset, PartitionIndex, TimestampMs};
use parking_lot::Mutex;

use crate::admin;
use crate::builder::Builder;
use crate::config::{Ports, node_config};
use crate::error::KitError;
use crate::fault::{FaultError, FaultHandle, Faults, On, Reply};
use crate::group::Group;
use crate::port::ReservedPort;
use crate::record::{self, StoredRecord};
use crate::storage::Data;
use crate::topic::NewTopic;

/// A broker, or a cluster of them, inside this process. Ends when dropped.
///
/// Each listens on a free port of 127.0.0.1 that stays its own. Dropping it ends all threads and removes the data, unless
/// it is in a directory of the caller's; what is there is recovered by the next start. Usually that takes a few
/// milliseconds, and at most some ten seconds where nodes wait for each other.
///
/// Methods take `&self` and may be called from any thread. They block.
///
/// ```
/// use highwater_testkit::EmbeddedBroker;
///
/// let broker = EmbeddedBroker::start()?;
/// broker.create_topic("orders", 6)?;
/// println!("point any Kafka client at {}", broker.bootstrap());
/// assert!(broker.records("orders")?.is_empty());
/// # Ok::<(), highwater_testkit::KitError>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedBroker {
    nodes: BTreeMap<u32, Node>,
    faults: Arc<Faults>,
    /// Removed after the brokers.
    data: Data,
}

#[derive(Debug)]
struct Node {
    config: BrokerConfig,
    ports: Ports,
    /// `None` while it does not run.
    broker: Mutex<Option<Broker>>,
}

impl EmbeddedBroker {
    /// Starts one broker with its data in memory, or in a temporary directory, see [`Storage`](crate::Storage).
    ///
    /// # Errors
    ///
    /// [`KitError`] if the system refuses a directory, a port or a thread.
    pub fn start() -> Result<Self, KitError> {
        Builder::default().start()
    }

    /// For more than one broker, topics, configs.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start_as(builder: &Builder) -> Result<Self, KitError> {
        if !(1..=NODES_MAX).contains(&builder.nodes) {
            return Err(KitError::Nodes { nodes: builder.nodes });
        }
        let data = builder.storage.open().map_err(KitError::Directory)?;
        let port = || ReservedPort::take().map_err(|errno| KitError::Port(errno.into()));
        let mut ports = BTreeMap::new();
        for node in 1..=builder.nodes {
            ports.insert(node, Ports { clients: port()?, controllers: port()? });
        }
        let mut configs = BTreeMap::new();
        for node in ports.keys() {
            let directory = data.path().join(format!("node-{node}"));
            let config = node_config(*node, &ports, &directory, &builder.set)?;
            if 1 < builder.nodes {
                format(&config, CLUSTER_ID, &InitialControllers::Configured)?;
            }
            configs.insert(*node, config);
        }
        let nodes: BTreeMap<u32, Node> = ports
            .into_iter()
            .zip(configs.into_values())
            .map(|((node, ports), config)| (node, Node { config, ports, broker: Mutex::new(None) }))
            .collect();
        let addresses = nodes.iter().map(|(id, node)| (*id, node.ports.clients.number())).collect();
        let this = Self { nodes, faults: Arc::new(Faults::new(addresses)), data };
        for id in this.nodes.keys() {
            this.begin(*id)?;
        }
        for id in this.nodes.keys() {
            this.wait_until_ready(*id)?;
        }
        for topic in &builder.topics {
            this.create_topic_with(topic)?;
        }
        Ok(this)
    }

    /// What to give a client as `bootstrap.servers`: every node, running or not.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.nodes.keys().filter_map(|node| Some(self.address(*node)?.to_string())).collect();
        addresses.join(",")
    }

    /// Where a node listens, running or not; `None` if there is no such node.
    #[must_use]
    pub fn address(&self, node: u32) -> Option<SocketAddr> {
        let node = self.nodes.get(&node)?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, node.ports.clients.number())))
    }

    /// The directory of the data, with a folder `node-N` for each node.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The nodes that run, in order.
    #[must_use]
    pub fn running(&self) -> Vec<u32> {
        self.nodes.iter().filter(|(_, node)| node.broker.lock().is_some()).map(|(id, _)| *id).collect()
    }

    /// Makes a topic and waits until every running node knows who leads it. Unlike clients' requests, this is not subject
    /// to [`fault`](Self::fault)s.
    ///
    /// # Errors
    ///
    /// [`KitError::Refused`] if there is one of that name already, say.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), KitError> {
        self.create_topic_with(&NewTopic::new(name).partitions(partitions))
    }

    /// As [`create_topic`](Self::create_topic), with configs or another number of replicas.
    ///
    /// # Errors
    ///
    /// As [`create_topic`](Self::create_topic).
    pub fn create_topic_with(&self, topic: &NewTopic) -> Result<(), KitError> {
        admin::create_topic(&mut self.connect()?, topic)?;
        self.until(&format!("every node knows topic {}", topic.name), || {
            let is_known = |broker: &Broker| {
                broker.leaders(&topic.name).is_some_and(|leaders| leaders.iter().all(Option::is_some))
            };
            self.nodes.values().all(|node| node.broker.lock().as_ref().is_none_or(is_known))
        })
    }

    /// How many partitions a topic has; `None` if no running node knows it.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> Option<u32> {
        self.leaders(topic).and_then(|leaders| u32::try_from(leaders.len()).ok())
    }

    /// The node that leads a partition; `None` if there is no leader, or no such partition.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: u32) -> Option<u32> {
        *self.leaders(topic)?.get(usize::try_from(partition).ok()?)?
    }

    /// Every committed record of a topic, partition by partition, decoded from the leaders' logs without a client.
    ///
    /// # Errors
    ///
    /// [`KitError`] if there is no such topic, or a partition without a leader that runs.
    pub fn records(&self, topic: &str) -> Result<Vec<StoredRecord>, KitError> {
        let count = self.partitions(topic).ok_or_else(|| no_such_partition(topic, 0))?;
        let mut records = Vec::new();
        for partition in 0..count {
            self.read(topic, partition, &mut records)?;
        }
        Ok(records)
    }

    /// Where the committed records of a partition end: the offset that the next one will have.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, KitError> {
        Ok(self.replica(topic, partition)?.high_watermark.value())
    }

    /// Where the records of a partition begin: the first offset that retention and deletions have left.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn start_offset(&self, topic: &str, partition: u32) -> Result<u64, KitError> {
        Ok(self.replica(topic, partition)?.log_start.value())
    }

    /// A look at a consumer group.
    #[must_use]
    pub fn group(&self, name: impl Into<String>) -> Group<'_> {
        Group::new(self, name.into())
    }

    /// Lets requests of clients fail as `reply` says, from now on. Of several faults that fit, the first one counts.
    ///
    /// ```
    /// use highwater_testkit::{ApiKey, EmbeddedBroker, ErrorCode, On, Reply};
    ///
    /// let broker = EmbeddedBroker::builder().topic("orders", 1).start()?;
    /// let fault = broker.fault(
    ///     On::api(ApiKey::Produce).topic("orders").times(2),
    ///     Reply::Error(ErrorCode::NotLeaderOrFollower),
    /// )?;
    /// assert_eq!(fault.hits(), 0);
    /// fault.remove();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FaultError`] if an answer of that API has no place for an error, or its requests name no topics.
    pub fn fault(&self, on: On, reply: Reply) -> Result<FaultHandle, FaultError> {
        self.faults.add(on, reply)
    }

    /// Ends a node as if its process had been killed. Its port refuses connections then; its data stays.
    ///
    /// # Errors
    ///
    /// [`KitError::NoSuchNode`], [`KitError::NotRunning`].
    pub fn kill(&self, node: u32) -> Result<(), KitError> {
        self.take(node)?.abandon();
        Ok(())
    }

    /// Stops a node as its operator would: it hands over what it leads and closes its logs.
    ///
    /// # Errors
    ///
    /// [`KitError::NoSuchNode`], [`KitError::NotRunning`].
    pub fn stop(&self, node: u32) -> Result<(), KitError> {
        self.take(node)?.shutdown();
        Ok(())
    }

    /// Starts a node that was stopped or killed, on its port and its data, and waits until it serves clients.
    ///
    /// # Errors
    ///
    /// [`KitError::NoSuchNode`], [`KitError::Running`], or why it does not start. [`KitError::Timeout`] if it runs, but the
    /// cluster has not let it in, for want of a majority of the controllers.
    pub fn restart(&self, node: u32) -> Result<(), KitError> {
        self.begin(node)?;
        self.wait_until_ready(node)
    }

    /// Makes a node the leader of a partition and waits until every running node knows. It has to have a replica in sync,
    /// and becomes the preferred leader.
    ///
    /// # Errors
    ///
    /// [`KitError::NoReplica`], or what the cluster refuses.
    pub fn move_leader(&self, topic: &str, partition: u32, node: u32) -> Result<(), KitError> {
        if !self.nodes.contains_key(&node) {
            return Err(KitError::NoSuchNode { node });
        }
        admin::move_leader(&mut self.connect()?, topic, partition, node)?;
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        self.until(&format!("every node knows that {node} leads {topic}-{partition}"), || {
            let knows = |broker: &Broker| {
                let leaders = broker.leaders(topic).unwrap_or_default();
                leaders.get(index).copied().flatten().is_some_and(|leader| leader.value() == node)
            };
            self.nodes.values().all(|node| node.broker.lock().as_ref().is_none_or(knows))
        })
    }

    /// Applies retention to every partition on the running nodes, as the broker does every five minutes.
    pub fn run_retention(&self) {
        self.run_retention_after(Duration::ZERO);
    }

    /// Applies retention as it would be applied when `later` has passed: an hour need not be waited for to see what is gone
    /// in an hour. Nothing else believes that it is later.
    pub fn run_retention_after(&self, later: Duration) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = TimestampMs(i64::try_from(since.saturating_add(later).as_millis()).unwrap_or(i64::MAX));
        for node in self.nodes.values() {
            if let Some(broker) = node.broker.lock().as_ref() {
                broker.apply_retention(now);
            }
        }
    }

    /// A connection to the first node that runs.
    pub(crate) fn connect(&self) -> Result<admin::Connection, KitError> {
        let first = self.running().first().copied();
        self.connect_to(first.ok_or(KitError::NotRunning { node: 1 })?)
    }

    pub(crate) fn connect_to(&self, node: u32) -> Result<admin::Connection, KitError> {
        let node = self.nodes.get(&node).ok_or(KitError::NoSuchNode { node })?;
        admin::connect(node.ports.clients.number())
    }

    fn begin(&self, id: u32) -> Result<(), KitError> {
        let node = self.nodes.get(&id).ok_or(KitError::NoSuchNode { node: id })?;
        let mut broker = node.broker.lock();
        if broker.is_some() {
            return Err(KitError::Running { node: id });
        }
        let interposer = Arc::clone(&self.faults) as Arc<dyn highwater_broker::Interposer>;
        let started = Broker::start_interposed(interposer, &node.config);
        *broker = Some(started.map_err(|source| KitError::Start { node: id, source })?);
        Ok(())
    }

    fn wait_until_ready(&self, id: u32) -> Result<(), KitError> {
        let broker = self.nodes.get(&id).ok_or(KitError::NoSuchNode { node: id })?.broker.lock();
        let readiness = broker.as_ref().ok_or(KitError::NotRunning { node: id })?.readiness();
        drop(broker);
        if readiness.wait(TIMEOUT) {
            return Ok(());
        }
        Err(KitError::Timeout { what: format!("the cluster has let node {id} in"), waited: TIMEOUT })
    }

    fn take(&self, id: u32) -> Result<Broker, KitError> {
        let node = self.nodes.get(&id).ok_or(KitError::NoSuchNode { node: id })?;
        node.broker.lock().take().ok_or(KitError::NotRunning { node: id })
    }

    /// The leaders of a topic's partitions, as the active controller has it, else any node.
    fn leaders(&self, topic: &str) -> Option<Vec<Option<u32>>> {
        let mut found = None;
        for node in self.nodes.values() {
            let broker = node.broker.lock();
            let Some(broker) = broker.as_ref() else { continue };
            let is_sure = broker.is_active_controller();
            let known = broker.leaders(topic);
            if is_sure {
                found = known;
                break;
            }
            found = found.or(known);
        }
        Some(found?.into_iter().map(|leader| leader.map(NodeId::value)).collect())
    }

    fn with_leader<R>(
        &self,
        topic: &str,
        partition: u32,
        look: impl FnOnce(&Broker, PartitionIndex) -> Result<R, KitError>,
    ) -> Result<R, KitError> {
        let leaders = self.leaders(topic).ok_or_else(|| no_such_partition(topic, partition))?;
        let leader = usize::try_from(partition).ok().and_then(|partition| leaders.get(partition));
        let leader = leader.ok_or_else(|| no_such_partition(topic, partition))?;
        let node = leader.ok_or_else(|| KitError::NoLeader { topic: topic.to_owned(), partition })?;
        let broker = self.nodes.get(&node).ok_or(KitError::NoSuchNode { node })?.broker.lock();
        look(broker.as_ref().ok_or(KitError::NotRunning { node })?, PartitionIndex::new(partition))
    }

    fn replica(&self, topic: &str, partition: u32) -> Result<ReplicaState, KitError> {
        self.with_leader(topic, partition, |broker, index| Ok(broker.replica(topic, index)?))
    }

    fn read(&self, topic: &str, partition: u32, records: &mut Vec<StoredRecord>) -> Result<(), KitError> {
        self.with_leader(topic, partition, |broker, index| {
            let mut at = broker.replica(topic, index)?.log_start;
            loop {
                let bytes = broker.read(topic, index, at, READ_BYTES)?;
                let failed = |reason: String| KitError::Records {
                    topic: topic.to_owned(),
                    partition,
                    offset: at.value(),
                    reason,
                };
                let next = record::decode(&bytes, partition, at.value(), records);
                let next = next.map_err(|error| failed(error.to_string()))?;
                match next.and_then(|next| Offset::from_wire(i64::try_from(next).ok()?)) {
                    Some(next) if at < next => at = next,
                    _ if bytes.is_empty() => return Ok(()),
                    _ => return Err(failed("no whole batch where one should be".to_owned())),
                }
            }
        })
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result<(), KitError> {
        let deadline = Instant::now() + TIMEOUT;
        while !is_so() {
            if deadline <= Instant::now() {
                return Err(KitError::Timeout { what: what.to_owned(), waited: TIMEOUT });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        // Data that goes need not be closed. Nodes of a cluster cannot all hand over to others.
        let ends_cleanly = self.data.is_kept() && self.nodes.len() == 1;
        let end = |broker: Broker| if ends_cleanly { broker.shutdown() } else { broker.abandon() };
        // All at once: a node that waits for an answer of another learns soon that there is none.
        std::thread::scope(|scope| {
            for node in self.nodes.values() {
                let Some(broker) = node.broker.lock().take() else { continue };
                scope.spawn(move || {
                    if catch_unwind(AssertUnwindSafe(|| end(broker))).is_err() {
                        tracing::error!("a broker panicked at its end");
                    }
                });
            }
        });
    }
}

fn no_such_partition(topic: &str, partition: u32) -> KitError {
    KitError::NoSuchPartition { topic: topic.to_owned(), partition }
}

const NODES_MAX: u32 = 9;
const CLUSTER_ID: &str = "highwater-testkit";
/// How long anything may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at whether something has come about that nobody tells of.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);
/// Read at once from a log; a larger batch is read whole.
const READ_BYTES: u32 = 4 << 20;
