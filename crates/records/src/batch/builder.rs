//! Writing a v2 batch.

use super::{Attributes, BatchHeader, ProducerStamp, field};
use crate::codec::compress;
use crate::crc::crc32c;
use crate::record::Headers;
use crate::varint::{len_i32, len_i64, write_i32, write_i64};
use crate::{Codec, Compression, HeaderView, RecordError, RecordView, TimestampType};

/// What a batch says about all of its records.
///
/// The default is a plain uncompressed batch at offset 0, as a producer sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Offset of the first record. Producers send 0 and leaders assign it. Default 0.
    pub base_offset: i64,
    /// Epoch of the leader, `-1` for unknown, which is the default.
    pub leader_epoch: i32,
    /// How the records are compressed. Default not at all.
    pub compression: Compression,
    /// If given, the batch is LogAppendTime and every record reads as having this time, in milliseconds.
    /// The records' own timestamps are still stored. Default `None`: CreateTime.
    pub append_time: Option<i64>,
    /// Who produces the batch. Default nobody in particular.
    pub producer: ProducerStamp,
    /// Whether the batch is part of a transaction. Default `false`.
    pub transactional: bool,
    /// Whether the records are markers, see [`ControlType`](crate::ControlType). Default `false`.
    pub control: bool,
    /// When the cleaner may drop tombstones and markers of this batch, in milliseconds. Default `None`.
    pub delete_horizon: Option<i64>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            leader_epoch: -1,
            compression: Compression::NONE,
            append_time: None,
            producer: ProducerStamp::NONE,
            transactional: false,
            control: false,
            delete_horizon: None,
        }
    }
}

/// Writes one v2 batch, record by record.
///
/// Keeps the records uncompressed until [`finish`](Self::finish), which compresses them in one go and computes
/// the checksum. Holds one buffer; [`clear`](Self::clear) keeps it for the next batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    /// At least `-1`: times before 1970 do not count.
    max_timestamp: i64,
    /// `-1` before the first record.
    last_offset_delta: i32,
}

/// Why a record cannot be added, or a batch not be written.
///
/// All but [`BuildError::Codec`] blame the caller. The builder is unchanged by a record it refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The offset is not after the last one, or over 2^31-1 after the first.
    #[error("offset {offset} in a batch from {base} whose last record is at delta {last_delta}")]
    Offset {
        /// The offset asked for.
        offset: i64,
        /// Base offset of the batch.
        base: i64,
        /// Delta of the last record so far, -1 for none.
        last_delta: i32,
    },
    /// The batch would pass the 2^31-1 bytes that its length field can say.
    #[error("a batch holds at most 2147483647 bytes")]
    TooLarge,
    /// A batch without records makes no sense here.
    #[error("a batch needs a record")]
    Empty,
    /// This build lacks the codec.
    #[error(transparent)]
    Codec(#[from] RecordError),
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        let buffer = vec![0; field::END];
        Self { options, buffer, count: 0, base_timestamp: -1, max_timestamp: -1, last_offset_delta: -1 }
    }

    /// An empty batch with room for `bytes` of records before it allocates again.
    #[must_use]
    pub fn with_capacity(options: BatchOptions, bytes: usize) -> Self {
        let mut builder = Self::new(options);
        builder.buffer.reserve(bytes);
        builder
    }

    /// Drops all records and keeps the memory, for another batch with `options`.
    pub fn clear(&mut self, options: BatchOptions) {
        self.buffer.truncate(field::END);
        *self = Self { buffer: core::mem::take(&mut self.buffer), ..Self::new_without_buffer(options) };
    }

    fn new_without_buffer(options: BatchOptions) -> Self {
        Self { options, buffer: Vec::new(), count: 0, base_timestamp: -1, max_timestamp: -1, last_offset_delta: -1 }
    }

    /// What was asked for.
    #[must_use]
    pub const fn options(&self) -> &BatchOptions {
        &self.options
    }

    /// Records so far.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count as u32
    }

    /// Size the batch would have uncompressed, header included, in bytes.
    #[must_use]
    pub const fn size_uncompressed(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that a record can add at most: for deciding whether it still fits, before adding it.
    #[inline]
    #[must_use]
    pub fn record_size_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[HeaderView<'_>]) -> usize {
        // Two varints of five bytes (length and offset), a varlong of ten, the attribute byte.
        21 + len_nullable(key) + len_nullable(value) + len_i32(i32::MAX) + len_headers(headers)
    }

    /// Adds a record at the offset after the last one.
    ///
    /// `timestamp` is in milliseconds, `-1` for none.
    ///
    /// # Errors
    ///
    /// [`BuildError::Offset`] past 2^31-1 records, [`BuildError::TooLarge`].
    #[inline]
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderView<'_>],
    ) -> Result<(), BuildError> {
        let offset = self.next_offset()?;
        self.append_at(offset, timestamp, key, value, headers)
    }

    /// Adds a record at `offset`, which may leave a gap, as compaction does.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), and [`BuildError::Offset`] unless `offset` is after the last one.
    #[inline]
    pub fn append_at(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderView<'_>],
    ) -> Result<(), BuildError> {
        let count = i32::try_from(headers.len()).map_err(|_| BuildError::TooLarge)?;
        let headers_size = len_headers(headers);
        self.put(offset, timestamp, key, value, (count, headers_size), |buffer| {
            for header in headers {
                write_nullable(buffer, Some(header.key));
                write_nullable(buffer, header.value);
            }
        })
    }

    /// Adds a copy of `record` at its own offset and timestamp; its sequence is ignored.
    ///
    /// # Errors
    ///
    /// As [`append_at`](Self::append_at).
    pub fn append_record(&mut self, record: &RecordView<'_>) -> Result<(), BuildError> {
        let (count, bytes) = Headers::encoded(&record.headers);
        self.put(record.offset, record.timestamp, record.key, record.value, (count, bytes.len()), |buffer| {
            buffer.extend_from_slice(bytes);
        })
    }

    /// Adds a copy of `record` at the offset after the last one.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_record_next(&mut self, record: &RecordView<'_>) -> Result<(), BuildError> {
        let offset = self.next_offset()?;
        self.append_record(&RecordView { offset, ..*record })
    }

    fn next_offset(&self) -> Result<i64, BuildError> {
        let next = self.options.base_offset.checked_add(i64::from(self.last_offset_delta) + 1);
        next.ok_or(self.bad_offset(i64::MAX))
    }

    fn bad_offset(&self, offset: i64) -> BuildError {
        BuildError::Offset { offset, base: self.options.base_offset, last_delta: self.last_offset_delta }
    }

    fn offset_delta(&self, offset: i64) -> Result<i32, BuildError> {
        let delta = offset.checked_sub(self.options.base_offset).and_then(|delta| i32::try_from(delta).ok());
        delta.filter(|delta| self.last_offset_delta < *delta).ok_or_else(|| self.bad_offset(offset))
    }

    #[inline]
    fn put(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        (header_count, headers_size): (i32, usize),
        write_headers: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BuildError> {
        let offset_delta = self.offset_delta(offset)?;
        let first = self.options.delete_horizon.unwrap_or(timestamp);
        let base_timestamp = if self.count == 0 { first } else { self.base_timestamp };
        // Readers add with wrap-around as well, so that any two timestamps can share a batch.
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);

        let body = 1
            + len_i64(timestamp_delta)
            + len_i32(offset_delta)
            + len_nullable(key)
            + len_nullable(value)
            + len_i32(header_count)
            + headers_size;
        let whole = self.buffer.len().saturating_add(body).saturating_add(len_i32(i32::MAX));
        if i32::MAX as usize <= whole {
            return Err(BuildError::TooLarge);
        }

        let buffer = &mut self.buffer;
        buffer.reserve(body + len_i32(i32::MAX));
        // Below 2^31, as checked.
        write_i32(buffer, body as i32);
        buffer.push(0);
        write_i64(buffer, timestamp_delta);
        write_i32(buffer, offset_delta);
        write_nullable(buffer, key);
        write_nullable(buffer, value);
        write_i32(buffer, header_count);
        write_headers(buffer);

        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = offset_delta;
        // Offsets grow strictly within 31 bits, so their number fits too.
        self.count += 1;
        Ok(())
    }

    /// Has the batch end at `offset` even though its last record is before that, as compaction keeps it.
    ///
    /// # Errors
    ///
    /// [`BuildError::Offset`] if `offset` is before the last record, or over 2^31-1 after the first.
    pub fn set_last_offset(&mut self, offset: i64) -> Result<(), BuildError> {
        let delta = offset.checked_sub(self.options.base_offset).and_then(|delta| i32::try_from(delta).ok());
        let delta = delta.filter(|delta| self.last_offset_delta.max(0) <= *delta);
        self.last_offset_delta = delta.ok_or_else(|| self.bad_offset(offset))?;
        Ok(())
    }

    /// The finished batch.
    ///
    /// # Errors
    ///
    /// - [`BuildError::Empty`] without a record.
    /// - [`BuildError::Codec`] if this build lacks the codec.
    /// - [`BuildError::TooLarge`] if compression makes the batch larger than its length field can say.
    pub fn finish(mut self) -> Result<Vec<u8>, BuildError> {
        if self.options.compression.codec() == Codec::None && self.count != 0 {
            let mut batch = core::mem::take(&mut self.buffer);
            self.write_header(&mut batch)?;
            return Ok(batch);
        }
        let mut batch = Vec::new();
        self.finish_into(&mut batch)?;
        Ok(batch)
    }

    /// Appends the finished batch to `out`. The builder stays as it is; see [`clear`](Self::clear).
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish); `out` is then unchanged.
    pub fn finish_into(&self, out: &mut Vec<u8>) -> Result<(), BuildError> {
        if self.count == 0 {
            return Err(BuildError::Empty);
        }
        let start = out.len();
        out.extend_from_slice(&[0; field::END]);
        let written = compress(self.options.compression, &self.buffer[field::END..], out)
            .map_err(BuildError::from)
            .and_then(|()| self.write_header(&mut out[start..]));
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// Fills in the header of `batch`, whose records are in place.
    fn write_header(&self, batch: &mut [u8]) -> Result<(), BuildError> {
        let options = &self.options;
        let length = i32::try_from(batch.len() - 12).map_err(|_| BuildError::TooLarge)?;
        let (timestamp_type, max_timestamp) = match options.append_time {
            Some(time) => (TimestampType::LogAppendTime, time),
            None => (TimestampType::CreateTime, self.max_timestamp),
        };
        let attributes = Attributes::new(
            options.compression.codec(),
            timestamp_type,
            options.transactional,
            options.control,
            options.delete_horizon.is_some(),
        );
        let header = RawHeader {
            base_offset: options.base_offset,
            length,
            leader_epoch: options.leader_epoch,
            attributes,
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp,
            producer: options.producer,
            count: self.count,
        };
        header.write(batch);
        Ok(())
    }
}

/// What compaction leaves of a batch whose records are all gone but whose producer state must survive: a
/// header without records, with the offsets, sequences, producer and largest timestamp of the original.
#[must_use]
pub fn retained_empty(original: &BatchHeader<'_>) -> [u8; BatchHeader::SIZE] {
    let old = original.attributes();
    let attributes =
        Attributes::new(Codec::None, old.timestamp_type(), old.is_transactional(), old.is_control(), false);
    let header = RawHeader {
        base_offset: original.base_offset(),
        length: (BatchHeader::SIZE - 12) as i32,
        leader_epoch: original.leader_epoch(),
        attributes,
        last_offset_delta: original.last_offset_delta(),
        base_timestamp: -1,
        max_timestamp: original.max_timestamp(),
        producer: original.producer(),
        count: 0,
    };
    let mut batch = [0; BatchHeader::SIZE];
    header.write(&mut batch);
    batch
}

struct RawHeader {
    base_offset: i64,
    length: i32,
    leader_epoch: i32,
    attributes: Attributes,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer: ProducerStamp,
    count: i32,
}

impl RawHeader {
    /// Writes all fields and the checksum over what follows it.
    fn write(&self, batch: &mut [u8]) {
        let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
        put(field::BASE_OFFSET, &self.base_offset.to_be_bytes());
        put(field::LENGTH, &self.length.to_be_bytes());
        put(field::LEADER_EPOCH, &self.leader_epoch.to_be_bytes());
        put(field::MAGIC, &[2]);
        put(field::ATTRIBUTES, &self.attributes.0.to_be_bytes());
        put(field::LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        put(field::BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(field::MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(field::PRODUCER_ID, &self.producer.producer_id.to_be_bytes());
        put(field::PRODUCER_EPOCH, &self.producer.producer_epoch.to_be_bytes());
        put(field::BASE_SEQUENCE, &self.producer.base_sequence.to_be_bytes());
        put(field::COUNT, &self.count.to_be_bytes());
        let crc = crc32c(&batch[field::ATTRIBUTES..]);
        batch[field::range::<4>(field::CRC)].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Size of a nullable byte string in a record. A length past 31 bits is caught as a batch too large.
fn len_nullable(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => len_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX)).saturating_add(bytes.len()),
    }
}

#[inline]
fn len_headers(headers: &[HeaderView<'_>]) -> usize {
    headers.iter().fold(0, |sum: usize, header| {
        sum.saturating_add(len_nullable(Some(header.key))).saturating_add(len_nullable(header.value))
    })
}

#[inline]
fn write_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_i32(buffer, -1),
        Some(bytes) => {
            // The size of the whole batch has been checked to fit 31 bits.
            write_i32(buffer, bytes.len() as i32);
            buffer.extend_from_slice(bytes);
        }
    }
}
