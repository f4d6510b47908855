//! Administration of the cluster: who is in it, where replicas are, and who leads.

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use highwater_wire::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use highwater_wire::messages::elect_leaders_request::TopicPartitions;
use highwater_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use highwater_wire::messages::*;

use crate::common::{Client, TestBroker, code, metadata_request};
use crate::quorum::features_request;
use crate::several::until;

pub(crate) fn unregister(client: &mut Client, broker_id: i32) -> (ErrorCode, String) {
    let answer = client.call(0, &UnregisterBrokerRequest { broker_id, ..Default::default() });
    let response: UnregisterBrokerResponse<'_> = answer.body();
    (code(response.error_code), response.error_message.unwrap_or_default().into_owned())
}

type Told = (String, i32, ErrorCode, Option<String>);

fn told(topic: &str, partition: i32, error: ErrorCode, message: &str) -> Told {
    (topic.to_owned(), partition, error, Some(message.to_owned()))
}

/// Where partitions are to be: `None` cancels.
type Move<'a> = (&'a str, i32, Option<&'a [i32]>);

fn reassign(client: &mut Client, version: i16, may_change_factor: bool, moves: &[Move<'_>]) -> Vec<Told> {
    let topic = |(name, index, replicas): &Move<'_>| {
        let partition = ReassignablePartition {
            partition_index: *index,
            replicas: replicas.map(|replicas| replicas.to_vec().into()),
            ..Default::default()
        };
        let partitions = vec![partition].into();
        ReassignableTopic { name: (*name).to_owned().into(), partitions, ..Default::default() }
    };
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: 10_000,
        allow_replication_factor_change: may_change_factor,
        topics: moves.iter().map(topic).collect(),
        ..Default::default()
    };
    let answer = client.call(version, &request);
    let response: AlterPartitionReassignmentsResponse<'_> = answer.body();
    assert_eq!((response.error_code, response.error_message), (0, None));
    assert_eq!(response.allow_replication_factor_change, may_change_factor);
    let mut all = Vec::new();
    for topic in &response.responses {
        all.extend(topic.partitions.iter().map(|partition| {
            let message = partition.error_message.map(std::borrow::Cow::into_owned);
            (topic.name.clone().into_owned(), partition.partition_index, code(partition.error_code), message)
        }));
    }
    all
}

#[test]
fn reassignments_are_checked_one_by_one() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let done = |index| ("t".to_owned(), index, ErrorCode::None, None);
    assert_eq!(reassign(&mut client, 0, true, &[("t", 0, Some(&[1]))]), [done(0)], "it is there already");
    assert_eq!(reassign(&mut client, 1, false, &[("t", 0, Some(&[1]))]), [done(0)]);
    assert_eq!(reassign(&mut client, 1, true, &[]), []);
    // Codes and messages of Kafka 4.3.
    let invalid = |message| told("t", 0, ErrorCode::InvalidReplicaAssignment, message);
    let cases: [(&[i32], &str); 4] = [
        (&[9], "The manual partition assignment includes broker 9, but no such broker is registered."),
        (&[1, 1], "The manual partition assignment includes the broker 1 more than once."),
        (&[-1], "The manual partition assignment includes broker -1, but no such broker is registered."),
        (&[], "The manual partition assignment includes an empty replica list."),
    ];
    for (replicas, message) in cases {
        assert_eq!(reassign(&mut client, 1, true, &[("t", 0, Some(replicas))]), [invalid(message)]);
    }
    let moves = [
        ("nope", 0, Some(&[1][..])),
        ("t", -1, Some(&[1])),
        ("t", 7, Some(&[1])),
        ("t", 0, None),
        ("t", 1, Some(&[1])),
    ];
    let expected = [
        told("nope", 0, ErrorCode::UnknownTopicOrPartition, "Unable to find a topic named nope."),
        told("t", -1, ErrorCode::UnknownTopicOrPartition, "Unable to find partition t:-1."),
        told("t", 7, ErrorCode::UnknownTopicOrPartition, "Unable to find partition t:7."),
        // Kafka leaves it to the client to say so.
        told("t", 0, ErrorCode::NoReassignmentInProgress, "No partition reassignment is in progress."),
        done(1),
    ];
    assert_eq!(reassign(&mut client, 1, true, &moves), expected);
}

#[test]
fn nothing_is_moving_on_a_single_broker() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let asked = |name: &str, indexes: &[i32]| ListPartitionReassignmentsTopics {
        name: name.to_owned().into(),
        partition_indexes: indexes.to_vec().into(),
        ..Default::default()
    };
    for topics in [None, Some(vec![]), Some(vec![asked("nope", &[0]), asked("t", &[0, -1, 9])])] {
        let topics = topics.map(Into::into);
        let answer = client.call(0, &ListPartitionReassignmentsRequest { topics, ..Default::default() });
        let response: ListPartitionReassignmentsResponse<'_> = answer.body();
        assert_eq!((response.error_code, response.error_message, response.topics.len()), (0, None, 0));
    }
}

fn elect(client: &mut Client, version: i16, kind: i8, topics: Option<&[(&str, &[i32])]>) -> (ErrorCode, Vec<Told>) {
    let topic = |(name, indexes): &(&str, &[i32])| TopicPartitions {
        topic: (*name).to_owned().into(),
        partitions: indexes.to_vec().into(),
        ..Default::default()
    };
    let topic_partitions = topics.map(|topics| topics.iter().map(topic).collect());
    let request =
        ElectLeadersRequest { election_type: kind, topic_partitions, timeout_ms: 10_000, ..Default::default() };
    let answer = client.call(version, &request);
    let response: ElectLeadersResponse<'_> = answer.body();
    let mut all = Vec::new();
    for topic in &response.replica_election_results {
        all.extend(topic.partition_result.iter().map(|partition| {
            let message = partition.error_message.map(std::borrow::Cow::into_owned);
            (topic.topic.clone().into_owned(), partition.partition_id, code(partition.error_code), message)
        }));
    }
    (code(response.error_code), all)
}

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

#[test]
fn elections_are_for_partitions_that_need_them() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let not_needed =
        |index| told("t", index, ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.");
    for (version, kind) in [(0, PREFERRED), (1, PREFERRED), (2, PREFERRED), (1, UNCLEAN), (2, UNCLEAN)] {
        let elected = elect(&mut client, version, kind, Some(&[("t", &[0, 1])]));
        assert_eq!(elected, (ErrorCode::None, vec![not_needed(0), not_needed(1)]));
    }
    let unknown = elect(&mut client, 2, PREFERRED, Some(&[("nope", &[0]), ("t", &[-1, 9, 0, 0])]));
    let expected = [
        told("nope", 0, ErrorCode::UnknownTopicOrPartition, "No such topic as nope"),
        told("t", -1, ErrorCode::UnknownTopicOrPartition, "No such partition as t--1"),
        told("t", 9, ErrorCode::UnknownTopicOrPartition, "No such partition as t-9"),
        not_needed(0),
    ];
    assert_eq!((unknown.0, &unknown.1[..4]), (ErrorCode::None, &expected[..]));
    assert_eq!((unknown.1.len(), unknown.1[4].2), (5, ErrorCode::ElectionNotNeeded));
    let unknown = elect(&mut client, 2, 9, Some(&[("t", &[0])]));
    let expected = told("t", 0, ErrorCode::InvalidRequest, "Unknown election type 9");
    assert_eq!(unknown, (ErrorCode::InvalidRequest, vec![expected]));
    assert_eq!(elect(&mut client, 1, 9, None), (ErrorCode::InvalidRequest, vec![]));
    assert_eq!(elect(&mut client, 2, PREFERRED, None), (ErrorCode::None, vec![]), "none needs one");

    assert_eq!(unregister(&mut client, 1).0, ErrorCode::None);
    let unavailable =
        |index| told("t", index, ErrorCode::PreferredLeaderNotAvailable, "The preferred leader was not available.");
    let ineligible = |index| {
        let message = "Eligible topic partition leaders are not available.";
        told("t", index, ErrorCode::EligibleLeadersNotAvailable, message)
    };
    let one: Option<&[(&str, &[i32])]> = Some(&[("t", &[0])]);
    assert_eq!(elect(&mut client, 2, PREFERRED, one), (ErrorCode::None, vec![unavailable(0)]));
    assert_eq!(elect(&mut client, 2, UNCLEAN, one), (ErrorCode::None, vec![ineligible(0)]));
    assert_eq!(elect(&mut client, 2, PREFERRED, None), (ErrorCode::None, vec![unavailable(0), unavailable(1)]));
    assert_eq!(elect(&mut client, 2, UNCLEAN, None), (ErrorCode::None, vec![ineligible(0), ineligible(1)]));
}

#[test]
fn partitions_of_an_unregistered_broker_have_no_leader() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for id in [9, -1] {
        let message = format!("Broker ID {id} is not currently registered");
        assert_eq!(unregister(&mut client, id), (ErrorCode::BrokerIdNotRegistered, message));
    }
    assert_eq!(unregister(&mut client, 1), (ErrorCode::None, String::new()));
    assert_eq!(unregister(&mut client, 1).0, ErrorCode::BrokerIdNotRegistered);
    for version in [1, 4, 5, 13] {
        let answer = client.call(version, &metadata_request(&["t"]));
        let response: MetadataResponse<'_> = answer.body();
        assert!(response.brokers.is_empty());
        let topic = response.topics.iter().next().unwrap();
        let partition = topic.partitions.iter().next().unwrap();
        assert_eq!(topic.error_code, 0);
        assert_eq!((code(partition.error_code), partition.leader_id), (ErrorCode::LeaderNotAvailable, -1));
        assert_eq!(partition.replica_nodes.iter().collect::<Vec<_>>(), [1]);
        let offline: &[i32] = if 5 <= version { &[1] } else { &[] };
        assert_eq!(partition.offline_replicas.iter().collect::<Vec<_>>(), offline, "version {version}");
    }
    let answer = client.call(
        0,
        &DescribeTopicPartitionsRequest {
            topics: vec![describe_topic_partitions_request::TopicRequest { name: "t".into(), ..Default::default() }]
                .into(),
            response_partition_limit: 2000,
            ..Default::default()
        },
    );
    let response: DescribeTopicPartitionsResponse<'_> = answer.body();
    let partition = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
    assert_eq!((partition.error_code, partition.leader_id), (0, -1), "as Kafka, which has no error here");
    assert_eq!(partition.offline_replicas.iter().collect::<Vec<_>>(), [1]);
}

fn move_to(client: &mut Client, version: i16, moves: &[(&str, &str, i32)]) -> Vec<(String, i32, ErrorCode)> {
    let dir = |(path, topic, index): &(&str, &str, i32)| AlterReplicaLogDir {
        path: (*path).to_owned().into(),
        topics: vec![AlterReplicaLogDirTopic {
            name: (*topic).to_owned().into(),
            partitions: vec![*index].into(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    };
    let request = AlterReplicaLogDirsRequest { dirs: moves.iter().map(dir).collect(), ..Default::default() };
    let answer = client.call(version, &request);
    let response: AlterReplicaLogDirsResponse<'_> = answer.body();
    let mut all = Vec::new();
    for topic in &response.results {
        all.extend(topic.partitions.iter().map(|partition| {
            (topic.topic_name.clone().into_owned(), partition.partition_index, code(partition.error_code))
        }));
    }
    all
}

/// The directory that has partition 0 of `t`, and the other one.
fn directories(client: &mut Client) -> (String, String) {
    let answer = client.call(4, &DescribeLogDirsRequest { topics: None, ..Default::default() });
    let response: DescribeLogDirsResponse<'_> = answer.body();
    let (with, without): (Vec<_>, Vec<_>) = response.results.iter().partition(|dir| !dir.topics.is_empty());
    (with[0].log_dir.clone().into_owned(), without[0].log_dir.clone().into_owned())
}

#[test]
fn replicas_stay_in_their_log_directories() {
    let broker = TestBroker::start_with(&[("log.dirs", "a,b")]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let (here, there) = directories(&mut client);
    let (here, there) = (here.as_str(), there.as_str());
    let t = |index, code| ("t".to_owned(), index, code);
    let nope = |code| ("nope".to_owned(), 0, code);
    for version in [1, 2] {
        let moved = move_to(&mut client, version, &[("/nope", "t", 0), ("/nope", "nope", 0), ("rel", "t", 9)]);
        let not_found = ErrorCode::LogDirNotFound;
        assert_eq!(moved, [nope(not_found), t(0, not_found), t(9, not_found)]);
        let moved =
            move_to(&mut client, version, &[(here, "t", 0), (here, "nope", 0), (here, "t", 9), (there, "t", -1)]);
        let unknown = ErrorCode::UnknownTopicOrPartition;
        assert_eq!(moved, [nope(unknown), t(-1, unknown), t(0, ErrorCode::None), t(9, unknown)]);
    }
    // What Kafka would do, and what is not claimed here.
    assert_eq!(move_to(&mut client, 2, &[(there, "t", 0)]), [t(0, ErrorCode::UnsupportedVersion)]);
    assert_eq!(directories(&mut client), (here.to_owned(), there.to_owned()));
    assert_eq!(move_to(&mut client, 2, &[(there, "t", 0), (here, "t", 0)]), [t(0, ErrorCode::None)], "the last counts");
    assert_eq!(move_to(&mut client, 2, &[(here, "t", 0), ("/nope", "t", 0)]), [t(0, ErrorCode::LogDirNotFound)]);
    let slash = format!("{here}/");
    assert_eq!(move_to(&mut client, 2, &[(&slash, "t", 0)]), [t(0, ErrorCode::LogDirNotFound)], "as written elsewhere");
    assert_eq!(move_to(&mut client, 2, &[]), []);
}

/// Code, message, endpoint type, controller, and every broker with its port.
type Described = (ErrorCode, Option<String>, i8, i32, Vec<(i32, i32)>);

fn describe(client: &mut Client, version: i16, endpoint_type: i8) -> Described {
    let answer = client.call(version, &DescribeClusterRequest { endpoint_type, ..Default::default() });
    let response: DescribeClusterResponse<'_> = answer.body();
    assert_eq!(response.cluster_id.is_empty(), response.error_code != 0);
    let brokers = response.brokers.iter().map(|broker| (broker.broker_id, broker.port)).collect();
    let message = response.error_message.map(std::borrow::Cow::into_owned);
    (code(response.error_code), message, response.endpoint_type, response.controller_id, brokers)
}

#[test]
fn each_listener_describes_the_nodes_behind_it() {
    let broker = TestBroker::start_with(&[
        ("node.id", "1"),
        ("process.roles", "broker,controller"),
        ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
        ("controller.listener.names", "CONTROLLER"),
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
    ]);
    let refused = |code, message: &str| (code, Some(message.to_owned()), 1, -1, vec![]);
    let mut client = broker.client();
    let port = i32::from(broker.address().port());
    for version in [0, 1, 2] {
        assert_eq!(describe(&mut client, version, 1), (ErrorCode::None, None, 1, 1, vec![(1, port)]));
    }
    let mut controller = Client::connect(broker.broker().local_addrs()[1]);
    let registered = i32::from(controller.peer().port());
    for version in [1, 2] {
        let to_controllers =
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        assert_eq!(describe(&mut client, version, 2), refused(ErrorCode::MismatchedEndpointType, to_controllers));
        let itself = (ErrorCode::None, None, 2, 1, vec![(1, registered)]);
        let described =
            until("it has registered", || Some(describe(&mut controller, version, 2)).filter(|d| !d.4.is_empty()));
        assert_eq!(described, itself);
        for client in [&mut client, &mut controller] {
            let unknown = refused(ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type 9");
            assert_eq!(describe(client, version, 9), unknown);
        }
    }
    let to_brokers = "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER";
    assert_eq!(describe(&mut controller, 0, 1), refused(ErrorCode::InvalidRequest, to_brokers));
    assert_eq!(describe(&mut controller, 2, 1), refused(ErrorCode::MismatchedEndpointType, to_brokers));
}

fn register_controller(client: &mut Client, node: i32, level_max: i16, ports: &[u16]) -> ErrorCode {
    use controller_registration_request::{Feature, Listener};
    let listener =
        |port: &u16| Listener { name: "CONTROLLER".into(), host: "h".into(), port: *port, ..Default::default() };
    let feature = |(name, min, max): (&'static str, i16, i16)| Feature {
        name: name.into(),
        min_supported_version: min,
        max_supported_version: max,
        ..Default::default()
    };
    let request = ControllerRegistrationRequest {
        controller_id: node,
        incarnation_id: Uuid::from_bytes([7; 16]),
        listeners: ports.iter().map(listener).collect(),
        features: [("metadata.version", 22, level_max), ("group.version", 0, 1)].map(feature).into_iter().collect(),
        ..Default::default()
    };
    let answer = client.call(0, &request);
    code(answer.body::<ControllerRegistrationResponse<'_>>().error_code)
}

/// KIP-919: controllers are found by what they have registered, and hold features back that they do not know.
#[test]
fn controllers_register() {
    let mut broker = TestBroker::start_with(&[
        ("node.id", "1"),
        ("process.roles", "broker,controller"),
        ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
        ("controller.listener.names", "CONTROLLER"),
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
    ]);
    let mut controller = Client::connect(broker.broker().local_addrs()[1]);
    assert_eq!(register_controller(&mut controller, 7, 26, &[]), ErrorCode::InvalidRegistration);
    assert_eq!(register_controller(&mut controller, -7, 26, &[1]), ErrorCode::InvalidRequest);
    assert_eq!(register_controller(&mut controller, 7, 26, &[1234]), ErrorCode::None);
    let both = |controller: &mut Client| {
        until("both are known", || Some(describe(controller, 2, 2).4).filter(|known| known.len() == 2))
    };
    assert_eq!(both(&mut controller)[1], (7, 1234));
    let update = |broker: &TestBroker, level| {
        let answer = broker.client().call(1, &features_request(1, &[("metadata.version", level, 1)]));
        let response: UpdateFeaturesResponse<'_> = answer.body();
        (code(response.error_code), response.error_message.unwrap_or_default().into_owned())
    };
    let (error, message) = update(&broker, 27);
    assert_eq!(error, ErrorCode::InvalidUpdateVersion);
    assert!(message.ends_with("Controller 7 only supports versions 22-26"), "{message}");
    assert_eq!(update(&broker, 26).0, ErrorCode::None);
    // It is in the metadata log; this node has another port then, and says so.
    broker.restart();
    let mut controller = Client::connect(broker.broker().local_addrs()[1]);
    let port = i32::from(controller.peer().port());
    let known = until("it has registered again", || Some(both(&mut controller)).filter(|known| known[0] == (1, port)));
    assert_eq!(known, [(1, port), (7, 1234)]);
}
