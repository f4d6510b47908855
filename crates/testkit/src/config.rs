//! What the nodes are configured with.

use std::collections::BTreeMap;
use std::path::Path;

use highwater_broker::BrokerConfig;
use highwater_broker::config::Notice;

use crate::error::KitError;
use crate::port::ReservedPort;

/// The ports of one node.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) clients: ReservedPort,
    /// Used by controllers of clusters.
    pub(crate) controllers: ReservedPort,
}

/// The configuration of node `node` of those with these ports.
pub(crate) fn node_config(
    node: u32,
    ports: &BTreeMap<u32, Ports>,
    data: &Path,
    set: &BTreeMap<String, String>,
) -> Result<BrokerConfig, KitError> {
    if let Some(key) = set.keys().find(|key| RESERVED.contains(&key.as_str())) {
        return Err(KitError::ReservedKey { key: key.clone() });
    }
    let count = ports.len();
    let replicas = count.min(3).to_string();
    let mut all: BTreeMap<String, String> =
        DEFAULTS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for key in
        ["default.replication.factor", "offsets.topic.replication.factor", "transaction.state.log.replication.factor"]
    {
        all.insert(key.to_owned(), replicas.clone());
    }
    all.extend(set.clone());
    all.insert("node.id".to_owned(), node.to_string());
    let own = &ports[&node];
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{}", own.clients.number());
    if 1 < count {
        let is_controller = node <= controllers(count);
        if is_controller {
            listeners.push_str(&format!(",CONTROLLER://127.0.0.1:{}", own.controllers.number()));
        }
        let voters = ports.iter().take_while(|(node, _)| **node <= controllers(count));
        let voters: Vec<String> =
            voters.map(|(node, ports)| format!("{node}@127.0.0.1:{}", ports.controllers.number())).collect();
        let roles = if is_controller { "broker,controller" } else { "broker" };
        all.insert("process.roles".to_owned(), roles.to_owned());
        all.insert("controller.listener.names".to_owned(), "CONTROLLER".to_owned());
        all.insert("controller.quorum.voters".to_owned(), voters.join(","));
    }
    all.insert("listeners".to_owned(), listeners);
    let mut config = BrokerConfig::new(all)?;
    for notice in &config.notices {
        if let Notice::UnknownKey { key, nearest } = notice {
            return Err(KitError::UnknownKey { key: key.clone(), nearest: *nearest });
        }
    }
    // As it is, not as text, in which a comma would divide it.
    config.log_dirs = vec![data.to_owned()];
    config.metadata_log_dir = data.to_owned();
    Ok(config)
}

/// How many nodes are controllers: nodes 1 to 3 where there are as many, else node 1, as two could not outvote anybody.
fn controllers(nodes: usize) -> u32 {
    if nodes < 3 { 1 } else { 3 }
}

/// What tests want, where it differs from Kafka's defaults.
const DEFAULTS: &[(&str, &str)] = &[
    // Two hundred brokers in one test process have one event loop each.
    ("num.network.threads", "1"),
    ("log.index.size.max.bytes", "65536"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("transaction.state.log.min.isr", "1"),
    // The first member of a group need not wait for others.
    ("group.initial.rebalance.delay.ms", "0"),
    // Every fetch names its partitions, so that faults of a topic find it.
    ("max.incremental.fetch.session.cache.slots", "0"),
    // Who kills a node does not want to wait for nine seconds.
    ("broker.heartbeat.interval.ms", "200"),
    ("broker.session.timeout.ms", "2000"),
    ("replica.fetch.backoff.ms", "50"),
    ("controller.quorum.election.timeout.ms", "200"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
];

const RESERVED: &[&str] = &[
    "advertised.listeners",
    "broker.id",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "process.roles",
];
