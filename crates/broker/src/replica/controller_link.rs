//! From a broker to the active controller, on this node or another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use highwater_metadata::{
    AlterIsrResult, AlterPartition, ApiError, AssignReplicasToDirs, BrokerHeartbeat, BrokerRegistration,
    CreateTopicResult, CreateTopics, LeaderRecovery, NewTopic, PartitionImage, ProducerIdBlock, RegisterController,
};
use highwater_types::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
};
use highwater_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, BrokerRegistrationResponse, ControllerRegistrationRequest,
    ControllerRegistrationResponse, CreateTopicsRequest, CreateTopicsResponse, EnvelopeRequest, EnvelopeResponse,
    alter_partition_request, assign_replicas_to_dirs_request, broker_registration_request,
    controller_registration_request, create_topics_request,
};
use highwater_wire::records_schema::embedded::default_principal_data::DefaultPrincipalData;
use highwater_wire::{ApiKey, Message, Writer};

use crate::peer::{PeerConfig, PeerConnection, PeerError};
use crate::quorum::{ControllerError, Deciding, QuorumHandle};
use crate::random::new_topic_id;

/// What every link of a broker works with.
#[derive(Clone)]
pub(crate) struct LinkSetup {
    pub(crate) quorum: Arc<QuorumHandle>,
    pub(crate) cluster_id: String,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// Asks the active controller, wherever it is. Blocks.
pub(crate) struct ControllerLink {
    setup: LinkSetup,
    connection: Option<(NodeId, PeerConnection)>,
}

/// Why the controller could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// It has refused.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// It cannot be reached, or makes no sense.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// There is none at present.
    #[error("no controller is active")]
    Nobody,
}

impl LinkError {
    /// The code that says it best.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Controller(error) => error.code(),
            Self::Peer(_) | Self::Nobody => ErrorCode::RequestTimedOut,
        }
    }
}

/// What a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    pub(crate) is_caught_up: bool,
    pub(crate) is_fenced: bool,
    pub(crate) should_shut_down: bool,
}

/// Where the active controller is.
enum Side<'a> {
    Here,
    There(&'a mut PeerConnection),
}

impl ControllerLink {
    pub(crate) fn new(setup: LinkSetup) -> Self {
        Self { setup, connection: None }
    }

    /// Registers this process as a broker.
    pub(crate) fn register(&mut self, registration: &BrokerRegistration) -> Result<BrokerEpoch, LinkError> {
        let (quorum, cluster_id) = (Arc::clone(&self.setup.quorum), self.setup.cluster_id.clone());
        let (timeout, registration) = (self.setup.timeout, registration.clone());
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    // The process that had this node's id before is gone: this one has its directories. Its session
                    // need not run out, as it must for a broker elsewhere.
                    let node = registration.node;
                    return Ok(quorum.decide_here(
                        timeout,
                        move |deciding| deciding.controller.register_broker(&registration, deciding.log_end),
                        move |done, epoch| {
                            if let Some(heartbeats) = &mut done.heartbeats {
                                heartbeats.registered(node, *epoch, done.now);
                            }
                        },
                    )?);
                }
                Side::There(connection) => connection,
            };
            let listeners = registration.endpoints.iter().map(|endpoint| broker_registration_request::Listener {
                name: endpoint.name.as_str().into(),
                host: endpoint.host.as_str().into(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
                ..Default::default()
            });
            let features = registration.features.iter().map(|feature| broker_registration_request::Feature {
                name: feature.name.as_str().into(),
                min_supported_version: feature.min,
                max_supported_version: feature.max,
                ..Default::default()
            });
            let request = BrokerRegistrationRequest {
                broker_id: registration.node.to_wire(),
                cluster_id: cluster_id.as_str().into(),
                incarnation_id: registration.incarnation,
                listeners: listeners.collect(),
                features: features.collect(),
                rack: registration.rack.as_deref().map(Into::into),
                log_dirs: registration.log_dirs.iter().map(|id| id.0).collect(),
                previous_broker_epoch: registration.previous_epoch.map_or(-1, wire_epoch),
                ..Default::default()
            };
            let response: BrokerRegistrationResponse<'_> = call(connection, 4, &request, timeout)?;
            check(response.error_code)?;
            Ok(BrokerEpoch(u64::try_from(response.broker_epoch).unwrap_or(0)))
        })
    }

    /// Registers this process as a controller.
    pub(crate) fn register_controller(&mut self, registration: &RegisterController) -> Result<(), LinkError> {
        let quorum = Arc::clone(&self.setup.quorum);
        let (timeout, registration) = (self.setup.timeout, registration.clone());
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    let decide =
                        move |deciding: &mut Deciding<'_>| deciding.controller.register_controller(&registration);
                    return Ok(quorum.decide_here(timeout, decide, |_, ()| {})?);
                }
                Side::There(connection) => connection,
            };
            let listeners = registration.endpoints.iter().map(|endpoint| controller_registration_request::Listener {
                name: endpoint.name.as_str().into(),
                host: endpoint.host.as_str().into(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
                ..Default::default()
            });
            let features = registration.features.iter().map(|feature| controller_registration_request::Feature {
                name: feature.name.as_str().into(),
                min_supported_version: feature.min,
                max_supported_version: feature.max,
                ..Default::default()
            });
            let request = ControllerRegistrationRequest {
                controller_id: registration.node.to_wire(),
                incarnation_id: registration.incarnation,
                listeners: listeners.collect(),
                features: features.collect(),
                ..Default::default()
            };
            let response: ControllerRegistrationResponse<'_> = call(connection, 0, &request, timeout)?;
            Ok(check(response.error_code)?)
        })
    }

    /// Says that this broker lives.
    pub(crate) fn heartbeat(&mut self, heartbeat: &BrokerHeartbeat) -> Result<Pulse, LinkError> {
        let quorum = Arc::clone(&self.setup.quorum);
        let (timeout, heartbeat) = (self.setup.timeout, heartbeat.clone());
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    let answer = quorum.decide_here(
                        timeout,
                        move |deciding| {
                            deciding.heartbeats.touch(heartbeat.node, heartbeat.epoch, deciding.now);
                            deciding.controller.broker_heartbeat(deciding.heartbeats, &heartbeat)
                        },
                        |done, answer| {
                            if let Some(heartbeats) = &mut done.heartbeats {
                                heartbeats.answered(answer, done.log_end, done.now);
                            }
                        },
                    )?;
                    return Ok(Pulse {
                        is_caught_up: answer.is_caught_up,
                        is_fenced: answer.is_fenced(),
                        should_shut_down: answer.should_shut_down(),
                    });
                }
                Side::There(connection) => connection,
            };
            let request = BrokerHeartbeatRequest {
                broker_id: heartbeat.node.to_wire(),
                broker_epoch: wire_epoch(heartbeat.epoch),
                current_metadata_offset: heartbeat.metadata_offset.to_wire(),
                want_fence: heartbeat.want_fence,
                want_shut_down: heartbeat.want_shutdown,
                offline_log_dirs: heartbeat.offline_log_dirs.iter().map(|id| id.0).collect(),
                ..Default::default()
            };
            let response: BrokerHeartbeatResponse<'_> = call(connection, 1, &request, timeout)?;
            check(response.error_code)?;
            Ok(Pulse {
                is_caught_up: response.is_caught_up,
                is_fenced: response.is_fenced,
                should_shut_down: response.should_shut_down,
            })
        })
    }

    /// Asks for other in-sync replicas. One result for each partition, in the order of the request.
    pub(crate) fn alter_partition(
        &mut self,
        request: &AlterPartition,
    ) -> Result<Vec<Result<PartitionImage, ErrorCode>>, LinkError> {
        let quorum = Arc::clone(&self.setup.quorum);
        let (timeout, asked) = (self.setup.timeout, request.clone());
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    let decide = move |deciding: &mut Deciding<'_>| deciding.controller.alter_partition(&asked);
                    let results: Vec<AlterIsrResult> = quorum.decide_here(timeout, decide, |_, _| {})?;
                    return Ok(results.into_iter().map(|one| one.result.map_err(|error| error.code)).collect());
                }
                Side::There(connection) => connection,
            };
            let response: AlterPartitionResponse<'_> = call(connection, 3, &alter_request(&asked), timeout)?;
            check(response.error_code)?;
            let mut answered = BTreeMap::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    answered.insert((topic.topic_id, partition.partition_index), altered(&partition));
                }
            }
            let missing = || Err(ErrorCode::UnknownServerError);
            let result = |one: &highwater_metadata::AlterIsr| {
                answered.remove(&(one.topic_id.0, one.partition.to_wire())).unwrap_or_else(missing)
            };
            Ok(asked.partitions.iter().map(result).collect())
        })
    }

    /// Asks for producer ids that nobody has had.
    pub(crate) fn allocate_producer_ids(
        &mut self,
        node: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<ProducerIdBlock, LinkError> {
        let quorum = Arc::clone(&self.setup.quorum);
        let timeout = self.setup.timeout;
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    let decide =
                        move |deciding: &mut Deciding<'_>| deciding.controller.allocate_producer_ids(node, epoch);
                    return Ok(quorum.decide_here(timeout, decide, |_, _| {})?);
                }
                Side::There(connection) => connection,
            };
            let request = AllocateProducerIdsRequest {
                broker_id: node.to_wire(),
                broker_epoch: wire_epoch(epoch),
                ..Default::default()
            };
            let response: AllocateProducerIdsResponse<'_> = call(connection, 0, &request, timeout)?;
            check(response.error_code)?;
            let first = ProducerId::from_wire(response.producer_id_start);
            let (Some(first), Ok(count)) = (first, u32::try_from(response.producer_id_len)) else {
                return Err(refused(ErrorCode::UnknownServerError));
            };
            Ok(ProducerIdBlock { first, count })
        })
    }

    /// Says in which directories replicas are.
    pub(crate) fn assign_replicas_to_dirs(&mut self, request: &AssignReplicasToDirs) -> Result<(), LinkError> {
        let quorum = Arc::clone(&self.setup.quorum);
        let (timeout, asked) = (self.setup.timeout, request.clone());
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    let decide = move |deciding: &mut Deciding<'_>| deciding.controller.assign_replicas_to_dirs(&asked);
                    quorum.decide_here(timeout, decide, |_, _| {})?;
                    return Ok(());
                }
                Side::There(connection) => connection,
            };
            let response: AssignReplicasToDirsResponse<'_> = call(connection, 0, &assign_request(&asked), timeout)?;
            Ok(check(response.error_code)?)
        })
    }

    /// Asks for topics. One code for each, in the order of the request.
    pub(crate) fn create_topics(&mut self, create: &CreateTopics) -> Result<Vec<ErrorCode>, LinkError> {
        let quorum = Arc::clone(&self.setup.quorum);
        let (timeout, create) = (self.setup.timeout, create.clone());
        self.ask(move |side| {
            let connection = match side {
                Side::Here => {
                    let ids: Vec<TopicId> = create.topics.iter().map(|_| new_topic_id()).collect();
                    let decide =
                        move |deciding: &mut Deciding<'_>| Ok(deciding.controller.create_topics(&create, &ids));
                    let results = quorum.decide_here(timeout, decide, |_, _| {})?;
                    let code =
                        |result: CreateTopicResult| result.result.err().map_or(ErrorCode::None, |error| error.code);
                    return Ok(results.into_iter().map(code).collect());
                }
                Side::There(connection) => connection,
            };
            let response: CreateTopicsResponse<'_> = call(connection, 7, &create_request(&create, timeout), timeout)?;
            let code = |code| ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
            Ok(response.topics.iter().map(|topic| code(topic.error_code)).collect())
        })
    }

    /// Hands the request of a client, with its header, to the active controller (KIP-590). The answer with its header;
    /// `None` if the active controller is this node.
    pub(crate) fn envelope(&mut self, request: &[u8], address: IpAddr) -> Result<Option<Vec<u8>>, LinkError> {
        let timeout = self.setup.timeout;
        self.ask(move |side| {
            let Side::There(connection) = side else { return Ok(None) };
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let request = EnvelopeRequest {
                request_data: request.into(),
                request_principal: Some(anonymous().into()),
                client_host_address: octets.into(),
                ..Default::default()
            };
            let response: EnvelopeResponse<'_> = call(connection, 0, &request, timeout)?;
            check(response.error_code)?;
            let answer = response.response_data.ok_or_else(|| refused(ErrorCode::UnknownServerError))?;
            Ok(Some(answer.into_owned()))
        })
    }

    /// Runs `call` where the active controller is, as far as it is known.
    fn ask<R>(&mut self, call: impl FnOnce(Side<'_>) -> Result<R, LinkError>) -> Result<R, LinkError> {
        let this = self.setup.quorum.node();
        let state = self.setup.quorum.state();
        let leader = state.wait_for_leader(this, LEADER_WAIT).ok_or(LinkError::Nobody)?;
        if leader == this {
            return call(Side::Here);
        }
        if self.connection.as_ref().is_some_and(|(node, _)| *node != leader) {
            self.connection = None;
        }
        if self.connection.is_none() {
            let (host, port) = state.leader_address(leader).ok_or(LinkError::Nobody)?;
            let config = PeerConfig { connect_timeout: CONNECT_TIMEOUT, ..PeerConfig::default() };
            self.connection = Some((leader, PeerConnection::connect(&host, port, &config)?));
        }
        let Some((_, connection)) = &mut self.connection else { return Err(LinkError::Nobody) };
        let result = call(Side::There(connection));
        let is_lost = match &result {
            Err(LinkError::Peer(error)) => !error.is_usable(),
            // It will say who leads now when it is asked for records.
            Err(LinkError::Controller(error)) => error.code() == ErrorCode::NotController,
            _ => false,
        };
        if is_lost {
            self.connection = None;
        }
        result
    }
}

fn call<'a, 'q, Q: Message<'q>, R: Message<'a>>(
    connection: &'a mut PeerConnection,
    version_max: i16,
    request: &Q,
    timeout: Duration,
) -> Result<R, PeerError> {
    let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
    let version = connection.version(api, version_max)?;
    connection.call(version, request, timeout)
}

fn check(code: i16) -> Result<(), ControllerError> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(ErrorCode::NotController) => Err(ControllerError::NotController),
        code => Err(ControllerError::Refused(ApiError::new(
            code.unwrap_or(ErrorCode::UnknownServerError),
            "the active controller has refused",
        ))),
    }
}

fn refused(code: ErrorCode) -> LinkError {
    LinkError::Controller(ControllerError::Refused(ApiError::new(code, "the answer makes no sense")))
}

/// Who is not known by name, as Kafka's default principal builder writes it: its version, then the principal.
fn anonymous() -> Vec<u8> {
    let mut bytes = vec![0, 0];
    let principal = DefaultPrincipalData { r#type: "User".into(), name: "ANONYMOUS".into(), ..Default::default() };
    principal.encode(0, &mut Writer::new(&mut bytes)).expect("both names are short");
    bytes
}

fn create_request(create: &CreateTopics, timeout: Duration) -> CreateTopicsRequest<'static> {
    let topic = |topic: &NewTopic| create_topics_request::CreatableTopic {
        name: topic.name.clone().into(),
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| create_topics_request::CreatableTopicConfig {
                name: name.clone().into(),
                value: value.clone().map(Into::into),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    CreateTopicsRequest {
        topics: create.topics.iter().map(topic).collect(),
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        ..Default::default()
    }
}

fn wire_epoch(epoch: BrokerEpoch) -> i64 {
    i64::try_from(epoch.0).unwrap_or(-1)
}

fn alter_request(asked: &AlterPartition) -> AlterPartitionRequest<'static> {
    let mut topics: BTreeMap<TopicId, Vec<alter_partition_request::PartitionData<'static>>> = BTreeMap::new();
    for one in &asked.partitions {
        let member = |(node, epoch): &(NodeId, Option<BrokerEpoch>)| alter_partition_request::BrokerState {
            broker_id: node.to_wire(),
            broker_epoch: epoch.map_or(-1, wire_epoch),
            ..Default::default()
        };
        topics.entry(one.topic_id).or_default().push(alter_partition_request::PartitionData {
            partition_index: one.partition.to_wire(),
            leader_epoch: one.leader_epoch.to_wire(),
            new_isr_with_epochs: one.isr.iter().map(member).collect(),
            leader_recovery_state: i8::from(one.recovery == LeaderRecovery::Recovering),
            partition_epoch: one.partition_epoch.to_wire(),
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(id, partitions)| alter_partition_request::TopicData {
        topic_id: id.0,
        partitions: partitions.into(),
        ..Default::default()
    });
    AlterPartitionRequest {
        broker_id: asked.node.to_wire(),
        broker_epoch: wire_epoch(asked.epoch),
        topics: topics.collect(),
        ..Default::default()
    }
}

/// What the controller says of one partition: of its state only what a leader needs.
fn altered(
    partition: &highwater_wire::messages::alter_partition_response::PartitionData<'_>,
) -> Result<PartitionImage, ErrorCode> {
    let code = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
    if code != ErrorCode::None {
        return Err(code);
    }
    let epochs = (LeaderEpoch::from_wire(partition.leader_epoch), PartitionEpoch::from_wire(partition.partition_epoch));
    let (Some(leader_epoch), Some(partition_epoch)) = epochs else { return Err(ErrorCode::UnknownServerError) };
    Ok(PartitionImage {
        replicas: Vec::new(),
        isr: partition.isr.iter().filter_map(NodeId::from_wire).collect(),
        removing: Vec::new(),
        adding: Vec::new(),
        leader: NodeId::from_wire(partition.leader_id),
        recovery: if partition.leader_recovery_state == 0 {
            LeaderRecovery::Recovered
        } else {
            LeaderRecovery::Recovering
        },
        leader_epoch,
        partition_epoch,
        directories: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    })
}

fn assign_request(asked: &AssignReplicasToDirs) -> AssignReplicasToDirsRequest<'static> {
    let mut directories: BTreeMap<_, BTreeMap<TopicId, Vec<PartitionIndex>>> = BTreeMap::new();
    for (directory, topic, partition) in &asked.replicas {
        directories.entry(*directory).or_default().entry(*topic).or_default().push(*partition);
    }
    let topic = |(id, partitions): (TopicId, Vec<PartitionIndex>)| assign_replicas_to_dirs_request::TopicData {
        topic_id: id.0,
        partitions: partitions
            .into_iter()
            .map(|index| assign_replicas_to_dirs_request::PartitionData {
                partition_index: index.to_wire(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let directories = directories.into_iter().map(|(id, topics)| assign_replicas_to_dirs_request::DirectoryData {
        id: id.0,
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    });
    AssignReplicasToDirsRequest {
        broker_id: asked.node.to_wire(),
        broker_epoch: wire_epoch(asked.epoch),
        directories: directories.collect(),
        ..Default::default()
    }
}

/// How long a call waits for somebody to lead.
const LEADER_WAIT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
