//! The transaction index of a segment.

use std::path::PathBuf;

use super::{Place, Segment};
use crate::disk::FileHandle;
use crate::error::LogError;
use crate::index::{AbortedTxn, TxnIndex};
use crate::names::FileKind;

impl Segment {
    /// The aborted transactions whose marker is in the segment.
    pub(crate) fn txn_index(&self) -> &TxnIndex {
        &self.txn_index
    }

    /// Takes the transaction index file that was found beside the log file. False if its content is damaged: the
    /// segment has to be recovered then, which empties the file and fills it anew.
    pub(crate) fn open_txn_index(&mut self, place: &Place) -> Result<bool, LogError> {
        let path = place.file(self.base, FileKind::TxnIndex);
        match TxnIndex::open(&*place.disk, path.clone(), self.base) {
            Ok(index) => self.txn_index = index,
            Err(LogError::Corrupt { what, position, .. }) => {
                tracing::warn!(path = %path.display(), what, position, "rebuilding a transaction index");
                self.txn_index = TxnIndex::create(&*place.disk, &path)?;
                return Ok(false);
            }
            Err(other) => return Err(other),
        }
        Ok(true)
    }

    /// Adds a transaction whose marker has been appended. Writes to the file at once, creating it the first time.
    pub(crate) fn append_aborted(&mut self, place: &Place, aborted: AbortedTxn) -> Result<(), LogError> {
        let path = place.file(self.base, FileKind::TxnIndex);
        self.txn_index.append(&*place.disk, &path, aborted)
    }

    /// The transaction index file to sync, if there is one.
    pub(crate) fn txn_handle(&self) -> Option<(FileHandle, PathBuf)> {
        self.txn_index.file().map(|(file, path)| (file.clone(), path.to_owned()))
    }

    /// Makes the transaction index durable.
    pub(crate) fn sync_txn_index(&self) -> Result<(), LogError> {
        self.txn_index.file().map_or(Ok(()), |(file, path)| file.sync_data().map_err(LogError::io("sync", path)))
    }
}
