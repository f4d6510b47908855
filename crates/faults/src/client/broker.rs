//! One connection to one broker: reading and writing.

use std::time::{Duration, SystemTime};

use highwater_broker::peer::{PeerConfig, PeerConnection, PeerError};
use highwater_records::{BatchBuilder, BatchOptions, DecompressLimit, ProducerStamp, RecordSet};
use highwater_testsupport::history::Key;
use highwater_types::{ErrorCode, LeaderEpoch};
use highwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{
    FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, ProduceRequest, ProduceResponse,
};
use highwater_wire::{ApiKey, Message, Records};

use crate::node::Endpoint;

/// A connection, for one request at a time.
#[derive(Debug)]
pub(crate) struct Broker(PeerConnection);

/// What an idempotent producer stamps a batch with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) first: i32,
}

/// A part of a log, as a consumer sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) high_watermark: i64,
    /// Offsets with values.
    pub(crate) values: Vec<(u64, u64)>,
    /// What is wrong with the bytes.
    pub(crate) damage: Option<String>,
}

impl Broker {
    pub(crate) fn connect(endpoint: &Endpoint) -> Result<Self, PeerError> {
        let config = PeerConfig {
            client_id: "highwater-faults".to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            ..PeerConfig::default()
        };
        PeerConnection::connect(&endpoint.host, endpoint.port, &config).map(Self)
    }

    /// Asks in the highest version that both speak, up to `version_max`.
    pub(super) fn ask<'a, 'q, Q: Message<'q>, R: Message<'a>>(
        &'a mut self,
        version_max: i16,
        request: &Q,
    ) -> Result<R, PeerError> {
        let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
        let version = self.0.version(api, version_max)?;
        self.0.call(version, request, ANSWER_TIMEOUT)
    }

    /// Appends values as one batch. The offset of the first, or why not.
    pub(crate) fn produce(
        &mut self,
        key: &Key,
        acks: i16,
        values: &[u64],
        sequence: Option<Sequence>,
    ) -> Result<Result<Option<u64>, ErrorCode>, PeerError> {
        let records = batch(values, sequence);
        let partition =
            PartitionProduceData { index: wire(key), records: Records::Bytes(&records), ..Default::default() };
        let topic = TopicProduceData {
            name: key.topic.as_str().into(),
            partition_data: vec![partition].into(),
            ..Default::default()
        };
        let request = ProduceRequest {
            acks,
            timeout_ms: PRODUCE_TIMEOUT_MS,
            topic_data: vec![topic].into(),
            ..Default::default()
        };
        // Version 12 is the last one with names of topics.
        let response: ProduceResponse<'_> = self.ask(12, &request)?;
        let topic = response.responses.iter().next();
        let Some(partition) = topic.and_then(|topic| topic.partition_responses.iter().next()) else {
            return Ok(Err(ErrorCode::UnknownServerError));
        };
        Ok(success(partition.error_code).map(|()| u64::try_from(partition.base_offset).ok()))
    }

    /// Reads from `offset`, in the eyes of the leader of `epoch` only.
    pub(crate) fn fetch(
        &mut self,
        key: &Key,
        epoch: LeaderEpoch,
        offset: u64,
    ) -> Result<Result<Fetched, ErrorCode>, PeerError> {
        let partition = FetchPartition {
            partition: wire(key),
            current_leader_epoch: epoch.to_wire(),
            fetch_offset: i64::try_from(offset).expect("offsets of a short run are small"),
            partition_max_bytes: FETCH_BYTES,
            ..Default::default()
        };
        let topic =
            FetchTopic { topic: key.topic.as_str().into(), partitions: vec![partition].into(), ..Default::default() };
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            session_epoch: -1,
            topics: vec![topic].into(),
            ..Default::default()
        };
        // Version 12 is the last one with names of topics.
        let response: FetchResponse<'_> = self.ask(12, &request)?;
        if let Err(code) = success(response.error_code) {
            return Ok(Err(code));
        }
        let topic = response.responses.iter().next();
        let Some(partition) = topic.and_then(|topic| topic.partitions.iter().next()) else {
            return Ok(Err(ErrorCode::UnknownServerError));
        };
        if let Err(code) = success(partition.error_code) {
            return Ok(Err(code));
        }
        let mut fetched = Fetched { high_watermark: partition.high_watermark, ..Fetched::default() };
        if let Records::Bytes(bytes) = partition.records {
            fetched.damage = values(bytes, offset, &mut fetched.values).err();
        }
        Ok(Ok(fetched))
    }

    /// Where a consumer would wait for new records, in the eyes of the leader of `epoch` only.
    pub(crate) fn latest(&mut self, key: &Key, epoch: LeaderEpoch) -> Result<Result<u64, ErrorCode>, PeerError> {
        let partition = ListOffsetsPartition {
            partition_index: wire(key),
            current_leader_epoch: epoch.to_wire(),
            timestamp: -1,
            ..Default::default()
        };
        let topic = ListOffsetsTopic {
            name: key.topic.as_str().into(),
            partitions: vec![partition].into(),
            ..Default::default()
        };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic].into(), ..Default::default() };
        let response: ListOffsetsResponse<'_> = self.ask(7, &request)?;
        let topic = response.topics.iter().next();
        let Some(partition) = topic.and_then(|topic| topic.partitions.iter().next()) else {
            return Ok(Err(ErrorCode::UnknownServerError));
        };
        let offset = success(partition.error_code).map(|()| u64::try_from(partition.offset).ok());
        Ok(offset.and_then(|offset| offset.ok_or(ErrorCode::UnknownServerError)))
    }

    /// A new producer id.
    pub(crate) fn init_producer_id(&mut self) -> Result<Result<Sequence, ErrorCode>, PeerError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let response: InitProducerIdResponse<'_> = self.ask(4, &request)?;
        let (producer_id, producer_epoch) = (response.producer_id, response.producer_epoch);
        Ok(success(response.error_code).map(|()| Sequence { producer_id, producer_epoch, first: 0 }))
    }
}

pub(super) fn success(wire: i16) -> Result<(), ErrorCode> {
    match ErrorCode::from_code(wire).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Ok(()),
        code => Err(code),
    }
}

pub(super) fn wire(key: &Key) -> i32 {
    i32::try_from(key.partition).expect("there are few partitions")
}

fn batch(values: &[u64], sequence: Option<Sequence>) -> Vec<u8> {
    let producer = sequence.map_or(ProducerStamp::NONE, |sequence| ProducerStamp {
        producer_id: sequence.producer_id,
        producer_epoch: sequence.producer_epoch,
        base_sequence: sequence.first,
    });
    // What is old is soon forgotten: records by retention, and their producers.
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let timestamp_ms = i64::try_from(since_1970.as_millis()).expect("the clock is not that wrong");
    let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
    for value in values {
        // Of different lengths, so that positions differ.
        let padding = usize::try_from(value % PADDING_BYTES).expect("it is small");
        let text = format!("{value:016x}{:padding$}", "");
        builder.append(timestamp_ms, None, Some(text.as_bytes()), &[]).expect("small records in order");
    }
    builder.finish().expect("a small batch that is not compressed")
}

/// Appends the values of a record set from `offset` on to `out`; what is wrong with it otherwise.
pub(crate) fn values(bytes: &[u8], offset: u64, out: &mut Vec<(u64, u64)>) -> Result<(), String> {
    for entry in RecordSet::new(bytes).entries() {
        let entry = entry.map_err(|error| error.to_string())?;
        entry.check_crc().map_err(|error| error.to_string())?;
        let mut records = entry.records(DecompressLimit::default()).map_err(|error| error.to_string())?;
        while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
            let text = record.value.and_then(|value| std::str::from_utf8(value.get(..16)?).ok());
            let value = text.and_then(|text| u64::from_str_radix(text, 16).ok());
            match (u64::try_from(record.offset), value) {
                (Ok(at), Some(value)) if offset <= at => out.push((at, value)),
                (Ok(_), Some(_)) => {}
                _ => return Err(format!("the record at {} is nobody's", record.offset)),
            }
        }
    }
    Ok(())
}

const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// More than what a broker may wait before it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
const PRODUCE_TIMEOUT_MS: i32 = 3000;
const FETCH_WAIT_MS: i32 = 50;
const FETCH_BYTES: i32 = 256 * 1024;
const PADDING_BYTES: u64 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_from_the_offset_on() {
        let mut read = Vec::new();
        values(&batch(&[7, u64::MAX, 9], None), 1, &mut read).unwrap();
        assert_eq!(read, [(1, u64::MAX), (2, 9)]);
    }

    #[test]
    fn damaged_bytes_are_not_read() {
        let mut bytes = batch(&[7, 8], None);
        *bytes.last_mut().unwrap() ^= 1;
        assert!(values(&bytes, 0, &mut Vec::new()).is_err());
    }
}
