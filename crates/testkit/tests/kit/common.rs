//! The smallest client.

use std::time::Duration;

use highwater_broker::peer::{PeerConfig, PeerConnection, PeerError};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_testkit::{EmbeddedBroker, ErrorCode};
use highwater_wire::Records;
use highwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{FetchRequest, ProduceRequest, ProduceResponse};

pub(crate) const WAIT: Duration = Duration::from_secs(30);

pub(crate) fn client(broker: &EmbeddedBroker, node: u32) -> PeerConnection {
    let address = broker.address(node).unwrap();
    let config = PeerConfig { client_id: "test".to_owned(), ..PeerConfig::default() };
    PeerConnection::connect("127.0.0.1", address.port(), &config).unwrap()
}

pub(crate) fn batch(values: &[&str]) -> Vec<u8> {
    batch_with(BatchOptions::default(), values)
}

pub(crate) fn batch_with(options: BatchOptions, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, value) in (1000..).zip(values) {
        builder.append(timestamp, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn produce_request<'a>(topic: &'a str, partition: i32, acks: i16, batch: &'a [u8]) -> ProduceRequest<'a> {
    let data = PartitionProduceData { index: partition, records: Records::Bytes(batch), ..Default::default() };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![data].into(), ..Default::default() };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic].into(), ..ProduceRequest::default() }
}

pub(crate) fn try_produce(client: &mut PeerConnection, topic: &str, values: &[&str]) -> Result<ErrorCode, PeerError> {
    let batch = batch(values);
    let response: ProduceResponse<'_> = client.call(9, &produce_request(topic, 0, -1, &batch), WAIT)?;
    let topic = response.responses.iter().next().unwrap();
    Ok(ErrorCode::from_code(topic.partition_responses.iter().next().unwrap().error_code).unwrap())
}

/// Produces to partition 0.
pub(crate) fn produce(client: &mut PeerConnection, topic: &str, values: &[&str]) -> ErrorCode {
    try_produce(client, topic, values).unwrap()
}

pub(crate) fn fetch_request(topic: &str) -> FetchRequest<'_> {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition].into(), ..FetchTopic::default() };
    FetchRequest { replica_id: -1, min_bytes: 1, max_bytes: 1 << 20, topics: vec![topic].into(), ..Default::default() }
}

/// Values of all records of a topic.
pub(crate) fn values(broker: &EmbeddedBroker, topic: &str) -> Vec<String> {
    broker.records(topic).unwrap().iter().map(highwater_testkit::StoredRecord::text).collect()
}
