//! What a log and a pass over it know of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use highwater_types::Offset;

/// A pass that is under way, shared by the log and the pass, to learn of each other's end.
#[derive(Debug)]
pub(crate) struct Cleaning {
    /// The pass is about records below.
    end: Offset,
    is_cancelled: AtomicBool,
    has_ended: AtomicBool,
}

impl Cleaning {
    /// Whether the log is gone, or has lost records that the pass has seen.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// The pass is over.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }
}

/// The log's side: at most one pass. Dropping it, with the log, cancels the pass.
#[derive(Debug, Default)]
pub(crate) struct LogCleaning(Option<Arc<Cleaning>>);

impl LogCleaning {
    /// Begins a pass over everything below `end`; `None` while another is under way.
    pub(crate) fn begin(&mut self, end: Offset) -> Option<Arc<Cleaning>> {
        if self.0.as_ref().is_some_and(|pass| !pass.has_ended.load(Ordering::Acquire)) {
            return None;
        }
        let flag = AtomicBool::default;
        let pass = Arc::new(Cleaning { end, is_cancelled: flag(), has_ended: flag() });
        self.0 = Some(Arc::clone(&pass));
        Some(pass)
    }

    /// Records from `to` on are cut off: a pass that has seen any of them must not go on.
    pub(crate) fn on_truncated(&self, to: Offset) {
        if let Some(pass) = self.0.as_ref().filter(|pass| to < pass.end) {
            pass.is_cancelled.store(true, Ordering::Release);
        }
    }

    /// Whether `pass` is the one under way, and is to go on.
    pub(crate) fn is_current(&self, pass: &Arc<Cleaning>) -> bool {
        self.0.as_ref().is_some_and(|current| Arc::ptr_eq(current, pass)) && !pass.is_cancelled()
    }
}

impl Drop for LogCleaning {
    fn drop(&mut self) {
        self.on_truncated(Offset::ZERO);
    }
}
