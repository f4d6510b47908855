//! How much replicas that are not in sync may take, from this broker and on it (KIP-73).

use highwater_metadata::{ConfigResolver, StaticConfig};
use highwater_replication::{Throttle, ThrottleWindow};
use highwater_types::Ticks;
use parking_lot::Mutex;

/// The quotas of the throttled replicas that this broker leads, and of those that follow here.
pub(crate) struct ReplicationQuotas {
    /// Of what followers that are not in sync fetch here.
    pub(crate) leader: Quota,
    /// Of what replicas here fetch that are not in sync.
    pub(crate) follower: Quota,
}

/// What some replicas together may take.
pub(crate) struct Quota(Mutex<Throttle>);

impl ReplicationQuotas {
    /// Quotas without a limit.
    pub(crate) fn new(config: &StaticConfig) -> Self {
        let number = |name| config.number(name).and_then(|value| u32::try_from(value).ok());
        let default = ThrottleWindow::default();
        let window = ThrottleWindow {
            samples: number("replication.quota.window.num").unwrap_or(default.samples),
            sample_seconds: number("replication.quota.window.size.seconds").unwrap_or(default.sample_seconds),
        };
        let quota = || Quota(Mutex::new(Throttle::new(window, None)));
        Self { leader: quota(), follower: quota() }
    }

    /// Takes over the rates that hold on this broker.
    pub(crate) fn configure(&self, resolver: &ConfigResolver<'_>) {
        let rate = |name| {
            let rate = resolver.broker_value(name).and_then(|value| value.trim().parse::<u64>().ok());
            rate.filter(|rate| *rate < UNLIMITED)
        };
        self.leader.0.lock().set_limit(rate("leader.replication.throttled.rate"));
        self.follower.0.lock().set_limit(rate("follower.replication.throttled.rate"));
    }
}

impl Quota {
    /// Takes note of bytes of throttled replicas, in sync or not.
    pub(crate) fn record(&self, now: Ticks, bytes: u64) {
        if bytes != 0 {
            self.0.lock().record(now, bytes);
        }
    }

    /// When those that are not in sync may take more; `None` for now.
    pub(crate) fn free_at(&self, now: Ticks) -> Option<Ticks> {
        self.0.lock().free_at(now)
    }

    /// Whether those that are not in sync have to wait.
    pub(crate) fn is_exceeded(&self, now: Ticks) -> bool {
        self.free_at(now).is_some()
    }
}

/// Kafka's rate for no limit.
const UNLIMITED: u64 = i64::MAX as u64;
