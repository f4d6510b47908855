//! From a coordinator's records to the partition's log.

use std::sync::Arc;

use highwater_coordinator::Append;
use highwater_group::GroupRecord;
use highwater_log::{AppendOrigin, AppendSet};
use highwater_records::{BatchBuilder, BatchOptions, Compression};
use highwater_replication::leader::Acks;
use highwater_types::{ErrorCode, Offset, TimestampMs};

use super::Services;
use super::codec;
use crate::api::ToCode;
use crate::partition::Partition;

/// Buffers that the appends of one coordinator reuse.
pub(super) struct Buffers {
    builder: BatchBuilder,
    key: Vec<u8>,
    value: Vec<u8>,
    batch: Vec<u8>,
}

/// Where records were appended.
pub(super) struct Appended {
    pub(super) first: Offset,
    /// Everything before this is committed.
    pub(super) high_watermark: Offset,
}

impl Buffers {
    pub(super) fn new() -> Self {
        let builder = BatchBuilder::new(BatchOptions::default());
        Self { builder, key: Vec::new(), value: Vec::new(), batch: Vec::new() }
    }

    /// Appends the records as one batch, if the partition is led in the term in which they were decided.
    ///
    /// # Errors
    ///
    /// The code to answer. Nothing has been appended then.
    pub(super) fn append(
        &mut self,
        partition: &Arc<Partition>,
        append: &Append<GroupRecord>,
        compression: Compression,
        now: TimestampMs,
        services: &Services,
    ) -> Result<Appended, ErrorCode> {
        self.encode(&append.records, compression, now)?;
        let mut locked = partition.lock_leader().map_err(|error| error.to_code())?;
        if locked.leader_epoch() != append.epoch {
            return Err(ErrorCode::NotCoordinator);
        }
        locked.admit(Acks::All).map_err(|error| error.to_code())?;
        let mut sets = [AppendSet::new(&mut self.batch, AppendOrigin::Coordinator)];
        let due_flush = locked.append(&mut sets, now).map_err(|error| error.to_code())?;
        let [set] = &mut sets;
        let info = set.take_result().map_err(|error| error.error_code());
        let high_watermark = locked.log().high_watermark();
        drop(locked);
        if let Some(task) = due_flush {
            services.syncs.submit(partition, task);
        }
        partition.wake_watchers(&services.wakers);
        self.give_back();
        Ok(Appended { first: info?.base_offset, high_watermark })
    }

    fn encode(&mut self, records: &[GroupRecord], compression: Compression, now: TimestampMs) -> Result<(), ErrorCode> {
        let Self { builder, key, value, batch } = self;
        builder.clear(BatchOptions { compression, ..BatchOptions::default() });
        batch.clear();
        let too_large = ErrorCode::RecordListTooLarge;
        for record in records {
            key.clear();
            value.clear();
            let has_value = codec::encode(record, key, value).map_err(|_| too_large)?;
            builder.append(now.value(), Some(key), has_value.then_some(value), &[]).map_err(|_| too_large)?;
        }
        builder.finish_into(batch).map_err(|_| too_large)
    }

    /// Large steps are rare: what they needed is not kept.
    fn give_back(&mut self) {
        if KEPT_BYTES_MAX < self.batch.capacity() {
            *self = Self::new();
        }
    }
}

const KEPT_BYTES_MAX: usize = 64 * 1024;
