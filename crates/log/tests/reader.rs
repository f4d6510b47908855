//! Reading in order, beside appends.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{AppendOrigin, LogConfig, LogError, LogReader, ReadBound, ReadError};
use highwater_records::{BatchBuilder, BatchOptions, Codec, EndTxnMarker, ProducerStamp};
use highwater_types::Offset;

use support::{NOW, append, append_from, batch, new_log, offset, small_segments};

fn offsets(reader: &mut LogReader, log: &highwater_log::Log) -> Vec<i64> {
    let mut offsets = Vec::new();
    let count = reader.for_each(log, |record| offsets.push(record.offset)).unwrap();
    assert_eq!(count, offsets.len() as u64);
    offsets
}

fn compressed(codec: Codec, records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression: codec.into(), ..BatchOptions::default() });
    for _ in 0..records {
        builder.append(NOW.value(), Some(b"key"), Some(&[7; 300]), &[]).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn every_record_comes_once_in_order_over_segments_and_codecs() {
    let (_, mut log) = new_log(small_segments(1_200));
    for codec in Codec::ALL {
        append(&mut log, &compressed(codec, 3)).unwrap();
        append(&mut log, &batch(2, 30)).unwrap();
    }
    assert_eq!(log.segment_count(), 2);
    let all: Vec<i64> = (0..25).collect();
    for from in 0..=25 {
        for bytes_max in [1, 200, 1 << 20] {
            let mut reader = LogReader::new(offset(from), ReadBound::LogEnd).bytes_max(bytes_max);
            assert_eq!(offsets(&mut reader, &log), all[usize::try_from(from).unwrap()..], "from {from}");
            assert_eq!(reader.position(), offset(25));
        }
    }
}

#[test]
fn a_reader_waits_at_its_bound_and_goes_on_from_there() {
    let (_, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(2, 10)).unwrap();
    let mut reader = LogReader::new(Offset::ZERO, ReadBound::HighWatermark);
    assert!(reader.next_batch(&log).unwrap().is_none());
    log.advance_high_watermark(offset(2));
    assert_eq!(offsets(&mut reader, &log), [0, 1]);
    append(&mut log, &batch(1, 10)).unwrap();
    log.advance_high_watermark(offset(3));
    assert_eq!(offsets(&mut reader, &log), [2]);
    reader.seek(offset(1));
    assert_eq!(offsets(&mut reader, &log), [1, 2]);
}

#[test]
fn control_batches_are_left_out() {
    let (_, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1, 10)).unwrap();
    let bytes = EndTxnMarker { committed: true, coordinator_epoch: 0 }.to_batch(5, 0, NOW.value());
    append_from(&mut log, &bytes, 0, AppendOrigin::Coordinator).unwrap();
    append(&mut log, &batch(1, 10)).unwrap();
    assert_eq!(offsets(&mut LogReader::new(Offset::ZERO, ReadBound::LogEnd), &log), [0, 2]);
}

#[test]
fn a_reader_of_stable_records_leaves_aborted_transactions_out() {
    let (_, mut log) = new_log(small_segments(400));
    let transactional = |producer_id, base_sequence| {
        let producer = ProducerStamp { producer_id, producer_epoch: 0, base_sequence };
        let mut builder = BatchBuilder::new(BatchOptions { producer, transactional: true, ..BatchOptions::default() });
        builder.append(NOW.value(), Some(b"key"), Some(&[7; 100]), &[]).unwrap();
        builder.finish().unwrap()
    };
    // Offsets 0 to 6; producer 1 aborts, producer 2 commits, and the markers lie in a later segment.
    append(&mut log, &transactional(1, 0)).unwrap();
    append(&mut log, &transactional(2, 0)).unwrap();
    append(&mut log, &batch(1, 100)).unwrap();
    append(&mut log, &transactional(1, 1)).unwrap();
    for (producer_id, committed) in [(1, false), (2, true)] {
        let marker = EndTxnMarker { committed, coordinator_epoch: 0 }.to_batch(producer_id, 0, NOW.value());
        append_from(&mut log, &marker, 0, AppendOrigin::Coordinator).unwrap();
    }
    append(&mut log, &transactional(1, 2)).unwrap();
    assert!(1 < log.segment_count());
    log.advance_high_watermark(log.log_end());
    assert_eq!(offsets(&mut LogReader::new(Offset::ZERO, ReadBound::LogEnd), &log), [0, 1, 2, 3, 6]);
    for bytes_max in [1, 1 << 20] {
        let mut reader = LogReader::new(Offset::ZERO, ReadBound::LastStable).bytes_max(bytes_max);
        assert_eq!(offsets(&mut reader, &log), [1, 2], "the last transaction is open");
        let marker = EndTxnMarker { committed: true, coordinator_epoch: 0 }.to_batch(1, 0, NOW.value());
        append_from(&mut log, &marker, 0, AppendOrigin::Coordinator).unwrap();
        log.advance_high_watermark(log.log_end());
        assert_eq!(offsets(&mut reader, &log), [6]);
        log.truncate_to(offset(7), NOW).unwrap();
    }
}

#[test]
fn a_position_that_is_gone_is_told_as_such() {
    let (_, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(3, 10)).unwrap();
    log.advance_high_watermark(offset(3));
    log.delete_records(offset(2)).unwrap();
    let mut reader = LogReader::new(Offset::ZERO, ReadBound::LogEnd);
    let error = reader.next_batch(&log).unwrap_err();
    assert!(matches!(error, ReadError::Log(LogError::OutOfRange { .. })), "{error}");
    reader.seek(log.log_start());
    assert_eq!(offsets(&mut reader, &log), [2]);
}
