//! What every part of the running broker shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use highwater_metadata::{BrokerImage, StaticConfig};
use highwater_types::NodeId;

use crate::forward::Forwarder;
use crate::group::Coordinators;
use crate::interpose::Interposer;
use crate::net::{Now, Peer, Wakers};
use crate::partition::{Directories, SyncThreads};
use crate::producer_ids::ProducerIds;
use crate::quorum::QuorumHandle;
use crate::replica::{BrokerLife, ReplicationQuotas};
use crate::view::ViewCell;

/// The state of one broker, shared by its event loops and threads.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) settings: Settings,
    pub(crate) static_config: StaticConfig,
    pub(crate) view: Arc<ViewCell>,
    pub(crate) quorum: Arc<QuorumHandle>,
    pub(crate) forwarder: Forwarder,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) life: Arc<BrokerLife>,
    pub(crate) directories: Directories,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) syncs: Arc<SyncThreads>,
    pub(crate) sessions: crate::api::Sessions,
    pub(crate) coordinators: Arc<Coordinators>,
    pub(crate) quotas: Arc<ReplicationQuotas>,
    pub(crate) counters: Counters,
    /// Decides about requests before they are served; only in tests of clients.
    pub(crate) interposer: Option<Arc<dyn Interposer>>,
    /// When the broker was started.
    pub(crate) started: Instant,
}

impl Node {
    /// Milliseconds since the start; never goes backwards.
    pub(crate) fn uptime_ms(&self, now: Now) -> u64 {
        u64::try_from(now.instant.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a connection came in on a listener for controllers.
    pub(crate) fn is_for_controllers(&self, peer: &Peer) -> bool {
        self.settings.listeners.len() <= peer.listener()
    }

    /// Name of the listener for controllers on which a connection came in.
    pub(crate) fn controller_listener_of(&self, peer: &Peer) -> Option<&str> {
        let at = peer.listener().checked_sub(self.settings.listeners.len())?;
        self.settings.controller_listeners.get(at).map(String::as_str)
    }

    /// Where a client that speaks to us as `peer` should look for `broker`.
    ///
    /// For this broker that is what its listener advertises, else the address that the client has reached already.
    /// Other brokers are at what they registered for a listener of that name.
    pub(crate) fn endpoint_of(&self, broker: &BrokerImage, peer: &Peer) -> (String, u16) {
        if broker.node != self.id {
            let name = self.settings.listeners.get(peer.listener());
            let named = broker.endpoints.iter().find(|endpoint| Some(&endpoint.name) == name);
            let endpoint = named.or(broker.endpoints.first());
            return endpoint.map_or_else(Default::default, |endpoint| (endpoint.host.clone(), endpoint.port));
        }
        let reached = peer.local_addr();
        let advertised = self.settings.advertised.get(peer.listener());
        let host = advertised.and_then(|advertised| advertised.host.clone());
        let port = advertised.and_then(|advertised| advertised.port);
        (host.unwrap_or_else(|| reached.ip().to_canonical().to_string()), port.unwrap_or(reached.port()))
    }
}

/// What the handlers take from the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `auto.create.topics.enable`.
    pub(crate) auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub(crate) delete_topics: bool,
    /// `replica.selector.class` is Kafka's `RackAwareReplicaSelector`: consumers are sent to replicas in their rack.
    pub(crate) rack_aware: bool,
    /// `fetch.max.bytes`: most bytes that one fetch answer carries, whatever the client asks for.
    pub(crate) fetch_bytes_max: u32,
    /// `transaction.max.timeout.ms`.
    pub(crate) transaction_timeout_ms_max: i32,
    /// `group.coordinator.rebalance.protocols` has `consumer`.
    pub(crate) consumer_protocol: bool,
    /// `max.request.partition.size.limit`.
    pub(crate) describe_partitions_max: usize,
    /// Names of the listeners for clients, by number; those with higher numbers are for controllers.
    pub(crate) listeners: Vec<String>,
    /// Names of the listeners for controllers, which have the numbers after those for clients.
    pub(crate) controller_listeners: Vec<String>,
    /// Name of the first listener for controllers.
    pub(crate) controller_listener: String,
    /// What clients are told to connect to, by listener; a missing host or port is taken from the connection.
    pub(crate) advertised: Vec<Advertised>,
}

/// What one listener tells clients to connect to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Advertised {
    /// `None`: the address at which the client reached us.
    pub(crate) host: Option<String>,
    /// `None`: the port at which the client reached us.
    pub(crate) port: Option<u16>,
}

/// Things that happen too often, or are too much a peer's own fault, to log each time.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests with a key or a version that is not served.
    pub(crate) unsupported_requests: Counter,
    /// Requests that could not be decoded.
    pub(crate) malformed_requests: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
