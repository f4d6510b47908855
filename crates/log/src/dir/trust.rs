//! Whether remembered facts still hold: by sizes and times, as a walk would cost too much.

use std::path::Path;

use highwater_types::{TimestampMs, TopicId};

use super::manifest::Remembered;
use crate::disk::Disk;
use crate::log::{LogFacts, Trust};
use crate::names::{FileKind, PARTITION_METADATA, file_path};

/// Files of the active segment, the log first.
const ACTIVE_FILES: [(FileKind, u64); 3] = [(FileKind::Log, 1), (FileKind::OffsetIndex, 8), (FileKind::TimeIndex, 12)];

impl Remembered {
    /// Takes down what a log's files look like. `None` if anything was changed at `as_of` or later: a further change in
    /// the same instant could not be told from it.
    pub(super) fn of(
        disk: &dyn Disk,
        path: &Path,
        topic_id: Option<TopicId>,
        facts: &LogFacts,
        as_of: TimestampMs,
    ) -> Option<Self> {
        let dir = disk.metadata(path).ok()?;
        let mut modified = [TimestampMs::NONE; 3];
        for ((kind, entries), modified) in needed(facts).zip(&mut modified) {
            if entries > 0 || kind == FileKind::Log {
                *modified = disk.metadata(&file_path(path, facts.active().base, kind)).ok()?.modified;
            }
        }
        if topic_id.is_some() {
            // Kafka refuses a log without it, so it must not go unnoticed that it is missing.
            disk.metadata(&path.join(PARTITION_METADATA)).ok()?;
        }
        let is_anchored = dir.modified < as_of && modified.iter().all(|&modified| modified < as_of);
        is_anchored.then(|| Self { topic_id, dir_modified: dir.modified, modified, facts: facts.clone() })
    }

    /// How far the facts hold for the files as they are now.
    ///
    /// Costs two calls, or four where the active segment has index entries.
    pub(super) fn trust(&self, disk: &dyn Disk, path: &Path) -> Option<Trust<'_>> {
        let dir = disk.metadata(path).ok()?;
        if !dir.is_dir || dir.modified != self.dir_modified {
            return None;
        }
        let mut has_grown = false;
        for ((kind, known), modified) in needed(&self.facts).zip(self.modified) {
            if known == 0 && kind != FileKind::Log {
                continue;
            }
            let file = disk.metadata(&file_path(path, self.facts.active().base, kind)).ok()?;
            // Of a preallocated file the size does not tell, so it is looked at as if it had grown.
            has_grown |= kind == FileKind::Log && known < file.size;
            if file.size < known || (file.modified != modified && !has_grown) {
                return None;
            }
        }
        Some(if has_grown { Trust::Prefix(&self.facts) } else { Trust::Whole(&self.facts) })
    }
}

/// The files of the active segment and how many bytes of each are known.
fn needed(facts: &LogFacts) -> impl Iterator<Item = (FileKind, u64)> {
    let active = facts.active();
    let counts = [active.size, active.offset_entries, active.time_entries];
    ACTIVE_FILES.into_iter().zip(counts).map(|((kind, size), count)| (kind, u64::from(count) * size))
}
