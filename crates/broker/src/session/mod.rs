//! Incremental fetch sessions (KIP-227).
//!
//! A client that fetches the same partitions again and again names them once. The broker keeps the list, the client
//! sends what changed in it, and the answer carries only partitions that have something new. So an idle fetch of ten
//! thousand partitions is a few bytes each way.
//!
//! # Order of calls
//!
//! 1. [`FetchSessions::begin`] with what the request says. It gives a [`SessionFetch`], whose partitions are to be read
//!    in their order, or the error that the whole request is answered with.
//! 2. The fetch may wait; nothing is locked meanwhile.
//! 3. [`SessionFetch::answer`] with one [`Report`] per partition, in the same order, says which of them go into the
//!    answer, and under which session id. A fetch that is never answered may simply be dropped.
//!
//! # Rules
//!
//! - Epoch 0 asks for a new session, -1 for none; both end the session named. The answer to epoch 0 has the new id, or
//!   0 if there is no room. Each further request must carry the next epoch: 1, 2, up to 2^31-1, and then 1 again.
//! - A new session makes room by evicting one unused for two minutes, or else the least valuable one that it may evict
//!   and that is worth less than itself. Worth is being a follower's, then the number of partitions. A follower's
//!   session may evict any consumer's; beyond that, only sessions that are two minutes old can be evicted.
//! - A partition is in an incremental answer if it has records, an error, a new high watermark or log start, or
//!   something else to tell (a preferred replica, a diverging epoch). After an error it is told again.
//! - Partitions that had records move to the end, so that a full answer does not starve those behind.

mod cache;
mod partitions;

use std::hash::Hash;
use std::sync::Arc;

use highwater_types::ErrorCode;
use parking_lot::Mutex;

use cache::Cache;
pub use partitions::Report;
use partitions::{Place, SessionPartitions};

/// Session id and epoch of a request, and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// As on the wire; 0 for none.
    pub session_id: i32,
    /// As on the wire; 0 asks for a new session, -1 for none.
    pub epoch: i32,
    /// Whether the request names topics by id (Fetch 13 and later).
    pub uses_topic_ids: bool,
    /// Whether a follower sent it; its session is worth more than a consumer's.
    pub from_follower: bool,
}

/// Why a request does not fit its session. The whole answer carries this error and no partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session was evicted, or never was. The client starts a new one.
    #[error("no fetch session has this id")]
    IdNotFound,
    /// A request was lost or repeated. The client starts a new session.
    #[error("the fetch session is at another epoch")]
    InvalidEpoch,
    /// The session was made with topic ids and the request has names, or the other way round.
    #[error("the fetch session and the request name topics differently")]
    TopicIdMismatch,
}

impl SessionError {
    /// The code that the client is answered with.
    #[must_use]
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::IdNotFound => ErrorCode::FetchSessionIdNotFound,
            Self::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
            Self::TopicIdMismatch => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

type Random = Box<dyn FnMut() -> u32 + Send>;
type Shared<K, P> = Arc<Mutex<Session<K, P>>>;

/// The fetch sessions of a broker, by id. `K` names a partition, `P` is what a client wants of it.
pub struct FetchSessions<K, P> {
    cache: Mutex<Cache<Shared<K, P>>>,
    random: Mutex<Random>,
}

struct Session<K, P> {
    epoch: i32,
    uses_topic_ids: bool,
    partitions: SessionPartitions<K, P>,
}

/// One fetch, with or without a session.
#[derive(Debug)]
pub struct SessionFetch<K, P> {
    wanted: Vec<(K, P)>,
    kind: Kind<K, P>,
}

enum Kind<K, P> {
    Sessionless,
    /// A session is made for it when it is answered.
    First {
        request: SessionRequest,
    },
    /// One place in the session for each partition wanted.
    Incremental {
        session_id: i32,
        session: Shared<K, P>,
        places: Vec<Place>,
    },
}

impl<K, P> std::fmt::Debug for Kind<K, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sessionless => f.write_str("Sessionless"),
            Self::First { request } => f.debug_struct("First").field("request", request).finish(),
            Self::Incremental { session_id, .. } => write!(f, "Incremental {{ session_id: {session_id} }}"),
        }
    }
}

/// What goes into the answer to a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAnswer {
    /// Session id of the answer; 0 for none.
    pub session_id: i32,
    /// `None`: all partitions.
    included: Option<Vec<bool>>,
}

impl SessionAnswer {
    /// Whether the partition at `index` of [`SessionFetch::wanted`] goes into the answer.
    #[must_use]
    pub fn includes(&self, index: usize) -> bool {
        self.included.as_ref().is_none_or(|included| included.get(index).copied().unwrap_or(false))
    }
}

/// Epoch of a request that asks for a new session.
const EPOCH_INITIAL: i32 = 0;
/// Epoch of a request that wants no session.
const EPOCH_FINAL: i32 = -1;

impl<K: Clone + Eq + Hash, P: Clone> FetchSessions<K, P> {
    /// Room for `slots_max` sessions (`max.incremental.fetch.session.cache.slots`), with ids drawn from `random`.
    #[must_use]
    pub fn new(slots_max: usize, random: impl FnMut() -> u32 + Send + 'static) -> Self {
        Self { cache: Mutex::new(Cache::new(slots_max)), random: Mutex::new(Box::new(random)) }
    }

    /// Begins a fetch: applies the request's changes to its session, if it has one.
    ///
    /// `wanted` and `forgotten` are the request's partitions and forgotten topics. `now_ms` is a time that does not go
    /// backwards. Costs what the number of the session's partitions costs to copy.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the request does not fit its session, which stays as it was.
    pub fn begin(
        &self,
        request: SessionRequest,
        wanted: Vec<(K, P)>,
        forgotten: impl IntoIterator<Item = K>,
        now_ms: u64,
    ) -> Result<SessionFetch<K, P>, SessionError> {
        if request.epoch == EPOCH_INITIAL || request.epoch == EPOCH_FINAL {
            if request.session_id != 0 {
                self.cache.lock().remove(request.session_id);
            }
            let kind = if request.epoch == EPOCH_FINAL { Kind::Sessionless } else { Kind::First { request } };
            return Ok(SessionFetch { wanted, kind });
        }
        let session = self.cache.lock().get(request.session_id).cloned().ok_or(SessionError::IdNotFound)?;
        let mut locked = session.lock();
        if locked.epoch != request.epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if locked.uses_topic_ids != request.uses_topic_ids {
            return Err(SessionError::TopicIdMismatch);
        }
        locked.partitions.update(wanted, forgotten);
        if locked.partitions.is_empty() {
            self.cache.lock().remove(request.session_id);
            return Ok(SessionFetch { wanted: Vec::new(), kind: Kind::Sessionless });
        }
        locked.epoch = next_epoch(locked.epoch);
        self.cache.lock().touch(request.session_id, locked.partitions.len(), now_ms);
        let (wanted, places) = locked.partitions.in_order();
        drop(locked);
        Ok(SessionFetch { wanted, kind: Kind::Incremental { session_id: request.session_id, session, places } })
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.lock().len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn create(&self, request: SessionRequest, partitions: SessionPartitions<K, P>, now_ms: u64) -> i32 {
        let size = partitions.len();
        let session = Session { epoch: next_epoch(EPOCH_INITIAL), uses_topic_ids: request.uses_topic_ids, partitions };
        let random = (self.random.lock())();
        let mut cache = self.cache.lock();
        cache.insert(Arc::new(Mutex::new(session)), request.from_follower, size, random, now_ms).unwrap_or(0)
    }
}

impl<K: Clone + Eq + Hash, P: Clone> SessionFetch<K, P> {
    /// What to read, in this order.
    #[must_use]
    pub fn wanted(&self) -> &[(K, P)] {
        &self.wanted
    }

    /// Decides what the answer holds, given what reading the partitions found, and remembers it.
    ///
    /// Call once, when the answer is certain. `reports` are in the order of [`wanted`](Self::wanted).
    ///
    /// # Panics
    ///
    /// If there is not one report for each partition wanted.
    #[must_use]
    pub fn answer(self, sessions: &FetchSessions<K, P>, reports: &[Report], now_ms: u64) -> SessionAnswer {
        assert_eq!(reports.len(), self.wanted.len(), "one report for each partition wanted");
        match self.kind {
            Kind::Sessionless => SessionAnswer { session_id: 0, included: None },
            Kind::First { .. } if self.wanted.is_empty() => SessionAnswer { session_id: 0, included: None },
            Kind::First { request } => {
                let partitions = SessionPartitions::new(self.wanted, reports);
                let session_id = sessions.create(request, partitions, now_ms);
                SessionAnswer { session_id, included: None }
            }
            Kind::Incremental { session_id, session, places } => {
                let included = session.lock().partitions.report(&places, reports);
                SessionAnswer { session_id, included: Some(included) }
            }
        }
    }
}

impl<K, P> std::fmt::Debug for FetchSessions<K, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchSessions").finish_non_exhaustive()
    }
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;
