//! What a leader refuses, what it changes, and what it leaves alone, beyond the cases of Kafka's validator.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_records::validate::{
    BatchFault, Depth, LeaderRules, Origin, RejectReason, RejectedRecord, TargetCodec, ValidateError, assign, validate,
    validate_and_assign,
};
use highwater_records::{
    BatchBuilder, BatchMut, BatchOptions, BatchView, Codec, DecompressLimit, EndTxnMarker, LegacyBuilder, LegacyMagic,
    ProducerStamp, RecordError, TimestampType,
};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

fn batch_with(options: BatchOptions, records: &[(i64, Option<&[u8]>)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key) in records {
        builder.append(*timestamp, *key, Some(b"value"), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn batch(codec: Codec) -> Vec<u8> {
    let options = BatchOptions { compression: codec.into(), ..BatchOptions::default() };
    batch_with(options, &[(NOW.0, Some(b"a")), (NOW.0 + 5, Some(b"b"))])
}

fn check(bytes: &[u8], rules: LeaderRules) -> Result<Vec<u8>, ValidateError> {
    let mut bytes = bytes.to_vec();
    let mut validated = validate_and_assign(&mut bytes, &rules, NOW, Offset::new(70), LeaderEpoch::new(3))?;
    Ok(validated.bytes_mut(&mut bytes).to_vec())
}

/// Changes the header at `at`, and the checksum with it.
fn patched<const N: usize>(bytes: &[u8], at: usize, value: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + N].copy_from_slice(&value);
    BatchMut::parse(&mut bytes).unwrap().update_crc();
    bytes
}

fn fault(bytes: &[u8]) -> BatchFault {
    match check(bytes, LeaderRules::default()) {
        Err(ValidateError::Batch(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_offset_and_epoch_change_in_a_plain_batch() {
    for codec in Codec::ALL {
        for depth in [Depth::Opaque, Depth::Full] {
            let input = batch(codec);
            let output = check(&input, LeaderRules { depth, ..LeaderRules::default() }).unwrap();
            let view = BatchView::parse(&output).unwrap();
            assert_eq!((view.base_offset(), view.leader_epoch()), (70, 3));
            assert_eq!((&output[8..12], &output[16..]), (&input[8..12], &input[16..]), "{codec}");
        }
    }
}

#[test]
fn opaque_depth_does_not_look_inside() {
    let mut bytes = batch(Codec::Zstd);
    bytes[62] ^= 0xff;
    BatchMut::parse(&mut bytes).unwrap().update_crc();
    assert!(check(&bytes, LeaderRules::default()).is_ok());
    let full = check(&bytes, LeaderRules { depth: Depth::Full, ..LeaderRules::default() }).unwrap_err();
    assert_eq!(full.code(), ErrorCode::CorruptMessage, "{full}");
    // A compacted topic has to know the keys.
    let compacted = check(&bytes, LeaderRules { compacted: true, ..LeaderRules::default() }).unwrap_err();
    assert_eq!(compacted.code(), ErrorCode::CorruptMessage, "{compacted}");
}

#[test]
fn compacted_topics_find_null_keys_under_every_codec() {
    for codec in Codec::ALL {
        let options = BatchOptions { compression: codec.into(), ..BatchOptions::default() };
        let bytes = batch_with(options, &[(NOW.0, Some(b"a")), (NOW.0, None), (NOW.0, Some(b"")), (NOW.0, None)]);
        let rejected = |index| RejectedRecord { index, reason: RejectReason::NullKey };
        let error = check(&bytes, LeaderRules { compacted: true, ..LeaderRules::default() }).unwrap_err();
        assert_eq!(error.rejected(), [rejected(1), rejected(3)], "{codec}");
        assert_eq!(error.code(), ErrorCode::InvalidRecord);
    }
}

#[test]
fn times_are_bounded_and_the_bounds_belong_to_them() {
    let rules = LeaderRules { before_max_ms: 1000, after_max_ms: 100, ..LeaderRules::default() };
    for codec in [Codec::None, Codec::Snappy] {
        for (timestamp, accepted) in
            [(-1000, true), (-1001, false), (100, true), (101, false), (-1 - NOW.0, true), (-NOW.0, false)]
        {
            let options = BatchOptions { compression: codec.into(), ..BatchOptions::default() };
            let bytes = batch_with(options, &[(NOW.0.wrapping_add(timestamp), None)]);
            let result = check(&bytes, rules);
            assert_eq!(result.is_ok(), accepted, "{codec} {timestamp}");
            if let Err(error) = result {
                assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
                assert_eq!(error.rejected().len(), usize::from(codec == Codec::None), "the header names no record");
            }
        }
    }
}

#[test]
fn append_time_is_stamped_without_decompressing() {
    let rules = LeaderRules { timestamp_type: TimestampType::LogAppendTime, ..LeaderRules::default() };
    for codec in Codec::ALL {
        let output = check(&batch(codec), rules).unwrap();
        let view = BatchView::parse(&output).unwrap();
        view.check_crc().unwrap();
        assert_eq!((view.timestamp_type(), view.max_timestamp()), (TimestampType::LogAppendTime, NOW.0));
        let mut records = view.records(DecompressLimit::default()).unwrap();
        assert_eq!(records.next_record().unwrap().unwrap().timestamp, NOW.0);
        assert_eq!(records.next_record().unwrap().unwrap().timestamp, NOW.0);
    }
}

#[test]
fn producers_may_not_claim_append_time() {
    let rules = LeaderRules { timestamp_type: TimestampType::LogAppendTime, ..LeaderRules::default() };
    for codec in [Codec::None, Codec::Gzip] {
        let options = BatchOptions { compression: codec.into(), append_time: Some(5), ..BatchOptions::default() };
        let error = check(&batch_with(options, &[(0, None)]), rules).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
    }
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let good = batch(Codec::None);
    assert_eq!(fault(&patched(&good, 0, 5i64.to_be_bytes())), BatchFault::BaseOffset { base_offset: 5 });
    assert_eq!(fault(&patched(&good, 23, (-1i32).to_be_bytes())), BatchFault::OffsetRange { last_offset_delta: -1 });
    assert_eq!(fault(&patched(&good, 57, 3i32.to_be_bytes())), BatchFault::Count { count: 3, expected: 2 });
    assert_eq!(fault(&patched(&good, 23, 9i32.to_be_bytes())), BatchFault::Count { count: 2, expected: 10 });
    let sequence = fault(&patched(&good, 43, 8i64.to_be_bytes()));
    assert_eq!(sequence, BatchFault::Sequence { producer_id: 8, base_sequence: -1 });
    let marker = EndTxnMarker { committed: true, coordinator_epoch: 1 }.to_batch(8, 0, NOW.0);
    assert_eq!(fault(&marker), BatchFault::Control);
    assert!(check(&marker, LeaderRules { origin: Origin::Coordinator, ..LeaderRules::default() }).is_ok());
}

#[test]
fn requests_hold_exactly_one_whole_batch() {
    let good = batch(Codec::None);
    assert_eq!(fault(&[]), BatchFault::NoBatch);
    assert_eq!(fault(&good[..good.len() - 1]), BatchFault::NoBatch);
    assert_eq!(fault(&[good.clone(), good.clone()].concat()), BatchFault::NotAlone);
    // A cut batch behind a whole one is dropped.
    let cut = [&good[..], &good[..30]].concat();
    assert_eq!(check(&cut, LeaderRules::default()).map(|output| output.len()), Ok(good.len()));
}

#[test]
fn old_messages_need_an_old_request_and_become_one_batch() {
    for magic in [LegacyMagic::V0, LegacyMagic::V1] {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            let mut builder = LegacyBuilder::new(magic, codec.into(), None);
            for offset in 0..3 {
                builder.append(offset, NOW.0 + offset, Some(b"key"), None).unwrap();
            }
            let bytes = builder.finish().unwrap();
            assert_eq!(fault(&bytes), BatchFault::OldMagic { magic: magic.byte() });
            let output = check(&bytes, LeaderRules { legacy_allowed: true, ..LeaderRules::default() }).unwrap();
            let view = BatchView::parse(&output).unwrap();
            view.check_crc().unwrap();
            assert_eq!((view.base_offset(), view.last_offset(), view.count()), (70, 72, 3));
            assert_eq!(view.codec(), Ok(codec));
            let newest = if magic == LegacyMagic::V0 { -1 } else { NOW.0 + 2 };
            assert_eq!(view.max_timestamp(), newest);
        }
    }
}

#[test]
fn formats_are_not_mixed_in_one_request() {
    let old = |magic| {
        let mut builder = LegacyBuilder::new(magic, Codec::None.into(), None);
        builder.append(0, NOW.0, None, None).unwrap();
        builder.finish().unwrap()
    };
    let rules = LeaderRules { legacy_allowed: true, ..LeaderRules::default() };
    let error = check(&[old(LegacyMagic::V1), batch(Codec::None)].concat(), rules).unwrap_err();
    assert_eq!(error, ValidateError::Batch(BatchFault::MixedMagic { first: 1, magic: 2 }));
    let error = check(&[old(LegacyMagic::V0), old(LegacyMagic::V1)].concat(), rules).unwrap_err();
    assert_eq!(error, ValidateError::Batch(BatchFault::MixedMagic { first: 0, magic: 1 }));
    // Nothing at all is accepted as nothing, in these old requests only.
    assert_eq!(check(&[], rules), Ok(Vec::new()));
}

#[test]
fn sizes_and_checksums_come_first() {
    let good = batch(Codec::None);
    let limit = good.len() - 1;
    let error = check(&good, LeaderRules { size_max: limit, ..LeaderRules::default() }).unwrap_err();
    assert_eq!(
        (error.code(), &error),
        (ErrorCode::MessageTooLarge, &ValidateError::TooLarge { size: good.len(), limit })
    );
    assert!(check(&good, LeaderRules { size_max: good.len(), ..LeaderRules::default() }).is_ok());

    let mut bad = good.clone();
    bad[40] ^= 1;
    let error = check(&bad, LeaderRules::default()).unwrap_err();
    assert!(matches!(error, ValidateError::Malformed(RecordError::Checksum { .. })), "{error}");
    assert_eq!(error.code(), ErrorCode::CorruptMessage);
    assert!(check(&bad, LeaderRules { crc_checked: true, ..LeaderRules::default() }).is_ok());
}

#[test]
fn growing_past_the_limit_is_refused_too() {
    let options = BatchOptions { compression: Codec::Lz4.into(), ..BatchOptions::default() };
    let bytes = batch_with(options, &[(NOW.0, Some(&[7; 5000]))]);
    let codec = TargetCodec::Fixed(Codec::None.into());
    let error = check(&bytes, LeaderRules { codec, size_max: 1000, ..LeaderRules::default() }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
}

#[test]
fn codecs_a_request_cannot_have_are_refused() {
    let error = check(&batch(Codec::Zstd), LeaderRules { zstd_allowed: false, ..LeaderRules::default() }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnsupportedCompressionType);
    let error = check(&patched(&batch(Codec::None), 21, 5u16.to_be_bytes()), LeaderRules::default()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptMessage);
}

#[test]
fn a_topics_codec_replaces_the_producers() {
    let producer = ProducerStamp { producer_id: 9, producer_epoch: 2, base_sequence: 40 };
    for source in Codec::ALL {
        for target in Codec::ALL {
            let options =
                BatchOptions { compression: source.into(), producer, transactional: true, ..BatchOptions::default() };
            let bytes = batch_with(options, &[(NOW.0, Some(b"a")), (NOW.0 + 9, None)]);
            let codec = TargetCodec::Fixed(target.into());
            let output = check(&bytes, LeaderRules { codec, ..LeaderRules::default() }).unwrap();
            let view = BatchView::parse(&output).unwrap();
            view.check_crc().unwrap();
            assert_eq!((view.codec(), view.producer(), view.is_transactional()), (Ok(target), producer, true));
            let mut records = view.records(DecompressLimit::default()).unwrap();
            let first = records.next_record().unwrap().unwrap();
            assert_eq!((first.offset, first.key, first.sequence), (70, Some(&b"a"[..]), 40));
            let second = records.next_record().unwrap().unwrap();
            assert_eq!((second.offset, second.key, second.timestamp), (71, None, NOW.0 + 9));
        }
    }
}

#[test]
fn compressed_offset_deltas_must_count_up_unless_they_are_written_anew() {
    let options = BatchOptions { compression: Codec::Lz4.into(), ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append_at(0, NOW.0, None, None, &[]).unwrap();
    builder.append_at(5, NOW.0, None, None, &[]).unwrap();
    let bytes = patched(&builder.finish().unwrap(), 23, 1i32.to_be_bytes());
    let full = LeaderRules { depth: Depth::Full, ..LeaderRules::default() };
    let error = check(&bytes, full).unwrap_err();
    assert_eq!(error, ValidateError::Batch(BatchFault::OffsetDelta { index: 1, delta: 5 }));
    let anew = LeaderRules { codec: TargetCodec::Fixed(Codec::None.into()), ..full };
    let output = check(&bytes, anew).unwrap();
    let offsets: Vec<i64> = BatchView::parse(&output)
        .unwrap()
        .records_in_place()
        .unwrap()
        .unwrap()
        .map(|record| record.unwrap().offset)
        .collect();
    assert_eq!(offsets, [70, 71]);
}

#[test]
fn offsets_past_the_end_of_the_range_are_refused() {
    let mut bytes = batch(Codec::None);
    validate(&mut bytes, &LeaderRules::default(), NOW).unwrap();
    let before = bytes.clone();
    let error = assign(&mut bytes, Offset::new(i64::MAX as u64 - 1), LeaderEpoch::new(1));
    assert!(matches!(error, Err(RecordError::RecordCount { .. })), "{error:?}");
    assert_eq!(bytes, before);
    assert_eq!(assign(&mut bytes, Offset::new(i64::MAX as u64 - 2), LeaderEpoch::new(1)), Ok(Offset::MAX));
}
