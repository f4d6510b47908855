//! Nodes that come and go.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use highwater_testkit::{ApiKey, EmbeddedBroker, ErrorCode, KitError, On, Reply, Storage};

use crate::common::{client, produce, values};

fn three() -> EmbeddedBroker {
    EmbeddedBroker::builder().nodes(3).topic("orders", 1).storage(Storage::Memory).start().unwrap()
}

/// Waits for what takes as long as a session.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "this has not come about: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_single_node_comes_back_on_its_port_with_its_data() {
    let broker = EmbeddedBroker::builder().topic("orders", 1).start().unwrap();
    let address = broker.address(1).unwrap();
    for (round, end) in [EmbeddedBroker::kill, EmbeddedBroker::stop, EmbeddedBroker::kill].iter().enumerate() {
        assert_eq!(produce(&mut client(&broker, 1), "orders", &["x"]), ErrorCode::None);
        end(&broker, 1).unwrap();
        assert!(TcpStream::connect(address).is_err());
        assert_eq!(broker.running(), [0; 0]);
        broker.restart(1).unwrap();
        assert_eq!(broker.address(1), Some(address));
        assert_eq!(values(&broker, "orders").len(), round + 1);
    }
}

#[test]
fn nodes_that_cannot_be_are_said() {
    let broker = EmbeddedBroker::start().unwrap();
    assert!(matches!(broker.kill(2), Err(KitError::NoSuchNode { node: 2 })));
    assert!(matches!(broker.restart(1), Err(KitError::Running { node: 1 })));
    broker.kill(1).unwrap();
    assert!(matches!(broker.kill(1), Err(KitError::NotRunning { node: 1 })));
    assert!(matches!(broker.stop(1), Err(KitError::NotRunning { node: 1 })));
    assert!(broker.records("orders").is_err());
}

#[test]
fn another_node_leads_when_the_leader_is_killed() {
    let cluster = three();
    assert_eq!(cluster.running(), [1, 2, 3]);
    assert_eq!(cluster.bootstrap().split(',').count(), 3);
    let leader = cluster.leader("orders", 0).unwrap();
    assert_eq!(produce(&mut client(&cluster, leader), "orders", &["a"]), ErrorCode::None);
    cluster.kill(leader).unwrap();
    until("another leader", || cluster.leader("orders", 0).is_some_and(|next| next != leader));
    let next = cluster.leader("orders", 0).unwrap();
    until("it knows", || produce(&mut client(&cluster, next), "orders", &["b"]) == ErrorCode::None);
    assert_eq!(values(&cluster, "orders"), ["a", "b"]);
    cluster.restart(leader).unwrap();
    assert_eq!(cluster.running(), [1, 2, 3]);
}

#[test]
fn a_node_that_is_stopped_hands_over_what_it_leads() {
    let cluster = three();
    let leader = cluster.leader("orders", 0).unwrap();
    cluster.stop(leader).unwrap();
    until("another leader", || cluster.leader("orders", 0).is_some_and(|next| next != leader));
}

#[test]
fn a_leader_is_moved() {
    let cluster = three();
    for node in [2, 3, 1, 1] {
        cluster.move_leader("orders", 0, node).unwrap();
        assert_eq!(cluster.leader("orders", 0), Some(node));
        assert_eq!(produce(&mut client(&cluster, node), "orders", &["x"]), ErrorCode::None);
    }
    assert_eq!(values(&cluster, "orders").len(), 4);
    assert!(matches!(cluster.move_leader("orders", 0, 4), Err(KitError::NoSuchNode { node: 4 })));
    assert!(matches!(cluster.move_leader("orders", 1, 1), Err(KitError::NoSuchPartition { .. })));
}

#[test]
fn replicas_that_are_not_there_cannot_lead() {
    let cluster = EmbeddedBroker::builder().nodes(2).storage(Storage::Memory);
    let cluster = cluster.topic_with(highwater_testkit::NewTopic::new("orders").partitions(1).replicas(1));
    let cluster = cluster.start().unwrap();
    let other = 3 - cluster.leader("orders", 0).unwrap();
    assert!(matches!(cluster.move_leader("orders", 0, other), Err(KitError::NoReplica { .. })));
}

#[test]
fn faults_of_one_node_spare_the_others_and_replication() {
    let cluster = three();
    cluster.move_leader("orders", 0, 1).unwrap();
    let fault = cluster.fault(On::api(ApiKey::Fetch), Reply::Error(ErrorCode::KafkaStorageError)).unwrap();
    let elsewhere = cluster.fault(On::api(ApiKey::Produce).node(2), Reply::Close).unwrap();
    assert_eq!(produce(&mut client(&cluster, 1), "orders", &["a"]), ErrorCode::None);
    assert_eq!((fault.hits(), elsewhere.hits()), (0, 0));
    assert_eq!(values(&cluster, "orders"), ["a"]);
}
