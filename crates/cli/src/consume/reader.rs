//! Records of partitions, fetched from their leaders without a group.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use highwater_client::{ErrorCode, NodeId, TopicPartition};
use highwater_records::{ControlType, DecompressLimit, Entry, RecordSet, RecordView, TimestampType};
use highwater_wire::frame::{RequestHeader, decode_response_header, encode_request};
use highwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use highwater_wire::messages::fetch_response::PartitionData;
use highwater_wire::messages::{FetchRequest, FetchResponse};
use highwater_wire::{ApiKey, Message, Reader as Bytes};

use crate::error::{CliError, Kind};
use crate::session::{Session, told};
use crate::topic::describe::topics;

/// Reads partitions from where it is told, in the order of each.
///
/// One fetch to each leader is under way at a time, all of them together, and no more than one answer of each is held.
pub(crate) struct Reader<'a> {
    session: &'a Session,
    read_committed: bool,
    positions: BTreeMap<TopicPartition, i64>,
    leaders: BTreeMap<TopicPartition, NodeId>,
    addresses: BTreeMap<NodeId, String>,
    links: BTreeMap<NodeId, Link>,
    correlation: i32,
}

/// A record as it was read.
pub(crate) struct Found<'a> {
    /// Where it is.
    pub(crate) at: &'a TopicPartition,
    /// The node it was read from.
    pub(crate) broker: NodeId,
    /// What its timestamp is.
    pub(crate) timestamp: Option<(TimestampType, i64)>,
    /// The record.
    pub(crate) record: RecordView<'a>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next record.
    On,
    /// Leave out the rest of this partition, now and later.
    Done,
    /// Not at all.
    Stop,
}

struct Link {
    stream: TcpStream,
}

enum Trouble {
    /// Leaders have moved, or a connection broke: look them up and try again.
    Moved,
    Told(CliError),
}

impl<'a> Reader<'a> {
    /// Reads the partitions from these offsets on.
    pub(crate) fn new(session: &'a Session, positions: BTreeMap<TopicPartition, i64>, read_committed: bool) -> Self {
        Self {
            session,
            read_committed,
            positions,
            leaders: BTreeMap::new(),
            addresses: BTreeMap::new(),
            links: BTreeMap::new(),
            correlation: 0,
        }
    }

    /// The partitions that are still read, with the offset that comes next.
    pub(crate) fn positions(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.positions
    }

    /// Leaves a partition out from now on.
    pub(crate) fn drop_partition(&mut self, at: &TopicPartition) {
        self.positions.remove(at);
    }

    /// Fetches once from every leader and hands over what comes. `wait` is how long a leader may hold an answer back while
    /// it has nothing.
    pub(crate) fn poll(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(&Found<'_>) -> Result<Flow, CliError>,
    ) -> Result<Flow, CliError> {
        if self.leaders.is_empty() {
            self.find_leaders()?;
        }
        match self.fetch(wait, take) {
            Ok(flow) => Ok(flow),
            Err(Trouble::Told(error)) => Err(error),
            Err(Trouble::Moved) => {
                self.leaders.clear();
                self.links.clear();
                // Elections take a moment; without it this would be a busy loop.
                std::thread::sleep(PAUSE);
                Ok(Flow::On)
            }
        }
    }

    fn find_leaders(&mut self) -> Result<(), CliError> {
        let cluster = self.session.admin.describe_cluster().wait();
        let cluster = cluster.map_err(|error| told("cannot find the brokers", &error))?;
        self.addresses = cluster
            .brokers
            .into_iter()
            .map(|broker| (broker.node.id, format!("{}:{}", bracketed(&broker.node.host), broker.node.port)))
            .collect();
        let names: BTreeSet<String> = self.positions.keys().map(|at| at.topic.as_str().to_owned()).collect();
        for topic in topics(self.session, names.into_iter().collect())? {
            for partition in &topic.partitions {
                let wanted =
                    self.positions.keys().find(|at| at.topic.as_str() == topic.name && at.partition == partition.index);
                if let (Some(at), Some(leader)) = (wanted, partition.leader) {
                    self.leaders.insert(at.clone(), leader);
                }
            }
        }
        if self.leaders.is_empty() && !self.positions.is_empty() {
            return Err(CliError::answered("cannot read", ErrorCode::LeaderNotAvailable, None));
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(&Found<'_>) -> Result<Flow, CliError>,
    ) -> Result<Flow, Trouble> {
        let mut by_leader: BTreeMap<NodeId, Vec<(TopicPartition, i64)>> = BTreeMap::new();
        for (at, &offset) in &self.positions {
            if let Some(&leader) = self.leaders.get(at) {
                by_leader.entry(leader).or_default().push((at.clone(), offset));
            }
        }
        let mut asked = Vec::new();
        for (leader, partitions) in by_leader {
            self.correlation = self.correlation.wrapping_add(1);
            let request = request(&partitions, wait, self.read_committed);
            let mut bytes = Vec::new();
            let header = RequestHeader {
                api_key: ApiKey::Fetch.code(),
                api_version: VERSION,
                correlation_id: self.correlation,
                client_id: Some("highwater-cli".into()),
                ..RequestHeader::default()
            };
            encode_request(&mut bytes, &header, &request)
                .map_err(|error| Trouble::Told(CliError::caused("cannot ask for records", &error)))?;
            self.link(leader)?.stream.write_all(&bytes).map_err(|_| Trouble::Moved)?;
            asked.push((leader, self.correlation));
        }
        let mut flow = Flow::On;
        let mut moved = false;
        for (leader, correlation) in asked {
            let frame = self.link(leader)?.answer(wait).map_err(|_| Trouble::Moved)?;
            let broken = |why: String| {
                Trouble::Told(CliError::new(Kind::Failed, format!("node {leader} answers what is no Kafka"), why))
            };
            let mut bytes = Bytes::new(&frame);
            let found = decode_response_header(&mut bytes, ApiKey::Fetch, VERSION)
                .map_err(|error| broken(error.to_string()))?;
            if found != correlation {
                return Err(broken(format!("answer to request {found} instead of {correlation}")));
            }
            let response = FetchResponse::decode(&mut bytes, VERSION).map_err(|error| broken(error.to_string()))?;
            for topic in &response.responses {
                for partition in &topic.partitions {
                    if flow == Flow::Stop {
                        continue;
                    }
                    let at = self.positions.keys().find(|at| {
                        at.topic.as_str() == topic.topic && at.partition.to_wire() == partition.partition_index
                    });
                    let Some(at) = at.cloned() else { continue };
                    match self.partition(&at, leader, &partition, take) {
                        Ok(of_partition) => flow = of_partition,
                        Err(Trouble::Moved) => moved = true,
                        Err(told) => return Err(told),
                    }
                }
            }
        }
        if moved { Err(Trouble::Moved) } else { Ok(flow) }
    }

    fn link(&mut self, leader: NodeId) -> Result<&mut Link, Trouble> {
        if !self.links.contains_key(&leader) {
            let address = self.addresses.get(&leader).ok_or(Trouble::Moved)?;
            let link = Link::open(address).map_err(|error| {
                let what = format!("cannot reach node {leader} under {address}, the address it advertises");
                Trouble::Told(CliError::caused(what, &error).hint("see `highwater doctor`"))
            })?;
            self.links.insert(leader, link);
        }
        self.links.get_mut(&leader).ok_or(Trouble::Moved)
    }

    fn partition(
        &mut self,
        at: &TopicPartition,
        broker: NodeId,
        data: &PartitionData<'_>,
        take: &mut dyn FnMut(&Found<'_>) -> Result<Flow, CliError>,
    ) -> Result<Flow, Trouble> {
        let code = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if code.is_retriable() {
            return Err(Trouble::Moved);
        }
        if !code.is_none() {
            let what = format!("cannot read {}-{} at offset {}", at.topic.as_str(), at.partition, self.positions[at]);
            return Err(Trouble::Told(CliError::answered(what, code, None)));
        }
        let mut aborted = self.aborted(data);
        let mut skipping = BTreeSet::new();
        let broken = |error: highwater_records::RecordError| {
            Trouble::Told(CliError::caused(format!("cannot read {}-{}", at.topic.as_str(), at.partition), &error))
        };
        for entry in RecordSet::new(data.records.as_bytes().unwrap_or_default()) {
            let entry = entry.map_err(broken)?;
            entry.check_crc().map_err(broken)?;
            let from = self.positions[at];
            let kind = match &entry {
                Entry::Batch(batch) => Some(batch.timestamp_type()),
                Entry::Legacy(message) => message.timestamp_type(),
            };
            let (is_control, producer) = match &entry {
                Entry::Batch(batch) => (batch.is_control(), batch.is_transactional().then(|| batch.producer_id())),
                Entry::Legacy(_) => (false, None),
            };
            while let Some((offset, producer)) =
                aborted.last().copied().filter(|(offset, _)| *offset <= entry.last_offset())
            {
                let _ = offset;
                skipping.insert(producer);
                aborted.pop();
            }
            let next = entry.last_offset().saturating_add(1);
            let mut records = match &entry {
                Entry::Batch(batch) => batch.records(DecompressLimit::default()),
                Entry::Legacy(message) => message.records(DecompressLimit::default()),
            }
            .map_err(broken)?;
            let is_aborted = producer.is_some_and(|producer| skipping.contains(&producer));
            while let Some(record) = records.next_record().map_err(broken)? {
                if is_control {
                    if record.key.and_then(ControlType::from_key) == Some(ControlType::Abort) {
                        producer.map(|producer| skipping.remove(&producer));
                    }
                    continue;
                }
                if record.offset < from || is_aborted {
                    continue;
                }
                let offset = record.offset;
                let timestamp = kind.map(|kind| (kind, record.timestamp));
                let flow = take(&Found { at, broker, timestamp, record }).map_err(Trouble::Told)?;
                match flow {
                    Flow::On => {}
                    Flow::Done => {
                        self.positions.remove(at);
                        return Ok(Flow::On);
                    }
                    Flow::Stop => {
                        self.positions.insert(at.clone(), offset.saturating_add(1));
                        return Ok(Flow::Stop);
                    }
                }
            }
            self.positions.insert(at.clone(), next.max(from));
        }
        Ok(Flow::On)
    }

    /// Transactions that were given up: where each begins and whose it is, the first one last.
    fn aborted(&self, data: &PartitionData<'_>) -> Vec<(i64, i64)> {
        if !self.read_committed {
            return Vec::new();
        }
        let listed = data.aborted_transactions.iter().flat_map(highwater_wire::Array::iter);
        let mut aborted: Vec<_> = listed.map(|aborted| (aborted.first_offset, aborted.producer_id)).collect();
        aborted.sort_by_key(|&(first, _)| std::cmp::Reverse(first));
        aborted
    }
}

fn request(partitions: &[(TopicPartition, i64)], wait: Duration, read_committed: bool) -> FetchRequest<'static> {
    let mut topics: BTreeMap<String, Vec<FetchPartition<'static>>> = BTreeMap::new();
    for (at, offset) in partitions {
        topics.entry(at.topic.as_str().to_owned()).or_default().push(FetchPartition {
            partition: at.partition.to_wire(),
            current_leader_epoch: -1,
            fetch_offset: *offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: PARTITION_BYTES_MAX,
            ..FetchPartition::default()
        });
    }
    let topics: Vec<FetchTopic<'static>> = topics
        .into_iter()
        .map(|(topic, partitions)| FetchTopic {
            topic: topic.into(),
            partitions: partitions.into(),
            ..FetchTopic::default()
        })
        .collect();
    FetchRequest {
        replica_id: -1,
        max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: 1,
        max_bytes: BYTES_MAX,
        isolation_level: i8::from(read_committed),
        session_id: 0,
        session_epoch: -1,
        topics: topics.into(),
        ..FetchRequest::default()
    }
}

impl Link {
    fn open(address: &str) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self { stream });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The next answer, without the four bytes of its size.
    fn answer(&mut self, wait: Duration) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(wait + PATIENCE))?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size);
        if ANSWER_BYTES_MAX < size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut frame = Vec::new();
        let read = Read::by_ref(&mut self.stream).take(size.into()).read_to_end(&mut frame)?;
        if read < size as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame) }
    }
}

/// A host as it stands before `:PORT`.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// The last version that names topics, which every broker since 2.7 speaks.
const VERSION: i16 = 12;
const PARTITION_BYTES_MAX: i32 = 1 << 20;
const BYTES_MAX: i32 = 50 << 20;
/// A first batch may be larger than what is asked for, by as much as a topic allows.
const ANSWER_BYTES_MAX: u32 = 256 << 20;
const CONNECT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
