//! The fetcher's state machine.

use super::{FetchRequest, SessionId, session::Session};
use crate::follower::{FetchDue, FetchPosition};
use highwater_types::{ErrorCode, PartitionIndex, Ticks, TopicId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Names a partition. One of a topic that was deleted and created again has another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicId,
    /// The partition in it.
    pub partition: PartitionIndex,
}

/// How one partition is to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What its follower wants ([`Follower::next_fetch`](crate::follower::Follower::next_fetch)).
    pub due: Option<FetchDue>,
    /// Whether this replica is in sync: then it is never held back.
    pub in_sync: bool,
    /// Whether it is one of `follower.replication.throttled.replicas`.
    pub throttled: bool,
}

/// How a fetcher behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetcherConfig {
    /// `replica.fetch.backoff.ms`: how long to wait after a request failed. Default 1 s.
    pub backoff_ms: u64,
}

impl Default for FetcherConfig {
    fn default() -> Self {
        Self { backoff_ms: 1_000 }
    }
}

/// The answer to a request, but for what it says of each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchResponse<'a> {
    /// `NONE` or why there is nothing else.
    pub error: ErrorCode,
    /// The session; `None` if there is none.
    pub session_id: Option<SessionId>,
    /// Partitions in the response, each with the size of its records in bytes.
    pub partitions: &'a [(PartitionKey, u64)],
}

/// Which parts of a response are to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Partitions whose part is to be given to their follower, in the order of the response.
    pub partitions: Vec<Answered>,
    /// Bytes of throttled replicas, to be given to [`Throttle::record`](crate::Throttle::record).
    pub throttled_bytes: u64,
}

/// A partition that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which one.
    pub key: PartitionKey,
    /// What was asked for.
    pub request: FetchPosition,
}

/// Fetches from one broker.
///
/// Contract:
///
/// 1. [`assign`](Self::assign) every partition whose leader that broker is, with what its follower wants, and
///    again whenever that has changed; [`remove`](Self::remove) those that it does not lead any more.
/// 2. Send what [`poll_request`](Self::poll_request) gives, and then call one of
///    [`handle_response`](Self::handle_response) and [`handle_failure`](Self::handle_failure). Until then there
///    is no other request.
/// 3. Give each partition that is answered to its follower, carry its plan out, and assign it anew. That may
///    take its time: assign it with nothing due until then.
/// 4. After any of these ask for a request, and again when [`poll_timeout`](Self::poll_timeout) says.
#[derive(Debug)]
pub struct Fetcher {
    config: FetcherConfig,
    partitions: BTreeMap<PartitionKey, Assignment>,
    /// All partitions; those that had records in the last answer are last, so that the first ones of a request
    /// do not take its whole size every time.
    order: VecDeque<PartitionKey>,
    session: Session,
    in_flight: bool,
    /// Whether the last request was of no use.
    failed: bool,
    not_before: Ticks,
}

impl Fetcher {
    /// A fetcher without partitions.
    #[must_use]
    pub fn new(config: FetcherConfig) -> Self {
        Self {
            config,
            partitions: BTreeMap::new(),
            order: VecDeque::new(),
            session: Session::default(),
            in_flight: false,
            failed: false,
            not_before: Ticks::default(),
        }
    }

    /// Adds a partition, or says anew how it is to be fetched.
    pub fn assign(&mut self, key: PartitionKey, assignment: Assignment) {
        if self.partitions.insert(key, assignment).is_none() {
            self.order.push_back(key);
        }
    }

    /// Fetches a partition no more. An answer to the request that is under way is not for it.
    pub fn remove(&mut self, key: &PartitionKey) {
        if self.partitions.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }

    /// Whether there are no partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The next request; `None` while one is under way and while nothing is due.
    ///
    /// `quota_at` is when throttled replicas may be fetched ([`Throttle::free_at`](crate::Throttle::free_at));
    /// `None` for now.
    pub fn poll_request(&mut self, now: Ticks, quota_at: Option<Ticks>) -> Option<FetchRequest> {
        if self.in_flight || now < self.not_before {
            return None;
        }
        let ready = |key: &PartitionKey| {
            let assignment = self.partitions.get(key)?;
            let due = assignment.due?;
            assignment.ready_at(quota_at).is_some_and(|at| at <= now).then_some((*key, due))
        };
        let ready: Vec<(PartitionKey, FetchDue)> = self.order.iter().filter_map(ready).collect();
        if ready.is_empty() {
            return None;
        }
        self.in_flight = true;
        Some(self.session.request(&ready))
    }

    /// When to ask for a request; `None` for not before something else happens.
    #[must_use]
    pub fn poll_timeout(&self, quota_at: Option<Ticks>) -> Option<Ticks> {
        if self.in_flight {
            return None;
        }
        let ready_at = self.partitions.values().filter_map(|assignment| assignment.ready_at(quota_at)).min()?;
        Some(ready_at.max(self.not_before))
    }

    /// Takes note of the answer to the request, and says what in it is to be used: nothing if the session is
    /// lost, or if it is not an answer to that request.
    ///
    /// # Panics
    ///
    /// If there is no request under way.
    pub fn handle_response(&mut self, now: Ticks, response: &FetchResponse<'_>) -> Answers {
        assert!(self.in_flight, "an answer is to a request");
        self.in_flight = false;
        if self.session.answered(response).is_err() {
            // A session may end at any time, and the next request makes another. Not if that fails again.
            if self.failed {
                self.not_before = now.plus_ms(self.config.backoff_ms);
            }
            self.failed = true;
            return Answers::default();
        }
        self.failed = false;
        let mut answers = Answers::default();
        let mut with_records = BTreeSet::new();
        for (key, bytes) in response.partitions {
            let (Some(assignment), Some(request)) = (self.partitions.get(key), self.session.position(key)) else {
                continue;
            };
            answers.partitions.push(Answered { key: *key, request });
            if assignment.throttled {
                answers.throttled_bytes = answers.throttled_bytes.saturating_add(*bytes);
            }
            if 0 < *bytes {
                with_records.insert(*key);
            }
        }
        self.move_back(&with_records);
        answers
    }

    /// There will be no answer to the request: the connection was lost, or it took too long.
    ///
    /// # Panics
    ///
    /// If there is no request under way.
    pub fn handle_failure(&mut self, now: Ticks) {
        assert!(self.in_flight, "a failure is one of a request");
        self.in_flight = false;
        self.failed = true;
        self.not_before = now.plus_ms(self.config.backoff_ms);
        self.session.broken();
    }

    /// The connection was closed before the answer, so that what has become due need not wait for it. Ask for a request
    /// at once.
    ///
    /// # Panics
    ///
    /// If there is no request under way.
    pub fn handle_interruption(&mut self) {
        assert!(self.in_flight, "an interruption is one of a request");
        self.in_flight = false;
        self.session.broken();
    }

    fn move_back(&mut self, keys: &BTreeSet<PartitionKey>) {
        let (back, front): (Vec<_>, Vec<_>) = self.order.drain(..).partition(|key| keys.contains(key));
        self.order.extend(front.into_iter().chain(back));
    }
}

impl Assignment {
    /// When it may be fetched; `None` if nothing is due.
    fn ready_at(&self, quota_at: Option<Ticks>) -> Option<Ticks> {
        let not_before = self.due?.not_before;
        let held_back = self.throttled && !self.in_sync;
        Some(not_before.max(quota_at.filter(|_| held_back).unwrap_or_default()))
    }
}
