//! The transaction index held against the abort markers in the log, as they come by.

use std::path::Path;

use highwater_types::Offset;

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

/// The transaction index of one segment.
pub(super) struct TxnCheck {
    cursor: Option<Cursor<Stored>>,
    last: Option<Offset>,
    base: Offset,
}

impl TxnCheck {
    pub(super) fn open(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Self, LogError> {
        Ok(Self { cursor: Cursor::open(disk, file_path(dir, base, FileKind::TxnIndex))?, last: None, base })
    }

    /// Compares what the index says of the batch with `bytes`.
    pub(super) fn batch(&mut self, check: &mut Check<'_>, info: &EntryInfo, bytes: &[u8]) -> Result<(), LogError> {
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
                    if is_ordered {
                        fault(&entry, info, bytes)
                    } else {
                        Some("entry is not above the one before".into())
                    }
                }
            };
            if let Some(fault) = fault {
                check.damage(cursor.path(), cursor.position(), fault);
            }
            cursor.advance();
        }
        Ok(())
    }

    /// What is left of the index when the log has come to its end.
    pub(super) fn finish(self, check: &mut Check<'_>, is_last: bool) -> Result<(), LogError> {
        self.cursor.map_or(Ok(()), |mut cursor| super::indexes::finish_file(check, &mut cursor, is_last))
    }
}

/// What is wrong with an entry, whose marker must be the batch with `bytes`.
fn fault(entry: &AbortedTxn, info: &EntryInfo, bytes: &[u8]) -> Option<String> {
    let AbortedTxn { producer, first, last, last_stable } = *entry;
    if last < first || last.next() < last_stable {
        return Some(format!("entry of offsets {first}..={last}, stable up to {last_stable}"));
    }
    let is_marker = info.last == last && info.is_control && read_marker(bytes).is_some_and(|marker| marker.is_abort);
    if !is_marker || info.producer.is_none_or(|batch| batch.id != producer) {
        return Some(format!("no abort marker of producer {producer} at offset {last}"));
    }
    None
}
