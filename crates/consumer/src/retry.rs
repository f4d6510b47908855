//! When to try again.

use highwater_types::Ticks;

use crate::backoff::Backoff;
use crate::random::Random;

/// Failures in a row, and until when to wait after the last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retry {
    attempts: u32,
    at: Option<Ticks>,
}

impl Retry {
    /// No failures.
    pub(crate) const NONE: Self = Self { attempts: 0, at: None };

    pub(crate) fn is_due(&self, now: Ticks) -> bool {
        self.at.is_none_or(|at| at <= now)
    }

    /// When to try again; `None` for at once.
    pub(crate) const fn at(&self) -> Option<Ticks> {
        self.at
    }

    pub(crate) fn fail(&mut self, now: Ticks, backoff: Backoff, random: &mut Random) {
        self.attempts = self.attempts.saturating_add(1);
        self.at = Some(now.plus_ms(backoff.wait_ms(self.attempts, random.bits())));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
