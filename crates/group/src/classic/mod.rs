//! Groups of the classic protocol.

use std::sync::Arc;

use highwater_coordinator::{Now, Reply};
use highwater_types::ErrorCode;

use crate::record::ClassicGroupValue;
use crate::response::Response;
use crate::shard::Turn;

/// A group whose members join and sync.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
}

/// What a classic group has changed in its soft state together with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicEffect {
    group: Arc<str>,
}

impl ClassicEffect {
    pub(crate) fn group(&self) -> &Arc<str> {
        &self.group
    }
}

impl ClassicGroup {
    pub(crate) fn new(id: Arc<str>, _now: Now) -> Self {
        Self { id }
    }

    /// Takes the state of a record: at replay all of it, on the leader what it had decided.
    pub(crate) fn apply(&mut self, _now: Now, _value: ClassicGroupValue) {}

    pub(crate) fn appended(&mut self, _now: Now, _effect: ClassicEffect) {}

    pub(crate) fn append_failed(&mut self, _turn: &mut Turn<'_>, _effect: ClassicEffect, _error: ErrorCode) {}

    pub(crate) fn resign(&mut self, _error: ErrorCode, _replies: &mut Vec<Reply<Response>>) {}
}
