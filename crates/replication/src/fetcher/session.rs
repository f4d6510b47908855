//! The fetcher's end of a fetch session (KIP-227): only what has changed is said again.

use super::{FetchResponse, PartitionKey};
use crate::follower::{FetchDue, FetchPosition};
use highwater_types::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};

/// Name that the leader's broker gave to a session. On the wire 0 means none, which is `None` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u32);

/// A fetch request, but for what is the same in all of them (broker id and epoch, waiting time, sizes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The session. With `session_epoch` 0, one that ends.
    pub session_id: Option<SessionId>,
    /// Number of the request in its session, from 1; 0 asks for a new session, in which the request names
    /// every partition.
    pub session_epoch: u32,
    /// Partitions to fetch, first those that have waited longest for records. With `session_epoch` above 0
    /// only those that are new in the session or whose position is not the one said last.
    pub partitions: Vec<(PartitionKey, FetchPosition)>,
    /// Partitions of the session that are not to be fetched for now.
    pub forgotten: Vec<PartitionKey>,
}

/// What the leader's broker knows of what is fetched, and as what.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: Option<SessionId>,
    /// Number of the next request.
    epoch: u32,
    /// What the next request takes as known, and what the last one asked for.
    positions: BTreeMap<PartitionKey, FetchPosition>,
}

/// The answer is of no use, and the next request asks for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionLost;

impl Session {
    /// The request that fetches exactly `ready`.
    pub(super) fn request(&mut self, ready: &[(PartitionKey, FetchDue)]) -> FetchRequest {
        if ready.iter().any(|(key, due)| due.needs_marks && self.positions.contains_key(key)) {
            self.broken();
        }
        let mut ready: Vec<(PartitionKey, FetchPosition)> =
            ready.iter().map(|(key, due)| (*key, due.position)).collect();
        let positions: BTreeMap<PartitionKey, FetchPosition> = ready.iter().copied().collect();
        let mut forgotten = Vec::new();
        if 0 < self.epoch {
            ready.retain(|(key, position)| self.positions.get(key) != Some(position));
            forgotten.extend(self.positions.keys().filter(|key| !positions.contains_key(key)));
        }
        self.positions = positions;
        FetchRequest { session_id: self.id, session_epoch: self.epoch, partitions: ready, forgotten }
    }

    /// Takes note of the answer to the last request.
    pub(super) fn answered(&mut self, response: &FetchResponse<'_>) -> Result<(), SessionLost> {
        match response.error {
            ErrorCode::None => {}
            ErrorCode::FetchSessionIdNotFound => return self.lost(None),
            _ => return self.lost(self.id),
        }
        let keys: BTreeSet<&PartitionKey> = response.partitions.iter().map(|(key, _)| key).collect();
        let asked_for = keys.iter().all(|key| self.positions.contains_key(key));
        let complete = 0 < self.epoch || keys.len() == self.positions.len();
        if !asked_for || !complete || keys.len() < response.partitions.len() {
            return self.lost(self.id);
        }
        match (self.epoch, response.session_id) {
            // No session was made, or it has ended: the answer stands all the same.
            (_, None) => self.start(None),
            (0, id) => (self.id, self.epoch) = (id, 1),
            (_, id) if id != self.id => return self.lost(None),
            (EPOCH_MAX, _) => self.epoch = 1,
            _ => self.epoch += 1,
        }
        Ok(())
    }

    /// Nothing is known of what became of the last request, or what the other side takes as told was not heard.
    pub(super) fn broken(&mut self) {
        // Naming the old session lets the other side end it.
        self.start(self.id);
    }

    /// What the last request asked for.
    pub(super) fn position(&self, key: &PartitionKey) -> Option<FetchPosition> {
        self.positions.get(key).copied()
    }

    fn lost(&mut self, id: Option<SessionId>) -> Result<(), SessionLost> {
        self.start(id);
        Err(SessionLost)
    }

    fn start(&mut self, id: Option<SessionId>) {
        (self.id, self.epoch) = (id, 0);
    }
}

/// The largest number of a request on the wire; after it comes 1.
const EPOCH_MAX: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests {
    use super::{EPOCH_MAX, FetchResponse, Session, SessionId};
    use highwater_types::ErrorCode;

    #[test]
    fn the_largest_request_number_is_followed_by_one() {
        let mut session = Session { id: Some(SessionId(7)), epoch: EPOCH_MAX, ..Session::default() };
        let response = FetchResponse { error: ErrorCode::None, session_id: Some(SessionId(7)), partitions: &[] };
        assert_eq!(session.request(&[]).session_epoch, EPOCH_MAX);
        assert_eq!(session.answered(&response), Ok(()));
        assert_eq!(session.request(&[]).session_epoch, 1);
    }
}
