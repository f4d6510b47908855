//! A broker from start to shutdown.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use highwater_log::{CheckedLogConfig, CleanerConfig, DirOptions, Disk, Log, LogConfig, LogDir, RealDisk};
use highwater_metadata::{
    BrokerRegistration, ConfigResolver, Endpoint, FeatureRange, MetadataImage, RegisterController, StaticConfig,
    features,
};
use highwater_types::{BrokerEpoch, DirectoryId, TimestampMs, TopicPartition, Uuid};
use parking_lot::Mutex;

use crate::api::{Handlers, Sessions};
use crate::config::{BrokerConfig, Listener};
use crate::descriptors;
use crate::format::is_own_cluster;
use crate::forward::Forwarder;
use crate::group::{Coordinators, Services};
use crate::interpose::Interposer;
use crate::lifecycle::{BrokerError, Event, Lifecycle};
use crate::net::NetStats;
use crate::net::{Now, Wakers};
use crate::node::{Advertised, Counters, Node, Settings};
use crate::partition::{
    CleanerPool, CleanerSettings, ControllerAsks, Deleting, Directories, Housekeeper, Intervals, SyncThreads,
    log_config,
};
use crate::producer_ids::ProducerIds;
use crate::quorum::voter_messages::KRAFT_VERSION;
use crate::quorum::{MetadataLogError, QuorumSetup, QuorumStartError};
use crate::random::{random_u64, random_uuid};
use crate::replica::{
    Applier, ApplierSetup, AskingThread, BrokerLife, BrokerParts, ControllerLink, ControllerRegistrar, FetcherSettings,
    FetcherStop, Fetchers, LifeSetup, LinkSetup, LocalPartitions, ReplicationQuotas,
};
use crate::server::{Server, ServerError};
use crate::storage::{LockedStorage, Storage, StorageError};
use crate::view::{View, ViewCell};

/// A running node: a broker, a controller, or both. Stops cleanly when dropped, as by [`shutdown`](Self::shutdown).
///
/// ```no_run
/// use highwater_broker::Broker;
/// use highwater_broker::config::BrokerConfig;
///
/// let broker = Broker::start(&BrokerConfig::embedded("/var/lib/highwater".as_ref()))?;
/// println!("ready {}", broker.bootstrap());
/// broker.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Broker {
    node: Arc<Node>,
    lifecycle: Arc<Lifecycle>,
    server: Arc<Mutex<Option<Server>>>,
    local_addrs: Vec<SocketAddr>,
    events: Sender<Event>,
    /// The registration of this process, 0 while it has none.
    broker_epoch: Arc<AtomicU64>,
    fetchers: FetcherStop,
    asks: ControllerAsks,
    /// Gone when the node stops.
    registrar_stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    housekeeping: Option<JoinHandle<()>>,
    cleaner: Option<CleanerPool>,
    deleting: Deleting,
    /// The directory of the metadata log, if it is no log directory; holds its lock.
    apart: Option<LogDir>,
}

/// Whether a broker serves clients, for another thread than that which has the [`Broker`].
#[derive(Clone)]
pub struct Readiness(Arc<BrokerLife>);

impl Readiness {
    /// Waits until the broker was let into its cluster, for `timeout` at most. Whether it was; never for a node that is
    /// only a controller.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.0.wait_until_unfenced(timeout)
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Readiness").field(&self.0.is_ready()).finish()
    }
}

/// What a broker has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Requests with an API key or a version that is not served; each ended its connection.
    pub unsupported_requests: u64,
    /// Requests whose header or body could not be decoded; each ended its connection.
    pub malformed_requests: u64,
    /// What the event loops have done; all zero once the broker has stopped.
    pub net: NetStats,
}

/// Why a broker did not start. Nothing is left running or locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log directories cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The metadata log cannot be used.
    #[error("the metadata log: {reason}")]
    Metadata {
        /// What is wrong with it.
        reason: String,
    },
    /// A listener cannot be opened.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The operating system refused a thread or a descriptor.
    #[error("start {what}: {source}")]
    Thread {
        /// Which part of the broker.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The configuration has no listener for clients.
    #[error("no listener is configured")]
    NoListener,
}

impl From<MetadataLogError> for StartError {
    fn from(error: MetadataLogError) -> Self {
        Self::Metadata { reason: error.to_string() }
    }
}

impl From<QuorumStartError> for StartError {
    fn from(error: QuorumStartError) -> Self {
        Self::Metadata { reason: error.to_string() }
    }
}

impl Broker {
    /// Starts a broker: formats new directories, recovers logs, replays the metadata, and listens.
    ///
    /// The process may open as many files afterwards as its hard limit says (`RLIMIT_NOFILE`).
    ///
    /// A node that is its cluster's only controller serves clients when this returns; one of several does as soon as
    /// the cluster has let it in, see [`readiness`](Self::readiness). Blocks for as long as recovery takes, which after a clean shutdown is
    /// some milliseconds.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the directories, the metadata log or a listener cannot be used.
    pub fn start(config: &BrokerConfig) -> Result<Self, StartError> {
        Self::start_on(RealDisk::shared(), config)
    }

    /// Starts a broker whose logs are on `disk`: one that counts calls, say, or fails at a chosen one.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_on(disk: Arc<dyn Disk>, config: &BrokerConfig) -> Result<Self, StartError> {
        Self::begin(disk, None, config)
    }

    /// Starts a broker all of whose requests `interposer` decides about before they are served.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_interposed(interposer: Arc<dyn Interposer>, config: &BrokerConfig) -> Result<Self, StartError> {
        Self::begin(RealDisk::shared(), Some(interposer), config)
    }

    fn begin(
        disk: Arc<dyn Disk>,
        interposer: Option<Arc<dyn Interposer>>,
        config: &BrokerConfig,
    ) -> Result<Self, StartError> {
        let now = Now::read();
        descriptors::raise_limit();
        if config.listeners.is_empty() && config.controller_listeners.is_empty() {
            return Err(StartError::NoListener);
        }
        let static_config = &config.static_config;
        let thread = |what| move |source| StartError::Thread { what, source };
        let (events, received) = bounded(EVENTS_MAX);
        let mut storage = LockedStorage::lock(disk, config)?;
        storage.format_new(None)?;
        let cluster_id = storage.cluster_id().to_owned();
        let metadata = storage.open_metadata(now.wall)?;
        let setup = quorum_setup(config, &cluster_id, storage.metadata_directory_id());
        let config_of = config_of(config, setup.preview(&metadata)?);
        let recovery_threads = number(static_config, "num.recovery.threads.per.data.dir", 2);
        let options = DirOptions { recovery_threads, now: now.wall };
        let Storage { directories, found, apart, previous_epoch } = storage.load(options, &config_of, &events)?;
        let wakers = Wakers::new(config.loops).map_err(thread("wakers"))?;
        let view = Arc::new(ViewCell::new(View::empty(&cluster_id, config.node_id)));
        let syncs = Arc::new(SyncThreads::start(SYNC_THREADS, &wakers).map_err(thread("sync threads"))?);
        let (changes, changed) = unbounded();
        let failed = events.clone();
        let quorum = setup.start(metadata, Some(changes), &wakers, events.clone(), move |reason| {
            tracing::error!("the metadata log failed, the node stops: {reason}");
            // If the channel is full or closed, the broker is about to end anyway.
            let _ = failed.try_send(Event::MetadataFailed(reason));
        })?;
        let quorum = Arc::new(quorum);
        let links =
            LinkSetup { quorum: Arc::clone(&quorum), cluster_id: cluster_id.clone(), timeout: CONTROLLER_TIMEOUT };
        let services = Services {
            wakers: Arc::clone(&wakers),
            syncs: Arc::clone(&syncs),
            node: config.node_id,
            static_config: static_config.clone(),
        };
        let coordinators = Coordinators::start(services, now.instant).map_err(thread("group coordinators"))?;
        let broker_epoch = Arc::new(AtomicU64::new(0));
        let life = Arc::new(BrokerLife::default());
        let incarnation = random_uuid();
        let quotas = Arc::new(ReplicationQuotas::new(static_config));
        let fetching = fetcher_settings(config, &cluster_id, &broker_epoch, &wakers, &syncs, &quotas);
        let fetchers = Fetchers::new(fetching, events.clone());
        let fetcher_stop = fetchers.stopper();
        let (asks, asked) = ControllerAsks::new();
        let asks_stop = asks.clone();
        let parts = config.roles.broker.then(|| BrokerParts {
            node: config.node_id,
            incarnation,
            found,
            life: Arc::clone(&life),
            local: LocalPartitions {
                node: config.node_id,
                static_config: static_config.clone(),
                directories: directories.clone(),
                wakers: Arc::clone(&wakers),
                view: Arc::clone(&view),
                coordinators: Arc::clone(&coordinators),
                asks,
                fetchers,
                quotas: Arc::clone(&quotas),
            },
        });
        let applier = ApplierSetup { changes: changed, view: Arc::clone(&view), broker: parts };
        let applier = Applier::start(applier, events.clone()).map_err(thread("metadata"))?;
        let asking = AskingThread {
            node: config.node_id,
            broker_epoch: Arc::clone(&broker_epoch),
            link: ControllerLink::new(links.clone()),
            asked,
            view: Arc::clone(&view),
            wakers: Arc::clone(&wakers),
        };
        let asking = asking.start(events.clone()).map_err(thread("asking"))?;
        let node = Arc::new(Node {
            id: config.node_id,
            settings: settings(config),
            view: Arc::clone(&view),
            quorum: Arc::clone(&quorum),
            forwarder: Forwarder::start(links.clone(), &wakers).map_err(thread("forwarding"))?,
            producer_ids: ProducerIds::new(config.node_id, Arc::clone(&broker_epoch)),
            life: Arc::clone(&life),
            directories: directories.clone(),
            syncs: Arc::clone(&syncs),
            sessions: Sessions::new(number(static_config, "max.incremental.fetch.session.cache.slots", 1000), || {
                random_u64() as u32
            }),
            coordinators,
            wakers: Arc::clone(&wakers),
            quotas,
            counters: Counters::default(),
            interposer,
            started: now.instant,
            static_config: static_config.clone(),
        });
        let server_config = config.server_config().map_err(thread("listeners"))?;
        let server = Server::start(&server_config, &Arc::new(Handlers::new(Arc::clone(&node))), &wakers)?;
        let local_addrs = server.local_addrs().to_vec();
        let server = Arc::new(Mutex::new(Some(server)));
        let mut threads = vec![applier, asking];
        let (registrar_stop, stopped) = bounded(0);
        if !config.controller_listeners.is_empty() {
            let registration = controller_registration(config, &local_addrs, incarnation);
            let registrar = ControllerRegistrar { registration, link: ControllerLink::new(links.clone()), stopped };
            threads.push(registrar.start(events.clone()).map_err(thread("registrar"))?);
        }
        if config.roles.broker {
            let registration = registration(config, &directories, &local_addrs, incarnation, previous_epoch);
            let life_setup = LifeSetup {
                registration,
                link: ControllerLink::new(links),
                directories: directories.clone(),
                view: Arc::clone(&view),
                broker_epoch: Arc::clone(&broker_epoch),
                heartbeat_ms: number(static_config, "broker.heartbeat.interval.ms", 2000),
                hands_over: static_config.flag("controlled.shutdown.enable").unwrap_or(true),
            };
            life.start(life_setup, events.clone()).map_err(thread("the broker's life"))?;
        }
        let lifecycle = Arc::new(Lifecycle::default());
        let housekeeper =
            Housekeeper::new(Arc::clone(&view), directories.clone(), syncs, intervals(static_config), now.wall);
        let cleaner =
            CleanerPool::start(view, cleaner(static_config), housekeeper.deleting()).map_err(thread("cleaner"))?;
        let deleting = housekeeper.deleting();
        let keeper = Keeper {
            housekeeper,
            directories,
            metadata_dir: config.metadata_log_dir.clone(),
            events: received,
            lifecycle: Arc::clone(&lifecycle),
            server: Arc::clone(&server),
            node: Arc::clone(&node),
        };
        let housekeeping = std::thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || {
                let lifecycle = Arc::clone(&keeper.lifecycle);
                if catch_unwind(AssertUnwindSafe(|| keeper.run())).is_err() {
                    let error = BrokerError::Thread { name: "the housekeeping thread" };
                    tracing::error!("the broker stops: {error}");
                    lifecycle.end(Err(error));
                }
            })
            .map_err(thread("housekeeping"))?;
        let broker = Self {
            node,
            lifecycle,
            server,
            local_addrs,
            events,
            broker_epoch,
            fetchers: fetcher_stop,
            asks: asks_stop,
            registrar_stop: Some(registrar_stop),
            threads,
            housekeeping: Some(housekeeping),
            cleaner: Some(cleaner),
            deleting,
            apart,
        };
        if config.roles.broker && broker.node.quorum.is_alone() && !life.wait_until_unfenced(START_TIMEOUT) {
            let reason = broker.failure().map_or_else(
                || format!("the broker could not register with itself within {} s", START_TIMEOUT.as_secs()),
                |failure| failure.to_string(),
            );
            return Err(StartError::Metadata { reason });
        }
        Ok(broker)
    }

    /// Whether the broker was let into its cluster, so that it serves clients. Never for a node that is only a
    /// controller.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.node.life.is_ready()
    }

    /// What tells another thread when clients are served.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness(Arc::clone(&self.node.life))
    }

    /// Whether this node is the active controller of its cluster.
    #[must_use]
    pub fn is_active_controller(&self) -> bool {
        self.node.quorum.state().is_active()
    }

    /// The address of the first listener, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs[0]
    }

    /// The addresses of all listeners, in the order of the configuration.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What to give a client as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.local_addr().to_string()
    }

    /// What happened since the start that is counted rather than logged.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let counters = &self.node.counters;
        BrokerStats {
            unsupported_requests: counters.unsupported_requests.value(),
            malformed_requests: counters.malformed_requests.value(),
            net: self.server.lock().as_ref().map(Server::stats).unwrap_or_default(),
        }
    }

    /// The failure that made the broker stop by itself, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<BrokerError> {
        self.lifecycle.failure()
    }

    /// Waits until the broker stops by itself.
    ///
    /// # Errors
    ///
    /// [`BrokerError`], the failure that it stopped for.
    pub fn wait(&self) -> Result<(), BrokerError> {
        self.lifecycle.wait()
    }

    /// Stops: closes connections, flushes and closes every log, and leaves the clean markers.
    pub fn shutdown(mut self) {
        self.stop(Ending::Clean);
    }

    /// Stops as if the process had been killed, as far as others and the disk can tell: nothing is handed over, answers
    /// on their way are dropped, and no log is closed cleanly, so that the next start recovers them.
    pub fn abandon(mut self) {
        self.stop(Ending::Abrupt);
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn deleting(&self) -> &Deleting {
        &self.deleting
    }

    fn stop(&mut self, ending: Ending) {
        let (leave_timeout, connections_timeout) = match ending {
            Ending::Clean => (LEAVE_TIMEOUT, CONNECTIONS_STOP_TIMEOUT),
            Ending::Abrupt => (Duration::ZERO, Duration::ZERO),
        };
        // Thousands of partitions may be on the way; who stops the broker does not wait for them.
        self.node.directories.iter().for_each(|directory| directory.begin_close());
        // Its last renames come before the logs are closed.
        drop(self.cleaner.take());
        if self.housekeeping.is_some() && self.failure().is_none() {
            // While others can still fetch what they lack.
            self.node.life.leave(leave_timeout);
        }
        let server = self.server.lock().take();
        if let Some(server) = server {
            server.stop(connections_timeout);
        }
        self.fetchers.stop();
        self.asks.stop();
        drop(self.registrar_stop.take());
        self.node.quorum.stop();
        if let Some(thread) = self.housekeeping.take() {
            // If the thread is gone already, so is the receiver.
            let _ = self.events.send(Event::Stop);
            if thread.join().is_err() {
                tracing::error!("the housekeeping thread had panicked");
            }
            for thread in self.threads.drain(..) {
                if thread.join().is_err() {
                    tracing::error!("a thread of the broker had panicked");
                }
            }
            self.close_logs(ending);
        }
        self.lifecycle.end(Ok(()));
    }

    fn close_logs(&mut self, ending: Ending) {
        self.node.coordinators.stop();
        self.node.syncs.stop();
        let now = Now::read().wall;
        // A broker that has never registered has nothing that it could have lost.
        let epoch = Some(self.broker_epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0).map(BrokerEpoch);
        let view = self.node.view.load();
        for directory in self.node.directories.iter() {
            let logs: Vec<Log> = view
                .topics
                .partitions()
                .filter(|partition| Arc::ptr_eq(partition.directory(), directory))
                .filter_map(|partition| partition.take_log())
                .collect();
            match ending {
                Ending::Clean => directory.close_clean(logs, epoch, now),
                Ending::Abrupt => directory.abandon(logs),
            }
        }
        if let Some(directory) = self.apart.take()
            && ending == Ending::Clean
            && let Err(error) = directory.close_clean(Vec::new(), epoch, now)
        {
            tracing::error!("the metadata directory was not closed cleanly: {error}");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop(Ending::Clean);
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("local_addrs", &self.local_addrs).finish_non_exhaustive()
    }
}

/// How a broker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Clean,
    Abrupt,
}

/// How each partition is stored, by the metadata.
fn config_of(config: &BrokerConfig, image: MetadataImage) -> impl Fn(&TopicPartition) -> CheckedLogConfig + Sync {
    let (static_config, node) = (config.static_config.clone(), config.node_id);
    move |partition| {
        let resolver = ConfigResolver { image: &image, static_config: &static_config, node };
        let topic = resolver.topic_config(partition.topic.as_str());
        log_config(&resolver, &topic, random_u64()).unwrap_or_else(|error| {
            tracing::error!(%partition, "configuration is not usable, the defaults serve: {error}");
            LogConfig::default().checked().expect("Kafka's defaults are within Kafka's limits")
        })
    }
}

/// What the quorum is started with.
fn quorum_setup(config: &BrokerConfig, cluster_id: &str, directory: DirectoryId) -> QuorumSetup {
    QuorumSetup {
        node: config.node_id,
        directory,
        cluster_id: cluster_id.to_owned(),
        static_config: config.static_config.clone(),
        is_controller: config.roles.controller,
        voters: config.controllers.clone(),
        is_own_cluster: is_own_cluster(config),
        bootstrap: config.bootstrap_servers.clone(),
        controller_listener: controller_listener(config),
        endpoints: controller_endpoints(config),
    }
}

/// Where a controller is reached.
pub(crate) fn controller_endpoints(config: &BrokerConfig) -> Vec<highwater_raft::Endpoint> {
    let endpoint = |listener: &Listener| highwater_raft::Endpoint {
        listener: listener.name.clone(),
        host: listener.advertised_host.clone().or_else(|| listener.host.clone()).unwrap_or_else(host_name),
        port: listener.advertised_port.unwrap_or(listener.port),
    };
    config.controller_listeners.iter().map(endpoint).collect()
}

/// Name of the listener on which controllers are looked for.
pub(crate) fn controller_listener(config: &BrokerConfig) -> String {
    let own = config.controller_listeners.first().map(|listener| listener.name.clone());
    let named = || {
        let names = config.static_config.get("controller.listener.names")?;
        names.split(',').next().map(|name| name.trim().to_ascii_uppercase())
    };
    own.or_else(named).unwrap_or_default()
}

fn fetcher_settings(
    config: &BrokerConfig,
    cluster_id: &str,
    broker_epoch: &Arc<AtomicU64>,
    wakers: &Arc<Wakers>,
    syncs: &Arc<SyncThreads>,
    quotas: &Arc<ReplicationQuotas>,
) -> FetcherSettings {
    let static_config = &config.static_config;
    FetcherSettings {
        node: config.node_id,
        cluster_id: cluster_id.to_owned(),
        broker_epoch: Arc::clone(broker_epoch),
        listener: config.inter_broker_listener.clone(),
        threads: number(static_config, "num.replica.fetchers", 1),
        wait_ms: number(static_config, "replica.fetch.wait.max.ms", 500),
        min_bytes: number(static_config, "replica.fetch.min.bytes", 1),
        response_bytes_max: number(static_config, "replica.fetch.response.max.bytes", 10 << 20),
        partition_bytes_max: number(static_config, "replica.fetch.max.bytes", 1 << 20),
        backoff_ms: number(static_config, "replica.fetch.backoff.ms", 1000),
        timeout: Duration::from_millis(number(static_config, "replica.socket.timeout.ms", 30_000)),
        wakers: Arc::clone(wakers),
        syncs: Arc::clone(syncs),
        quotas: Arc::clone(quotas),
    }
}

/// What this process tells the controller of itself.
fn registration(
    config: &BrokerConfig,
    directories: &Directories,
    local_addrs: &[SocketAddr],
    incarnation: Uuid,
    previous_epoch: Option<BrokerEpoch>,
) -> BrokerRegistration {
    let listeners = config.listeners.iter().zip(local_addrs);
    BrokerRegistration {
        node: config.node_id,
        incarnation,
        endpoints: listeners.map(|(listener, address)| endpoint(listener, address.port())).collect(),
        features: supported_features(),
        rack: config.rack.clone(),
        log_dirs: directories.iter().map(|directory| directory.id()).collect(),
        previous_epoch,
    }
}

/// What this process tells the active controller of itself as a controller.
fn controller_registration(config: &BrokerConfig, local_addrs: &[SocketAddr], incarnation: Uuid) -> RegisterController {
    let addresses = local_addrs.iter().skip(config.listeners.len());
    let listeners = config.controller_listeners.iter().zip(addresses);
    RegisterController {
        node: config.node_id,
        incarnation,
        endpoints: listeners.map(|(listener, address)| endpoint(listener, address.port())).collect(),
        features: supported_features(),
    }
}

fn supported_features() -> Vec<FeatureRange> {
    let range = |feature: &features::SupportedFeature| FeatureRange {
        name: feature.name.to_owned(),
        min: feature.min,
        max: feature.max,
    };
    features::SUPPORTED.iter().chain(&[KRAFT_VERSION]).map(range).collect()
}

fn endpoint(listener: &Listener, port: u16) -> Endpoint {
    let host = listener.advertised_host.clone().or_else(|| listener.host.clone());
    Endpoint {
        name: listener.name.clone(),
        host: host.unwrap_or_else(host_name),
        port: listener.advertised_port.unwrap_or(port),
        security_protocol: SECURITY_PLAINTEXT,
    }
}

/// What other nodes are told to connect to when the configuration does not say.
fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".to_owned())
}

fn settings(config: &BrokerConfig) -> Settings {
    let flag = |name| config.static_config.flag(name).unwrap_or(true);
    Settings {
        auto_create_topics: flag("auto.create.topics.enable"),
        delete_topics: flag("delete.topic.enable"),
        rack_aware: config
            .static_config
            .get("replica.selector.class")
            .is_some_and(|class| class.trim().ends_with("RackAwareReplicaSelector")),
        fetch_bytes_max: number(&config.static_config, "fetch.max.bytes", 57_671_680),
        transaction_timeout_ms_max: number(&config.static_config, "transaction.max.timeout.ms", 900_000),
        consumer_protocol: config
            .static_config
            .get("group.coordinator.rebalance.protocols")
            .is_none_or(|protocols| protocols.split(',').any(|name| name.trim() == "consumer")),
        describe_partitions_max: number(&config.static_config, "max.request.partition.size.limit", 2000),
        listeners: config.listeners.iter().map(|listener| listener.name.clone()).collect(),
        controller_listeners: config.controller_listeners.iter().map(|listener| listener.name.clone()).collect(),
        controller_listener: controller_listener(config),
        advertised: config
            .listeners
            .iter()
            .map(|listener| Advertised { host: listener.advertised_host.clone(), port: listener.advertised_port })
            .collect(),
    }
}

fn intervals(config: &StaticConfig) -> Intervals {
    Intervals {
        retention_ms: number(config, "log.retention.check.interval.ms", 300_000),
        high_watermark_ms: number(config, "replica.high.watermark.checkpoint.interval.ms", 5000),
        checkpoint_ms: number(config, "log.flush.offset.checkpoint.interval.ms", 60_000),
        flush_ms: FLUSH_CHECK_MS,
        producers_ms: number(config, "producer.id.expiration.check.interval.ms", 600_000),
    }
}

fn cleaner(config: &StaticConfig) -> CleanerSettings {
    let defaults = CleanerConfig::default();
    let threads: usize = number(config, "log.cleaner.threads", 1);
    let share = |bytes: usize| bytes / threads.max(1);
    let load = decimal(config, "log.cleaner.io.buffer.load.factor").unwrap_or(0.9);
    CleanerSettings {
        threads: if config.flag("log.cleaner.enable").unwrap_or(true) { threads } else { 0 },
        backoff: Duration::from_millis(number(config, "log.cleaner.backoff.ms", 15_000)),
        bytes_per_second_max: decimal(config, "log.cleaner.io.max.bytes.per.second").unwrap_or(f64::MAX),
        memory: CleanerConfig {
            dedupe_bytes_max: share(number(config, "log.cleaner.dedupe.buffer.size", defaults.dedupe_bytes_max)),
            // Within 1 and 99, as Kafka takes what it gets and this is a share.
            load_percent_max: (load * 100.0).clamp(1.0, 99.0) as u8,
            io_bytes_max: share(number(config, "log.cleaner.io.buffer.size", defaults.io_bytes_max)).max(1),
            ..defaults
        },
    }
}

/// A decimal number of the configuration.
fn decimal(config: &StaticConfig, name: &str) -> Option<f64> {
    config.get(name)?.parse().ok()
}

/// A number of the configuration; `default` is Kafka's, for a key that our table should lack.
fn number<N: TryFrom<i64>>(config: &StaticConfig, name: &str, default: N) -> N {
    config.number(name).and_then(|value| N::try_from(value).ok()).unwrap_or(default)
}

/// The housekeeping thread.
struct Keeper {
    housekeeper: Housekeeper,
    directories: Directories,
    metadata_dir: PathBuf,
    events: Receiver<Event>,
    lifecycle: Arc<Lifecycle>,
    server: Arc<Mutex<Option<Server>>>,
    node: Arc<Node>,
}

impl Keeper {
    fn run(mut self) {
        loop {
            let now = Now::read().wall;
            self.housekeeper.run(now);
            match self.events.recv_timeout(until(self.housekeeper.next_due(), now)) {
                Ok(Event::DirectoryFailed(directory)) => {
                    self.wake_waiting();
                    self.node.life.hurry();
                    if directory.path() == self.metadata_dir {
                        let reason = format!("its directory {} is offline", self.metadata_dir.display());
                        self.end(BrokerError::MetadataLog { reason });
                    } else if self.directories.iter().all(|directory| directory.is_offline()) {
                        self.end(BrokerError::NoLogDirectory);
                    }
                }
                Ok(Event::ThreadPanicked(name)) => self.end(BrokerError::Thread { name }),
                Ok(Event::MetadataFailed(reason)) => self.end(BrokerError::MetadataLog { reason }),
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.server.lock().as_ref().is_some_and(Server::has_lost_a_loop) {
                self.end(BrokerError::Thread { name: "an event loop" });
            }
        }
    }

    /// Lets fetches find out that their partitions are offline.
    fn wake_waiting(&self) {
        let view = self.node.view.load();
        view.topics.partitions().filter(|partition| partition.directory().is_offline()).for_each(|partition| {
            partition.wake(&self.node.wakers);
        });
    }

    /// Ends the broker's service; its owner learns of it and shuts the rest down.
    fn end(&self, error: BrokerError) {
        tracing::error!("the broker stops: {error}");
        let server = self.server.lock().take();
        if let Some(server) = server {
            server.stop(CONNECTIONS_STOP_TIMEOUT);
        }
        self.lifecycle.end(Err(error));
    }
}

/// Time from `now` until `due`.
fn until(due: TimestampMs, now: TimestampMs) -> Duration {
    Duration::from_millis(u64::try_from(due.ms_since(now)).unwrap_or(0).max(1))
}

/// How long connections may take to receive what is on its way to them when the broker stops.
const CONNECTIONS_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Events of failures that wait for the housekeeping thread; more failures than this end the broker anyway.
const EVENTS_MAX: usize = 64;
/// Threads that sync logs: as many logs are synced side by side.
const SYNC_THREADS: usize = 8;
const FLUSH_CHECK_MS: i64 = 1000;
/// How long a broker on its own may take to register with itself.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a broker that stops hands its leaderships over.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the active controller may take for an answer.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(5);
const SECURITY_PLAINTEXT: i16 = 0;
