//! Reads every vector and compares what it says with what Kafka's own classes read there.
//!
//! `tests/data` holds those made for this project. Those collected from other projects are read where they
//! are: in the folder that `HIGHWATER_VECTORS` names or, without it, in `shared/vectors/public` beside any
//! folder above this crate. Each file that is not there is skipped by name.
#![cfg(all(feature = "json", feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use highwater_records::{BatchView, Codec, Compression, DecompressLimit, LegacyBuilder, LegacyMagic, json};
use highwater_records::{RecordSet, crc32, crc32c, retained_empty};
use serde_json::Value;

#[expect(unreachable_pub, reason = "the test support, whose file this is, publishes it")]
#[path = "../../testsupport/src/validator_cases.rs"]
mod validator_cases;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Our words for an error are not Kafka's: what counts is that there is one, and where.
fn without_error_texts(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.ends_with("_error") {
                    assert!(value.is_string(), "{name} says why");
                    *value = Value::Null;
                } else {
                    without_error_texts(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_error_texts),
        _ => {}
    }
}

fn check_file(file: &Path) {
    let bytes = fs::read(file).unwrap();
    let expected = format!("{}.expected.json", file.display());
    let mut expected: Value = serde_json::from_str(&fs::read_to_string(expected).unwrap()).unwrap();
    let mut actual = json::describe(&bytes);
    // Long lists are cut in the expectation, and only the total tells.
    let listed = expected["batches"].as_array().unwrap().len();
    actual["batches"].as_array_mut().unwrap().truncate(listed);
    without_error_texts(&mut expected);
    without_error_texts(&mut actual);
    assert_eq!(actual, expected, "{}", file.display());
    assert_eq!(actual.to_string(), expected.to_string(), "the order of fields in {}", file.display());
}

fn check_folder(folder: &Path) -> usize {
    let files: BTreeSet<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let vectors = files.iter().filter(|file| Path::new(&format!("{}.expected.json", file.display())).exists());
    vectors.map(|file| check_file(file)).count()
}

#[test]
fn batches_from_kafka() {
    assert_eq!(check_folder(&data("kafka")), 59);
}

#[test]
fn batches_from_python() {
    assert_eq!(check_folder(&data("python")), 19);
}

/// The folder of public vectors, if it is there.
fn public_folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("HIGHWATER_VECTORS") {
        return Some(folder.into());
    }
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|folder| folder.join("shared/vectors/public")).find(|folder| folder.is_dir())
}

const PUBLIC: &[&str] = &[
    "kafka-go-v1-v1.bin",
    "kafka-go-v1-v1c-v2-v2c-v2b-v2b-v2b-v2bc-v1b-v1bc.bin",
    "kafka-go-v1c-v1-v1c.bin",
    "kafka-go-v1c-v1c.bin",
    "kafka-go-v2-v2.bin",
    "kafka-go-v2b-v1.bin",
    "kafka-go-v2bc-v1-v1c.bin",
    "kafka-go-v2bc-v1c.bin",
    "kafka-go-v2c-v2-v2c.bin",
    "kafka-go-v2c-v2c.bin",
    "kafka-rust-fetch1-1p-gzip-kafka-0821.bin",
    "kafka-rust-fetch1-1p-nocompression-kafka-0821.bin",
    "kafka-rust-fetch1-1p-snappy-kafka-0821.bin",
    "kafka-rust-fetch1-1p-snappy-kafka-0822.bin",
    "kafka-rust-fetch2-nocompression-invalid_crc-kafka-0900.bin",
    "kafka-rust-fetch2-nocompression-kafka-0900.bin",
    "kafkajs-fetch-v0_response-0.bin",
    "kafkajs-fetch-v0_response_gzip-0.bin",
    "kafkajs-fetch-v11_response-0.bin",
    "kafkajs-fetch-v1_response_gzip-0.bin",
    "kafkajs-fetch-v2_response-0.bin",
    "kafkajs-fetch-v2_response_gzip-0.bin",
    "kafkajs-fetch-v2_response_partial_messages_many_partitions-3.bin",
    "kafkajs-fetch-v2_response_partial_messages_many_partitions-6.bin",
    "kafkajs-fetch-v2_response_partial_messages_many_partitions-9.bin",
    "kafkajs-fetch-v3_response_gzip-0.bin",
    "kafkajs-fetch-v4_from_scala_producer_response-0.bin",
    "kafkajs-fetch-v4_response-0.bin",
    "kafkajs-fetch-v4_response_010_format-1.bin",
    "kafkajs-fetch-v4_response_gzip-0.bin",
    "kafkajs-fetch-v4_response_mixed_formats-0.bin",
    "kafkajs-fetch-v4_response_snappy-3.bin",
    "kafkajs-fetch-v8_response-0.bin",
    "kafkajs-ms-v0-gzip.bin",
    "kafkajs-ms-v0-plain.bin",
    "kafkajs-v2-gzip-logappend.bin",
    "kafkajs-v2-zstd.bin",
    "kp-size-too-small.bin",
    "kp-v0-live.bin",
    "kp-v1-live.bin",
    "kp-v2-control.bin",
    "kp-v2-live-trailing-zeros.bin",
    "kp-v2-live.bin",
    "kprs-first_record.bin",
    "kprs-second_record.bin",
    "rskafka-gzip.bin",
    "rskafka-lz4.bin",
    "rskafka-nocompression.bin",
    "rskafka-null_key.bin",
    "rskafka-snappy.bin",
    "rskafka-snappy_java.bin",
    "rskafka-zstd.bin",
    "sarama-control-batch.bin",
    "sarama-empty-record.bin",
    "sarama-emptyBulkGzipMessage.bin",
    "sarama-emptyBulkLZ4Message.bin",
    "sarama-emptyBulkSnappyMessage.bin",
    "sarama-emptyBulkZSTDMessage.bin",
    "sarama-emptyGzipMessage.bin",
    "sarama-emptyLZ4Message.bin",
    "sarama-emptyMessage.bin",
    "sarama-emptyV1Message.bin",
    "sarama-emptyV2Message.bin",
    "sarama-emptyZSTDMessage.bin",
    "sarama-gzipped-record.bin",
    "sarama-lz4-compressed-record.bin",
    "sarama-snappy-compressed-record.bin",
    "sarama-uncompressed-record.bin",
];

#[test]
fn batches_from_other_projects() {
    let folder = public_folder();
    for name in PUBLIC {
        match folder.as_ref().map(|folder| folder.join(name)).filter(|file| file.exists()) {
            Some(file) => check_file(&file),
            None => println!("skipped: {name} is not there"),
        }
    }
}

#[test]
fn xerial_stream_of_small_blocks() {
    let name = "kafka-rust-xerial-chunked-4k";
    let Some(folder) = public_folder().filter(|folder| folder.join(format!("{name}.bin")).exists()) else {
        println!("skipped: {name}.bin is not there");
        return;
    };
    let compressed = fs::read(folder.join(format!("{name}.bin"))).unwrap();
    let expected = fs::read(folder.join(format!("{name}.txt"))).unwrap();
    // The stream has no batch around it: a v2 header that names the codec is put in front.
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&i32::try_from(compressed.len() + 49).unwrap().to_be_bytes());
    batch[16] = 2;
    batch[22] = Codec::Snappy.id();
    batch.extend_from_slice(&compressed);
    let mut decompressed = Vec::new();
    BatchView::parse(&batch).unwrap().decompress(DecompressLimit::default(), &mut decompressed).unwrap();
    assert!(decompressed == expected, "{} bytes, {} expected", decompressed.len(), expected.len());
}

#[test]
fn validator_cases_of_kafka() {
    let cases = fs::read_to_string(data("validator-cases.json")).unwrap();
    let report = validator_cases::run(&cases).unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    assert_eq!(report.cases, 61);
}

#[test]
fn checksums() {
    let file: Value = serde_json::from_str(&fs::read_to_string(data("crc32c.json")).unwrap()).unwrap();
    let cases = file["crc32c"].as_array().unwrap();
    for case in cases {
        let bytes = unhex(case["hex"].as_str().unwrap());
        assert_eq!(u64::from(crc32c(&bytes)), case["crc32c"].as_u64().unwrap(), "{case}");
    }
    assert_eq!(cases.len(), 19);
    let cases = file["crc32_ieee_for_v0_v1"].as_array().unwrap();
    for case in cases {
        let bytes = unhex(case["hex"].as_str().unwrap());
        assert_eq!(u64::from(crc32(&bytes)), case["crc32"].as_u64().unwrap(), "{case}");
    }
    assert_eq!(cases.len(), 5);
}

/// A v0 wrapper under LZ4 carries a header checksum that no other LZ4 reader accepts.
#[test]
fn the_wrong_lz4_checksum_of_v0_is_written_as_kafka_does() {
    for (magic, file, checksum) in [(LegacyMagic::V0, "m0", 0x1a), (LegacyMagic::V1, "m1", 0x82)] {
        let theirs = fs::read(data("kafka").join(format!("{file}-lz4-create.bin"))).unwrap();
        let frame = |bytes: &[u8]| bytes.windows(4).position(|four| four == [4, 0x22, 0x4d, 0x18]).unwrap();
        assert_eq!(theirs[frame(&theirs) + 6], checksum);

        let mut builder = LegacyBuilder::new(magic, Compression::new(Codec::Lz4), None);
        for entry in RecordSet::new(&theirs) {
            let mut records = entry.unwrap().records(DecompressLimit::default()).unwrap();
            while let Some(record) = records.next_record().unwrap() {
                builder.append(record.offset, record.timestamp, record.key, record.value).unwrap();
            }
        }
        let ours = builder.finish().unwrap();
        assert_eq!(ours[frame(&ours) + 6], checksum);
        let records = |bytes: &[u8]| json::describe(bytes)["batches"][0]["records"].clone();
        assert_eq!(records(&ours), records(&theirs));
    }
}

#[test]
fn what_compaction_leaves_is_what_kafka_leaves() {
    let theirs = fs::read(data("kafka").join("m2-empty-retained.bin")).unwrap();
    let header = BatchView::parse(&theirs).unwrap().header();
    assert_eq!(retained_empty(&header).as_slice(), theirs);
}
