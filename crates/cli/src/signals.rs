//! SIGTERM and SIGINT, taken in one place.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that ask the process to end, blocked everywhere so that only this gets them.
#[derive(Debug)]
pub(crate) struct EndSignals {
    descriptor: SignalFd,
}

impl EndSignals {
    /// Blocks the signals in this thread. Call it before any other thread starts, for they inherit it.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub(crate) fn block() -> Result<Self, Errno> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { descriptor })
    }

    /// Waits for a signal and returns its number, or `None` once `going_on`, which is asked every second, says no.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub(crate) fn wait_while(&self, going_on: impl Fn() -> bool) -> Result<Option<i32>, Errno> {
        while going_on() {
            if let Some(signal) = self.wait_at_most(ASK_EVERY)? {
                return Ok(Some(signal));
            }
        }
        Ok(None)
    }

    /// Waits for a signal and returns its number, or `None` if none comes in time.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub(crate) fn wait_at_most(&self, time: Duration) -> Result<Option<i32>, Errno> {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let taken = self.descriptor.read_signal()?;
        Ok(taken.and_then(|taken| i32::try_from(taken.ssi_signo).ok()))
    }

    /// From now on a signal ends the process at once, with the exit code that shells give for it.
    pub(crate) fn end_at_the_next(self) {
        let watcher = std::thread::Builder::new().name("signals".into());
        // Without the thread a second signal is ignored, and stopping goes on: no reason to fail.
        let _ = watcher.spawn(move || {
            if let Ok(Some(signal)) = self.wait_while(|| true) {
                std::process::exit(EXIT_CODE_OF_SIGNAL + signal);
            }
        });
    }
}

const ASK_EVERY: Duration = Duration::from_secs(1);
/// Shells report the end by signal `n` as this plus `n`.
const EXIT_CODE_OF_SIGNAL: i32 = 128;
