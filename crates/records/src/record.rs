//! One record, and the walk over the records of an uncompressed payload.

use std::borrow::Cow;

use crate::batch::{BatchHeader, sequence_plus};
use crate::varint::{split_i32, split_i64};
use crate::{RecordError, TimestampType};

/// Least size of a record: length, attributes, two deltas, two lengths and a count of one byte each.
pub(crate) const RECORD_SIZE_MIN: u64 = 7;

/// One record, borrowed from its batch or from the decompressed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Position in the log.
    pub offset: i64,
    /// Time of the record in milliseconds: the producer's or, in LogAppendTime batches, the leader's.
    /// `-1` for none, as every record of a v0 message has.
    pub timestamp: i64,
    /// Sequence number, `-1` if the producer is not idempotent.
    pub sequence: i32,
    /// The key; `None` for a null key, which is not an empty one.
    pub key: Option<&'a [u8]>,
    /// The value; `None` marks a deletion on compacted topics.
    pub value: Option<&'a [u8]>,
    /// The headers. v0 and v1 have none.
    pub headers: Headers<'a>,
}

/// The headers of one record, in their order. Keys may repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Checked when the record was parsed.
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Headers<'a> {
    /// Number of headers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their number and their bytes as stored.
    pub(crate) fn encoded(&self) -> (i32, &'a [u8]) {
        // Parsed from a signed number that was not negative.
        (self.count as i32, self.bytes)
    }

    /// The headers one by one. Does not allocate.
    #[must_use]
    pub const fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { headers: *self }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = HeaderView<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = HeaderView<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// The key, meant to be UTF-8 but checked by nobody on the way here. May be empty.
    pub key: &'a [u8],
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
}

impl<'a> HeaderView<'a> {
    /// The key as text, with anything that is not UTF-8 replaced.
    #[must_use]
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// Iterator over [`Headers`].
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    headers: Headers<'a>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = HeaderView<'a>;

    fn next(&mut self) -> Option<HeaderView<'a>> {
        let left = self.headers.count.checked_sub(1)?;
        // Parsing the record has walked these bytes with the same function, so this cannot end early.
        let (header, rest) = split_header(self.headers.bytes).ok()?;
        self.headers = Headers { bytes: rest, count: left };
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.headers.len(), Some(self.headers.len()))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// What the fields of a record are relative to: four fields of its batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordContext {
    base_offset: i64,
    base_timestamp: i64,
    base_sequence: i32,
    /// The timestamp of every record, in LogAppendTime batches.
    append_time: Option<i64>,
}

impl RecordContext {
    pub(crate) fn of(header: &BatchHeader<'_>) -> Self {
        let append_time = match header.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp()),
        };
        Self {
            base_offset: header.base_offset(),
            base_timestamp: header.base_timestamp(),
            base_sequence: header.base_sequence(),
            append_time,
        }
    }
}

/// Parses the body of the record at `index` of its batch: everything after its length.
#[inline(always)]
pub(crate) fn parse_record<'a>(
    context: &RecordContext,
    index: u32,
    body: &'a [u8],
) -> Result<RecordView<'a>, RecordError> {
    parse_body(context, body).map_err(|what| RecordError::MalformedRecord { index, what })
}

#[inline(always)]
fn parse_body<'a>(context: &RecordContext, body: &'a [u8]) -> Result<RecordView<'a>, &'static str> {
    // The attribute byte has no meaning yet and is ignored.
    let (_, rest) = body.split_first().ok_or("it is empty")?;
    let (timestamp_delta, rest) = split_i64(rest).ok_or("cut or overlong timestamp delta")?;
    let (offset_delta, rest) = split_i32(rest).ok_or("cut or overlong offset delta")?;
    let (key, rest) = split_nullable(rest).ok_or("key reaches past the record")?;
    let (value, rest) = split_nullable(rest).ok_or("value reaches past the record")?;
    let headers = match rest {
        [0] => Headers::default(),
        _ => read_headers(rest)?,
    };
    let timestamp = match context.append_time {
        None => context.base_timestamp.wrapping_add(timestamp_delta),
        Some(time) => time,
    };
    Ok(RecordView {
        offset: context.base_offset.wrapping_add(offset_delta.into()),
        timestamp,
        sequence: sequence_plus(context.base_sequence, offset_delta),
        key,
        value,
        headers,
    })
}

/// A length, where any negative one means null, and that many bytes; returns them and what follows.
#[inline(always)]
fn split_nullable(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = split_i32(bytes)?;
    if length < 0 {
        return Some((None, rest));
    }
    let (bytes, rest) = rest.split_at_checked(length as usize)?;
    Some((Some(bytes), rest))
}

#[inline(never)]
fn read_headers(bytes: &[u8]) -> Result<Headers<'_>, &'static str> {
    let (count, bytes) = split_i32(bytes).ok_or("cut or overlong header count")?;
    let count = u32::try_from(count).map_err(|_| "negative header count")?;
    if bytes.len() < count as usize {
        return Err("more headers than bytes left");
    }
    let mut rest = bytes;
    for _ in 0..count {
        (_, rest) = split_header(rest)?;
    }
    if rest.is_empty() { Ok(Headers { bytes, count }) } else { Err("bytes remain after the headers") }
}

#[inline]
fn split_header(bytes: &[u8]) -> Result<(HeaderView<'_>, &[u8]), &'static str> {
    let (key, rest) = split_nullable(bytes).ok_or("header key reaches past the record")?;
    let key = key.ok_or("null header key")?;
    let (value, rest) = split_nullable(rest).ok_or("header value reaches past the record")?;
    Ok((HeaderView { key, value }, rest))
}

/// Iterator over the records of a payload that lies uncompressed in memory.
///
/// Yields one error at most, and nothing after it. With the last record it also checks that the payload ends
/// there; if it does not, the error takes that record's place.
#[derive(Clone, Debug)]
pub struct RecordWalk<'a> {
    context: RecordContext,
    rest: &'a [u8],
    index: u32,
    count: u32,
}

impl<'a> RecordWalk<'a> {
    /// A count of zero is an empty batch, whatever the payload.
    pub(crate) fn new(context: RecordContext, count: i32, payload: &'a [u8]) -> Result<Self, RecordError> {
        let count = check_count(count, payload.len())?;
        Ok(Self { context, rest: payload, index: 0, count })
    }

    /// Where the walk is, for [`resume`](Self::resume).
    #[must_use]
    pub const fn mark(&self) -> WalkMark {
        WalkMark { index: self.index, count: self.count, rest_bytes: self.rest.len() }
    }

    /// The walk that was at `mark`, of the same batch and over the same bytes. Costs nothing; over other bytes it gives
    /// an error or other records.
    #[must_use]
    pub fn resume(context: RecordContext, payload: &'a [u8], mark: WalkMark) -> Self {
        let start = payload.len().saturating_sub(mark.rest_bytes);
        Self { context, rest: &payload[start..], index: mark.index, count: mark.count }
    }

    #[inline(always)]
    fn step(&mut self) -> Result<RecordView<'a>, RecordError> {
        let (length, rest) = match split_i32(self.rest) {
            Some((length, rest)) if 0 <= length => (length as usize, rest),
            length => return Err(bad_length(self.index, self.count, length.map(|(length, _)| length))),
        };
        let Some((body, rest)) = rest.split_at_checked(length) else {
            return Err(RecordError::RecordsMissing { index: self.index, count: self.count });
        };
        let record = parse_record(&self.context, self.index, body)?;
        self.rest = rest;
        self.index += 1;
        if self.index == self.count && !rest.is_empty() {
            return Err(RecordError::BytesAfterRecords { count: self.count });
        }
        Ok(record)
    }
}

/// A place in a [`RecordWalk`], without borrowing its bytes: for readers that share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkMark {
    index: u32,
    count: u32,
    rest_bytes: usize,
}

impl WalkMark {
    /// Whether no record follows.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        self.index == self.count
    }
}

/// The error for a length that is missing, cut, overlong or negative.
#[cold]
pub(crate) fn bad_length(index: u32, count: u32, length: Option<i32>) -> RecordError {
    match length {
        Some(_) => RecordError::MalformedRecord { index, what: "negative length" },
        None => RecordError::RecordsMissing { index, count },
    }
}

/// Checks a declared count against the least size of that many records.
pub(crate) fn check_count(count: i32, payload: usize) -> Result<u32, RecordError> {
    let payload = payload as u64;
    match u32::try_from(count) {
        Ok(0) => Ok(0),
        Ok(checked) if u64::from(checked) <= payload / RECORD_SIZE_MIN => Ok(checked),
        Ok(_) | Err(_) => Err(RecordError::RecordCount { count, payload }),
    }
}

impl<'a> Iterator for RecordWalk<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            return None;
        }
        let record = self.step();
        if record.is_err() {
            self.count = self.index;
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some((self.count - self.index) as usize))
    }
}
