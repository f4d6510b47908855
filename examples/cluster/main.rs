//! Three nodes in one program: a leader is shut down, and another one takes over.
//!
//! Each node would be a process of its own on a machine of its own; here they share one, so that everything can be seen
//! in one place. `README.md` beside this file does the same with processes and `kill`.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use highwater_broker::peer::{PeerConfig, PeerConnection};
use highwater_broker::{Broker, BrokerConfig};
use highwater_wire::messages::create_topics_request::CreatableTopic;
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::{CreateTopicsRequest, CreateTopicsResponse, MetadataRequest, MetadataResponse};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let mut out = std::io::stdout();
    let directory = tempfile::tempdir()?;
    let ports = free_ports(6)?;
    let (clients, controllers) = ports.split_at(3);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push((id, Broker::start(&config(id, clients, controllers, directory.path())?)?));
    }
    for (id, node) in &nodes {
        assert!(node.readiness().wait(Duration::from_secs(30)), "node {id} was not let in");
    }
    writeln!(out, "three nodes at {clients:?}")?;

    let mut first = connect(clients[0])?;
    create_topic(&mut first, "events")?;
    let (leader, in_sync) = leader_of(&mut first, "events")?;
    writeln!(out, "node {leader} leads, in sync are {in_sync:?}")?;

    // A leader that ends hands over first: nobody has to miss it for the length of a session.
    let at = nodes.iter().position(|(id, _)| *id == leader).ok_or("the leader is one of the nodes")?;
    nodes.remove(at).1.shutdown();
    let (id, _) = nodes.first().ok_or("two are left")?;
    let mut another = connect(clients[usize::try_from(id - 1)?])?;
    let (next, in_sync) = leader_of(&mut another, "events")?;
    writeln!(out, "node {leader} was shut down: node {next} leads, in sync are {in_sync:?}")?;
    assert_ne!(leader, next);
    Ok(())
}

/// Kafka's own keys, as they would be in `server.properties`.
fn config(id: i32, clients: &[u16], controllers: &[u16], data: &Path) -> Fallible<BrokerConfig> {
    let voters: Vec<String> = (1..).zip(controllers).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    let index = usize::try_from(id - 1)?;
    let (client, controller) = (clients[index], controllers[index]);
    let settings = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", id.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", data.join(format!("node-{id}")).display().to_string()),
    ];
    let settings: BTreeMap<String, String> = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut config = BrokerConfig::new(settings)?;
    // Every node of a cluster has to know which one that is; `highwater format` writes it into the directories.
    config.cluster_id = Some("example".to_owned());
    Ok(config)
}

fn connect(port: u16) -> Fallible<PeerConnection> {
    Ok(PeerConnection::connect("127.0.0.1", port, &PeerConfig::default())?)
}

fn create_topic(connection: &mut PeerConnection, name: &str) -> Fallible<()> {
    let topic = CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 3, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 10_000, ..Default::default() };
    let response: CreateTopicsResponse<'_> = connection.call(5, &request, TIMEOUT)?;
    match response.topics.iter().next() {
        Some(topic) if topic.error_code == 0 => Ok(()),
        answer => Err(format!("the topic was not created: {answer:?}").into()),
    }
}

/// Who leads the one partition of a topic, and who is in sync, the lowest first. Asks until somebody leads.
fn leader_of(connection: &mut PeerConnection, topic: &str) -> Fallible<(i32, Vec<i32>)> {
    for _ in 0..300 {
        let asked = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked].into()), ..Default::default() };
        let response: MetadataResponse<'_> = connection.call(9, &request, TIMEOUT)?;
        let topic = response.topics.iter().next();
        let partition = topic.and_then(|topic| topic.partitions.iter().next());
        if let Some(partition) = partition.filter(|partition| 0 <= partition.leader_id) {
            let mut in_sync: Vec<i32> = partition.isr_nodes.iter().collect();
            in_sync.sort_unstable();
            return Ok((partition.leader_id, in_sync));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("nobody leads the topic".into())
}

/// Ports that were free just now; all are held until the last one is found.
fn free_ports(count: usize) -> Fallible<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

const TIMEOUT: Duration = Duration::from_secs(10);
