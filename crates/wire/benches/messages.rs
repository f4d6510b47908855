//! The messages on the hot paths: Produce in, Fetch and Metadata out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use highwater_types::Uuid;
use highwater_wire::frame::encode_response;
use highwater_wire::messages::FetchRequest;
use highwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use highwater_wire::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use highwater_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use highwater_wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use highwater_wire::{ApiKey, Message, Reader, Records, Writer};

const PARTITIONS: i32 = 100;

fn encoded<'m, M: Message<'m>>(message: &M, version: i16) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(version, &mut Writer::new(&mut out)).unwrap();
    out
}

fn produce(c: &mut Criterion) {
    let records = vec![7; 1024];
    let partition = PartitionProduceData { index: 3, records: Records::Bytes(&records), ..Default::default() };
    let topic = |version| TopicProduceData {
        name: Cow::Borrowed(if version < 13 { "orders" } else { "" }),
        topic_id: if version < 13 { Uuid::ZERO } else { Uuid::from_bytes([5; 16]) },
        partition_data: vec![partition.clone()].into(),
        ..Default::default()
    };
    let mut group = c.benchmark_group("produce");
    for version in [7, 9, 13] {
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![topic(version)].into(),
            ..Default::default()
        };
        let bytes = encoded(&request, version);
        group.bench_function(format!("decode v{version}"), |b| {
            b.iter(|| ProduceRequest::decode(&mut Reader::new(black_box(&bytes)), version).unwrap());
        });
        group.bench_function(format!("decode and walk v{version}"), |b| {
            b.iter(|| {
                let request = ProduceRequest::decode(&mut Reader::new(black_box(&bytes)), version).unwrap();
                let topics = request.topic_data.iter();
                topics.map(|t| t.partition_data.iter().map(|p| p.records.len()).sum::<usize>()).sum::<usize>()
            });
        });
    }
}

fn fetch(c: &mut Criterion) {
    let partition = |index| PartitionData {
        partition_index: index,
        high_watermark: 1 << 40,
        last_stable_offset: 1 << 40,
        log_start_offset: 0,
        records: Records::External(4096),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        topic_id: Uuid::from_bytes([5; 16]),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    let response = FetchResponse { responses: vec![topic].into(), ..Default::default() };
    let mut group = c.benchmark_group("fetch 100 partitions");
    group.throughput(Throughput::Elements(PARTITIONS as u64));
    let mut out = Vec::new();
    group.bench_function("encode response v18", |b| {
        b.iter(|| {
            out.clear();
            encode_response(&mut out, ApiKey::Fetch, 18, 1, black_box(&response)).unwrap().len()
        });
    });
    let partition = |partition| FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic {
        topic_id: Uuid::from_bytes([5; 16]),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    let bytes = encoded(&FetchRequest { topics: vec![topic].into(), ..Default::default() }, 17);
    group.bench_function("decode request v17", |b| {
        b.iter(|| FetchRequest::decode(&mut Reader::new(black_box(&bytes)), 17).unwrap());
    });
    group.bench_function("decode and walk request v17", |b| {
        b.iter(|| {
            let request = FetchRequest::decode(&mut Reader::new(black_box(&bytes)), 17).unwrap();
            request
                .topics
                .iter()
                .flat_map(|t| t.partitions.iter().collect::<Vec<_>>())
                .map(|p| p.fetch_offset)
                .sum::<i64>()
        });
    });
}

fn metadata(c: &mut Criterion) {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1, 2, 3].into(),
        isr_nodes: vec![1, 2, 3].into(),
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some("orders".into()),
        topic_id: Uuid::from_bytes([5; 16]),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    let broker =
        |node_id| MetadataResponseBroker { node_id, host: "broker.example".into(), port: 9092, ..Default::default() };
    let response =
        MetadataResponse { brokers: (1..4).map(broker).collect(), topics: vec![topic].into(), ..Default::default() };
    let mut out = Vec::new();
    c.bench_function("metadata 100 partitions encode v12", |b| {
        b.iter(|| {
            out.clear();
            encode_response(&mut out, ApiKey::Metadata, 12, 1, black_box(&response)).unwrap();
        });
    });
}

criterion_group!(benches, produce, fetch, metadata);
criterion_main!(benches);
