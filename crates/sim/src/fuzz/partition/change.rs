//! Everything but appends that changes a log.

use highwater_log::LogError;
use highwater_types::{LeaderEpoch, TimestampMs};

use super::{BegunFlush, Partition, offset};
use crate::fuzz::env::Env;
use crate::fuzz::model::Model;

impl Partition {
    pub(super) fn advance_high_watermark(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let from = self.model.high_watermark;
        let to = from + env.random.below(self.model.log_end - from + 3);
        let to = if env.random.chance(30) { self.model.log_end } else { to };
        env.say(|| format!("  high watermark to {to}"));
        // Only what is settled is committed.
        let settled = self.log().settled_to().value();
        self.model.advance_high_watermark(to.min(settled));
        let reached = self.log().advance_high_watermark(offset(to));
        assert_eq!(reached.value(), self.model.high_watermark);
        Ok(())
    }

    pub(super) fn flush(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        env.say(|| "  flush".to_owned());
        self.log().flush()?;
        self.model.durable = self.model.log_end;
        Ok(())
    }

    /// Takes the work of a flush, to be run later.
    pub(super) fn begin_flush(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let is_whole = env.random.chance(40);
        let log = self.log();
        let task = if is_whole { log.flush_task() } else { log.due_flush() };
        let begun = task.as_ref().map(|task| task.up_to().value());
        env.say(|| format!("  begin a flush, of everything: {is_whole}, up to {begun:?}"));
        let Some(task) = task else { return Ok(()) };
        let up_to = task.up_to().value();
        assert!(up_to <= self.model.log_end, "a flush of what is not there");
        assert!(!is_whole || up_to == self.model.log_end, "a flush of everything leaves some out");
        self.flush = Some(BegunFlush { task, up_to, truncations: self.truncations });
        Ok(())
    }

    /// With `flush.messages`, does what an owner does before it acknowledges an append; or leaves it to a later one.
    pub(super) fn acknowledge(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        if self.config.flush_messages.is_none() || env.random.chance(30) {
            return Ok(());
        }
        // One flush may end where a roll has begun, and leave another due.
        for _ in 0..2 {
            let Some(task) = self.log().due_flush() else { break };
            let up_to = task.up_to().value();
            let done = task.run()?;
            self.log().complete_flush(done);
            self.model.durable = self.model.durable.max(up_to);
        }
        assert_eq!(self.log().settled_to(), self.log().log_end(), "settled after every flush that was due");
        Ok(())
    }

    /// Runs the work of a flush that was begun before.
    pub(super) fn finish_flush(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let Some(BegunFlush { task, up_to, truncations }) = self.flush.take() else { return Ok(()) };
        env.say(|| format!("  finish the flush up to {up_to}"));
        let done = task.run()?;
        self.log().complete_flush(done);
        // One that began before a truncation counts for nothing.
        if truncations == self.truncations {
            self.model.durable = self.model.durable.max(up_to);
        }
        Ok(())
    }

    /// Has the log remembered, which syncs it.
    pub(super) fn anchor(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        env.say(|| "  anchor".to_owned());
        let Some(task) = self.log().anchor_task()? else { return Ok(()) };
        let up_to = task.up_to().value();
        let done = task.run()?;
        self.log().complete_flush(done);
        assert_eq!(up_to, self.model.log_end, "an anchor is of the whole log");
        self.model.durable = up_to;
        Ok(())
    }

    pub(super) fn flush_indexes(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        env.say(|| "  write index entries".to_owned());
        self.log().flush_indexes()
    }

    pub(super) fn truncate(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let model = &self.model;
        let back = if env.random.chance(80) { env.random.below(12) } else { env.random.below(model.log_end + 1) };
        let to = model.log_end.saturating_sub(back) + env.random.pick(&[0, 0, 0, 2]);
        env.say(|| format!("  truncate to {to}"));
        let mut next = model.clone();
        let moves = to < model.log_end;
        if moves && to < model.segments[0].base {
            next.restart(to);
        } else if moves {
            next.truncate(to);
        } else {
            next.epochs.retain(|(_, start)| *start < next.log_end);
        }
        self.truncations += u64::from(moves);
        self.next = Some(next);
        let now = env.now();
        assert_eq!(self.log().truncate_to(offset(to), now)?, moves);
        let before = self.model.clone();
        self.done();
        if moves {
            self.adopt_producers(&before);
            self.wants_checkpoint = true;
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let end = self.model.log_end;
        let at = if env.random.chance(70) { end + env.random.below(50) } else { env.random.below(end + 1) };
        env.say(|| format!("  remove everything and start at {at}"));
        let mut next = self.model.clone();
        next.restart(at);
        self.truncations += 1;
        self.next = Some(next);
        let now = env.now();
        self.log().truncate_fully_and_start_at(offset(at), None, now)?;
        self.done();
        self.wants_checkpoint = true;
        Ok(())
    }

    pub(super) fn delete_records(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let model = &self.model;
        let before = model.log_start + env.random.below(model.high_watermark - model.log_start + 2);
        let mut next = model.clone();
        let is_refused = model.high_watermark < before;
        if !is_refused {
            next.raise_log_start(before);
        }
        env.say(|| format!("  delete records before {before}"));
        self.next = Some(next);
        match self.log().delete_records(offset(before)) {
            Err(LogError::OutOfRange { .. }) if is_refused => {}
            Ok(start) if !is_refused => assert_eq!(start.value(), before),
            Ok(start) => panic!("deleted records before {start} that are not committed"),
            Err(other) => return Err(other),
        }
        self.done();
        Ok(())
    }

    pub(super) fn apply_retention(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let modified = self.modified(env);
        let mut next = self.model.clone();
        let start = next.retained_from(&self.config, env.now, modified);
        env.say(|| format!("  retention, up to {start}"));
        next.raise_log_start(start);
        self.next = Some(next);
        let now = env.now();
        self.log().apply_retention(now)?;
        self.done();
        Ok(())
    }

    pub(super) fn unlink(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let now = env.now();
        let task = self.log().due_deletions(now);
        env.say(|| format!("  unlink {} files", task.as_ref().map_or(0, |task| task.paths().len())));
        // Files that stay are removed when the log is opened: a failure matters to nobody.
        if let Some(task) = task {
            let _ = task.run();
        }
        Ok(())
    }

    pub(super) fn roll(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        env.say(|| "  roll".to_owned());
        let now = env.now();
        self.log().roll(now)
    }

    /// A new leader notes its epoch at the log end.
    pub(super) fn begin_epoch(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        self.epoch += 1;
        let (epoch, end) = (self.epoch, self.model.log_end);
        env.say(|| format!("  leader epoch {epoch} begins at {end}"));
        let mut next = self.model.clone();
        next.assign_epoch(epoch, end);
        self.next = Some(next);
        self.log().assign_epoch(LeaderEpoch::new(epoch), offset(end))?;
        self.done();
        Ok(())
    }

    /// The log has loaded its producers anew: takes over what it knows, if that is right.
    fn adopt_producers(&mut self, before: &Model) {
        let known: Vec<_> = self.log().producers().collect();
        self.is_unjudgeable |= !self.model.adopt_producers(&[before], &known);
    }

    /// When the file of a segment was written, by its base.
    pub(super) fn modified(&self, env: &Env<'_, '_>) -> impl Fn(u64) -> i64 + use<> {
        let (disk, dir) = (env.disk.clone(), self.dir.clone());
        move |base| disk.modified(&super::check::log_file(&dir, base)).map_or(0, TimestampMs::value)
    }
}
