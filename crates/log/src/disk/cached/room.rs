//! The limit, and who has to give up its descriptor.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::CacheStats;
use super::file::{CachedFile, Closing};
use crate::disk::Volume;

/// Counts open descriptors and closes some when there are too many.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    open: Arc<AtomicUsize>,
    /// Files that may be open, in the order in which the clock's hand visits them.
    clock: Mutex<VecDeque<Weak<CachedFile>>>,
    /// File systems that can be synced whole, by the path they were asked for with.
    volumes: Mutex<Vec<(PathBuf, Weak<dyn Volume>)>>,
    has_failed: AtomicBool,
    opened: AtomicU64,
    closed: AtomicU64,
    synced: AtomicU64,
}

/// One descriptor's place in the count.
#[derive(Debug)]
pub(super) struct Reservation(Arc<AtomicUsize>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Arc::default(),
            clock: Mutex::default(),
            volumes: Mutex::default(),
            has_failed: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            synced: AtomicU64::new(0),
        }
    }

    /// Makes room for one more descriptor if need be. To be called without any lock.
    pub(super) fn reserve(&self) -> Reservation {
        let below_limit = |open: usize| (open < self.limit).then_some(open + 1);
        while self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_limit).is_err() {
            if !self.make_room() {
                return self.reserve_beyond();
            }
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        Reservation(Arc::clone(&self.open))
    }

    /// Counts one more descriptor whatever the limit.
    pub(super) fn reserve_beyond(&self) -> Reservation {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        Reservation(Arc::clone(&self.open))
    }

    /// Shows the clock a file that has been opened.
    pub(super) fn watch(&self, file: Weak<CachedFile>) {
        let mut clock = self.clock.lock();
        clock.push_back(file);
        // Files that were dropped leave entries behind, which the hand would remove only when it passes.
        if clock.len() > self.limit.saturating_mul(2) {
            clock.retain(|file| file.strong_count() > 0);
        }
    }

    pub(super) fn add_volume(&self, path: &Path, volume: &Arc<dyn Volume>) {
        let mut volumes = self.volumes.lock();
        volumes.retain(|(_, volume)| volume.strong_count() > 0);
        volumes.push((path.to_owned(), Arc::downgrade(volume)));
    }

    /// An error if a sync failed that nobody had asked for.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.has_failed.load(Ordering::Acquire) {
            true => Err(io::Error::other("an earlier sync of a file that was to be closed failed")),
            false => Ok(()),
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            open: self.open.load(Ordering::Relaxed) as u64,
            opened: self.opened.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            synced: self.synced.load(Ordering::Relaxed),
        }
    }

    /// Closes some files. Returns whether it could.
    fn make_room(&self) -> bool {
        let batch = (self.limit / BATCH_SHARE).max(1);
        let mut written = Vec::new();
        let mut closed = self.sweep(batch, &mut written);
        if (closed < batch && !written.is_empty()) || batch * SYNCED_BATCHES < written.len() {
            // Mostly files that need a sync are idle, so many are done at once.
            self.sync_all(&written, batch);
            let is_closed = |file: &Arc<CachedFile>| file.try_close(true) == Closing::Closed;
            closed += written.iter().filter(|file| is_closed(file)).take(batch * SYNCED_BATCHES).count();
        }
        self.closed.fetch_add(closed as u64, Ordering::Relaxed);
        0 < closed
    }

    /// Lets the hand go round until `batch` files are closed, twice at most. Collects those that need a sync.
    fn sweep(&self, batch: usize, written: &mut Vec<Arc<CachedFile>>) -> usize {
        // Dropped only after the clock's lock: the end of a file takes other locks.
        let mut visited = Vec::new();
        let mut closed = 0;
        let mut clock = self.clock.lock();
        let round = clock.len();
        for step in 0..2 * round {
            if closed >= batch {
                break;
            }
            if step == round {
                // The second time round they are all found again, with those that were used lately.
                written.clear();
            }
            let Some(entry) = clock.pop_front() else { break };
            let Some(file) = entry.upgrade() else { continue };
            match file.try_close(false) {
                Closing::Closed => {
                    closed += 1;
                    file.off_clock();
                }
                Closing::Absent => file.off_clock(),
                Closing::Kept => clock.push_back(entry),
                Closing::Written => {
                    clock.push_back(entry);
                    written.push(Arc::clone(&file));
                }
            }
            visited.push(file);
        }
        drop(clock);
        closed
    }

    /// Syncs files so that they can be closed: whole file systems where possible, otherwise at most `single_max`.
    fn sync_all(&self, written: &[Arc<CachedFile>], single_max: usize) {
        let mut left: Vec<&Arc<CachedFile>> = written.iter().collect();
        if VOLUME_MIN <= left.len() {
            for (path, volume) in self.volumes.lock().clone() {
                let Some(volume) = volume.upgrade() else { continue };
                let (on_volume, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|file| file.is_below(&path));
                left = others;
                if !on_volume.is_empty() {
                    on_volume.iter().for_each(|file| file.begin_sync());
                    self.sync(&on_volume, || volume.sync());
                }
            }
        }
        for file in left.into_iter().take(single_max) {
            self.sync(&[file], || file.sync_to_close());
        }
    }

    fn sync(&self, files: &[&Arc<CachedFile>], sync: impl FnOnce() -> io::Result<()>) {
        self.synced.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = sync() {
            // Nobody is here to be told, so their owners learn of it when they use them next.
            tracing::error!(files = files.len(), %error, "a sync before closing files failed");
            self.has_failed.store(true, Ordering::Release);
            files.iter().for_each(|file| file.fail());
        }
    }
}

/// The part of the limit that is closed at once, so that the hand's way is paid for by many openings.
const BATCH_SHARE: usize = 64;
/// Batches that are closed after a sync of whole file systems.
const SYNCED_BATCHES: usize = 8;
/// Files from which on a sync of their whole file system is worth it.
const VOLUME_MIN: usize = 16;
