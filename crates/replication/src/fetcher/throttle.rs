//! How fast replicas that are not in sync may catch up (KIP-73).

use highwater_types::Ticks;
use std::collections::VecDeque;

/// Measures what throttled replicas take, over the last ten seconds or so, and says when there is room for more.
///
/// One for all fetchers of a broker. Needs no more than eleven entries, one for each second.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// `follower.replication.throttled.rate`.
    bytes_per_second: Option<u64>,
    /// When a second began in which something was taken, and how much, oldest first.
    samples: VecDeque<(Ticks, u64)>,
}

impl Throttle {
    /// A throttle with a limit in bytes per second; `None` for no limit.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, samples: VecDeque::new() }
    }

    /// Changes the limit. What was taken so far still counts.
    pub fn set_limit(&mut self, bytes_per_second: Option<u64>) {
        self.bytes_per_second = bytes_per_second;
    }

    /// Takes note of `bytes` fetched for throttled replicas.
    pub fn record(&mut self, now: Ticks, bytes: u64) {
        while self.samples.front().is_some_and(|(begun, _)| expiry(*begun) <= now) {
            self.samples.pop_front();
        }
        match self.samples.back_mut() {
            Some((begun, sum)) if now.ms_since(*begun) < SAMPLE_MS => *sum = sum.saturating_add(bytes),
            _ => self.samples.push_back((now, bytes)),
        }
    }

    /// When throttled replicas may be fetched again; `None` for now.
    #[must_use]
    pub fn free_at(&self, now: Ticks) -> Option<Ticks> {
        let room = self.bytes_per_second?.saturating_mul(WINDOW_SECONDS);
        let samples = self.samples.iter().filter(|(begun, _)| now < expiry(*begun));
        let mut taken = samples.clone().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes));
        let mut free_at = None;
        for (begun, bytes) in samples {
            if taken <= room {
                break;
            }
            taken = taken.saturating_sub(*bytes);
            free_at = Some(expiry(*begun));
        }
        free_at
    }
}

/// When a second that began then does not count any more.
fn expiry(begun: Ticks) -> Ticks {
    begun.plus_ms((WINDOW_SECONDS + 1) * SAMPLE_MS)
}

const SAMPLE_MS: u64 = 1_000;

/// Full seconds over which the rate is taken, as with `replication.quota.window.num` of 11.
const WINDOW_SECONDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::Throttle;
    use highwater_types::Ticks;

    #[test]
    fn without_a_limit_there_is_always_room() {
        let mut throttle = Throttle::new(None);
        throttle.record(Ticks(0), u64::MAX);
        throttle.record(Ticks(0), u64::MAX);
        assert_eq!(throttle.free_at(Ticks(0)), None);
    }

    #[test]
    fn more_than_ten_seconds_worth_waits_for_the_oldest_to_expire() {
        let mut throttle = Throttle::new(Some(100));
        throttle.record(Ticks(500), 600);
        throttle.record(Ticks(1_400), 400);
        assert_eq!(throttle.free_at(Ticks(1_400)), None, "just the rate");
        throttle.record(Ticks(3_000), 300);
        assert_eq!(throttle.free_at(Ticks(3_000)), Some(Ticks(11_500)));
        assert_eq!(throttle.free_at(Ticks(11_499)), Some(Ticks(11_500)));
        assert_eq!(throttle.free_at(Ticks(11_500)), None);
    }

    #[test]
    fn the_limit_can_change() {
        let mut throttle = Throttle::new(Some(100));
        throttle.record(Ticks(0), 2_000);
        assert_eq!(throttle.free_at(Ticks(0)), Some(Ticks(11_000)));
        throttle.set_limit(Some(200));
        assert_eq!(throttle.free_at(Ticks(0)), None);
        throttle.set_limit(Some(0));
        assert_eq!(throttle.free_at(Ticks(0)), Some(Ticks(11_000)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::new(Some(1));
        for ms in 0..100_000 {
            throttle.record(Ticks(ms), 1);
        }
        assert!(throttle.samples.len() <= 12, "{}", throttle.samples.len());
    }
}
