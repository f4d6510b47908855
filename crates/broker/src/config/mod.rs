//! What a broker is configured with: `server.properties`, the environment, or a program.
//!
//! The three ways meet in a map of Kafka's keys and values, as text. [`BrokerConfig::new`] checks it once and says
//! everything that is wrong at once. What Kafka would protect or promise and we cannot is an error, never ignored.
//!
//! ```
//! use highwater_broker::config::{BrokerConfig, kafka_environment, parse_properties};
//!
//! let mut properties = parse_properties("listeners=PLAINTEXT://localhost:9092\nlog.dirs=/var/lib/highwater")?;
//! let environment = kafka_environment([("KAFKA_NUM_PARTITIONS".to_owned(), "4".to_owned())]);
//! properties.extend(environment.properties);
//! let mut config = BrokerConfig::new(properties)?;
//! config.cluster_id = environment.cluster_id;
//! assert_eq!(config.listeners[0].port, 9092);
//! assert_eq!(config.static_config.number("num.partitions"), Some(4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod environment;
mod groups;
mod keys;
mod listener;
mod properties;
mod reader;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use highwater_metadata::StaticConfig;
use highwater_types::NodeId;

pub use environment::{Environment, kafka_environment};
pub use listener::Listener;
pub use properties::{PropertiesError, parse_properties};

use crate::server::ServerConfig;

/// A checked configuration.
///
/// Typed fields are what needs more than a number to understand; everything else is in
/// [`static_config`](Self::static_config), whose values have been checked against Kafka's types and bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    /// Cluster that the log directories belong to, which new ones are formatted for. Default `None`: the cluster that
    /// the directories name, or a new one. No property in Kafka either; the container image reads it from
    /// [`CLUSTER_ID`](Environment::cluster_id). One to 64 letters, digits, `-`, `_` and `.`, checked at the start.
    pub cluster_id: Option<String>,
    /// `node.id` (or `broker.id`). Default 1.
    pub node_id: NodeId,
    /// `listeners` that serve clients, in order. Default `PLAINTEXT://:9092`.
    pub listeners: Vec<Listener>,
    /// `process.roles`. Default both.
    pub roles: Roles,
    /// `listeners` named in `controller.listener.names`, in order; only on a controller.
    pub controller_listeners: Vec<Listener>,
    /// `controller.quorum.voters`: the controllers, with host and port of each, unless the metadata log says who they
    /// are (KIP-853). Empty for a node that is its own and only controller, and where the log says it.
    pub controllers: Vec<(NodeId, (String, u16))>,
    /// `controller.quorum.bootstrap.servers`: who is asked for the leader of the quorum. Default none.
    pub bootstrap_servers: Vec<(String, u16)>,
    /// Name of the listener on which brokers reach one another: `inter.broker.listener.name`, or the one called like
    /// `security.inter.broker.protocol`.
    pub inter_broker_listener: String,
    /// `log.dirs` (or `log.dir`), in order. Default `/tmp/kafka-logs`, as in Kafka.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`: the log directory with the metadata log. Default the first of `log_dirs`.
    pub metadata_log_dir: PathBuf,
    /// `broker.rack`. Default none.
    pub rack: Option<String>,
    /// Threads for event loops: `num.network.threads`, at most one a core. Default one a core.
    pub loops: usize,
    /// How sockets are listened on and what connections may use, but for the addresses.
    pub server: ServerConfig,
    /// Every key that was set, as written, for the answers to DescribeConfigs.
    pub static_config: StaticConfig,
    /// What whoever wrote the configuration should know, to be logged at the start.
    pub notices: Vec<Notice>,
}

/// What a node is (`process.roles`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// It serves clients.
    pub broker: bool,
    /// It may be a voter of the metadata quorum and the active controller.
    pub controller: bool,
}

/// Something about a configuration that is not wrong but worth saying.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Keys that are accepted and change nothing here.
    NoEffect(Vec<String>),
    /// A key that nobody knows.
    UnknownKey {
        /// The key.
        key: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A listener on all addresses that tells each client the address at which it reached the broker.
    AdvertisedByConnection(String),
}

impl Notice {
    /// Whether this is likely a mistake, rather than information.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::UnknownKey { .. })
    }
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoEffect(keys) => write!(f, "configs without effect here: {}", keys.join(", ")),
            Self::UnknownKey { key, nearest: Some(nearest) } => {
                write!(f, "unknown config `{key}`; did you mean `{nearest}`?")
            }
            Self::UnknownKey { key, nearest: None } => write!(f, "unknown config `{key}`"),
            Self::AdvertisedByConnection(name) => write!(
                f,
                "listener {name} has no advertised address: each client is told the one at which it reached the broker"
            ),
        }
    }
}

/// A configuration that cannot be used, with everything that is wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One sentence for each fault.
    pub problems: Vec<String>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.problems.as_slice() {
            [problem] => f.write_str(problem),
            problems => write!(f, "{} problems: {}", problems.len(), problems.join("; ")),
        }
    }
}

impl BrokerConfig {
    /// Checks a configuration given by Kafka's keys and values.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every value that does not fit its key, every listener that is faulty or asks for security,
    /// roles and controllers that contradict one another, and every key of ZooKeeper.
    pub fn new(properties: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        reader::read(properties)
    }

    /// A broker inside another program: on a free port of localhost, with its data in `log_dir`.
    #[must_use]
    pub fn embedded(log_dir: &Path) -> Self {
        let properties = [("listeners", "PLAINTEXT://127.0.0.1:0"), ("offsets.topic.replication.factor", "1")];
        let mut properties = BTreeMap::from(properties.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let mut config = Self::new(properties.clone()).expect("these few settings are right");
        // Not read from text, where a comma would divide the path.
        properties.insert("log.dirs".to_owned(), log_dir.display().to_string());
        config.static_config = StaticConfig::new(properties);
        config.log_dirs = vec![log_dir.to_owned()];
        config.metadata_log_dir = log_dir.to_owned();
        config
    }

    /// How to start the server: [`server`](Self::server) with the addresses of the listeners, in their order, those of
    /// controllers last.
    ///
    /// # Errors
    ///
    /// If a host has no address.
    pub fn server_config(&self) -> io::Result<ServerConfig> {
        let all = self.listeners.iter().chain(&self.controller_listeners);
        let listeners = all.map(Listener::bind_address).collect::<io::Result<_>>()?;
        Ok(ServerConfig { listeners, ..self.server.clone() })
    }
}

#[cfg(test)]
mod tests;
