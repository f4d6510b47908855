//! How long to wait before the next try.

/// Twice as long at every attempt, up to a limit, a fifth more or less so that clients do not come back all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first_ms: u64,
    pub(crate) longest_ms: u64,
}

impl Backoff {
    /// The wait after so many attempts, counted from one, in milliseconds.
    pub(crate) fn wait_ms(self, attempts: u32, random: u64) -> u64 {
        let doublings = attempts.saturating_sub(1).min(63);
        let whole = u128::from(self.first_ms.min(self.longest_ms)) << doublings;
        // From 80 to 120 percent, in steps of a thousandth.
        let jittered = whole.min(self.longest_ms.into()) * (800 + u128::from(random % 401)) / 1_000;
        u64::try_from(jittered).unwrap_or(u64::MAX).min(self.longest_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_limit_with_jitter() {
        let backoff = Backoff { first_ms: 100, longest_ms: 1_000 };
        let waits = |random| [1, 2, 3, 4, 5, 200].map(|attempts| backoff.wait_ms(attempts, random));
        assert_eq!(waits(0), [80, 160, 320, 640, 800, 800]);
        assert_eq!(waits(200), [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(waits(400), [120, 240, 480, 960, 1_000, 1_000]);
        assert_eq!(Backoff { first_ms: 5_000, longest_ms: 1_000 }.wait_ms(1, 400), 1_000);
        assert_eq!(Backoff { first_ms: 0, longest_ms: 0 }.wait_ms(9, 400), 0);
        assert_eq!(Backoff { first_ms: u64::MAX, longest_ms: u64::MAX }.wait_ms(64, 0), u64::MAX / 10 * 8 + 4);
    }
}
