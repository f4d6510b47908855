//! highwater's own idempotent producer against a cluster of real processes whose nodes are killed and moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use highwater_client::admin::{ElectionKind, NewTopic};
use highwater_client::{
    Client, ClientError, Event, NodeId, OffsetReset, PartitionIndex, ProducerRecord, TopicName, TopicPartition,
};

use crate::node::Cluster;

/// While records are written, each node in turn is killed and started again, and leaders and partitions move. Every
/// record is acknowledged; each is there once, in the order in which it was sent, where it was acknowledged.
///
/// # Panics
///
/// If not, or if the cluster does not get over something in time.
pub(crate) fn delivers_each_record_once() {
    let nodes = [1, 2, 3];
    let settings = ["min.insync.replicas=2", "offsets.topic.replication.factor=3", "replica.lag.time.max.ms=5000"];
    let mut cluster = Cluster::new(&nodes, &nodes, &settings);
    cluster.start_all();
    let bootstrap: Vec<String> = nodes.iter().map(|id| format!("127.0.0.1:{}", cluster.port(*id))).collect();
    let world = World { client: Client::new(&bootstrap.join(",")).expect("the addresses are good") };
    until("three brokers are there", || Ok(world.client.admin().describe_cluster().wait()?.brokers.len() == 3));
    let topic = NewTopic::new(TOPIC).partitions(PARTITIONS).replication_factor(3);
    until("the topic is created", || {
        Ok(world.client.admin().create_topics([topic.clone()], false).wait()?.all_ok().is_ok())
    });
    world.wait_until_in_sync();

    let writer = Writer::start(&world.client);
    writer.step("three nodes write");
    for node in nodes {
        cluster.kill(node);
        writer.step("a node was killed");
        cluster.start(node);
        cluster.wait_until_ready(node);
        world.wait_until_in_sync();
        writer.step("it is in sync again");
    }
    world.elect_preferred();
    writer.step("leaders moved to the preferred replicas");
    world.reassign();
    world.elect_preferred();
    writer.step("partitions were reassigned");
    world.check(&writer.end());
}

/// Where each record was acknowledged, in the order in which they were sent.
type Acknowledged = Vec<(PartitionIndex, u64)>;

struct Writer {
    is_going_on: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Acknowledged>,
}

impl Writer {
    fn start(client: &Client) -> Self {
        let is_going_on = Arc::new(AtomicBool::new(true));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let producer = client.producer::<Vec<u8>, String>().idempotence(true).build().expect("the configs are good");
        let (going_on, count) = (Arc::clone(&is_going_on), Arc::clone(&acknowledged));
        let thread = thread::spawn(move || {
            let topic = TopicName::new(TOPIC).expect("a good name");
            let (told, heard) = std::sync::mpsc::channel();
            let mut number = 0_u32;
            while going_on.load(Ordering::Relaxed) {
                let partition = PartitionIndex::new(number % PARTITIONS);
                let record = ProducerRecord::new(topic.clone(), number.to_string()).partition(partition);
                let (told, count) = (told.clone(), Arc::clone(&count));
                producer.send_with(record, move |result| {
                    count.fetch_add(1, Ordering::Relaxed);
                    // The writer listens until it has ended.
                    let _ = told.send((number, result));
                });
                number += 1;
                // Faster, and there would be more to read in the end; nothing waits for this.
                thread::sleep(PACE);
            }
            producer.close(DEADLINE).wait().expect("everything is sent in time");
            drop(told);
            let ended: BTreeMap<_, _> = heard.iter().collect();
            assert_eq!(ended.len(), number as usize, "records that ended");
            let place = |(number, result): (u32, Result<highwater_client::RecordMetadata, _>)| {
                let stored = result.unwrap_or_else(|error| panic!("record {number} failed: {error}"));
                (stored.partition, stored.offset.expect("it was acknowledged by all").value())
            };
            ended.into_iter().map(place).collect()
        });
        Self { is_going_on, acknowledged, thread }
    }

    /// Waits until something more was acknowledged.
    fn step(&self, what: &str) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        until(&format!("records are acknowledged after: {what}"), || {
            Ok(before + 20 < self.acknowledged.load(Ordering::Relaxed))
        });
    }

    fn end(self) -> Acknowledged {
        self.is_going_on.store(false, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct World {
    client: Client,
}

impl World {
    fn wait_until_in_sync(&self) {
        until("all replicas are in sync", || {
            let topic = self.client.admin().describe_topics([TOPIC]).wait()?.only()?;
            let is_complete = topic.partitions.len() == PARTITIONS as usize;
            Ok(is_complete && topic.partitions.iter().all(|partition| partition.isr.len() == 3))
        });
    }

    fn elect_preferred(&self) {
        until("preferred leaders are elected", || {
            let elected = self.client.admin().elect_leaders(ElectionKind::Preferred, None).wait()?;
            Ok(elected.all_ok().is_ok())
        });
    }

    /// Moves the preference of every partition to the next node.
    fn reassign(&self) {
        let nodes = |partition: u32| (1..=3).map(|shift| NodeId::new((partition + shift) % 3 + 1)).collect();
        let moves = || (0..PARTITIONS).map(|partition| (at(partition), Some(nodes(partition))));
        let admin = self.client.admin();
        until("replicas begin to move", || Ok(admin.alter_reassignments(moves()).wait()?.all_ok().is_ok()));
        until("replicas have moved", || Ok(admin.list_reassignments().wait()?.is_empty()));
        self.wait_until_in_sync();
    }

    fn check(&self, acknowledged: &Acknowledged) {
        let mut want: BTreeMap<PartitionIndex, Vec<(u64, String)>> = BTreeMap::new();
        for (number, (partition, offset)) in acknowledged.iter().enumerate() {
            assert_eq!(number % PARTITIONS as usize, partition.value() as usize, "partition of record {number}");
            want.entry(*partition).or_default().push((*offset, number.to_string()));
        }
        let builder = self.client.reader().partitions((0..PARTITIONS).map(at)).start_at(OffsetReset::Earliest);
        let consumer = builder.config("enable.partition.eof", "true").build().expect("the configs are good");
        let mut got: BTreeMap<PartitionIndex, Vec<(u64, String)>> = BTreeMap::new();
        let mut left = PARTITIONS;
        while 0 < left {
            match consumer.next().wait_for(DEADLINE).expect("it is open").expect("the ends come in time") {
                Event::Records(records) => {
                    for record in &records {
                        let value = record.decode().expect("it is text").expect("it is not null");
                        got.entry(record.partition_index()).or_default().push((record.offset().value(), value));
                    }
                }
                Event::Eof { .. } => left -= 1,
                Event::Error(error) => panic!("{error}"),
                _ => {}
            }
        }
        for (partition, want) in &want {
            let got = got.get(partition).map_or(&[][..], Vec::as_slice);
            let differs = want.iter().zip(got).find(|(want, got)| want != got);
            assert_eq!(differs, None, "partition {partition}: sent and acknowledged (left) is not stored (right)");
            assert_eq!(got.len(), want.len(), "records in partition {partition}");
        }
    }
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(TOPIC).expect("a good name"), partition: PartitionIndex::new(partition) }
}

/// Tries until it holds, whatever errors there are while nodes come and go.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool, ClientError>) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let problem = match holds() {
            Ok(true) => return,
            Ok(false) => None,
            Err(error) => Some(error),
        };
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what} ({problem:?})");
        thread::sleep(Duration::from_millis(100));
    }
}

const TOPIC: &str = "moving";
const PARTITIONS: u32 = 6;
const PACE: Duration = Duration::from_millis(2);
const DEADLINE: Duration = Duration::from_secs(90);
