//! Groups of the consumer protocol (KIP-848).

use std::sync::Arc;

use highwater_coordinator::{Now, Reply};
use highwater_types::ErrorCode;

use crate::record::GroupRecord;
use crate::response::Response;
use crate::shard::Corrupt;

/// A group whose members heartbeat, and whose partitions the coordinator assigns.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    id: Arc<str>,
}

impl ConsumerGroup {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self { id }
    }

    /// Applies one of the records of this group.
    pub(crate) fn apply(&mut self, _now: Now, _record: GroupRecord) -> Result<(), Corrupt> {
        Ok(())
    }

    pub(crate) fn resign(&mut self, _error: ErrorCode, _replies: &mut Vec<Reply<Response>>) {}
}
