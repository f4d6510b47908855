//! What surrounds a log in a run.

use highwater_types::TimestampMs;

use super::trace::Trace;
use crate::disk::{Call, EIO, EMFILE, ENOSPC, Effect, Fault, SimDisk};
use crate::random::Random;

/// The disk, the time, and all chance.
pub(crate) struct Env<'a, 't> {
    pub(crate) disk: SimDisk,
    pub(crate) random: Random,
    pub(crate) now: i64,
    pub(crate) trace: &'a mut Trace<'t>,
}

/// How a process comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Only the process ends.
    Killed,
    /// The power fails.
    PowerLoss,
}

impl<'a, 't> Env<'a, 't> {
    pub(crate) fn new(seed: u64, trace: &'a mut Trace<'t>) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.bits());
        let env = Self { disk, random, now: 1_700_000_000_000, trace };
        env.disk.set_time(TimestampMs(env.now));
        if env.trace.wants_calls() {
            env.disk.record_calls();
        }
        env
    }

    /// One event, before it the calls that led to it.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if self.trace.wants_calls() {
            for call in self.disk.take_calls() {
                self.trace.say(|| format!("      {call}"));
            }
        }
        self.trace.say(line);
    }

    /// Lets some time pass.
    pub(crate) fn pass_time(&mut self) {
        let ms = match self.random.below(20) {
            0 => self.random.below(100_000),
            1..5 => 0,
            _ => self.random.below(1_000),
        };
        self.now += ms.cast_signed();
        self.disk.set_time(TimestampMs(self.now));
    }

    pub(crate) fn now(&self) -> TimestampMs {
        TimestampMs(self.now)
    }

    /// Has something go wrong soon, if the percentage has it.
    pub(crate) fn maybe_inject(&mut self, percent: u64) {
        if !self.random.chance(percent) {
            return;
        }
        let random = &mut self.random;
        let after = if random.chance(50) { random.below(4) } else { random.below(30) };
        let errno = random.pick(&[EIO, ENOSPC]);
        let effect = if random.chance(50) { Effect::FailOnce(errno) } else { Effect::Fail(errno) };
        let fault = match random.below(20) {
            0..10 => Fault { call: None, after, effect: Effect::PowerOff },
            10..12 => Fault { call: Some(Call::Write), after, effect },
            12..14 => Fault { call: Some(Call::Sync), after, effect },
            14 => Fault { call: Some(Call::Sync), after, effect: Effect::DropDirty },
            15 => Fault { call: Some(Call::Open), after, effect: Effect::FailOnce(EMFILE) },
            16 => Fault { call: Some(Call::Name), after, effect },
            17 => Fault { call: Some(Call::Read), after, effect },
            18 => {
                let bytes = random.below(2_000);
                self.say(|| format!("    space for {bytes} bytes is left"));
                self.disk.limit_space(Some(bytes));
                return;
            }
            _ => {
                let more = random.below(4);
                let open = self.disk.stats().open_files + more;
                self.say(|| format!("    {more} more descriptors are left"));
                self.disk.limit_descriptors(Some(open));
                return;
            }
        };
        self.say(|| format!("    to go wrong: {fault:?}"));
        self.disk.inject(fault);
    }

    /// Whether something has gone wrong since the disk was healed.
    pub(crate) fn has_struck(&self) -> bool {
        self.disk.is_off() || self.disk.faults_hit() > 0
    }

    /// Ends the process in one of both ways, or in the only one there is: if the power has failed, or if `is_cutting`.
    ///
    /// A truncation that was cut short and shows after the process has died may be undone by a loss of power later, as
    /// nobody knows that it still has to be synced. No log can do better, and no model tell it from what is wrong.
    pub(crate) fn end_process(&mut self, is_cutting: bool) -> End {
        let is_loss = is_cutting || self.disk.is_off() || self.random.chance(70);
        let end = if is_loss { End::PowerLoss } else { End::Killed };
        self.disk.heal();
        match end {
            End::Killed => self.disk.kill(),
            End::PowerLoss => self.disk.crash(),
        }
        end
    }
}
