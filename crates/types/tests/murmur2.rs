//! The key hash against values that Kafka's Java client computed.

use highwater_types::{murmur2, murmur2_partition};

#[test]
fn keys_hash_as_in_java() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("data/murmur2.json")).expect("valid JSON");
    let vectors = vectors["vectors"].as_array().expect("a list of vectors");
    assert_eq!(vectors.len(), 85);
    for vector in vectors {
        let hex = vector["key_hex"].as_str().expect("a key");
        let key: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect();
        assert_eq!(u64::from(murmur2(&key)), vector["hash_u32"].as_u64().expect("a hash"), "key {hex}");
        for (count, partition) in vector["partition"].as_object().expect("a table") {
            let got = murmur2_partition(&key, count.parse().expect("a count"));
            assert_eq!(u64::from(got.value()), partition.as_u64().expect("a partition"), "key {hex} of {count}");
        }
    }
}
