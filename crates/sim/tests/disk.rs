//! What the disk keeps, loses and refuses.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;

use highwater_log::{Disk, OpenMode};
use highwater_sim::{Call, DataLoss, EIO, EMFILE, ENOSPC, Effect, Fault, NameLoss, SimDisk};

const DIR: &str = "/d";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

/// A disk with a durable directory.
fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn write(disk: &SimDisk, name: &str, bytes: &[u8]) -> highwater_log::FileHandle {
    let file = disk.open(&path(name), OpenMode::Create).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn names(disk: &SimDisk) -> BTreeSet<String> {
    disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn synced_bytes_need_a_synced_name() {
    let disk = disk(0);
    write(&disk, "named", b"a").sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    write(&disk, "nameless", b"b").sync_data().unwrap();
    disk.crash_with(NameLoss::Everything, Some(DataLoss::Everything));
    assert_eq!(names(&disk), set(&["named"]));
    assert_eq!(disk.read(&path("named")).unwrap(), b"a");
}

#[test]
fn a_directory_is_a_name_in_its_parent() {
    let disk = SimDisk::new(0);
    disk.create_dir_all(Path::new("/a/b")).unwrap();
    disk.sync_dir(Path::new("/a")).unwrap();
    disk.crash_with(NameLoss::Everything, None);
    assert!(disk.metadata(Path::new("/a")).is_err());
}

#[test]
fn every_kind_of_data_loss_keeps_what_was_synced_and_invents_nothing() {
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    for loss in [DataLoss::Nothing, DataLoss::Everything, DataLoss::Prefix, DataLoss::Sectors, DataLoss::SizeFirst] {
        for seed in 0..200 {
            let disk = disk(seed);
            let file = write(&disk, "f", &[1; 700]);
            disk.sync_dir(Path::new(DIR)).unwrap();
            file.sync_data().unwrap();
            file.write_all_at(&[2; 600], 700).unwrap();
            file.write_all_at(&[3; 600], 1_300).unwrap();
            disk.crash_with(NameLoss::Nothing, Some(loss));
            let left = disk.read(&path("f")).unwrap();
            assert_eq!(&left[..700], &[1; 700], "{loss:?} {seed}");
            for (at, byte) in left.iter().enumerate().skip(700) {
                let written = if at < 1_300 { 2 } else { 3 };
                assert!(*byte == 0 || *byte == written, "{loss:?} {seed}: {byte} at {at}");
            }
            match loss {
                DataLoss::Nothing => assert_eq!(left.len(), 1_900),
                DataLoss::Everything => assert_eq!(left.len(), 700),
                DataLoss::Prefix => assert!(!left.contains(&0), "a prefix has no holes"),
                DataLoss::SizeFirst => assert_eq!(left.len(), 1_900),
                DataLoss::Sectors => {}
            }
            seen.insert(left);
        }
    }
    let any = |holds: &dyn Fn(&Vec<u8>) -> bool| assert!(seen.iter().any(holds));
    any(&|left| left.len() % 512 != 0 && 700 < left.len() && left.len() < 1_300);
    any(&|left| left.contains(&3) && !left.contains(&2));
    any(&|left| left.len() == 1_900 && left[700..].iter().all(|byte| *byte == 0));
}

#[test]
fn overwritten_bytes_may_be_old_or_new_and_torn_anywhere() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let disk = disk(seed);
        let file = write(&disk, "f", &[1; 100]);
        disk.sync_dir(Path::new(DIR)).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(&[2; 100], 0).unwrap();
        disk.crash_with(NameLoss::Nothing, None);
        let left = disk.read(&path("f")).unwrap();
        assert_eq!(left.len(), 100);
        seen.insert(left.iter().filter(|byte| **byte == 2).count());
    }
    assert!(seen.contains(&0) && seen.contains(&100) && 10 < seen.len(), "{seen:?}");
}

/// Two files of a directory are created; which names a crash can leave.
fn outcomes(loss: NameLoss, change: impl Fn(&SimDisk)) -> BTreeSet<BTreeSet<String>> {
    (0..200)
        .map(|seed| {
            let disk = disk(seed);
            write(&disk, "old", b"old").sync_data().unwrap();
            disk.sync_dir(Path::new(DIR)).unwrap();
            change(&disk);
            disk.crash_with(loss, None);
            names(&disk)
        })
        .collect()
}

#[test]
fn names_are_lost_in_order_or_in_any_subset() {
    let create = |disk: &SimDisk| {
        write(disk, "a", b"");
        write(disk, "b", b"");
    };
    let ordered = [set(&["old"]), set(&["old", "a"]), set(&["old", "a", "b"])];
    assert_eq!(outcomes(NameLoss::InOrder, create), ordered.iter().cloned().collect());
    let any = ordered.into_iter().chain([set(&["old", "b"])]).collect();
    assert_eq!(outcomes(NameLoss::AnySubset, create), any);
}

#[test]
fn a_rename_happens_whole_or_not_at_all() {
    let rename = |disk: &SimDisk| disk.rename(&path("old"), &path("new")).unwrap();
    for loss in [NameLoss::InOrder, NameLoss::AnySubset] {
        assert_eq!(outcomes(loss, rename), BTreeSet::from([set(&["old"]), set(&["new"])]));
    }
}

#[test]
fn a_name_taken_again_is_never_lost_in_between() {
    let replace = |disk: &SimDisk| {
        disk.rename(&path("old"), &path("old.deleted")).unwrap();
        write(disk, "old", b"new");
    };
    let expected = [set(&["old"]), set(&["old.deleted"]), set(&["old", "old.deleted"])];
    assert_eq!(outcomes(NameLoss::AnySubset, replace), expected.into_iter().collect());
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    for seed in 0..50 {
        let disk = disk(seed);
        write(&disk, "f", b"old").sync_data().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        write(&disk, "f.tmp", b"new").sync_data().unwrap();
        disk.rename(&path("f.tmp"), &path("f")).unwrap();
        disk.crash();
        let left = disk.read(&path("f")).unwrap();
        assert!(left == b"old" || left == b"new");
    }
}

#[test]
fn a_removed_file_can_come_back_until_its_directory_is_synced() {
    let remove = |disk: &SimDisk| disk.remove_file(&path("old")).unwrap();
    assert_eq!(outcomes(NameLoss::AnySubset, remove), BTreeSet::from([set(&[]), set(&["old"])]));
    let remove_for_good = |disk: &SimDisk| {
        disk.remove_file(&path("old")).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
    };
    assert_eq!(outcomes(NameLoss::Everything, remove_for_good), BTreeSet::from([set(&[])]));
}

#[test]
fn the_nth_call_fails_once_or_for_good() {
    let disk = disk(1);
    let file = write(&disk, "f", b"");
    disk.inject(Fault { call: Some(Call::Write), after: 1, effect: Effect::FailOnce(EIO) });
    file.write_all_at(b"a", 0).unwrap();
    assert_eq!(file.write_all_at(b"b", 1).unwrap_err().raw_os_error(), Some(EIO));
    file.write_all_at(b"b", 1).unwrap();
    disk.inject(Fault { call: Some(Call::Sync), after: 0, effect: Effect::Fail(EIO) });
    file.sync_data().unwrap_err();
    file.sync_data().unwrap_err();
    disk.sync_dir(Path::new(DIR)).unwrap_err();
    file.write_all_at(b"c", 2).unwrap();
    disk.inject(Fault { call: Some(Call::Read), after: 0, effect: Effect::FailOnce(EIO) });
    file.read_at(&mut [0], 0).unwrap_err();
    assert_eq!(disk.faults_hit(), 3);
    disk.heal();
    file.sync_data().unwrap();
}

#[test]
fn a_failed_write_may_have_written_any_part() {
    let sizes: BTreeSet<u64> = (0..100)
        .map(|seed| {
            let disk = disk(seed);
            let file = write(&disk, "f", b"");
            disk.inject(Fault { call: Some(Call::Write), after: 0, effect: Effect::FailOnce(EIO) });
            file.write_all_at(&[7; 20], 0).unwrap_err();
            file.size().unwrap()
        })
        .collect();
    assert!(sizes.contains(&0) && sizes.contains(&20) && 10 < sizes.len(), "{sizes:?}");
}

#[test]
fn what_a_failed_sync_dropped_is_lost_although_the_next_one_succeeds() {
    let disk = disk(1);
    let file = write(&disk, "f", b"dropped");
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.inject(Fault { call: Some(Call::Sync), after: 0, effect: Effect::DropDirty });
    file.sync_data().unwrap_err();
    assert_eq!(disk.read(&path("f")).unwrap(), b"dropped");
    file.sync_data().unwrap();
    assert_eq!(disk.read_durable(&path("f")).unwrap(), b"");
    disk.kill();
    assert_eq!(disk.read(&path("f")).unwrap(), b"");
}

#[test]
fn space_runs_out_with_a_short_write() {
    let disk = disk(1);
    let file = write(&disk, "f", b"1234");
    disk.limit_space(Some(3));
    assert_eq!(file.write_all_at(b"abcdef", 2).unwrap_err().raw_os_error(), Some(ENOSPC));
    assert_eq!(disk.read(&path("f")).unwrap(), b"12abcde");
    file.write_all_at(b"overwriting needs none", 0).unwrap_err();
    file.write_all_at(b"ok", 0).unwrap();
    disk.heal();
    file.write_all_at(b"abcdefgh", 2).unwrap();
}

#[test]
fn descriptors_run_out_and_come_back() {
    let disk = disk(1);
    let first = write(&disk, "a", b"");
    disk.limit_descriptors(Some(2));
    let _second = write(&disk, "b", b"");
    let refused = disk.open(&path("b"), OpenMode::Read).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(EMFILE));
    assert_eq!(disk.stats().open_files, 2);
    drop(first);
    disk.open(&path("b"), OpenMode::Read).unwrap();
}

#[test]
fn without_power_nothing_works_and_nothing_changes() {
    let disk = disk(1);
    let file = write(&disk, "f", b"before");
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.inject(Fault { call: None, after: 1, effect: Effect::PowerOff });
    file.write_all_at(b"BEFORE", 0).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap_err();
    assert!(disk.is_off());
    file.sync_data().unwrap_err();
    file.write_all_at(b"after", 0).unwrap_err();
    file.read_at(&mut [0], 0).unwrap_err();
    disk.open(&path("f"), OpenMode::Read).unwrap_err();
    disk.rename(&path("f"), &path("g")).unwrap_err();
    disk.crash_with(NameLoss::Everything, Some(DataLoss::Everything));
    assert!(!disk.is_off());
    assert_eq!(disk.read(&path("f")).unwrap(), b"before");
}

#[test]
fn locks_and_handles_end_with_the_process() {
    let disk = disk(1);
    let lock = path(".lock");
    let held = disk.lock(&lock).unwrap();
    assert_eq!(disk.lock(&lock).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let file = write(&disk, "f", b"seen");
    disk.kill();
    file.write_all_at(b"x", 0).unwrap_err();
    let _again = disk.lock(&lock).unwrap();
    drop(held);
    assert!(disk.lock(&lock).is_err(), "a dead process released the lock of a living one");
    assert_eq!(disk.read(&path("f")).unwrap(), b"seen");
}

#[test]
fn one_seed_is_one_history() {
    let history = |seed| {
        let disk = disk(seed);
        for i in 0..20u8 {
            write(&disk, &format!("f{}", i % 7), &[i; 900]);
        }
        disk.crash();
        (0..7).map(|i| disk.read(&path(&format!("f{i}")))).collect::<Vec<_>>()
    };
    assert_eq!(history(5), history(5));
    assert!((0..20).any(|seed| history(seed) != history(5)));
}

#[test]
fn calls_and_bytes_are_counted() {
    let disk = disk(1);
    let before = disk.stats();
    let file = write(&disk, "f", b"12345");
    file.read_at(&mut [0; 9], 1).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.rename(&path("f"), &path("g")).unwrap();
    let after = disk.stats();
    assert_eq!((after.opens - before.opens, after.writes - before.writes), (1, 1));
    assert_eq!((after.bytes_written, after.bytes_read), (5, 4));
    assert_eq!((after.syncs, after.dir_syncs - before.dir_syncs), (1, 1));
    assert_eq!((after.name_changes - before.name_changes, after.open_files), (1, 1));
}
