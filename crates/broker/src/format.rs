//! Preparing the directories of a node, as `kafka-storage format` does.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::str::FromStr;

use highwater_log::RealDisk;
use highwater_raft::{Endpoint, KRaftVersions, ReplicaKey, Voter, VoterSet};
use highwater_types::{DirectoryId, NodeId, Uuid};

use crate::broker::{controller_endpoints, controller_listener};
use crate::config::{BrokerConfig, Listener};
use crate::net::Now;
use crate::quorum::{MetadataLogError, write_first_voters};
use crate::random::random_uuid;
use crate::storage::{LockedStorage, StorageError};

/// Who decides first in a cluster whose voters are in the metadata log (KIP-853).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InitialControllers {
    /// The voters are not in the log: they are those of `controller.quorum.voters`, or a node that is its own and only
    /// controller.
    #[default]
    Configured,
    /// This node alone; others may be added later.
    Standalone,
    /// These. Each of them is formatted with the same list.
    These(Vec<InitialController>),
    /// Others: this node finds them by `controller.quorum.bootstrap.servers`, and may be added to them later.
    Others,
}

/// A voter of a cluster that does not run yet, written `ID@HOST:PORT:DIRECTORY_ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialController {
    /// The node.
    pub node: NodeId,
    /// Where it is reached as a controller.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// The id of its metadata directory, which formatting gives it.
    pub directory: DirectoryId,
}

/// A text that names no voter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not ID@HOST:PORT:DIRECTORY_ID")]
pub struct NoController {
    text: String,
}

impl FromStr for InitialController {
    type Err = NoController;

    fn from_str(text: &str) -> Result<Self, NoController> {
        let read = || {
            let (id, rest) = text.trim().split_once('@')?;
            let (address, directory) = rest.rsplit_once(':')?;
            let (host, port) = address.rsplit_once(':')?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let directory = directory.parse::<Uuid>().ok().filter(|id| *id != Uuid::ZERO)?;
            (!host.is_empty()).then_some(Self {
                node: NodeId::from_wire(id.parse().ok()?)?,
                host: host.to_owned(),
                port: port.parse().ok().filter(|port| *port != 0)?,
                directory: DirectoryId(directory),
            })
        };
        read().ok_or_else(|| NoController { text: text.to_owned() })
    }
}

/// Why directories were not formatted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A directory cannot be used, or belongs to another cluster or node.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The first voters could not be written into the metadata log's directory.
    #[error("the metadata log: {reason}")]
    Metadata {
        /// Why.
        reason: String,
    },
    /// A node that is no controller decides nothing.
    #[error("this node has not the role of a controller, so that it cannot decide alone")]
    NotController,
    /// Voters are either in the configuration or in the log.
    #[error("controller.quorum.voters is set, so that the voters cannot be in the metadata log")]
    FixedVoters,
    /// A controller does not know who decides.
    #[error(
        "controller.quorum.voters is not set on this controller, so that it needs to know whether it decides alone, who \
         does with it, or that others do"
    )]
    NoVoters,
    /// Two of the voters have the same id or directory.
    #[error("the initial controllers have {what} twice")]
    Twice {
        /// The id, or the directory.
        what: String,
    },
    /// Nobody could reach the voter that this node is to be.
    #[error("the listener for controllers has no port that others could be told: it must not be 0")]
    NoPort,
}

impl From<MetadataLogError> for FormatError {
    fn from(error: MetadataLogError) -> Self {
        Self::Metadata { reason: error.to_string() }
    }
}

/// Formats the directories of a configuration for a cluster: writes `meta.properties` where there is none, as a node of
/// several has to have it before its first start, and who decides first. Returns the directories that were new.
///
/// # Errors
///
/// [`FormatError`] if a directory cannot be used or belongs to another cluster or node, or the voters contradict the
/// configuration.
pub fn format(
    config: &BrokerConfig,
    cluster_id: &str,
    controllers: &InitialControllers,
) -> Result<Vec<PathBuf>, FormatError> {
    let endpoints = controller_endpoints(config);
    check(config, controllers, &endpoints)?;
    let config = BrokerConfig { cluster_id: Some(cluster_id.to_owned()), ..config.clone() };
    let mut storage = LockedStorage::lock(RealDisk::shared(), &config)?;
    let is_new = storage.is_metadata_new();
    let directory = match controllers {
        InitialControllers::These(voters) => {
            voters.iter().find(|voter| voter.node == config.node_id).map(|own| own.directory)
        }
        InitialControllers::Standalone if is_new => Some(DirectoryId(random_uuid())),
        _ => None,
    };
    let voter = |node, directory, endpoints| Voter {
        key: ReplicaKey { id: node, directory: Some(directory) },
        endpoints,
        kraft_versions: KRaftVersions::SUPPORTED,
    };
    let voters: Vec<Voter> = match controllers {
        InitialControllers::Configured | InitialControllers::Others => Vec::new(),
        InitialControllers::Standalone => {
            directory.map(|directory| voter(config.node_id, directory, endpoints)).into_iter().collect()
        }
        InitialControllers::These(voters) => {
            let listener = controller_listener(&config);
            let endpoint = |voter: &InitialController| Endpoint {
                listener: listener.clone(),
                host: voter.host.clone(),
                port: voter.port,
            };
            voters.iter().map(|known| voter(known.node, known.directory, vec![endpoint(known)])).collect()
        }
    };
    if is_new && !voters.is_empty() {
        // First: the directory counts as formatted once it says whose it is.
        write_first_voters(storage.metadata_dir(), VoterSet::of(voters), Now::read().wall)?;
    }
    Ok(storage.format_new(directory)?)
}

fn check(config: &BrokerConfig, controllers: &InitialControllers, endpoints: &[Endpoint]) -> Result<(), FormatError> {
    let is_fixed = !config.controllers.is_empty();
    match controllers {
        InitialControllers::Configured if config.roles.controller && !is_fixed && !is_own_cluster(config) => {
            Err(FormatError::NoVoters)
        }
        InitialControllers::Configured | InitialControllers::Others => Ok(()),
        InitialControllers::Standalone if !config.roles.controller => Err(FormatError::NotController),
        _ if is_fixed => Err(FormatError::FixedVoters),
        InitialControllers::Standalone
            if endpoints.is_empty() || endpoints.iter().any(|endpoint| endpoint.port == 0) =>
        {
            Err(FormatError::NoPort)
        }
        InitialControllers::Standalone => Ok(()),
        InitialControllers::These(voters) => check_distinct(voters),
    }
}

fn check_distinct(voters: &[InitialController]) -> Result<(), FormatError> {
    let (mut nodes, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for voter in voters {
        if !nodes.insert(voter.node) {
            return Err(FormatError::Twice { what: format!("node {}", voter.node) });
        }
        if !directories.insert(voter.directory) {
            return Err(FormatError::Twice { what: format!("directory {}", voter.directory.0) });
        }
    }
    Ok(())
}

/// Whether a node is a cluster's only controller by its configuration: no voters are named, and nobody else is asked who
/// they are.
pub(crate) fn is_own_cluster(config: &BrokerConfig) -> bool {
    let is_own = |(host, port): &(String, u16)| {
        let has_port = |listener: &Listener| listener.port == *port || listener.advertised_port == Some(*port);
        let listeners = &config.controller_listeners;
        // Only an address of this machine can be bound.
        (listeners.is_empty() || listeners.iter().any(has_port)) && TcpListener::bind((host.as_str(), 0)).is_ok()
    };
    config.roles.controller && config.controllers.is_empty() && config.bootstrap_servers.iter().all(is_own)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config(settings: &[(&str, &str)]) -> BrokerConfig {
        let common = [
            ("process.roles", "controller"),
            ("listeners", "CONTROLLER://127.0.0.1:9093"),
            ("controller.listener.names", "CONTROLLER"),
        ];
        let settings = common.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        BrokerConfig::new(settings.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn controller(text: &str) -> Option<InitialController> {
        text.parse().ok()
    }

    const DIRECTORY: &str = "3Db5QLSqSZieL3rJBUUegA";

    #[test]
    fn a_controller_is_named_as_in_kafka() {
        let directory = DirectoryId(DIRECTORY.parse().unwrap());
        let node = NodeId::new(1);
        let named = |host: &str| Some(InitialController { node, host: host.into(), port: 9093, directory });
        assert_eq!(controller(&format!("1@c1:9093:{DIRECTORY}")), named("c1"));
        assert_eq!(controller(&format!("1@[::1]:9093:{DIRECTORY}")), named("::1"));
        for bad in
            ["", "1@c1:9093", "1@c1:9093:short", "1@c1:0:3Db5QLSqSZieL3rJBUUegA", "-1@c1:1:3Db5QLSqSZieL3rJBUUegA"]
        {
            assert_eq!(controller(bad), None, "{bad}");
        }
        assert_eq!(controller("1@c1:9093:AAAAAAAAAAAAAAAAAAAAAA"), None, "zeros are no directory");
    }

    #[test]
    fn who_decides_is_said_once() {
        let outcome = |config: &BrokerConfig, controllers| {
            check(config, &controllers, &controller_endpoints(config)).map_err(|error| error.to_string())
        };
        let first = || controller(&format!("1@c1:9093:{DIRECTORY}")).unwrap();
        let fixed = config(&[("controller.quorum.voters", "1@127.0.0.1:9093")]);
        assert_eq!(outcome(&fixed, InitialControllers::Configured), Ok(()));
        for controllers in [InitialControllers::Standalone, InitialControllers::These(vec![first()])] {
            assert!(outcome(&fixed, controllers).is_err_and(|why| why.contains("is set")));
        }
        let joins = config(&[("controller.quorum.bootstrap.servers", "127.0.0.1:9093,127.0.0.1:9094")]);
        assert!(outcome(&joins, InitialControllers::Configured).is_err_and(|why| why.contains("is not set")));
        assert_eq!(outcome(&joins, InitialControllers::Others), Ok(()));
        assert_eq!(outcome(&joins, InitialControllers::Standalone), Ok(()));
        let twice = InitialControllers::These(vec![first(), first()]);
        assert!(outcome(&joins, twice).is_err_and(|why| why.contains("node 1 twice")));
        let same = InitialControllers::These(vec![first(), InitialController { node: NodeId::new(2), ..first() }]);
        assert!(outcome(&joins, same).is_err_and(|why| why.contains(DIRECTORY)));
        let broker = config(&[
            ("process.roles", "broker"),
            ("listeners", "PLAINTEXT://127.0.0.1:9092"),
            ("controller.quorum.bootstrap.servers", "127.0.0.1:9093"),
        ]);
        assert_eq!(outcome(&broker, InitialControllers::Configured), Ok(()));
        assert!(outcome(&broker, InitialControllers::Standalone).is_err_and(|why| why.contains("role")));
        let hidden = config(&[("listeners", "CONTROLLER://127.0.0.1:0")]);
        assert!(outcome(&hidden, InitialControllers::Standalone).is_err_and(|why| why.contains("port")));
    }

    #[test]
    fn who_asks_only_itself_is_a_cluster_of_its_own() {
        let asks = |servers| is_own_cluster(&config(&[("controller.quorum.bootstrap.servers", servers)]));
        assert!(is_own_cluster(&config(&[])));
        assert!(asks("127.0.0.1:9093"));
        assert!(!asks("127.0.0.1:9094"), "another process");
        assert!(!asks("192.0.2.1:9093"), "another machine");
        assert!(!asks("127.0.0.1:9093,127.0.0.1:9094"), "and others");
    }
}
