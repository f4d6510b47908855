//! One request and its answer over a loopback socket to a broker in this process, wall time.
//!
//! What a broker costs in CPU, beside the least that any server must do, is measured by the load program of the
//! workspace's `benches` folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use highwater_broker::{Broker, BrokerConfig};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_wire::frame::{RequestHeader, encode_request};
use highwater_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use highwater_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use highwater_wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use highwater_wire::{ApiKey, Message, Records};

const TOPIC: &str = "bench";

struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.local_addr()).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: Vec::new() }
    }

    /// Sends a frame and returns the length of the answer.
    fn exchange(&mut self, frame: &[u8]) -> usize {
        self.stream.write_all(frame).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        self.answer.resize(u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut self.answer).unwrap();
        self.answer.len()
    }
}

fn frame<'m>(key: ApiKey, version: i16, body: &impl Message<'m>) -> Vec<u8> {
    let header = RequestHeader { api_key: key.code(), api_version: version, ..RequestHeader::default() };
    let mut out = Vec::new();
    encode_request(&mut out, &header, body).unwrap();
    out
}

fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![b'x'; 1_000];
    for _ in 0..bytes.div_ceil(1_008) {
        builder.append(1_700_000_000_000, None, Some(&value), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn produce(bytes: usize) -> Vec<u8> {
    let batch = batch(bytes);
    let partition = PartitionProduceData { records: Records::Bytes(&batch), ..PartitionProduceData::default() };
    let topic =
        TopicProduceData { name: TOPIC.into(), partition_data: vec![partition].into(), ..TopicProduceData::default() };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 1_000, topic_data: vec![topic].into(), ..ProduceRequest::default() };
    frame(ApiKey::Produce, 9, &request)
}

fn fetch(bytes: i32) -> Vec<u8> {
    let partition = FetchPartition { partition_max_bytes: bytes, ..FetchPartition::default() };
    let topic = FetchTopic { topic: TOPIC.into(), partitions: vec![partition].into(), ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: 1_000,
        min_bytes: 1,
        max_bytes: bytes,
        topics: vec![topic].into(),
        ..FetchRequest::default()
    };
    frame(ApiKey::Fetch, 12, &request)
}

fn round_trips(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(&BrokerConfig::embedded(directory.path())).unwrap();
    let mut client = Client::connect(&broker);
    let topic =
        CreatableTopic { name: TOPIC.into(), num_partitions: 1, replication_factor: 1, ..CreatableTopic::default() };
    let create = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 5_000, ..Default::default() };
    client.exchange(&frame(ApiKey::CreateTopics, 5, &create));

    let mut group = c.benchmark_group("produce");
    for bytes in [1 << 10, 16 << 10, 256 << 10] {
        let request = produce(bytes);
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(format!("{} KiB", bytes >> 10), |b| b.iter(|| client.exchange(&request)));
    }
    group.finish();
    let mut group = c.benchmark_group("fetch");
    for bytes in [16 << 10, 64 << 10, 256 << 10] {
        let request = fetch(bytes);
        let length = client.exchange(&request);
        assert!(length > bytes as usize / 2, "an answer with records");
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(format!("{} KiB", bytes >> 10), |b| b.iter(|| client.exchange(&request)));
    }
    group.finish();
    drop(client);
    broker.shutdown();
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
