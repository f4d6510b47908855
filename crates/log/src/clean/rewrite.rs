//! Writing what is kept of a batch (storage format, section 19.4).

use highwater_records::{
    BatchBuilder, BatchOptions, BatchView, BuildError, Compression, DecompressLimit, Entry, LegacyMessage,
    ProducerStamp, RecordError, RecordView, TimestampType, retained_empty,
};

use super::retain::{BatchRule, Retention};

/// Filters and rewrites batches, one at a time, into a buffer of the caller's.
///
/// Holds the memory for one decompressed batch and one that is being written, and keeps it from batch to batch.
#[derive(Debug)]
pub(super) struct Rewriter {
    builder: BatchBuilder,
    payload: Vec<u8>,
    /// For each record of the batch at hand, whether it stays.
    kept: Vec<bool>,
    limit: DecompressLimit,
}

/// Records that a batch had and has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) records_read: u64,
    pub(super) records_kept: u64,
}

/// Why a batch cannot be rewritten: the data is at fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum RewriteError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Rewriter {
    pub(super) fn new(limit: DecompressLimit) -> Self {
        Self { builder: BatchBuilder::new(BatchOptions::default()), payload: Vec::new(), kept: Vec::new(), limit }
    }

    /// Appends to `out` what the rules keep of a v2 batch: all of it as it is, some of it rewritten, its header, or
    /// nothing.
    pub(super) fn rewrite_batch(
        &mut self,
        batch: &BatchView<'_>,
        rule: BatchRule,
        retention: &Retention<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Rewritten, RewriteError> {
        let mut count = Rewritten::default();
        let mut has_tombstone = false;
        if rule.discards {
            count.records_read = u64::try_from(batch.count()).unwrap_or(0);
        } else {
            let keeps_tombstones = retention.keeps_tombstones(batch);
            let payload = payload(batch, &mut self.payload, self.limit)?;
            self.kept.clear();
            for record in batch.records_in(payload)? {
                let record = record?;
                let keeps = batch.is_control() || retention.keeps(&record, keeps_tombstones);
                self.kept.push(keeps);
                count.records_read += 1;
                count.records_kept += u64::from(keeps);
                has_tombstone |= keeps && record.value.is_none();
            }
        }
        if count.records_kept == 0 {
            if rule.keeps_header {
                out.extend_from_slice(&retained_empty(batch));
            }
            return Ok(count);
        }
        let old_horizon = batch.delete_horizon();
        let needs_horizon = (has_tombstone || rule.idle_marker) && old_horizon.is_none();
        if count.records_kept == count.records_read && !needs_horizon {
            out.extend_from_slice(batch.bytes());
            return Ok(count);
        }
        let delete_horizon = if needs_horizon { Some(retention.new_horizon()) } else { old_horizon };
        self.rebuild(batch, delete_horizon, out)?;
        Ok(count)
    }

    /// Writes a batch anew with the records marked as kept.
    fn rebuild(
        &mut self,
        batch: &BatchView<'_>,
        delete_horizon: Option<i64>,
        out: &mut Vec<u8>,
    ) -> Result<(), RewriteError> {
        let append_time = match batch.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(batch.max_timestamp()),
        };
        self.builder.clear(BatchOptions {
            base_offset: batch.base_offset(),
            leader_epoch: batch.leader_epoch(),
            compression: Compression::new(batch.codec()?),
            append_time,
            producer: batch.producer(),
            transactional: batch.is_transactional(),
            control: batch.is_control(),
            delete_horizon,
        });
        let payload = if batch.codec()?.is_compressed() { &self.payload } else { batch.payload() };
        for (record, _) in batch.records_in(payload)?.zip(&self.kept).filter(|(_, kept)| **kept) {
            self.builder.append_record(&record?)?;
        }
        // Offsets and sequences of the batch go on to say what it was written with.
        self.builder.set_last_offset(batch.last_offset())?;
        self.builder.finish_into(out)?;
        Ok(())
    }

    /// Appends to `out` what the rules keep of a v0 or v1 message or wrapper, as a v2 batch, or nothing.
    pub(super) fn rewrite_legacy(
        &mut self,
        message: &LegacyMessage<'_>,
        keeps_tombstones: bool,
        retention: &Retention<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Rewritten, RewriteError> {
        let mut count = Rewritten::default();
        let append_time = match message.timestamp_type() {
            Some(TimestampType::LogAppendTime) => Some(message.timestamp()),
            Some(TimestampType::CreateTime) | None => None,
        };
        let options = BatchOptions {
            compression: Compression::new(message.codec()?),
            append_time,
            producer: ProducerStamp::NONE,
            ..BatchOptions::default()
        };
        // A horizon changes how the first record is written, so tombstones are looked for before.
        let is_kept_tombstone = |r: &RecordView<'_>| r.value.is_none() && retention.keeps(r, keeps_tombstones);
        let has_tombstone = self.any_legacy(message, is_kept_tombstone)?;
        let delete_horizon = has_tombstone.then(|| retention.new_horizon());
        let mut records = Entry::Legacy(*message).records(self.limit)?;
        while let Some(record) = records.next_record()? {
            count.records_read += 1;
            if !retention.keeps(&record, keeps_tombstones) {
                continue;
            }
            if count.records_kept == 0 {
                self.builder.clear(BatchOptions { base_offset: record.offset, delete_horizon, ..options });
            }
            self.builder.append_record(&record)?;
            count.records_kept += 1;
        }
        if count.records_kept > 0 {
            self.builder.finish_into(out)?;
        }
        Ok(count)
    }

    fn any_legacy(
        &self,
        message: &LegacyMessage<'_>,
        is_wanted: impl Fn(&RecordView<'_>) -> bool,
    ) -> Result<bool, RewriteError> {
        let mut records = Entry::Legacy(*message).records(self.limit)?;
        while let Some(record) = records.next_record()? {
            if is_wanted(&record) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The records of a batch as bytes, decompressed into `buffer` where they are compressed.
fn payload<'a>(
    batch: &BatchView<'a>,
    buffer: &'a mut Vec<u8>,
    limit: DecompressLimit,
) -> Result<&'a [u8], RecordError> {
    buffer.clear();
    if batch.count() == 0 || !batch.codec()?.is_compressed() {
        return Ok(batch.payload());
    }
    batch.decompress(limit, buffer)?;
    Ok(buffer)
}
