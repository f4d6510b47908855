//! The four offset checkpoints of a log directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use highwater_types::{Offset, PartitionIndex, TopicName, TopicPartition};

use super::{format_table, parse_table, read_small_file, replace_file};
use crate::disk::Disk;
use crate::error::LogError;

/// One offset per partition.
pub(crate) type PartitionOffsets = BTreeMap<TopicPartition, Offset>;

/// A file with one offset per partition, `topic partition offset` in each line.
#[derive(Clone, Debug)]
pub(crate) struct OffsetCheckpoint {
    path: PathBuf,
}

impl OffsetCheckpoint {
    /// First offset not known to be synced.
    pub(crate) const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
    /// Log start, where it lies above the first segment's base.
    pub(crate) const LOG_START: &str = "log-start-offset-checkpoint";
    /// High watermark.
    pub(crate) const REPLICATION: &str = "replication-offset-checkpoint";
    /// First offset that has not been compacted.
    pub(crate) const CLEANER: &str = "cleaner-offset-checkpoint";

    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the file; a missing one is empty.
    pub(crate) fn read(&self, disk: &dyn Disk) -> Result<PartitionOffsets, LogError> {
        let Some(bytes) = read_small_file(disk, &self.path)? else { return Ok(PartitionOffsets::new()) };
        parse_offsets(&bytes).map_err(|reason| LogError::Malformed { path: self.path.clone(), reason })
    }

    /// Replaces the file, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, offsets: &PartitionOffsets) -> Result<(), LogError> {
        replace_file(disk, &self.path, format_offsets(offsets).as_bytes())
    }
}

/// Parses the file's bytes.
pub(crate) fn parse_offsets(bytes: &[u8]) -> Result<PartitionOffsets, String> {
    Ok(parse_table(bytes, parse_line)?.into_iter().collect())
}

/// Writes the file's bytes.
pub(crate) fn format_offsets(offsets: &PartitionOffsets) -> String {
    format_table(offsets.iter().map(|(key, offset)| format!("{} {} {offset}", key.topic, key.partition)))
}

fn parse_line(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split_whitespace();
    let topic = TopicName::new(words.next()?).ok()?;
    let partition = PartitionIndex::from_wire(words.next()?.parse().ok()?)?;
    let offset = Offset::from_wire(words.next()?.parse().ok()?)?;
    words.next().is_none().then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_offsets(&bytes);
        }

        #[test]
        fn what_is_written_is_read(entries in proptest::collection::btree_map(
            ("[a-zA-Z0-9._-]{3,20}", 0..=i32::MAX as u32), 0..=i64::MAX as u64, 0..20))
        {
            let offsets: PartitionOffsets = entries
                .iter()
                .map(|((topic, partition), offset)| {
                    let topic = TopicName::new(topic).unwrap();
                    (TopicPartition::new(topic, PartitionIndex::new(*partition)), Offset::new(*offset))
                })
                .collect();
            prop_assert_eq!(parse_offsets(format_offsets(&offsets).as_bytes()), Ok(offsets));
        }
    }

    #[test]
    fn runs_of_blanks_separate_and_missing_words_do_not_parse() {
        let parsed = parse_offsets(b"0\n1\n a.b_c-d \t 12   9007199254740993\n").unwrap();
        assert_eq!(format_offsets(&parsed), "0\n1\na.b_c-d 12 9007199254740993\n");
        for line in ["a 0", "a 0 1 2", "a -1 0", "a 0 -1", "a x 0", "a/b 0 0"] {
            assert!(parse_offsets(format!("0\n1\n{line}\n").as_bytes()).is_err(), "{line}");
        }
    }
}
