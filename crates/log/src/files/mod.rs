//! The small files around the segments (storage format, sections 6 and 7).

mod clean_marker;
mod create_dir;
mod meta_properties;
mod offset_checkpoint;
mod partition_metadata;
mod replace;
mod table;

pub(crate) use clean_marker::CleanMarker;
pub(crate) use create_dir::create_dir;
pub use meta_properties::MetaProperties;
pub(crate) use offset_checkpoint::{OffsetCheckpoint, PartitionOffsets, format_offsets, parse_offsets};
pub(crate) use partition_metadata::PartitionMetadata;
pub(crate) use replace::{read_file, read_small_file, replace_file, replace_file_lazily, replace_file_unsynced};
pub(crate) use table::{format_table, parse_table};

/// Files that Apache Kafka's own classes have written.
#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::disk::{MemDisk, RealDisk};
    use crate::epoch_cache::EpochCache;
    use crate::producer::{format_snapshot, parse_snapshot};

    fn data() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/files")
    }

    fn bytes(name: &str) -> Vec<u8> {
        std::fs::read(data().join(name)).unwrap()
    }

    #[test]
    fn offset_checkpoints_are_written_as_kafka_writes_them() {
        for name in [OffsetCheckpoint::RECOVERY_POINT, OffsetCheckpoint::LOG_START, OffsetCheckpoint::REPLICATION] {
            let offsets = OffsetCheckpoint::new(data().join(name)).read(&RealDisk).unwrap();
            assert_eq!(offsets.len(), 2);
            let disk = MemDisk::new();
            OffsetCheckpoint::new(PathBuf::from("/written")).write(&disk, &offsets).unwrap();
            // Kafka's lines are in the order of its hash map, ours are sorted.
            let lines = |bytes: Vec<u8>| {
                let mut lines: Vec<Vec<u8>> =
                    bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
                lines[2..].sort();
                lines
            };
            assert_eq!(lines(disk.read(Path::new("/written")).unwrap()), lines(bytes(name)), "{name}");
        }
        let empty = OffsetCheckpoint::new(data().join("empty/recovery-point-offset-checkpoint"));
        assert_eq!(empty.read(&RealDisk).unwrap(), PartitionOffsets::new());
    }

    #[test]
    fn epochs_and_topic_ids_are_written_as_kafka_writes_them() {
        let epochs = EpochCache::read(&RealDisk, &data().join("topic-0")).unwrap();
        assert_eq!(epochs.format().as_bytes(), bytes("topic-0/leader-epoch-checkpoint"));
        let metadata = PartitionMetadata::read(&RealDisk, &data().join("topic-0")).unwrap().unwrap();
        let disk = MemDisk::new();
        metadata.write(&disk, Path::new("/t-0")).unwrap();
        assert_eq!(disk.read(Path::new("/t-0/partition.metadata")).unwrap(), bytes("topic-0/partition.metadata"));
    }

    #[test]
    fn snapshots_are_written_as_kafka_writes_them() {
        for (name, count) in [("00000000000000000000.snapshot", 0), ("00000000000000000105.snapshot", 3)] {
            let entries = parse_snapshot(&bytes(name)).unwrap();
            assert_eq!(entries.len(), count);
            let written = format_snapshot(entries.iter().map(|(id, entry)| (*id, entry)));
            assert_eq!(written, bytes(name), "{name}");
        }
    }

    #[test]
    fn meta_properties_of_both_versions_are_read() {
        let lines = |text: &str| {
            let mut lines: Vec<String> = text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let meta = MetaProperties::read(&RealDisk, &data()).unwrap().unwrap();
        assert_eq!(lines(&meta.format()), lines(str::from_utf8(&bytes("meta.properties")).unwrap()));
        let old = MetaProperties::read(&RealDisk, &data().join("v0")).unwrap().unwrap();
        assert_eq!((old.node_id.value(), old.directory_id), (7, None));
        assert_eq!(old.cluster_id.as_deref(), Some("5L6g3nShT-eMCtK--X86sw"));
    }

    #[test]
    fn the_clean_marker_is_read() {
        let disk = MemDisk::new();
        disk.write(Path::new("/d/.kafka_cleanshutdown"), &bytes(".kafka_cleanshutdown"));
        let marker = CleanMarker::take(&disk, Path::new("/d")).unwrap().unwrap();
        marker.leave(&disk, Path::new("/d")).unwrap();
        assert_eq!(disk.read(Path::new("/d/.kafka_cleanshutdown")).unwrap(), bytes(".kafka_cleanshutdown"));
    }
}
