//! Control records of the metadata log: who leads, the level of `kraft.version`, and who decides (KIP-853).

use highwater_raft::{
    Control, ControlRecord, Endpoint, KRaftVersion, KRaftVersions, Membership, ReplicaKey, Voter, VoterSet,
};
use highwater_records::{BatchBuilder, BatchOptions, ControlType, DecompressLimit, Entry, RecordSet};
use highwater_types::{LeaderEpoch, NodeId, Offset, TimestampMs};
use highwater_wire::records_schema::control::kraft_version_record::KRaftVersionRecord;
use highwater_wire::records_schema::control::leader_change_message::{self, LeaderChangeMessage};
use highwater_wire::records_schema::control::voters_record::{self, KRaftVersionFeature, VotersRecord};
use highwater_wire::{Message, Reader, Writer};

use super::log::{MetadataLogError, batch_options, wire_directory};
use super::messages::directory;

/// A control record, encoded.
pub(super) struct Encoded {
    kind: ControlType,
    value: Vec<u8>,
}

/// Encodes the value of a control record.
pub(super) fn encode<'a>(kind: ControlType, message: &impl Message<'a>) -> Result<Encoded, MetadataLogError> {
    let mut value = Vec::new();
    message.encode(VERSION, &mut Writer::new(&mut value))?;
    Ok(Encoded { kind, value })
}

/// A new leader, and who has voted for it. As in Kafka without their directories, whatever `kraft.version` is.
pub(super) fn leader_change(
    leader: NodeId,
    voters: &[ReplicaKey],
    granting: &[ReplicaKey],
) -> Result<Encoded, MetadataLogError> {
    let voter = |key: &ReplicaKey| leader_change_message::Voter { voter_id: key.id.to_wire(), ..Default::default() };
    let message = LeaderChangeMessage {
        leader_id: leader.to_wire(),
        voters: voters.iter().map(voter).collect(),
        granting_voters: granting.iter().map(voter).collect(),
        ..LeaderChangeMessage::default()
    };
    encode(ControlType::LeaderChange, &message)
}

/// The level of `kraft.version` from here on.
pub(super) fn kraft_version(version: KRaftVersion) -> Result<Encoded, MetadataLogError> {
    let record = KRaftVersionRecord { kraft_version: wire_level(version), ..KRaftVersionRecord::default() };
    encode(ControlType::KRaftVersion, &record)
}

/// Who decides from here on.
pub(super) fn voters(set: &VoterSet) -> Result<Encoded, MetadataLogError> {
    let endpoint = |endpoint: &Endpoint| voters_record::Endpoint {
        name: endpoint.listener.clone().into(),
        host: endpoint.host.clone().into(),
        port: endpoint.port,
        ..Default::default()
    };
    let voter = |voter: &Voter| voters_record::Voter {
        voter_id: voter.key.id.to_wire(),
        voter_directory_id: wire_directory(voter.key.directory),
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        kraft_version_feature: KRaftVersionFeature {
            min_supported_version: wire_level(voter.kraft_versions.min),
            max_supported_version: wire_level(voter.kraft_versions.max),
            ..Default::default()
        },
        ..Default::default()
    };
    let record = VotersRecord { voters: set.as_slice().iter().map(voter).collect(), ..VotersRecord::default() };
    encode(ControlType::KRaftVoters, &record)
}

/// What a snapshot says of the voters, behind its header; nothing if they are those of the configuration.
pub(super) fn of_membership(membership: &Membership) -> Result<Vec<Encoded>, MetadataLogError> {
    if !membership.kraft_version.is_dynamic() {
        return Ok(Vec::new());
    }
    Ok(vec![kraft_version(membership.kraft_version)?, voters(&membership.voters)?])
}

/// One control batch.
pub(super) fn batch(
    base: Offset,
    epoch: LeaderEpoch,
    records: &[Encoded],
    now: TimestampMs,
) -> Result<Vec<u8>, MetadataLogError> {
    let mut builder = BatchBuilder::new(BatchOptions { control: true, ..batch_options(base, epoch) });
    for Encoded { kind, value } in records {
        builder.append(now.value(), Some(&kind.to_key()), Some(value), &[])?;
    }
    Ok(builder.finish()?)
}

/// Adds the records about voters that are in a batch to `controls`.
pub(super) fn read(entry: &Entry<'_>, controls: &mut Vec<Control>) -> Result<(), MetadataLogError> {
    let Entry::Batch(batch) = entry else { return Ok(()) };
    if !batch.header().is_control() {
        return Ok(());
    }
    let at = Offset::from_wire(batch.header().base_offset()).unwrap_or_default();
    let broken = |source| MetadataLogError::Batch { offset: at, source };
    let mut records = entry.records(DecompressLimit::default()).map_err(broken)?;
    while let Some(record) = records.next_record().map_err(broken)? {
        let offset = Offset::from_wire(record.offset).unwrap_or(at);
        let kind = record.key.and_then(ControlType::from_key);
        if let Some(kind) = kind
            && let Some(record) = read_record(kind, record.value.unwrap_or_default(), offset)?
        {
            controls.push(Control { offset, record });
        }
    }
    Ok(())
}

/// What the control records of a snapshot say of the voters.
pub(super) fn membership_of(snapshot: &[u8]) -> Result<Membership, MetadataLogError> {
    let mut controls = Vec::new();
    for entry in RecordSet::new(snapshot).entries() {
        let entry = entry.map_err(|source| MetadataLogError::Batch { offset: Offset::ZERO, source })?;
        read(&entry, &mut controls)?;
    }
    let mut membership = Membership::default();
    for Control { record, .. } in controls {
        match record {
            ControlRecord::KRaftVersion(version) => membership.kraft_version = version,
            ControlRecord::Voters(voters) => membership.voters = voters,
        }
    }
    Ok(membership)
}

fn read_record(kind: ControlType, value: &[u8], offset: Offset) -> Result<Option<ControlRecord>, MetadataLogError> {
    let broken = |source| MetadataLogError::Decode { offset, source };
    let senseless = MetadataLogError::Senseless { offset };
    match kind {
        ControlType::KRaftVersion => {
            let record = KRaftVersionRecord::decode(&mut Reader::new(value), VERSION).map_err(broken)?;
            let level = level(record.kraft_version).ok_or(senseless)?;
            Ok(Some(ControlRecord::KRaftVersion(level)))
        }
        ControlType::KRaftVoters => {
            let record = VotersRecord::decode(&mut Reader::new(value), VERSION).map_err(broken)?;
            let voters: Option<Vec<Voter>> = record.voters.iter().map(|voter| read_voter(&voter)).collect();
            Ok(Some(ControlRecord::Voters(VoterSet::of(voters.ok_or(senseless)?))))
        }
        _ => Ok(None),
    }
}

fn read_voter(voter: &voters_record::Voter<'_>) -> Option<Voter> {
    let endpoint = |endpoint: voters_record::Endpoint<'_>| Endpoint {
        listener: endpoint.name.into_owned(),
        host: endpoint.host.into_owned(),
        port: endpoint.port,
    };
    let feature = &voter.kraft_version_feature;
    Some(Voter {
        key: ReplicaKey { id: NodeId::from_wire(voter.voter_id)?, directory: directory(voter.voter_directory_id) },
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        kraft_versions: levels(feature.min_supported_version, feature.max_supported_version)?,
    })
}

/// A range of levels of `kraft.version` as the wire has it; `None` if it makes no sense.
pub(super) fn levels(min: i16, max: i16) -> Option<KRaftVersions> {
    Some(KRaftVersions { min: level(min)?, max: level(max)? })
}

pub(crate) fn wire_level(version: KRaftVersion) -> i16 {
    i16::try_from(version.value()).unwrap_or(i16::MAX)
}

fn level(wire: i16) -> Option<KRaftVersion> {
    u16::try_from(wire).ok().map(KRaftVersion::new)
}

/// The version of each of these records that Kafka 4 writes.
const VERSION: i16 = 0;

#[cfg(test)]
mod tests {
    use highwater_types::{DirectoryId, Uuid};

    use super::*;

    /// What `kafka-storage format --standalone` of Kafka 4.3 has written: a header, KRaftVersion, KRaftVoters; a footer.
    const KAFKA: &[u8] = include_bytes!("../../testdata/quorum/standalone-0.checkpoint");

    fn membership() -> Membership {
        let directory = "eQEVT0O7R1i0YJAmsm7T-w".parse::<Uuid>().unwrap();
        let endpoint = Endpoint { listener: "CONTROLLER".into(), host: "127.0.0.1".into(), port: 39293 };
        let voter = Voter {
            key: ReplicaKey { id: NodeId::new(1), directory: Some(DirectoryId(directory)) },
            endpoints: vec![endpoint],
            kraft_versions: KRaftVersions::SUPPORTED,
        };
        Membership { kraft_version: KRaftVersion::DYNAMIC, voters: VoterSet::of(vec![voter]) }
    }

    #[test]
    fn a_checkpoint_of_kafka_says_who_decides() {
        assert_eq!(membership_of(KAFKA).unwrap(), membership());
    }

    #[test]
    fn the_values_are_those_of_kafka() {
        for Encoded { kind, value } in of_membership(&membership()).unwrap() {
            let found = KAFKA.windows(value.len()).any(|window| window == value);
            assert!(found, "{}: {value:?}", kind.name());
        }
        // LeaderChange of Kafka's first leader.
        let key = ReplicaKey { id: NodeId::new(1), ..membership().voters.as_slice()[0].key };
        let Encoded { value, .. } = leader_change(key.id, &[key], &[key]).unwrap();
        assert_eq!(value, [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0]);
        assert!(of_membership(&Membership::default()).unwrap().is_empty(), "configured voters are not told of");
    }

    #[test]
    fn control_records_are_read_with_their_offsets() {
        let (version, set) = (KRaftVersion::DYNAMIC, membership().voters);
        let records =
            [leader_change(NodeId::new(1), &[], &[]).unwrap(), kraft_version(version).unwrap(), voters(&set).unwrap()];
        let bytes = batch(Offset::new(7), LeaderEpoch::new(2), &records, TimestampMs(1)).unwrap();
        let mut controls = Vec::new();
        for entry in RecordSet::new(&bytes).entries() {
            read(&entry.unwrap(), &mut controls).unwrap();
        }
        let version = Control { offset: Offset::new(8), record: ControlRecord::KRaftVersion(version) };
        assert_eq!(controls, [version, Control { offset: Offset::new(9), record: ControlRecord::Voters(set) }]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let read = |kind, value: &[u8]| read_record(kind, value, Offset::ZERO);
        assert!(matches!(
            read(ControlType::KRaftVersion, &[0, 0, 255, 255, 0]),
            Err(MetadataLogError::Senseless { .. })
        ));
        assert!(matches!(read(ControlType::KRaftVersion, &[0, 0]), Err(MetadataLogError::Decode { .. })));
        let unknown = Voter {
            key: ReplicaKey { id: NodeId::new(1), directory: None },
            ..membership().voters.as_slice()[0].clone()
        };
        let Encoded { mut value, .. } = voters(&VoterSet::of(vec![unknown])).unwrap();
        assert!(read(ControlType::KRaftVoters, &value).is_ok());
        // The id of the voter becomes negative.
        value[3] = 255;
        assert!(matches!(read(ControlType::KRaftVoters, &value), Err(MetadataLogError::Senseless { .. })));
        assert!(matches!(read(ControlType::KRaftVoters, &[]), Err(MetadataLogError::Decode { .. })));
        assert!(matches!(read(ControlType::LeaderChange, &[]), Ok(None)), "of no interest");
    }
}
