//! Fetches of followers, at the leader's end.

use highwater_replication::divergence;
use highwater_replication::fetcher::{FetchRequest, PartitionKey, SessionId};
use highwater_replication::follower::{FetchPosition, FetchedPartition, LeaderOffsets};
use highwater_replication::leader::{EpochError, FollowerFetch, Input};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};

use super::super::context::Context;
use super::super::log::{Log, Record};
use super::super::message::{Caller, Fetched, FetchedRecords, Reply};
use super::super::node::Node;
use super::{ParkedFetch, Session, Told};

/// What was read for one partition of a fetch.
struct Read {
    key: PartitionKey,
    fetch: FollowerFetch,
    position: FetchPosition,
    answer: FetchedPartition,
    records: Vec<Record>,
}

impl Node {
    pub(super) fn serve_offsets(
        &mut self,
        ctx: &mut Context<'_, '_>,
        caller: Caller,
        key: PartitionKey,
        epoch: LeaderEpoch,
    ) {
        let answer = match self.leader(&key) {
            None => Err(ErrorCode::NotLeaderOrFollower),
            Some(leader) => leader.check_epoch(Some(epoch)).map_err(EpochError::code).map(|()| {
                let log = &self.disk.logs[&key];
                LeaderOffsets { start: Offset::new(log.start()), end: Offset::new(log.end()) }
            }),
        };
        ctx.reply(self.index, caller, Reply::Offsets(answer));
    }

    /// Serves a fetch, or lets it wait for records.
    pub(super) fn serve_fetch(
        &mut self,
        ctx: &mut Context<'_, '_>,
        caller: Caller,
        epoch: BrokerEpoch,
        request: &FetchRequest,
    ) {
        let until = self.ticks(ctx.now_ms).plus_ms(ctx.plan.timing.fetch_wait_ms);
        let Some(broker) = self.broker_mut() else { return };
        // One request at a time comes from each broker, so an earlier one was given up.
        broker.parked.retain(|parked| parked.caller.node != caller.node);
        let session = match broker.enter_session(caller.node, request) {
            Ok(session) => session,
            Err(error) => {
                let fetched = Fetched { error, session: None, partitions: Vec::new() };
                return ctx.reply(self.index, caller, Reply::Fetched(fetched));
            }
        };
        let parked = ParkedFetch { caller, epoch, until, is_full: request.session_epoch == 0, session };
        let reads = self.read_all(ctx, &parked);
        // Neither a refused fetch nor a diverging one says where the follower is.
        let is_proper = |read: &&Read| read.answer.diverging.is_none() && read.answer.error == ErrorCode::None;
        let proper: Vec<_> = reads.iter().filter(is_proper).map(|read| (read.key, read.fetch)).collect();
        if reads.is_empty() || reads.iter().any(Read::is_news) {
            self.answer_fetch(ctx, &parked, reads);
        } else if let Some(broker) = self.broker_mut() {
            broker.parked.push(parked);
        }
        for (key, fetch) in proper {
            self.lead(ctx, key, Input::FollowerFetch(fetch));
        }
    }

    /// Answers the fetches that have waited long enough, or for which there is something by now. Who fetches is where it
    /// was when the fetch came, so nothing is learned from a second read.
    pub(super) fn answer_parked(&mut self, ctx: &mut Context<'_, '_>) {
        let now = self.ticks(ctx.now_ms);
        let Some(broker) = self.broker_mut() else { return };
        let is_woken = std::mem::take(&mut broker.is_woken);
        if broker.parked.is_empty() || (!is_woken && broker.parked.iter().all(|parked| now < parked.until)) {
            return;
        }
        for parked in std::mem::take(&mut broker.parked) {
            let reads = self.read_all(ctx, &parked);
            if parked.until <= now || reads.iter().any(Read::is_news) {
                self.answer_fetch(ctx, &parked, reads);
            } else if let Some(broker) = self.broker_mut() {
                broker.parked.push(parked);
            }
        }
    }

    fn answer_fetch(&mut self, ctx: &mut Context<'_, '_>, parked: &ParkedFetch, reads: Vec<Read>) {
        let mut partitions = Vec::new();
        for read in reads {
            let is_news = read.is_news();
            let Read { key, fetch: _, position, answer, records } = read;
            let marks = answer.high_watermark.zip(answer.log_start);
            let Some(told) = self.told_mut(parked.caller.node, &key) else { continue };
            if parked.is_full || is_news || told.marks != marks {
                told.marks = marks.filter(|_| answer.error == ErrorCode::None);
                partitions.push(FetchedRecords { key, position, answer, records });
            }
        }
        let fetched = Fetched { error: ErrorCode::None, session: parked.session, partitions };
        ctx.reply(self.index, parked.caller, Reply::Fetched(fetched));
    }

    /// Reads everything that a fetch asks for.
    fn read_all(&self, ctx: &mut Context<'_, '_>, parked: &ParkedFetch) -> Vec<Read> {
        let session = self.broker().and_then(|broker| broker.sessions.get(&parked.caller.node));
        let read = |(key, told): (&PartitionKey, &Told)| {
            let position = told.position;
            let fetch = follower_fetch(parked, &position);
            let (answer, records) = self.read(ctx, key, &fetch, &position);
            Read { key: *key, fetch, position, answer, records }
        };
        session.into_iter().flat_map(|session| &session.partitions).map(read).collect()
    }

    fn read(
        &self,
        ctx: &mut Context<'_, '_>,
        key: &PartitionKey,
        fetch: &FollowerFetch,
        position: &FetchPosition,
    ) -> (FetchedPartition, Vec<Record>) {
        let nothing = |error| FetchedPartition {
            error,
            diverging: None,
            high_watermark: None,
            log_start: None,
            first_batch: None,
        };
        let Some(leader) = self.leader(key) else { return (nothing(ErrorCode::NotLeaderOrFollower), Vec::new()) };
        if let Err(refusal) = leader.check_follower(fetch) {
            return (nothing(refusal.code()), Vec::new());
        }
        let log = &self.disk.logs[key];
        let marks = FetchedPartition {
            high_watermark: Some(leader.high_watermark()),
            log_start: Some(Offset::new(log.start())),
            ..nothing(ErrorCode::None)
        };
        let diverging = position.last_fetched_epoch.map_or(Ok(None), |last| divergence(log, last, position.offset));
        let from = position.offset.value();
        match diverging {
            Err(_) => return (nothing(ErrorCode::OffsetOutOfRange), Vec::new()),
            Ok(Some(end)) => return (FetchedPartition { diverging: Some(end), ..marks }, Vec::new()),
            Ok(None) if from < log.start() || log.end() < from => {
                return (nothing(ErrorCode::OffsetOutOfRange), Vec::new());
            }
            Ok(None) => {}
        }
        let records = log.read(from, ctx.random.between(1, ctx.plan.batches_max));
        (FetchedPartition { first_batch: Log::span(position.offset, &records), ..marks }, records)
    }

    fn told_mut(&mut self, from: usize, key: &PartitionKey) -> Option<&mut Told> {
        self.broker_mut()?.sessions.get_mut(&from)?.partitions.get_mut(key)
    }

    /// Records are sent from the file: what arrives may have been written after the request was answered.
    pub(in super::super) fn read_late(&self, fetched: &mut Fetched) {
        for FetchedRecords { key, position, answer, records } in &mut fetched.partitions {
            if let Some(log) = self.disk.logs.get(key)
                && !records.is_empty()
            {
                *records = log.read(position.offset.value(), records.len() as u64);
                answer.first_batch = Log::span(position.offset, records);
            }
        }
    }
}

impl super::Broker {
    /// Brings the session of a broker up to date by its request.
    fn enter_session(&mut self, from: usize, request: &FetchRequest) -> Result<Option<SessionId>, ErrorCode> {
        let told = |position| Told { position, marks: None };
        if request.session_epoch == 0 {
            self.sessions_made += 1;
            let id = SessionId(self.sessions_made);
            let partitions = request.partitions.iter().map(|(key, position)| (*key, told(*position))).collect();
            self.sessions.insert(from, Session { id, next_epoch: 1, partitions });
            return Ok(Some(id));
        }
        let known = self.sessions.get_mut(&from).filter(|session| Some(session.id) == request.session_id);
        let session = known.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.next_epoch += 1;
        for (key, position) in &request.partitions {
            session.partitions.entry(*key).or_insert_with(|| told(*position)).position = *position;
        }
        for key in &request.forgotten {
            session.partitions.remove(key);
        }
        Ok(Some(session.id))
    }
}

impl Read {
    fn is_news(&self) -> bool {
        !self.records.is_empty() || self.answer.diverging.is_some() || self.answer.error != ErrorCode::None
    }
}

fn follower_fetch(parked: &ParkedFetch, position: &FetchPosition) -> FollowerFetch {
    FollowerFetch {
        node: NodeId::new(u32::try_from(parked.caller.node).expect("there are few nodes")),
        broker_epoch: Some(parked.epoch),
        leader_epoch: Some(position.leader_epoch),
        offset: position.offset,
        log_start: Some(position.log_start),
    }
}
