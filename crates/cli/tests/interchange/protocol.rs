//! What is asked of both brokers in Kafka's protocol itself, because no client's interface has it.

use std::net::SocketAddr;

use highwater_records::{BatchBuilder, BatchOptions, ProducerStamp};
use highwater_wire::frame::{RequestHeader, SIZE_BYTES, decode_response_header, encode_request};
use highwater_wire::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{
    InitProducerIdRequest, InitProducerIdResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    ProduceRequest, ProduceResponse,
};
use highwater_wire::{ApiKey, Message, Reader, Records};

use crate::connection::Connection;

/// The topic of [`Sequences`].
pub(crate) const SEQUENCES: &str = "sequences";

/// An idempotent producer that outlives its brokers: each has to know what it wrote to the ones before.
pub(crate) struct Sequences {
    producer_id: i64,
    next_sequence: i32,
    /// The first offset of the last batch.
    last_base: i64,
    base_timestamp_ms: i64,
}

impl Sequences {
    /// Begins with a new producer id; the topic is empty.
    pub(crate) fn begin(broker: SocketAddr, base_timestamp_ms: i64) -> Self {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: TIMEOUT_MS,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let body = call(&mut Connection::open(broker), ApiKey::InitProducerId, 4, &request);
        let response: InitProducerIdResponse<'_> = decode(&body, 4);
        assert_eq!(response.error_code, 0, "{response:?}");
        let mut this = Self { producer_id: response.producer_id, next_sequence: 0, last_base: 0, base_timestamp_ms };
        assert_eq!(this.send(broker, 0), Ok(0));
        this.next_sequence = BATCH_RECORDS;
        this
    }

    /// Repeats the last batch, which has to be recognised; leaves a gap, which has to be refused; then goes on.
    pub(crate) fn go_on(&mut self, broker: SocketAddr) {
        let (last, next) = (self.next_sequence - BATCH_RECORDS, self.next_sequence);
        assert_eq!(self.send(broker, last), Ok(self.last_base), "offset of a batch that was sent before");
        assert_eq!(self.send(broker, next + 1), Err(OUT_OF_ORDER_SEQUENCE_NUMBER), "a batch behind a gap");
        let expected = self.last_base + i64::from(BATCH_RECORDS);
        assert_eq!(self.send(broker, next), Ok(expected), "offset of the next batch");
        self.next_sequence += BATCH_RECORDS;
        self.last_base = expected;
    }

    fn send(&self, broker: SocketAddr, base_sequence: i32) -> Result<i64, i16> {
        let producer = ProducerStamp { producer_id: self.producer_id, producer_epoch: 0, base_sequence };
        let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
        for sequence in base_sequence..base_sequence + BATCH_RECORDS {
            let timestamp_ms = self.base_timestamp_ms + i64::from(sequence);
            builder.append(timestamp_ms, None, Some(&sequence.to_be_bytes()), &[]).expect("it fits a batch");
        }
        let batch = builder.finish().expect("it fits a batch");
        let partition = PartitionProduceData { records: Records::Bytes(&batch), ..Default::default() };
        let topic =
            TopicProduceData { name: SEQUENCES.into(), partition_data: vec![partition].into(), ..Default::default() };
        let request =
            ProduceRequest { acks: -1, timeout_ms: TIMEOUT_MS, topic_data: vec![topic].into(), ..Default::default() };
        let body = call(&mut Connection::open(broker), ApiKey::Produce, 9, &request);
        let response: ProduceResponse<'_> = decode(&body, 9);
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic.partition_responses.iter().next().expect("one partition");
        if partition.error_code == 0 { Ok(partition.base_offset) } else { Err(partition.error_code) }
    }
}

/// Where each leader epoch of a partition ends, from epoch 0 to the last that has records.
///
/// A later one that the broker leads in is left out: no broker keeps it past its restart.
pub(crate) fn epoch_ends(connection: &mut Connection, topic: &str, partition: i32) -> Vec<(i32, i64)> {
    let mut ends = Vec::new();
    for leader_epoch in 0..EPOCHS_MAX {
        let asked =
            OffsetForLeaderPartition { partition, leader_epoch, current_leader_epoch: -1, ..Default::default() };
        let asked = OffsetForLeaderTopic { topic: topic.into(), partitions: vec![asked].into(), ..Default::default() };
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![asked].into(), ..Default::default() };
        let body = call(connection, ApiKey::OffsetForLeaderEpoch, 4, &request);
        let response: OffsetForLeaderEpochResponse<'_> = decode(&body, 4);
        let topic = response.topics.iter().next().expect("one topic");
        let end = topic.partitions.iter().next().expect("one partition");
        assert_eq!(end.error_code, 0, "{response:?}");
        if end.leader_epoch < 0 {
            while let [.., (_, before), (_, last)] = ends[..]
                && before == last
            {
                ends.pop();
            }
            return ends;
        }
        ends.push((end.leader_epoch, end.end_offset));
    }
    panic!("more than {EPOCHS_MAX} leader epochs");
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

const BATCH_RECORDS: i32 = 10;
const TIMEOUT_MS: i32 = 30_000;
/// A partition gets one with each start of a broker.
const EPOCHS_MAX: i32 = 64;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
