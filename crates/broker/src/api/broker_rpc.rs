//! What nodes ask the active controller: BrokerRegistration (62), BrokerHeartbeat (63), AlterPartition (56),
//! AllocateProducerIds (67), ControllerRegistration (70), AssignReplicasToDirs (73).

use std::collections::{BTreeMap, HashMap};

use highwater_metadata::{
    AlterIsr, AlterIsrResult, AlterPartition, AssignReplicasToDirs, BrokerHeartbeat, BrokerRegistration, Endpoint,
    FeatureRange, HeartbeatAnswer, LeaderRecovery, PartitionImage, ProducerIdBlock, RegisterController,
};
use highwater_types::{
    BrokerEpoch, DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, TopicId, Uuid,
};
use highwater_wire::messages::alter_partition_response::{PartitionData, TopicData};
use highwater_wire::messages::assign_replicas_to_dirs_response as assigned;
use highwater_wire::messages::controller_registration_request;
use highwater_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, BrokerRegistrationResponse, ControllerRegistrationRequest,
    ControllerRegistrationResponse,
};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;
use crate::quorum::Deciding;

pub(super) fn registration(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: BrokerRegistrationRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.listeners.len() + body.features.len() + body.log_dirs.len())?;
    let respond = |result: Result<BrokerEpoch, ErrorCode>| BrokerRegistrationResponse {
        error_code: result.err().unwrap_or(ErrorCode::None) as i16,
        broker_epoch: result.map_or(-1, wire_epoch),
        ..BrokerRegistrationResponse::default()
    };
    if body.cluster_id != cx.view.image.cluster_id() {
        return request.to.send(out, &respond(Err(ErrorCode::InconsistentClusterId)));
    }
    let Some(node) = NodeId::from_wire(body.broker_id) else {
        return request.to.send(out, &respond(Err(ErrorCode::InvalidRequest)));
    };
    let registration = BrokerRegistration {
        node,
        incarnation: body.incarnation_id,
        endpoints: body
            .listeners
            .iter()
            .map(|listener| Endpoint {
                name: listener.name.into_owned(),
                host: listener.host.into_owned(),
                port: listener.port,
                security_protocol: listener.security_protocol,
            })
            .collect(),
        features: body
            .features
            .iter()
            .map(|feature| FeatureRange {
                name: feature.name.into_owned(),
                min: feature.min_supported_version,
                max: feature.max_supported_version,
            })
            .collect(),
        rack: body.rack.as_ref().map(|rack| rack.as_ref().to_owned()),
        log_dirs: body.log_dirs.iter().map(DirectoryId).collect(),
        previous_epoch: u64::try_from(body.previous_broker_epoch).ok().map(BrokerEpoch),
    };
    let submitted = cx.node.quorum.decide_for_node(
        cx.peer.token(),
        move |deciding| {
            let image = deciding.controller.image();
            deciding.heartbeats.check_registration(&image, node, registration.incarnation, deciding.now)?;
            deciding.controller.register_broker(&registration, deciding.log_end)
        },
        move |done, epoch| {
            if let Some(heartbeats) = &mut done.heartbeats {
                heartbeats.registered(node, *epoch, done.now);
            }
        },
    );
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |result, to, out| {
            to.send(out, &respond(result.map_err(|error| error.to_code())))
        })),
        Err(busy) => request.to.send(out, &respond(Err(busy.to_code()))),
    }
}

pub(super) fn controller_registration(
    cx: &mut Cx<'_>,
    request: &Request<'_>,
    out: &mut Out,
) -> Result<Outcome, Refused> {
    let body: ControllerRegistrationRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.listeners.len() + body.features.len())?;
    let respond = |code: ErrorCode| ControllerRegistrationResponse {
        error_code: code as i16,
        error_message: (code != ErrorCode::None).then(|| code.to_string().into()),
        ..ControllerRegistrationResponse::default()
    };
    let Some(node) = NodeId::from_wire(body.controller_id) else {
        return request.to.send(out, &respond(ErrorCode::InvalidRequest));
    };
    let endpoint = |listener: controller_registration_request::Listener<'_>| Endpoint {
        name: listener.name.into_owned(),
        host: listener.host.into_owned(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    };
    let feature = |feature: controller_registration_request::Feature<'_>| FeatureRange {
        name: feature.name.into_owned(),
        min: feature.min_supported_version,
        max: feature.max_supported_version,
    };
    let registration = RegisterController {
        node,
        incarnation: body.incarnation_id,
        endpoints: body.listeners.iter().map(endpoint).collect(),
        features: body.features.iter().map(feature).collect(),
    };
    let decide = move |deciding: &mut Deciding<'_>| deciding.controller.register_controller(&registration);
    match cx.node.quorum.decide_for_node(cx.peer.token(), decide, |_, ()| {}) {
        Ok(job) => Ok(park_for(request, job, move |result, to, out| {
            to.send(out, &respond(result.err().map_or(ErrorCode::None, |error| error.to_code())))
        })),
        Err(busy) => request.to.send(out, &respond(busy.to_code())),
    }
}

pub(super) fn heartbeat(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: BrokerHeartbeatRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.offline_log_dirs.len())?;
    let respond = |result: Result<HeartbeatAnswer, ErrorCode>| match result {
        Ok(answer) => BrokerHeartbeatResponse {
            is_caught_up: answer.is_caught_up,
            is_fenced: answer.is_fenced(),
            should_shut_down: answer.should_shut_down(),
            ..BrokerHeartbeatResponse::default()
        },
        Err(code) => BrokerHeartbeatResponse { error_code: code as i16, ..BrokerHeartbeatResponse::default() },
    };
    let Some((node, epoch)) = sender(body.broker_id, body.broker_epoch) else {
        return request.to.send(out, &respond(Err(ErrorCode::StaleBrokerEpoch)));
    };
    let heartbeat = BrokerHeartbeat {
        node,
        epoch,
        metadata_offset: Offset::from_wire(body.current_metadata_offset).unwrap_or_default(),
        want_fence: body.want_fence,
        want_shutdown: body.want_shut_down,
        offline_log_dirs: body.offline_log_dirs.iter().map(DirectoryId).collect(),
    };
    let submitted = cx.node.quorum.decide_for_node(
        cx.peer.token(),
        move |deciding| {
            // The broker lives, however long the answer takes to be committed.
            deciding.heartbeats.touch(node, epoch, deciding.now);
            deciding.controller.broker_heartbeat(deciding.heartbeats, &heartbeat)
        },
        |done, answer| {
            if let Some(heartbeats) = &mut done.heartbeats {
                heartbeats.answered(answer, done.log_end, done.now);
            }
        },
    );
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |result, to, out| {
            to.send(out, &respond(result.map_err(|error| error.to_code())))
        })),
        Err(busy) => request.to.send(out, &respond(Err(busy.to_code()))),
    }
}

pub(super) fn alter_partition(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: AlterPartitionRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let refuse = |code: ErrorCode| AlterPartitionResponse { error_code: code as i16, ..Default::default() };
    let Some((node, epoch)) = sender(body.broker_id, body.broker_epoch) else {
        return request.to.send(out, &refuse(ErrorCode::StaleBrokerEpoch));
    };
    let version = request.version();
    let mut partitions = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let isr: Vec<(NodeId, Option<BrokerEpoch>)> = if VERSION_WITH_EPOCHS <= version {
                let members = partition.new_isr_with_epochs.iter();
                members
                    .filter_map(|member| Some((NodeId::from_wire(member.broker_id)?, epoch_of(member.broker_epoch))))
                    .collect()
            } else {
                partition.new_isr.iter().filter_map(|id| Some((NodeId::from_wire(id)?, None))).collect()
            };
            let index = PartitionIndex::from_wire(partition.partition_index);
            let leader_epoch = LeaderEpoch::from_wire(partition.leader_epoch);
            let partition_epoch = PartitionEpoch::from_wire(partition.partition_epoch);
            let (Some(index), Some(leader_epoch), Some(partition_epoch)) = (index, leader_epoch, partition_epoch)
            else {
                return request.to.send(out, &refuse(ErrorCode::InvalidRequest));
            };
            partitions.push(AlterIsr {
                topic_id: TopicId(topic.topic_id),
                partition: index,
                leader_epoch,
                partition_epoch,
                isr,
                recovery: match partition.leader_recovery_state {
                    0 => LeaderRecovery::Recovered,
                    _ => LeaderRecovery::Recovering,
                },
            });
        }
    }
    let alter = AlterPartition { node, epoch, partitions };
    let submitted = cx.node.quorum.decide_for_node(
        cx.peer.token(),
        move |deciding| deciding.controller.alter_partition(&alter),
        |_, _| {},
    );
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |result, to, out| match result {
            Ok(results) => to.send(out, &altered(results)),
            Err(error) => to.send(out, &refuse(error.to_code())),
        })),
        Err(busy) => request.to.send(out, &refuse(busy.to_code())),
    }
}

fn altered(results: Vec<AlterIsrResult>) -> AlterPartitionResponse<'static> {
    let mut topics: BTreeMap<TopicId, Vec<PartitionData<'static>>> = BTreeMap::new();
    for AlterIsrResult { topic_id, partition, result } in results {
        let data = PartitionData { partition_index: partition.to_wire(), ..PartitionData::default() };
        topics.entry(topic_id).or_default().push(match result {
            Ok(state) => state_of(data, &state),
            Err(error) => PartitionData { error_code: error.code as i16, ..data },
        });
    }
    let topics = topics.into_iter().map(|(id, partitions)| TopicData {
        topic_id: id.0,
        partitions: partitions.into(),
        ..TopicData::default()
    });
    AlterPartitionResponse { topics: topics.collect(), ..AlterPartitionResponse::default() }
}

fn state_of(data: PartitionData<'static>, state: &PartitionImage) -> PartitionData<'static> {
    PartitionData {
        leader_id: state.leader.map_or(-1, NodeId::to_wire),
        leader_epoch: state.leader_epoch.to_wire(),
        isr: state.isr.iter().map(|node| node.to_wire()).collect(),
        leader_recovery_state: i8::from(state.recovery == LeaderRecovery::Recovering),
        partition_epoch: state.partition_epoch.to_wire(),
        ..data
    }
}

pub(super) fn allocate_producer_ids(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: AllocateProducerIdsRequest<'_> = request.decode()?;
    let respond = |result: Result<ProducerIdBlock, ErrorCode>| match result {
        Ok(block) => AllocateProducerIdsResponse {
            producer_id_start: block.first.to_wire(),
            producer_id_len: i32::try_from(block.count).unwrap_or(i32::MAX),
            ..AllocateProducerIdsResponse::default()
        },
        Err(code) => AllocateProducerIdsResponse { error_code: code as i16, ..AllocateProducerIdsResponse::default() },
    };
    let Some((node, epoch)) = sender(body.broker_id, body.broker_epoch) else {
        return request.to.send(out, &respond(Err(ErrorCode::StaleBrokerEpoch)));
    };
    let submitted = cx.node.quorum.decide_for_node(
        cx.peer.token(),
        move |deciding| deciding.controller.allocate_producer_ids(node, epoch),
        |_, _| {},
    );
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |result, to, out| {
            to.send(out, &respond(result.map_err(|error| error.to_code())))
        })),
        Err(busy) => request.to.send(out, &respond(Err(busy.to_code()))),
    }
}

pub(super) fn assign_replicas_to_dirs(
    cx: &mut Cx<'_>,
    request: &Request<'_>,
    out: &mut Out,
) -> Result<Outcome, Refused> {
    let body: AssignReplicasToDirsRequest<'_> = request.decode()?;
    let topics = body.directories.iter().flat_map(|directory| directory.topics.iter().collect::<Vec<_>>());
    at_most(NAMES_MAX, topics.map(|topic| topic.partitions.len()).sum())?;
    let refuse = |code: ErrorCode| AssignReplicasToDirsResponse { error_code: code as i16, ..Default::default() };
    let Some((node, epoch)) = sender(body.broker_id, body.broker_epoch) else {
        return request.to.send(out, &refuse(ErrorCode::StaleBrokerEpoch));
    };
    let mut replicas = Vec::new();
    for directory in &body.directories {
        for topic in &directory.topics {
            for partition in &topic.partitions {
                let Some(index) = PartitionIndex::from_wire(partition.partition_index) else {
                    return request.to.send(out, &refuse(ErrorCode::InvalidRequest));
                };
                replicas.push((DirectoryId(directory.id), TopicId(topic.topic_id), index));
            }
        }
    }
    let asked = replicas.clone();
    let assign = AssignReplicasToDirs { node, epoch, replicas };
    let submitted = cx.node.quorum.decide_for_node(
        cx.peer.token(),
        move |deciding| deciding.controller.assign_replicas_to_dirs(&assign),
        |_, _| {},
    );
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |result, to, out| match result {
            Ok(results) => {
                let codes =
                    results.iter().map(|result| result.as_ref().err().map_or(ErrorCode::None, |error| error.code));
                to.send(out, &assigned_response(asked.iter().copied().zip(codes)))
            }
            Err(error) => to.send(out, &refuse(error.to_code())),
        })),
        Err(busy) => request.to.send(out, &refuse(busy.to_code())),
    }
}

fn assigned_response(
    results: impl Iterator<Item = ((DirectoryId, TopicId, PartitionIndex), ErrorCode)>,
) -> AssignReplicasToDirsResponse<'static> {
    let mut directories: HashMap<Uuid, BTreeMap<Uuid, Vec<assigned::PartitionData<'static>>>> = HashMap::new();
    for ((directory, topic, partition), code) in results {
        directories.entry(directory.0).or_default().entry(topic.0).or_default().push(assigned::PartitionData {
            partition_index: partition.to_wire(),
            error_code: code as i16,
            ..Default::default()
        });
    }
    let topic = |(id, partitions): (Uuid, Vec<assigned::PartitionData<'static>>)| assigned::TopicData {
        topic_id: id,
        partitions: partitions.into(),
        ..Default::default()
    };
    let directories = directories.into_iter().map(|(id, topics)| assigned::DirectoryData {
        id,
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    });
    AssignReplicasToDirsResponse { directories: directories.collect(), ..Default::default() }
}

/// The broker that asks, with its registration.
fn sender(id: i32, epoch: i64) -> Option<(NodeId, BrokerEpoch)> {
    Some((NodeId::from_wire(id)?, epoch_of(epoch)?))
}

fn epoch_of(wire: i64) -> Option<BrokerEpoch> {
    u64::try_from(wire).ok().map(BrokerEpoch)
}

fn wire_epoch(epoch: BrokerEpoch) -> i64 {
    i64::try_from(epoch.0).unwrap_or(-1)
}

/// The version of AlterPartition in which members of the in-sync set come with their registrations (KIP-903).
const VERSION_WITH_EPOCHS: i16 = 3;
