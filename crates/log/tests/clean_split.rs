//! Segments whose offsets are out of their index's reach, as only old releases wrote them; and messages of old formats.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{Disk, Log, LogConfig, MemDisk, OpenOptions};
use highwater_records::{
    BatchBuilder, BatchMut, BatchOptions, Codec, EndTxnMarker, LegacyBuilder, LegacyMagic, ProducerStamp,
};
use support::clean::{at, bases, clean_all, config, records};
use support::txn::{aborted, indexed};
use support::{DIR, NOW, offset, open, path};

const FAR: i64 = 1 << 31;

fn batch_at(base_offset: i64, key: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset, leader_epoch: 0, ..BatchOptions::default() });
    builder.append(NOW.value(), Some(key.as_bytes()), Some(b"v"), &[]).unwrap();
    builder.finish().unwrap()
}

/// A disk with one segment of these bytes, without indexes.
fn disk_with(bytes: &[u8]) -> MemDisk {
    let disk = MemDisk::new();
    disk.set_time(NOW);
    disk.create_dir_all(std::path::Path::new(DIR)).unwrap();
    disk.write(&path("00000000000000000000.log"), bytes);
    disk
}

/// A v1 wrapper whose first message has offset `base`.
fn wrapper(base: i64, records: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
    let mut builder = LegacyBuilder::new(LegacyMagic::V1, Codec::Gzip.into(), None);
    for (offset, (key, value)) in (base..).zip(records) {
        builder.append(offset, NOW.value(), Some(key), *value).unwrap();
    }
    builder.finish().unwrap()
}

fn unclean(disk: &MemDisk, config: LogConfig) -> Log {
    open(disk, config, OpenOptions::unclean(NOW))
}

#[test]
fn recovery_splits_a_segment_where_its_index_cannot_follow() {
    let mut bytes = batch_at(0, "a");
    bytes.extend(batch_at(7, "b"));
    bytes.extend(batch_at(FAR - 1, "c"));
    bytes.extend(batch_at(FAR, "d"));
    bytes.extend(batch_at(FAR + 9, "e"));
    bytes.extend(batch_at(3 * FAR, "f"));
    let disk = disk_with(&bytes);
    let log = unclean(&disk, config());
    assert_eq!(bases(&log), [0, FAR as u64, 3 * FAR as u64]);
    let all = format!("0 a=v, 7 b=v, {} c=v, {FAR} d=v, {} e=v, {} f=v", FAR - 1, FAR + 9, 3 * FAR);
    assert_eq!(records(&log).join(", "), all);
    let names = support::files(&disk);
    assert!(names.iter().all(|name| !name.ends_with(".swap") && !name.ends_with(".cleaned")), "{names:?}");
    drop(log);
    let log = unclean(&disk, config());
    assert_eq!((bases(&log).len(), records(&log).join(", ")), (3, all));
}

#[test]
fn a_segment_that_begins_out_of_reach_and_is_damaged_behind_is_split_and_cut() {
    let mut bytes = batch_at(2 * FAR, "a");
    bytes.extend(batch_at(4 * FAR, "b"));
    let valid = bytes.len();
    bytes.extend(batch_at(4 * FAR + 5, "c"));
    bytes[valid + 66] ^= 1;
    let disk = disk_with(&bytes);
    disk.write(&path("00000000020000000000.log"), &batch_at(20_000_000_000, "later"));
    let log = unclean(&disk, config());
    assert_eq!(records(&log), [format!("{} a=v", 2 * FAR), format!("{} b=v", 4 * FAR)]);
    assert_eq!(bases(&log), [0, 2 * FAR as u64, 4 * FAR as u64]);
}

#[test]
fn splitting_a_segment_of_a_log_closed_in_order_keeps_its_aborted_transactions() {
    let producer = ProducerStamp { producer_id: 5, producer_epoch: 0, base_sequence: 0 };
    let options = BatchOptions { base_offset: FAR + 1, producer, transactional: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(NOW.value(), Some(b"t"), Some(b"v"), &[]).unwrap();
    let mut marker = EndTxnMarker { committed: false, coordinator_epoch: 0 }.to_batch(5, 0, NOW.value());
    BatchMut::parse(&mut marker).unwrap().set_base_offset(FAR + 2);
    let bytes = [batch_at(0, "a"), builder.finish().unwrap(), marker].concat();
    let disk = disk_with(&bytes);
    // Without an offset index it is recovered even so.
    let log = open(&disk, config(), OpenOptions { clean: true, ..OpenOptions::unclean(NOW) });
    let far = FAR as u64;
    assert_eq!(indexed(&log), [(0, vec![]), (far + 1, vec![aborted(5, far + 1, far + 2, far + 3)])]);
}

#[test]
fn a_legacy_wrapper_out_of_reach_gets_a_segment_that_begins_with_its_first_message() {
    let records: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"v")), (b"b", Some(b"v")), (b"c", Some(b"v"))];
    let mut bytes = batch_at(0, "x");
    bytes.extend(wrapper(FAR + 10, &records));
    let log = unclean(&disk_with(&bytes), config());
    assert_eq!(bases(&log), [0, FAR as u64 + 10]);
}

#[test]
fn tombstones_of_old_formats_go_by_the_time_of_their_file() {
    let disk = disk_with(&wrapper(0, &[(b"a", Some(b"1")), (b"b", None)]));
    disk.write(&path("00000000000000000002.log"), &wrapper(2, &[(b"c", None), (b"d", Some(b"1"))]));
    disk.write(&path("00000000000000000004.log"), &wrapper(4, &[(b"e", Some(b"1"))]));
    let mut log = unclean(&disk, config());
    log.advance_high_watermark(log.log_end());
    // The first segment is clean. What is as old as it, less delete.retention.ms, may lose its tombstones.
    let time_of = |base: &str, ms: i64| disk.set_modified(&path(base), at(ms)).unwrap();
    time_of("00000000000000000000.log", 5_000);
    time_of("00000000000000000002.log", 4_001);
    let config_of_all = LogConfig { segment_bytes_max: 1, ..config() };
    log.set_config(config_of_all.checked().unwrap());
    log.set_clean_checkpoint(Some(offset(2)));
    support::clean::clean(&mut log, &mut highwater_log::Cleaner::default(), at(6_000));
    assert_eq!(records(&log), ["0 a=1", "1 b=-", "2 c=-", "3 d=1", "4 e=1"]);
    // All is v2 now, and the horizon counts.
    clean_all(&mut log, at(7_000));
    assert_eq!(records(&log), ["0 a=1", "3 d=1", "4 e=1"]);

    let disk = disk_with(&wrapper(0, &[(b"a", Some(b"1")), (b"b", None)]));
    disk.write(&path("00000000000000000002.log"), &wrapper(2, &[(b"c", None), (b"d", Some(b"1"))]));
    disk.write(&path("00000000000000000004.log"), &wrapper(4, &[(b"e", Some(b"1"))]));
    let mut log = unclean(&disk, LogConfig { segment_bytes_max: 1, ..config() });
    log.advance_high_watermark(log.log_end());
    disk.set_modified(&path("00000000000000000000.log"), at(5_000)).unwrap();
    disk.set_modified(&path("00000000000000000002.log"), at(4_000)).unwrap();
    log.set_clean_checkpoint(Some(offset(2)));
    support::clean::clean(&mut log, &mut highwater_log::Cleaner::default(), at(6_000));
    assert_eq!(records(&log), ["0 a=1", "1 b=-", "3 d=1", "4 e=1"]);
}
