//! Turns keys and values into a checked configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use highwater_metadata::config::definition;
use highwater_metadata::{ResourceKind, StaticConfig};
use highwater_types::NodeId;

use super::groups;
use super::keys::{Verdict, judge};
use super::listener::{Endpoint, items};
use super::{BrokerConfig, ConfigError, Listener, Notice, Roles};
use crate::net::ConnectionLimits;
use crate::server::{ServerConfig, loop_count};

/// Sizes of kernel buffers in Kafka's own default file. There they are a floor from the days before kernels adapted
/// them; set on a socket today they are a ceiling, so this value leaves the kernel free.
const KAFKA_SOCKET_BUFFER_SIZE: i64 = 102_400;
/// Receive memory if `queued.max.request.bytes` is not set, where Kafka has no limit.
const RECEIVE_BYTES_DEFAULT: i64 = 256 << 20;

pub(super) fn read(properties: BTreeMap<String, String>) -> Result<BrokerConfig, ConfigError> {
    let set = StaticConfig::new(properties);
    let mut reader = Reader { set: &set, problems: Vec::new(), notices: Vec::new() };
    reader.judge_keys();
    let roles = reader.roles();
    reader.problems.extend(groups::problems(&set));
    let node_id = reader.node_id();
    let (listeners, controller_listeners) = reader.listeners(roles);
    let bootstrap_servers = reader.bootstrap_servers();
    let controllers = reader.controllers(roles, node_id, bootstrap_servers.is_empty());
    let inter_broker_listener = reader.inter_broker_listener(roles, &listeners);
    let log_dirs = reader.log_dirs();
    let server = reader.server();
    let loops = loop_count(reader.text("num.network.threads").and_then(|threads| threads.parse().ok()));
    let rack = reader.text("broker.rack").map(str::to_owned);
    let metadata_log_dir = match (reader.text("metadata.log.dir"), log_dirs.first()) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, first) => first.cloned().unwrap_or_default(),
    };
    if reader.text("metadata.log.dir").is_some() && !log_dirs.contains(&metadata_log_dir) {
        reader.problems.push("metadata.log.dir must be one of log.dirs".to_owned());
    }
    let Reader { problems, notices, .. } = reader;
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    Ok(BrokerConfig {
        cluster_id: None,
        node_id,
        roles,
        listeners,
        controller_listeners,
        controllers,
        bootstrap_servers,
        inter_broker_listener,
        log_dirs,
        metadata_log_dir,
        rack,
        loops,
        server,
        notices,
        static_config: set,
    })
}

struct Reader<'a> {
    set: &'a StaticConfig,
    problems: Vec<String>,
    notices: Vec<Notice>,
}

impl<'a> Reader<'a> {
    fn judge_keys(&mut self) {
        let mut no_effect = Vec::new();
        let mut refused = BTreeSet::new();
        for (key, value) in self.set.iter() {
            match judge(key, value) {
                Verdict::Known => {}
                Verdict::NoEffect => no_effect.push(key.to_owned()),
                Verdict::Unknown { nearest } => {
                    self.notices.push(Notice::UnknownKey { key: key.to_owned(), nearest });
                }
                Verdict::Refused(reason) => {
                    // The same reason for many keys is said once.
                    if refused.insert(reason) {
                        self.problems.push(format!("{key}: {reason}"));
                    }
                    continue;
                }
            }
            if let Some(definition) = definition(ResourceKind::Broker, key)
                && let Err(invalid) = definition.check(value)
            {
                self.problems.push(invalid.to_string());
            }
        }
        if !no_effect.is_empty() {
            self.notices.push(Notice::NoEffect(no_effect));
        }
    }

    fn roles(&mut self) -> Roles {
        if let Some(protocol) = self.text("security.inter.broker.protocol")
            && protocol != "PLAINTEXT"
        {
            self.problems
                .push(format!("security.inter.broker.protocol={protocol} is not supported yet, only PLAINTEXT"));
        }
        let Some(text) = self.text("process.roles") else { return Roles { broker: true, controller: true } };
        // A name that is no role has been complained about.
        let named: BTreeSet<_> = items(text).collect();
        Roles { broker: named.contains("broker"), controller: named.contains("controller") }
    }

    /// Who is asked for the leader of the quorum.
    fn bootstrap_servers(&mut self) -> Vec<(String, u16)> {
        let mut servers = Vec::new();
        for item in items(self.text("controller.quorum.bootstrap.servers").unwrap_or_default()) {
            match address(item) {
                Some(server) => servers.push(server),
                None => {
                    self.problems.push(format!("controller.quorum.bootstrap.servers: `{item}` is not host:port"));
                }
            }
        }
        servers
    }

    /// The controllers of the configuration.
    fn controllers(&mut self, roles: Roles, node: NodeId, is_alone: bool) -> Vec<(NodeId, (String, u16))> {
        let mut controllers: Vec<(NodeId, (String, u16))> = Vec::new();
        for item in items(self.text("controller.quorum.voters").unwrap_or_default()) {
            let voter = item
                .split_once('@')
                .and_then(|(id, text)| Some((NodeId::from_wire(id.trim().parse().ok()?)?, address(text)?)));
            match voter {
                Some((id, _)) if controllers.iter().any(|(known, _)| *known == id) => {
                    self.problems.push(format!("controller.quorum.voters names node {id} twice"));
                }
                Some(voter) => controllers.push(voter),
                None => self.problems.push(format!("controller.quorum.voters: `{item}` is not id@host:port")),
            }
        }
        if controllers.is_empty() {
            if !roles.controller && is_alone {
                self.problems.push(
                    "a node without the role of a controller needs controller.quorum.bootstrap.servers or \
                     controller.quorum.voters to know where they are"
                        .to_owned(),
                );
            }
            return controllers;
        }
        let is_named = controllers.iter().any(|(id, _)| *id == node);
        if roles.controller && !is_named {
            self.problems.push(format!("controller.quorum.voters does not name node {node}, which is a controller"));
        }
        if !roles.controller && is_named {
            self.problems.push(format!("controller.quorum.voters names node {node}, which is not a controller"));
        }
        controllers
    }

    /// Name of the listener on which brokers reach one another.
    fn inter_broker_listener(&mut self, roles: Roles, listeners: &[Listener]) -> String {
        let name = self.text("inter.broker.listener.name").map(str::to_ascii_uppercase);
        let name = match name {
            Some(name) => name,
            // Without one of that name it is the first: a single node needs none, and others say what they want.
            None => match listeners.iter().find(|listener| listener.name == "PLAINTEXT").or(listeners.first()) {
                Some(listener) => listener.name.clone(),
                None => return String::new(),
            },
        };
        if roles.broker && !listeners.iter().any(|listener| listener.name == name) {
            self.problems.push(format!("inter.broker.listener.name={name}: there is no such listener"));
        }
        name
    }

    fn node_id(&mut self) -> NodeId {
        // -1 is how Kafka writes that there is none.
        let [node, broker] = ["node.id", "broker.id"].map(|key| self.text(key).filter(|id| *id != "-1"));
        if let (Some(node), Some(broker)) = (node, broker)
            && node != broker
        {
            self.problems
                .push(format!("node.id={node} and broker.id={broker} must be the same, or only node.id be set"));
        }
        // A number that is not one has been complained about.
        node.or(broker).and_then(|id| id.parse().ok()).and_then(NodeId::from_wire).unwrap_or(NodeId::new(1))
    }

    /// The listeners for clients and those for controllers.
    fn listeners(&mut self, roles: Roles) -> (Vec<Listener>, Vec<Listener>) {
        let endpoints = self.endpoints("listeners", if roles.broker { "PLAINTEXT://:9092" } else { "" });
        let advertised = self.endpoints("advertised.listeners", "");
        let controllers: Vec<_> =
            items(self.text("controller.listener.names").unwrap_or_default()).map(str::to_ascii_uppercase).collect();
        let protocols = self.protocols(&controllers);
        for endpoint in &advertised {
            if !endpoints.iter().any(|bound| bound.name == endpoint.name) {
                self.problems.push(format!("advertised.listeners: there is no listener {}", endpoint.name));
            }
            if endpoint.host.is_some() && endpoint.is_wildcard() {
                let host = endpoint.host.as_deref().unwrap_or_default();
                self.problems.push(format!("advertised.listeners: clients cannot connect to {host}, name a real host"));
            }
        }
        let mut listeners = Vec::new();
        let mut controller_listeners = Vec::new();
        for endpoint in endpoints {
            self.check_protocol(&endpoint.name, &protocols);
            let told = advertised.iter().find(|told| told.name == endpoint.name);
            if !controllers.contains(&endpoint.name) {
                if roles.broker {
                    listeners.push(self.listener(endpoint, told));
                } else {
                    let name = &endpoint.name;
                    self.problems
                        .push(format!("listener {name} is for clients, which a controller alone does not serve"));
                }
            } else if roles.controller {
                controller_listeners.push(self.listener(endpoint, told));
            } else {
                let name = &endpoint.name;
                self.problems.push(format!("listener {name} is for controllers, and this node is not one"));
            }
        }
        if listeners.is_empty() && roles.broker && self.problems.is_empty() {
            self.problems.push("listeners has none for clients".to_owned());
        }
        if controller_listeners.is_empty() && !roles.broker && self.problems.is_empty() {
            self.problems.push("listeners has none that controller.listener.names names".to_owned());
        }
        (listeners, controller_listeners)
    }

    fn listener(&mut self, endpoint: Endpoint, told: Option<&Endpoint>) -> Listener {
        let wildcard = endpoint.is_wildcard();
        // Advertised without a host is as good as not advertised, but for the port.
        let advertised_host = match told.and_then(|told| told.host.clone()) {
            None if !wildcard => endpoint.host.clone(),
            host => host,
        };
        if advertised_host.is_none() && !self.is_controller_listener(&endpoint.name) {
            self.notices.push(Notice::AdvertisedByConnection(endpoint.name.clone()));
        }
        let advertised_port = told.map(|told| told.port).filter(|port| *port != 0);
        Listener { name: endpoint.name, host: endpoint.host, port: endpoint.port, advertised_host, advertised_port }
    }

    fn is_controller_listener(&self, name: &str) -> bool {
        items(self.text("controller.listener.names").unwrap_or_default()).any(|item| item.eq_ignore_ascii_case(name))
    }

    fn endpoints(&mut self, key: &str, default: &str) -> Vec<Endpoint> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for text in items(self.text(key).unwrap_or(default)) {
            match Endpoint::parse(text) {
                Ok(endpoint) if endpoints.iter().any(|other| other.name == endpoint.name) => {
                    self.problems.push(format!("{key}: two listeners are called {}", endpoint.name));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(problem) => self.problems.push(format!("{key}: {problem}")),
            }
        }
        endpoints
    }

    /// Security protocol by listener name.
    fn protocols(&mut self, controllers: &[String]) -> BTreeMap<String, String> {
        let Some(map) = self.text("listener.security.protocol.map") else {
            let own = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].map(|name| (name.to_owned(), name.to_owned()));
            let plaintext = controllers.iter().map(|name| (name.clone(), "PLAINTEXT".to_owned()));
            // A controller listener called like a protocol is of that protocol.
            return plaintext.chain(own).collect();
        };
        let mut protocols = BTreeMap::new();
        for item in items(map) {
            match item.split_once(':') {
                Some((name, protocol)) => {
                    protocols.insert(name.trim().to_ascii_uppercase(), protocol.trim().to_ascii_uppercase());
                }
                None => self.problems.push(format!("listener.security.protocol.map: `{item}` is not NAME:PROTOCOL")),
            }
        }
        protocols
    }

    fn check_protocol(&mut self, name: &str, protocols: &BTreeMap<String, String>) {
        match protocols.get(name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            Some(protocol) => self.problems.push(format!(
                "listener {name} asks for {protocol}: TLS and SASL are not supported yet, and it will not be opened without"
            )),
            None => self.problems.push(format!("listener.security.protocol.map does not say what listener {name} is")),
        }
    }

    fn log_dirs(&mut self) -> Vec<PathBuf> {
        let default = definition(ResourceKind::Broker, "log.dir").and_then(|definition| definition.default);
        let dirs = self.text("log.dirs").or(self.text("log.dir")).or(default).unwrap_or_default();
        let log_dirs: Vec<_> = items(dirs).map(PathBuf::from).collect();
        if log_dirs.is_empty() {
            self.problems.push("log.dirs names no directory".to_owned());
        }
        if log_dirs.iter().collect::<BTreeSet<_>>().len() < log_dirs.len() {
            self.problems.push("log.dirs names a directory twice".to_owned());
        }
        log_dirs
    }

    fn server(&mut self) -> ServerConfig {
        let receive_bytes_max = match self.number("queued.max.request.bytes") {
            limit if limit > 0 => limit,
            _ => RECEIVE_BYTES_DEFAULT,
        };
        let idle_ms = u64::try_from(self.number("connections.max.idle.ms"));
        let backlog = self.set.get("socket.listen.backlog.size").map(|_| self.number("socket.listen.backlog.size"));
        let default = ServerConfig::default();
        ServerConfig {
            listeners: Vec::new(),
            request_bytes_max: u32::try_from(self.number("socket.request.max.bytes")).unwrap_or(u32::MAX),
            receive_bytes_max: usize::try_from(receive_bytes_max).unwrap_or(usize::MAX),
            // A negative time means never.
            idle_max: Duration::from_millis(idle_ms.unwrap_or(u64::MAX)),
            connections: self.connections(),
            backlog: backlog.map_or(default.backlog, |size| size.clamp(1, u16::MAX.into()) as u16),
            send_buffer_size: self.buffer_size("socket.send.buffer.bytes"),
            receive_buffer_size: self.buffer_size("socket.receive.buffer.bytes"),
        }
    }

    fn connections(&mut self) -> ConnectionLimits {
        ConnectionLimits {
            total_max: usize::try_from(self.number("max.connections")).unwrap_or(usize::MAX),
            per_ip_max: u32::try_from(self.number("max.connections.per.ip")).unwrap_or(u32::MAX),
            per_ip_overrides: self.per_ip_overrides(),
            per_second_max: u32::try_from(self.number("max.connection.creation.rate")).unwrap_or(u32::MAX),
        }
    }

    fn per_ip_overrides(&mut self) -> HashMap<IpAddr, u32> {
        let mut overrides = HashMap::new();
        for item in items(self.text("max.connections.per.ip.overrides").unwrap_or_default()) {
            let entry = item.rsplit_once(':').and_then(|(host, max)| {
                let host = host.trim().trim_start_matches('[').trim_end_matches(']');
                let max = max.trim().parse::<u32>().ok()?;
                Some(((host, 0).to_socket_addrs().ok()?, max))
            });
            match entry {
                Some((addresses, max)) => overrides.extend(addresses.map(|address| (address.ip().to_canonical(), max))),
                None => self.problems.push(format!("max.connections.per.ip.overrides: `{item}` is not host:count")),
            }
        }
        overrides
    }

    fn buffer_size(&self, key: &str) -> Option<usize> {
        let size = self.set.get(key).map(|_| self.number(key))?;
        usize::try_from(size).ok().filter(|_| size > 0 && size != KAFKA_SOCKET_BUFFER_SIZE)
    }

    /// The value of `key` as it was set, without the white space around it; `None` if there is none.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.set.get(key).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The number that was set, or Kafka's default; one that is not a number has been complained about.
    fn number(&self, key: &str) -> i64 {
        self.set.number(key).unwrap_or(-1)
    }
}

/// Host and port of `host:port`, where an address of IPv6 is in brackets.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some((host.to_owned(), port.trim().parse().ok()?))
}
