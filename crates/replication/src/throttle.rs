//! How fast replicas that are not in sync may catch up (KIP-73).

use highwater_types::Ticks;
use std::collections::VecDeque;

/// Over which time a [`Throttle`] measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleWindow {
    /// `replication.quota.window.num`: samples that count. Default 11; 0 counts as 1.
    pub samples: u32,
    /// `replication.quota.window.size.seconds`: how long one sample takes. Default 1 s; 0 counts as 1.
    pub sample_seconds: u32,
}

impl Default for ThrottleWindow {
    fn default() -> Self {
        Self { samples: 11, sample_seconds: 1 }
    }
}

/// Measures what throttled replicas take, and says when there is room for more.
///
/// One for all that a broker fetches as a follower, another for all that it sends as a leader. The rate is what was
/// taken since the oldest sample began that still counts, over the time since then or one sample's length, whichever
/// is longer: so a start may take a second's worth at once, and pays for what it takes beyond that by waiting. Needs
/// no more entries than the window has samples, and one.
#[derive(Clone, Debug)]
pub struct Throttle {
    window: ThrottleWindow,
    /// `leader.replication.throttled.rate` or `follower.replication.throttled.rate`.
    bytes_per_second: Option<u64>,
    /// When a sample began and what was taken in it, oldest first.
    samples: VecDeque<(Ticks, u64)>,
}

impl Throttle {
    /// A throttle with a limit in bytes per second; `None` for no limit.
    #[must_use]
    pub fn new(window: ThrottleWindow, bytes_per_second: Option<u64>) -> Self {
        Self { window, bytes_per_second, samples: VecDeque::new() }
    }

    /// Changes the limit. What was taken before counts towards it.
    pub fn set_limit(&mut self, bytes_per_second: Option<u64>) {
        self.bytes_per_second = bytes_per_second;
    }

    /// Takes note of `bytes` taken by throttled replicas.
    pub fn record(&mut self, now: Ticks, bytes: u64) {
        while self.samples.front().is_some_and(|(begun, _)| self.expiry(*begun) <= now) {
            self.samples.pop_front();
        }
        let sample_ms = self.sample_ms();
        match self.samples.back_mut() {
            Some((begun, sum)) if now.ms_since(*begun) < sample_ms => *sum = sum.saturating_add(bytes),
            _ => self.samples.push_back((now, bytes)),
        }
    }

    /// When throttled replicas may take more; `None` for now.
    #[must_use]
    pub fn free_at(&self, now: Ticks) -> Option<Ticks> {
        let limit = self.bytes_per_second?;
        let counted = self.samples.iter().filter(|(begun, _)| now < self.expiry(*begun));
        let mut left = counted.clone().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes));
        // As time passes the rate falls, until the oldest sample does not count any more: then there is less, over less
        // time.
        let mut from = now;
        for (begun, bytes) in counted {
            let free_at = begun.plus_ms(ms_for(left, limit));
            if left <= room(limit, self.sample_ms()) || free_at <= from {
                return (now < from).then_some(from);
            }
            let expiry = self.expiry(*begun);
            if free_at <= expiry {
                return Some(free_at);
            }
            left = left.saturating_sub(*bytes);
            from = expiry;
        }
        (now < from).then_some(from)
    }

    /// When a sample that began then does not count any more.
    fn expiry(&self, begun: Ticks) -> Ticks {
        begun.plus_ms(u64::from(self.window.samples.max(1)).saturating_mul(self.sample_ms()))
    }

    fn sample_ms(&self) -> u64 {
        u64::from(self.window.sample_seconds.max(1)) * 1_000
    }
}

/// Bytes that `limit` allows in that time.
fn room(limit: u64, ms: u64) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(ms) / 1_000).unwrap_or(u64::MAX)
}

/// How long `bytes` take at `limit`.
fn ms_for(bytes: u64, limit: u64) -> u64 {
    if limit == 0 {
        return u64::MAX;
    }
    u64::try_from((u128::from(bytes) * 1_000).div_ceil(u128::from(limit))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Throttle, ThrottleWindow};
    use highwater_types::Ticks;

    fn throttle(bytes_per_second: Option<u64>) -> Throttle {
        Throttle::new(ThrottleWindow::default(), bytes_per_second)
    }

    #[test]
    fn the_window_is_kafkas() {
        assert_eq!(ThrottleWindow::default(), ThrottleWindow { samples: 11, sample_seconds: 1 });
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let mut throttle = throttle(None);
        throttle.record(Ticks(0), u64::MAX);
        throttle.record(Ticks(0), u64::MAX);
        assert_eq!(throttle.free_at(Ticks(0)), None);
        throttle.set_limit(Some(u64::MAX));
        assert_eq!(throttle.free_at(Ticks(0)), None);
    }

    #[test]
    fn what_is_taken_at_once_is_waited_for() {
        let mut throttle = throttle(Some(100));
        throttle.record(Ticks(500), 60);
        throttle.record(Ticks(1_400), 40);
        assert_eq!(throttle.free_at(Ticks(1_400)), None, "just the rate of one second");
        throttle.record(Ticks(1_400), 200);
        assert_eq!(throttle.free_at(Ticks(1_400)), Some(Ticks(3_500)), "three seconds' worth, since 500");
        assert_eq!(throttle.free_at(Ticks(3_499)), Some(Ticks(3_500)));
        assert_eq!(throttle.free_at(Ticks(3_500)), None);
        throttle.record(Ticks(3_500), 50);
        assert_eq!(throttle.free_at(Ticks(3_500)), Some(Ticks(4_000)), "350 in all");
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut throttle = throttle(Some(100));
        throttle.record(Ticks(0), 1_000_000);
        assert_eq!(throttle.free_at(Ticks(0)), Some(Ticks(11_000)), "it is forgotten then");
        throttle.record(Ticks(10_500), 150);
        assert_eq!(throttle.free_at(Ticks(10_500)), Some(Ticks(12_000)), "there is the second sample still");
        assert_eq!(throttle.free_at(Ticks(11_999)), Some(Ticks(12_000)));
        assert_eq!(throttle.free_at(Ticks(12_000)), None);
    }

    #[test]
    fn a_window_of_its_own_is_measured_over() {
        let window = ThrottleWindow { samples: 2, sample_seconds: 3 };
        let mut throttle = Throttle::new(window, Some(10));
        throttle.record(Ticks(0), 30);
        assert_eq!(throttle.free_at(Ticks(0)), None, "three seconds' worth");
        throttle.record(Ticks(1), 1_000);
        assert_eq!(throttle.free_at(Ticks(1)), Some(Ticks(6_000)));
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let mut throttle = throttle(Some(100));
        throttle.record(Ticks(0), 200);
        assert_eq!(throttle.free_at(Ticks(0)), Some(Ticks(2_000)));
        throttle.set_limit(Some(200));
        assert_eq!(throttle.free_at(Ticks(0)), None);
        throttle.set_limit(Some(0));
        assert_eq!(throttle.free_at(Ticks(0)), Some(Ticks(11_000)));
    }

    #[test]
    fn no_more_is_kept_than_the_window_has() {
        let mut throttle = throttle(Some(1));
        for ms in 0..100_000 {
            throttle.record(Ticks(ms), 1);
        }
        assert!(throttle.samples.len() <= 12, "{}", throttle.samples.len());
        let mut idle = Throttle::new(ThrottleWindow { samples: u32::MAX, sample_seconds: u32::MAX }, Some(1));
        idle.record(Ticks(u64::MAX), u64::MAX);
        assert!(idle.free_at(Ticks(u64::MAX)).is_none_or(|at| at == Ticks(u64::MAX)));
    }
}
