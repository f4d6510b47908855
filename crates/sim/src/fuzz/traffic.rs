//! What is sent to a log: by producers, by coordinators, and by a leader to its follower.

use highwater_log::AppendOrigin;
use highwater_records::{
    BatchBuilder, BatchOptions, Codec, Compression, EndTxnMarker, LegacyBuilder, LegacyMagic, ProducerStamp,
};

use super::model::Model;
use super::plan::{Plan, draw_codec};
use crate::random::Random;

/// One record set for a leader.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) origin: AppendOrigin,
}

/// Draws a record set that suits what the log holds, or deliberately does not.
pub(crate) fn leader_set(random: &mut Random, plan: &Plan, model: &Model, now: i64) -> Sent {
    if plan.transactional_percent > 0
        && random.chance(25)
        && let Some(sent) = marker(random, plan, model, now)
    {
        return Sent { bytes: sent, origin: AppendOrigin::Coordinator };
    }
    let options = BatchOptions { compression: draw_compression(random, plan), ..BatchOptions::default() };
    let records = random.between(1, 4);
    let (options, records) = match random.chance(plan.idempotent_percent) {
        true => produced(random, plan, model, options, records, true),
        false => (options, records),
    };
    let mut bytes = build(random, plan, options, records, now);
    if random.chance(2) {
        let at = random.index(bytes.len());
        bytes[at] ^= 1;
    }
    Sent { bytes, origin: AppendOrigin::Client }
}

/// What a follower fetches.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    /// The first entry's checksum is wrong.
    pub(crate) is_damaged: bool,
}

/// Draws what a follower fetches: some entries, perhaps with gaps, and perhaps a cut one behind them.
pub(crate) fn fetched(random: &mut Random, plan: &Plan, model: &Model, epoch: u32, now: i64) -> Fetched {
    let mut seen = model.clone();
    let mut bytes = Vec::new();
    let mut oldest = model.epochs.last().map_or(0, |last| last.0);
    for _ in 0..random.between(1, 5) {
        let gap = if random.chance(15) { random.between(1, 4) } else { 0 };
        let base = seen.log_end + gap;
        // Mostly of the newest leader; now and then of the one before it, whose records it hands on.
        oldest = if random.chance(85) { epoch.max(oldest) } else { oldest };
        // Old formats come first in a log, and never again once it has batches with leader epochs.
        let is_old = seen.batches.iter().all(|batch| batch.epoch.is_none());
        let entry = if is_old && random.chance(plan.legacy_percent) {
            legacy(random, plan, base, now)
        } else {
            replicated(random, plan, &seen, base, oldest, now)
        };
        bytes.extend_from_slice(&entry);
        super::model::entries(&entry).into_iter().for_each(|batch| seen.append(batch));
    }
    if random.chance(20) {
        bytes.truncate(bytes.len() - random.index(bytes.len()));
    }
    // Within what every format's checksum covers.
    let at = CHECKED_FROM + random.index(5);
    let is_damaged = random.chance(2) && bytes.get_mut(at).map(|byte| *byte ^= 1).is_some();
    Fetched { bytes, is_damaged }
}

/// Bytes of an entry, whatever its format, that lie before those of its checksum.
const CHECKED_FROM: usize = 21;

fn replicated(random: &mut Random, plan: &Plan, model: &Model, base: u64, epoch: u32, now: i64) -> Vec<u8> {
    let place = |bytes: &mut Vec<u8>| {
        let mut batch = highwater_records::BatchMut::parse(bytes).expect("the batch was just built");
        batch.set_base_offset(base.cast_signed());
        batch.set_leader_epoch(epoch.cast_signed());
    };
    if plan.transactional_percent > 0
        && random.chance(25)
        && let Some(mut bytes) = marker(random, plan, model, now)
    {
        place(&mut bytes);
        return bytes;
    }
    let options = BatchOptions { compression: draw_compression(random, plan), ..BatchOptions::default() };
    let records = random.between(1, 4);
    let (options, records) = match random.chance(plan.idempotent_percent) {
        true => produced(random, plan, model, options, records, false),
        false => (options, records),
    };
    let mut bytes = build(random, plan, options, records, now);
    place(&mut bytes);
    bytes
}

fn legacy(random: &mut Random, plan: &Plan, base: u64, now: i64) -> Vec<u8> {
    let magic = random.pick(&[LegacyMagic::V0, LegacyMagic::V1]);
    let codec = match random.chance(50) {
        true => random.pick(&[Codec::Gzip, Codec::Snappy, Codec::Lz4]),
        false => Codec::None,
    };
    let mut builder = LegacyBuilder::new(magic, Compression::new(codec), None);
    // Offset 0 of a wrapper has a meaning of its own: its first record is at 0, whatever their number.
    for offset in base..base + random.between(1, 3) {
        let value = vec![3; random.index(1 + usize::try_from(plan.value_max).unwrap_or(0))];
        let timestamp = timestamp(random, plan, now);
        builder.append(offset.cast_signed(), timestamp, Some(b"key"), Some(&value)).expect("offsets increase");
    }
    builder.finish().expect("there is a message")
}

/// A marker that ends a producer's transaction, or that finds none; `None` if nobody is known.
fn marker(random: &mut Random, plan: &Plan, model: &Model, now: i64) -> Option<Vec<u8>> {
    let known: Vec<(i64, i16, i32, bool)> = model
        .producers
        .known
        .iter()
        .map(|(id, known)| (*id, known.epoch, known.coordinator_epoch.unwrap_or(0), known.txn_first.is_some()))
        .collect();
    let open: Vec<_> = known.iter().copied().filter(|(.., is_open)| *is_open).collect();
    let choices = if open.is_empty() || random.chance(5) { known } else { open };
    if choices.is_empty() {
        return None;
    }
    let (id, epoch, coordinator_epoch, _) = random.pick(&choices);
    let epoch = epoch + i16::from(random.chance(15)) - i16::from(epoch > 0 && random.chance(3));
    let coordinator_epoch = coordinator_epoch + i32::from(random.chance(10)) - i32::from(random.chance(3));
    let marker = EndTxnMarker { committed: random.chance(50), coordinator_epoch: coordinator_epoch.max(0) };
    Some(marker.to_batch(id, epoch, timestamp(random, plan, now)))
}

/// Gives a batch a producer, and the sequence that it would send, or with `tries_wrong` sometimes another one.
fn produced(
    random: &mut Random,
    plan: &Plan,
    model: &Model,
    options: BatchOptions,
    records: u64,
    tries_wrong: bool,
) -> (BatchOptions, u64) {
    let producer_id = 1_000 + random.below(plan.producers).cast_signed();
    let mut stamp = ProducerStamp { producer_id, producer_epoch: 0, base_sequence: 0 };
    let mut transactional = random.chance(plan.transactional_percent);
    let mut records = records;
    match model.producers.known.get(&producer_id) {
        None => stamp.base_sequence = random.pick(&[0, 0, 7, i32::MAX - 1]),
        Some(known) => {
            stamp.producer_epoch = known.epoch;
            stamp.base_sequence = known.next_sequence();
            transactional |= known.txn_first.is_some();
            match random.below(if tries_wrong { 40 } else { 20 }) {
                0 if known.txn_first.is_none() => {
                    stamp.producer_epoch += 1;
                    stamp.base_sequence = 0;
                }
                20..23 => {
                    let seen: Vec<_> = known.batches.iter().copied().collect();
                    if !seen.is_empty() {
                        let seen = random.pick(&seen);
                        stamp.base_sequence = seen.sequences.0;
                        records = 1 + seen.offsets.1 - seen.offsets.0;
                    }
                }
                23 => stamp.base_sequence = stamp.base_sequence.saturating_add(1),
                24 if known.epoch > 0 => stamp.producer_epoch -= 1,
                25 => transactional = false,
                _ => {}
            }
        }
    }
    (BatchOptions { producer: stamp, transactional, ..options }, records)
}

fn build(random: &mut Random, plan: &Plan, options: BatchOptions, records: u64, now: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    let is_timeless = random.chance(plan.timeless_percent);
    for _ in 0..records {
        let key = [b'k', b'0' + u8::try_from(random.below(10)).expect("a digit")];
        let value: Vec<u8> = vec![
            u8::try_from(random.below(256)).expect("a byte");
            random.index(1 + usize::try_from(plan.value_max).unwrap_or(0))
        ];
        let value = (!random.chance(10)).then_some(value);
        let timestamp = if is_timeless { -1 } else { timestamp(random, plan, now) };
        builder.append(timestamp, Some(&key), value.as_deref(), &[]).expect("small records fit");
    }
    builder.finish().expect("there is a record, and the codec is built in")
}

fn timestamp(random: &mut Random, plan: &Plan, now: i64) -> i64 {
    if plan.timeless_percent == 100 { -1 } else { now - random.below(plan.age_ms_max).cast_signed() }
}

fn draw_compression(random: &mut Random, plan: &Plan) -> Compression {
    if random.chance(plan.compressed_percent) { draw_codec(random) } else { Compression::NONE }
}
