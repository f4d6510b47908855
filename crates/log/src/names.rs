//! Names of files and directories (storage format, section 3).

use std::path::{Path, PathBuf};

use highwater_types::{Offset, TopicPartition, Uuid};

/// Suffix of a file that waits to be unlinked.
pub(crate) const DELETED: &str = ".deleted";
/// Suffix of a file that compaction is still writing.
pub(crate) const CLEANED: &str = ".cleaned";
/// Suffix of a finished file that is about to replace others.
pub(crate) const SWAP: &str = ".swap";

/// Per-partition file of leader epochs.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// Per-partition file with the topic id.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

const STEM_DIGITS: usize = 20;
const DIR_NAME_MAX: usize = 255;

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

impl FileKind {
    /// The files that make up one segment. A snapshot belongs to an offset, not to a segment.
    pub(crate) const SEGMENT: [Self; 4] = [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex];

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }

    fn from_extension(extension: &str) -> Option<Self> {
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::Snapshot]
            .into_iter()
            .find(|kind| kind.extension() == extension)
    }
}

/// The path of a segment's or snapshot's file.
pub(crate) fn file_path(dir: &Path, base: Offset, kind: FileKind) -> PathBuf {
    dir.join(format!("{:020}{}", base.value(), kind.extension()))
}

/// `path` with something appended to its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Splits `00000000000000000042.log` into its offset and kind; `None` for any other name.
pub(crate) fn parse_file_name(name: &str) -> Option<(Offset, FileKind)> {
    let (stem, extension) = name.split_at_checked(STEM_DIGITS)?;
    if !stem.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let offset = Offset::from_wire(stem.parse().ok()?)?;
    Some((offset, FileKind::from_extension(extension)?))
}

/// What the name of a directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DirName {
    /// A partition in use.
    Partition(TopicPartition),
    /// A partition that is being deleted. Its name may be cut, so it names no partition any more.
    Deleted,
    /// A partition that no longer belongs here.
    Stray,
    /// A copy that is still catching up.
    Future,
    /// Not a partition's directory.
    Other,
}

impl DirName {
    pub(crate) fn parse(name: &str) -> Self {
        for (suffix, meaning) in
            [(Suffix::DELETE, Self::Deleted), (Suffix::STRAY, Self::Stray), (Suffix::FUTURE, Self::Future)]
        {
            let unique = name.strip_suffix(suffix).and_then(|rest| rest.rsplit_once('.'));
            if unique.is_some_and(|(rest, unique)| rest.contains('-') && !unique.is_empty()) {
                return meaning;
            }
        }
        TopicPartition::from_dir_name(name).map_or(Self::Other, Self::Partition)
    }
}

/// Endings of renamed partition directories.
pub(crate) struct Suffix;

impl Suffix {
    pub(crate) const DELETE: &str = "-delete";
    pub(crate) const STRAY: &str = "-stray";
    const FUTURE: &str = "-future";
}

/// The name that a partition's directory gets when it is set aside: `<topic>-<partition>.<unique>-delete`.
///
/// The topic part is cut where the whole would pass the 255 bytes that file systems allow.
pub(crate) fn set_aside_name(partition: &TopicPartition, unique: Uuid, suffix: &str) -> String {
    let ending = format!("-{}.{}{suffix}", partition.partition, unique.to_hex());
    let topic = partition.topic.as_str();
    let kept = topic.len().min(DIR_NAME_MAX - ending.len());
    format!("{}{ending}", &topic[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::{PartitionIndex, TopicName};

    fn partition(topic: &str, index: u32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), PartitionIndex::new(index))
    }

    #[test]
    fn file_names_round_trip() {
        let path = file_path(Path::new("/d"), Offset::new(42), FileKind::TimeIndex);
        assert_eq!(path, Path::new("/d/00000000000000000042.timeindex"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(parse_file_name(name), Some((Offset::new(42), FileKind::TimeIndex)));
    }

    #[test]
    fn other_names_are_not_segment_files() {
        for name in [
            "42.log",
            "00000000000000000042.log.deleted",
            "leader-epoch-checkpoint",
            "+0000000000000000042.log",
            "99999999999999999999.log",
            "0000000000000000004\u{e9}.log",
            "00000000000000000042",
        ] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn directory_names_split_at_the_last_dash() {
        assert_eq!(DirName::parse("a-b.c-7"), DirName::Partition(partition("a-b.c", 7)));
        assert_eq!(DirName::parse("topic"), DirName::Other);
        assert_eq!(DirName::parse("topic-x"), DirName::Other);
        assert_eq!(DirName::parse("t-0.0123456789abcdef0123456789abcdef-delete"), DirName::Deleted);
        assert_eq!(DirName::parse("t-0.0123456789abcdef0123456789abcdef-stray"), DirName::Stray);
        assert_eq!(DirName::parse("t-0.0123456789abcdef0123456789abcdef-future"), DirName::Future);
        assert_eq!(DirName::parse("my-delete"), DirName::Other);
    }

    #[test]
    fn a_set_aside_name_never_passes_255_bytes() {
        let name = set_aside_name(&partition(&"t".repeat(249), 12), Uuid::METADATA_TOPIC, Suffix::DELETE);
        assert_eq!(name.len(), 255);
        assert!(name.ends_with("-12.00000000000000000000000000000001-delete"), "{name}");
        assert_eq!(DirName::parse(&name), DirName::Deleted);
        let short = set_aside_name(&partition("t", 0), Uuid::METADATA_TOPIC, Suffix::STRAY);
        assert_eq!(short, "t-0.00000000000000000000000000000001-stray");
    }
}
