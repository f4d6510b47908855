//! Requests that real clients sent to Apache Kafka 4.3.0, sent again to the real binary.
//!
//! `wire.json` holds requests and the responses they got. Each request of an API that the broker has is
//! replayed, as recorded, on a connection like the one it came on; before it the topics and records are
//! brought about that its recorded answer speaks of. The answer has to be one of the same version
//! (it decodes to its last byte), carry the request's correlation id, and have the same error codes.
//! Where Kafka closed the connection, the broker has to do the same.

#[path = "../clients/broker.rs"]
mod broker;
mod cluster;
mod codes;
mod connection;
mod groups;
mod recording;

use std::io::Write as _;

use highwater_wire::ApiKey;
use nix::sys::signal::Signal;

use broker::{Broker, is_stand_in};
use cluster::{Cluster, Need};
use codes::{Codes, Names};
use connection::Connection;
use groups::Members;
use recording::Exchange;

#[test]
fn recorded_requests_get_the_same_version_and_error_codes() {
    let Some(exchanges) = recording::load() else {
        let _ = writeln!(std::io::stderr(), "skipped: wire.json (not found)");
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let broker = Broker::start(&dir.path().join("data"));
    let mut replay = Replay {
        cluster: Cluster::new(Connection::open(broker.address()), &exchanges),
        names: exchanges.iter().flat_map(codes::names).collect(),
        sessions: Vec::new(),
        members: Members::default(),
    };
    let mut connection = Connection::open(broker.address());
    let mut differences = Vec::new();
    let mut replayed = 0;
    for (at, exchange) in exchanges.iter().enumerate() {
        if !is_replayed(exchange) {
            continue;
        }
        if at == 0 || !exchange.follows(&exchanges[at - 1]) || exchange.response.is_none() {
            connection = Connection::open(broker.address());
        }
        if let Err(difference) = replay.exchange(exchange, &mut connection) {
            differences.push(format!("{at}: {:?} v{}: {difference}", exchange.key, exchange.version));
            connection = Connection::open(broker.address());
        }
        replayed += 1;
    }
    assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), broker.stderr_tail());
    assert!(150 < replayed, "only {replayed} of {} recorded requests were replayed", exchanges.len());
    broker.end(Signal::SIGTERM);
}

/// What has to be remembered from one request to the next.
struct Replay {
    cluster: Cluster,
    /// Topic ids, those of the recording and those of the broker.
    names: Names,
    /// Fetch sessions: the recorded id and the one that the broker gave.
    sessions: Vec<(i32, i32)>,
    /// Members of groups.
    members: Members,
}

impl Replay {
    fn exchange(&mut self, exchange: &Exchange, connection: &mut Connection) -> Result<(), String> {
        let Some(recorded) = &exchange.response else {
            return match connection.ask(&exchange.request) {
                Ok(answer) => Err(format!("answered with {} bytes, not closed", answer.len())),
                Err(_) => Ok(()),
            };
        };
        let recorded_answer = recorded;
        let recorded = codes::decode(exchange, recorded, &self.names)?;
        self.cluster.prepare(&codes::needs(exchange, &recorded, &self.names));
        self.cluster.prepare(&groups::needs(exchange, &recorded, &self.names));
        if let Some(Need::Member { group, recorded, instance }) = self.members.unknown(exchange, &recorded) {
            let member = self.cluster.join(&group, instance.as_deref());
            self.members.learn(&group, &recorded, member);
        }
        let request = self.translate(exchange);
        let mut answer = connection.ask(&request).map_err(|error| format!("not answered: {error}"))?;
        let mut got = codes::decode(exchange, &answer, &self.names)?;
        while is_stand_in() && got.is_starting() {
            answer = connection.ask(&request).map_err(|error| format!("not answered: {error}"))?;
            got = codes::decode(exchange, &answer, &self.names)?;
        }
        self.members.observe(exchange, recorded_answer, &answer);
        if recorded.session != 0 {
            self.sessions.push((recorded.session, got.session));
        }
        compare(exchange.key, &recorded, &got)
    }

    /// The request with the broker's own topic ids and fetch session in place of the recorded ones.
    fn translate(&mut self, exchange: &Exchange) -> Vec<u8> {
        let mut request = self.members.translate(exchange);
        for (id, name) in self.names.clone() {
            if find(&request, id.as_bytes()).is_some() {
                let own = self.cluster.topic_id(&name);
                substitute(&mut request, id.as_bytes(), own.as_bytes());
                self.names.insert(own, name);
            }
        }
        for (recorded, own) in &self.sessions {
            substitute(&mut request, &recorded.to_be_bytes(), &own.to_be_bytes());
        }
        request
    }
}

/// Whether the request is of an API that exists here; transactions come later.
fn is_replayed(exchange: &Exchange) -> bool {
    exchange.response.is_none() || codes::is_known(exchange.key) && !codes::is_transactional(exchange)
}

fn compare(key: ApiKey, recorded: &Codes, got: &Codes) -> Result<(), String> {
    for (what, code) in &recorded.codes {
        let want = expected(key, *code);
        let found = got.codes.get(what).copied();
        if found != Some(want) && !(key == ApiKey::FindCoordinator && is_stand_in()) {
            return Err(format!("{what}: error code {found:?}, not {want}"));
        }
    }
    match got.codes.iter().find(|(what, code)| **code != 0 && !recorded.codes.contains_key(*what)) {
        Some((what, code)) => Err(format!("{what}: error code {code} where Kafka had no entry")),
        None => Ok(()),
    }
}

/// What is due where Kafka answered with `recorded`.
fn expected(key: ApiKey, recorded: i16) -> i16 {
    match (key, recorded) {
        // The recorded broker had just started or had just made the topic.
        (ApiKey::Produce, NOT_LEADER_OR_FOLLOWER) | (ApiKey::InitProducerId, COORDINATOR_LOAD_IN_PROGRESS) => 0,
        _ => recorded,
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn substitute(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    if let Some(at) = find(bytes, from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
