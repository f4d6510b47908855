//! Verification: sound directories are sound, and no damage goes unnoticed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};

use highwater_log::{
    AppendOrigin, Disk, LogConfig, MemDisk, RealDisk, Severity, Verification, VerifyOptions, verify_dir, verify_log,
};

use highwater_records::{BatchBuilder, BatchOptions, EndTxnMarker, ProducerStamp};
use support::{DIR, NOW, append_from, append_in, batch, files, new_log, path, produced};

fn verify(disk: &dyn Disk, dir: &Path) -> Verification {
    let mut bytes = 0;
    let done = verify_log(disk, dir, VerifyOptions::default(), &mut |more| bytes += more).unwrap();
    assert_eq!(bytes, done.bytes, "progress adds up");
    done
}

/// Directories of logs that Apache Kafka's storage classes have left behind.
fn recorded(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    if entries.iter().any(|path| path.extension().is_some_and(|extension| extension == "log")) {
        found.push(dir.to_owned());
    }
    entries.iter().filter(|path| path.is_dir()).for_each(|path| recorded(path, found));
}

#[test]
fn what_kafka_has_written_is_sound() {
    let mut dirs = Vec::new();
    recorded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"), &mut dirs);
    assert!(30 < dirs.len(), "only {} directories", dirs.len());
    for dir in dirs.iter().filter(|dir| !dir.ends_with("1-damaged")) {
        let done = verify(&RealDisk, dir);
        let damage: Vec<_> = done.findings.iter().filter(|finding| finding.severity == Severity::Damage).collect();
        // Under a clean marker Kafka does not look, and leaves the flipped bit where it is.
        let is_blind = dir.to_string_lossy().contains("bitflip-in-middle-segment-with-clean-marker");
        assert_eq!(!damage.is_empty(), is_blind, "{}: {damage:#?}", dir.display());
    }
}

fn closed_log() -> MemDisk {
    let config = LogConfig { segment_index_bytes_max: 1_200, index_interval_bytes: 100, ..LogConfig::default() };
    let (disk, mut log) = new_log(config);
    for round in 0..6 {
        append_in(&mut log, &batch(2, 40), round / 2).unwrap();
        append_in(&mut log, &produced(7, 0, i32::try_from(round).unwrap() * 2, 2), round / 2).unwrap();
        if round == 1 {
            append_in(&mut log, &transactional(), round / 2).unwrap();
            let marker = EndTxnMarker { committed: false, coordinator_epoch: 0 }.to_batch(8, 0, NOW.value());
            append_from(&mut log, &marker, round / 2, AppendOrigin::Coordinator).unwrap();
        }
        if round == 2 {
            log.roll(NOW).unwrap();
        }
    }
    log.close(NOW).unwrap();
    disk
}

fn transactional() -> Vec<u8> {
    let producer = ProducerStamp { producer_id: 8, producer_epoch: 0, base_sequence: 0 };
    let mut builder = BatchBuilder::new(BatchOptions { producer, transactional: true, ..BatchOptions::default() });
    builder.append(NOW.value(), Some(b"key"), Some(b"value"), &[]).unwrap();
    builder.finish().unwrap()
}

#[test]
fn a_closed_log_is_sound_and_counted() {
    let disk = closed_log();
    let done = verify(&disk, Path::new(DIR));
    assert!(done.is_sound());
    assert_eq!(
        done.findings.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>(),
        ["no partition.metadata"]
    );
    assert_eq!((done.partitions, done.segments, done.batches, done.records), (1, 2, 14, 26));
    assert!(done.index_entries > 6, "{} index entries", done.index_entries);
    let quick = VerifyOptions { records: false, ..VerifyOptions::default() };
    let done = verify_log(&disk, Path::new(DIR), quick, &mut |_| {}).unwrap();
    assert_eq!((done.batches, done.records), (14, 0));
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    let sound = verify(&closed_log(), Path::new(DIR)).findings;
    let names: Vec<String> = files(&closed_log()).into_iter().filter(|name| !name.ends_with("-checkpoint")).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    for name in names {
        let bytes = closed_log().read(&path(&name)).unwrap();
        let batches = starts(&name, &bytes);
        for at in 0..bytes.len() {
            // Offsets may have gaps: those of the last batch can be anything above the one before, unless indexed.
            if batches.last().is_some_and(|last| (*last..last + 8).contains(&at)) {
                continue;
            }
            let disk = closed_log();
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            disk.write(&path(&name), &damaged);
            let done = verify(&disk, Path::new(DIR));
            assert_ne!(done.findings, sound, "byte {at} of {name}");
        }
    }
}

/// Where the batches of a log file start.
fn starts(name: &str, bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    if !name.ends_with(".log") {
        return starts;
    }
    let mut at = 0;
    while at < bytes.len() {
        starts.push(at);
        at += 12 + u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    starts
}

#[test]
fn a_cut_file_is_noticed_and_the_last_one_excused() {
    let second = files(&closed_log()).into_iter().rfind(|name| name.ends_with(".log")).unwrap();
    for (name, severity) in [("00000000000000000000.log", Severity::Damage), (second.as_str(), Severity::Note)] {
        let disk = closed_log();
        let bytes = disk.read(&path(name)).unwrap();
        disk.write(&path(name), &bytes[..bytes.len() - 1]);
        let done = verify(&disk, Path::new(DIR));
        let found: Vec<_> = done.findings.iter().filter(|finding| finding.path == path(name)).collect();
        assert!(found.iter().any(|finding| finding.severity == severity), "{name}: {found:?}");
        assert_eq!(done.is_sound(), severity == Severity::Note, "{name}: {:?}", done.findings);
    }
}

#[test]
fn findings_are_bounded_and_counted() {
    let disk = closed_log();
    let name = "00000000000000000000.log";
    let mut bytes = disk.read(&path(name)).unwrap();
    for start in starts(name, &bytes) {
        bytes[start + 62] ^= 1;
    }
    disk.write(&path(name), &bytes);
    let options = VerifyOptions { findings_max: 2, ..VerifyOptions::default() };
    let done = verify_log(&disk, Path::new(DIR), options, &mut |_| {}).unwrap();
    assert_eq!((done.findings.len(), done.damages), (2, 8));
    assert_eq!(done.findings_dropped, 7, "eight batches and the missing partition.metadata");
}

#[test]
fn a_directory_is_checked_with_its_checkpoints() {
    let disk = closed_log();
    let root = Path::new("/logs");
    let checkpoint = root.join("recovery-point-offset-checkpoint");
    let damages = |disk: &MemDisk| {
        let done = verify_dir(disk, root, VerifyOptions::default(), &mut |_| {}).unwrap();
        assert_eq!(done.partitions, 1);
        done.findings.into_iter().filter(|finding| finding.severity == Severity::Damage).collect::<Vec<_>>()
    };
    disk.write(&checkpoint, b"0\n1\ntopic 0 26\n");
    assert_eq!(damages(&disk), []);
    disk.write(&checkpoint, b"0\n1\ntopic 0 27\n");
    assert_eq!(damages(&disk)[0].what, "ends at 26 although it is synced up to 27");
    disk.write(&checkpoint, b"0\n2\ntopic 0 26\n");
    assert_eq!(damages(&disk)[0].path, checkpoint);
    disk.write(&checkpoint, b"");
    disk.create_dir_all(&root.join("photos")).unwrap();
    assert_eq!(damages(&disk)[0].path, root.join("photos"));
}
