//! Fetches from one broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use highwater_log::{AppendError, Blame, Log};
use highwater_records::RecordSet;
use highwater_replication::fetcher::{
    Assignment, FetchRequest, FetchResponse, Fetcher, FetcherConfig, PartitionKey, SessionId,
};
use highwater_replication::follower::{
    AppendOutcome, BatchSpan, FetchPosition, FetchedPartition, LeaderOffsets, Marks, Plan,
};
use highwater_replication::{EpochEnd, EpochTable};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};
use highwater_wire::messages::fetch_response::PartitionData;
use highwater_wire::messages::{
    FetchRequest as WireRequest, FetchResponse as WireResponse, ListOffsetsRequest, ListOffsetsResponse, fetch_request,
    list_offsets_request,
};
use highwater_wire::{ApiKey, Records};
use parking_lot::Mutex;

use super::fetchers::FetcherSettings;
use super::log_state;
use crate::net::Now;
use crate::partition::{LockedPartition, Partition};
use crate::peer::{PeerConfig, PeerConnection, PeerError, PeerHandle};

/// Something that the thread is told.
pub(super) enum Command {
    /// Fetch this partition, or look at it again.
    Assign {
        key: PartitionKey,
        partition: Arc<Partition>,
        in_sync: bool,
    },
    /// Whether this partition is throttled may have changed.
    Refresh(PartitionKey),
    /// Throttled replicas may be fetched sooner, or later.
    QuotaChanged,
    /// Do not fetch it any more.
    Remove(PartitionKey),
    /// Where the broker is reached; `None` if it is gone.
    Address(Option<(String, u16)>),
    Stop,
}

/// Lets others end the wait for an answer.
#[derive(Default)]
pub(super) struct Interrupt(Mutex<InterruptState>);

#[derive(Default)]
struct InterruptState {
    /// Closes the connection, while there is one.
    connection: Option<PeerHandle>,
    /// An answer is waited for on it.
    is_waiting: bool,
    /// The wait was ended.
    is_interrupted: bool,
    is_stopped: bool,
}

impl Interrupt {
    /// Ends the wait, if there is one: something else has become due.
    pub(super) fn interrupt(&self) {
        let mut state = self.0.lock();
        if std::mem::take(&mut state.is_waiting) {
            state.connection.iter().for_each(PeerHandle::close);
            state.is_interrupted = true;
        }
    }

    /// Ends the wait, and every later one.
    pub(super) fn stop(&self) {
        self.0.lock().is_stopped = true;
        self.interrupt();
    }

    fn connected(&self, connection: Option<PeerHandle>) {
        self.0.lock().connection = connection;
    }

    fn begin(&self) {
        let mut state = self.0.lock();
        (state.is_waiting, state.is_interrupted) = (true, false);
        if state.is_stopped {
            state.connection.iter().for_each(PeerHandle::close);
        }
    }

    /// Whether the wait was ended from outside.
    fn end(&self) -> bool {
        let mut state = self.0.lock();
        state.is_waiting = false;
        state.is_interrupted
    }
}

pub(super) struct FetchThread {
    settings: FetcherSettings,
    source: NodeId,
    address: Option<(String, u16)>,
    commands: Receiver<Command>,
    interrupt: Arc<Interrupt>,
    fetcher: Fetcher,
    partitions: HashMap<PartitionKey, Local>,
    connection: Option<PeerConnection>,
    /// The failure was logged.
    is_silent: bool,
}

struct Local {
    partition: Arc<Partition>,
    in_sync: bool,
}

/// What came of a request.
enum Fetched {
    /// These partitions were answered; of some the leader has to be asked more.
    Answered(Vec<PartitionKey>, Vec<Question>),
    Failed,
    Interrupted,
}

/// A follower whose offset is out of the leader's range.
struct Question {
    key: PartitionKey,
    position: FetchPosition,
}

/// The epochs of a log, as followers look at them.
struct Epochs<'a>(&'a Log);

impl EpochTable for Epochs<'_> {
    fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let (epoch, end) = self.0.epochs().end_offset_for(epoch, self.0.log_end())?;
        Some(EpochEnd { epoch, end })
    }
}

impl FetchThread {
    pub(super) fn new(
        settings: FetcherSettings,
        source: NodeId,
        address: Option<(String, u16)>,
        commands: Receiver<Command>,
        interrupt: Arc<Interrupt>,
    ) -> Self {
        let fetcher = Fetcher::new(FetcherConfig { backoff_ms: settings.backoff_ms });
        let (partitions, connection) = (HashMap::new(), None);
        Self { settings, source, address, commands, interrupt, fetcher, partitions, connection, is_silent: false }
    }

    pub(super) fn run(mut self) {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                if !self.obey(command) {
                    return;
                }
            }
            let now = Now::read().ticks();
            let quota_at = self.settings.quotas.follower.free_at(now);
            let request = if self.address.is_some() { self.fetcher.poll_request(now, quota_at) } else { None };
            if let Some(request) = request {
                self.fetch(&request);
                continue;
            }
            let due = self.fetcher.poll_timeout(quota_at).filter(|_| self.address.is_some());
            let wait = due.map_or(IDLE, |due| Duration::from_millis(due.ms_since(now)).min(IDLE));
            match self.commands.recv_timeout(wait) {
                Ok(command) => {
                    if !self.obey(command) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whether to go on.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Assign { key, partition, in_sync } => {
                self.partitions.insert(key, Local { partition, in_sync });
                self.refresh(key);
            }
            Command::Refresh(key) => self.refresh(key),
            Command::QuotaChanged => {}
            Command::Remove(key) => {
                self.partitions.remove(&key);
                self.fetcher.remove(&key);
            }
            Command::Address(address) => {
                self.connection = None;
                self.address = address;
            }
            Command::Stop => return false,
        }
        true
    }

    /// Tells the fetcher what a follower wants next.
    fn refresh(&mut self, key: PartitionKey) {
        let Some(Local { partition, in_sync }) = self.partitions.get(&key) else { return };
        let source = self.source;
        let due = partition.lock().ok().and_then(|mut locked| {
            locked.with_follower(|log, follower| {
                if follower.leader() != Some(source) {
                    return None;
                }
                // Its own retention may have deleted records.
                if follower.log().start < log.log_start() {
                    follower.log_start_raised(log.log_start());
                }
                follower.next_fetch()
            })?
        });
        let throttled = partition.throttled().as_follower();
        self.fetcher.assign(key, Assignment { due, in_sync: *in_sync, throttled });
    }

    fn fetch(&mut self, request: &FetchRequest) {
        let outcome = self.exchange(request);
        let now = Now::read().ticks();
        let (answered, questions) = match outcome {
            Ok(Fetched::Answered(answered, questions)) => (answered, questions),
            Ok(Fetched::Interrupted) => {
                self.connection = None;
                return self.fetcher.handle_interruption();
            }
            Ok(Fetched::Failed) => {
                self.connection = None;
                return self.fetcher.handle_failure(now);
            }
            Err(error) => {
                self.connection = None;
                if !std::mem::replace(&mut self.is_silent, true) {
                    tracing::info!("broker {} cannot be fetched from, it is tried again: {error}", self.source);
                }
                return self.fetcher.handle_failure(now);
            }
        };
        self.is_silent = false;
        for question in questions {
            self.ask_offsets(&question);
        }
        for key in answered {
            self.refresh(key);
        }
    }

    /// Sends a request, waits for the answer and lets the followers take it over.
    fn exchange(&mut self, request: &FetchRequest) -> Result<Fetched, PeerError> {
        self.connect()?;
        let Some(connection) = &mut self.connection else { return Ok(Fetched::Failed) };
        let version = connection.version(ApiKey::Fetch, FETCH_VERSION)?;
        let asked = wire_request(request, &self.settings);
        let wait = Duration::from_millis(u64::try_from(self.settings.wait_ms).unwrap_or(0));
        self.interrupt.begin();
        if !self.commands.is_empty() {
            // They came before there was anything to interrupt.
            self.interrupt.interrupt();
        }
        let answered = connection.call(version, &asked, self.settings.timeout + wait);
        if self.interrupt.end() && answered.is_err() {
            return Ok(Fetched::Interrupted);
        }
        let response: WireResponse<'_> = answered?;
        let now = Now::read().ticks();
        let mut parts: HashMap<PartitionKey, PartitionData<'_>> = HashMap::new();
        let mut sizes = Vec::new();
        for topic in &response.responses {
            for partition in &topic.partitions {
                let Some(index) = PartitionIndex::from_wire(partition.partition_index) else {
                    return Ok(Fetched::Failed);
                };
                let key = PartitionKey { topic: TopicId(topic.topic_id), partition: index };
                sizes.push((key, bytes_of(&partition).len() as u64));
                parts.insert(key, partition);
            }
        }
        let answers = self.fetcher.handle_response(
            now,
            &FetchResponse {
                error: ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError),
                session_id: u32::try_from(response.session_id).ok().filter(|id| *id != 0).map(SessionId),
                partitions: &sizes,
            },
        );
        self.settings.quotas.follower.record(now, answers.throttled_bytes);
        let mut questions = Vec::new();
        for answered in &answers.partitions {
            let (Some(local), Some(part)) = (self.partitions.get(&answered.key), parts.get(&answered.key)) else {
                continue;
            };
            if let Some(position) = take_over(&self.settings, &local.partition, &answered.request, part) {
                questions.push(Question { key: answered.key, position });
            }
        }
        Ok(Fetched::Answered(answers.partitions.iter().map(|answered| answered.key).collect(), questions))
    }

    fn connect(&mut self) -> Result<(), PeerError> {
        if self.connection.is_none()
            && let Some((host, port)) = &self.address
        {
            let config = PeerConfig {
                client_id: format!("broker-{}-fetcher", self.settings.node),
                connect_timeout: CONNECT_TIMEOUT.min(self.settings.timeout),
                answer_bytes_max: PeerConfig::default()
                    .answer_bytes_max
                    .max(2 * usize::try_from(self.settings.response_bytes_max).unwrap_or(0)),
            };
            let connection = PeerConnection::connect(host, *port, &config)?;
            // Without it waits are not cut short.
            self.interrupt.connected(connection.handle().ok());
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Asks where the leader's log begins and ends, for a follower that is out of it.
    fn ask_offsets(&mut self, question: &Question) {
        let Some(local) = self.partitions.get(&question.key) else { return };
        let partition = Arc::clone(&local.partition);
        let answer = self.offsets(&partition, question);
        let now = Now::read();
        let Ok(mut locked) = partition.lock() else { return };
        let plan = locked
            .with_follower(|_, follower| follower.offsets_answered(now.ticks(), &question.position, answer))
            .unwrap_or(Plan::Nothing);
        // It is not a question again.
        let _ = carry_out(&mut locked, plan, &[], now);
    }

    fn offsets(&mut self, partition: &Partition, question: &Question) -> Result<LeaderOffsets, ErrorCode> {
        let lost = |error: PeerError| {
            tracing::info!("broker {} did not say where its log begins: {error}", self.source);
            ErrorCode::NetworkException
        };
        let mut ask = |timestamp: i64| -> Result<Result<Offset, ErrorCode>, PeerError> {
            let Some(connection) = &mut self.connection else { return Ok(Err(ErrorCode::NetworkException)) };
            let version = connection.version(ApiKey::ListOffsets, LIST_OFFSETS_VERSION)?;
            let asked = list_offsets_request::ListOffsetsPartition {
                partition_index: question.key.partition.to_wire(),
                current_leader_epoch: question.position.leader_epoch.to_wire(),
                timestamp,
                ..Default::default()
            };
            let topic = list_offsets_request::ListOffsetsTopic {
                name: partition.name().topic.as_str().into(),
                partitions: vec![asked].into(),
                ..Default::default()
            };
            let request = ListOffsetsRequest {
                replica_id: self.settings.node.to_wire(),
                topics: vec![topic].into(),
                ..Default::default()
            };
            let response: ListOffsetsResponse<'_> = connection.call(version, &request, self.settings.timeout)?;
            let answer = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
            let Some(answer) = answer else { return Ok(Err(ErrorCode::UnknownServerError)) };
            let code = ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError);
            let offset = Offset::from_wire(answer.offset).ok_or(ErrorCode::UnknownServerError);
            Ok(if code == ErrorCode::None { offset } else { Err(code) })
        };
        let start = ask(EARLIEST).map_err(lost)??;
        let end = ask(LATEST).map_err(lost)??;
        Ok(LeaderOffsets { start, end })
    }
}

/// Gives an answer to a follower and does what it wants. The position to ask the leader about, if that is to be done.
fn take_over(
    settings: &FetcherSettings,
    partition: &Arc<Partition>,
    request: &FetchPosition,
    part: &PartitionData<'_>,
) -> Option<FetchPosition> {
    let now = Now::read();
    let bytes = bytes_of(part);
    let answer = FetchedPartition {
        error: ErrorCode::from_code(part.error_code).unwrap_or(ErrorCode::UnknownServerError),
        diverging: diverging(part),
        high_watermark: Offset::from_wire(part.high_watermark),
        log_start: Offset::from_wire(part.log_start_offset),
        first_batch: first_batch(bytes),
    };
    let mut locked = partition.lock().ok()?;
    let before = locked.log().high_watermark();
    let plan =
        locked.with_follower(|log, follower| follower.handle_response(now.ticks(), request, &answer, &Epochs(log)))?;
    let question = carry_out(&mut locked, plan, bytes, now);
    let has_news = before < locked.log().high_watermark();
    let flush = locked.begin_flush(Log::due_flush);
    drop(locked);
    if has_news {
        partition.wake(&settings.wakers);
    }
    if let Some(flush) = flush {
        settings.syncs.submit(partition, flush);
    }
    question
}

/// Does what a follower wants. The position to ask the leader about, if that is it.
fn carry_out(locked: &mut LockedPartition<'_>, plan: Plan, bytes: &[u8], now: Now) -> Option<FetchPosition> {
    let failed = locked.with_follower(|log, follower| {
        let result = match plan {
            Plan::Nothing | Plan::Fail | Plan::AskOffsets(_) => Ok(()),
            Plan::Truncate { to } => {
                if to < log.high_watermark() {
                    tracing::warn!(log = %log.path().display(), %to, high_watermark = %log.high_watermark(),
                        "the leader's log parts from this one below what was committed, which is cut off");
                }
                log.truncate_to(to, now.wall).map(|_| follower.truncated(now.ticks(), log_state(log)))
            }
            Plan::StartOver { at } => log
                .truncate_fully_and_start_at(at, None, now.wall)
                .map(|()| follower.truncated(now.ticks(), log_state(log))),
            Plan::Append { start_over_at, epoch_max } => {
                append(log, start_over_at, epoch_max, bytes, now).map(|outcome| {
                    if let Some(marks) = follower.appended(now.ticks(), log_state(log), outcome) {
                        set_marks(log, marks);
                    }
                })
            }
            Plan::Advance(marks) => {
                set_marks(log, marks);
                Ok(())
            }
        };
        result.inspect_err(|_| follower.fail()).err()
    });
    if let Some(Some(error)) = failed {
        locked.fail(&error);
    }
    match plan {
        Plan::AskOffsets(position) => Some(position),
        _ => None,
    }
}

fn append(
    log: &mut Log,
    start_over_at: Option<Offset>,
    epoch_max: LeaderEpoch,
    bytes: &[u8],
    now: Now,
) -> Result<AppendOutcome, highwater_log::LogError> {
    if let Some(at) = start_over_at {
        log.truncate_fully_and_start_at(at, None, now.wall)?;
    }
    match log.append_as_follower(bytes, Some(epoch_max), now.wall) {
        Ok(_) => Ok(AppendOutcome::Appended),
        Err(AppendError::Log(error)) if error.blame() == Blame::Host => Err(error),
        Err(error) => {
            tracing::warn!(log = %log.path().display(), "what the leader sent cannot be appended: {error}");
            Ok(AppendOutcome::Corrupt)
        }
    }
}

fn set_marks(log: &mut Log, marks: Marks) {
    log.advance_high_watermark(marks.high_watermark);
    let start = marks.log_start.min(log.high_watermark());
    if log.log_start() < start
        && let Err(error) = log.delete_records(start)
    {
        tracing::error!(log = %log.path().display(), "records that the leader has deleted stay: {error}");
    }
}

fn bytes_of<'a>(part: &PartitionData<'a>) -> &'a [u8] {
    match part.records {
        Records::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn diverging(part: &PartitionData<'_>) -> Option<EpochEnd> {
    let epoch = LeaderEpoch::from_wire(part.diverging_epoch.epoch)?;
    Some(EpochEnd { epoch, end: Offset::from_wire(part.diverging_epoch.end_offset)? })
}

/// The offsets of the first batch, if it is whole.
fn first_batch(bytes: &[u8]) -> Option<BatchSpan> {
    let entry = RecordSet::new(bytes).entries().next()?.ok()?;
    let base = entry.base_offset(highwater_records::DecompressLimit::default()).ok().and_then(Offset::from_wire)?;
    Some(BatchSpan { base, last: Offset::from_wire(entry.last_offset())? })
}

fn wire_request<'a>(request: &FetchRequest, settings: &'a FetcherSettings) -> WireRequest<'a> {
    let partition = |(key, position): &(PartitionKey, FetchPosition)| fetch_request::FetchPartition {
        partition: key.partition.to_wire(),
        current_leader_epoch: position.leader_epoch.to_wire(),
        fetch_offset: position.offset.to_wire(),
        last_fetched_epoch: position.last_fetched_epoch.map_or(-1, LeaderEpoch::to_wire),
        log_start_offset: position.log_start.to_wire(),
        partition_max_bytes: settings.partition_bytes_max,
        ..Default::default()
    };
    let topics = request.partitions.chunk_by(|(a, _), (b, _)| a.topic == b.topic);
    let topics = topics.map(|group| fetch_request::FetchTopic {
        topic_id: group[0].0.topic.0,
        partitions: group.iter().map(partition).collect(),
        ..Default::default()
    });
    let forgotten = request.forgotten.iter().map(|key| fetch_request::ForgottenTopic {
        topic_id: key.topic.0,
        partitions: vec![key.partition.to_wire()].into(),
        ..Default::default()
    });
    let broker_epoch = settings.broker_epoch.load(Ordering::Acquire);
    WireRequest {
        cluster_id: Some(settings.cluster_id.as_str().into()),
        replica_state: fetch_request::ReplicaState {
            replica_id: settings.node.to_wire(),
            replica_epoch: i64::try_from(broker_epoch).ok().filter(|epoch| *epoch != 0).unwrap_or(-1),
            ..Default::default()
        },
        max_wait_ms: settings.wait_ms,
        min_bytes: settings.min_bytes,
        max_bytes: settings.response_bytes_max,
        session_id: request.session_id.map_or(0, |id| i32::try_from(id.0).unwrap_or(0)),
        session_epoch: i32::try_from(request.session_epoch).unwrap_or(0),
        topics: topics.collect(),
        forgotten_topics_data: forgotten.collect(),
        ..Default::default()
    }
}

/// The version that names the fetching replica's epoch and directory (KIP-853).
const FETCH_VERSION: i16 = 17;
const LIST_OFFSETS_VERSION: i16 = 7;
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// How long to wait for commands when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
