//! Appending: offsets, refusals, grouping, rolls, producers.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{AppendError, AppendOrigin, AppendSet, LogConfig, LogError, ReadBound};
use highwater_records::{EndTxnMarker, ProducerStamp, TimestampType};
use highwater_types::{ErrorCode, LeaderEpoch, TimestampMs};
use support::*;

#[test]
fn each_set_of_a_call_has_its_own_result_and_refused_ones_leave_no_trace() {
    let (_disk, mut log) = new_log(LogConfig::default());
    let (mut good, mut bad, mut also_good) = (batch(2, 10), batch(1, 10), batch(3, 10));
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let mut sets = [&mut good, &mut bad, &mut also_good].map(|bytes| AppendSet::new(bytes, AppendOrigin::Client));
    log.append_as_leader(&mut sets, LeaderEpoch::new(4), NOW).unwrap();
    let first = sets[0].take_result().unwrap();
    assert_eq!((first.base_offset, first.last_offset, first.duplicate), (offset(0), offset(1), false));
    assert_eq!(sets[1].take_result().unwrap_err().error_code(), ErrorCode::CorruptMessage);
    assert_eq!(sets[2].take_result().unwrap().base_offset, offset(2));
    assert_eq!(read_all(&log, offset(0)), [good, also_good].concat());
    assert_eq!(log.epochs().latest().unwrap().epoch, LeaderEpoch::new(4));
}

#[test]
fn more_sets_than_one_write_takes_arrive_in_order() {
    let (_disk, mut log) = new_log(small_segments(5_000));
    let mut batches: Vec<Vec<u8>> = (0..150).map(|size| batch(1, size)).collect();
    let mut sets: Vec<AppendSet<'_>> =
        batches.iter_mut().map(|bytes| AppendSet::new(bytes, AppendOrigin::Client)).collect();
    log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).unwrap();
    for (i, set) in sets.iter_mut().enumerate() {
        assert_eq!(set.take_result().unwrap().base_offset, offset(i as u64));
    }
    assert!(3 < log.segment_count(), "the call rolls on its way");
    assert_eq!(read_all(&log, offset(0)), batches.concat());
}

#[test]
fn log_append_time_is_reported_and_stored() {
    let (_disk, mut log) = new_log(LogConfig { timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() });
    let old = batch_at(TimestampMs(5), 1, 10, ProducerStamp::NONE);
    assert_eq!(append(&mut log, &old).unwrap().append_time, NOW);
    let (_disk, mut log) = new_log(LogConfig::default());
    assert_eq!(append(&mut log, &old).unwrap().append_time, TimestampMs::NONE);
}

#[test]
fn a_set_validated_before_is_appended_alike() {
    let (_disk, mut log) = new_log(LogConfig::default());
    let mut bytes = batch(2, 10);
    let rules = log.config().leader_rules(AppendOrigin::Client);
    let validated = highwater_records::validate::validate(&mut bytes, &rules, NOW).unwrap();
    let mut sets = [AppendSet::validated(&mut bytes, validated, AppendOrigin::Client)];
    log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).unwrap();
    assert_eq!(sets[0].take_result().unwrap().last_offset, offset(1));
    assert_eq!(read_all(&log, offset(0)), bytes);
}

#[test]
fn a_batch_larger_than_a_segment_or_than_the_topic_allows_is_refused() {
    let (_disk, mut log) = new_log(small_segments(500));
    let error = append(&mut log, &batch(1, 600)).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::RecordListTooLarge);
    let (_disk, mut log) = new_log(LogConfig { message_bytes_max: 100, ..LogConfig::default() });
    assert_eq!(append(&mut log, &batch(1, 200)).unwrap_err().error_code(), ErrorCode::MessageTooLarge);
    assert_eq!(log.log_end(), offset(0));
}

#[test]
fn a_segment_may_be_filled_to_the_last_byte() {
    let one = batch(1, 100);
    let size = u32::try_from(one.len()).unwrap();
    let (_disk, mut log) = new_log(small_segments(3 * size));
    for _ in 0..3 {
        append(&mut log, &one).unwrap();
    }
    assert_eq!(log.segment_count(), 1);
    append(&mut log, &one).unwrap();
    assert_eq!(log.segment_count(), 2);
}

#[test]
fn a_full_index_rolls_the_segment() {
    let config = LogConfig { segment_index_bytes_max: 36, index_interval_bytes: 0, ..LogConfig::default() };
    let (_disk, mut log) = new_log(config);
    for i in 0..12 {
        append(&mut log, &batch_at(NOW.plus_ms(i), 1, 10, ProducerStamp::NONE)).unwrap();
    }
    let state = log.describe().unwrap();
    assert!(3 < state.segments.len());
    // Three slots, of which the last is kept for the entry of closing.
    assert!(state.segments.iter().all(|segment| segment.time_index.len() <= 3));
    assert_eq!(ranges(&read_all(&log, offset(0))).len(), 12);
}

#[test]
fn an_offset_out_of_the_segments_reach_begins_another() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1, 10)).unwrap();
    let mut far = batch(1, 10);
    let reach = (1 << 31) + 5;
    highwater_records::validate::assign(&mut far, offset(reach), LeaderEpoch::ZERO).unwrap();
    log.append_as_follower(&far, None, NOW).unwrap();
    assert_eq!(log.segment_count(), 2);
    assert!(files(&disk).contains(&format!("{reach:020}.log")));
    // The snapshot of the roll is taken at the new base, above what was the log end.
    assert!(files(&disk).contains(&format!("{reach:020}.snapshot")));
}

#[test]
fn a_follower_takes_whole_batches_of_epochs_it_follows() {
    let (_disk, mut leader) = new_log(LogConfig::default());
    for epoch in [1, 1, 2] {
        append_in(&mut leader, &batch(2, 10), epoch).unwrap();
    }
    let bytes = read_all(&leader, offset(0));
    let (_disk, mut follower) = new_log(LogConfig::default());
    let cut = &bytes[..bytes.len() - 1];
    let appended = follower.append_as_follower(cut, Some(LeaderEpoch::new(2)), NOW).unwrap().unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (offset(0), offset(3)));
    let rest = &bytes[bytes.len() / 3 * 2..];
    assert_eq!(follower.append_as_follower(rest, Some(LeaderEpoch::new(1)), NOW).unwrap(), None);
    follower.append_as_follower(rest, Some(LeaderEpoch::new(2)), NOW).unwrap();
    assert_eq!(read_all(&follower, offset(0)), bytes);
    assert_eq!(follower.epochs(), leader.epochs());
}

#[test]
fn a_follower_refuses_what_does_not_continue_its_log_or_is_damaged() {
    let (_disk, mut leader) = new_log(LogConfig::default());
    append(&mut leader, &batch(2, 10)).unwrap();
    let bytes = read_all(&leader, offset(0));
    let (_disk, mut follower) = new_log(LogConfig::default());
    follower.append_as_follower(&bytes, None, NOW).unwrap();
    let again = follower.append_as_follower(&bytes, None, NOW).unwrap_err();
    assert!(matches!(again, AppendError::UnexpectedOffset { .. }), "{again}");
    for at in [17, 30, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[7] = 9;
        damaged[at] ^= 1;
        let error = follower.append_as_follower(&damaged, None, NOW).unwrap_err();
        assert_eq!(error.error_code(), ErrorCode::CorruptMessage, "{at}");
    }
    assert_eq!(follower.append_as_follower(&bytes[..40], None, NOW).unwrap(), None);
    assert!(!follower.is_poisoned());
    assert_eq!(follower.log_end(), offset(2));
}

#[test]
fn a_follower_refuses_epochs_that_go_back() {
    let (_disk, mut leader) = new_log(LogConfig::default());
    for epoch in [2, 3] {
        append_in(&mut leader, &batch(1, 10), epoch).unwrap();
    }
    let (_disk, mut follower) = new_log(LogConfig::default());
    follower.append_as_follower(&read_all(&leader, offset(0)), None, NOW).unwrap();
    let mut older = batch(1, 10);
    for (epoch, is_fine) in [(2, false), (3, true)] {
        highwater_records::validate::assign(&mut older, offset(2), LeaderEpoch::new(epoch)).unwrap();
        let appended = follower.append_as_follower(&older, None, NOW);
        assert_eq!(appended.is_ok(), is_fine, "{appended:?}");
    }
    let mut both = older.clone();
    highwater_records::validate::assign(&mut older, offset(4), LeaderEpoch::new(2)).unwrap();
    highwater_records::validate::assign(&mut both, offset(3), LeaderEpoch::new(4)).unwrap();
    both.extend(&older);
    let error = follower.append_as_follower(&both, None, NOW).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::CorruptMessage);
    assert_eq!(follower.log_end(), offset(3), "nothing of it was appended");
}

#[test]
fn a_repeated_batch_is_answered_with_its_offsets_among_the_last_five() {
    let (_disk, mut log) = new_log(LogConfig::default());
    for i in 0..6 {
        append(&mut log, &produced(9, 0, i * 2, 2)).unwrap();
    }
    let repeated = append(&mut log, &produced(9, 0, 2, 2)).unwrap();
    assert_eq!((repeated.base_offset, repeated.last_offset, repeated.duplicate), (offset(2), offset(3), true));
    let too_old = append(&mut log, &produced(9, 0, 0, 2)).unwrap_err();
    assert_eq!(too_old.error_code(), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(log.log_end(), offset(12));
}

#[test]
fn a_new_epoch_begins_at_sequence_zero_and_fences_the_old_one() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(9, 3, 70, 1)).unwrap();
    let code = |result: Result<_, AppendError>| result.map(drop).unwrap_err().error_code();
    assert_eq!(code(append(&mut log, &produced(9, 4, 71, 1))), ErrorCode::OutOfOrderSequenceNumber);
    append(&mut log, &produced(9, 4, 0, 1)).unwrap();
    assert_eq!(code(append(&mut log, &produced(9, 3, 71, 1))), ErrorCode::InvalidProducerEpoch);
    // Sequences of a coordinator are not checked, its epochs are.
    append_from(&mut log, &produced(9, 4, 55, 1), 0, AppendOrigin::Coordinator).unwrap();
    assert_eq!(
        code(append_from(&mut log, &produced(9, 2, 0, 1), 0, AppendOrigin::Coordinator)),
        ErrorCode::InvalidProducerEpoch
    );
}

#[test]
fn a_sequence_wraps_within_a_batch() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(9, 0, i32::MAX - 1, 4)).unwrap();
    assert!(append(&mut log, &produced(9, 0, i32::MAX - 1, 4)).unwrap().duplicate);
    assert_eq!(append(&mut log, &produced(9, 0, 2, 1)).unwrap().base_offset, offset(4));
}

#[test]
fn an_idle_producer_is_forgotten_by_record_time() {
    let (_disk, mut log) = new_log(LogConfig { producer_expiration_ms: 1_000, ..LogConfig::default() });
    append(&mut log, &produced(9, 0, 0, 1)).unwrap();
    log.expire_producers(NOW.plus_ms(999));
    assert_eq!(log.producers().count(), 1);
    log.expire_producers(NOW.plus_ms(1_000));
    assert_eq!(log.producers().count(), 0);
    append(&mut log, &produced(9, 0, 500, 1)).unwrap();
}

#[test]
fn an_open_transaction_holds_back_the_last_stable_offset_until_its_marker_is_committed() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(2, 10)).unwrap();
    let mut builder = highwater_records::BatchBuilder::new(highwater_records::BatchOptions {
        producer: ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: 0 },
        transactional: true,
        ..highwater_records::BatchOptions::default()
    });
    builder.append(NOW.value(), None, Some(b"v"), &[]).unwrap();
    append(&mut log, &builder.finish().unwrap()).unwrap();
    let outside = append(&mut log, &produced(9, 0, 1, 1)).unwrap_err();
    assert_eq!(outside.error_code(), ErrorCode::InvalidTxnState);
    log.advance_high_watermark(offset(3));
    assert_eq!((log.high_watermark(), log.last_stable()), (offset(3), offset(2)));
    assert_eq!(log.read(offset(2), 100, true, ReadBound::LastStable).unwrap().length, 0);
    let marker = EndTxnMarker { committed: true, coordinator_epoch: 7 }.to_batch(9, 0, NOW.value());
    append_from(&mut log, &marker, 0, AppendOrigin::Coordinator).unwrap();
    assert_eq!(log.last_stable(), offset(2));
    log.advance_high_watermark(offset(4));
    assert_eq!(log.last_stable(), offset(4));
    let producer = log.producers().next().unwrap();
    assert_eq!((producer.coordinator_epoch, producer.txn_first_offset), (Some(7), None));
    let stale = EndTxnMarker { committed: true, coordinator_epoch: 6 }.to_batch(9, 0, NOW.value());
    let error = append_from(&mut log, &stale, 0, AppendOrigin::Coordinator).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::TransactionCoordinatorFenced);
}

#[test]
fn a_closed_log_is_readable_and_refuses_changes() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1, 10)).unwrap();
    log.close(NOW).unwrap();
    assert!(matches!(append(&mut log, &batch(1, 10)), Err(AppendError::Log(LogError::Closed | LogError::Poisoned))));
    assert_eq!(read_all(&log, offset(0)).len(), batch(1, 10).len());
}
