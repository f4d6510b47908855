//! Producers: values that nobody else sends, one batch at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use highwater_sim::Random;
use highwater_testsupport::history::{Key, Op, Outcome, Process, Step};
use highwater_types::ErrorCode;

use super::RETRY_PAUSE;
use crate::client::{Broker, Router, Sequence};
use crate::recorder::Recorder;
use crate::stop::Stop;

/// Who acknowledges, and what is done if nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// All in-sync replicas. A batch is sent once.
    All,
    /// All in-sync replicas. A batch is sent until it is acknowledged, and must still be there once only.
    AllIdempotent,
    /// The leader. A batch is sent once.
    Leader,
}

/// A producer of one of the kinds.
#[derive(Debug)]
pub(crate) struct Producer {
    process: Process,
    acks: Acks,
    keys: Vec<Key>,
    router: Router,
    random: Random,
    values_sent: u64,
    identity: Option<Identity>,
}

/// An idempotent producer's id and the next sequence number of each partition.
#[derive(Debug)]
struct Identity {
    base: Sequence,
    next: BTreeMap<Key, i32>,
}

/// How one attempt to send a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// Where the first value is, if that was said.
    Acknowledged(Option<u64>),
    /// It was certainly not appended.
    Refused,
    /// It may have been appended.
    Unknown,
    /// The producer's sequence is not what the leader expects.
    OutOfSequence(ErrorCode),
}

impl Producer {
    pub(crate) fn new(process: Process, acks: Acks, keys: Vec<Key>, router: Router, random: Random) -> Self {
        Self { process, acks, keys, router, random, values_sent: 0, identity: None }
    }

    pub(crate) fn run(mut self, recorder: &Recorder, stop: &Stop) {
        while !stop.sleep(Duration::from_millis(self.random.between(PAUSE_MS_MIN, PAUSE_MS_MAX))) {
            let key = self.keys[self.random.index(self.keys.len())].clone();
            let count = self.random.between(1, BATCH_VALUES_MAX);
            let first = u64::from(self.process) << 40 | self.values_sent;
            let values: Vec<u64> = (first..first + count).collect();
            self.values_sent += count;
            let (outcome, offset) = match self.acks {
                Acks::All | Acks::Leader => self.send_once(&key, &values, recorder),
                Acks::AllIdempotent => self.send_until_acknowledged(&key, &values, recorder, stop),
            };
            let step = |(value, index)| Step::Send {
                key: key.clone(),
                value,
                // What only the leader had may be gone, and something else be there.
                offset: offset.filter(|_| self.acks != Acks::Leader).map(|offset| offset + index),
            };
            let steps = values.iter().copied().zip(0..).map(step).collect();
            recorder.op(&key.topic, Op { process: self.process, outcome, steps, reassigned: false });
            if outcome == Outcome::Ok {
                if self.acks != Acks::Leader {
                    recorder.ack(&key);
                }
            } else {
                stop.sleep(RETRY_PAUSE);
            }
        }
    }

    fn send_once(&mut self, key: &Key, values: &[u64], recorder: &Recorder) -> (Outcome, Option<u64>) {
        match self.attempt(key, values, None, recorder) {
            Attempt::Acknowledged(offset) => (Outcome::Ok, offset),
            Attempt::Refused => (Outcome::Fail, None),
            Attempt::Unknown => (Outcome::Unknown, None),
            Attempt::OutOfSequence(code) => {
                recorder.problem(format!("{key}: {code} for a batch without a sequence"));
                (Outcome::Unknown, None)
            }
        }
    }

    fn send_until_acknowledged(
        &mut self,
        key: &Key,
        values: &[u64],
        recorder: &Recorder,
        stop: &Stop,
    ) -> (Outcome, Option<u64>) {
        let Some(sequence) = self.sequence(key, recorder) else { return (Outcome::Fail, None) };
        let mut given_up = Outcome::Fail;
        let mut deadline = None;
        loop {
            match self.attempt(key, values, Some(sequence), recorder) {
                Attempt::Acknowledged(offset) => {
                    let next = self.identity.as_mut().map(|identity| identity.next.entry(key.clone()).or_default());
                    *next.expect("it was there for the sequence") += i32::try_from(values.len()).expect("few values");
                    return (Outcome::Ok, offset);
                }
                Attempt::Refused => {}
                Attempt::Unknown => given_up = Outcome::Unknown,
                Attempt::OutOfSequence(code) => {
                    // Everything before it was acknowledged, so every leader has to know it.
                    recorder.problem(format!("{key}: {code} for {sequence:?}, the next after what was acknowledged"));
                    self.identity = None;
                    return (Outcome::Unknown, None);
                }
            }
            // At the end there is a healthy cluster: it may take its time, but not forever.
            if stop.sleep(RETRY_PAUSE) {
                let until = *deadline.get_or_insert_with(|| Instant::now() + LAST_TRIES);
                if until <= Instant::now() {
                    return (given_up, None);
                }
                std::thread::sleep(RETRY_PAUSE);
            }
        }
    }

    /// The sequence of the next batch for a partition.
    fn sequence(&mut self, key: &Key, recorder: &Recorder) -> Option<Sequence> {
        if self.identity.is_none() {
            match self.router.on_any(Broker::init_producer_id)? {
                Ok(base) => self.identity = Some(Identity { base, next: BTreeMap::new() }),
                Err(code) => recorder.answer(format!("InitProducerId: {code}")),
            }
        }
        let identity = self.identity.as_ref()?;
        Some(Sequence { first: identity.next.get(key).copied().unwrap_or(0), ..identity.base })
    }

    fn attempt(&mut self, key: &Key, values: &[u64], sequence: Option<Sequence>, recorder: &Recorder) -> Attempt {
        let Some(leader) = self.router.leader(key) else {
            recorder.answer("Produce: no leader is known");
            return Attempt::Refused;
        };
        if let Err(error) = self.router.connect(leader.node) {
            recorder.answer(format!("Produce: {}", kind(&error)));
            self.router.forget(key);
            return Attempt::Refused;
        }
        let acks = if self.acks == Acks::Leader { 1 } else { -1 };
        let code = match self.router.on(leader.node, |broker| broker.produce(key, acks, values, sequence)) {
            Ok(Ok(offset)) => return Attempt::Acknowledged(offset),
            Ok(Err(code)) => code,
            Err(error) => {
                recorder.answer(format!("Produce: {}", kind(&error)));
                self.router.forget(key);
                return Attempt::Unknown;
            }
        };
        recorder.answer(format!("Produce: {code}"));
        match code {
            // It was appended earlier, so long ago that the leader no longer knows where.
            ErrorCode::DuplicateSequenceNumber => Attempt::Acknowledged(None),
            ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping => Attempt::OutOfSequence(code),
            // Said before anything is appended.
            ErrorCode::NotEnoughReplicas => Attempt::Refused,
            // All others may also be said of what was appended and then not replicated.
            _ => {
                self.router.forget(key);
                Attempt::Unknown
            }
        }
    }
}

/// A failure without its address, for counting.
pub(super) fn kind(error: &highwater_broker::peer::PeerError) -> &'static str {
    use highwater_broker::peer::PeerError;
    match error {
        PeerError::Connect { .. } => "no connection",
        PeerError::Io { .. } => "connection lost",
        PeerError::Timeout { .. } => "no answer in time",
        _ => "nonsense",
    }
}

const PAUSE_MS_MIN: u64 = 10;
const PAUSE_MS_MAX: u64 = 50;
const BATCH_VALUES_MAX: u64 = 4;
const LAST_TRIES: Duration = Duration::from_secs(15);
