//! The thread that owns the quorum: its machine, its log, and the controller while this node leads.
//!
//! Everything that concerns the metadata log goes through here, one event after the other. What is appended is synced
//! once for all events that had arrived by then, and a request is answered when its records are committed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use highwater_metadata::{Controller, ControllerConfig, HeartbeatConfig, MetadataDelta, MetadataImage};
use highwater_raft::{
    Content, Control, CorrelationId, FetchedBatch, KRaftVersions, Output, Payload, QuorumView, Raft, Request, Response,
    RoleName, SnapshotId, VoterSet, Write,
};
use highwater_records::RecordSet;
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};

use super::active::{Active, ControllerTimers, Waiting};
use super::addresses::Addresses;
use super::control;
use super::lanes::{Lanes, Peer, What};
use super::log::{MetadataLog, MetadataLogError};
use super::messages::{Address, Answer, LeaderAt};
use super::snapshot;
use super::snapshots::SnapshotSchedule;
use super::state::SharedState;
use crate::net::Now;
use crate::purgatory::Promise;

/// Something that the thread is told.
pub(crate) enum Event {
    /// Another node asks; at most so many bytes of records are wanted. A leader says where it is.
    Asked { request: Request, bytes_max: u32, leader_at: Option<Address>, promise: Promise<RaftReply> },
    /// Another node has answered.
    Answered { correlation: CorrelationId, answer: Answer },
    /// A node that is to be a voter has said which levels of `kraft.version` it supports.
    Versions { correlation: CorrelationId, supported: KRaftVersions },
    /// Another node has not answered.
    Failed(CorrelationId),
    /// Somebody wants something from the thread.
    Work(Work),
    /// A snapshot was written, or not.
    SnapshotWritten(Result<SnapshotId, MetadataLogError>),
    /// The node is shutting down.
    Stop,
}

/// What is to be done on the thread.
pub(super) type Work = Box<dyn FnOnce(&mut QuorumThread) -> Result<(), Fatal> + Send>;

/// What is to be done once the node's own broker has applied the change that it belongs to.
pub(crate) type Completion = Box<dyn FnOnce() + Send>;

/// An answer to another node, with the bytes that go with it.
pub(crate) struct RaftReply {
    pub(crate) response: Response,
    pub(crate) bytes: Vec<u8>,
    /// Where the leader that the response names is reached.
    pub(crate) leader_at: Option<LeaderAt>,
}

/// A new state of the metadata, for the broker on this node.
pub(crate) struct Change {
    pub(crate) image: MetadataImage,
    /// Offset of the last record in it.
    pub(crate) offset: Offset,
    pub(crate) delta: MetadataDelta,
    pub(crate) completions: Vec<Completion>,
}

/// Who is owed an answer.
pub(super) struct Token {
    promise: Promise<RaftReply>,
    bytes_max: u32,
}

/// What the thread is started with.
pub(super) struct ThreadSetup {
    pub(super) raft: Raft<Token>,
    pub(super) log: MetadataLog,
    pub(super) lanes: Lanes,
    pub(super) addresses: Addresses,
    pub(super) events: Receiver<Event>,
    /// To be given to those who work for the thread.
    pub(super) sender: Sender<Event>,
    /// Whether this node may be the active controller.
    pub(super) is_controller: bool,
    pub(super) controller: ControllerConfig,
    pub(super) heartbeats: HeartbeatConfig,
    pub(super) timers: ControllerTimers,
    pub(super) snapshots: SnapshotSchedule,
    /// The broker on this node, if there is one.
    pub(super) broker: Option<Sender<Change>>,
    pub(super) shared: Arc<SharedState>,
    /// Is told why the node cannot go on.
    pub(super) fail: Box<dyn Fn(String) + Send>,
}

pub(super) struct QuorumThread {
    setup: ThreadSetup,
    /// The metadata as it is committed.
    committed: Controller,
    /// Offset behind the last record in it.
    applied: Offset,
    delta: MetadataDelta,
    /// While this node is the active controller.
    pub(super) active: Option<Active>,
    /// Where the records begin with which this node leads, before they are committed.
    epoch_begins: Option<Offset>,
    /// Who waits for records to be committed, in the order of the log.
    waiting: VecDeque<Waiting>,
    /// Batches that the machine has been told of and will ask to be written.
    batches: VecDeque<(u64, Vec<u8>)>,
    last_tag: u64,
    sync_due: Option<Offset>,
    /// What came with the answer that the machine is being told of.
    payload: Option<(CorrelationId, Vec<u8>, Vec<usize>)>,
    /// A snapshot on its way, with the file that it is written to.
    part: Option<(SnapshotId, File)>,
    completions: Vec<Completion>,
    /// The voters that the other threads know of.
    told: Option<VoterSet>,
}

/// Why the thread ends by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fatal {
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    #[error(transparent)]
    Violation(#[from] highwater_raft::Violation),
    #[error("a record that this node has decided on contradicts its own state: {0}")]
    Apply(#[from] highwater_metadata::ApplyError),
}

impl QuorumThread {
    /// Loads what is committed for certain: the newest snapshot.
    pub(super) fn new(setup: ThreadSetup) -> Result<Self, MetadataLogError> {
        let mut committed = Controller::new(setup.controller.clone());
        let newest = setup.log.newest_snapshot()?;
        let mut delta = MetadataDelta::default();
        if let Some(id) = newest {
            setup.log.load_snapshot(id, &mut |_, record| {
                delta.observe(record);
                committed.apply(record)
            })?;
        }
        Ok(Self {
            committed,
            applied: newest.map_or(Offset::ZERO, |id| id.end),
            delta,
            active: None,
            epoch_begins: None,
            waiting: VecDeque::new(),
            batches: VecDeque::new(),
            last_tag: 0,
            sync_due: None,
            payload: None,
            part: None,
            completions: Vec::new(),
            told: None,
            setup,
        })
    }

    pub(super) fn run(mut self) {
        if let Err(fatal) = self.serve() {
            self.lead_no_more();
            self.setup.shared.lost();
            (self.setup.fail)(fatal.to_string());
        }
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        self.pump()?;
        let mut unsynced_events = 0;
        loop {
            self.drive()?;
            let event = if self.sync_due.is_some() && unsynced_events < EVENTS_PER_SYNC_MAX {
                self.setup.events.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else if self.sync_due.is_some() {
                Err(RecvTimeoutError::Timeout)
            } else {
                self.setup.events.recv_timeout(self.idle_time())
            };
            match event {
                Ok(Event::Stop) => return self.stop(),
                Ok(event) => {
                    unsynced_events += 1;
                    self.handle(event)?;
                }
                Err(RecvTimeoutError::Timeout) if self.sync_due.is_some() => {
                    unsynced_events = 0;
                    self.sync()?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Gives the leadership up, and lets whoever takes it over know how far this node is.
    fn stop(&mut self) -> Result<(), Fatal> {
        let now = Now::read();
        let is_leader = self.setup.raft.role() == RoleName::Leader;
        if is_leader {
            self.setup.raft.resign(now.ticks());
            self.pump()?;
        }
        let view = self.setup.raft.view(now.ticks());
        let deadline = now.ticks().plus_ms(FAREWELL_MS);
        while is_leader && 1 < view.voters.len() && self.setup.raft.leader().is_none() {
            let left = deadline.ms_since(Now::read().ticks());
            if left == 0 {
                break;
            }
            match self.setup.events.recv_timeout(Duration::from_millis(left)) {
                Ok(Event::Stop) | Err(_) => break,
                Ok(event) => self.handle(event)?,
            }
        }
        self.setup.log.close(Now::read().wall)?;
        Ok(())
    }

    fn idle_time(&self) -> Duration {
        let now = Now::read().ticks();
        let raft = self.setup.raft.next_timeout();
        let active = self.active.as_ref().and_then(Active::next_timeout);
        let due = raft.into_iter().chain(active).chain([self.setup.snapshots.next_check()]).min();
        Duration::from_millis(due.map_or(1000, |due| due.ms_since(now)))
    }

    /// Does what time has come for.
    fn drive(&mut self) -> Result<(), Fatal> {
        let now = Now::read();
        if self.setup.raft.next_timeout().is_some_and(|due| due <= now.ticks()) {
            self.setup.raft.handle_timeout(now.ticks());
            self.pump()?;
        }
        if self.active.as_ref().and_then(Active::next_timeout).is_some_and(|due| due <= now.ticks()) {
            self.drive_controller(now.ticks())?;
        }
        if self.setup.snapshots.next_check() <= now.ticks() {
            self.take_snapshot(now);
            self.setup.log.unlink_deleted(now.wall);
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), Fatal> {
        let now = Now::read().ticks();
        match event {
            Event::Asked { request, bytes_max, leader_at, promise } => {
                let leader = match &request {
                    Request::BeginQuorumEpoch(begin) => Some(begin.leader),
                    Request::EndQuorumEpoch(end) => Some(end.leader),
                    _ => None,
                };
                self.hear(leader, leader_at);
                self.setup.raft.handle_request(now, Token { promise, bytes_max }, request);
            }
            Event::Answered { correlation, answer } => self.answered(now, correlation, answer),
            Event::Versions { correlation, supported } => {
                self.setup.raft.handle_versions(now, correlation, supported);
            }
            Event::Failed(correlation) => self.setup.raft.handle_failure(now, correlation),
            Event::Work(work) => work(self)?,
            Event::SnapshotWritten(Ok(id)) => self.snapshot_written(now, id),
            Event::SnapshotWritten(Err(error)) => {
                self.setup.snapshots.failed(now);
                tracing::error!("no snapshot of the metadata was taken, it is tried again later: {error}");
            }
            Event::Stop => {}
        }
        self.pump()
    }

    /// Notes where a leader is before the machine hears of it.
    fn hear(&mut self, leader: Option<NodeId>, address: Option<Address>) {
        if let (Some(leader), Some(address)) = (leader, address) {
            self.setup.addresses.hear(leader, address);
        }
    }

    fn answered(&mut self, now: Ticks, correlation: CorrelationId, answer: Answer) {
        let Answer { response, bytes, leader_at } = answer;
        self.hear(response.leadership().leader, leader_at);
        let is_part = matches!(response, Response::FetchSnapshot(_));
        let Whole { batches, ends, controls } = if is_part { Whole::default() } else { whole_batches(&bytes) };
        let count = bytes.len() as u64;
        self.payload = Some((correlation, bytes, ends));
        let payload =
            if is_part { Payload::Bytes(count) } else { Payload::Records { batches: &batches, controls: &controls } };
        self.setup.raft.handle_response(now, correlation, response, payload);
    }

    /// Carries out what the machine wants.
    pub(super) fn pump(&mut self) -> Result<(), Fatal> {
        while let Some(output) = self.setup.raft.poll_output() {
            match output {
                Output::Persist(state) => {
                    self.setup.log.store_state(state, self.setup.raft.kraft_version())?;
                    self.setup.raft.persisted();
                }
                Output::Write(write) => self.write(write)?,
                Output::Sync { end } => self.sync_due = Some(end),
                Output::Send { to, request, correlation } => {
                    let address = self.setup.addresses.of(to, self.setup.raft.voters());
                    self.send(Peer::Node(to), address, correlation, What::Request(request));
                }
                Output::SendToBootstrap { server, request, correlation } => {
                    let address = self.setup.addresses.bootstrap(server);
                    self.send(Peer::Bootstrap(server), address, correlation, What::Request(request));
                }
                Output::AskVersions { replica, endpoints, correlation } => {
                    let address = self.setup.addresses.on_listener(&endpoints);
                    self.send(Peer::New(replica.id), address, correlation, What::Versions);
                }
                Output::Reply { token, response } => self.reply(token, response)?,
                Output::HighWatermark(end) => self.commit(end)?,
                Output::Role { role, epoch, leader } => self.role_changed(role, epoch, leader),
                Output::Violation(violation) => return Err(violation.into()),
            }
        }
        self.payload = None;
        self.tell_all();
        Ok(())
    }

    fn send(&mut self, to: Peer, address: Option<Address>, correlation: CorrelationId, what: What) {
        let sent = address.map(|address| self.setup.lanes.send(to, &address, correlation, what));
        if !matches!(sent, Some(Ok(()))) {
            self.setup.raft.handle_failure(Now::read().ticks(), correlation);
        }
    }

    /// Lets the other threads know who leads and who decides.
    fn tell_all(&mut self) {
        let raft = &self.setup.raft;
        let leader_at = raft.leader().and_then(|leader| self.setup.addresses.of(leader, raft.voters()));
        self.setup.shared.set_leader_address(leader_at);
        if self.told.as_ref() != Some(raft.voters()) {
            self.told = Some(raft.voters().clone());
            self.setup.shared.set_controllers(self.setup.addresses.controllers(raft.voters()));
        }
        self.setup.shared.set_kraft_version(raft.kraft_version());
    }

    fn sync(&mut self) -> Result<(), Fatal> {
        let Some(end) = self.sync_due.take() else { return Ok(()) };
        self.setup.log.flush()?;
        self.setup.raft.synced(Now::read().ticks(), end);
        self.pump()
    }

    fn write(&mut self, write: Write) -> Result<(), Fatal> {
        let now = Now::read();
        let log = &mut self.setup.log;
        match write {
            Write::Append { base, epoch, content: Content::LeaderChange { voters, granting } } => {
                let leader = self.setup.raft.key().id;
                log.append_controls(&[control::leader_change(leader, &voters, &granting)?], epoch, now.wall)?;
                self.epoch_begins = Some(base.next());
            }
            Write::Append {
                epoch,
                content: Content::FirstLeaderChange { voters, granting, kraft_version, voter_set },
                ..
            } => {
                let leader = self.setup.raft.key().id;
                let records = [
                    control::leader_change(leader, &voters, &granting)?,
                    control::kraft_version(kraft_version)?,
                    control::voters(&voter_set)?,
                ];
                log.append_controls(&records, epoch, now.wall)?;
                self.epoch_begins = Some(log.log_end());
            }
            Write::Append { epoch, content: Content::Raised { kraft_version, voter_set }, .. } => {
                let records = [control::kraft_version(kraft_version)?, control::voters(&voter_set)?];
                log.append_controls(&records, epoch, now.wall)?;
            }
            Write::Append { epoch, content: Content::Voters(voters), .. } => {
                log.append_controls(&[control::voters(&voters)?], epoch, now.wall)?;
            }
            Write::Append { base, epoch, content: Content::Batch { tag, .. } } => {
                let (known, batch) =
                    self.batches.pop_front().expect("a batch was handed in before it is to be written");
                assert!(known == tag && base == log.log_end(), "batches are written in order");
                log.append(batch, epoch, now.wall)?;
            }
            Write::Fetched { correlation, batches } => {
                let (known, bytes, ends) = self.payload.as_ref().expect("there was an answer");
                assert!(*known == correlation && 0 < batches, "what is written came with this answer");
                log.append_fetched(&bytes[..ends[batches - 1]], now.wall)?;
            }
            Write::Truncate { end } => log.truncate(end, now.wall)?,
            Write::DropPrefix { start } => log.drop_prefix(start)?,
            Write::SnapshotPart { id, position, .. } => self.write_part(id, position)?,
            Write::LoadSnapshot { id } => self.load_snapshot(id)?,
        }
        Ok(())
    }

    fn write_part(&mut self, id: SnapshotId, position: u64) -> Result<(), MetadataLogError> {
        let path = snapshot::part_path(self.setup.log.directory(), id);
        let failed = |op| {
            let path = path.clone();
            move |source| MetadataLogError::Io { op, path, source }
        };
        if position == 0 {
            self.part = Some((id, File::create(&path).map_err(failed("create"))?));
        }
        let (_, bytes, _) = self.payload.as_ref().expect("there was an answer");
        let (known, file) = self.part.as_mut().expect("the first part comes first");
        assert_eq!(*known, id, "parts of one snapshot come one after the other");
        file.seek(SeekFrom::Start(position)).map_err(failed("seek in"))?;
        file.write_all(bytes).map_err(failed("write"))
    }

    fn load_snapshot(&mut self, id: SnapshotId) -> Result<(), Fatal> {
        let now = Now::read();
        self.part = None;
        let directory = self.setup.log.directory();
        snapshot::finish(directory, &snapshot::part_path(directory, id), id)?;
        self.setup.log.restart_at(id.end, now.wall)?;
        tracing::info!("the metadata begins anew with snapshot {id}");
        let mut committed = Controller::new(self.setup.controller.clone());
        let before = self.committed.image();
        let mut delta = MetadataDelta::default();
        let membership = self.setup.log.load_snapshot(id, &mut |_, record| {
            delta.observe(record);
            committed.apply(record)
        })?;
        delta.observe_missing(&before, &committed.image());
        self.committed = committed;
        self.delta = delta;
        self.applied = id.end;
        self.publish();
        self.setup.raft.snapshot_loaded_with(now.ticks(), id, membership);
        Ok(())
    }

    fn reply(&mut self, token: Token, mut response: Response) -> Result<(), Fatal> {
        let Token { promise, bytes_max } = token;
        let bytes = match &mut response {
            Response::Fetch(answer) => match answer.records_from {
                Some(from) => self.setup.log.read(from, bytes_max)?,
                None => Vec::new(),
            },
            Response::FetchSnapshot(answer) if answer.leadership.error == ErrorCode::None => {
                match self.read_snapshot(answer.id, answer.position, bytes_max)? {
                    Some((size, bytes)) => {
                        answer.size = size;
                        bytes
                    }
                    None => {
                        answer.leadership.error = ErrorCode::PositionOutOfRange;
                        Vec::new()
                    }
                }
            }
            _ => Vec::new(),
        };
        let leader_at = response.leadership().leader.and_then(|id| {
            let address = self.setup.addresses.of(id, self.setup.raft.voters())?;
            Some(LeaderAt { id, address })
        });
        promise.keep(RaftReply { response, bytes, leader_at });
        Ok(())
    }

    /// Size of a snapshot and its bytes from `position` on; `None` if there are none.
    fn read_snapshot(
        &self,
        id: SnapshotId,
        position: u64,
        bytes_max: u32,
    ) -> Result<Option<(u64, Vec<u8>)>, MetadataLogError> {
        let path = snapshot::path(self.setup.log.directory(), id);
        let read = || -> std::io::Result<Option<(u64, Vec<u8>)>> {
            let mut file = File::open(&path)?;
            let size = file.metadata()?.len();
            if size <= position {
                return Ok(None);
            }
            file.seek(SeekFrom::Start(position))?;
            let mut bytes = Vec::new();
            file.take(u64::from(bytes_max)).read_to_end(&mut bytes)?;
            Ok(Some((size, bytes)))
        };
        read().map_err(|source| MetadataLogError::Io { op: "read", path: path.clone(), source })
    }

    /// Applies what is committed up to `end`, and answers those who have waited for it.
    fn commit(&mut self, end: Offset) -> Result<(), Fatal> {
        self.setup.log.advance_high_watermark(end);
        if self.applied < end {
            let Self { committed, delta, setup, applied, .. } = self;
            setup.log.replay(*applied, end, &mut |_, record| {
                committed.apply(record)?;
                delta.observe(record);
                Ok(())
            })?;
            *applied = end;
        }
        if self.epoch_begins.is_some_and(|begins| begins <= end) {
            self.epoch_begins = None;
            self.become_active()?;
        }
        self.answer_waiting();
        self.publish();
        Ok(())
    }

    fn publish(&mut self) {
        let offset = Offset::from_wire(self.applied.to_wire() - 1).unwrap_or(Offset::ZERO);
        let completions = std::mem::take(&mut self.completions);
        let delta = self.delta.take();
        match &self.setup.broker {
            Some(broker) => {
                let change = Change { image: self.committed.image(), offset, delta, completions };
                // Without a receiver the broker is stopping.
                let _ = broker.send(change);
            }
            None => completions.into_iter().for_each(|completion| completion()),
        }
    }

    fn role_changed(&mut self, role: RoleName, epoch: LeaderEpoch, leader: Option<NodeId>) {
        tracing::debug!("the quorum: {role:?} in epoch {epoch}, led by {leader:?}");
        if role != RoleName::Leader {
            self.epoch_begins = None;
            self.lead_no_more();
        }
        let address = leader.and_then(|leader| self.setup.addresses.of(leader, self.setup.raft.voters()));
        self.setup.shared.set_leader(leader, epoch, address);
    }

    fn become_active(&mut self) -> Result<(), Fatal> {
        let now = Now::read().ticks();
        if !self.setup.is_controller || self.setup.raft.role() != RoleName::Leader {
            return Ok(());
        }
        let (heartbeats, timers) = (self.setup.heartbeats, self.setup.timers);
        let log_end = self.setup.raft.log_end();
        let epoch = self.setup.raft.epoch();
        self.active = Some(Active::new(self.committed.clone(), epoch, heartbeats, timers, log_end, now));
        tracing::info!("this node is the active controller in epoch {epoch}");
        self.setup.shared.set_active(true);
        self.bootstrap()
    }

    fn lead_no_more(&mut self) {
        if self.active.take().is_some() {
            tracing::info!("this node is not the active controller any more");
        }
        self.setup.shared.set_active(false);
        self.batches.clear();
        self.fail_waiting();
    }

    pub(super) fn waiting(&mut self) -> &mut VecDeque<Waiting> {
        &mut self.waiting
    }

    pub(super) fn complete_later(&mut self, completion: Completion) {
        self.completions.push(completion);
    }

    /// Publishes completions that no commit is going to.
    pub(super) fn flush_completions(&mut self) {
        if !self.completions.is_empty() {
            self.publish();
        }
    }

    pub(super) fn raft(&mut self) -> &mut Raft<Token> {
        &mut self.setup.raft
    }

    /// Hands a batch to the machine, which asks for it to be written.
    pub(super) fn append(&mut self, batch: Vec<u8>, records: u32) -> Result<Offset, highwater_raft::NotLeader> {
        self.last_tag += 1;
        let now = Now::read().ticks();
        let appended = self.setup.raft.append(now, self.last_tag, records)?;
        self.batches.push_back((self.last_tag, batch));
        Ok(appended.end)
    }

    /// How the quorum stands.
    pub(super) fn view(&self) -> QuorumView {
        self.setup.raft.view(Now::read().ticks())
    }

    fn take_snapshot(&mut self, now: Now) {
        let size = self.setup.log.size_bytes();
        let Some(id) = self.setup.log.snapshot_id(self.applied) else {
            self.setup.snapshots.checked(now.ticks());
            return;
        };
        if !self.setup.snapshots.is_due(now.ticks(), id, size) || self.committed.is_in_transaction() {
            return;
        }
        let (image, sender) = (self.committed.image(), self.setup.sender.clone());
        let directory = self.setup.log.directory().to_owned();
        let membership = self.setup.raft.membership_at(id.end);
        let write = move || {
            let written = snapshot::write(&directory, id, &membership, &mut image.to_records(), now.wall).map(|()| id);
            // If the thread is gone, the next start finds the snapshot.
            let _ = sender.send(Event::SnapshotWritten(written));
        };
        if std::thread::Builder::new().name("metadata-snapshot".to_owned()).spawn(write).is_err() {
            self.setup.snapshots.failed(now.ticks());
        }
    }

    fn snapshot_written(&mut self, now: Ticks, id: SnapshotId) {
        self.setup.raft.snapshot_taken(id);
        let size = self.setup.log.size_bytes();
        if let Some(kept) = self.setup.snapshots.taken(now, id, size)
            && self.setup.raft.has_snapshot(kept)
        {
            self.setup.raft.drop_prefix(kept);
        }
    }
}

/// The batches at the front of an answer that are whole and undamaged.
#[derive(Default)]
struct Whole {
    batches: Vec<FetchedBatch>,
    /// Where each ends in the answer.
    ends: Vec<usize>,
    /// What they say of the voters.
    controls: Vec<Control>,
}

fn whole_batches(bytes: &[u8]) -> Whole {
    let mut whole = Whole::default();
    let mut entries = RecordSet::new(bytes).entries();
    while let Some(Ok(entry)) = entries.next() {
        let base = entry.base_offset(highwater_records::DecompressLimit::default()).ok().and_then(Offset::from_wire);
        let end = Offset::from_wire(entry.next_offset());
        let epoch = LeaderEpoch::from_wire(entry.leader_epoch());
        let (Some(base), Some(end), Some(epoch), Ok(())) = (base, end, epoch, entry.check_crc()) else { break };
        if let Err(error) = control::read(&entry, &mut whole.controls) {
            // Who decides would not be known from here on.
            tracing::warn!("the leader has sent what cannot be understood: {error}");
            break;
        }
        whole.batches.push(FetchedBatch { base, end, epoch });
        whole.ends.push(bytes.len() - entries.rest().len());
    }
    whole
}

/// Events that are handled before what they have appended is synced.
const EVENTS_PER_SYNC_MAX: u32 = 256;
/// How long a leader that shuts down waits for its successor.
const FAREWELL_MS: u64 = 1000;
