//! What a restart keeps.

use std::collections::BTreeMap;

use highwater_broker::{Broker, BrokerConfig, StartError, StorageError};
use highwater_types::ErrorCode;
use highwater_wire::messages::MetadataResponse;

use crate::common::{Client, TestBroker, batch, metadata_request};

#[test]
fn topics_ids_and_records_survive() {
    let mut broker = TestBroker::start();
    let mut client = broker.client();
    let id = client.create_topic("t", 3, &[]);
    assert_eq!(client.produce("t", &batch(&["a", "b"])), (ErrorCode::None, 0));
    for round in 1..4 {
        broker.restart();
        let mut client = broker.client();
        assert_eq!(client.wait_for_topic("t"), id);
        assert_eq!(client.produce("t", &batch(&["c"])), (ErrorCode::None, 1 + round));
        assert_eq!(client.fetch("t", 0).offsets(), (0..2 + round).collect::<Vec<i64>>());
    }
    let clean_marker = broker.directory().join(".kafka_cleanshutdown");
    assert!(!clean_marker.exists(), "removed while the broker runs");
}

#[test]
fn a_clean_stop_leaves_kafkas_files() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(&BrokerConfig::embedded(directory.path())).unwrap();
    drop(broker);
    for file in [
        "meta.properties",
        ".kafka_cleanshutdown",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "log-start-offset-checkpoint",
        "__cluster_metadata-0/quorum-state",
        "__cluster_metadata-0/partition.metadata",
        "__cluster_metadata-0/00000000000000000000.log",
    ] {
        assert!(directory.path().join(file).exists(), "{file}");
    }
    let id = std::fs::read_to_string(directory.path().join("__cluster_metadata-0/partition.metadata")).unwrap();
    assert_eq!(id, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
}

#[test]
fn a_log_that_no_topic_claims_is_set_aside() {
    let mut broker = TestBroker::start();
    broker.client().create_topic("t", 1, &[]);
    let stray = broker.directory().join("stray-0");
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAZg").unwrap();
    broker.restart();
    assert!(!stray.exists());
    let aside = std::fs::read_dir(broker.directory()).unwrap().any(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with("stray-0.") && name.ends_with("-stray")
    });
    assert!(aside, "kept, under another name");
    broker.client().wait_for_topic("t");
}

#[test]
fn a_log_left_without_its_topic_id_gets_it_back() {
    let mut broker = TestBroker::start();
    broker.client().create_topic("t", 1, &[]);
    let metadata = broker.directory().join("t-0/partition.metadata");
    let before = std::fs::read_to_string(&metadata).unwrap();
    std::fs::remove_file(&metadata).unwrap();
    broker.restart();
    broker.client().wait_for_topic("t");
    assert_eq!(std::fs::read_to_string(&metadata).unwrap(), before);
}

#[test]
fn a_directory_has_one_user_and_one_node() {
    let broker = TestBroker::start();
    let config = |node: &str| {
        BrokerConfig::new(BTreeMap::from([
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
            ("log.dirs".to_owned(), broker.directory().display().to_string()),
            ("node.id".to_owned(), node.to_owned()),
        ]))
        .unwrap()
    };
    let locked = Broker::start(&config("1")).unwrap_err();
    assert!(matches!(locked, StartError::Storage(StorageError::Log(_))), "{locked}");
    assert!(locked.to_string().contains("locked"), "{locked}");
    let other = config("2");
    let directory = broker.into_directory();
    let refused = Broker::start(&other).unwrap_err();
    assert!(matches!(refused, StartError::Storage(StorageError::OtherNode { .. })), "{refused}");
    drop(directory);
}

#[test]
fn new_directories_are_formatted_for_the_configured_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let start = |cluster_id: Option<&str>| {
        let cluster_id = cluster_id.map(str::to_owned);
        Broker::start(&BrokerConfig { cluster_id, ..BrokerConfig::embedded(directory.path()) })
    };
    for bad in ["", "a b", "a\"b", "a\nnode.id=7", "é", "x".repeat(65).as_str()] {
        let refused = start(Some(bad)).unwrap_err();
        assert!(matches!(refused, StartError::Storage(StorageError::ClusterId { .. })), "{refused}");
    }
    assert!(!directory.path().join("meta.properties").exists(), "not formatted by what was refused");
    let id = "4L6g3nShT-eMCtK--X86sw";
    let cluster_of = |broker: &Broker| {
        let answer = Client::connect(broker.local_addr()).call(12, &metadata_request(&[]));
        answer.body::<MetadataResponse<'_>>().cluster_id.unwrap().into_owned()
    };
    for configured in [Some(id), Some(id), None] {
        let broker = start(configured).unwrap();
        assert_eq!(cluster_of(&broker), id);
        broker.shutdown();
        let meta = std::fs::read_to_string(directory.path().join("meta.properties")).unwrap();
        assert!(meta.lines().any(|line| line == format!("cluster.id={id}")), "{meta}");
    }
}

#[test]
fn a_directory_of_another_cluster_than_the_configured_one_is_left_alone() {
    let directory = TestBroker::start().into_directory();
    let meta = directory.path().join("meta.properties");
    let before = std::fs::read_to_string(&meta).unwrap();
    let theirs = before.lines().find_map(|line| line.strip_prefix("cluster.id=")).unwrap();
    let ours = "4L6g3nShT-eMCtK--X86sw";
    let config = BrokerConfig { cluster_id: Some(ours.to_owned()), ..BrokerConfig::embedded(directory.path()) };
    let refused = Broker::start(&config).unwrap_err();
    assert!(matches!(refused, StartError::Storage(StorageError::OtherCluster { .. })), "{refused}");
    let path = directory.path().display();
    assert_eq!(refused.to_string(), format!("{path} belongs to cluster {theirs}, not to {ours}"));
    assert_eq!(std::fs::read_to_string(&meta).unwrap(), before);
}

#[test]
fn several_directories_share_the_partitions() {
    let second = tempfile::tempdir().unwrap();
    let first = tempfile::tempdir().unwrap();
    let both = format!("{},{}", first.path().display(), second.path().display());
    let mut broker = TestBroker::start_with(&[("log.dirs", &both)]);
    broker.client().create_topic("t", 4, &[]);
    let count = |directory: &tempfile::TempDir| {
        let names = std::fs::read_dir(directory.path()).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("t-")).count()
    };
    assert_eq!((count(&first), count(&second)), (2, 2));
    assert_eq!(broker.client().produce("t", &batch(&["a"])), (ErrorCode::None, 0));
    broker.restart();
    assert_eq!((count(&first), count(&second)), (2, 2));
    let mut client = broker.client();
    client.call(1, &metadata_request(&["t"]));
    assert_eq!(client.fetch("t", 0).offsets(), [0]);
}

#[test]
fn a_partition_in_two_directories_is_refused_and_both_are_named() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = || {
        let both = format!("{},{}", first.path().display(), second.path().display());
        let listeners = ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned());
        BrokerConfig::new([listeners, ("log.dirs".to_owned(), both)].into()).unwrap()
    };
    for dir in [&first, &second] {
        std::fs::create_dir(dir.path().join("t-0")).unwrap();
    }
    let refused = Broker::start(&config()).unwrap_err();
    assert!(matches!(refused, StartError::Storage(StorageError::Twice { .. })), "{refused}");
    let told = refused.to_string();
    let names = [first.path(), second.path()].map(|path| path.display().to_string());
    assert!(told.starts_with("t-0 is both in ") && names.iter().all(|name| told.contains(name)), "{told}");
    std::fs::remove_dir_all(second.path().join("t-0")).unwrap();
    Broker::start(&config()).unwrap();
}
