//! One log beside its model, and everything that can be done to both.

mod append;
mod change;
mod check;
mod clean;
mod recover;

use std::path::{Path, PathBuf};

use highwater_log::{CheckedLogConfig, CleanTask, Cleaner, FlushTask, Log, LogError};
use highwater_types::Offset;

use super::env::Env;
use super::model::Model;
use super::plan::Plan;

pub(crate) use recover::{Loaded, Saved};

/// A log, what it should hold, and how it is used.
pub(crate) struct Partition {
    pub(crate) dir: PathBuf,
    pub(crate) plan: Plan,
    config: CheckedLogConfig,
    log: Option<Log>,
    pub(crate) model: Model,
    /// What a call in progress makes of the model. Left there if the call fails: the log may be either or between.
    next: Option<Model>,
    /// A flush that was begun and not run yet.
    flush: Option<BegunFlush>,
    /// A pass of cleaning under way.
    cleaning: Option<CleanTask>,
    cleaner: Cleaner,
    /// A group of cleaned segments is being put in place, of offsets below this.
    swapping: Option<u64>,
    /// Cleaned segments are in place, below this, and the model does not know them yet.
    wants_look: Option<u64>,
    truncations: u64,
    /// Epoch of the newest leader.
    epoch: u32,
    /// Where the log ended when it was opened: that much counts as acknowledged.
    assumed: u64,
    /// The log's end or start moved back, so that the checkpoints must not claim more.
    pub(crate) wants_checkpoint: bool,
    /// Deleted records have come back in a way that nobody can tell right from wrong any more.
    pub(crate) is_unjudgeable: bool,
}

struct BegunFlush {
    task: FlushTask,
    up_to: u64,
    truncations: u64,
}

/// Whether a failed call has to poison the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Change,
    /// It reads, or does what does not concern the log's content.
    Look,
}

impl Partition {
    pub(crate) fn new(dir: &Path, plan: Plan) -> Self {
        let config = plan.config.clone().checked().expect("plans are within the limits");
        let cleaner = Cleaner::new(plan.cleaner).expect("plans are within the limits");
        Self {
            dir: dir.to_owned(),
            plan,
            config,
            log: None,
            model: Model::new(),
            next: None,
            flush: None,
            cleaning: None,
            cleaner,
            swapping: None,
            wants_look: None,
            truncations: 0,
            epoch: 0,
            assumed: 0,
            wants_checkpoint: false,
            is_unjudgeable: false,
        }
    }

    pub(crate) fn config(&self) -> CheckedLogConfig {
        self.config.clone()
    }

    pub(crate) fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open")
    }

    /// Gives the log up, as the end of the process does.
    pub(crate) fn take_log(&mut self) -> Option<Log> {
        self.flush = None;
        self.cleaning = None;
        self.log.take()
    }

    /// Does one thing, drawn by chance. The model follows if the log says that it was done.
    pub(crate) fn step(&mut self, env: &mut Env<'_, '_>) -> (Kind, Result<(), LogError>) {
        if self.config.cleanup.compact && env.random.chance(25) {
            // Beginning a pass only looks.
            let kind = if self.cleaning.is_some() { Kind::Change } else { Kind::Look };
            return (kind, self.clean(env));
        }
        match env.random.below(100) {
            0..52 => (Kind::Change, self.append(env)),
            52..62 => (Kind::Look, self.advance_high_watermark(env)),
            62..68 => (Kind::Change, self.flush(env)),
            68..72 => (Kind::Look, self.begin_flush(env)),
            72..76 => (Kind::Change, self.finish_flush(env)),
            76..77 => (Kind::Change, self.flush_indexes(env)),
            77..78 => (Kind::Change, self.anchor(env)),
            78..83 => (Kind::Change, self.truncate(env)),
            83..84 => (Kind::Change, self.restart(env)),
            84..88 => (Kind::Change, self.delete_records(env)),
            88..93 => (Kind::Change, self.apply_retention(env)),
            93..95 => (Kind::Look, self.unlink(env)),
            95..98 => (Kind::Change, self.roll(env)),
            _ => (Kind::Change, self.begin_epoch(env)),
        }
    }

    /// Whether a call in progress was to remove batches from the end.
    pub(crate) fn is_cutting(&self) -> bool {
        self.next.as_ref().is_some_and(|next| next.batches.len() < self.model.batches.len())
    }

    /// The call that was in progress is done.
    fn done(&mut self) {
        self.model = self.next.take().expect("a call in progress says what it makes of the model");
    }
}

fn offset(value: u64) -> Offset {
    Offset::new(value)
}
