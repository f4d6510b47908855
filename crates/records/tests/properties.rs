//! What holds of any records: they read back as written, changed bytes never panic, limits hold.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_records::fuzzing::{fuzz_batch, fuzz_legacy, fuzz_records, fuzz_validate};
use highwater_records::{
    BatchBuilder, BatchOptions, BatchView, Codec, DecompressLimit, HeaderView, LegacyBuilder, LegacyMagic,
    ProducerStamp, RecordSet,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug, PartialEq)]
struct OwnedRecord {
    gap: u8,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

impl OwnedRecord {
    fn headers(&self) -> Vec<HeaderView<'_>> {
        self.headers.iter().map(|(key, value)| HeaderView { key, value: value.as_deref() }).collect()
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    // Long runs too, for the copies of the codecs and for varints of three bytes.
    prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..40_000usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1_699_999_000_000..1_700_000_100_000i64, 1 => any::<i64>(), 1 => Just(-1)]
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let headers = vec((vec(any::<u8>(), 0..6), option::of(vec(any::<u8>(), 0..6))), 0..3);
    (0..3u8, timestamp(), option::of(bytes()), option::of(bytes()), headers)
        .prop_map(|(gap, timestamp, key, value, headers)| OwnedRecord { gap, timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Codec> {
    (0..5usize).prop_map(|id| Codec::ALL[id])
}

fn options() -> impl Strategy<Value = BatchOptions> {
    let producer =
        (-1..1_000_000i64, any::<i16>(), -1..=i32::MAX).prop_map(|(producer_id, producer_epoch, base_sequence)| {
            ProducerStamp { producer_id, producer_epoch, base_sequence }
        });
    (0..1_000_000i64, codec(), option::of(timestamp()), producer, any::<bool>(), option::of(timestamp())).prop_map(
        |(base_offset, codec, append_time, producer, transactional, delete_horizon)| BatchOptions {
            base_offset,
            leader_epoch: 4,
            compression: codec.into(),
            append_time,
            producer,
            transactional,
            control: false,
            delete_horizon,
        },
    )
}

fn write(options: BatchOptions, records: &[OwnedRecord]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    let mut offset = options.base_offset;
    for record in records {
        offset += i64::from(record.gap);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let before = builder.size_uncompressed();
        builder.append_at(offset, record.timestamp, key, value, &record.headers()).unwrap();
        let size = builder.size_uncompressed() - before;
        assert!(size <= BatchBuilder::record_size_max(key, value, &record.headers()));
        offset += 1;
    }
    builder.finish().unwrap()
}

proptest! {
    #[test]
    fn batches_read_back(options in options(), records in vec(record(), 1..20)) {
        let bytes = write(options, &records);
        let batch = BatchView::parse(&bytes).unwrap();
        batch.check_crc().unwrap();
        prop_assert_eq!(batch.codec(), Ok(options.compression.codec()));
        prop_assert_eq!(batch.producer(), options.producer);
        prop_assert_eq!(batch.is_transactional(), options.transactional);
        prop_assert_eq!(batch.delete_horizon(), options.delete_horizon);
        prop_assert_eq!((batch.base_offset(), batch.leader_epoch()), (options.base_offset, 4));
        let newest = records.iter().map(|record| record.timestamp).max().unwrap().max(-1);
        prop_assert_eq!(batch.max_timestamp(), options.append_time.unwrap_or(newest));

        let mut read = batch.records(DecompressLimit::default()).unwrap();
        let mut offset = options.base_offset;
        for record in &records {
            offset += i64::from(record.gap);
            let seen = read.next_record().unwrap().unwrap();
            prop_assert_eq!(seen.offset, offset);
            prop_assert_eq!(seen.timestamp, options.append_time.unwrap_or(record.timestamp));
            prop_assert_eq!(seen.key, record.key.as_deref());
            prop_assert_eq!(seen.value, record.value.as_deref());
            prop_assert_eq!(seen.headers.iter().collect::<Vec<_>>(), record.headers());
            offset += 1;
        }
        prop_assert_eq!(read.next_record(), Ok(None));
        prop_assert_eq!(batch.next_offset(), offset);
        fuzz_batch(&bytes);
    }

    #[test]
    fn old_messages_read_back(codec in 0..4usize, v1: bool, records in vec(record(), 1..20), base in 1..1_000_000i64) {
        let magic = if v1 { LegacyMagic::V1 } else { LegacyMagic::V0 };
        let codec = Codec::ALL[codec];
        let mut builder = LegacyBuilder::new(magic, codec.into(), None);
        let mut offset = base;
        for record in &records {
            offset += i64::from(record.gap);
            builder.append(offset, record.timestamp, record.key.as_deref(), record.value.as_deref()).unwrap();
            offset += 1;
        }
        let bytes = builder.finish().unwrap();
        let mut expected = records.iter();
        let mut offset = base;
        for entry in RecordSet::new(&bytes) {
            let entry = entry.unwrap();
            entry.check_crc().unwrap();
            let mut read = entry.records(DecompressLimit::default()).unwrap();
            while let Some(seen) = read.next_record().unwrap() {
                let record = expected.next().unwrap();
                offset += i64::from(record.gap);
                prop_assert_eq!(seen.offset, offset);
                prop_assert_eq!(seen.timestamp, if v1 { record.timestamp } else { -1 });
                prop_assert_eq!((seen.key, seen.value), (record.key.as_deref(), record.value.as_deref()));
                offset += 1;
            }
            fuzz_legacy(entry.bytes());
        }
        prop_assert_eq!(expected.next(), None);
    }

    #[test]
    fn changed_bytes_never_panic(
        options in options(),
        records in vec(record(), 1..6),
        legacy: bool,
        flags: u8,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = if legacy {
            let codec = options.compression.codec();
            let codec = if codec == Codec::Zstd { Codec::None } else { codec };
            let mut builder = LegacyBuilder::new(LegacyMagic::V1, codec.into(), options.append_time);
            for (offset, record) in (0..).zip(&records) {
                builder.append(offset, record.timestamp, record.key.as_deref(), record.value.as_deref()).unwrap();
            }
            builder.finish().unwrap()
        } else {
            write(BatchOptions { base_offset: 0, ..options }, &records)
        };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fuzz_records(&bytes);
        fuzz_batch(&bytes);
        fuzz_legacy(&bytes);
        let mut with_rules = vec![flags, flags >> 3];
        with_rules.extend_from_slice(&bytes);
        fuzz_validate(&with_rules);
    }
}
