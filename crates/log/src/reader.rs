//! Reading a log in order, batch by batch.

use std::path::Path;

use highwater_records::{DecompressLimit, Entry, EntryHead, RecordError, RecordView};
use highwater_types::Offset;

use crate::error::LogError;
use crate::index::AbortedTxn;
use crate::log::{Log, ReadBound, ReadSlice};

/// Reads a log from front to back, as a consumer does.
///
/// A position with a buffer: it takes the log anew with every call, so that whoever shares a log holds its lock only
/// as long as one call takes, and appends go on in between. What is read is copied into the buffer, of at most
/// `bytes_max` or one batch if that is larger.
///
/// Control batches are left out, and with [`ReadBound::LastStable`] the batches of aborted transactions too.
#[derive(Clone, Debug)]
pub struct LogReader {
    next: Offset,
    bound: ReadBound,
    bytes_max: u32,
    decompress_limit: DecompressLimit,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been given out.
    taken: usize,
    /// The transactions whose batches in `buffer` are left out.
    aborted: Vec<AbortedTxn>,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The log could not be read, or does not hold the position.
    #[error(transparent)]
    Log(#[from] LogError),

    /// A stored batch cannot be decoded.
    #[error("batch with offset {offset}")]
    Records {
        /// The least offset that the batch can hold.
        offset: Offset,
        /// What is wrong with it.
        source: RecordError,
    },
}

/// What a [`LogReader`] reads from: a [`Log`], or a [`SharedLog`](crate::SharedLog), which is locked for the search only.
pub trait LogSource {
    /// Finds what a reader gets, see [`Log::read`].
    ///
    /// # Errors
    ///
    /// As [`Log::read`].
    fn read(&self, start: Offset, max_bytes: u32, min_one: bool, bound: ReadBound) -> Result<ReadSlice, LogError>;

    /// The aborted transactions that have records in `slice`, see [`Log::aborted_transactions`].
    ///
    /// # Errors
    ///
    /// As [`Log::aborted_transactions`].
    fn aborted_transactions(&self, start: Offset, slice: &ReadSlice) -> Result<Vec<AbortedTxn>, LogError>;

    /// The log's directory, for messages.
    fn path(&self) -> &Path;
}

impl LogSource for Log {
    fn read(&self, start: Offset, max_bytes: u32, min_one: bool, bound: ReadBound) -> Result<ReadSlice, LogError> {
        Log::read(self, start, max_bytes, min_one, bound)
    }

    fn aborted_transactions(&self, start: Offset, slice: &ReadSlice) -> Result<Vec<AbortedTxn>, LogError> {
        Log::aborted_transactions(self, start, slice)
    }

    fn path(&self) -> &Path {
        Log::path(self)
    }
}

/// Bytes read at once, by default.
const BYTES_MAX: u32 = 1 << 20;

impl LogReader {
    /// A reader that begins at `from` and sees what `bound` allows.
    #[must_use]
    pub fn new(from: Offset, bound: ReadBound) -> Self {
        Self {
            next: from,
            bound,
            bytes_max: BYTES_MAX,
            decompress_limit: DecompressLimit::default(),
            buffer: Vec::new(),
            taken: 0,
            aborted: Vec::new(),
        }
    }

    /// Reads at most this many bytes at once, one batch at least. Default 1 MiB.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u32) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Refuses batches that are larger than this when decompressed.
    #[must_use]
    pub fn decompress_limit(mut self, limit: DecompressLimit) -> Self {
        self.decompress_limit = limit;
        self
    }

    /// The offset after the last batch that was given out.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.next
    }

    /// Goes on from `to` with the next call.
    pub fn seek(&mut self, to: Offset) {
        self.next = to;
        self.buffer.clear();
        self.taken = 0;
    }

    /// The next batch; `None` at the bound.
    ///
    /// The first batch after [`new`](Self::new) or [`seek`](Self::seek) may begin below the position, which lies
    /// inside it.
    ///
    /// # Errors
    ///
    /// - [`ReadError::Log`] with [`LogError::OutOfRange`] if the position has been deleted or truncated meanwhile;
    ///   [`seek`](Self::seek) to go on. Other errors of the log as in [`Log::read`].
    /// - [`ReadError::Records`] if stored bytes are no batch.
    pub fn next_batch(&mut self, log: &impl LogSource) -> Result<Option<Entry<'_>>, ReadError> {
        let at = self.next;
        let undecodable = |source| ReadError::Records { offset: at, source };
        while let Some(size) = self.next_size(log)? {
            let range = self.taken..self.taken + size;
            self.taken = range.end;
            let entry = Entry::parse(&self.buffer[range.clone()]).map_err(undecodable)?;
            self.next = Offset::from_wire(entry.next_offset()).unwrap_or(Offset::MAX).max(self.next);
            if !self.is_left_out(&entry) {
                // Parsed again, since a borrow that is returned on one path only is held on all.
                return Entry::parse(&self.buffer[range]).map(Some).map_err(undecodable);
            }
        }
        Ok(None)
    }

    fn is_left_out(&self, entry: &Entry<'_>) -> bool {
        let Entry::Batch(batch) = entry else { return false };
        let is_of = |txn: &AbortedTxn| {
            txn.producer.to_wire() == batch.producer_id()
                && (txn.first.to_wire()..txn.last.to_wire()).contains(&batch.base_offset())
        };
        batch.is_control() || (batch.is_transactional() && self.aborted.iter().any(is_of))
    }

    /// Calls `visit` with each record from the position on, up to the bound, and returns how many there were.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub fn for_each(&mut self, log: &impl LogSource, mut visit: impl FnMut(&RecordView<'_>)) -> Result<u64, ReadError> {
        let limit = self.decompress_limit;
        let mut count = 0;
        loop {
            let from = self.next;
            let undecodable = |source| ReadError::Records { offset: from, source };
            let Some(batch) = self.next_batch(log)? else { return Ok(count) };
            let mut records = batch.records(limit).map_err(undecodable)?;
            while let Some(record) = records.next_record().map_err(undecodable)? {
                // The batch that holds the position may begin below it.
                if from.to_wire() <= record.offset {
                    count += 1;
                    visit(&record);
                }
            }
        }
    }

    /// Size of the next whole entry in the buffer, which is filled if there is none; `None` at the bound.
    fn next_size(&mut self, log: &impl LogSource) -> Result<Option<usize>, ReadError> {
        if let Some(size) = whole_entry(&self.buffer[self.taken..]) {
            return Ok(Some(size));
        }
        let slice = log.read(self.next, self.bytes_max, true, self.bound)?;
        self.taken = 0;
        if self.bound == ReadBound::LastStable {
            self.aborted = log.aborted_transactions(self.next, &slice)?;
        }
        self.buffer.resize(slice.length as usize, 0);
        if let Some(file) = &slice.file {
            let path = log.path();
            file.read_exact_at(&mut self.buffer, slice.position).map_err(LogError::io("read", path))?;
        }
        match whole_entry(&self.buffer) {
            None if !self.buffer.is_empty() => Err(LogError::corrupt("batch (cut)", log.path(), slice.position).into()),
            size => Ok(size),
        }
    }
}

/// Size of the entry at the front of `bytes`, if it is there whole.
fn whole_entry(bytes: &[u8]) -> Option<usize> {
    let size = usize::try_from(EntryHead::peek(bytes).ok()??.size()).ok()?;
    (size <= bytes.len()).then_some(size)
}
