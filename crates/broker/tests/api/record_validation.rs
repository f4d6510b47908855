//! How closely compressed batches are looked at: `record.validation`, and the settings that need their records.

use highwater_records::{BatchBuilder, BatchMut, BatchOptions, Codec, Compression, RecordSet};
use highwater_types::ErrorCode;
use highwater_wire::messages::ProduceResponse;

use crate::common::{Client, TestBroker, batch_with, code, produce_request};
use crate::configs::{TOPIC, incremental};

fn compressed(codec: Codec) -> BatchOptions {
    BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }
}

/// A gzip batch that does not decompress; its header and its checksum are right.
fn damaged() -> Vec<u8> {
    let mut bytes = batch_with(compressed(Codec::Gzip), &["a", "b", "c"]);
    // In the deflate stream: behind the batch's header and that of gzip.
    bytes[61 + 10] ^= 0xff;
    BatchMut::parse(&mut bytes).unwrap().update_crc();
    bytes
}

/// Three records, of which the second has no key.
fn keyless(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compressed(codec));
    for key in [Some(&b"k"[..]), None, Some(b"k")] {
        builder.append(1000, key, Some(b"v"), &[]).unwrap();
    }
    builder.finish().unwrap()
}

/// Error and the indices of the records that are named with it.
fn produce(client: &mut Client, topic: &str, batch: &[u8]) -> (ErrorCode, Vec<i32>) {
    let answer = client.call(8, &produce_request(topic, -1, &[(0, batch)]));
    let response: ProduceResponse<'_> = answer.body();
    let partition = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
    (code(partition.error_code), partition.record_errors.iter().map(|record| record.batch_index).collect())
}

#[test]
fn full_refuses_what_does_not_decompress_and_auto_does_not_look() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("default", 1, &[]);
    client.create_topic("auto", 1, &[("record.validation", "auto")]);
    client.create_topic("full", 1, &[("record.validation", "full")]);
    assert_eq!(client.produce("default", &damaged()), (ErrorCode::None, 0));
    assert_eq!(client.produce("auto", &damaged()), (ErrorCode::None, 0));
    assert_eq!(client.produce("full", &damaged()), (ErrorCode::CorruptMessage, -1));
    let good = batch_with(compressed(Codec::Gzip), &["a", "b", "c"]);
    assert_eq!(client.produce("full", &good), (ErrorCode::None, 0), "nothing was stored before it");
    assert_eq!(client.fetch("full", 0).records[17..], good[17..], "looked into and kept as it came");
}

#[test]
fn altering_it_takes_effect_on_the_live_topic() {
    let mut broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(client.produce("t", &damaged()), (ErrorCode::None, 0));
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("record.validation", 0, Some("full"))]), ErrorCode::None);
    assert_eq!(client.produce("t", &damaged()), (ErrorCode::CorruptMessage, -1));
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.produce("t", &damaged()), (ErrorCode::CorruptMessage, -1));
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("record.validation", 1, None)]), ErrorCode::None);
    assert_eq!(client.produce("t", &damaged()), (ErrorCode::None, 3));
}

#[test]
fn full_checks_each_record() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    // The records are from 1970, and the largest timestamp, which the header tells, is the only one within bounds.
    let year_ms = (365 * 24 * 60 * 60 * 1000_i64).to_string();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let mut builder = BatchBuilder::new(compressed(Codec::Lz4));
    for timestamp in [now, 1000, now] {
        builder.append(timestamp, Some(b"k"), Some(b"v"), &[]).unwrap();
    }
    let records = builder.finish().unwrap();
    for (topic, validation, expected) in
        [("auto", "auto", (ErrorCode::None, vec![])), ("full", "full", (ErrorCode::InvalidTimestamp, vec![1]))]
    {
        let configs = [("record.validation", validation), ("message.timestamp.before.max.ms", year_ms.as_str())];
        client.create_topic(topic, 1, &configs);
        assert_eq!(produce(&mut client, topic, &records), expected, "{validation}");
    }
}

#[test]
fn compacted_topics_need_keys_inside_compressed_batches_whatever_the_setting() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    for validation in ["auto", "full"] {
        client.create_topic(validation, 1, &[("cleanup.policy", "compact"), ("record.validation", validation)]);
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let refused = (ErrorCode::InvalidRecord, vec![1]);
            assert_eq!(produce(&mut client, validation, &keyless(codec)), refused, "{validation} {codec}");
        }
        assert_eq!(produce(&mut client, validation, &damaged()), (ErrorCode::CorruptMessage, vec![]));
        assert_eq!(client.fetch(validation, 0).high_watermark, 0, "nothing was stored");
    }
}

#[test]
fn another_compression_type_converts_whatever_the_setting() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let sent = batch_with(compressed(Codec::Gzip), &["a", "b", "c"]);
    for validation in ["auto", "full"] {
        client.create_topic(validation, 1, &[("compression.type", "lz4"), ("record.validation", validation)]);
        assert_eq!(client.produce(validation, &damaged()), (ErrorCode::CorruptMessage, -1));
        assert_eq!(client.produce(validation, &sent), (ErrorCode::None, 0));
        let fetched = client.fetch(validation, 0);
        assert_eq!(fetched.offsets(), [0, 1, 2]);
        let entry = RecordSet::new(&fetched.records).entries().next().unwrap().unwrap();
        assert_eq!(entry.codec(), Ok(Codec::Lz4), "{validation}");
    }
}
