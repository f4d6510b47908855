//! A broker that only acknowledges: what a client costs shows best when nothing else takes time.
//!
//! It has one topic, stores nothing, and answers every fetch with the same batches at the offset that was asked for.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::frame::{decode_request_header, encode_response};
use highwater_wire::messages::api_versions_response::ApiVersion;
use highwater_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use highwater_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use highwater_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use highwater_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use highwater_wire::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataResponse, ProduceRequest, ProduceResponse,
};
use highwater_wire::{ApiKey, Message, Reader, Records};

/// What every fetch is answered with.
#[derive(Clone, Debug)]
pub struct StubBatch {
    /// A whole batch.
    pub bytes: Vec<u8>,
    /// Records in it.
    pub records: i64,
}

/// The only topic.
pub const TOPIC: &str = "stub";
/// How many partitions it has.
pub const PARTITIONS: i32 = 3;

/// Serves until the process ends.
///
/// # Errors
///
/// If it cannot listen.
pub fn serve(batch: StubBatch, fetch_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    ready(address);
    let answer = Arc::new(Stub { address, batch, fetch_bytes });
    for stream in listener.incoming() {
        let (stub, stream) = (Arc::clone(&answer), stream?);
        thread::spawn(move || {
            // A client that goes away.
            let _ = stub.talk(stream);
        });
    }
    Ok(())
}

struct Stub {
    address: SocketAddr,
    batch: StubBatch,
    fetch_bytes: usize,
}

impl Stub {
    fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut frame, mut out, mut records) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let mut size = [0; 4];
            stream.read_exact(&mut size)?;
            frame.resize(u32::from_be_bytes(size) as usize, 0);
            stream.read_exact(&mut frame)?;
            out.clear();
            self.answer(&frame, &mut out, &mut records).map_err(io::Error::other)?;
            stream.write_all(&out)?;
        }
    }

    fn answer(
        &self,
        frame: &[u8],
        out: &mut Vec<u8>,
        records: &mut Vec<u8>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut reader = Reader::new(frame);
        let header = decode_request_header(&mut reader)?;
        let api = ApiKey::from_code(header.api_key).ok_or("no such API")?;
        let (version, id) = (header.api_version, header.correlation_id);
        match api {
            ApiKey::ApiVersions => {
                let range = |(api, min, max): &(ApiKey, i16, i16)| ApiVersion {
                    api_key: api.code(),
                    min_version: *min,
                    max_version: *max,
                    ..Default::default()
                };
                let body = ApiVersionsResponse { api_keys: APIS.iter().map(range).collect(), ..Default::default() };
                let body = if 3 < version {
                    ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion.code(), ..body }
                } else {
                    body
                };
                let version = if 3 < version { 0 } else { version };
                encode_response(out, api, version, id, &body)?;
            }
            ApiKey::Metadata => {
                let broker = MetadataResponseBroker {
                    node_id: 1,
                    host: self.address.ip().to_string().into(),
                    port: i32::from(self.address.port()),
                    ..Default::default()
                };
                let partition = |index| MetadataResponsePartition {
                    partition_index: index,
                    leader_id: 1,
                    leader_epoch: 0,
                    replica_nodes: vec![1].into(),
                    isr_nodes: vec![1].into(),
                    ..Default::default()
                };
                let topic = MetadataResponseTopic {
                    name: Some(TOPIC.into()),
                    topic_id: Uuid::ZERO,
                    partitions: (0..PARTITIONS).map(partition).collect(),
                    ..Default::default()
                };
                let body = MetadataResponse {
                    brokers: vec![broker].into(),
                    controller_id: 1,
                    topics: vec![topic].into(),
                    ..Default::default()
                };
                encode_response(out, api, version, id, &body)?;
            }
            ApiKey::InitProducerId => {
                let body = InitProducerIdResponse { producer_id: 1, producer_epoch: 0, ..Default::default() };
                encode_response(out, api, version, id, &body)?;
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(&mut reader, version)?;
                let partition = |index| PartitionProduceResponse { index, base_offset: 0, ..Default::default() };
                let topic =
                    |topic: highwater_wire::messages::produce_request::TopicProduceData<'_>| TopicProduceResponse {
                        name: topic.name.to_string().into(),
                        partition_responses: topic.partition_data.iter().map(|data| partition(data.index)).collect(),
                        ..Default::default()
                    };
                let responses = request.topic_data.iter().map(topic).collect();
                let body = ProduceResponse { responses, ..Default::default() };
                encode_response(out, api, version, id, &body)?;
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(&mut reader, version)?;
                let partition = |index| ListOffsetsPartitionResponse {
                    partition_index: index,
                    offset: 0,
                    timestamp: -1,
                    ..Default::default()
                };
                let topic = |topic: highwater_wire::messages::list_offsets_request::ListOffsetsTopic<'_>| {
                    ListOffsetsTopicResponse {
                        name: topic.name.to_string().into(),
                        partitions: topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect(),
                        ..Default::default()
                    }
                };
                let body =
                    ListOffsetsResponse { topics: request.topics.iter().map(topic).collect(), ..Default::default() };
                encode_response(out, api, version, id, &body)?;
            }
            ApiKey::Fetch => {
                let request = FetchRequest::decode(&mut reader, version)?;
                let mut ends = Vec::new();
                records.clear();
                for topic in &request.topics {
                    for asked in &topic.partitions {
                        let begin = records.len();
                        let mut offset = asked.fetch_offset;
                        // Whole batches, and the asked offset is the first of one: nobody seeks.
                        while records.len() - begin + self.batch.bytes.len() <= self.fetch_bytes
                            || records.len() == begin
                        {
                            let at = records.len();
                            records.extend_from_slice(&self.batch.bytes);
                            records[at..at + 8].copy_from_slice(&offset.to_be_bytes());
                            offset += self.batch.records;
                        }
                        ends.push((topic.topic.to_string(), asked.partition, begin..records.len()));
                    }
                }
                let records = &*records;
                let topic = |(name, index, range): &(String, i32, std::ops::Range<usize>)| {
                    let partition = PartitionData {
                        partition_index: *index,
                        high_watermark: i64::MAX / 2,
                        last_stable_offset: i64::MAX / 2,
                        records: Records::Bytes(&records[range.clone()]),
                        ..Default::default()
                    };
                    FetchableTopicResponse {
                        topic: name.clone().into(),
                        partitions: vec![partition].into(),
                        ..Default::default()
                    }
                };
                let body = FetchResponse { responses: ends.iter().map(topic).collect(), ..Default::default() };
                encode_response(out, api, version, id, &body)?;
            }
            other => return Err(format!("the stub does not speak {other}").into()),
        }
        Ok(())
    }
}

/// What it speaks: versions that the clients to be compared both speak.
const APIS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 8),
    (ApiKey::Fetch, 4, 11),
    (ApiKey::ListOffsets, 1, 5),
    (ApiKey::Metadata, 1, 9),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::InitProducerId, 0, 1),
    // Never asked for, but librdkafka compresses with LZ4 only where it is there.
    (ApiKey::FindCoordinator, 0, 2),
];
