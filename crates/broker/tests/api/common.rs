//! A broker on a free port and the smallest client that can speak to it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_broker::{Broker, BrokerConfig, StartError};
use highwater_log::{Disk, RealDisk};
use highwater_records::{BatchBuilder, BatchOptions, ProducerStamp, RecordSet};
use highwater_types::{ErrorCode, Uuid};
use highwater_wire::frame::{RequestHeader, decode_response_header, encode_request};
use highwater_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use highwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse,
};
use highwater_wire::{ApiKey, Message, Reader, Records};

/// A broker with its data in a temporary directory.
pub(crate) struct TestBroker {
    broker: Option<Broker>,
    directory: tempfile::TempDir,
    properties: BTreeMap<String, String>,
    disk: Arc<dyn Disk>,
}

impl TestBroker {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(properties: &[(&str, &str)]) -> Self {
        Self::start_on(RealDisk::shared(), properties)
    }

    pub(crate) fn start_on(disk: Arc<dyn Disk>, properties: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut all = BTreeMap::from([
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
            ("log.dirs".to_owned(), directory.path().display().to_string()),
            // Small indexes, so that tests create small files.
            ("log.index.size.max.bytes".to_owned(), "4096".to_owned()),
            ("num.network.threads".to_owned(), "2".to_owned()),
        ]);
        all.extend(properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        // Relative directories are inside the temporary one.
        for name in ["log.dirs", "metadata.log.dir"] {
            if let Some(dirs) = all.get_mut(name) {
                let absolute: Vec<String> =
                    dirs.split(',').map(|dir| directory.path().join(dir).display().to_string()).collect();
                *dirs = absolute.join(",");
            }
        }
        let broker = Broker::start_on(Arc::clone(&disk), &BrokerConfig::new(all.clone()).unwrap()).unwrap();
        Self { broker: Some(broker), directory, properties: all, disk }
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker().local_addr()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Shuts the broker down and keeps its data.
    pub(crate) fn into_directory(mut self) -> tempfile::TempDir {
        self.broker.take().unwrap().shutdown();
        self.directory
    }

    /// Shuts the broker down and starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.restart_after(|| ());
    }

    /// Shuts the broker down, does something with its data, and starts it again.
    pub(crate) fn restart_after(&mut self, meanwhile: impl FnOnce()) {
        self.try_restart_after(meanwhile).unwrap();
    }

    /// Like [`restart_after`](Self::restart_after), for a broker that may refuse to start.
    pub(crate) fn try_restart_after(&mut self, meanwhile: impl FnOnce()) -> Result<(), StartError> {
        if let Some(broker) = self.broker.take() {
            broker.shutdown();
        }
        meanwhile();
        let config = BrokerConfig::new(self.properties.clone()).unwrap();
        self.broker = Some(Broker::start_on(Arc::clone(&self.disk), &config)?);
        Ok(())
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

/// The bytes of one response, to be decoded where they are used.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    key: ApiKey,
    version: i16,
    pub(crate) correlation_id: i32,
}

impl Answer {
    pub(crate) fn body<'a, M: Message<'a>>(&'a self) -> M {
        let mut reader = Reader::new(&self.bytes);
        assert_eq!(decode_response_header(&mut reader, self.key, self.version), Ok(self.correlation_id));
        let body = M::decode(&mut reader, self.version).unwrap();
        reader.expect_end().unwrap();
        body
    }

    pub(crate) fn raw(&self) -> &[u8] {
        &self.bytes
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation_id: 0 }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call<'m, M: Message<'m>>(&mut self, version: i16, request: &M) -> Answer {
        let sent = self.send(version, request);
        self.receive(sent)
    }

    /// Sends a request without waiting; the result says what to [`receive`](Self::receive).
    pub(crate) fn send<'m, M: Message<'m>>(&mut self, version: i16, request: &M) -> (ApiKey, i16, i32) {
        let (bytes, sent) = self.encode(version, request);
        self.stream.write_all(&bytes).unwrap();
        sent
    }

    /// Encodes a request with its header and size.
    pub(crate) fn encode<'m, M: Message<'m>>(&mut self, version: i16, request: &M) -> (Vec<u8>, (ApiKey, i16, i32)) {
        self.correlation_id += 1;
        let header = RequestHeader {
            api_key: M::KEY.unwrap(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("test".into()),
            ..RequestHeader::default()
        };
        let mut bytes = Vec::new();
        encode_request(&mut bytes, &header, request).unwrap();
        (bytes, (ApiKey::from_code(header.api_key).unwrap(), version, self.correlation_id))
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn receive(&mut self, (key, version, correlation_id): (ApiKey, i16, i32)) -> Answer {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).expect("an answer, not the end of the connection");
        let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut bytes).unwrap();
        Answer { bytes, key, version, correlation_id }
    }

    /// Waits for the end of the connection and returns what came before it.
    pub(crate) fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            // The broker closed with bytes of ours unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("the connection was not closed: {error}"),
        }
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let answer = self.call(7, &create_request(name, partitions, configs));
        let response: CreateTopicsResponse<'_> = answer.body();
        let topic = response.topics.iter().next().unwrap();
        assert_eq!(code(topic.error_code), ErrorCode::None, "{:?}", topic.error_message);
        topic.topic_id
    }

    /// Produces one batch to partition 0 by name and returns error code and base offset.
    pub(crate) fn produce(&mut self, topic: &str, batch: &[u8]) -> (ErrorCode, i64) {
        let answer = self.call(9, &produce_request(topic, -1, &[(0, batch)]));
        let response: ProduceResponse<'_> = answer.body();
        let partition = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
        (code(partition.error_code), partition.base_offset)
    }

    /// Fetches partition 0 by name.
    pub(crate) fn fetch(&mut self, topic: &str, offset: i64) -> Fetched {
        let answer = self.call(12, &fetch_request(topic, offset));
        Fetched::of(&answer)
    }

    /// Asks for metadata until the topic is there.
    pub(crate) fn wait_for_topic(&mut self, name: &str) -> Uuid {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.call(12, &metadata_request(&[name]));
            let response: MetadataResponse<'_> = answer.body();
            let topic = response.topics.iter().next().unwrap();
            if topic.error_code == 0 {
                return topic.topic_id;
            }
            assert!(Instant::now() < deadline, "topic {name} did not appear: {}", topic.error_code);
        }
    }
}

/// What a fetch of one partition returned.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
    pub(crate) records: Vec<u8>,
}

impl Fetched {
    pub(crate) fn of(answer: &Answer) -> Self {
        let response: FetchResponse<'_> = answer.body();
        assert_eq!(code(response.error_code), ErrorCode::None);
        let topic = response.responses.iter().next().expect("a topic in the answer");
        let partition = topic.partitions.iter().next().expect("a partition in the answer");
        let Records::Bytes(records) = partition.records else { panic!("records are {:?}", partition.records) };
        Self {
            error: code(partition.error_code),
            high_watermark: partition.high_watermark,
            log_start: partition.log_start_offset,
            records: records.to_vec(),
        }
    }

    /// Offsets of the records, batch by batch.
    pub(crate) fn offsets(&self) -> Vec<i64> {
        let mut offsets = Vec::new();
        for entry in RecordSet::new(&self.records).entries() {
            let entry = entry.unwrap();
            entry.check_crc().unwrap();
            let mut records = entry.records(Default::default()).unwrap();
            while let Some(record) = records.next_record().unwrap() {
                offsets.push(record.offset);
            }
        }
        offsets
    }
}

pub(crate) fn code(raw: i16) -> ErrorCode {
    ErrorCode::from_code(raw).unwrap()
}

/// A batch of records with these values, at timestamps 1000, 1001, ...
pub(crate) fn batch(values: &[&str]) -> Vec<u8> {
    batch_with(BatchOptions::default(), values)
}

pub(crate) fn batch_with(options: BatchOptions, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (index, value) in values.iter().enumerate() {
        let timestamp = 1000 + i64::try_from(index).unwrap();
        builder.append(timestamp, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced_batch(producer_id: i64, producer_epoch: i16, base_sequence: i32, values: &[&str]) -> Vec<u8> {
    let producer = ProducerStamp { producer_id, producer_epoch, base_sequence };
    batch_with(BatchOptions { producer, ..BatchOptions::default() }, values)
}

pub(crate) fn create_request<'a>(
    name: &'a str,
    partitions: i32,
    configs: &[(&'a str, &'a str)],
) -> CreateTopicsRequest<'a> {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: -1,
        configs: configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: (*name).into(),
                value: Some((*value).into()),
                ..CreatableTopicConfig::default()
            })
            .collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 10_000, ..CreateTopicsRequest::default() }
}

pub(crate) fn metadata_request<'a>(topics: &[&'a str]) -> MetadataRequest<'a> {
    use highwater_wire::messages::metadata_request::MetadataRequestTopic;
    let topics = topics
        .iter()
        .map(|name| MetadataRequestTopic { name: Some((*name).into()), ..MetadataRequestTopic::default() })
        .collect();
    MetadataRequest { topics: Some(topics), allow_auto_topic_creation: true, ..MetadataRequest::default() }
}

pub(crate) fn produce_request<'a>(topic: &'a str, acks: i16, partitions: &[(i32, &'a [u8])]) -> ProduceRequest<'a> {
    let data = TopicProduceData {
        name: topic.into(),
        partition_data: partitions
            .iter()
            .map(|(index, records)| PartitionProduceData {
                index: *index,
                records: Records::Bytes(records),
                ..PartitionProduceData::default()
            })
            .collect(),
        ..TopicProduceData::default()
    };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![data].into(), ..ProduceRequest::default() }
}

/// A fetch of partition 0 that does not wait.
pub(crate) fn fetch_request(topic: &str, offset: i64) -> FetchRequest<'_> {
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition].into(), ..FetchTopic::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![topic].into(),
        ..FetchRequest::default()
    }
}
