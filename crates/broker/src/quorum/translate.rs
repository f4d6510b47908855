//! Between the controller's records and those of the metadata log.

use std::borrow::Cow;

use highwater_metadata::config::ResourceKind;
use highwater_metadata::{
    BrokerRegistrationChange, ConfigChange, Endpoint, FeatureRange, LeaderRecovery, MetadataRecord, PartitionChange,
    PartitionImage, PartitionRecord, RegisterBroker, RegisterController,
};
use highwater_types::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId, TopicName, Uuid,
};
use highwater_wire::Array;
use highwater_wire::records_schema::metadata::{self as wire, MetadataLogRecord};

/// A record of the metadata log that this broker must not skip and cannot carry out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TranslateError {
    /// Skipping an access rule, a quota or a credential would silently weaken the cluster.
    #[error("{kind} is not supported by this version")]
    Unsupported {
        /// What the record is about.
        kind: &'static str,
    },
    /// A field holds a value outside its range.
    #[error("field {field} holds {value}")]
    Field {
        /// Kafka's name of the field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// A text field holds something that is not what it should be.
    #[error("field {field} holds {value:?}")]
    Text {
        /// Kafka's name of the field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
}

/// The encoded form of a record, with the version to write it in.
///
/// The versions are those of `metadata.version` 25 (Kafka 4.0), which every 4.x release reads.
pub(super) fn to_wire(record: &MetadataRecord) -> (MetadataLogRecord<'_>, i16) {
    match record {
        MetadataRecord::RegisterBroker(broker) => (MetadataLogRecord::RegisterBroker(register_broker(broker)), 3),
        MetadataRecord::UnregisterBroker { node, epoch } => (
            MetadataLogRecord::UnregisterBroker(wire::UnregisterBrokerRecord {
                broker_id: node.to_wire(),
                broker_epoch: epoch.to_wire(),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::Topic { name, id } => (
            MetadataLogRecord::Topic(wire::TopicRecord {
                name: name.as_str().into(),
                topic_id: id.0,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::Partition(record) => partition(record),
        MetadataRecord::PartitionChange(change) => partition_change(change),
        MetadataRecord::RemoveTopic { id } => {
            (MetadataLogRecord::RemoveTopic(wire::RemoveTopicRecord { topic_id: id.0, ..Default::default() }), 0)
        }
        MetadataRecord::Config(change) => (
            MetadataLogRecord::Config(wire::ConfigRecord {
                resource_type: change.kind.code(),
                resource_name: change.resource.as_str().into(),
                name: change.name.as_str().into(),
                value: change.value.as_deref().map(Cow::Borrowed),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::FenceBroker { node, epoch } => (
            MetadataLogRecord::FenceBroker(wire::FenceBrokerRecord {
                id: node.to_wire(),
                epoch: epoch.to_wire(),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::UnfenceBroker { node, epoch } => (
            MetadataLogRecord::UnfenceBroker(wire::UnfenceBrokerRecord {
                id: node.to_wire(),
                epoch: epoch.to_wire(),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::BrokerRegistrationChange(change) => (
            MetadataLogRecord::BrokerRegistrationChange(wire::BrokerRegistrationChangeRecord {
                broker_id: change.node.to_wire(),
                broker_epoch: change.epoch.to_wire(),
                // -1 unfences, 1 fences, 0 leaves it alone.
                fenced: change.fenced.map_or(0, |fenced| if fenced { 1 } else { -1 }),
                in_controlled_shutdown: i8::from(change.in_controlled_shutdown),
                log_dirs: change.log_dirs.as_deref().map_or_else(Array::new, directories),
                ..Default::default()
            }),
            2,
        ),
        MetadataRecord::FeatureLevel { name, level } => (
            MetadataLogRecord::FeatureLevel(wire::FeatureLevelRecord {
                name: name.as_str().into(),
                feature_level: *level,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::ProducerIds { node, epoch, next } => (
            MetadataLogRecord::ProducerIds(wire::ProducerIdsRecord {
                broker_id: node.to_wire(),
                broker_epoch: epoch.map_or(-1, BrokerEpoch::to_wire),
                next_producer_id: next.to_wire(),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::RegisterController(controller) => (register_controller(controller), 0),
        MetadataRecord::ClearElr { topic } => (
            MetadataLogRecord::ClearElr(wire::ClearElrRecord {
                topic_name: topic.as_deref().unwrap_or_default().into(),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::BeginTransaction { name } => (
            MetadataLogRecord::BeginTransaction(wire::BeginTransactionRecord {
                name: name.as_deref().map(Cow::Borrowed),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::EndTransaction => (MetadataLogRecord::EndTransaction(Default::default()), 0),
        MetadataRecord::AbortTransaction { reason } => (
            MetadataLogRecord::AbortTransaction(wire::AbortTransactionRecord {
                reason: reason.as_deref().map(Cow::Borrowed),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::NoOp => (MetadataLogRecord::NoOp(Default::default()), 0),
        other => unreachable!("the controller decided on {}, which has no encoded form here", other.kind()),
    }
}

/// The controller's form of a record read from the log.
///
/// # Errors
///
/// [`TranslateError`] if it must not be skipped and cannot be carried out, or is malformed.
pub(super) fn from_wire(record: &MetadataLogRecord<'_>) -> Result<MetadataRecord, TranslateError> {
    Ok(match record {
        MetadataLogRecord::RegisterBroker(record) => MetadataRecord::RegisterBroker(RegisterBroker {
            node: node("BrokerId", record.broker_id)?,
            incarnation: record.incarnation_id,
            epoch: broker_epoch(record.broker_epoch)?,
            endpoints: record
                .end_points
                .iter()
                .map(|end| Endpoint {
                    name: end.name.into_owned(),
                    host: end.host.into_owned(),
                    port: end.port,
                    security_protocol: end.security_protocol,
                })
                .collect(),
            features: record
                .features
                .iter()
                .map(|feature| FeatureRange {
                    name: feature.name.into_owned(),
                    min: feature.min_supported_version,
                    max: feature.max_supported_version,
                })
                .collect(),
            rack: record.rack.as_deref().map(str::to_owned),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.iter().map(DirectoryId).collect(),
        }),
        MetadataLogRecord::UnregisterBroker(record) => MetadataRecord::UnregisterBroker {
            node: node("BrokerId", record.broker_id)?,
            epoch: broker_epoch(record.broker_epoch)?,
        },
        MetadataLogRecord::Topic(record) => {
            let name = TopicName::new(&record.name)
                .map_err(|_| TranslateError::Text { field: "Name", value: record.name.clone().into_owned() })?;
            MetadataRecord::Topic { name, id: TopicId(record.topic_id) }
        }
        MetadataLogRecord::Partition(record) => MetadataRecord::Partition(PartitionRecord {
            topic_id: TopicId(record.topic_id),
            partition: partition_index(record.partition_id)?,
            state: PartitionImage {
                replicas: nodes("Replicas", &record.replicas)?,
                isr: nodes("Isr", &record.isr)?,
                removing: nodes("RemovingReplicas", &record.removing_replicas)?,
                adding: nodes("AddingReplicas", &record.adding_replicas)?,
                leader: NodeId::from_wire(record.leader),
                recovery: recovery(record.leader_recovery_state)?,
                leader_epoch: LeaderEpoch::from_wire(record.leader_epoch)
                    .ok_or_else(|| field("LeaderEpoch", record.leader_epoch))?,
                partition_epoch: PartitionEpoch::from_wire(record.partition_epoch)
                    .ok_or_else(|| field("PartitionEpoch", record.partition_epoch))?,
                directories: record.directories.iter().map(DirectoryId).collect(),
                elr: optional_nodes("EligibleLeaderReplicas", record.eligible_leader_replicas.as_ref())?
                    .unwrap_or_default(),
                last_known_elr: optional_nodes("LastKnownElr", record.last_known_elr.as_ref())?.unwrap_or_default(),
            },
        }),
        MetadataLogRecord::PartitionChange(record) => MetadataRecord::PartitionChange(PartitionChange {
            topic_id: TopicId(record.topic_id),
            partition: partition_index(record.partition_id)?,
            isr: optional_nodes("Isr", record.isr.as_ref())?,
            leader: match record.leader {
                LEADER_UNCHANGED => None,
                leader => Some(NodeId::from_wire(leader)),
            },
            replicas: optional_nodes("Replicas", record.replicas.as_ref())?,
            removing: optional_nodes("RemovingReplicas", record.removing_replicas.as_ref())?,
            adding: optional_nodes("AddingReplicas", record.adding_replicas.as_ref())?,
            recovery: match record.leader_recovery_state {
                -1 => None,
                state => Some(recovery(state)?),
            },
            directories: record.directories.as_ref().map(|ids| ids.iter().map(DirectoryId).collect()),
            elr: optional_nodes("EligibleLeaderReplicas", record.eligible_leader_replicas.as_ref())?,
            last_known_elr: optional_nodes("LastKnownElr", record.last_known_elr.as_ref())?,
        }),
        MetadataLogRecord::RemoveTopic(record) => MetadataRecord::RemoveTopic { id: TopicId(record.topic_id) },
        MetadataLogRecord::Config(record) => MetadataRecord::Config(ConfigChange {
            kind: ResourceKind::from_code(record.resource_type)
                .ok_or_else(|| field("ResourceType", record.resource_type))?,
            resource: record.resource_name.clone().into_owned(),
            name: record.name.clone().into_owned(),
            value: record.value.as_deref().map(str::to_owned),
        }),
        MetadataLogRecord::FenceBroker(record) => {
            MetadataRecord::FenceBroker { node: node("Id", record.id)?, epoch: broker_epoch(record.epoch)? }
        }
        MetadataLogRecord::UnfenceBroker(record) => {
            MetadataRecord::UnfenceBroker { node: node("Id", record.id)?, epoch: broker_epoch(record.epoch)? }
        }
        MetadataLogRecord::BrokerRegistrationChange(record) => {
            MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
                node: node("BrokerId", record.broker_id)?,
                epoch: broker_epoch(record.broker_epoch)?,
                fenced: match record.fenced {
                    -1 => Some(false),
                    0 => None,
                    1 => Some(true),
                    other => return Err(field("Fenced", other)),
                },
                in_controlled_shutdown: match record.in_controlled_shutdown {
                    0 => false,
                    1 => true,
                    other => return Err(field("InControlledShutdown", other)),
                },
                log_dirs: (!record.log_dirs.is_empty()).then(|| record.log_dirs.iter().map(DirectoryId).collect()),
            })
        }
        MetadataLogRecord::FeatureLevel(record) => {
            MetadataRecord::FeatureLevel { name: record.name.clone().into_owned(), level: record.feature_level }
        }
        MetadataLogRecord::ProducerIds(record) => MetadataRecord::ProducerIds {
            node: node("BrokerId", record.broker_id)?,
            epoch: BrokerEpoch::from_wire(record.broker_epoch),
            next: ProducerId::from_wire(record.next_producer_id)
                .ok_or_else(|| field("NextProducerId", record.next_producer_id))?,
        },
        MetadataLogRecord::RegisterController(record) => MetadataRecord::RegisterController(RegisterController {
            node: node("ControllerId", record.controller_id)?,
            incarnation: record.incarnation_id,
            endpoints: record
                .end_points
                .iter()
                .map(|end| Endpoint {
                    name: end.name.into_owned(),
                    host: end.host.into_owned(),
                    port: end.port,
                    security_protocol: end.security_protocol,
                })
                .collect(),
            features: record
                .features
                .iter()
                .map(|feature| FeatureRange {
                    name: feature.name.into_owned(),
                    min: feature.min_supported_version,
                    max: feature.max_supported_version,
                })
                .collect(),
        }),
        MetadataLogRecord::ClearElr(record) => MetadataRecord::ClearElr {
            topic: (!record.topic_name.is_empty()).then(|| record.topic_name.clone().into_owned()),
        },
        MetadataLogRecord::BeginTransaction(record) => {
            MetadataRecord::BeginTransaction { name: record.name.as_deref().map(str::to_owned) }
        }
        MetadataLogRecord::EndTransaction(_) => MetadataRecord::EndTransaction,
        MetadataLogRecord::AbortTransaction(record) => {
            MetadataRecord::AbortTransaction { reason: record.reason.as_deref().map(str::to_owned) }
        }
        MetadataLogRecord::NoOp(_) => MetadataRecord::NoOp,
        // 0: never was a ZooKeeper cluster; 3: the migration has long ended. Both ask for nothing.
        MetadataLogRecord::ZkMigrationState(record) if matches!(record.zk_migration_state, 0 | 3) => {
            MetadataRecord::NoOp
        }
        MetadataLogRecord::ZkMigrationState(_) => {
            return Err(TranslateError::Unsupported { kind: "an unfinished migration from ZooKeeper" });
        }
        MetadataLogRecord::AccessControlEntry(_) | MetadataLogRecord::RemoveAccessControlEntry(_) => {
            return Err(TranslateError::Unsupported { kind: "an access rule" });
        }
        MetadataLogRecord::UserScramCredential(_) | MetadataLogRecord::RemoveUserScramCredential(_) => {
            return Err(TranslateError::Unsupported { kind: "a SCRAM credential" });
        }
        MetadataLogRecord::DelegationToken(_) | MetadataLogRecord::RemoveDelegationToken(_) => {
            return Err(TranslateError::Unsupported { kind: "a delegation token" });
        }
        MetadataLogRecord::ClientQuota(_) => return Err(TranslateError::Unsupported { kind: "a client quota" }),
        _ => return Err(TranslateError::Unsupported { kind: "a metadata record of an unknown kind" }),
    })
}

fn register_broker(broker: &RegisterBroker) -> wire::RegisterBrokerRecord<'_> {
    let endpoint = |end: &'_ Endpoint| wire::register_broker_record::BrokerEndpoint {
        name: Cow::Owned(end.name.clone()),
        host: Cow::Owned(end.host.clone()),
        port: end.port,
        security_protocol: end.security_protocol,
        ..Default::default()
    };
    let feature = |feature: &'_ FeatureRange| wire::register_broker_record::BrokerFeature {
        name: Cow::Owned(feature.name.clone()),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
        ..Default::default()
    };
    wire::RegisterBrokerRecord {
        broker_id: broker.node.to_wire(),
        incarnation_id: broker.incarnation,
        broker_epoch: broker.epoch.to_wire(),
        end_points: broker.endpoints.iter().map(endpoint).collect(),
        features: broker.features.iter().map(feature).collect(),
        rack: broker.rack.as_deref().map(Cow::Borrowed),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: directories(&broker.log_dirs),
        ..Default::default()
    }
}

fn register_controller(controller: &RegisterController) -> MetadataLogRecord<'_> {
    let endpoint = |end: &'_ Endpoint| wire::register_controller_record::ControllerEndpoint {
        name: Cow::Owned(end.name.clone()),
        host: Cow::Owned(end.host.clone()),
        port: end.port,
        security_protocol: end.security_protocol,
        ..Default::default()
    };
    let feature = |feature: &'_ FeatureRange| wire::register_controller_record::ControllerFeature {
        name: Cow::Owned(feature.name.clone()),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
        ..Default::default()
    };
    MetadataLogRecord::RegisterController(wire::RegisterControllerRecord {
        controller_id: controller.node.to_wire(),
        incarnation_id: controller.incarnation,
        end_points: controller.endpoints.iter().map(endpoint).collect(),
        features: controller.features.iter().map(feature).collect(),
        ..Default::default()
    })
}

fn partition(record: &PartitionRecord) -> (MetadataLogRecord<'_>, i16) {
    let state = &record.state;
    let version = if state.elr.is_empty() && state.last_known_elr.is_empty() { 1 } else { 2 };
    let record = wire::PartitionRecord {
        partition_id: record.partition.to_wire(),
        topic_id: record.topic_id.0,
        replicas: ids(&state.replicas),
        isr: ids(&state.isr),
        removing_replicas: ids(&state.removing),
        adding_replicas: ids(&state.adding),
        leader: state.leader.map_or(-1, NodeId::to_wire),
        leader_recovery_state: recovery_code(state.recovery),
        leader_epoch: state.leader_epoch.to_wire(),
        partition_epoch: state.partition_epoch.to_wire(),
        directories: directories(&state.directories),
        eligible_leader_replicas: (!state.elr.is_empty()).then(|| ids(&state.elr)),
        last_known_elr: (!state.last_known_elr.is_empty()).then(|| ids(&state.last_known_elr)),
        ..Default::default()
    };
    (MetadataLogRecord::Partition(record), version)
}

fn partition_change(change: &PartitionChange) -> (MetadataLogRecord<'_>, i16) {
    let version = if change.elr.is_none() && change.last_known_elr.is_none() { 1 } else { 2 };
    let record = wire::PartitionChangeRecord {
        partition_id: change.partition.to_wire(),
        topic_id: change.topic_id.0,
        isr: change.isr.as_deref().map(ids),
        leader: change.leader.map_or(LEADER_UNCHANGED, |leader| leader.map_or(-1, NodeId::to_wire)),
        replicas: change.replicas.as_deref().map(ids),
        removing_replicas: change.removing.as_deref().map(ids),
        adding_replicas: change.adding.as_deref().map(ids),
        leader_recovery_state: change.recovery.map_or(-1, recovery_code),
        directories: change.directories.as_deref().map(directories),
        eligible_leader_replicas: change.elr.as_deref().map(ids),
        last_known_elr: change.last_known_elr.as_deref().map(ids),
        ..Default::default()
    };
    (MetadataLogRecord::PartitionChange(record), version)
}

fn ids<'a>(nodes: &[NodeId]) -> Array<'a, i32> {
    nodes.iter().map(|node| node.to_wire()).collect()
}

fn directories<'a>(ids: &[DirectoryId]) -> Array<'a, Uuid> {
    ids.iter().map(|id| id.0).collect()
}

fn nodes(name: &'static str, ids: &Array<'_, i32>) -> Result<Vec<NodeId>, TranslateError> {
    ids.iter().map(|id| node(name, id)).collect()
}

fn optional_nodes(name: &'static str, ids: Option<&Array<'_, i32>>) -> Result<Option<Vec<NodeId>>, TranslateError> {
    ids.map(|ids| nodes(name, ids)).transpose()
}

fn node(name: &'static str, id: i32) -> Result<NodeId, TranslateError> {
    NodeId::from_wire(id).ok_or_else(|| field(name, id))
}

fn broker_epoch(epoch: i64) -> Result<BrokerEpoch, TranslateError> {
    BrokerEpoch::from_wire(epoch).ok_or_else(|| field("BrokerEpoch", epoch))
}

fn partition_index(index: i32) -> Result<PartitionIndex, TranslateError> {
    PartitionIndex::from_wire(index).ok_or_else(|| field("PartitionId", index))
}

fn recovery(state: i8) -> Result<LeaderRecovery, TranslateError> {
    match state {
        0 => Ok(LeaderRecovery::Recovered),
        1 => Ok(LeaderRecovery::Recovering),
        other => Err(field("LeaderRecoveryState", other)),
    }
}

fn recovery_code(state: LeaderRecovery) -> i8 {
    match state {
        LeaderRecovery::Recovered => 0,
        LeaderRecovery::Recovering => 1,
    }
}

fn field(field: &'static str, value: impl Into<i64>) -> TranslateError {
    TranslateError::Field { field, value: value.into() }
}

/// In a partition change: the leader stays as it is.
const LEADER_UNCHANGED: i32 = -2;

#[cfg(test)]
mod tests {
    use super::*;

    /// One record of each kind, with every field set to something that is not its default.
    fn samples() -> Vec<MetadataRecord> {
        let node = NodeId::new(3);
        let epoch = BrokerEpoch(9);
        let id = TopicId(Uuid::from_bytes([7; 16]));
        let directory = DirectoryId(Uuid::from_bytes([8; 16]));
        let nodes = vec![node, NodeId::new(4)];
        let state = PartitionImage {
            replicas: nodes.clone(),
            isr: vec![node],
            removing: vec![NodeId::new(5)],
            adding: vec![NodeId::new(6)],
            leader: Some(node),
            recovery: LeaderRecovery::Recovering,
            leader_epoch: LeaderEpoch::new(11),
            partition_epoch: PartitionEpoch::new(12),
            directories: vec![directory, directory],
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        };
        let endpoints = vec![Endpoint { name: "PLAINTEXT".into(), host: "h".into(), port: 9092, security_protocol: 0 }];
        let features = vec![FeatureRange { name: "metadata.version".into(), min: 1, max: 30 }];
        let partition = PartitionIndex::new(2);
        vec![
            MetadataRecord::RegisterBroker(RegisterBroker {
                node,
                incarnation: Uuid::from_bytes([1; 16]),
                epoch,
                endpoints: endpoints.clone(),
                features: features.clone(),
                rack: Some("r".into()),
                fenced: false,
                in_controlled_shutdown: true,
                log_dirs: vec![directory],
            }),
            MetadataRecord::UnregisterBroker { node, epoch },
            MetadataRecord::Topic { name: TopicName::new("t").unwrap(), id },
            MetadataRecord::Partition(PartitionRecord { topic_id: id, partition, state: state.clone() }),
            MetadataRecord::Partition(PartitionRecord {
                topic_id: id,
                partition,
                state: PartitionImage { leader: None, elr: nodes.clone(), last_known_elr: vec![node], ..state },
            }),
            MetadataRecord::PartitionChange(PartitionChange {
                topic_id: id,
                partition,
                isr: Some(nodes.clone()),
                leader: Some(None),
                recovery: Some(LeaderRecovery::Recovered),
                directories: Some(vec![directory]),
                ..PartitionChange::default()
            }),
            MetadataRecord::PartitionChange(PartitionChange {
                topic_id: id,
                partition,
                leader: Some(Some(node)),
                elr: Some(nodes),
                ..PartitionChange::default()
            }),
            MetadataRecord::RemoveTopic { id },
            MetadataRecord::Config(ConfigChange {
                kind: ResourceKind::Topic,
                resource: "t".into(),
                name: "retention.ms".into(),
                value: None,
            }),
            MetadataRecord::FenceBroker { node, epoch },
            MetadataRecord::UnfenceBroker { node, epoch },
            MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
                node,
                epoch,
                fenced: Some(false),
                in_controlled_shutdown: true,
                log_dirs: Some(vec![directory]),
            }),
            MetadataRecord::FeatureLevel { name: "metadata.version".into(), level: 25 },
            MetadataRecord::ProducerIds { node, epoch: None, next: ProducerId::new(1000) },
            MetadataRecord::RegisterController(RegisterController {
                node,
                incarnation: Uuid::from_bytes([2; 16]),
                endpoints,
                features,
            }),
            MetadataRecord::ClearElr { topic: Some("t".into()) },
            MetadataRecord::BeginTransaction { name: Some("n".into()) },
            MetadataRecord::EndTransaction,
            MetadataRecord::AbortTransaction { reason: Some("r".into()) },
            MetadataRecord::NoOp,
        ]
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        for record in samples() {
            let (encoded, version) = to_wire(&record);
            let mut bytes = Vec::new();
            highwater_wire::metadata_frame::encode(&mut bytes, &encoded, version).unwrap();
            let (found, decoded) = highwater_wire::metadata_frame::decode(&bytes).unwrap();
            assert_eq!(found, version);
            assert_eq!(from_wire(&decoded).unwrap(), record);
        }
    }

    #[test]
    fn what_would_weaken_a_cluster_is_not_skipped() {
        for refused in [
            MetadataLogRecord::AccessControlEntry(Default::default()),
            MetadataLogRecord::ClientQuota(Default::default()),
            MetadataLogRecord::UserScramCredential(Default::default()),
            MetadataLogRecord::DelegationToken(Default::default()),
            MetadataLogRecord::ZkMigrationState(wire::ZkMigrationStateRecord {
                zk_migration_state: 2,
                ..Default::default()
            }),
        ] {
            assert!(matches!(from_wire(&refused), Err(TranslateError::Unsupported { .. })), "{refused:?}");
        }
        let ended = wire::ZkMigrationStateRecord { zk_migration_state: 3, ..Default::default() };
        assert_eq!(from_wire(&MetadataLogRecord::ZkMigrationState(ended)).unwrap(), MetadataRecord::NoOp);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let partition = wire::PartitionRecord { partition_id: -1, ..Default::default() };
        let change = wire::BrokerRegistrationChangeRecord { fenced: 5, ..Default::default() };
        for refused in [MetadataLogRecord::Partition(partition), MetadataLogRecord::BrokerRegistrationChange(change)] {
            assert!(matches!(from_wire(&refused), Err(TranslateError::Field { .. })), "{refused:?}");
        }
    }
}
