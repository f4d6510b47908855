//! Tests of the codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::{
    ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, CommittedOffset, ConsumerCurrentValue,
    ConsumerGroupValue, ConsumerMemberState, ConsumerMemberValue, ConsumerTargetValue, ResolvedRegex, Subscription,
};
use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, Uuid};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::embedded::decode_subscription;
use super::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    "[a-zä-]{0,8}".prop_map(Arc::from)
}

fn bytes() -> impl Strategy<Value = Arc<[u8]>> {
    vec(any::<u8>(), 0..8).prop_map(Arc::from)
}

fn partition() -> impl Strategy<Value = PartitionIndex> {
    (0..=i32::MAX as u32).prop_map(PartitionIndex::new)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    any::<[u8; 16]>().prop_filter("zero is no id", |id| *id != [0; 16]).prop_map(|id| TopicId(Uuid::from_bytes(id)))
}

fn timestamp() -> impl Strategy<Value = TimestampMs> {
    (1..=i64::MAX).prop_map(TimestampMs)
}

fn names() -> impl Strategy<Value = Vec<Arc<str>>> {
    btree_set(text(), 0..4).prop_map(|names| names.into_iter().collect())
}

prop_compose! {
    /// Only the version of a value with a time of expiration has no epoch and no id.
    fn committed()(
        offset in 0..=i64::MAX as u64,
        leader_epoch in of((0..=i32::MAX as u32).prop_map(LeaderEpoch::new)),
        metadata in text(),
        commit_timestamp in any::<i64>().prop_map(TimestampMs),
        expire_timestamp in of(timestamp()),
        topic_id in of(topic_id()),
    ) -> CommittedOffset {
        let is_old = expire_timestamp.is_some();
        CommittedOffset {
            offset: Offset::new(offset),
            leader_epoch: leader_epoch.filter(|_| !is_old),
            metadata,
            commit_timestamp,
            expire_timestamp,
            topic_id: topic_id.filter(|_| !is_old),
        }
    }
}

prop_compose! {
    fn classic_member()(
        (id, client_id, client_host) in (text(), text(), text()),
        instance_id in of(text()),
        rebalance_timeout_ms in of(0..i32::MAX),
        session_timeout_ms in any::<i32>(),
        (metadata, assignment) in (bytes(), bytes()),
    ) -> ClassicMemberValue {
        let subscription = classic_protocol("", Arc::default(), &metadata);
        ClassicMemberValue {
            id, instance_id, client_id, client_host, rebalance_timeout_ms, session_timeout_ms, subscription, assignment,
        }
    }
}

prop_compose! {
    fn classic_group()(
        protocol_type in prop_oneof![Just(Arc::from("consumer")), text()],
        generation in any::<i32>(),
        (protocol, leader) in (of(text()), of(text())),
        state_timestamp in of(timestamp()),
        members in vec(classic_member(), 0..4),
    ) -> ClassicGroupValue {
        let mut members = members;
        members.sort_by(|first, second| first.id.cmp(&second.id));
        for member in &mut members {
            let chosen = protocol.clone().unwrap_or_default();
            member.subscription = classic_protocol(&protocol_type, chosen, &member.subscription.metadata);
        }
        ClassicGroupValue { protocol_type, generation, protocol, leader, state_timestamp, members }
    }
}

fn classic_metadata() -> impl Strategy<Value = ClassicMemberMetadata> {
    let protocol = (text(), bytes()).prop_map(|(name, metadata)| classic_protocol("consumer", name, &metadata));
    (any::<i32>(), vec(protocol, 0..3))
        .prop_map(|(session_timeout_ms, protocols)| ClassicMemberMetadata { session_timeout_ms, protocols })
}

prop_compose! {
    fn consumer_member()(
        (instance_id, rack_id, server_assignor) in (of(text()), of(text()), of(text())),
        (client_id, client_host) in (text(), text()),
        topic_names in names(),
        topic_regex in of("[a-z]{1,8}".prop_map(Arc::from)),
        rebalance_timeout_ms in any::<i32>(),
        classic in of(classic_metadata()),
    ) -> ConsumerMemberValue {
        ConsumerMemberValue {
            instance_id, rack_id, client_id, client_host, topic_names, topic_regex, rebalance_timeout_ms,
            server_assignor, classic,
        }
    }
}

prop_compose! {
    fn current()(
        (epoch, previous_epoch) in any::<(i32, i32)>(),
        state in prop_oneof![
            Just(ConsumerMemberState::Stable),
            Just(ConsumerMemberState::UnrevokedPartitions),
            Just(ConsumerMemberState::UnreleasedPartitions),
            Just(ConsumerMemberState::Unknown),
        ],
        assigned in btree_map(topic_id(), btree_map(partition(), any::<i32>(), 1..4), 0..4),
        pending_revocation in btree_map(topic_id(), btree_map(partition(), any::<i32>(), 1..4), 0..4),
    ) -> ConsumerCurrentValue {
        ConsumerCurrentValue { epoch, previous_epoch, state, assigned, pending_revocation }
    }
}

fn record() -> impl Strategy<Value = GroupRecord> {
    let regex = (names(), any::<i64>(), any::<i64>()).prop_map(|(topics, version, ms)| ResolvedRegex {
        topics,
        version,
        timestamp: TimestampMs(ms),
    });
    prop_oneof![
        (text(), text(), partition(), of(committed()))
            .prop_map(|(group, topic, partition, value)| GroupRecord::Offset { group, topic, partition, value }),
        (text(), of(classic_group())).prop_map(|(group, value)| GroupRecord::Classic { group, value }),
        (text(), of(any::<(i32, i64)>())).prop_map(|(group, value)| {
            let value = value.map(|(epoch, metadata_hash)| ConsumerGroupValue { epoch, metadata_hash });
            GroupRecord::Consumer { group, value }
        }),
        (text(), any::<bool>()).prop_map(|(group, is_present)| GroupRecord::ConsumerTopics { group, is_present }),
        (text(), text(), of(consumer_member())).prop_map(|(group, member, value)| GroupRecord::ConsumerMember {
            group,
            member,
            value
        }),
        (text(), of((any::<i32>(), of(timestamp())))).prop_map(|(group, value)| {
            let value = value.map(|(epoch, timestamp)| ConsumerTargetValue { epoch, timestamp });
            GroupRecord::ConsumerTarget { group, value }
        }),
        (text(), text(), of(vec((topic_id(), partition()), 0..6))).prop_map(|(group, member, value)| {
            let value = value.map(|partitions| partitions.into_iter().collect());
            GroupRecord::ConsumerMemberTarget { group, member, value }
        }),
        (text(), text(), of(current())).prop_map(|(group, member, value)| GroupRecord::ConsumerCurrent {
            group,
            member,
            value
        }),
        (text(), text(), of(regex)).prop_map(|(group, regex, value)| GroupRecord::ConsumerRegex {
            group,
            regex,
            value
        }),
    ]
}

fn encoded(record: &GroupRecord) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let has_value = encode(record, &mut key, &mut value).unwrap();
    assert_eq!(has_value, !value.is_empty(), "a tombstone has no value, and no value is empty");
    (key, has_value.then_some(value))
}

proptest! {
    #[test]
    fn what_is_written_is_read(record in record()) {
        let (key, value) = encoded(&record);
        prop_assert_eq!(decode(&key, value.as_deref()), Ok(Some(record)));
    }

    #[test]
    fn a_value_that_is_cut_is_an_error(record in record(), cut in 1..8_usize) {
        let (key, value) = encoded(&record);
        let Some(value) = value else { return Ok(()) };
        let cut = &value[..value.len() - cut.min(value.len())];
        let is_refused = matches!(decode(&key, Some(cut)), Err(CodecError::Value { .. }));
        prop_assert!(is_refused, "{:?}", decode(&key, Some(cut)));
    }

    #[test]
    fn any_bytes_are_taken_or_refused(record_type in 0..24_u8, rest in vec(any::<u8>(), 0..100), key_length in 2..20_u8) {
        let mut bytes = vec![key_length, 1, 0, record_type];
        bytes.extend(rest);
        crate::fuzzing::fuzz_group_record(&bytes);
    }

    #[test]
    fn an_assignment_is_encoded_as_kafka_reads_it(
        version in any::<i16>(),
        partitions in btree_map(text(), vec(partition(), 0..4), 0..4),
    ) {
        use highwater_wire::records_schema::decode_versioned;
        use highwater_wire::records_schema::embedded::ConsumerProtocolAssignment;

        let bytes = encode_assignment(version, &partitions).unwrap();
        let (written, assignment) = decode_versioned::<ConsumerProtocolAssignment<'_>>(&bytes).unwrap();
        prop_assert_eq!(written, version.clamp(0, 3));
        prop_assert_eq!(assignment.user_data, None);
        let read: BTreeMap<Arc<str>, Vec<PartitionIndex>> = assignment
            .assigned_partitions
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| PartitionIndex::from_wire(partition).unwrap());
                (Arc::from(&*topic.topic), partitions.collect())
            })
            .collect();
        prop_assert_eq!(read, partitions);
    }
}

fn committed_at(offset: u64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset::new(offset),
        leader_epoch: None,
        metadata: Arc::default(),
        commit_timestamp: TimestampMs(5),
        expire_timestamp: None,
        topic_id: None,
    }
}

fn offset_record(value: Option<CommittedOffset>) -> GroupRecord {
    GroupRecord::Offset { group: Arc::from("g"), topic: Arc::from("t"), partition: PartitionIndex::new(3), value }
}

const OFFSET_KEY: [u8; 12] = [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3];

#[test]
fn an_offset_is_written_in_version_4() {
    let value = CommittedOffset {
        leader_epoch: Some(LeaderEpoch::new(2)),
        metadata: Arc::from("m"),
        topic_id: Some(TopicId(Uuid::from_bytes([9; 16]))),
        ..committed_at(258)
    };
    let (key, value) = encoded(&offset_record(Some(value)));
    assert_eq!(key, OFFSET_KEY);
    let mut expected = vec![0, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2, 2, b'm', 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 16];
    expected.extend([9; 16]);
    assert_eq!(value, Some(expected));
}

#[test]
fn an_offset_that_expires_by_itself_is_written_in_version_1() {
    let value = CommittedOffset { expire_timestamp: Some(TimestampMs(6)), ..committed_at(7) };
    let (_, value) = encoded(&offset_record(Some(value)));
    let expected = [0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6];
    assert_eq!(value.as_deref(), Some(&expected[..]));
}

#[test]
fn offsets_of_every_version_are_read() {
    let old = [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    let mut legacy_key = OFFSET_KEY;
    legacy_key[1] = 0;
    let expected = Ok(Some(offset_record(Some(committed_at(7)))));
    assert_eq!(decode(&legacy_key, Some(&old)), expected);
    for version in [0, 2] {
        let mut value = old;
        value[1] = version;
        assert_eq!(decode(&OFFSET_KEY, Some(&value)), expected, "version {version}");
    }
    let unset = [0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(decode(&OFFSET_KEY, Some(&unset)), expected, "-1 is no time of expiration");
    let third = [0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    assert_eq!(decode(&OFFSET_KEY, Some(&third)), expected);
}

#[test]
fn a_negative_offset_is_none_and_a_negative_partition_is_not_there() {
    let negative = [0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    assert_eq!(decode(&OFFSET_KEY, Some(&negative)), Ok(Some(offset_record(None))));
    let mut key = OFFSET_KEY;
    key[8] = 255;
    assert_eq!(decode(&key, None), Ok(None));
}

#[test]
fn an_unknown_type_is_passed_over_and_an_unknown_version_is_not() {
    assert_eq!(decode(&[0, 99, 1, 2, 3], Some(&[0, 0])), Ok(None));
    assert_eq!(decode(&[255, 255], Some(&[0, 0])), Ok(None));
    for record_type in [0, 1, 2, 3, 4, 5, 6, 7, 8, 16] {
        // Wide enough for the longest key: two empty strings and a partition.
        let key = [0, record_type, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(decode(&key, None).unwrap().unwrap().is_tombstone(), "type {record_type} without a value");
        let error = decode(&key, Some(&[0, 5])).unwrap_err();
        let CodecError::Value { record_type: named, source: DecodeError::UnsupportedVersion { version: 5, .. } } =
            error
        else {
            panic!("type {record_type}: {error:?}")
        };
        assert_eq!(named, i16::from(record_type));
    }
}

#[test]
fn groups_of_other_kinds_are_passed_over() {
    // A share group and a streams group named g.
    for record_type in [11, 17] {
        assert_eq!(decode(&[0, record_type, 0, 1, b'g'], Some(&[0, 0])), Ok(None), "type {record_type}");
    }
}

#[test]
fn a_key_that_is_cut_is_an_error() {
    for length in 0..OFFSET_KEY.len() {
        let error = decode(&OFFSET_KEY[..length], None).unwrap_err();
        assert!(matches!(error, CodecError::Key { .. }), "{length} bytes: {error:?}");
    }
}

#[test]
fn a_classic_group_is_written_in_version_3() {
    let subscription =
        classic_protocol("consumer", Arc::from("range"), &[0, 0, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255]);
    let member = ClassicMemberValue {
        id: Arc::from("m"),
        instance_id: None,
        client_id: Arc::from("c"),
        client_host: Arc::from("/h"),
        rebalance_timeout_ms: Some(2),
        session_timeout_ms: 1,
        subscription,
        assignment: Arc::from([7]),
    };
    let value = ClassicGroupValue {
        protocol_type: Arc::from("consumer"),
        generation: 4,
        protocol: Some(Arc::from("range")),
        leader: Some(Arc::from("m")),
        state_timestamp: Some(TimestampMs(9)),
        members: vec![member],
    };
    let (key, value) = encoded(&GroupRecord::Classic { group: Arc::from("g"), value: Some(value) });
    assert_eq!(key, [0, 2, 0, 1, b'g']);
    let mut expected = vec![0, 3, 0, 8];
    expected.extend(b"consumer");
    expected.extend([0, 0, 0, 4, 0, 5]);
    expected.extend(b"range");
    expected.extend([0, 1, b'm', 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1]);
    expected.extend([0, 1, b'm', 255, 255, 0, 1, b'c', 0, 2, b'/', b'h', 0, 0, 0, 2, 0, 0, 0, 1]);
    expected.extend([0, 0, 0, 13, 0, 0, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255, 0, 0, 0, 1, 7]);
    assert_eq!(value, Some(expected));
}

#[test]
fn a_current_assignment_without_epochs_takes_that_of_the_member() {
    // Member epoch 5, one topic with partitions 1 and 2, no tagged fields: what Kafka 4.0 writes.
    let mut value = vec![0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 0, 2];
    value.extend([9; 16]);
    value.extend([3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0]);
    let record = decode(&[0, 8, 0, 1, b'g', 0, 1, b'm'], Some(&value)).unwrap();
    let Some(GroupRecord::ConsumerCurrent { value: Some(current), .. }) = record else { panic!("{record:?}") };
    let partitions = BTreeMap::from([(PartitionIndex::new(1), 5), (PartitionIndex::new(2), 5)]);
    assert_eq!(current.assigned, BTreeMap::from([(TopicId(Uuid::from_bytes([9; 16])), partitions)]));
    assert_eq!((current.epoch, current.previous_epoch, current.state), (5, 4, ConsumerMemberState::Stable));
}

#[test]
fn subscriptions_of_every_version_are_read() {
    let base = Subscription { topics: vec![Arc::from("t")], generation: -1, ..Subscription::default() };
    let topics = [0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255];
    let owned = [0, 0, 0, 1, 0, 1, b'o', 0, 0, 0, 1, 0, 0, 0, 8];
    let bytes = |version: u8, rest: &[&[u8]]| [&[0, version][..], &topics, &rest.concat()].concat();
    assert_eq!(decode_subscription(&bytes(0, &[])), Some(base.clone()));
    let with_owned =
        Subscription { version: 1, owned: BTreeMap::from([(Arc::from("o"), vec![PartitionIndex::new(8)])]), ..base };
    assert_eq!(decode_subscription(&bytes(1, &[&owned])), Some(with_owned.clone()));
    let with_generation = Subscription { version: 2, generation: 6, ..with_owned };
    assert_eq!(decode_subscription(&bytes(2, &[&owned, &[0, 0, 0, 6]])), Some(with_generation.clone()));
    let with_rack = Subscription { version: 3, rack_id: Some(Arc::from("r")), ..with_generation };
    let rest = [&owned[..], &[0, 0, 0, 6], &[0, 1, b'r']];
    assert_eq!(decode_subscription(&bytes(3, &rest)), Some(with_rack.clone()));
    let newer = [&bytes(7, &rest)[..], &[1, 2, 3]].concat();
    assert_eq!(decode_subscription(&newer), Some(with_rack), "a newer version is read as the newest known");
}

#[test]
fn bytes_that_are_no_subscription_are_none() {
    for bytes in [&[][..], &[0], &[255, 255, 0, 0, 0, 0, 255, 255, 255, 255], &[0, 0, 0, 0, 0, 9]] {
        assert_eq!(decode_subscription(bytes), None, "{bytes:?}");
    }
}

#[test]
fn metadata_of_another_protocol_type_is_not_looked_into() {
    let bytes = [0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
    assert!(classic_protocol("consumer", Arc::from("range"), &bytes).subscription.is_some());
    assert!(classic_protocol("connect", Arc::from("range"), &bytes).subscription.is_none());
}

#[test]
fn a_string_that_is_too_long_is_an_error() {
    let group = Arc::from("g".repeat(32_768));
    let error = encode(&GroupRecord::Classic { group, value: None }, &mut Vec::new(), &mut Vec::new());
    assert!(error.is_err(), "{error:?}");
}
