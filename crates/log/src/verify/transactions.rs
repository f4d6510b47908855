//! The transaction index held against the abort markers in the log, as they come by.

use std::collections::HashMap;
use std::path::Path;

use highwater_records::BatchView;
use highwater_types::{Offset, ProducerId};

use super::Check;
use super::cursor::Cursor;
use crate::disk::Disk;
use crate::entry::{EntryInfo, read_marker};
use crate::error::LogError;
use crate::index::{AbortedTxn, IndexEntry, TXN_ENTRY_SIZE, decode_txn};
use crate::names::{FileKind, file_path};

/// An entry as it is stored; what it says may be wrong.
#[derive(Clone, Copy)]
struct Stored([u8; TXN_ENTRY_SIZE]);

impl IndexEntry for Stored {
    const SIZE: usize = TXN_ENTRY_SIZE;

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(bytes: &[u8]) -> Self {
        Self(bytes.try_into().expect("the bytes of one entry"))
    }
}

/// The transactions of one log that are open where the check is.
pub(super) struct OpenTxns {
    /// First offset with records that has been met of each.
    first: HashMap<ProducerId, Offset>,
    /// What lies below may have been forgotten.
    log_start: Offset,
}

impl OpenTxns {
    pub(super) fn new(log_start: Offset) -> Self {
        Self { first: HashMap::new(), log_start }
    }

    /// Follows a batch. Returns where the transaction begins that it aborts, if records of it were met.
    fn batch(&mut self, info: &EntryInfo, bytes: &[u8]) -> Option<Offset> {
        let batch = info.producer.as_ref()?;
        if info.is_control {
            let marker = read_marker(bytes)?;
            return self.first.remove(&batch.id).filter(|_| marker.is_abort);
        }
        // Compaction keeps batches without records, and needs to remember no transaction for them.
        let has_records = BatchView::parse(bytes).is_ok_and(|batch| batch.count() > 0);
        if batch.is_transactional && has_records && self.log_start <= info.base_or_last() {
            self.first.entry(batch.id).or_insert(info.base_or_last());
        }
        None
    }
}

/// The transaction index of one segment.
pub(super) struct TxnCheck<'a> {
    cursor: Option<Cursor<Stored>>,
    last: Option<Offset>,
    base: Offset,
    open: &'a mut OpenTxns,
    /// A last stable offset above its marker, where a transaction has to begin, and the position of its entry.
    ///
    /// A follower of Kafka computes it when all of an append has been taken into account, in which that transaction
    /// may come behind the marker.
    ahead: Option<(Offset, u64)>,
    /// One finding is enough for a file in which nothing can be looked up.
    is_damaged: bool,
}

impl<'a> TxnCheck<'a> {
    pub(super) fn open(disk: &dyn Disk, dir: &Path, base: Offset, open: &'a mut OpenTxns) -> Result<Self, LogError> {
        let cursor = Cursor::open(disk, file_path(dir, base, FileKind::TxnIndex))?;
        Ok(Self { cursor, last: None, base, open, ahead: None, is_damaged: false })
    }

    /// Compares what the index says of the batch with `bytes`, which lies at `position` of the file `log`.
    pub(super) fn batch(
        &mut self,
        check: &mut Check<'_>,
        log: &Path,
        position: u64,
        info: &EntryInfo,
        bytes: &[u8],
    ) -> Result<(), LogError> {
        self.entries_up_to(check, info, bytes)?;
        if self.ahead.is_some_and(|(stable, _)| stable <= info.base_or_last()) {
            self.check_ahead(check, Some(info));
        }
        if let Some(first) = self.open.batch(info, bytes)
            && self.last != Some(info.last)
            && !self.is_damaged
        {
            // Readers of committed transactions would take the records for such.
            let what = format!("abort marker of records from offset {first} on, which no transaction index names");
            check.damage(log, position, what);
        }
        Ok(())
    }

    fn entries_up_to(&mut self, check: &mut Check<'_>, info: &EntryInfo, bytes: &[u8]) -> Result<(), LogError> {
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        while let Some(Stored(entry)) = cursor.peek()? {
            let entry = decode_txn(&entry);
            if entry.is_ok_and(|entry| info.last < entry.last) {
                break;
            }
            check.done.index_entries += 1;
            let fault = match entry {
                Err(what) => Some(what.to_owned()),
                Ok(entry) => {
                    let is_ordered = self.base <= entry.last && self.last < Some(entry.last);
                    self.last = Some(entry.last);
                    let fault = match is_ordered {
                        true => fault(&entry, info, bytes, self.open),
                        false => Some("entry is not above the one before".into()),
                    };
                    if fault.is_none() && entry.last.next() < entry.last_stable {
                        self.ahead = Some((entry.last_stable, cursor.position()));
                    }
                    fault
                }
            };
            if let Some(fault) = fault {
                self.is_damaged = true;
                check.damage(cursor.path(), cursor.position(), fault);
            }
            cursor.advance();
        }
        Ok(())
    }

    /// Whether a transaction begins with a batch, or with nothing, where an entry says that one does.
    fn check_ahead(&mut self, check: &mut Check<'_>, info: Option<&EntryInfo>) {
        let (Some((stable, at)), Some(cursor)) = (self.ahead.take(), &self.cursor) else { return };
        let begins = info.is_some_and(|info| {
            let batch = info.producer.filter(|batch| batch.is_transactional && !info.is_control);
            info.base == Some(stable) && batch.is_some_and(|batch| !self.open.first.contains_key(&batch.id))
        });
        if !begins {
            let what = format!("entry stable up to {stable}, where no transaction begins");
            check.damage(cursor.path(), at, what);
        }
    }

    /// What is left of the index when the log has come to its end.
    pub(super) fn finish(mut self, check: &mut Check<'_>, is_last: bool) -> Result<(), LogError> {
        self.check_ahead(check, None);
        self.cursor.map_or(Ok(()), |mut cursor| super::indexes::finish_file(check, &mut cursor, is_last))
    }
}

/// What is wrong with an entry, whose marker must be the batch with `bytes`.
fn fault(entry: &AbortedTxn, info: &EntryInfo, bytes: &[u8], open: &OpenTxns) -> Option<String> {
    let AbortedTxn { producer, first, last, .. } = *entry;
    if last < first {
        return Some(format!("entry of offsets {first}..={last}"));
    }
    let is_marker = info.last == last && info.is_control && read_marker(bytes).is_some_and(|marker| marker.is_abort);
    if !is_marker || info.producer.is_none_or(|batch| batch.id != producer) {
        return Some(format!("no abort marker of producer {producer} at offset {last}"));
    }
    // Its first records may have been deleted or compacted away, but none lie before.
    let met = open.first.get(&producer).filter(|&&met| met < first)?;
    Some(format!("entry of a transaction from offset {first} on, which has records from {met} on"))
}
