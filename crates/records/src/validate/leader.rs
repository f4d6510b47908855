//! Validation by the leader of a partition, and the assignment of offsets.

use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::check::{RecordCheck, TimeCheck};
use super::{BatchFault, Depth, LeaderRules, Origin, ValidateError};
use crate::batch::{BatchBuilder, BatchMut, BatchOptions, BatchView, ProducerStamp};
use crate::legacy::LegacyMessage;
use crate::set::{Entry, RecordSet};
use crate::{Codec, Compression, RecordError, TimestampType};

/// What validation found, and what is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The batch written anew, if it had to be; else the input is to be appended as it now is.
    pub rebuilt: Option<Vec<u8>>,
    /// Bytes of the input that hold whole entries: what follows them is dropped.
    pub input_size: usize,
    /// Largest timestamp of the records in milliseconds, the time of append on LogAppendTime topics; `-1` for
    /// none.
    pub max_timestamp: i64,
    /// Number of records, and of the offsets they take.
    pub records: u32,
    /// The time of append in milliseconds, if the topic has records show that.
    pub append_time: Option<i64>,
}

impl Validated {
    /// The bytes to append: of the rebuilt batch, or of `input`, which must be what was validated.
    #[must_use]
    pub fn bytes_mut<'a>(&'a mut self, input: &'a mut [u8]) -> &'a mut [u8] {
        match &mut self.rebuilt {
            Some(batch) => batch,
            None => &mut input[..self.input_size],
        }
    }
}

/// Validates what a client or coordinator sent for one partition, all but the offsets.
///
/// Needs nothing of the partition but its rules, so it can run before the partition's lock is taken; under the
/// lock, [`assign`] stamps offsets and leader epoch, for twelve bytes of work.
///
/// Reads the batch once for its checksum and, if it is not compressed, once more for its records. Compressed
/// batches are decompressed only where [`Depth`] or a rule asks for it. May change timestamp type, largest
/// timestamp and checksum in `bytes`. Allocates only for rejected records, decompression and rebuilding.
///
/// An input without a single whole entry is accepted as nothing where messages of old formats are allowed,
/// as Kafka does, and refused otherwise.
///
/// # Errors
///
/// [`ValidateError`]; nothing may be appended then.
pub fn validate(bytes: &mut [u8], rules: &LeaderRules, now: TimestampMs) -> Result<Validated, ValidateError> {
    let set = Survey::of(bytes, rules)?;
    let append_time = match rules.timestamp_type {
        TimestampType::CreateTime => None,
        TimestampType::LogAppendTime => Some(now.value()),
    };
    let leader = Leader { rules, now, append_time };
    match set.first {
        None => Ok(Validated { rebuilt: None, input_size: 0, max_timestamp: -1, records: 0, append_time }),
        Some(First::Legacy { codec }) => leader.convert(&bytes[..set.size], codec, set.size),
        Some(First::Batch) => leader.batch(&mut bytes[..set.size]),
    }
}

/// Gives a validated batch its place in the log: base offset and leader epoch.
///
/// Returns the offset after it. Touches twelve bytes, none of them under the checksum.
///
/// # Errors
///
/// Those of [`BatchView::parse`], and [`RecordError::RecordCount`] if the offsets would leave the range of
/// 2^63-1; `batch` is then unchanged.
pub fn assign(batch: &mut [u8], next_offset: Offset, leader_epoch: LeaderEpoch) -> Result<Offset, RecordError> {
    let mut batch = BatchMut::parse(batch)?;
    let delta = batch.header().last_offset_delta();
    let end = u64::try_from(i64::from(delta) + 1).ok().and_then(|records| next_offset.checked_plus(records));
    let Some(end) = end else {
        return Err(RecordError::RecordCount { count: delta, payload: batch.view().payload().len() as u64 });
    };
    batch.set_base_offset(next_offset.to_wire());
    batch.set_leader_epoch(leader_epoch.to_wire());
    Ok(end)
}

/// [`validate`] and [`assign`] in one: for callers that hold the partition anyway.
///
/// # Errors
///
/// Those of both.
pub fn validate_and_assign(
    bytes: &mut [u8],
    rules: &LeaderRules,
    now: TimestampMs,
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Result<Validated, ValidateError> {
    let mut validated = validate(bytes, rules, now)?;
    if validated.records != 0 {
        assign(validated.bytes_mut(bytes), next_offset, leader_epoch)?;
    }
    Ok(validated)
}

/// What a look at the heads of all entries tells.
struct Survey {
    first: Option<First>,
    /// Bytes of the whole entries.
    size: usize,
}

enum First {
    Batch,
    /// One wrapper, or any number of messages that are not compressed.
    Legacy {
        codec: Codec,
    },
}

impl Survey {
    /// Checks size, checksum and codec of each entry, and which formats there are and how many.
    fn of(bytes: &[u8], rules: &LeaderRules) -> Result<Self, ValidateError> {
        let mut entries = RecordSet::new(bytes).entries();
        let mut first: Option<(u8, Codec)> = None;
        while let Some(entry) = entries.next().transpose()? {
            let codec = check_entry(&entry, rules)?;
            let magic = entry.magic();
            match first {
                None => first = Some((magic, codec)),
                Some((first, _)) if first != magic => return Err(BatchFault::MixedMagic { first, magic }.into()),
                Some((first_magic, first_codec)) => {
                    if first_magic == 2 || first_codec.is_compressed() || codec.is_compressed() {
                        return Err(BatchFault::NotAlone.into());
                    }
                }
            }
        }
        let size = entries.position();
        let first = match first {
            None if rules.legacy_allowed => None,
            None => return Err(BatchFault::NoBatch.into()),
            Some((2, _)) => Some(First::Batch),
            Some((magic, _)) if !rules.legacy_allowed => return Err(BatchFault::OldMagic { magic }.into()),
            Some((_, codec)) => Some(First::Legacy { codec }),
        };
        Ok(Self { first, size })
    }
}

fn check_entry(entry: &Entry<'_>, rules: &LeaderRules) -> Result<Codec, ValidateError> {
    if rules.size_max < entry.size() {
        return Err(ValidateError::TooLarge { size: entry.size(), limit: rules.size_max });
    }
    if !rules.crc_checked {
        entry.check_crc()?;
    }
    let codec = entry.codec()?;
    if codec == Codec::Zstd && !rules.zstd_allowed {
        return Err(ValidateError::CodecNotAllowed { codec });
    }
    Ok(codec)
}

/// The rules at one moment.
struct Leader<'r> {
    rules: &'r LeaderRules,
    now: TimestampMs,
    append_time: Option<i64>,
}

impl Leader<'_> {
    fn batch(&self, bytes: &mut [u8]) -> Result<Validated, ValidateError> {
        let batch = BatchView::parse(bytes)?;
        self.check_header(&batch)?;
        let source = batch.codec()?;
        let target = self.rules.codec.of(source);
        // Markers stay as they are whatever the topic compresses with: readers look into them unasked.
        let stays = source == target.codec() || source == Codec::None && batch.is_control();
        if !stays {
            return self.rebuild(&batch, target);
        }
        let (records, max_timestamp) = if source == Codec::None {
            self.walk(&batch)?
        } else if self.rules.depth == Depth::Full || self.rules.compacted {
            self.walk_compressed(&batch)?
        } else {
            self.trust(&batch)?
        };
        let max_timestamp = self.append_time.unwrap_or(max_timestamp);
        let input_size = bytes.len();
        BatchMut::parse(bytes)?.set_max_timestamp(self.rules.timestamp_type, max_timestamp);
        Ok(Validated { rebuilt: None, input_size, max_timestamp, records, append_time: self.append_time })
    }

    /// What the header alone can get wrong.
    fn check_header(&self, batch: &BatchView<'_>) -> Result<(), BatchFault> {
        let (base_offset, count) = (batch.base_offset(), batch.count());
        let last_offset_delta = batch.last_offset_delta();
        let expected = i64::from(last_offset_delta) + 1;
        if base_offset != 0 {
            return Err(BatchFault::BaseOffset { base_offset });
        }
        if last_offset_delta < 0 {
            return Err(BatchFault::OffsetRange { last_offset_delta });
        }
        if i64::from(count) != expected {
            return Err(BatchFault::Count { count, expected });
        }
        if self.rules.origin == Origin::Coordinator {
            return Ok(());
        }
        let (producer_id, base_sequence) = (batch.producer_id(), batch.base_sequence());
        if batch.is_control() {
            return Err(BatchFault::Control);
        }
        if -1 < producer_id && base_sequence < 0 {
            return Err(BatchFault::Sequence { producer_id, base_sequence });
        }
        Ok(())
    }

    /// Walks records that are not compressed. Their offset deltas are not looked at, as Kafka does not.
    fn walk(&self, batch: &BatchView<'_>) -> Result<(u32, i64), ValidateError> {
        let mut check = RecordCheck::new(self.rules, batch.timestamp_type(), self.now);
        for record in batch.records_in(batch.payload())? {
            check.see(&record?);
        }
        let seen = check.finish()?;
        Ok((seen.count, seen.max_timestamp))
    }

    /// Decompresses and walks records whose batch stays as it is, so that their offsets must be right.
    fn walk_compressed(&self, batch: &BatchView<'_>) -> Result<(u32, i64), ValidateError> {
        let mut check = RecordCheck::new(self.rules, batch.timestamp_type(), self.now);
        let base = batch.base_offset();
        let mut records = batch.records(self.rules.decompress_limit)?;
        while let Some(record) = records.next_record()? {
            let delta = record.offset.wrapping_sub(base);
            if delta != i64::from(check.count) {
                return Err(BatchFault::OffsetDelta { index: check.count, delta }.into());
            }
            check.see(&record);
        }
        let seen = check.finish()?;
        Ok((seen.count, seen.max_timestamp))
    }

    /// Takes the header's word for the records.
    fn trust(&self, batch: &BatchView<'_>) -> Result<(u32, i64), ValidateError> {
        let max_timestamp = batch.max_timestamp();
        let times = TimeCheck::new(self.rules, batch.timestamp_type(), self.now);
        if !times.accepts(max_timestamp) {
            return Err(ValidateError::Timestamp(times.reason(max_timestamp)));
        }
        let count = batch.count();
        let records = u32::try_from(count).map_err(|_| RecordError::RecordCount { count, payload: 0 })?;
        Ok((records, max_timestamp))
    }

    /// Writes a batch anew under another codec.
    fn rebuild(&self, batch: &BatchView<'_>, target: Compression) -> Result<Validated, ValidateError> {
        let mut check = RecordCheck::new(self.rules, batch.timestamp_type(), self.now);
        let options = BatchOptions {
            compression: target,
            append_time: self.append_time,
            producer: batch.producer(),
            transactional: batch.is_transactional(),
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::with_capacity(options, batch.payload().len());
        let mut records = batch.records(self.rules.decompress_limit)?;
        while let Some(record) = records.next_record()? {
            check.see(&record);
            builder.append_record_next(&record).map_err(|error| self.build_error(error))?;
        }
        self.rebuilt(check, builder, batch.bytes().len())
    }

    /// Writes messages of an old format as one v2 batch.
    fn convert(&self, bytes: &[u8], codec: Codec, input_size: usize) -> Result<Validated, ValidateError> {
        let options = BatchOptions {
            compression: self.rules.codec.of(codec),
            append_time: self.append_time,
            producer: ProducerStamp::NONE,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::with_capacity(options, bytes.len());
        let mut check: Option<RecordCheck> = None;
        for entry in RecordSet::new(bytes) {
            let Entry::Legacy(message) = entry? else {
                // The survey has seen that all entries are of one format.
                continue;
            };
            let source = message.timestamp_type().unwrap_or_default();
            let check = check.get_or_insert_with(|| RecordCheck::new(self.rules, source, self.now));
            check.set_source(source);
            self.convert_message(&message, codec, check, &mut builder)?;
        }
        let Some(check) = check else {
            return Err(BatchFault::NoBatch.into());
        };
        self.rebuilt(check, builder, input_size)
    }

    fn convert_message(
        &self,
        message: &LegacyMessage<'_>,
        codec: Codec,
        check: &mut RecordCheck,
        builder: &mut BatchBuilder,
    ) -> Result<(), ValidateError> {
        if codec == Codec::None {
            let record = message.record()?;
            check.see(&record);
            return builder.append_record_next(&record).map_err(|error| self.build_error(error));
        }
        for inner in message.inner(self.rules.decompress_limit)?.iter() {
            if inner.message.magic() != message.magic() {
                let (outer, inner) = (message.magic(), inner.message.magic());
                return Err(BatchFault::InnerMagic { outer, inner }.into());
            }
            inner.message.check_crc()?;
            let record = inner.record()?;
            check.see(&record);
            builder.append_record_next(&record).map_err(|error| self.build_error(error))?;
        }
        Ok(())
    }

    fn rebuilt(
        &self,
        check: RecordCheck,
        builder: BatchBuilder,
        input_size: usize,
    ) -> Result<Validated, ValidateError> {
        let seen = check.finish()?;
        let batch = builder.finish().map_err(|error| self.build_error(error))?;
        if self.rules.size_max < batch.len() {
            return Err(ValidateError::TooLarge { size: batch.len(), limit: self.rules.size_max });
        }
        Ok(Validated {
            rebuilt: Some(batch),
            input_size,
            max_timestamp: self.append_time.unwrap_or(seen.max_timestamp),
            records: seen.count,
            append_time: self.append_time,
        })
    }

    fn build_error(&self, error: crate::BuildError) -> ValidateError {
        ValidateError::of_build(error, self.rules.size_max)
    }
}
