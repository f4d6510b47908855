//! Many batches of every codec, and what has to become of each.

use std::net::SocketAddr;

use highwater_records::{BatchBuilder, BatchMut, BatchOptions, Codec, HeaderView, RecordSet};
use highwater_types::LeaderEpoch;
use highwater_wire::frame::{RequestHeader, SIZE_BYTES, decode_response_header, encode_request};
use highwater_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse, ProduceRequest, ProduceResponse,
    create_topics_request, fetch_request, produce_request,
};
use highwater_wire::{ApiKey, Message, Reader, Records};
use serde_json::{Value, json};

use crate::connection::Connection;

/// The topic that is written; it has one partition.
pub(crate) const TOPIC: &str = "disk";

/// What is written, and how the topic is configured.
pub(crate) struct Workload {
    pub(crate) index_interval_bytes: usize,
}

impl Default for Workload {
    fn default() -> Self {
        Self { index_interval_bytes: 300 }
    }
}

/// A batch that the broker acknowledged.
pub(crate) struct Sent {
    /// Its bytes as they have to be on disk.
    pub(crate) stored: Vec<u8>,
    base_offset: i64,
    codec: &'static str,
    /// As `highwater log dump` has to print them.
    records: Vec<Value>,
}

impl Workload {
    /// Creates the topic and produces the batches one by one, each acknowledged at the offset it has to get.
    pub(crate) fn send(&self, broker: SocketAddr) -> Vec<Sent> {
        let mut connection = Connection::open(broker);
        self.create_topic(&mut connection);
        let mut random = Random(SEED);
        let mut next_offset = 0;
        let mut sent = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let (mut bytes, batch) = batch(&mut random, next_offset);
            assert_eq!(produce(&mut connection, &bytes), next_offset);
            let mut header = BatchMut::parse(&mut bytes).expect("the builder makes whole batches");
            header.set_base_offset(next_offset);
            header.set_leader_epoch(LeaderEpoch::new(0).to_wire());
            next_offset += i64::try_from(batch.records.len()).expect("few records");
            sent.push(Sent { stored: bytes, ..batch });
        }
        sent
    }

    fn create_topic(&self, connection: &mut Connection) {
        let configs = [
            ("segment.bytes", SEGMENT_BYTES.to_string()),
            ("index.interval.bytes", self.index_interval_bytes.to_string()),
            ("retention.ms", "-1".to_owned()),
        ];
        let configs = configs.into_iter().map(|(name, value)| create_topics_request::CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
            ..Default::default()
        });
        let topic = create_topics_request::CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: TIMEOUT_MS, ..Default::default() };
        let body = call(connection, ApiKey::CreateTopics, 7, &request);
        let response: CreateTopicsResponse<'_> = decode(&body, 7);
        assert!(response.topics.iter().all(|each| each.error_code == 0), "{response:?}");
    }
}

impl Sent {
    /// Compares with one line of `highwater log dump`.
    pub(crate) fn assert_dumped(&self, line: &Value) {
        let last_offset = self.records.last().expect("no batch is empty")["offset"].clone();
        assert_eq!(line["size"], self.stored.len());
        assert_eq!(line["magic"], 2);
        assert_eq!(line["valid_crc"], true);
        assert_eq!(line["base_offset"], self.base_offset);
        assert_eq!(line["last_offset"], last_offset);
        assert_eq!(line["leader_epoch"], 0);
        assert_eq!(line["compression"], self.codec);
        assert_eq!(line["records"], Value::Array(self.records.clone()));
    }
}

/// Everything that the broker has in the partition, fetched in several requests.
pub(crate) fn fetch_all(broker: SocketAddr) -> Vec<u8> {
    let mut connection = Connection::open(broker);
    let mut all = Vec::new();
    let mut next_offset = 0;
    loop {
        let partition = fetch_request::FetchPartition {
            partition: 0,
            fetch_offset: next_offset,
            partition_max_bytes: FETCH_BYTES_MAX,
            ..Default::default()
        };
        let topic =
            fetch_request::FetchTopic { topic: TOPIC.into(), partitions: vec![partition].into(), ..Default::default() };
        let request = FetchRequest { max_bytes: FETCH_BYTES_MAX, topics: vec![topic].into(), ..Default::default() };
        let body = call(&mut connection, ApiKey::Fetch, 12, &request);
        let response: FetchResponse<'_> = decode(&body, 12);
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic.partitions.iter().next().expect("one partition");
        assert_eq!(partition.error_code, 0, "{response:?}");
        if next_offset == partition.high_watermark {
            return all;
        }
        let before = next_offset;
        for entry in RecordSet::new(partition.records.as_bytes().unwrap_or_default()) {
            let entry = entry.expect("only whole batches are stored");
            all.extend_from_slice(entry.bytes());
            next_offset = entry.next_offset();
        }
        assert!(before < next_offset, "no whole batch at offset {before}");
    }
}

/// A batch as a producer sends it, with offsets from zero, and what it has to be at `base_offset`.
fn batch(random: &mut Random, base_offset: i64) -> (Vec<u8>, Sent) {
    let (name, codec) = CODECS[random.below(CODECS.len())];
    let mut builder = BatchBuilder::new(BatchOptions { compression: codec.into(), ..BatchOptions::default() });
    let mut records = Vec::new();
    for index in 0..1 + random.below(RECORDS_MAX) {
        // Out of order, and often the same, so that not each batch raises the largest timestamp.
        let timestamp = TIMESTAMP_MS + base_offset / 4 * 4 + i64::try_from(random.below(500)).expect("small") * 4;
        let key = (random.below(4) != 0).then(|| random.bytes(20));
        let value = (random.below(9) != 0).then(|| random.bytes(VALUE_BYTES_MAX));
        let header_value = (random.below(2) != 0).then(|| random.bytes(10));
        let headers = [HeaderView { key: b"name", value: header_value.as_deref() }];
        let headers = &headers[..random.below(2)];
        builder.append(timestamp, key.as_deref(), value.as_deref(), headers).expect("it fits a batch");
        records.push(json!({
            "offset": base_offset + i64::try_from(index).expect("small"),
            "timestamp": timestamp,
            "sequence": -1,
            "key": hex(key.as_deref()),
            "value": hex(value.as_deref()),
            "headers": headers.iter().map(|header| json!(["name", hex(header.value)])).collect::<Vec<_>>(),
        }));
    }
    let bytes = builder.finish().expect("it fits a batch");
    (bytes, Sent { stored: Vec::new(), base_offset, codec: name, records })
}

/// Sends one batch; returns the offset that the broker gave it.
fn produce(connection: &mut Connection, batch: &[u8]) -> i64 {
    let partition =
        produce_request::PartitionProduceData { index: 0, records: Records::Bytes(batch), ..Default::default() };
    let data = produce_request::TopicProduceData {
        name: TOPIC.into(),
        partition_data: vec![partition].into(),
        ..Default::default()
    };
    let request =
        ProduceRequest { acks: -1, timeout_ms: TIMEOUT_MS, topic_data: vec![data].into(), ..Default::default() };
    let body = call(connection, ApiKey::Produce, 9, &request);
    let response: ProduceResponse<'_> = decode(&body, 9);
    let topic = response.responses.iter().next().expect("one topic");
    let partition = topic.partition_responses.iter().next().expect("one partition");
    assert_eq!(partition.error_code, 0, "{response:?}");
    partition.base_offset
}

/// Sends a request and returns the body of the response.
fn call<'q, Q: Message<'q>>(connection: &mut Connection, key: ApiKey, version: i16, request: &Q) -> Vec<u8> {
    let header = RequestHeader { api_key: key.code(), api_version: version, ..Default::default() };
    let mut frame = Vec::new();
    encode_request(&mut frame, &header, request).expect("the version has every field that is set");
    let response = connection.ask(&frame[SIZE_BYTES..]).expect("the broker answers");
    let mut r = Reader::new(&response);
    decode_response_header(&mut r, key, version).expect("a response has a header");
    r.rest().to_vec()
}

fn decode<'a, M: Message<'a>>(body: &'a [u8], version: i16) -> M {
    M::decode(&mut Reader::new(body), version).expect("the response is of the version that was asked for")
}

fn hex(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// SplitMix64: the same batches in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, size_max: usize) -> Vec<u8> {
        (0..self.below(size_max + 1)).map(|_| self.next() as u8).collect()
    }
}

const SEED: u64 = 5;
const BATCHES: usize = 1_800;
const RECORDS_MAX: usize = 5;
const VALUE_BYTES_MAX: usize = 1_200;
/// The smallest that Kafka allows.
const SEGMENT_BYTES: usize = 1 << 20;
const FETCH_BYTES_MAX: i32 = 300_000;
/// Long ago, so that the broker's clock does not matter.
const TIMESTAMP_MS: i64 = 1_700_000_000_000;
const TIMEOUT_MS: i32 = 30_000;
const CODECS: [(&str, Codec); 5] = [
    ("none", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];
