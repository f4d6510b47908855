//! Control records: what brokers tell each other and clients inside a log.

use crate::batch::{BatchBuilder, BatchOptions, ProducerStamp};

/// What a control record says, from the type in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControlType {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// A new leader of the metadata quorum.
    LeaderChange,
    /// First record of a metadata snapshot.
    SnapshotHeader,
    /// Last record of a metadata snapshot.
    SnapshotFooter,
    /// The version of the quorum protocol in use.
    KRaftVersion,
    /// The voters of the metadata quorum.
    KRaftVoters,
    /// A type of a later release. To be skipped, and never deleted by compaction.
    Unknown(i16),
}

impl ControlType {
    /// The type that a control record's key names; `None` if the key is cut.
    ///
    /// Keys of later versions are read as version 0, whose fields they must keep.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let &[_, _, high, low, ..] = key else {
            return None;
        };
        Some(Self::from_code(i16::from_be_bytes([high, low])))
    }

    /// The type with this number.
    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        match code {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            code => Self::Unknown(code),
        }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(code) => code,
        }
    }

    /// The key of a control record of this type: version 0 and the number.
    #[must_use]
    pub const fn to_key(self) -> [u8; 4] {
        let [high, low] = self.code().to_be_bytes();
        [0, 0, high, low]
    }

    /// Kafka's name, `UNKNOWN` for all later types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abort => "ABORT",
            Self::Commit => "COMMIT",
            Self::LeaderChange => "LEADER_CHANGE",
            Self::SnapshotHeader => "SNAPSHOT_HEADER",
            Self::SnapshotFooter => "SNAPSHOT_FOOTER",
            Self::KRaftVersion => "KRAFT_VERSION",
            Self::KRaftVoters => "KRAFT_VOTERS",
            Self::Unknown(_) => "UNKNOWN",
        }
    }
}

/// The end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Whether the transaction was committed, or else aborted.
    pub committed: bool,
    /// Epoch of the transaction coordinator that decided.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Size of the version and the epoch.
    const VALUE_SIZE: usize = 6;

    /// Reads a control record; `None` unless it ends a transaction.
    #[must_use]
    pub fn from_record(key: &[u8], value: &[u8]) -> Option<Self> {
        let committed = match ControlType::from_key(key)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            _ => return None,
        };
        // A later version may add fields behind these.
        let &[_, _, a, b, c, d, ..] = value else {
            return None;
        };
        Some(Self { committed, coordinator_epoch: i32::from_be_bytes([a, b, c, d]) })
    }

    /// The control record's type.
    #[must_use]
    pub const fn control_type(&self) -> ControlType {
        if self.committed { ControlType::Commit } else { ControlType::Abort }
    }

    /// The whole batch of this marker: one control record, transactional, without sequence.
    ///
    /// `timestamp` is in milliseconds. The batch is at offset 0; a leader assigns another.
    #[must_use]
    pub fn to_batch(&self, producer_id: i64, producer_epoch: i16, timestamp: i64) -> Vec<u8> {
        let mut value = [0; Self::VALUE_SIZE];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let producer = ProducerStamp { producer_id, producer_epoch, base_sequence: -1 };
        let options = BatchOptions { producer, transactional: true, control: true, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder
            .append(timestamp, Some(&self.control_type().to_key()), Some(&value), &[])
            .and_then(|()| builder.finish())
            .expect("one record of ten bytes, uncompressed, always fits")
    }
}

#[cfg(test)]
mod tests {
    use super::{ControlType, EndTxnMarker};
    use crate::{BatchView, DecompressLimit};

    #[test]
    fn keys_read_back() {
        for code in -1..9 {
            let kind = ControlType::from_code(code);
            assert_eq!(kind.code(), code);
            assert_eq!(ControlType::from_key(&kind.to_key()), Some(kind));
        }
        assert_eq!(ControlType::from_key(&[0, 9, 0, 1, 7]), Some(ControlType::Commit));
        assert_eq!(ControlType::from_key(&[0, 0, 0]), None);
    }

    #[test]
    fn markers_read_back() {
        for committed in [false, true] {
            let marker = EndTxnMarker { committed, coordinator_epoch: 13 };
            let bytes = marker.to_batch(91_234, 3, 1_700_000_000_001);
            let batch = BatchView::parse(&bytes).unwrap();
            batch.check_crc().unwrap();
            assert!(batch.is_control() && batch.is_transactional());
            assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (91_234, 3, -1));
            let mut records = batch.records(DecompressLimit::default()).unwrap();
            let record = records.next_record().unwrap().unwrap();
            assert_eq!(EndTxnMarker::from_record(record.key.unwrap(), record.value.unwrap()), Some(marker));
        }
        assert_eq!(EndTxnMarker::from_record(&[0, 0, 0, 2], &[0; 6]), None);
        assert_eq!(EndTxnMarker::from_record(&[0, 0, 0, 1], &[0; 5]), None);
    }
}
