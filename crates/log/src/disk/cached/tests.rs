//! The cache over a disk in memory that counts what is open and what is synced.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::disk::{CrashLoss, DiskCall, DiskFile, MemDisk};

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    most: AtomicUsize,
    file_syncs: AtomicUsize,
    volume_syncs: AtomicUsize,
}

#[derive(Clone, Debug, Default)]
struct Counting {
    disk: MemDisk,
    counts: Arc<Counts>,
    has_volume: bool,
}

impl Counting {
    fn of(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }
}

impl Disk for Counting {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let file = self.disk.open(path, mode)?;
        let open = self.counts.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.counts.most.fetch_max(open, Ordering::Relaxed);
        Ok(FileHandle::new(CountedFile { file, counts: Arc::clone(&self.counts) }))
    }
    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        self.disk.metadata(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.disk.set_modified(path, modified)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
    fn volume(&self, path: &Path) -> io::Result<Option<Arc<dyn Volume>>> {
        let inner = self.disk.volume(path)?.filter(|_| self.has_volume);
        Ok(inner.map(|inner| Arc::new(CountedVolume { inner, counts: Arc::clone(&self.counts) }) as Arc<dyn Volume>))
    }
}

#[derive(Debug)]
struct CountedVolume {
    inner: Arc<dyn Volume>,
    counts: Arc<Counts>,
}

impl Volume for CountedVolume {
    fn sync(&self) -> io::Result<()> {
        self.counts.volume_syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync()
    }
}

#[derive(Debug)]
struct CountedFile {
    file: FileHandle,
    counts: Arc<Counts>,
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.file.0.write_vectored_at(slices, position)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.file.reserve(position, length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.counts.file_syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

const LIMIT: usize = 8;

fn cached(inner: &Counting) -> CachedDisk {
    CachedDisk::new(Arc::new(inner.clone()), LIMIT)
}

fn path(name: impl std::fmt::Display) -> PathBuf {
    PathBuf::from(format!("/d/{name}"))
}

/// Writes so many files that everything else has to be closed, whether it needs a sync for that or not.
fn crowd_writing(disk: &CachedDisk) {
    let name = |i| path(format!("written-{i}"));
    let handles: Vec<FileHandle> = (0..3 * LIMIT).map(|i| disk.open(&name(i), OpenMode::Create).unwrap()).collect();
    for handle in handles.iter().chain(&handles) {
        // Those whose sync has failed refuse.
        let _ = handle.write_all_at(b"x", 0);
    }
    let failed = disk.0.room.check().is_err();
    assert!(failed || disk.stats().open <= LIMIT as u64, "{:?}", disk.stats());
}

/// Uses so many files that everything else is closed that needs no sync for that.
fn crowd(disk: &CachedDisk) {
    for i in 0..3 * LIMIT {
        let file = disk.open(&path(format!("crowd-{i}")), OpenMode::Create).unwrap();
        file.size().unwrap();
    }
    let handles: Vec<FileHandle> =
        (0..3 * LIMIT).map(|i| disk.open(&path(format!("crowd-{i}")), OpenMode::Read).unwrap()).collect();
    for handle in handles.iter().chain(&handles) {
        handle.size().unwrap();
    }
}

fn content(file: &FileHandle) -> Vec<u8> {
    file.read_all(1 << 20).unwrap()
}

/// A pseudo-random sequence.
fn draw(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 40).unwrap()
}

#[test]
fn a_thousand_files_used_at_random_never_have_more_descriptors_than_the_limit() {
    let inner = Counting::default();
    let disk = cached(&inner);
    let files: Vec<FileHandle> = (0..1_000).map(|i| disk.open(&path(i), OpenMode::Create).unwrap()).collect();
    let mut expected = vec![Vec::new(); files.len()];
    let mut state = 7;
    for _ in 0..20_000 {
        let i = draw(&mut state) % files.len();
        if draw(&mut state).is_multiple_of(2) {
            let byte = [u8::try_from(i % 251).unwrap()];
            files[i].write_all_at(&byte, expected[i].len() as u64).unwrap();
            expected[i].extend(byte);
        } else {
            assert_eq!(content(&files[i]), expected[i]);
        }
    }
    assert_eq!(Counting::of(&inner.counts.most), LIMIT);
    assert_eq!(disk.stats().open, LIMIT as u64);
    assert!(disk.stats().opened > 1_000 && disk.stats().closed > 1_000, "{:?}", disk.stats());
    drop(files);
    assert_eq!(Counting::of(&inner.counts.open), 0);
    assert!(disk.0.names.is_empty());
}

#[test]
fn threads_share_the_limit_and_see_each_others_writes() {
    let inner = Counting { has_volume: true, ..Counting::default() };
    let disk = cached(&inner);
    let volume = disk.volume(Path::new("/d")).unwrap().unwrap();
    let files: Vec<FileHandle> = (0..64).map(|i| disk.open(&path(i), OpenMode::Create).unwrap()).collect();
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (files, disk) = (&files, &disk);
            scope.spawn(move || {
                let mut state = u64::from(thread);
                for round in 0..2_000 {
                    let i = draw(&mut state) % files.len();
                    files[i].write_all_at(&[thread], u64::from(thread)).unwrap();
                    let mut back = [9];
                    files[i].pin().unwrap().read_exact_at(&mut back, u64::from(thread)).unwrap();
                    assert_eq!(back, [thread]);
                    let name = path(format!("of-{thread}-{}", round % 7));
                    disk.open(&name, OpenMode::Create).unwrap().write_all_at(&[thread], 0).unwrap();
                    disk.rename(&name, &path(format!("moved-{thread}"))).unwrap();
                }
            });
        }
    });
    // Each thread may be in the middle of one use when no other file can be closed.
    assert!(Counting::of(&inner.counts.most) <= LIMIT + 4, "{:?}", inner.counts);
    volume.sync().unwrap();
}

#[test]
fn what_was_written_is_synced_before_it_is_closed() {
    for has_volume in [false, true] {
        let inner = Counting { has_volume, ..Counting::default() };
        let disk = cached(&inner);
        let _volume = disk.volume(Path::new("/d")).unwrap();
        let file = disk.open(&path("written"), OpenMode::Create).unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        crowd_writing(&disk);
        assert!(disk.stats().synced > 0);
        inner.disk.crash(CrashLoss::Tail { per_256: 0 });
        assert_eq!(content(&file), b"kept");
    }
}

#[test]
fn many_written_files_are_synced_with_one_call_for_their_file_system() {
    let inner = Counting { has_volume: true, ..Counting::default() };
    let disk = CachedDisk::new(Arc::new(inner.clone()), 128);
    let _volume = disk.volume(Path::new("/d")).unwrap();
    let files: Vec<FileHandle> = (0..1_000).map(|i| disk.open(&path(i), OpenMode::Create).unwrap()).collect();
    for file in &files {
        file.write_all_at(b"x", 0).unwrap();
    }
    assert_eq!(Counting::of(&inner.counts.file_syncs), 0);
    let calls = Counting::of(&inner.counts.volume_syncs);
    assert!((1..=70).contains(&calls), "{calls} calls for 1000 files");
    assert!(Counting::of(&inner.counts.most) <= 128);
}

#[test]
fn a_sync_that_fails_before_closing_fails_the_file_and_the_file_system() {
    let inner = Counting { has_volume: true, ..Counting::default() };
    let disk = cached(&inner);
    let volume = disk.volume(Path::new("/d")).unwrap().unwrap();
    let file = disk.open(&path("written"), OpenMode::Create).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    inner.disk.fail_after(DiskCall::Sync, 0);
    crowd_writing(&disk);
    inner.disk.heal();
    file.sync_data().unwrap_err();
    file.write_all_at(b"more", 4).unwrap_err();
    file.read_at(&mut [0], 0).unwrap_err();
    volume.sync().unwrap_err();
}

#[test]
fn a_file_that_another_process_wrote_is_synced_when_asked_and_only_once() {
    let inner = Counting::default();
    let disk = cached(&inner);
    disk.open(&path("found"), OpenMode::Create).unwrap();
    let file = disk.open(&path("found"), OpenMode::ReadWrite).unwrap();
    crowd(&disk);
    file.sync_data().unwrap();
    assert_eq!(Counting::of(&inner.counts.file_syncs), 1);
    crowd(&disk);
    file.sync_data().unwrap();
    assert_eq!(Counting::of(&inner.counts.file_syncs), 1);
    // A new size is no reason to keep it open, but it has to be synced when asked.
    file.set_len(100).unwrap();
    crowd(&disk);
    assert_eq!(Counting::of(&inner.counts.file_syncs), 1);
    file.sync_data().unwrap();
    assert_eq!(Counting::of(&inner.counts.file_syncs), 2);
}

#[test]
fn handles_follow_renamed_files_and_directories() {
    let inner = Counting::default();
    let disk = cached(&inner);
    disk.create_dir_all(Path::new("/d/t-0")).unwrap();
    let file = disk.open(&path("t-0/a"), OpenMode::Create).unwrap();
    file.write_all_at(b"a", 0).unwrap();
    file.sync_data().unwrap();
    crowd(&disk);
    disk.rename(&path("t-0/a"), &path("t-0/b")).unwrap();
    crowd(&disk);
    assert_eq!(content(&file), b"a");
    crowd(&disk);
    disk.rename(&path("t-0"), &path("t-0.id-delete")).unwrap();
    // Another file of the old name is none of its business.
    disk.create_dir_all(&path("t-0")).unwrap();
    disk.open(&path("t-0/b"), OpenMode::Create).unwrap().write_all_at(b"other", 0).unwrap();
    crowd(&disk);
    assert_eq!(content(&file), b"a");
    disk.rename(&path("t-0.id-delete/b"), &path("t-0/c")).unwrap();
    crowd(&disk);
    assert_eq!(content(&file), b"a");
}

#[test]
fn handles_outlive_the_removal_of_their_files() {
    let inner = Counting::default();
    let disk = cached(&inner);
    disk.create_dir_all(Path::new("/d/t-0")).unwrap();
    let open = |name: &str| {
        let file = disk.open(&path(name), OpenMode::Create).unwrap();
        file.write_all_at(name.as_bytes(), 0).unwrap();
        file.sync_data().unwrap();
        file
    };
    let files = ["removed", "replaced", "t-0/below"].map(open);
    open("new");
    crowd(&disk);
    disk.remove_file(&path("removed")).unwrap();
    disk.rename(&path("new"), &path("replaced")).unwrap();
    disk.remove_dir_all(&path("t-0")).unwrap();
    open("removed").write_all_at(b"another", 0).unwrap();
    crowd(&disk);
    for (file, name) in files.iter().zip(["removed", "replaced", "t-0/below"]) {
        assert_eq!(content(file), name.as_bytes());
    }
    assert_eq!(disk.remove_file(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    drop(files);
    assert!(disk.0.names.is_empty());
}

#[test]
fn a_pinned_file_keeps_its_descriptor_and_cannot_be_written() {
    let inner = Counting::default();
    let disk = cached(&inner);
    let file = disk.open(&path("pinned"), OpenMode::Create).unwrap();
    file.write_all_at(b"bytes", 0).unwrap();
    file.sync_data().unwrap();
    let pinned = file.pin().unwrap();
    crowd(&disk);
    let opened = disk.stats().opened;
    file.size().unwrap();
    assert_eq!(disk.stats().opened, opened, "closing it would have freed nothing");
    disk.remove_file(&path("pinned")).unwrap();
    drop(file);
    crowd(&disk);
    assert_eq!(content(&pinned), b"bytes");
    pinned.write_all_at(b"x", 0).unwrap_err();
    // When everything is pinned, the limit gives way.
    let pins: Vec<FileHandle> =
        (0..2 * LIMIT).map(|i| disk.open(&path(i), OpenMode::Create).unwrap().pin().unwrap()).collect();
    assert_eq!(disk.stats().open, 2 * LIMIT as u64 + 1);
    drop(pins);
}

#[test]
fn a_handle_without_a_descriptor_is_small() {
    assert!(size_of::<CachedFile>() <= 56, "{}", size_of::<CachedFile>());
}
