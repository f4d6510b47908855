//! `partition.metadata`: which topic a partition's directory belongs to.

use std::path::Path;

use highwater_types::{TopicId, Uuid};

use super::{read_small_file, replace_file};
use crate::disk::Disk;
use crate::error::LogError;
use crate::names::PARTITION_METADATA;

/// Content of `partition.metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) topic_id: TopicId,
}

impl PartitionMetadata {
    /// Reads the file of a partition's directory; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = dir.join(PARTITION_METADATA);
        let Some(bytes) = read_small_file(disk, &path)? else { return Ok(None) };
        Self::parse(&bytes).map(Some).map_err(|reason| LogError::Malformed { path, reason: reason.to_owned() })
    }

    /// Writes the file, durably.
    pub(crate) fn write(self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        replace_file(disk, &dir.join(PARTITION_METADATA), self.format().as_bytes())
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let mut lines = text.lines();
        let version = lines.next().and_then(|line| value_of(line, "version")).ok_or("no version")?;
        version.parse::<u32>().map_err(|_| "a version that is not a number")?;
        let topic_id = lines.next().and_then(|line| value_of(line, "topic_id")).ok_or("no topic id")?;
        let topic_id: Uuid = topic_id.parse().map_err(|_| "a topic id that is not a UUID")?;
        if topic_id.is_zero() {
            return Err("the zero topic id");
        }
        Ok(Self { topic_id: TopicId(topic_id) })
    }

    /// The exact bytes: no line end after the last line.
    fn format(self) -> String {
        format!("version: 0\ntopic_id: {}", self.topic_id)
    }
}

/// The value of `key: value`; Kafka separates at a colon and blanks.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let value = line.strip_prefix(key)?.strip_prefix(':')?;
    let trimmed = value.trim_start();
    (trimmed.len() < value.len()).then_some(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_own_bytes_round_trip() {
        let bytes = b"version: 0\ntopic_id: nigi0dJNRASJVYh5eRn0Vg";
        let parsed = PartitionMetadata::parse(bytes).unwrap();
        assert_eq!(parsed.format().as_bytes(), bytes);
        assert_eq!(bytes.len(), 43);
    }

    #[test]
    fn wrong_files_are_refused() {
        for text in [
            "",
            "version: 0\n",
            "version: -1\ntopic_id: nigi0dJNRASJVYh5eRn0Vg",
            "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
            "version: 0\ntopic_id: short",
            "version:0\ntopic_id: nigi0dJNRASJVYh5eRn0Vg",
        ] {
            assert!(PartitionMetadata::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(PartitionMetadata::parse(b"version: 7\ntopic_id:  nigi0dJNRASJVYh5eRn0Vg").is_ok());
    }
}
