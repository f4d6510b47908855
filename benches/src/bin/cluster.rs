//! Measures what a cluster of three nodes costs, and how fast it gets over the loss of one. Run it without arguments for
//! the whole table:
//!
//! ```text
//! cargo run --release -p highwater-benches --bin cluster
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use highwater_benches::binary::build_broker;
use highwater_benches::groups::peer::Peer;
use highwater_benches::machine::Machine;
use highwater_benches::process::Server;
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_wire::Records;
use highwater_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
};

/// Starts clusters of three nodes on this machine and prints what they cost, as Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's binary; by default it is built from this workspace.
    #[arg(long)]
    broker: Option<PathBuf>,
    /// Folder for data, on the file system to measure; by default a temporary one in the build folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Megabytes of a sample.
    #[arg(long, default_value_t = 512)]
    megabytes: usize,
    /// Partitions to create, and to have when the controller is killed.
    #[arg(long, default_value_t = 10_000)]
    partitions: usize,
    /// How often each failure is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut out = io::stdout();
    let this = std::env::current_exe()?;
    let build_folder = this.parent().ok_or("this program lies in no folder")?;
    let broker = match &arguments.broker {
        Some(path) => path.clone(),
        None => build_broker(build_folder)?,
    };
    let data =
        tempfile::Builder::new().prefix("cluster-").tempdir_in(arguments.data.as_deref().unwrap_or(build_folder))?;
    writeln!(out, "{}\n", Machine::describe(data.path()))?;
    let mut cluster = Cluster::start(&broker, data.path())?;
    costs(&mut cluster, &arguments, &mut out)?;
    failures(&mut cluster, &arguments, &mut out)?;
    controllers(&mut cluster, &arguments, &mut out)?;
    Ok(())
}

/// Three nodes that are brokers and controllers.
struct Cluster {
    broker: PathBuf,
    data: PathBuf,
    clients: BTreeMap<i32, u16>,
    controllers: BTreeMap<i32, u16>,
    nodes: BTreeMap<i32, Server>,
}

impl Cluster {
    fn start(broker: &Path, data: &Path) -> io::Result<Self> {
        let held: Vec<TcpListener> =
            (0..6).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
        let ports: Vec<u16> = held.iter().map(|one| Ok(one.local_addr()?.port())).collect::<io::Result<_>>()?;
        drop(held);
        let (clients, controllers) = ports.split_at(3);
        let mut cluster = Self {
            broker: broker.to_owned(),
            data: data.to_owned(),
            clients: (1..).zip(clients.iter().copied()).collect(),
            controllers: (1..).zip(controllers.iter().copied()).collect(),
            nodes: BTreeMap::new(),
        };
        // A node is ready when a majority is up: all have to be started before one is waited for.
        let commands: Vec<(i32, Command)> = (1..=3).map(|id| (id, cluster.command(id))).collect();
        let started: Vec<io::Result<(i32, Server)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = commands
                .into_iter()
                .map(|(id, mut command)| scope.spawn(move || Server::start(&mut command).map(|server| (id, server))))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("starting does not panic")).collect()
        });
        for server in started {
            let (id, server) = server?;
            cluster.nodes.insert(id, server);
        }
        Ok(cluster)
    }

    fn command(&self, id: i32) -> Command {
        let voters: Vec<String> = self.controllers.iter().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        let (client, controller) = (self.clients[&id], self.controllers[&id]);
        let mut command = Command::new(&self.broker);
        command.arg("server").env("CLUSTER_ID", "bench").env("RUST_LOG", "error");
        for setting in [
            "process.roles=broker,controller".to_owned(),
            format!("node.id={id}"),
            format!("controller.quorum.voters={}", voters.join(",")),
            format!("listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("log.dirs={}", self.data.join(format!("node-{id}")).display()),
            format!("broker.session.timeout.ms={SESSION_MS}"),
            "broker.heartbeat.interval.ms=500".to_owned(),
            "auto.create.topics.enable=false".to_owned(),
        ] {
            command.args(["--set", &setting]);
        }
        command
    }

    fn restart(&mut self, id: i32) -> io::Result<()> {
        let server = Server::start(&mut self.command(id))?;
        self.nodes.insert(id, server);
        Ok(())
    }

    fn address(&self, id: i32) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.clients[&id]))
    }

    fn any(&self) -> io::Result<Peer> {
        let id = self.nodes.keys().next().ok_or_else(|| io::Error::other("no node runs"))?;
        Peer::connect(self.address(*id))
    }

    fn cpu(&self) -> io::Result<Duration> {
        self.nodes.values().map(Server::cpu).sum()
    }

    /// Creates a topic and waits until it is led and all its replicas are in sync.
    fn create(&self, name: &str, partitions: usize, replicas: i16) -> io::Result<()> {
        let config = CreatableTopicConfig {
            name: "min.insync.replicas".into(),
            value: Some(if replicas == 3 { "2" } else { "1" }.into()),
            ..Default::default()
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            replication_factor: replicas,
            configs: vec![config].into(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 60_000, ..Default::default() };
        let answer = self.any()?.call(5, &request)?;
        // The request type gives the key; the answer is read as its response.
        let response: CreateTopicsResponse<'_> = answer.read()?;
        let code = response.topics.iter().next().map_or(-1, |topic| topic.error_code);
        if code != 0 {
            return Err(io::Error::other(format!("topic {name} was not created: {code}")));
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if self.state(name)?.is_some_and(|(leader, in_sync)| leader >= 0 && in_sync == replicas as usize) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::other(format!("topic {name} does not get ready")))
    }

    /// Leader of the first partition, and how many are in sync.
    fn state(&self, topic: &str) -> io::Result<Option<(i32, usize)>> {
        state(&mut self.any()?, topic)
    }

    fn leader(&self, topic: &str) -> io::Result<i32> {
        let (leader, _) = self.state(topic)?.ok_or_else(|| io::Error::other("no such topic"))?;
        Ok(leader)
    }
}

fn state(peer: &mut Peer, topic: &str) -> io::Result<Option<(i32, usize)>> {
    let asked = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![asked].into()), ..Default::default() };
    let answer = peer.call(9, &request)?;
    let response: MetadataResponse<'_> = answer.read()?;
    let partition = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
    Ok(partition.map(|partition| (partition.leader_id, partition.isr_nodes.len())))
}

fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![7; 1000];
    for _ in 0..(bytes / 1000).max(1) {
        builder.append(1_700_000_000_000, None, Some(&value), &[]).expect("a record of 1000 bytes");
    }
    builder.finish().expect("a batch of a few records")
}

fn produce_request<'a>(topic: &'a str, records: &'a [u8], acks: i16) -> ProduceRequest<'a> {
    let partition = PartitionProduceData { index: 0, records: Records::Bytes(records), ..Default::default() };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![partition].into(), ..Default::default() };
    ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic].into(), ..Default::default() }
}

fn acknowledged(peer: &mut Peer) -> io::Result<bool> {
    let answer = peer.receive::<ProduceRequest<'_>>(9)?;
    let response: ProduceResponse<'_> = answer.read()?;
    let partition = response.responses.iter().next().and_then(|topic| topic.partition_responses.iter().next());
    Ok(partition.is_some_and(|partition| partition.error_code == 0))
}

/// What a gigabyte costs all brokers together, and how long an acknowledgement takes.
fn costs(cluster: &mut Cluster, arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| replicas | acks | batch | depth | MB/s | broker CPU s/GB, all nodes | ack p50 ms | ack p99 ms |")?;
    writeln!(out, "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (name, replicas) in [("single", 1), ("triple", 3)] {
        cluster.create(name, 1, replicas)?;
    }
    for (bytes, depth) in [(1_000_000, 4), (64_000, 8), (16_000, 1)] {
        for (name, replicas, acks) in [("single", 1, 1), ("triple", 3, 1), ("triple", 3, -1)] {
            let sample = produce(cluster, arguments, name, bytes, depth, acks)?;
            let acks = if acks == -1 { "all" } else { "1" };
            let Sample { rate, cpu, p50, p99 } = sample;
            writeln!(out, "| {replicas} | {acks} | {bytes} | {depth} | {rate:.0} | {cpu:.2} | {p50:.2} | {p99:.2} |")?;
        }
    }
    writeln!(out)
}

struct Sample {
    rate: f64,
    cpu: f64,
    p50: f64,
    p99: f64,
}

fn produce(
    cluster: &Cluster,
    arguments: &Arguments,
    topic: &str,
    bytes: usize,
    depth: usize,
    acks: i16,
) -> io::Result<Sample> {
    let records = batch(bytes);
    let request = produce_request(topic, &records, acks);
    let mut peer = Peer::connect(cluster.address(cluster.leader(topic)?))?;
    // Small requests take longer for a megabyte.
    let share = if depth == 1 { 8 } else { 1 };
    let count = (arguments.megabytes * 1_000_000 / share / bytes).max(10);
    let mut times = Vec::with_capacity(count);
    let mut sent = VecDeque::new();
    let (began, cpu_before) = (Instant::now(), cluster.cpu()?);
    for index in 0..count + depth {
        if depth <= index || count <= index {
            if !acknowledged(&mut peer)? {
                return Err(io::Error::other("a batch was refused"));
            }
            let sent_at: Instant = sent.pop_front().ok_or_else(|| io::Error::other("more answers than requests"))?;
            times.push(sent_at.elapsed().as_secs_f64() * 1000.0);
        }
        if index < count {
            peer.send(9, &request)?;
            sent.push_back(Instant::now());
        }
    }
    let gigabytes = (count * records.len()) as f64 / 1e9;
    let wall = began.elapsed().as_secs_f64();
    // What the leader alone has acknowledged costs the followers as much, later.
    peer.send(9, &produce_request(topic, &records, -1))?;
    acknowledged(&mut peer)?;
    let cpu = (cluster.cpu()? - cpu_before).as_secs_f64() / gigabytes;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Sample { rate: gigabytes * 1000.0 / wall, cpu, p50: at(0.5), p99: at(0.99) })
}

/// How long nobody acknowledges when the leader is killed, and while the nodes are restarted one after the other.
fn failures(cluster: &mut Cluster, arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| failure | ms |\n| --- | ---: |")?;
    for _ in 0..arguments.rounds {
        let leader = cluster.leader("triple")?;
        drop(cluster.nodes.remove(&leader));
        let killed = Instant::now();
        let mut watcher = cluster.any()?;
        let known = loop {
            match state(&mut watcher, "triple")? {
                Some((next, _)) if next >= 0 && next != leader => break next,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let seen = killed.elapsed();
        let mut peer = Peer::connect(cluster.address(known))?;
        let records = batch(1000);
        loop {
            peer.send(9, &produce_request("triple", &records, -1))?;
            if acknowledged(&mut peer)? {
                break;
            }
        }
        let answered = killed.elapsed();
        writeln!(
            out,
            "| leader killed, until another one is told of (session timeout {SESSION_MS}) | {:.0} |",
            ms(seen)
        )?;
        writeln!(
            out,
            "| from then to the first acknowledgement (`acks=all`) | {:.1} |",
            ms(answered.saturating_sub(seen))
        )?;
        cluster.restart(leader)?;
        await_in_sync(cluster)?;
    }
    writeln!(
        out,
        "| rolling restart of three nodes, longest time without an acknowledgement | {:.0} |\n",
        ms(roll(cluster)?)
    )
}

fn await_in_sync(cluster: &Cluster) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while cluster.state("triple")?.is_none_or(|(leader, in_sync)| leader < 0 || in_sync < 3) {
        if deadline <= Instant::now() {
            return Err(io::Error::other("not all replicas get in sync"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Restarts one node after the other under a producer that looks for the leader as clients do.
fn roll(cluster: &mut Cluster) -> io::Result<Duration> {
    let addresses: Vec<SocketAddr> = cluster.clients.keys().map(|id| cluster.address(*id)).collect();
    let ids: BTreeMap<i32, SocketAddr> = cluster.clients.keys().map(|id| (*id, cluster.address(*id))).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let records = batch(1000);
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            let mut connected: Option<Peer> = None;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let is_acknowledged = connected.as_mut().is_some_and(|peer| {
                    peer.send(9, &produce_request("triple", &records, -1)).is_ok()
                        && acknowledged(peer).unwrap_or(false)
                });
                if is_acknowledged {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                let leader = addresses.iter().find_map(|address| {
                    let (leader, _) = state(&mut Peer::connect(*address).ok()?, "triple").ok()??;
                    ids.get(&leader)
                });
                connected = leader.and_then(|address| Peer::connect(*address).ok());
                std::thread::sleep(Duration::from_millis(2));
            }
            longest
        });
        std::thread::sleep(Duration::from_millis(500));
        let mut outcome = Ok(());
        for id in 1..=3 {
            let restarted = || -> io::Result<()> {
                if let Some(node) = cluster.nodes.remove(&id) {
                    node.stop()?;
                }
                cluster.restart(id)?;
                await_in_sync(cluster)
            };
            outcome = outcome.and_then(|()| { restarted }());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let longest = producer.join().expect("the producer does not panic");
        outcome.map(|()| longest)
    })
}

/// Many partitions: to create them, and to have another controller take them over.
fn controllers(cluster: &mut Cluster, arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| with {} partitions of three replicas | ms |\n| --- | ---: |", arguments.partitions)?;
    let (began, cpu) = (Instant::now(), cluster.cpu()?);
    let topics = arguments.partitions.div_ceil(1000);
    for index in 0..topics {
        cluster.create(&format!("many-{index}"), (arguments.partitions - index * 1000).min(1000), 3)?;
    }
    let cpu = cluster.cpu()? - cpu;
    writeln!(out, "| to create them, until each can be used | {:.0} |", ms(began.elapsed()))?;
    writeln!(out, "| CPU time of that, all nodes | {:.0} |", ms(cpu))?;
    for round in 0..arguments.rounds {
        let active = active(cluster)?;
        drop(cluster.nodes.remove(&active));
        let killed = Instant::now();
        let name = format!("after-{round}");
        while create_once(cluster, &name).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
        writeln!(
            out,
            "| active controller killed, until another one has created a topic | {:.0} |",
            ms(killed.elapsed())
        )?;
        cluster.restart(active)?;
    }
    writeln!(out)
}

fn create_once(cluster: &Cluster, name: &str) -> io::Result<()> {
    let topic = CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 60_000, ..Default::default() };
    let answer = cluster.any()?.call(5, &request)?;
    let response: CreateTopicsResponse<'_> = answer.read()?;
    match response.topics.iter().next() {
        Some(topic) if topic.error_code == 0 || topic.error_code == TOPIC_ALREADY_EXISTS => Ok(()),
        _ => Err(io::Error::other("not yet")),
    }
}

/// The node that leads the metadata quorum, which only it describes.
fn active(cluster: &Cluster) -> io::Result<i32> {
    use highwater_wire::messages::describe_quorum_request::{PartitionData, TopicData};
    use highwater_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
    let partition = PartitionData { partition_index: 0, ..Default::default() };
    let topic =
        TopicData { topic_name: "__cluster_metadata".into(), partitions: vec![partition].into(), ..Default::default() };
    let request = DescribeQuorumRequest { topics: vec![topic].into(), ..Default::default() };
    let answer = cluster.any()?.call(1, &request)?;
    let response: DescribeQuorumResponse<'_> = answer.read()?;
    let partition = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
    partition.map(|partition| partition.leader_id).ok_or_else(|| io::Error::other("nobody leads the quorum"))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

const SESSION_MS: u64 = 3000;
const TOPIC_ALREADY_EXISTS: i16 = 36;
