//! `highwater-manifest`: what is known of the logs, so that opening them needs no reading (`FORMAT.md`, Manifest).

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use highwater_records::crc32c;
use highwater_types::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition, Uuid};

use crate::disk::{Disk, OpenMode};
use crate::epoch_cache::EpochEntry;
use crate::error::LogError;
use crate::log::{LogFacts, SegmentFacts};

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The checkpoint of recovery points that was written with it.
    pub(crate) checkpoint: FileStamp,
    pub(crate) logs: HashMap<TopicPartition, Remembered>,
}

/// A log as it was when the manifest was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) topic_id: Option<TopicId>,
    /// When the names in its directory changed last.
    pub(crate) dir_modified: TimestampMs,
    /// When the files of the active segment were written last: log, offset index, time index. The indexes count only
    /// if they have entries.
    pub(crate) modified: [TimestampMs; 3],
    pub(crate) facts: LogFacts,
}

/// What shows that a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    pub(crate) size: u64,
    pub(crate) modified: TimestampMs,
}

impl FileStamp {
    pub(crate) fn of(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let facts = disk.metadata(path)?;
        Ok(Self { size: facts.size, modified: facts.modified })
    }
}

impl Manifest {
    pub(crate) const NAME: &str = "highwater-manifest";

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(Self::NAME)
    }

    /// Reads the file. `None` if there is none or it is of no use, which costs time and nothing else.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = Self::path(dir);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(LogError::io("open", &path)(e)),
        };
        match file.read_all(SIZE_MAX).map_err(|e| e.to_string()).and_then(|bytes| Self::parse(&bytes)) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "ignoring the manifest, all logs are looked at");
                Ok(None)
            }
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or("cut")?;
        let mut fields = Fields(body);
        if fields.take::<8>() != Some(MAGIC) {
            return Err("not a manifest".to_owned());
        }
        match fields.u32() {
            Some(VERSION) => {}
            other => return Err(format!("version {other:?} where {VERSION} is known")),
        }
        if u32::from_be_bytes(*crc) != crc32c(body) {
            return Err("checksum".to_owned());
        }
        fields.manifest().ok_or_else(|| "impossible content".to_owned())
    }

    /// The file's bytes; entries in the order of their names. `None` if it would become too large to be read.
    pub(crate) fn format(&self) -> Option<Vec<u8>> {
        let mut logs: Vec<_> = self.logs.iter().collect();
        logs.sort_unstable_by_key(|(partition, _)| *partition);
        let mut out = Vec::with_capacity(64 + 160 * logs.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.checkpoint.size.to_be_bytes());
        out.extend_from_slice(&self.checkpoint.modified.value().to_be_bytes());
        put_count(&mut out, logs.len());
        for (partition, remembered) in logs {
            put_log(&mut out, &partition.to_string(), remembered);
        }
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        (out.len() as u64 <= SIZE_MAX).then_some(out)
    }
}

fn put_log(out: &mut Vec<u8>, name: &str, log: &Remembered) {
    let facts = &log.facts;
    out.push(u8::try_from(name.len()).expect("a directory's name has at most 255 bytes"));
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(log.topic_id.map_or(Uuid::ZERO, |id| id.0).as_bytes());
    out.push(u8::from(facts.is_sealed) * SEALED + u8::from(facts.has_producers) * HAS_PRODUCERS);
    for time in [log.dir_modified].into_iter().chain(log.modified) {
        out.extend_from_slice(&time.value().to_be_bytes());
    }
    out.extend_from_slice(&facts.end.value().to_be_bytes());
    put_count(out, facts.epochs.len());
    for entry in &facts.epochs {
        out.extend_from_slice(&entry.epoch.value().to_be_bytes());
        out.extend_from_slice(&entry.start.value().to_be_bytes());
    }
    put_count(out, facts.snapshots.len());
    for offset in &facts.snapshots {
        out.extend_from_slice(&offset.value().to_be_bytes());
    }
    put_count(out, facts.segments.len());
    for segment in &facts.segments {
        let (timestamp, offset) = segment.max_timestamp.unwrap_or((UNKNOWN, segment.base));
        out.extend_from_slice(&segment.base.value().to_be_bytes());
        for number in [segment.size, segment.offset_entries, segment.time_entries, segment.txn_entries] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&timestamp.value().to_be_bytes());
        out.extend_from_slice(&offset.value().to_be_bytes());
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).expect("fewer than 2^32 entries fit memory").to_be_bytes());
}

/// Cuts fields off the front. `None` as soon as something is missing or impossible.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn manifest(&mut self) -> Option<Manifest> {
        let checkpoint = FileStamp { size: self.u64()?, modified: self.time()? };
        let mut logs = HashMap::new();
        // Not reserved from the count, which is only a claim.
        for _ in 0..self.u32()? {
            let (partition, remembered) = self.log()?;
            if logs.insert(partition, remembered).is_some() {
                return None;
            }
        }
        self.0.is_empty().then_some(Manifest { checkpoint, logs })
    }

    fn log(&mut self) -> Option<(TopicPartition, Remembered)> {
        let [length] = self.take()?;
        let (name, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        let partition = TopicPartition::from_dir_name(str::from_utf8(name).ok()?)?;
        let topic_id = Some(Uuid::from_bytes(self.take()?)).filter(|id| !id.is_zero()).map(TopicId);
        let [flags] = self.take()?;
        if flags & !(SEALED | HAS_PRODUCERS) != 0 {
            return None;
        }
        let dir_modified = self.time()?;
        let modified = [self.time()?, self.time()?, self.time()?];
        let end = self.offset()?;
        let epochs = self.list(|fields| {
            let epoch = LeaderEpoch::from_wire(i32::try_from(fields.u32()?).ok()?)?;
            Some(EpochEntry { epoch, start: fields.offset()? })
        })?;
        let snapshots = self.list(Self::offset)?;
        let segments = self.list(Self::segment)?;
        let is_possible = epochs.is_sorted_by(|a, b| a.epoch < b.epoch && a.start < b.start)
            && snapshots.is_sorted_by(|a, b| a < b)
            && segments.is_sorted_by(|a, b| a.base < b.base)
            && segments.last()?.base <= end;
        let (is_sealed, has_producers) = (flags & SEALED != 0, flags & HAS_PRODUCERS != 0);
        let facts = LogFacts { end, is_sealed, has_producers, epochs, snapshots, segments };
        is_possible.then_some((partition, Remembered { topic_id, dir_modified, modified, facts }))
    }

    fn segment(&mut self) -> Option<SegmentFacts> {
        let base = self.offset()?;
        let [size, offset_entries, time_entries, txn_entries] = [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        let max_timestamp = (self.time()?, self.offset()?);
        let is_possible = size <= i32::MAX.unsigned_abs() && base <= max_timestamp.1;
        let max_timestamp = Some(max_timestamp).filter(|(timestamp, _)| *timestamp != UNKNOWN);
        is_possible.then_some(SegmentFacts { base, size, offset_entries, time_entries, txn_entries, max_timestamp })
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Some(items)
    }

    fn offset(&mut self) -> Option<Offset> {
        Offset::from_wire(i64::try_from(self.u64()?).ok()?)
    }

    fn time(&mut self) -> Option<TimestampMs> {
        Some(TimestampMs(i64::from_be_bytes(self.take()?)))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

const MAGIC: [u8; 8] = *b"hwlogs\r\n";
const VERSION: u32 = 1;
const SEALED: u8 = 1;
const HAS_PRODUCERS: u8 = 2;
/// Stands for a largest timestamp that nobody has asked for.
const UNKNOWN: TimestampMs = TimestampMs(i64::MIN);
/// A million logs take about 150 MB.
const SIZE_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::{PartitionIndex, TopicName};
    use proptest::prelude::*;

    fn sample() -> Manifest {
        let facts = LogFacts {
            end: Offset::new(12),
            is_sealed: true,
            has_producers: false,
            epochs: vec![EpochEntry { epoch: LeaderEpoch::new(3), start: Offset::new(2) }],
            snapshots: vec![Offset::new(7), Offset::new(12)],
            segments: vec![
                SegmentFacts {
                    base: Offset::ZERO,
                    size: 700,
                    offset_entries: 2,
                    time_entries: 3,
                    txn_entries: 4,
                    max_timestamp: None,
                },
                SegmentFacts {
                    base: Offset::new(7),
                    size: 500,
                    offset_entries: 0,
                    time_entries: 1,
                    txn_entries: 0,
                    max_timestamp: Some((TimestampMs(-1), Offset::new(7))),
                },
            ],
        };
        let remembered = Remembered {
            topic_id: Some(TopicId(Uuid::METADATA_TOPIC)),
            dir_modified: TimestampMs(5),
            modified: [TimestampMs(6), TimestampMs(7), TimestampMs(8)],
            facts,
        };
        let other = Remembered { topic_id: None, ..remembered.clone() };
        let partition = |topic| TopicPartition::new(TopicName::new(topic).unwrap(), PartitionIndex::new(1));
        Manifest {
            checkpoint: FileStamp { size: 40, modified: TimestampMs(99) },
            logs: [(partition("a"), remembered), (partition("b-c"), other)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_any_damage_is_noticed() {
        let manifest = sample();
        let bytes = manifest.format().unwrap();
        assert_eq!(Manifest::parse(&bytes).as_ref(), Ok(&manifest));
        let empty = Manifest { logs: HashMap::new(), ..manifest };
        assert_eq!(Manifest::parse(&empty.format().unwrap()), Ok(empty));
        for at in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..at]).is_err(), "cut at {at}");
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Manifest::parse(&damaged).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = sample().format().unwrap();
        bytes[11] = 2;
        assert_eq!(Manifest::parse(&bytes).unwrap_err(), "version Some(2) where 1 is known");
    }

    #[test]
    fn an_entry_takes_the_bytes_that_the_format_says() {
        let bytes = sample().format().unwrap();
        // "a-1" and "b-c-1"; one epoch, two snapshots, two segments each.
        let entry = |name: usize| 1 + name + 16 + 1 + 32 + 8 + (4 + 12) + (4 + 16) + (4 + 2 * 40);
        assert_eq!(bytes.len(), 32 + entry(3) + entry(5) + 4);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            crate::fuzzing::fuzz_manifest(&bytes);
        }
    }
}
