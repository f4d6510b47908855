//! Counts heap allocations of everything in this process but the load's own threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, counting. Install it with `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

/// How many allocations and reallocations were made so far by threads that are not exempt.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Keeps this thread's allocations out of [`count`] until the guard is dropped.
#[must_use]
pub fn exempt_this_thread() -> Exempt {
    EXEMPT.with(|exempt| exempt.set(exempt.get() + 1));
    Exempt(())
}

/// Keeps a thread exempt while it lives; see [`exempt_this_thread`].
#[derive(Debug)]
pub struct Exempt(());

impl Drop for Exempt {
    fn drop(&mut self) {
        EXEMPT.with(|exempt| exempt.set(exempt.get() - 1));
    }
}

fn note() {
    // A thread that is being torn down has no thread-locals any more; its allocations count.
    if EXEMPT.try_with(Cell::get).unwrap_or(0) == 0 {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Number of living guards. Const-initialised and without destructor, so that using it never allocates.
    static EXEMPT: Cell<u32> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator, which upholds the contract.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's obligations are the same.
        unsafe { System.realloc(memory, layout, new_size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(memory, layout) }
    }
}
