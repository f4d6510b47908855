//! The indexes of a segment (storage format, sections 4 and 5).

mod file;
mod offset;
mod time;
mod txn;

pub(crate) use file::{IndexEntry, IndexFile, IndexPlace};
pub(crate) use offset::{OffsetEntry, OffsetIndex, relative_offset};
pub(crate) use time::{TimeEntry, TimeIndex};
pub use txn::AbortedTxn;
pub(crate) use txn::{ENTRY_SIZE as TXN_ENTRY_SIZE, TxnIndex, decode as decode_txn};

/// Index files that Apache Kafka's own classes have written, and what they found in them.
#[cfg(test)]
mod tests {
    use std::path::Path;

    use highwater_types::{Offset, TimestampMs};

    use super::*;
    use crate::disk::{Disk, MemDisk};

    fn copy(disk: &MemDisk, name: &str) -> std::path::PathBuf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        disk.write(Path::new("/index"), &std::fs::read(path).unwrap());
        "/index".into()
    }

    #[test]
    fn every_recorded_lookup_finds_the_same_position() {
        let disk = MemDisk::new();
        let path = copy(&disk, "index-lookup/00000000000000000100.index");
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/index-lookup/lookups.json");
        let table: Vec<[u64; 3]> = serde_json::from_slice(&std::fs::read(table).unwrap()).unwrap();
        assert_eq!(table.len(), 308);
        let place = IndexPlace { path, base: Offset::new(100), bytes_max: 1 << 20 };
        let index = OffsetIndex::open(&disk.shared(), place).unwrap();
        let entries = index.entries().unwrap();
        for [target, found, position] in table {
            assert_eq!(index.floor_position(Offset::new(target)).unwrap(), position, "{target}");
            let floor = entries.iter().rev().find(|(offset, _)| offset.value() <= target);
            assert_eq!(floor.map_or(100, |(offset, _)| offset.value()), found, "{target}");
        }
    }

    #[test]
    fn the_same_entries_make_the_same_files() {
        let disk = MemDisk::new();
        let base = Offset::new(1_000);
        let place = |path: &str, bytes_max| IndexPlace { path: path.into(), base, bytes_max };
        let mut offsets = OffsetIndex::open(&disk.shared(), place("/o", 96)).unwrap();
        offsets.file().grow().unwrap();
        for (offset, position) in [(1_005, 0), (1_010, 4_200), (1_000 + (1 << 31) - 1, 2_147_480_000)] {
            offsets.append(Offset::new(offset), position).unwrap();
        }
        offsets.file().write_tail().unwrap();
        copy(&disk, "files/00000000000000001000.index.live-96-bytes");
        assert_eq!(disk.read(Path::new("/o")), disk.read(Path::new("/index")));
        offsets.file().trim().unwrap();
        copy(&disk, "files/00000000000000001000.index");
        assert_eq!(disk.read(Path::new("/o")), disk.read(Path::new("/index")));

        let mut times = TimeIndex::open(&disk.shared(), place("/t", 96)).unwrap();
        let start = 1_700_000_000_000;
        for (timestamp, offset) in [(start, 1_005), (start + 5, 1_010), (start, 1_010)] {
            times.append(TimestampMs(timestamp), Offset::new(offset), false).unwrap();
        }
        times.file().trim().unwrap();
        copy(&disk, "files/00000000000000001000.timeindex");
        assert_eq!(disk.read(Path::new("/t")), disk.read(Path::new("/index")));
        assert!(disk.metadata(Path::new("/t")).is_ok());
    }
}
