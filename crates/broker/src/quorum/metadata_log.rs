//! The metadata quorum of one voter: a log on this node's disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use highwater_log::{
    AppendError, AppendOrigin, AppendSet, CleanupPolicy, LockedDir, Log, LogConfig, LogError, OpenOptions, ReadBound,
};
use highwater_metadata::{ApplyError, MetadataQuorum, MetadataRecord};
use highwater_records::{
    BatchBuilder, BatchOptions, BuildError, ControlType, DecompressLimit, Entry, RecordError, RecordSet,
};
use highwater_types::{LeaderEpoch, NodeId, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use highwater_wire::records_schema::control::leader_change_message::{LeaderChangeMessage, Voter};
use highwater_wire::{DecodeError, EncodeError, Message, Writer, metadata_frame};

use super::quorum_state::{QuorumState, QuorumStateError};
use super::translate::{self, TranslateError};
use crate::net::Now;

/// The log of the cluster's metadata, led by this node alone.
///
/// An ordinary log in `__cluster_metadata-0`, in KRaft's form: each leader epoch begins with a LeaderChange control
/// batch, and each append is one batch. Everything is synced before it counts, so all of it is committed.
pub(crate) struct MetadataLog {
    log: Log,
    epoch: LeaderEpoch,
    path: PathBuf,
}

/// Why the metadata log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MetadataLogError {
    /// The host failed, or the files contradict themselves.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log refused a batch: our own bug.
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
    /// The log begins above offset 0, so the state before it is in a snapshot, which this version cannot read.
    #[error("{} begins at offset {start} and needs a snapshot, which this version cannot read", path.display())]
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

impl MetadataLog {
    /// Opens the log in `directory` and begins a new leader epoch in it.
    pub(crate) fn open(
        directory: &LockedDir,
        cluster_id: &str,
        node: NodeId,
        now: TimestampMs,
    ) -> Result<Self, MetadataLogError> {
        let path = directory.path().join(DIRECTORY);
        write_partition_metadata(&path)?;
        let config = LogConfig {
            // Nothing is deleted before there are snapshots.
            retention_ms: None,
            retention_bytes: None,
            cleanup: CleanupPolicy { delete: false, compact: false },
            message_bytes_max: i32::MAX as u32,
            ..LogConfig::default()
        };
        let config = config.checked().expect("the fixed settings of the metadata log are valid");
        let partition = TopicPartition::from_dir_name(DIRECTORY).expect("the name is that of a partition");
        let mut log = directory.open_log(&partition, config, OpenOptions::unclean(now))?;
        if log.log_start() != Offset::ZERO {
            return Err(MetadataLogError::NeedsSnapshot { path, start: log.log_start() });
        }
        // What a crash left unsynced must not be acted upon before it is safe.
        log.flush()?;
        let state = QuorumState::read(&path)?;
        let known = [state.map(|state| state.leader_epoch), log.epochs().latest().map(|entry| entry.epoch)];
        let epoch = known.into_iter().flatten().max().map_or(LeaderEpoch::new(1), LeaderEpoch::next);
        QuorumState { leader: node, leader_epoch: epoch }.write(&path, cluster_id)?;
        let mut opened = Self { log, epoch, path };
        opened.append_leader_change(node, now)?;
        Ok(opened)
    }

    fn append_leader_change(&mut self, node: NodeId, now: TimestampMs) -> Result<(), MetadataLogError> {
        let voter = Voter { voter_id: node.to_wire(), ..Voter::default() };
        let message = LeaderChangeMessage {
            leader_id: node.to_wire(),
            voters: vec![voter.clone()].into(),
            granting_voters: vec![voter].into(),
            ..LeaderChangeMessage::default()
        };
        let mut value = Vec::new();
        message.encode(LEADER_CHANGE_VERSION, &mut Writer::new(&mut value))?;
        let mut builder = BatchBuilder::new(BatchOptions { control: true, ..self.batch_options() });
        builder.append(now.value(), Some(&ControlType::LeaderChange.to_key()), Some(&value), &[])?;
        self.append_batch(builder, now)
    }

    fn batch_options(&self) -> BatchOptions {
        BatchOptions {
            base_offset: self.log.log_end().to_wire(),
            leader_epoch: self.epoch.to_wire(),
            ..BatchOptions::default()
        }
    }

    fn append_batch(&mut self, builder: BatchBuilder, now: TimestampMs) -> Result<(), MetadataLogError> {
        let mut bytes = builder.finish()?;
        let mut sets = [AppendSet::new(&mut bytes, AppendOrigin::RaftLeader)];
        self.log.append_as_leader(&mut sets, self.epoch, now)?;
        sets[0].take_result()?;
        self.log.flush()?;
        self.log.advance_high_watermark(self.log.log_end());
        Ok(())
    }

    /// Flushes and closes the log's files.
    pub(crate) fn close(&mut self, now: TimestampMs) -> Result<(), MetadataLogError> {
        Ok(self.log.close(now)?)
    }
}

impl MetadataQuorum for MetadataLog {
    type Error = MetadataLogError;

    fn append(&mut self, records: &[MetadataRecord]) -> Result<Offset, MetadataLogError> {
        let first = self.log.log_end();
        if records.is_empty() {
            return Ok(first);
        }
        let now = Now::read().wall;
        let mut builder = BatchBuilder::new(self.batch_options());
        let mut value = Vec::new();
        for record in records {
            let (record, version) = translate::to_wire(record);
            value.clear();
            metadata_frame::encode(&mut value, &record, version)?;
            builder.append(now.value(), None, Some(&value), &[])?;
        }
        self.append_batch(builder, now)?;
        Ok(first)
    }

    fn replay(
        &mut self,
        apply: &mut dyn FnMut(Offset, &MetadataRecord) -> Result<(), ApplyError>,
    ) -> Result<(), MetadataLogError> {
        let mut next = self.log.log_start();
        while next < self.log.log_end() {
            let slice = self.log.read(next, REPLAY_BYTES, true, ReadBound::LogEnd)?;
            let bytes = slice.read_to_vec().map_err(|source| MetadataLogError::Io {
                op: "read",
                path: self.path.clone(),
                source,
            })?;
            let begun_at = next;
            for entry in RecordSet::new(&bytes).entries() {
                match entry {
                    Ok(entry) => {
                        replay_entry(&entry, next, apply)?;
                        next = Offset::from_wire(entry.next_offset()).unwrap_or(next);
                    }
                    // The slice ends inside a batch; the next one starts with it.
                    Err(_) if begun_at < next => break,
                    Err(source) => return Err(MetadataLogError::Batch { offset: next, source }),
                }
            }
            if next <= begun_at {
                let path = self.path.clone();
                return Err(LogError::Corrupt { what: "metadata batch", path, position: slice.position }.into());
            }
        }
        Ok(())
    }

    fn next_offset(&self) -> Offset {
        self.log.log_end()
    }

    fn leader_epoch(&self) -> LeaderEpoch {
        self.epoch
    }
}

fn replay_entry(
    entry: &Entry<'_>,
    at: Offset,
    apply: &mut dyn FnMut(Offset, &MetadataRecord) -> Result<(), ApplyError>,
) -> Result<(), MetadataLogError> {
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
/// Version of the LeaderChange message before voters had directory ids (`kraft.version` 0).
const LEADER_CHANGE_VERSION: i16 = 0;
const REPLAY_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use highwater_log::{LogDir, RealDisk};

    use super::*;

    fn open(directory: &Path) -> (MetadataLog, LockedDir) {
        let locked = LogDir::lock(RealDisk::shared(), directory).unwrap();
        (MetadataLog::open(&locked, "cluster", NodeId::new(1), Now::read().wall).unwrap(), locked)
    }

    fn feature(level: i16) -> MetadataRecord {
        MetadataRecord::FeatureLevel { name: "metadata.version".into(), level }
    }

    fn replayed(log: &mut MetadataLog) -> Vec<(u64, MetadataRecord)> {
        let mut records = Vec::new();
        log.replay(&mut |offset, record| {
            records.push((offset.value(), record.clone()));
            Ok(())
        })
        .unwrap();
        records
    }

    #[test]
    fn what_was_appended_is_replayed_after_a_crash_and_each_start_has_its_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, lock) = open(directory.path());
        assert_eq!((log.leader_epoch(), log.next_offset()), (LeaderEpoch::new(1), Offset::new(1)));
        assert_eq!(log.append(&[feature(22), feature(23)]).unwrap(), Offset::new(1));
        assert_eq!(log.append(&[feature(24)]).unwrap(), Offset::new(3));
        // Dropped, not closed: what a crash leaves.
        drop((log, lock));
        let (mut log, _lock) = open(directory.path());
        assert_eq!((log.leader_epoch(), log.next_offset()), (LeaderEpoch::new(2), Offset::new(5)));
        assert_eq!(replayed(&mut log), [(1, feature(22)), (2, feature(23)), (3, feature(24))]);
    }

    #[test]
    fn a_batch_that_was_torn_by_a_crash_is_gone_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, lock) = open(directory.path());
        log.append(&[feature(22)]).unwrap();
        log.append(&[feature(23), feature(24)]).unwrap();
        drop((log, lock));
        let file = directory.path().join(DIRECTORY).join("00000000000000000000.log");
        let length = fs::metadata(&file).unwrap().len();
        fs::File::options().write(true).open(&file).unwrap().set_len(length - 1).unwrap();
        let (mut log, _lock) = open(directory.path());
        assert_eq!(replayed(&mut log), [(1, feature(22))]);
    }

    #[test]
    fn an_epoch_is_never_used_twice_even_if_the_log_was_lost() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in 1..4 {
            let (log, _lock) = open(directory.path());
            assert_eq!(log.leader_epoch(), LeaderEpoch::new(epoch));
        }
        let log_directory = directory.path().join(DIRECTORY);
        fs::remove_file(log_directory.join("00000000000000000000.log")).unwrap();
        fs::remove_file(log_directory.join("leader-epoch-checkpoint")).unwrap();
        assert_eq!(open(directory.path()).0.leader_epoch(), LeaderEpoch::new(4));
    }
}
