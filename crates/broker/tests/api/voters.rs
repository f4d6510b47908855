//! Who decides in the metadata quorum, and who does not (KIP-853).

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use highwater_broker::{Broker, BrokerConfig, FormatError, InitialControllers, format};
use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::*;

use crate::common::{Client, TestBroker, code};
use crate::quorum::quorum_request;

/// A port that was free just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn config(directory: &Path, port: u16, more: &[(&str, &str)]) -> BrokerConfig {
    let own = [
        ("node.id", "1".to_owned()),
        ("process.roles", "broker,controller".to_owned()),
        ("listeners", format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("controller.quorum.bootstrap.servers", format!("127.0.0.1:{port}")),
        ("controller.quorum.request.timeout.ms", "300".to_owned()),
        ("log.dirs", directory.display().to_string()),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let more = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    BrokerConfig::new(own.chain(more).collect::<BTreeMap<_, _>>()).unwrap()
}

/// A broker that is a controller and decides alone, by what is in its log.
fn standalone(directory: &Path) -> (Broker, u16) {
    let port = free_port();
    let config = config(directory, port, &[]);
    assert_eq!(format(&config, "cluster", &InitialControllers::Standalone).unwrap(), [directory]);
    (Broker::start(&config).unwrap(), port)
}

fn directory_id(directory: &Path) -> Uuid {
    let meta = fs::read_to_string(directory.join("meta.properties")).unwrap();
    meta.lines().find_map(|line| line.strip_prefix("directory.id=")).unwrap().parse().unwrap()
}

fn add(
    client: &mut Client,
    cluster_id: Option<&str>,
    id: i32,
    directory: Uuid,
    listener: &str,
    port: u16,
) -> ErrorCode {
    let listener = add_raft_voter_request::Listener {
        name: listener.to_owned().into(),
        host: "127.0.0.1".into(),
        port,
        ..Default::default()
    };
    let request = AddRaftVoterRequest {
        cluster_id: cluster_id.map(|id| id.to_owned().into()),
        timeout_ms: 1000,
        voter_id: id,
        voter_directory_id: directory,
        listeners: vec![listener].into(),
        ..Default::default()
    };
    let answer = client.call(1, &request);
    let response: AddRaftVoterResponse<'_> = answer.body();
    code(response.error_code)
}

fn remove(client: &mut Client, id: i32, directory: Uuid) -> ErrorCode {
    let request =
        RemoveRaftVoterRequest { cluster_id: None, voter_id: id, voter_directory_id: directory, ..Default::default() };
    let answer = client.call(0, &request);
    let response: RemoveRaftVoterResponse<'_> = answer.body();
    code(response.error_code)
}

#[test]
fn changes_that_cannot_be_made_are_refused_with_kafkas_codes() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, port) = standalone(directory.path());
    let own = directory_id(directory.path());
    let new = Uuid::from_bytes([7; 16]);
    for address in broker.local_addrs() {
        let mut client = Client::connect(*address);
        let cases = [
            (add(&mut client, Some("other"), 2, new, "CONTROLLER", port), ErrorCode::InconsistentClusterId),
            (add(&mut client, Some("cluster"), -1, new, "CONTROLLER", port), ErrorCode::InvalidRequest),
            (add(&mut client, None, 2, Uuid::ZERO, "CONTROLLER", port), ErrorCode::InvalidRequest),
            (add(&mut client, None, 2, new, "PLAINTEXT", port), ErrorCode::InvalidRequest),
            (add(&mut client, None, 1, new, "CONTROLLER", port), ErrorCode::DuplicateVoter),
            // Nobody listens there.
            (add(&mut client, None, 2, new, "CONTROLLER", free_port()), ErrorCode::RequestTimedOut),
            // This answers and fetches nothing.
            (add(&mut client, None, 2, new, "CONTROLLER", port), ErrorCode::RequestTimedOut),
            (remove(&mut client, 1, new), ErrorCode::VoterNotFound),
            (remove(&mut client, 1, own), ErrorCode::VoterNotFound),
        ];
        for (number, (answered, expected)) in cases.into_iter().enumerate() {
            assert_eq!(answered, expected, "case {number} at {address}");
        }
    }
}

#[test]
fn a_voter_says_where_it_is_to_its_leader_only() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, port) = standalone(directory.path());
    let mut client = Client::connect(broker.local_addrs()[1]);
    let mut update = |epoch, id, directory, listener: &'static str| {
        let listener = update_raft_voter_request::Listener {
            name: listener.into(),
            host: "elsewhere".into(),
            port,
            ..Default::default()
        };
        let request = UpdateRaftVoterRequest {
            cluster_id: None,
            current_leader_epoch: epoch,
            voter_id: id,
            voter_directory_id: directory,
            listeners: vec![listener].into(),
            kraft_version_feature: update_raft_voter_request::KRaftVersionFeature {
                max_supported_version: 1,
                ..Default::default()
            },
            ..Default::default()
        };
        let answer = client.call(0, &request);
        let response: UpdateRaftVoterResponse<'_> = answer.body();
        let leader = &response.current_leader;
        (code(response.error_code), leader.leader_id, leader.host.clone().into_owned())
    };
    let own = directory_id(directory.path());
    let answered = |code, host: &str| (code, 1, host.to_owned());
    assert_eq!(update(0, 1, own, "CONTROLLER"), answered(ErrorCode::FencedLeaderEpoch, "127.0.0.1"));
    assert_eq!(update(9, 1, own, "CONTROLLER"), answered(ErrorCode::UnknownLeaderEpoch, "127.0.0.1"));
    assert_eq!(update(1, 2, own, "CONTROLLER"), answered(ErrorCode::VoterNotFound, "127.0.0.1"));
    assert_eq!(update(1, 1, own, "OTHER").0, ErrorCode::InvalidRequest);
    assert_eq!(update(1, 1, own, "CONTROLLER"), answered(ErrorCode::None, "elsewhere"));
}

#[test]
fn voters_of_the_configuration_are_not_changed() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    assert_eq!(add(&mut client, None, 2, Uuid::from_bytes([7; 16]), "", 9093), ErrorCode::UnsupportedVersion);
    assert_eq!(remove(&mut client, 1, Uuid::from_bytes([7; 16])), ErrorCode::UnsupportedVersion);
}

#[test]
fn a_quorum_is_described_with_directories_where_there_is_room_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, port) = standalone(directory.path());
    let describe = |address: SocketAddr, version| {
        let answer = Client::connect(address).call(version, &quorum_request("__cluster_metadata", &[0]));
        let response: DescribeQuorumResponse<'_> = answer.body();
        let partition = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
        let voter = partition.current_voters.iter().next().unwrap();
        let port = |node: describe_quorum_response::Node<'_>| node.listeners.iter().next().map(|one| one.port);
        let ports: Vec<u16> = response.nodes.iter().filter_map(port).collect();
        (voter.replica_id, voter.replica_directory_id, ports)
    };
    let own = directory_id(directory.path());
    for address in broker.local_addrs() {
        assert_eq!(describe(*address, 2), (1, own, vec![port]));
        assert_eq!(describe(*address, 1), (1, Uuid::ZERO, vec![]));
    }
    let answer = Client::connect(broker.local_addr()).call(
        4,
        &ApiVersionsRequest {
            client_software_name: "t".into(),
            client_software_version: "1".into(),
            ..Default::default()
        },
    );
    let response: ApiVersionsResponse<'_> = answer.body();
    let supported = response.supported_features.iter().find(|feature| feature.name == "kraft.version").unwrap();
    assert_eq!((supported.min_version, supported.max_version), (0, 1));
    let finalized = response.finalized_features.iter().find(|feature| feature.name == "kraft.version").unwrap();
    assert_eq!((finalized.min_version_level, finalized.max_version_level), (1, 1));
}

#[test]
fn who_decides_is_kept_over_restarts_and_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, port) = standalone(directory.path());
    broker.shutdown();
    let state = fs::read_to_string(directory.path().join("__cluster_metadata-0/quorum-state")).unwrap();
    assert!(state.contains("\"data_version\":1") && !state.contains("currentVoters"), "{state}");
    let config = config(directory.path(), port, &[]);
    // What is formatted stays as it is.
    for controllers in [InitialControllers::Standalone, InitialControllers::Others] {
        assert_eq!(format(&config, "cluster", &controllers).unwrap(), Vec::<std::path::PathBuf>::new());
    }
    let broker = Broker::start(&config).unwrap();
    let mut client = Client::connect(broker.local_addr());
    assert_eq!(remove(&mut client, 1, directory_id(directory.path())), ErrorCode::VoterNotFound, "it decides alone");
}

#[test]
fn a_controller_that_joins_others_decides_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (port, other) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let config = config(directory.path(), port, &[("controller.quorum.bootstrap.servers", &other)]);
    let unsaid = format(&config, "cluster", &InitialControllers::Configured);
    assert!(matches!(unsaid, Err(FormatError::NoVoters)), "{unsaid:?}");
    format(&config, "cluster", &InitialControllers::Others).unwrap();
    let broker = Broker::start(&config).unwrap();
    let mut client = Client::connect(broker.local_addrs()[1]);
    let own = directory_id(directory.path());
    assert_eq!(add(&mut client, None, 1, own, "CONTROLLER", port), ErrorCode::NotLeaderOrFollower);
    assert!(!broker.is_active_controller() && !broker.is_ready());
}
