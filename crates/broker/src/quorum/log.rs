//! The metadata log on this node's disk: its records, the snapshots beside them, and what the node voted for.

use std::path::{Path, PathBuf};
use std::{fs, io};

use highwater_log::{
    AppendError, AppendOrigin, AppendSet, CleanupPolicy, LockedDir, Log, LogConfig, LogError, OpenOptions, ReadBound,
};
use highwater_metadata::{ApplyError, MetadataRecord};
use highwater_raft::{Control, KRaftVersion, LogShape, Membership, SnapshotId, VoterSet};
use highwater_records::{BatchBuilder, BatchOptions, BuildError, DecompressLimit, Entry, RecordError, RecordSet};
use highwater_types::{DirectoryId, LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use highwater_wire::{DecodeError, EncodeError, metadata_frame};

use super::control::{self, Encoded};
use super::quorum_state::{self, QuorumStateError};
use super::snapshot;
use super::translate::{self, TranslateError};

/// The log of the cluster's metadata.
///
/// An ordinary log in `__cluster_metadata-0`, in KRaft's form: each leader epoch begins with a LeaderChange control
/// batch, and each append is one batch. Snapshots (`.checkpoint`) and the file `quorum-state` are in its directory.
pub(crate) struct MetadataLog {
    log: Log,
    path: PathBuf,
    cluster_id: String,
}

/// Why the metadata log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MetadataLogError {
    /// The host failed, or the files contradict themselves.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log refused a batch.
    #[error("a batch of metadata was refused: {0}")]
    Append(#[from] AppendError),
    /// The operating system refused an operation on a file beside the log.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `quorum-state` cannot be read or written.
    #[error(transparent)]
    State(#[from] QuorumStateError),
    /// The log begins above offset 0, and there is no snapshot of what was before.
    #[error("{} begins at offset {start}, and no snapshot there holds what was before", path.display())]
    NeedsSnapshot {
        /// The log's directory.
        path: PathBuf,
        /// Its first offset.
        start: Offset,
    },
    /// A batch or record cannot be decoded.
    #[error("the record batch at offset {offset}: {source}")]
    Batch {
        /// Where.
        offset: Offset,
        /// What is wrong.
        source: RecordError,
    },
    /// A record's value cannot be decoded.
    #[error("the metadata record at offset {offset}: {source}")]
    Decode {
        /// Where.
        offset: Offset,
        /// What is wrong.
        source: DecodeError,
    },
    /// A control record says what cannot be.
    #[error("the control record at offset {offset} makes no sense")]
    Senseless {
        /// Where.
        offset: Offset,
    },
    /// A record must not be skipped and cannot be carried out.
    #[error("the metadata record at offset {offset}: {source}")]
    Translate {
        /// Where.
        offset: Offset,
        /// Why.
        source: TranslateError,
    },
    /// A record contradicts those before it.
    #[error("the metadata record at offset {offset}: {source}")]
    Apply {
        /// Where.
        offset: Offset,
        /// Why.
        source: ApplyError,
    },
    /// A record does not fit its encoded form: our own bug.
    #[error("a metadata record could not be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The records do not fit a batch: our own bug.
    #[error("a metadata batch could not be built: {0}")]
    Build(#[from] BuildError),
}

/// Takes batches that begin at an offset. Returns the offset behind them.
type Take<'a> = dyn FnMut(&[u8], Offset) -> Result<Offset, MetadataLogError> + 'a;

/// Takes one record of the log with its offset.
pub(super) type Apply<'a> = dyn FnMut(Offset, &MetadataRecord) -> Result<(), ApplyError> + 'a;

impl MetadataLog {
    /// Opens the log in `directory`. All of it is on the disk when this returns.
    pub(crate) fn open(directory: &LockedDir, cluster_id: &str, now: TimestampMs) -> Result<Self, MetadataLogError> {
        let path = directory.path().join(DIRECTORY);
        write_partition_metadata(&path)?;
        snapshot::remove_leftovers(&path)?;
        let config = LogConfig {
            // What is in a snapshot is dropped by the quorum, not by age.
            retention_ms: None,
            retention_bytes: None,
            cleanup: CleanupPolicy { delete: false, compact: false },
            message_bytes_max: i32::MAX as u32,
            ..LogConfig::default()
        };
        let config = config.checked().expect("the fixed settings of the metadata log are valid");
        let partition = TopicPartition::from_dir_name(DIRECTORY).expect("the name is that of a partition");
        let mut log = directory.open_log(&partition, config, OpenOptions::unclean(now))?;
        let newest = snapshot::list(&path)?.last().copied();
        if let Some(newest) = newest
            && log.log_end() < newest.end
        {
            // A crash came between the snapshot's rename and the log's new beginning.
            log.truncate_fully_and_start_at(newest.end, None, now)?;
        }
        if log.log_start() != Offset::ZERO && newest.is_none_or(|newest| newest.end < log.log_start()) {
            return Err(MetadataLogError::NeedsSnapshot { start: log.log_start(), path });
        }
        // What a crash left unsynced must not be acted upon before it is safe.
        log.flush()?;
        Ok(Self { log, path, cluster_id: cluster_id.to_owned() })
    }

    /// What the node must not have forgotten. A log that knows a later epoch than the file counts more.
    pub(super) fn state(&self) -> Result<highwater_raft::QuorumState, MetadataLogError> {
        Ok(quorum_state::read(&self.path)?.unwrap_or_default())
    }

    /// Stores what the node must not forget. It is on the disk when this returns.
    pub(super) fn store_state(
        &self,
        state: highwater_raft::QuorumState,
        kraft_version: KRaftVersion,
    ) -> Result<(), MetadataLogError> {
        Ok(quorum_state::write(state, kraft_version, &self.path, &self.cluster_id)?)
    }

    /// The log as the quorum's machine has to know it. Kafka cuts whole segments only, and so may leave records before
    /// the end of the first snapshot, which do not count.
    pub(super) fn shape(&self) -> Result<LogShape, MetadataLogError> {
        let end = self.log.log_end();
        let snapshots = self.snapshots()?;
        let first = snapshots.first().filter(|_| self.log.log_start() != Offset::ZERO);
        let start = first.map_or(Offset::ZERO, |first| first.end);
        let entries = self.log.epochs().entries();
        let skipped = entries.iter().take_while(|entry| entry.start <= start).count().saturating_sub(1);
        let kept = entries.iter().skip(skipped).filter(|_| start < end);
        let epochs = kept.map(|entry| (entry.epoch, entry.start.max(start))).collect();
        Ok(LogShape { end, snapshots, start, epochs })
    }

    /// The complete snapshots that are of use, rising.
    fn snapshots(&self) -> Result<Vec<SnapshotId>, MetadataLogError> {
        let (start, end) = (self.log.log_start(), self.log.log_end());
        let mut all = snapshot::list(&self.path)?;
        all.retain(|id| id.end != Offset::ZERO && start <= id.end && id.end <= end);
        Ok(all)
    }

    pub(super) fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    pub(super) fn directory(&self) -> &Path {
        &self.path
    }

    /// Bytes of the records, without the snapshots.
    pub(super) fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// Name of the snapshot of everything before `end`, which must be in the log.
    pub(super) fn snapshot_id(&self, end: Offset) -> Option<SnapshotId> {
        let last = Offset::from_wire(end.to_wire() - 1)?;
        let epoch = self.log.epochs().epoch_of(last)?;
        Some(SnapshotId { end, epoch })
    }

    /// Appends a control batch as the leader of `epoch`.
    pub(super) fn append_controls(
        &mut self,
        records: &[Encoded],
        epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<(), MetadataLogError> {
        let batch = control::batch(self.log.log_end(), epoch, records, now)?;
        self.append(batch, epoch, now)
    }

    /// Appends one encoded batch as the leader of `epoch`. Readers see it at once; it is safe after a flush.
    pub(super) fn append(
        &mut self,
        mut batch: Vec<u8>,
        epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<(), MetadataLogError> {
        let mut sets = [AppendSet::new(&mut batch, AppendOrigin::RaftLeader)];
        self.log.append_as_leader(&mut sets, epoch, now)?;
        sets[0].take_result()?;
        Ok(())
    }

    /// Appends batches that were fetched from the leader.
    pub(super) fn append_fetched(&mut self, batches: &[u8], now: TimestampMs) -> Result<(), MetadataLogError> {
        self.log.append_as_follower(batches, None, now)?;
        Ok(())
    }

    pub(super) fn truncate(&mut self, end: Offset, now: TimestampMs) -> Result<(), MetadataLogError> {
        self.log.truncate_to(end, now)?;
        Ok(())
    }

    /// Begins anew at the end of a snapshot that is in place.
    pub(super) fn restart_at(&mut self, end: Offset, now: TimestampMs) -> Result<(), MetadataLogError> {
        Ok(self.log.truncate_fully_and_start_at(end, None, now)?)
    }

    /// Removes records and snapshots before `start`, where a snapshot ends.
    pub(super) fn drop_prefix(&mut self, start: Offset) -> Result<(), MetadataLogError> {
        self.log.delete_records(start)?;
        for id in snapshot::list(&self.path)? {
            if id.end < start && id.end != Offset::ZERO {
                snapshot::remove(&self.path, id)?;
            }
        }
        Ok(())
    }

    /// Unlinks what was removed a while ago.
    pub(super) fn unlink_deleted(&mut self, now: TimestampMs) {
        if let Some(task) = self.log.due_deletions(now)
            && let Err(error) = task.run()
        {
            tracing::warn!("files of deleted metadata could not be removed: {error}");
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), MetadataLogError> {
        Ok(self.log.flush()?)
    }

    /// Notes what is committed, so that the log may drop what is in a snapshot.
    pub(super) fn advance_high_watermark(&mut self, to: Offset) {
        self.log.advance_high_watermark(to);
    }

    /// Flushes and closes the log's files.
    pub(super) fn close(&mut self, now: TimestampMs) -> Result<(), MetadataLogError> {
        Ok(self.log.close(now)?)
    }

    /// Bytes from offset `start` on, which begin with its batch; the last batch may be cut.
    pub(super) fn read(&self, start: Offset, bytes_max: u32) -> Result<Vec<u8>, MetadataLogError> {
        let slice = self.log.read(start, bytes_max, true, ReadBound::LogEnd)?;
        slice.read_to_vec().map_err(|source| MetadataLogError::Io { op: "read", path: self.path.clone(), source })
    }

    /// The newest snapshot that is complete, to begin with; `None` if the log begins with nothing.
    pub(super) fn newest_snapshot(&self) -> Result<Option<SnapshotId>, MetadataLogError> {
        Ok(snapshot::list(&self.path)?.into_iter().rfind(|id| id.end <= self.log.log_end()))
    }

    /// Hands the records of a snapshot to `apply`. Returns what it says of the voters.
    pub(super) fn load_snapshot(&self, id: SnapshotId, apply: &mut Apply<'_>) -> Result<Membership, MetadataLogError> {
        let bytes = self.snapshot_bytes(id)?;
        replay_set(&bytes, Offset::ZERO, None, apply)?;
        control::membership_of(&bytes)
    }

    fn snapshot_bytes(&self, id: SnapshotId) -> Result<Vec<u8>, MetadataLogError> {
        let path = snapshot::path(&self.path, id);
        fs::read(&path).map_err(|source| MetadataLogError::Io { op: "read", path, source })
    }

    /// What the newest snapshot says of the voters, the bootstrap checkpoint included, and where it ends.
    pub(super) fn snapshot_membership(&self) -> Result<Option<(Offset, Membership)>, MetadataLogError> {
        let Some(newest) = self.newest_snapshot()? else { return Ok(None) };
        Ok(Some((newest.end, control::membership_of(&self.snapshot_bytes(newest)?)?)))
    }

    /// The control records about voters from `from` on, which is between two batches.
    pub(super) fn controls(&self, from: Offset) -> Result<Vec<Control>, MetadataLogError> {
        let mut controls = Vec::new();
        self.each_set(from, self.log_end(), &mut |bytes, next| {
            each_batch(bytes, next, Some(self.log_end()), &mut |entry, _| control::read(entry, &mut controls))
        })?;
        Ok(controls)
    }

    /// Hands the records from `from` to `end`, which is between two batches, to `apply`, in order.
    pub(super) fn replay(&self, from: Offset, end: Offset, apply: &mut Apply<'_>) -> Result<(), MetadataLogError> {
        self.each_set(from, end, &mut |bytes, next| replay_set(bytes, next, Some(end), apply))
    }

    /// Hands what is between `from` and `end` to `take`, some batches at a time. It says up to where it has taken them.
    fn each_set(&self, from: Offset, end: Offset, take: &mut Take<'_>) -> Result<(), MetadataLogError> {
        let mut next = from;
        while next < end {
            let bytes = self.read(next, REPLAY_BYTES)?;
            let begun_at = next;
            next = take(&bytes, next)?;
            if next <= begun_at {
                let path = self.path.clone();
                return Err(LogError::Corrupt { what: "metadata batch", path, position: 0 }.into());
            }
        }
        Ok(())
    }
}

/// Writes the bootstrap checkpoint of a quorum with these voters into a log directory, as `kafka-storage format` does,
/// unless there are files of a metadata log in it already.
pub(crate) fn write_first_voters(log_dir: &Path, voters: VoterSet, now: TimestampMs) -> Result<(), MetadataLogError> {
    let path = log_dir.join(DIRECTORY);
    let failed = |op, path: &Path| {
        let path = path.to_owned();
        move |source| MetadataLogError::Io { op, path, source }
    };
    fs::create_dir_all(&path).map_err(failed("create", &path))?;
    snapshot::remove_leftovers(&path)?;
    let files = fs::read_dir(&path).map_err(failed("list", &path))?;
    // One that is there already was written by a process that got no further.
    let first = snapshot::path(&path, SnapshotId::default());
    if files.flatten().all(|file| file.path() == first) {
        let membership = Membership { kraft_version: KRaftVersion::DYNAMIC, voters };
        snapshot::write(&path, SnapshotId::default(), &membership, &mut std::iter::empty(), now)?;
        fs::File::open(log_dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", log_dir))?;
    }
    Ok(())
}

/// A batch of records, encoded as a leader appends it.
pub(super) fn encode_batch(
    records: &[MetadataRecord],
    base: Offset,
    epoch: LeaderEpoch,
    now: TimestampMs,
) -> Result<Vec<u8>, MetadataLogError> {
    let mut builder = BatchBuilder::new(batch_options(base, epoch));
    let mut value = Vec::new();
    for record in records {
        let (record, version) = translate::to_wire(record);
        value.clear();
        metadata_frame::encode(&mut value, &record, version)?;
        builder.append(now.value(), None, Some(&value), &[])?;
    }
    Ok(builder.finish()?)
}

pub(super) fn batch_options(base: Offset, epoch: LeaderEpoch) -> BatchOptions {
    BatchOptions { base_offset: base.to_wire(), leader_epoch: epoch.to_wire(), ..BatchOptions::default() }
}

/// The wire form of a directory id; all zeros if it is not known.
pub(super) fn wire_directory(directory: Option<DirectoryId>) -> Uuid {
    directory.map_or(Uuid::ZERO, |id| id.0)
}

/// Hands the records of whole batches before `end` to `apply`. Returns the offset behind them.
fn replay_set(
    bytes: &[u8],
    from: Offset,
    end: Option<Offset>,
    apply: &mut Apply<'_>,
) -> Result<Offset, MetadataLogError> {
    each_batch(bytes, from, end, &mut |entry, at| replay_entry(entry, at, apply))
}

/// Hands whole batches before `end` to `take`. Returns the offset behind them.
fn each_batch(
    bytes: &[u8],
    from: Offset,
    end: Option<Offset>,
    take: &mut dyn FnMut(&Entry<'_>, Offset) -> Result<(), MetadataLogError>,
) -> Result<Offset, MetadataLogError> {
    let mut next = from;
    for entry in RecordSet::new(bytes).entries() {
        if end.is_some_and(|end| end <= next) {
            break;
        }
        match entry {
            Ok(entry) => {
                let behind = Offset::from_wire(entry.next_offset()).unwrap_or(next);
                // Reads begin at the batch that holds the offset.
                if from < behind || end.is_none() {
                    take(&entry, next)?;
                }
                next = next.max(behind);
            }
            // The slice ends inside a batch; the next one starts with it.
            Err(_) if from < next && end.is_some() => break,
            Err(source) => return Err(MetadataLogError::Batch { offset: next, source }),
        }
    }
    Ok(next)
}

fn replay_entry(entry: &Entry<'_>, at: Offset, apply: &mut Apply<'_>) -> Result<(), MetadataLogError> {
    let broken = |source| MetadataLogError::Batch { offset: at, source };
    if let Entry::Batch(batch) = entry
        && batch.header().is_control()
    {
        return Ok(());
    }
    let mut records = entry.records(DecompressLimit::default()).map_err(broken)?;
    while let Some(record) = records.next_record().map_err(broken)? {
        let offset = Offset::from_wire(record.offset).unwrap_or(at);
        let value = record.value.unwrap_or_default();
        let (_, record) =
            metadata_frame::decode(value).map_err(|source| MetadataLogError::Decode { offset, source })?;
        let record = translate::from_wire(&record).map_err(|source| MetadataLogError::Translate { offset, source })?;
        apply(offset, &record).map_err(|source| MetadataLogError::Apply { offset, source })?;
    }
    Ok(())
}

/// Writes `partition.metadata` with the fixed id of the metadata topic, if it is not there.
fn write_partition_metadata(path: &Path) -> Result<(), MetadataLogError> {
    let file = path.join("partition.metadata");
    let failed = |op, path: &Path| {
        let path = path.to_owned();
        move |source| MetadataLogError::Io { op, path, source }
    };
    fs::create_dir_all(path).map_err(failed("create", path))?;
    if !file.exists() {
        let id = TopicId(Uuid::METADATA_TOPIC);
        fs::write(&file, format!("version: 0\ntopic_id: {id}")).map_err(failed("write", &file))?;
        fs::File::open(&file).and_then(|file| file.sync_all()).map_err(failed("sync", &file))?;
    }
    Ok(())
}

/// Name of the log's directory.
const DIRECTORY: &str = "__cluster_metadata-0";
const REPLAY_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use highwater_log::{LogDir, RealDisk};
    use highwater_raft::{ControlRecord, ReplicaKey};
    use highwater_types::NodeId;

    use super::*;
    use crate::net::Now;

    const NODE: ReplicaKey = ReplicaKey { id: NodeId::new(1), directory: None };

    fn open(directory: &Path) -> (MetadataLog, LockedDir) {
        let locked = LogDir::lock(RealDisk::shared(), directory).unwrap();
        (MetadataLog::open(&locked, "cluster", Now::read().wall).unwrap(), locked)
    }

    fn feature(level: i16) -> MetadataRecord {
        MetadataRecord::FeatureLevel { name: "metadata.version".into(), level }
    }

    fn begin_epoch(log: &mut MetadataLog, epoch: u32) {
        let leader_change = control::leader_change(NODE.id, &[NODE], &[NODE]).unwrap();
        log.append_controls(&[leader_change], LeaderEpoch::new(epoch), Now::read().wall).unwrap();
    }

    fn append(log: &mut MetadataLog, epoch: u32, records: &[MetadataRecord]) {
        let (epoch, now) = (LeaderEpoch::new(epoch), Now::read().wall);
        let batch = encode_batch(records, log.log_end(), epoch, now).unwrap();
        log.append(batch, epoch, now).unwrap();
    }

    fn replayed(log: &MetadataLog, from: u64) -> Vec<(u64, MetadataRecord)> {
        let mut records = Vec::new();
        log.replay(Offset::new(from), log.log_end(), &mut |offset, record| {
            records.push((offset.value(), record.clone()));
            Ok(())
        })
        .unwrap();
        records
    }

    #[test]
    fn what_was_appended_is_replayed_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, lock) = open(directory.path());
        begin_epoch(&mut log, 1);
        append(&mut log, 1, &[feature(22), feature(23)]);
        append(&mut log, 1, &[feature(24)]);
        // Dropped, not closed: what a crash leaves.
        drop((log, lock));
        let (log, _lock) = open(directory.path());
        assert_eq!(replayed(&log, 0), [(1, feature(22)), (2, feature(23)), (3, feature(24))]);
        assert_eq!(replayed(&log, 3), [(3, feature(24))], "from a batch on");
        let shape = log.shape().unwrap();
        assert_eq!((shape.end, shape.epochs), (Offset::new(4), vec![(LeaderEpoch::new(1), Offset::ZERO)]));
    }

    #[test]
    fn a_batch_that_was_torn_by_a_crash_is_gone_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, lock) = open(directory.path());
        append(&mut log, 1, &[feature(22)]);
        append(&mut log, 1, &[feature(23), feature(24)]);
        drop((log, lock));
        let file = directory.path().join(DIRECTORY).join("00000000000000000000.log");
        let length = fs::metadata(&file).unwrap().len();
        fs::File::options().write(true).open(&file).unwrap().set_len(length - 1).unwrap();
        let (log, _lock) = open(directory.path());
        assert_eq!(replayed(&log, 0), [(0, feature(22))]);
    }

    #[test]
    fn a_snapshot_takes_the_place_of_what_is_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, lock) = open(directory.path());
        begin_epoch(&mut log, 3);
        append(&mut log, 3, &[feature(22)]);
        append(&mut log, 3, &[feature(23)]);
        log.flush().unwrap();
        let id = log.snapshot_id(Offset::new(2)).unwrap();
        assert_eq!(id, SnapshotId { end: Offset::new(2), epoch: LeaderEpoch::new(3) });
        let records = &mut [feature(22)].into_iter();
        snapshot::write(log.directory(), id, &Membership::default(), records, Now::read().wall).unwrap();
        log.advance_high_watermark(log.log_end());
        log.drop_prefix(id.end).unwrap();
        log.close(Now::read().wall).unwrap();
        drop((log, lock));
        let (log, _lock) = open(directory.path());
        let mut records = Vec::new();
        let mut keep = |_: Offset, record: &MetadataRecord| {
            records.push(record.clone());
            Ok(())
        };
        assert_eq!(log.newest_snapshot().unwrap(), Some(id));
        log.load_snapshot(id, &mut keep).unwrap();
        log.replay(id.end, log.log_end(), &mut keep).unwrap();
        assert_eq!(records, [feature(22), feature(23)]);
        assert_eq!(log.shape().unwrap().snapshots, [id]);
    }

    #[test]
    fn who_decides_is_found_in_the_newest_snapshot_and_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, lock) = open(directory.path());
        let set = |id| {
            VoterSet::new(vec![ReplicaKey {
                id: NodeId::new(id),
                directory: Some(DirectoryId(Uuid::from_bytes([7; 16]))),
            }])
        };
        let membership = |id| Membership { kraft_version: KRaftVersion::DYNAMIC, voters: set(id) };
        let records = || Vec::new().into_iter();
        let now = Now::read().wall;
        assert_eq!(log.snapshot_membership().unwrap(), None);
        let bootstrap = SnapshotId { end: Offset::ZERO, epoch: LeaderEpoch::new(0) };
        snapshot::write(log.directory(), bootstrap, &membership(1), &mut records(), now).unwrap();
        assert_eq!(
            log.snapshot_membership().unwrap().map(|(end, found)| (end, found.voters)),
            Some((Offset::ZERO, set(1)))
        );
        begin_epoch(&mut log, 1);
        append(&mut log, 1, &[feature(22)]);
        let said = [control::kraft_version(KRaftVersion::DYNAMIC).unwrap(), control::voters(&set(2)).unwrap()];
        log.append_controls(&said, LeaderEpoch::new(1), now).unwrap();
        let version = Control { offset: Offset::new(2), record: ControlRecord::KRaftVersion(KRaftVersion::DYNAMIC) };
        let voters = Control { offset: Offset::new(3), record: ControlRecord::Voters(set(2)) };
        assert_eq!(log.controls(Offset::ZERO).unwrap(), [version, voters]);
        let id = log.snapshot_id(Offset::new(4)).unwrap();
        snapshot::write(log.directory(), id, &membership(2), &mut records(), now).unwrap();
        drop((log, lock));
        let (log, _lock) = open(directory.path());
        assert_eq!(log.snapshot_membership().unwrap(), Some((Offset::new(4), membership(2))));
        assert_eq!(log.controls(Offset::new(4)).unwrap(), []);
        assert_eq!(log.load_snapshot(id, &mut |_, _| Ok(())).unwrap(), membership(2));
    }
}
