//! Produce: what is accepted, what is refused, and with which code.

use highwater_records::{BatchOptions, Codec, Compression, ProducerStamp, RecordSet};
use highwater_types::{ErrorCode, Uuid};
use highwater_wire::Records;
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{ApiVersionsRequest, ApiVersionsResponse, ProduceRequest, ProduceResponse};

use crate::common::{Answer, TestBroker, batch, batch_with, code, produce_request, sequenced_batch};

/// Error, base offset and message of each partition.
fn partitions(answer: &Answer) -> Vec<(ErrorCode, i64)> {
    let response: ProduceResponse<'_> = answer.body();
    let partitions = response.responses.iter().flat_map(|topic| {
        topic.partition_responses.iter().map(|p| (code(p.error_code), p.base_offset)).collect::<Vec<_>>()
    });
    partitions.collect()
}

#[test]
fn records_come_back_with_offsets_and_epoch_assigned() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(client.produce("t", &batch(&["a", "b"])), (ErrorCode::None, 0));
    let strange_epoch = batch_with(BatchOptions { leader_epoch: 77, ..BatchOptions::default() }, &["c"]);
    assert_eq!(client.produce("t", &strange_epoch), (ErrorCode::None, 2));
    let fetched = client.fetch("t", 0);
    assert_eq!((fetched.error, fetched.high_watermark, fetched.log_start), (ErrorCode::None, 3, 0));
    assert_eq!(fetched.offsets(), [0, 1, 2]);
    let epochs: Vec<_> =
        RecordSet::new(&fetched.records).entries().map(|entry| entry.unwrap().leader_epoch()).collect();
    assert_eq!(epochs, [0, 0], "the leader writes its own epoch");
}

#[test]
fn compressed_batches_are_kept_as_they_are() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut offset = 0;
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let sent = batch_with(
            BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() },
            &["the same", "the same", "the same"],
        );
        assert_eq!(client.produce("t", &sent), (ErrorCode::None, offset), "{codec}");
        let fetched = client.fetch("t", offset);
        // Base offset and leader epoch are the leader's; everything under the checksum is the producer's.
        assert_eq!(fetched.records[17..], sent[17..], "{codec}");
        offset += 3;
    }
}

#[test]
fn acks_0_has_no_answer_and_other_numbers_are_refused() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let records = batch(&["a"]);
    client.send(7, &produce_request("t", 0, &[(0, &records)]));
    // The next answer on the connection is that of the next request.
    let answer = client.call(0, &ApiVersionsRequest::default());
    assert_eq!(answer.body::<ApiVersionsResponse<'_>>().error_code, 0);
    assert_eq!(client.fetch("t", 0).offsets(), [0]);
    for acks in [2, -2, i16::MAX] {
        let answer = client.call(7, &produce_request("t", acks, &[(0, &records)]));
        assert_eq!(partitions(&answer), [(ErrorCode::InvalidRequiredAcks, -1)]);
    }
    assert_eq!(client.fetch("t", 0).high_watermark, 1);
}

#[test]
fn acks_0_that_fails_ends_the_connection() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let records = batch(&["a"]);
    client.send(7, &produce_request("missing", 0, &[(0, &records)]));
    assert_eq!(client.until_closed(), b"");
}

#[test]
fn unknown_topics_partitions_and_ids() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let id = client.create_topic("t", 1, &[]);
    let records = batch(&["a"]);
    let answer = client.call(9, &produce_request("t", -1, &[(1, &records), (0, &records), (-1, &records)]));
    let unknown = (ErrorCode::UnknownTopicOrPartition, -1);
    assert_eq!(partitions(&answer), [unknown, (ErrorCode::None, 0), unknown]);
    let answer = client.call(9, &produce_request("other", -1, &[(0, &records)]));
    assert_eq!(partitions(&answer), [unknown]);
    let by_id = |topic_id| ProduceRequest {
        topic_data: vec![TopicProduceData {
            topic_id,
            partition_data: vec![PartitionProduceData {
                records: Records::Bytes(&records),
                ..PartitionProduceData::default()
            }]
            .into(),
            ..TopicProduceData::default()
        }]
        .into(),
        acks: -1,
        ..ProduceRequest::default()
    };
    assert_eq!(partitions(&client.call(13, &by_id(id))), [(ErrorCode::None, 1)]);
    assert_eq!(partitions(&client.call(13, &by_id(Uuid::from_bytes([7; 16])))), [(ErrorCode::UnknownTopicId, -1)]);
}

#[test]
fn shapes_that_are_refused() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("max.message.bytes", "500")]);
    let one = batch(&["a"]);
    let two: Vec<u8> = [one.clone(), one.clone()].concat();
    let mut corrupt = one.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let mut old = one.clone();
    old[16] = 1;
    let long = batch(&["x".repeat(1000).as_str()]);
    let transactional = batch_with(
        BatchOptions {
            transactional: true,
            producer: ProducerStamp { producer_id: 1, producer_epoch: 0, base_sequence: 0 },
            ..BatchOptions::default()
        },
        &["a"],
    );
    let control = batch_with(BatchOptions { control: true, ..BatchOptions::default() }, &["a"]);
    let cases: &[(&str, &[u8], ErrorCode)] = &[
        ("two batches", &two, ErrorCode::InvalidRecord),
        ("no batch", &[], ErrorCode::InvalidRecord),
        ("an old magic", &old, ErrorCode::InvalidRecord),
        ("half a header", &one[..30], ErrorCode::InvalidRecord),
        ("a wrong checksum", &corrupt, ErrorCode::CorruptMessage),
        ("too large", &long, ErrorCode::MessageTooLarge),
        ("transactional", &transactional, ErrorCode::InvalidTxnState),
        ("control", &control, ErrorCode::InvalidRecord),
    ];
    for (what, records, expected) in cases {
        assert_eq!(client.produce("t", records), (*expected, -1), "{what}");
    }
    assert_eq!(client.fetch("t", 0).high_watermark, 0, "nothing was stored");
    assert_eq!(client.produce("t", &one), (ErrorCode::None, 0));
}

#[test]
fn zstd_needs_version_7() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let options = BatchOptions { compression: Compression::new(Codec::Zstd), ..BatchOptions::default() };
    let records = batch_with(options, &["a"]);
    let answer = client.call(6, &produce_request("t", -1, &[(0, &records)]));
    assert_eq!(partitions(&answer), [(ErrorCode::UnsupportedCompressionType, -1)]);
    let answer = client.call(7, &produce_request("t", -1, &[(0, &records)]));
    assert_eq!(partitions(&answer), [(ErrorCode::None, 0)]);
}

#[test]
fn records_without_key_on_a_compacted_topic_are_named_one_by_one() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("cleanup.policy", "compact")]);
    let mut builder = highwater_records::BatchBuilder::new(BatchOptions::default());
    for key in [Some(&b"k"[..]), None, Some(b"k"), None] {
        builder.append(1000, key, Some(b"v"), &[]).unwrap();
    }
    let records = builder.finish().unwrap();
    let answer = client.call(8, &produce_request("t", -1, &[(0, &records)]));
    let response: ProduceResponse<'_> = answer.body();
    let partition = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
    assert_eq!(code(partition.error_code), ErrorCode::InvalidRecord);
    let named: Vec<i32> = partition.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(named, [1, 3]);
    assert!(partition.error_message.is_some());
}

#[test]
fn more_replicas_in_sync_than_there_can_be_are_not_demanded() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("min.insync.replicas", "2")]);
    // As in Kafka 4, min.insync.replicas counts for no more than the topic's replicas.
    assert_eq!(client.produce("t", &batch(&["a"])), (ErrorCode::None, 0));
}

#[test]
fn append_time_is_answered_and_stored() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let records = batch(&["a"]);
    let answer = client.call(7, &produce_request("t", -1, &[(0, &records)]));
    let response: ProduceResponse<'_> = answer.body();
    let partition = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
    assert!(partition.log_append_time_ms > 1_600_000_000_000, "{}", partition.log_append_time_ms);
    let fetched = client.fetch("t", 0);
    let entry = RecordSet::new(&fetched.records).entries().next().unwrap().unwrap();
    assert_eq!(entry.max_timestamp(), partition.log_append_time_ms);
    entry.check_crc().unwrap();
}

#[test]
fn duplicates_keep_their_offset_and_gaps_are_refused() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let sent: Vec<Vec<u8>> = (0..6).map(|n| sequenced_batch(5, 0, n * 2, &["a", "b"])).collect();
    for (n, records) in sent.iter().enumerate() {
        assert_eq!(client.produce("t", records), (ErrorCode::None, n as i64 * 2));
    }
    // The last five batches are remembered.
    for (n, records) in sent.iter().enumerate().skip(1) {
        assert_eq!(client.produce("t", records), (ErrorCode::None, n as i64 * 2), "batch {n} again");
    }
    assert_eq!(client.produce("t", &sequenced_batch(5, 0, 20, &["x"])).0, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(client.produce("t", &sequenced_batch(5, 1, 0, &["x"])), (ErrorCode::None, 12), "a new epoch (KIP-360)");
    assert_eq!(client.produce("t", &sequenced_batch(5, 0, 12, &["x"])).0, ErrorCode::InvalidProducerEpoch);
    assert_eq!(client.fetch("t", 0).high_watermark, 13);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_appended_in_order() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("a", 2, &[]);
    client.create_topic("b", 1, &[]);
    let records: Vec<Vec<u8>> = (0..20).map(|n| batch(&[format!("v{n}").as_str()])).collect();
    let mut bytes = Vec::new();
    let mut sent = Vec::new();
    for (n, records) in records.iter().enumerate() {
        let (topic, index) = [("a", 0), ("b", 0), ("a", 1), ("a", 0)][n % 4];
        let (encoded, expected) = client.encode(9, &produce_request(topic, 1, &[(index, records)]));
        bytes.extend_from_slice(&encoded);
        sent.push(expected);
        if n == 9 {
            // Another API in between, and an unanswered request.
            let (encoded, expected) = client.encode(0, &ApiVersionsRequest::default());
            bytes.extend_from_slice(&encoded);
            sent.push(expected);
            let (encoded, _) = client.encode(9, &produce_request("b", 0, &[(0, records)]));
            bytes.extend_from_slice(&encoded);
        }
    }
    client.send_raw(&bytes);
    let answers: Vec<Answer> = sent.into_iter().map(|expected| client.receive(expected)).collect();
    let (others, produced): (Vec<_>, Vec<_>) = answers.into_iter().enumerate().partition(|(n, _)| *n == 10);
    assert_eq!(others[0].1.body::<ApiVersionsResponse<'_>>().error_code, 0);
    let offsets: Vec<i64> = produced.iter().map(|(_, answer)| partitions(answer)[0].1).collect();
    // a-0 takes two of four, b one (and the unanswered one after the tenth), a-1 one.
    assert_eq!(offsets, [0, 0, 0, 1, 2, 1, 1, 3, 4, 2, 2, 5, 6, 4, 3, 7, 8, 5, 4, 9]);
    assert_eq!(client.fetch("a", 0).offsets(), (0..10).collect::<Vec<i64>>());
}
