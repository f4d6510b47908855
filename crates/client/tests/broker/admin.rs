//! What asks about a cluster, and changes it.

use highwater_client::admin::{ConfigChange, ConfigResource, ConfigSource, NewTopic, OffsetSpec};
use highwater_client::{ErrorCode, Offset, PartitionIndex, TopicName, TopicPartition};

use crate::common::TestBroker;

fn at(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition: PartitionIndex::new(partition) }
}

#[test]
fn topics_are_made_described_grown_and_deleted() {
    let broker = TestBroker::start();
    let admin = broker.client().admin();
    let topic = NewTopic::new("orders").partitions(3).config("retention.ms", "1234567");
    admin.create_topics([topic.clone()], true).wait().unwrap().all_ok().unwrap();
    assert!(admin.list_topics().wait().unwrap().is_empty(), "it was only checked");
    let created = admin.create_topics([topic.clone()], false).wait().unwrap().all_ok().unwrap();
    let again = admin.create_topics([topic], false).wait().unwrap().only().unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));

    let described = admin.describe_topics(["orders"]).wait().unwrap().only().unwrap();
    assert_eq!(described.id, Some(created[0].1));
    assert_eq!(described.partitions.len(), 3);
    assert!(described.partitions.iter().all(|partition| partition.leader.is_some() && partition.isr.len() == 1));
    let unknown = admin.describe_topics(["nothing"]).wait().unwrap().only().unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::UnknownTopicOrPartition));

    admin.create_partitions([("orders", 5, None)], false).wait().unwrap().all_ok().unwrap();
    let listed = admin.list_topics().wait().unwrap();
    assert_eq!(listed.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect::<Vec<_>>(), [("orders", 5)]);
    let fewer = admin.create_partitions([("orders", 2, None)], false).wait().unwrap().only().unwrap_err();
    assert_eq!(fewer.code(), Some(ErrorCode::InvalidPartitions));

    let deleted = admin.delete_topics(["orders", "nothing"]).wait().unwrap();
    let results: Vec<_> =
        deleted.into_iter().map(|(name, result)| (name, result.err().and_then(|e| e.code()))).collect();
    let expected = [("orders".to_owned(), None), ("nothing".to_owned(), Some(ErrorCode::UnknownTopicOrPartition))];
    assert_eq!(results, expected);
}

#[test]
fn configs_are_described_and_changed() {
    let broker = TestBroker::start();
    let admin = broker.client().admin();
    admin.create_topics([NewTopic::new("orders")], false).wait().unwrap().all_ok().unwrap();
    let topic = ConfigResource::topic("orders");
    let change = |key: &str, change| [(topic.clone(), vec![(key.to_owned(), change)])];
    let set = ConfigChange::Set("1000000".to_owned());
    admin.alter_configs(change("retention.ms", set), false).wait().unwrap().all_ok().unwrap();
    let find = |key: &str| {
        let entries = admin.describe_configs([topic.clone()], true).wait().unwrap().only().unwrap();
        entries.into_iter().find(|entry| entry.name == key).unwrap()
    };
    let entry = find("retention.ms");
    assert_eq!((entry.value.as_deref(), entry.source), (Some("1000000"), ConfigSource::DynamicTopic));
    assert!(!entry.synonyms.is_empty());
    admin.alter_configs(change("retention.ms", ConfigChange::Delete), false).wait().unwrap().all_ok().unwrap();
    assert_eq!(find("retention.ms").source, ConfigSource::Default);
    let wrong = ConfigChange::Set("soon".to_owned());
    let error = admin.alter_configs(change("retention.ms", wrong), false).wait().unwrap().only().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));

    let brokers = admin.describe_cluster().wait().unwrap().brokers;
    let id = brokers[0].node.id;
    let entries = admin.describe_configs([ConfigResource::broker(id)], false).wait().unwrap().only().unwrap();
    assert!(entries.iter().any(|entry| entry.name == "log.dirs" && entry.source == ConfigSource::StaticBroker));
}

#[test]
fn offsets_are_listed_and_records_deleted() {
    let broker = TestBroker::start();
    let client = broker.client();
    let admin = client.admin();
    admin.create_topics([NewTopic::new("orders")], false).wait().unwrap().all_ok().unwrap();
    let producer = client.producer::<String, String>().build().unwrap();
    for index in 0..10_i64 {
        let mut record = highwater_client::ProducerRecord::new(TopicName::new("orders").unwrap(), "x".to_owned());
        record.timestamp = Some(highwater_client::TimestampMs(1_000 + index));
        producer.send(record).wait().unwrap();
    }
    let ask = |spec| admin.list_offsets([(at("orders", 0), spec)], false).wait().unwrap().only().unwrap().offset;
    assert_eq!(ask(OffsetSpec::Earliest), Some(Offset::ZERO));
    assert_eq!(ask(OffsetSpec::Latest), Some(Offset::new(10)));
    assert_eq!(ask(OffsetSpec::Timestamp(highwater_client::TimestampMs(1_004))), Some(Offset::new(4)));
    assert_eq!(ask(OffsetSpec::Timestamp(highwater_client::TimestampMs(9_999))), None);
    assert_eq!(ask(OffsetSpec::MaxTimestamp), Some(Offset::new(9)));
    let low = admin.delete_records([(at("orders", 0), Some(Offset::new(3)))]).wait().unwrap().only().unwrap();
    assert_eq!((low, ask(OffsetSpec::Earliest)), (Offset::new(3), Some(Offset::new(3))));
    let all = admin.delete_records([(at("orders", 0), None)]).wait().unwrap().only().unwrap();
    assert_eq!(all, Offset::new(10));
    let unknown = admin.list_offsets([(at("orders", 9), OffsetSpec::Latest)], false).wait().unwrap();
    assert_eq!(unknown.only().unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn groups_have_offsets_without_members() {
    let broker = TestBroker::start();
    let admin = broker.client().admin();
    admin.create_topics([NewTopic::new("orders").partitions(2)], false).wait().unwrap().all_ok().unwrap();
    let offsets = [(at("orders", 0), Offset::new(0)), (at("orders", 1), Offset::new(7))];
    admin.alter_group_offsets("billing", offsets.clone()).wait().unwrap().all_ok().unwrap();
    let committed = admin.group_offsets("billing").wait().unwrap();
    let found: Vec<_> = committed.into_iter().map(|(at, committed)| (at, committed.offset)).collect();
    assert_eq!(found, offsets);
    let groups = admin.list_groups().wait().unwrap();
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["billing"]);
    let described = admin.describe_groups(["billing"]).wait().unwrap().only().unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Empty", 0));
    admin.delete_group_offsets("billing", [at("orders", 0)]).wait().unwrap().all_ok().unwrap();
    assert_eq!(admin.group_offsets("billing").wait().unwrap().len(), 1);
    admin.delete_groups(["billing"]).wait().unwrap().all_ok().unwrap();
    assert!(admin.list_groups().wait().unwrap().is_empty());
    let gone = admin.delete_groups(["billing"]).wait().unwrap().only().unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::GroupIdNotFound));
}

#[test]
fn the_cluster_is_described() {
    let broker = TestBroker::start();
    let admin = broker.client().admin();
    let cluster = admin.describe_cluster().wait().unwrap();
    assert_eq!(cluster.brokers.len(), 1);
    assert_eq!(cluster.brokers[0].node.address(), broker.bootstrap());
    assert!(!cluster.brokers[0].is_fenced && !cluster.id.is_empty());
    let quorum = admin.describe_quorum().wait().unwrap();
    assert_eq!((quorum.leader, quorum.voters.len()), (Some(cluster.brokers[0].node.id), 1));
    let features = admin.describe_features().wait().unwrap();
    assert!(features.iter().any(|feature| feature.name == "metadata.version" && 0 < feature.finalized));
    let apis = admin.api_versions(None).wait().unwrap();
    assert!(apis.iter().any(|range| range.code == 0 && range.usable.is_some()));
    let dirs = admin.describe_log_dirs([]).wait().unwrap().all_ok().unwrap();
    assert_eq!((dirs.len(), dirs[0].1.len()), (1, 1));
    assert!(dirs[0].1[0].error.is_none() && dirs[0].1[0].total_bytes.is_some());
    assert!(admin.list_reassignments().wait().unwrap().is_empty());
}
