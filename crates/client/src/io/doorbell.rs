//! What wakes the I/O thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Rung by other threads when there is something to do. Costs a system call only if the I/O thread sleeps.
#[derive(Debug)]
pub(super) struct Doorbell {
    event: EventFd,
    is_rung: AtomicBool,
    is_asleep: AtomicBool,
}

impl Doorbell {
    pub(super) fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { event, is_rung: AtomicBool::new(false), is_asleep: AtomicBool::new(false) })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Sees to it that the I/O thread looks again at what there is to do.
    pub(super) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) && self.is_asleep.load(Ordering::SeqCst) {
            // It cannot be full: it is written once for each time that it is emptied.
            let _ = self.event.write(1);
        }
    }

    /// The I/O thread is going to sleep. Whether it may.
    pub(super) fn lie_down(&self) -> bool {
        self.is_asleep.store(true, Ordering::SeqCst);
        !self.is_rung.load(Ordering::SeqCst)
    }

    /// The I/O thread is awake, and looks at everything there is to do from now on.
    pub(super) fn get_up(&self) {
        self.is_asleep.store(false, Ordering::SeqCst);
        if self.is_rung.swap(false, Ordering::SeqCst) {
            // Empty if it was rung while awake.
            let _ = self.event.read();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sleeps_through_a_ring() {
        let bell = Doorbell::new().unwrap();
        assert!(bell.lie_down());
        bell.ring();
        assert_eq!(bell.event.read(), Ok(1), "a sleeper is woken");
        bell.get_up();
        bell.ring();
        assert!(bell.event.read().is_err(), "whoever is awake needs no system call");
        assert!(!bell.lie_down(), "but does not go to sleep then");
        bell.get_up();
        assert!(bell.lie_down());
    }
}
