//! Checkpoints of logs that are gone.

use std::collections::BTreeSet;

use highwater_types::{Offset, TopicPartition};

use super::LogDir;
use super::checkpoints::digest;
use crate::error::LogError;
use crate::files::{OffsetCheckpoint, PartitionOffsets};

/// Partitions without a log of which the checkpoint files may still speak.
///
/// A new log of the same partition must not be opened by them after a crash: its records would count as synced.
#[derive(Debug, Default)]
pub(super) struct Stale(BTreeSet<TopicPartition>);

impl Stale {
    /// Those of the files' partitions that have no log.
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a PartitionOffsets>, logs: &[TopicPartition]) -> Self {
        let logs: BTreeSet<&TopicPartition> = logs.iter().collect();
        Self(files.flat_map(PartitionOffsets::keys).filter(|name| !logs.contains(name)).cloned().collect())
    }

    /// The log of a partition is gone.
    pub(super) fn add(&mut self, partition: TopicPartition) {
        self.0.insert(partition);
    }

    /// The files have been written anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl LogDir {
    /// Takes what is left of an earlier log of this partition out of the checkpoint files, durably.
    pub(super) fn forget_earlier(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let mut written = self.written.lock();
        if !written.stale.0.contains(partition) {
            return Ok(());
        }
        written.logs = None;
        for (name, known) in written.files() {
            let checkpoint = OffsetCheckpoint::new(self.path.join(name));
            let mut offsets = match checkpoint.read(&*self.disk) {
                // It is of no use to anybody.
                Err(LogError::Malformed { .. }) => PartitionOffsets::from([(partition.clone(), Offset::ZERO)]),
                other => other?,
            };
            if offsets.remove(partition).is_some() {
                *known = None;
                checkpoint.write(&*self.disk, &offsets)?;
                *known = Some(digest(&offsets));
            }
        }
        written.stale.0.remove(partition);
        Ok(())
    }
}
