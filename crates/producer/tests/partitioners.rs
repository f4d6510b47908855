//! The partitioners against what Kafka's and librdkafka's say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_producer::{ConsistentRandom, KeyHash, PartitionChoice, PartitionQuery, Partitioner, RoundRobin};
use highwater_types::{PartitionIndex, TopicName};

fn ask(partitioner: &mut dyn Partitioner, key: Option<&[u8]>, count: u32, available: &[u32]) -> Option<u32> {
    let topic = TopicName::new("orders").unwrap();
    let available: Vec<PartitionIndex> = available.iter().copied().map(PartitionIndex::new).collect();
    let query =
        PartitionQuery { topic: &topic, key, value: None, partition_count: count, available: &available, random: 0 };
    match partitioner.partition(&query) {
        PartitionChoice::Partition(partition) => Some(partition.value()),
        PartitionChoice::Sticky => None,
    }
}

/// What Kafka 4.3 computed, of keys whose hash is negative too: `(hash & 0x7fffffff) % count`.
#[test]
fn keys_go_where_java_sends_them() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../types/tests/data/murmur2.json")).expect("valid JSON");
    let vectors = vectors["vectors"].as_array().expect("a list of vectors");
    assert!(vectors.iter().any(|vector| vector["hash_i32"].as_i64().is_some_and(|hash| hash < 0)));
    for vector in vectors {
        let hex = vector["key_hex"].as_str().expect("a key");
        let key: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect();
        for (count, partition) in vector["partition"].as_object().expect("a table") {
            let got = ask(&mut KeyHash::default(), Some(&key), count.parse().unwrap(), &[]);
            assert_eq!(got.map(u64::from), partition.as_u64(), "key {hex} of {count}");
        }
    }
}

#[test]
fn only_null_is_no_key() {
    assert_eq!(ask(&mut KeyHash::default(), None, 10, &[]), None);
    assert_eq!(ask(&mut KeyHash::default(), Some(b""), 10, &[]), Some(1));
    assert_eq!(ask(&mut KeyHash { ignore_keys: true }, Some(b"key"), 10, &[]), None);
}

/// CRC-32 of `123456789` is 0xcbf43926, of `a` 0xe8b7be43. librdkafka takes an empty key for none.
#[test]
fn keys_go_where_librdkafka_sends_them() {
    assert_eq!(ask(&mut ConsistentRandom, Some(b"123456789"), 1000, &[]), Some(0xcbf4_3926 % 1000));
    assert_eq!(ask(&mut ConsistentRandom, Some(b"a"), 7, &[]), Some(0xe8b7_be43 % 7));
    assert_eq!(ask(&mut ConsistentRandom, Some(b""), 7, &[]), None);
    assert_eq!(ask(&mut ConsistentRandom, None, 7, &[]), None);
}

#[test]
fn round_robin_takes_those_with_a_leader_in_turn() {
    let mut partitioner = RoundRobin::default();
    let mut next = |available: &[u32]| ask(&mut partitioner, Some(b"same key"), 4, available).unwrap();
    assert_eq!([next(&[0, 2, 3]), next(&[0, 2, 3]), next(&[0, 2, 3]), next(&[0, 2, 3])], [0, 2, 3, 0]);
    assert_eq!([next(&[]), next(&[]), next(&[])], [0, 1, 2], "all of them while none has a leader");
}
