//! One log: what is done to it, and what goes wrong.

use std::path::Path;

use highwater_log::{Log, LogError, OpenOptions};
use highwater_types::Offset;

use super::env::Env;
use super::partition::{Kind, Loaded, Partition, Saved};
use super::plan::Plan;
use super::trace::Trace;

const DIR: &str = "/logs/topic-0";

/// Plays the history of one log that belongs to `seed`.
///
/// # Panics
///
/// At the first thing that is not as it should be.
pub(crate) fn run(seed: u64, trace: &mut Trace<'_>) {
    let mut env = Env::new(seed, trace);
    let plan = Plan::draw(&mut env.random);
    env.say(|| format!("{plan:#?}"));
    let steps = env.random.between(20, 160);
    let mut world = World { partition: Partition::new(Path::new(DIR), plan), saved: Saved::default() };
    // A directory that could not be made is its owner's to make again: nothing goes wrong the first time.
    world.open(&mut env, false, 0);
    for step in 0..steps {
        env.say(|| format!("step {step}"));
        world.step(&mut env);
        if world.partition.is_unjudgeable {
            env.say(|| "nobody can judge what follows".to_owned());
            return;
        }
    }
}

struct World {
    partition: Partition,
    /// Kept where nothing goes wrong: a log alone has no checkpoint files.
    saved: Saved,
}

impl World {
    fn step(&mut self, env: &mut Env<'_, '_>) {
        env.pass_time();
        env.maybe_inject(self.partition.plan.fault_percent);
        match env.random.below(100) {
            0..4 => self.save(env),
            4..8 => self.close(env),
            8..13 => {
                env.say(|| "  the process ends".to_owned());
                self.end(env, false);
            }
            _ => {
                let (kind, result) = self.partition.step(env);
                self.settle(env, kind, result);
            }
        }
    }

    /// Goes on after a call, however it ended.
    fn settle(&mut self, env: &mut Env<'_, '_>, kind: Kind, result: Result<(), LogError>) {
        if let Err(error) = result {
            env.say(|| format!("  failed: {error}"));
            assert!(env.has_struck(), "failed for no reason: {error}");
            if kind == Kind::Change && !env.disk.is_off() {
                env.disk.heal();
                self.partition.check_poisoned(env);
            }
            self.end(env, false);
        } else if env.disk.is_off() {
            self.end(env, false);
        } else {
            env.disk.heal();
            if self.partition.is_unjudgeable {
                return;
            }
            self.partition.check(env);
            if self.partition.wants_checkpoint {
                self.save(env);
            }
        }
    }

    fn save(&mut self, env: &mut Env<'_, '_>) {
        self.saved = self.partition.log().checkpoint().into();
        self.partition.wants_checkpoint = false;
        env.say(|| format!("  save {:?}", self.saved));
        env.disk.heal();
    }

    fn close(&mut self, env: &mut Env<'_, '_>) {
        env.say(|| "  close".to_owned());
        match self.partition.close(env) {
            Ok(saved) => {
                self.saved = saved;
                self.end(env, true);
            }
            Err(error) => self.settle(env, Kind::Change, Err(error)),
        }
    }

    /// Ends the process and opens the log again.
    fn end(&mut self, env: &mut Env<'_, '_>, clean: bool) {
        drop(self.partition.take_log());
        let end = env.end_process(self.partition.is_cutting());
        env.say(|| format!("  {end:?}"));
        self.open(env, clean, self.partition.plan.fault_percent);
    }

    /// Opens the log, again and again if something goes wrong meanwhile.
    fn open(&mut self, env: &mut Env<'_, '_>, mut clean: bool, fault_percent: u64) {
        loop {
            env.maybe_inject(fault_percent);
            let options = OpenOptions {
                clean,
                recovery_point: Offset::new(self.saved.recovery_point),
                log_start: Offset::new(self.saved.log_start),
                high_watermark: Offset::new(self.saved.high_watermark),
                now: env.now(),
            };
            let opened = Log::open(env.disk.shared(), &self.partition.dir, self.partition.config(), options);
            match opened {
                Ok(log) if !env.disk.is_off() => {
                    env.say(|| format!("  open, clean: {clean}, {:?}", self.saved));
                    env.disk.heal();
                    let loaded = Loaded { clean, saved: self.saved, may_remember: false };
                    self.partition.resume(log, loaded, env);
                    if self.partition.wants_checkpoint {
                        self.save(env);
                    }
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    env.say(|| format!("  opening failed: {error}"));
                    assert!(env.has_struck(), "a log cannot be opened: {error}");
                    assert!(matches!(error, LogError::Io { .. }), "a failing disk makes a log {error}");
                }
            }
            let end = env.end_process(self.partition.is_cutting());
            env.say(|| format!("  {end:?}"));
            clean = false;
        }
    }
}
