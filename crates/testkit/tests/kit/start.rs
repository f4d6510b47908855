//! Starting, ending, and what is left.

use std::net::TcpStream;

use highwater_testkit::{EmbeddedBroker, ErrorCode, KitError, NewTopic, Storage};
use highwater_wire::messages::{MetadataRequest, MetadataResponse};

use crate::common::{WAIT, client, produce, values};

#[test]
fn it_listens_on_the_loopback_and_is_gone_when_dropped() {
    let broker = EmbeddedBroker::start().unwrap();
    let address = broker.address(1).unwrap();
    assert!(address.ip().is_loopback());
    assert_eq!(broker.bootstrap(), address.to_string());
    assert_eq!(broker.running(), [1]);
    TcpStream::connect(address).unwrap();
    drop(broker);
    assert!(TcpStream::connect(address).is_err(), "its port is closed");
}

#[test]
fn clients_are_told_where_it_is() {
    let broker = EmbeddedBroker::start().unwrap();
    let mut client = client(&broker, 1);
    let response: MetadataResponse<'_> = client.call(12, &MetadataRequest::default(), WAIT).unwrap();
    let told = response.brokers.iter().next().unwrap();
    assert_eq!(format!("{}:{}", told.host, told.port), broker.bootstrap());
}

#[test]
fn temporary_data_is_removed() {
    for storage in [Storage::Temporary, Storage::Memory] {
        let broker = EmbeddedBroker::builder().storage(storage).topic("here", 1).start().unwrap();
        let data = broker.data().to_owned();
        assert!(data.join("node-1/here-0").is_dir());
        drop(broker);
        assert!(!data.exists());
    }
}

#[test]
fn topics_have_the_partitions_and_configs_asked_for() {
    let compacted = NewTopic::new("state").partitions(2).replicas(1).config("cleanup.policy", "compact");
    let broker = EmbeddedBroker::builder().topic("orders", 6).topic_with(compacted).start().unwrap();
    assert_eq!(broker.partitions("orders"), Some(6));
    assert_eq!(broker.partitions("state"), Some(2));
    assert_eq!(broker.partitions("others"), None);
    broker.create_topic("others", 3).unwrap();
    assert_eq!(broker.partitions("others"), Some(3));
    let again = broker.create_topic("others", 3);
    let Err(KitError::Refused { code, .. }) = again else { panic!("{again:?}") };
    assert_eq!(code, ErrorCode::TopicAlreadyExists);
    let wrong = broker.create_topic_with(&NewTopic::new("wrong").config("cleanup.policy", "burn"));
    let Err(KitError::Refused { code, .. }) = wrong else { panic!("{wrong:?}") };
    assert_eq!(code, ErrorCode::InvalidConfig);
}

#[test]
fn a_directory_of_ones_own_stays() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().join("kept, here"));
    let start = || EmbeddedBroker::builder().storage(storage.clone()).start().unwrap();
    let broker = start();
    broker.create_topic("orders", 1).unwrap();
    assert_eq!(produce(&mut client(&broker, 1), "orders", &["a", "b"]), ErrorCode::None);
    drop(broker);
    assert_eq!(values(&start(), "orders"), ["a", "b"]);
}

#[test]
fn keys_that_nobody_knows_are_named() {
    let unknown = EmbeddedBroker::builder().set("log.retention.mss", "1").start();
    let Err(KitError::UnknownKey { key, nearest }) = unknown else { panic!("{unknown:?}") };
    assert_eq!((key.as_str(), nearest), ("log.retention.mss", Some("log.retention.ms")));
    let reserved = EmbeddedBroker::builder().set("log.dirs", "/tmp").start();
    assert!(matches!(&reserved, Err(KitError::ReservedKey { key }) if key == "log.dirs"), "{reserved:?}");
    let wrong = EmbeddedBroker::builder().set("num.partitions", "many").start();
    assert!(matches!(wrong, Err(KitError::Config(_))), "{wrong:?}");
    for nodes in [0, 10] {
        let count = EmbeddedBroker::builder().nodes(nodes).start();
        assert!(matches!(count, Err(KitError::Nodes { .. })), "{count:?}");
    }
}

#[test]
fn keys_that_are_set_count() {
    let broker = EmbeddedBroker::builder().set("num.partitions", "7").start().unwrap();
    broker.create_topic_with(&NewTopic::new("orders")).unwrap();
    assert_eq!(broker.partitions("orders"), Some(7));
}

#[test]
fn many_live_side_by_side() {
    let brokers: Vec<EmbeddedBroker> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..8).map(|_| scope.spawn(|| EmbeddedBroker::start().unwrap())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut addresses: Vec<String> = brokers.iter().map(EmbeddedBroker::bootstrap).collect();
    for (index, broker) in brokers.iter().enumerate() {
        broker.create_topic(&format!("topic-{index}"), 1).unwrap();
    }
    assert_eq!(brokers[3].partitions("topic-3"), Some(1));
    assert_eq!(brokers[3].partitions("topic-4"), None);
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 8);
}
