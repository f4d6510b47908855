//! Record sets: entries of any format, one after another.

use crate::batch::BatchView;
use crate::legacy::LegacyMessage;
use crate::{Codec, DecompressLimit, EntryHead, RecordError, Records, TimestampType};

/// A concatenation of entries, as a request carries it and as a log file holds it.
///
/// Formats may alternate from entry to entry. The last entry may be cut, as in an answer to a fetch.
#[derive(Clone, Copy, Debug)]
pub struct RecordSet<'a> {
    bytes: &'a [u8],
}

impl<'a> RecordSet<'a> {
    /// Takes `bytes` as a record set. Nothing is checked yet.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The entries in order. Does not allocate, does not check checksums.
    #[must_use]
    pub const fn entries(&self) -> Entries<'a> {
        Entries { bytes: self.bytes, position: 0, failed: false }
    }
}

impl<'a> IntoIterator for RecordSet<'a> {
    type Item = Result<Entry<'a>, RecordError>;
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.entries()
    }
}

/// Iterator over the entries of a [`RecordSet`].
///
/// Ends before a cut entry. An entry that is whole but broken yields one error, and the iteration ends: what
/// follows a broken length cannot be found.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> Entries<'a> {
    /// Bytes of the entries yielded so far, which is where the next one starts.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The bytes behind the entries yielded so far: of a cut entry, once the iteration has ended.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    fn step(&mut self) -> Result<Option<Entry<'a>>, RecordError> {
        let rest = self.rest();
        let Some(head) = EntryHead::peek(rest)? else {
            return Ok(None);
        };
        let Some(bytes) = rest.get(..head.size() as usize) else {
            return Ok(None);
        };
        let entry = Entry::parse(bytes)?;
        self.position += bytes.len();
        Ok(Some(entry))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.step().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}

/// One entry of a record set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A v0 or v1 message, or a wrapper around compressed ones.
    Legacy(LegacyMessage<'a>),
    /// A v2 batch.
    Batch(BatchView<'a>),
}

impl<'a> Entry<'a> {
    /// Takes `bytes` as exactly one entry.
    ///
    /// # Errors
    ///
    /// Those of [`BatchView::parse`] and [`LegacyMessage::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        match EntryHead::peek(bytes)? {
            Some(head) if head.magic() < 2 => LegacyMessage::parse(bytes).map(Self::Legacy),
            _ => BatchView::parse(bytes).map(Self::Batch),
        }
    }

    /// The whole entry.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Legacy(message) => message.bytes(),
            Self::Batch(batch) => batch.bytes(),
        }
    }

    /// Size of the whole entry in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes().len()
    }

    /// The format: 0, 1 or 2.
    #[must_use]
    pub const fn magic(&self) -> u8 {
        match self {
            Self::Legacy(message) => message.magic(),
            Self::Batch(_) => 2,
        }
    }

    /// Offset of the first record. Costs nothing in v2; decompresses a v0 or v1 wrapper.
    ///
    /// # Errors
    ///
    /// Those of [`LegacyMessage::inner`], for wrappers.
    pub fn base_offset(&self, limit: DecompressLimit) -> Result<i64, RecordError> {
        match self {
            Self::Batch(batch) => Ok(batch.base_offset()),
            Self::Legacy(message) if message.codec()? == Codec::None => Ok(message.offset()),
            Self::Legacy(message) => {
                let inner = message.inner(limit)?;
                let first = inner.iter().next().map(|first| first.offset);
                Ok(first.expect("a wrapper without messages inside is refused"))
            }
        }
    }

    /// Offset of the last record. Costs nothing in any format.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        match self {
            Self::Legacy(message) => message.offset(),
            Self::Batch(batch) => batch.last_offset(),
        }
    }

    /// The offset after this entry; wraps if the entry holds nonsense.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Largest timestamp inside, in milliseconds, as the header or the wrapper says; `-1` for none.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        match self {
            Self::Legacy(message) => message.timestamp(),
            Self::Batch(batch) => batch.max_timestamp(),
        }
    }

    /// The codec.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCodec`] for numbers 5, 6 and 7.
    pub fn codec(&self) -> Result<Codec, RecordError> {
        match self {
            Self::Legacy(message) => message.codec(),
            Self::Batch(batch) => batch.codec(),
        }
    }

    /// Who set the timestamps; `None` in v0, which has none.
    #[must_use]
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        match self {
            Self::Legacy(message) => message.timestamp_type(),
            Self::Batch(batch) => Some(batch.timestamp_type()),
        }
    }

    /// Epoch of the leader that appended the entry, `-1` if unknown, as always in v0 and v1.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        match self {
            Self::Legacy(_) => -1,
            Self::Batch(batch) => batch.leader_epoch(),
        }
    }

    /// Checks the checksum, which reads the whole entry once.
    ///
    /// # Errors
    ///
    /// [`RecordError::Checksum`] if it does not match.
    pub fn check_crc(&self) -> Result<(), RecordError> {
        match self {
            Self::Legacy(message) => message.check_crc(),
            Self::Batch(batch) => batch.check_crc(),
        }
    }

    /// The records, decompressed to at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`BatchView::records`] and [`LegacyMessage::records`].
    pub fn records(&self, limit: DecompressLimit) -> Result<Records<'a>, RecordError> {
        match self {
            Self::Legacy(message) => message.records(limit),
            Self::Batch(batch) => batch.records(limit),
        }
    }
}
