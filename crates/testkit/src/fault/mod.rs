//! Faults by script: which requests fail, and how.
//!
//! The broker asks [`Faults`] about each request before it serves it, on its event loop. A proxy between clients and
//! brokers could do the same without a seam in the broker, at the price of a thread for each connection, a copy of all
//! bytes, and another port than the broker's.

mod answer;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_broker::{Intercepted, Interposer, Verdict};
use highwater_types::ErrorCode;
use highwater_wire::ApiKey;
use parking_lot::{Condvar, Mutex};

use request::Request;

/// Which requests a fault is for: all of one API, unless more is said.
///
/// ```
/// use highwater_testkit::{ApiKey, On};
///
/// let twice = On::api(ApiKey::Produce).topic("orders").node(1).times(2);
/// # let _ = twice;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct On {
    api: ApiKey,
    topic: Option<String>,
    node: Option<u32>,
    times: Option<u64>,
}

/// What happens to such a request instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// It is not carried out, and answered with this error wherever clients look for one: for each partition that it
    /// names where the answer has partitions, else for the whole. A produce request that wants no answer (`acks=0`) ends
    /// its connection, as on any broker.
    Error(ErrorCode),
    /// It is carried out after this pause. Later requests of the connection wait too.
    Delay(Duration),
    /// It is not carried out, and the connection ends.
    Close,
    /// It is carried out, and the connection ends: the answer is lost.
    CloseAfter,
    /// It is not carried out, and neither it nor any later request of the connection is ever answered. The connection
    /// stays open.
    Drop,
}

/// Why a fault cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// Its answers have no place for an error, or the kit does not know it.
    #[error("{api:?} cannot be answered with an error")]
    NoErrorAnswer {
        /// The API.
        api: ApiKey,
    },
    /// Its requests name no topics, or the kit does not read them.
    #[error("requests of {api:?} are not told apart by topic")]
    NoTopics {
        /// The API.
        api: ApiKey,
    },
}

/// A fault that has been set up. It stays when this is dropped.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    fault: Arc<Fault>,
    faults: Arc<List>,
}

/// The faults of an embedded broker.
#[derive(Debug)]
pub(crate) struct Faults {
    list: Arc<List>,
    /// The ports of all nodes, for answers that tell where they are.
    addresses: BTreeMap<u32, u16>,
}

type List = Mutex<Vec<Arc<Fault>>>;

#[derive(Debug)]
struct Fault {
    on: On,
    reply: Reply,
    hits: Mutex<u64>,
    hit: Condvar,
}

impl On {
    /// All requests of this API.
    #[must_use]
    pub fn api(api: ApiKey) -> Self {
        Self { api, topic: None, node: None, times: None }
    }

    /// Only those that name this topic.
    #[must_use]
    pub fn topic(self, name: impl Into<String>) -> Self {
        Self { topic: Some(name.into()), ..self }
    }

    /// Only those to this node.
    #[must_use]
    pub fn node(self, node: u32) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Only the first `count` of them.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { times: Some(count), ..self }
    }
}

impl FaultHandle {
    /// How many requests it has hit.
    #[must_use]
    pub fn hits(&self) -> u64 {
        *self.fault.hits.lock()
    }

    /// Waits until it has hit `count` requests, for `timeout` at most. Whether it has.
    #[must_use]
    pub fn wait_for_hits(&self, count: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut hits = self.fault.hits.lock();
        while *hits < count {
            if self.fault.hit.wait_until(&mut hits, deadline).timed_out() {
                return count <= *hits;
            }
        }
        true
    }

    /// Takes it away. Requests that it has delayed already stay delayed, connections that it has silenced stay silent.
    pub fn remove(&self) {
        self.faults.lock().retain(|fault| !Arc::ptr_eq(fault, &self.fault));
    }
}

impl Faults {
    pub(crate) fn new(addresses: BTreeMap<u32, u16>) -> Self {
        Self { list: Arc::default(), addresses }
    }

    pub(crate) fn add(&self, on: On, reply: Reply) -> Result<FaultHandle, FaultError> {
        if matches!(reply, Reply::Error(_)) && !answer::ANSWERED.contains(&on.api) {
            return Err(FaultError::NoErrorAnswer { api: on.api });
        }
        if on.topic.is_some() && !request::WITH_TOPICS.contains(&on.api) {
            return Err(FaultError::NoTopics { api: on.api });
        }
        let fault = Arc::new(Fault { on, reply, hits: Mutex::new(0), hit: Condvar::new() });
        self.list.lock().push(Arc::clone(&fault));
        Ok(FaultHandle { fault, faults: Arc::clone(&self.list) })
    }

    fn decide(&self, intercepted: &Intercepted<'_>) -> Option<Verdict> {
        let candidates: Vec<Arc<Fault>> = self.list.lock().clone();
        if candidates.is_empty() || intercepted.is_for_controllers() {
            return None;
        }
        let request = Request::read(intercepted)?;
        if request.is_of_the_cluster() {
            return None;
        }
        candidates.iter().find_map(|fault| self.apply(fault, intercepted, &request))
    }

    /// What becomes of the request by one fault; `None` if it is not for it.
    fn apply(&self, fault: &Fault, intercepted: &Intercepted<'_>, request: &Request<'_>) -> Option<Verdict> {
        let on = &fault.on;
        let names_it = |topic: &String| request.topics(intercepted).iter().any(|name| name == topic);
        let fits = on.api == request.key
            && on.node.is_none_or(|node| intercepted.node().value() == node)
            && on.topic.as_ref().is_none_or(names_it);
        if !fits {
            return None;
        }
        let verdict = match &fault.reply {
            Reply::Error(code) => answer::error(request, *code, &self.addresses)?,
            Reply::Delay(pause) => Verdict::Delay(*pause),
            Reply::Close => Verdict::Close,
            Reply::CloseAfter => Verdict::ServeAndClose,
            Reply::Drop => Verdict::Ignore,
        };
        let mut hits = fault.hits.lock();
        if on.times.is_some_and(|times| times <= *hits) {
            return None;
        }
        *hits += 1;
        fault.hit.notify_all();
        Some(verdict)
    }
}

impl Interposer for Faults {
    fn intercept(&self, request: &Intercepted<'_>) -> Verdict {
        self.decide(request).unwrap_or_default()
    }
}
