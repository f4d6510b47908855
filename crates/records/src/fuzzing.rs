//! Bodies of the fuzz targets, kept here so that tests run them over known inputs too.
//!
//! None of them may panic, whatever the bytes; each also asserts what must hold of anything accepted.

use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use crate::legacy::LegacyMessage;
use crate::validate::{Depth, LeaderRules, Origin, TargetCodec, validate_and_assign};
use crate::{
    BatchBuilder, BatchHeader, BatchMut, BatchOptions, BatchView, Codec, DecompressLimit, Entry, RecordSet,
    TimestampType, retained_empty,
};

const LIMIT: DecompressLimit = DecompressLimit::new(1 << 20);

/// Reads `bytes` as a record set, in every way there is.
pub fn fuzz_records(bytes: &[u8]) {
    let mut entries = RecordSet::new(bytes).entries();
    let mut position = 0;
    while let Some(Ok(entry)) = entries.next() {
        assert_eq!(&bytes[position..position + entry.size()], entry.bytes());
        position += entry.size();
        assert_eq!(entries.position(), position);
        read_entry(&entry);
    }
    #[cfg(feature = "json")]
    let _ = crate::json::describe(bytes);
}

fn read_entry(entry: &Entry<'_>) {
    let _ = (entry.check_crc(), entry.codec(), entry.next_offset(), entry.max_timestamp(), entry.leader_epoch());
    let _ = entry.base_offset(LIMIT);
    let Ok(mut records) = entry.records(LIMIT) else {
        return;
    };
    let mut total = 0;
    while let Ok(Some(record)) = records.next_record() {
        assert_eq!(record.headers.iter().count(), record.headers.len());
        total += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    }
    let bound = LIMIT.bytes().max(entry.size());
    assert!(total <= bound, "{total} bytes of records from a limit of {bound}");
    let _ = records.next_record();
}

/// Reads `bytes` as one v2 batch, and checks that changing it in place gives a sound batch.
pub fn fuzz_batch(bytes: &[u8]) {
    let _ = BatchHeader::parse(bytes);
    let Ok(batch) = BatchView::parse(bytes) else {
        return;
    };
    read_entry(&Entry::Batch(batch));
    check_both_walks_agree(&batch);
    assert!(BatchView::parse(&retained_empty(&batch)).is_ok_and(|batch| batch.check_crc().is_ok()));

    let mut changed = bytes.to_vec();
    let mut patch = BatchMut::parse(&mut changed).expect("it has just been parsed");
    patch.set_base_offset(17);
    patch.set_leader_epoch(3);
    patch.set_max_timestamp(TimestampType::LogAppendTime, 99);
    patch.update_crc();
    let view = patch.view();
    assert!(view.check_crc().is_ok());
    assert_eq!((view.base_offset(), view.leader_epoch(), view.max_timestamp()), (17, 3, 99));
    rewrite(&batch);
}

/// Decompressing as a stream and as a whole must give the same records and fail at the same one.
fn check_both_walks_agree(batch: &BatchView<'_>) {
    let mut payload = Vec::new();
    let whole = batch.decompress(LIMIT, &mut payload);
    let (Ok(()), Ok(walk), Ok(mut stream)) = (whole, batch.records_in(&payload), batch.records(LIMIT)) else {
        return;
    };
    for expected in walk {
        assert_eq!(stream.next_record(), expected.map(Some));
    }
    assert_eq!(stream.next_record(), Ok(None));
}

/// What can be read can be written, and reads the same again.
fn rewrite(batch: &BatchView<'_>) {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: batch.base_offset(), ..BatchOptions::default() });
    let Ok(mut records) = batch.records(LIMIT) else {
        return;
    };
    while let Ok(Some(record)) = records.next_record() {
        if builder.append_record(&record).is_err() {
            return;
        }
    }
    let Ok(written) = builder.finish() else {
        return;
    };
    let written = BatchView::parse(&written).expect("the builder writes whole batches");
    assert!(written.check_crc().is_ok());
    let mut again = written.records(LIMIT).expect("it is not compressed");
    let mut records = batch.records(LIMIT).expect("it was read above");
    while let Some(ours) = again.next_record().expect("we wrote it") {
        let theirs = records.next_record().expect("it was read above").expect("there is one for each");
        assert_eq!(
            (ours.offset, ours.timestamp, ours.key, ours.value),
            (theirs.offset, theirs.timestamp, theirs.key, theirs.value)
        );
        assert!(ours.headers.iter().eq(theirs.headers.iter()));
    }
}

/// Reads `bytes` as one v0 or v1 message.
pub fn fuzz_legacy(bytes: &[u8]) {
    let Ok(message) = LegacyMessage::parse(bytes) else {
        return;
    };
    read_entry(&Entry::Legacy(message));
    let Ok(inner) = message.inner(LIMIT) else {
        return;
    };
    assert_ne!(inner.iter().count(), 0, "a wrapper without messages is refused");
    for message in inner.iter() {
        let _ = (message.record(), message.message.check_crc());
    }
}

/// Validates what follows the first two bytes, which choose the rules, as a leader does.
///
/// The checksum is taken as right, so that changed bytes reach the checks behind it.
pub fn fuzz_validate(bytes: &[u8]) {
    let Some((&[flags, codec], set)) = bytes.split_first_chunk() else {
        return;
    };
    let flag = |bit: u8| flags & 1 << bit != 0;
    let rules = LeaderRules {
        codec: match Codec::from_attributes(codec.into()) {
            Ok(codec) if codec.is_built() => TargetCodec::Fixed(codec.into()),
            _ => TargetCodec::Producer,
        },
        timestamp_type: if flag(0) { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        before_max_ms: if flag(1) { 1000 } else { i64::MAX },
        compacted: flag(2),
        origin: if flag(3) { Origin::Coordinator } else { Origin::Client },
        depth: if flag(4) { Depth::Full } else { Depth::Opaque },
        legacy_allowed: flag(5),
        zstd_allowed: flag(6),
        crc_checked: true,
        decompress_limit: LIMIT,
        ..LeaderRules::default()
    };
    let mut set = set.to_vec();
    let (next, epoch) = (Offset::new(1000), LeaderEpoch::new(5));
    let Ok(mut validated) = validate_and_assign(&mut set, &rules, TimestampMs(1_700_000_000_000), next, epoch) else {
        return;
    };
    let (rebuilt, opaque) = (validated.rebuilt.is_some(), rules.depth == Depth::Opaque && !rules.compacted);
    let (records, max_timestamp) = (validated.records, validated.max_timestamp);
    let output = validated.bytes_mut(&mut set);
    if output.is_empty() {
        assert_eq!(records, 0);
        return;
    }
    let batch = BatchView::parse(output).expect("what is accepted is one batch");
    assert_eq!((batch.leader_epoch(), batch.max_timestamp()), (5, max_timestamp));
    assert_eq!(batch.timestamp_type(), rules.timestamp_type);
    assert_eq!(batch.check_offsets(), Some((1000, 999 + u64::from(records))));
    if rebuilt {
        assert!(batch.check_crc().is_ok());
    }
    if !opaque || !batch.codec().is_ok_and(Codec::is_compressed) {
        // Rebuilding gives records their right offset deltas, which may take a little more room.
        let limit = DecompressLimit::new(2 * LIMIT.bytes());
        let mut walk = batch.records(limit).expect("it was read for validation");
        while walk.next_record().expect("it was read for validation").is_some() {}
    }
}
