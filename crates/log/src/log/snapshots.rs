//! The producer snapshot files of a log.

use std::collections::BTreeSet;

use highwater_types::{Offset, TimestampMs};

use crate::disk::OpenMode;
use crate::error::LogError;
use crate::files::replace_file_unsynced;
use crate::names::FileKind;
use crate::producer::{Producers, format_snapshot, read_snapshot};
use crate::segment::Place;

/// Which snapshots there are.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    offsets: BTreeSet<Offset>,
}

impl Snapshots {
    pub(crate) fn new(offsets: BTreeSet<Offset>) -> Self {
        Self { offsets }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Their offsets, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Offset> {
        self.offsets.iter().copied()
    }

    /// Takes a snapshot, unless the newest one says the same.
    ///
    /// Not synced: a snapshot that a crash damages is noticed by its checksum and made again.
    pub(crate) fn take(&mut self, place: &Place, producers: &mut Producers) -> Result<(), LogError> {
        let end = producers.end();
        if end <= producers.snapshot() {
            return Ok(());
        }
        let entries = producers.sorted();
        let bytes = format_snapshot(entries.into_iter());
        replace_file_unsynced(&*place.disk, &place.file(end, FileKind::Snapshot), &bytes)?;
        self.offsets.insert(end);
        producers.set_snapshot(end);
        Ok(())
    }

    /// Makes the newest snapshot durable. Its name is the caller's part.
    pub(crate) fn sync_newest(&self, place: &Place) -> Result<(), LogError> {
        let Some(newest) = self.offsets.last() else { return Ok(()) };
        let path = place.file(*newest, FileKind::Snapshot);
        let file = place.disk.open(&path, OpenMode::Read).map_err(LogError::io("open", &path))?;
        file.sync_data().map_err(LogError::io("sync", &path))
    }

    /// Brings `producers` to the newest valid snapshot in `(log_start, end]`, deleting those outside it and
    /// damaged ones. Without any they are empty as of `log_start`.
    pub(crate) fn reload(
        &mut self,
        place: &Place,
        producers: &mut Producers,
        log_start: Offset,
        end: Offset,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        let useless = |offset: &Offset| *offset <= log_start || end < *offset;
        for offset in self.offsets.iter().copied().filter(useless).collect::<Vec<_>>() {
            self.delete(place, offset)?;
        }
        if producers.end() == end {
            return Ok(());
        }
        while let Some(newest) = self.offsets.last().copied() {
            let path = place.file(newest, FileKind::Snapshot);
            match read_snapshot(&*place.disk, &path) {
                Ok(entries) => {
                    producers.reset(newest);
                    producers.load(entries, now, place.config.producer_expiration_ms);
                    return Ok(());
                }
                Err(LogError::Corrupt { what, .. }) => {
                    tracing::warn!(path = %path.display(), what, "deleting a producer snapshot");
                    self.delete(place, newest)?;
                }
                Err(other) => return Err(other),
            }
        }
        producers.reset(log_start);
        Ok(())
    }

    /// Deletes the snapshots that belong to no segment, except the newest one if it lies behind all bases.
    pub(crate) fn delete_stray(&mut self, place: &Place, bases: &BTreeSet<Offset>) -> Result<(), LogError> {
        let newest = self.offsets.last().copied().filter(|newest| bases.last() < Some(newest));
        let is_stray = |offset: &Offset| !bases.contains(offset) && Some(*offset) != newest;
        for offset in self.offsets.iter().copied().filter(is_stray).collect::<Vec<_>>() {
            self.delete(place, offset)?;
        }
        Ok(())
    }

    pub(crate) fn delete_all(&mut self, place: &Place) -> Result<(), LogError> {
        for offset in std::mem::take(&mut self.offsets) {
            self.delete(place, offset)?;
        }
        Ok(())
    }

    /// Forgets a snapshot whose file is being removed with its segment. Returns whether there was one.
    pub(crate) fn forget(&mut self, offset: Offset) -> bool {
        self.offsets.remove(&offset)
    }

    fn delete(&mut self, place: &Place, offset: Offset) -> Result<(), LogError> {
        self.offsets.remove(&offset);
        let path = place.file(offset, FileKind::Snapshot);
        match place.disk.remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LogError::io("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}
