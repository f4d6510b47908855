//! Passes of cleaning.

use std::ops::ControlFlow;

use highwater_log::{CleanStep, Cleaner, Log};
use highwater_types::{Offset, TimestampMs};

use super::Report;
use super::scenario::Step;

/// The passes of a scenario, which share their memory as those of a broker do.
#[derive(Debug, Default)]
pub(super) struct CleanSteps {
    cleaner: Cleaner,
    passes: usize,
}

impl CleanSteps {
    /// Passes run so far.
    pub(super) fn passes(&self) -> usize {
        self.passes
    }

    /// Runs a pass and compares what it did with what is recorded.
    pub(super) fn run(
        &mut self,
        log: &mut Log,
        step: &Step,
        now: TimestampMs,
        report: &mut Report,
    ) -> Result<(), String> {
        self.passes += 1;
        let place = format!("pass {}", self.passes);
        log.set_clean_checkpoint(step.int("first_dirty").and_then(Offset::from_wire));
        let cleanable = log.cleanable(now).map_err(text)?;
        let range = (cleanable.first_dirty.to_wire(), cleanable.first_uncleanable.to_wire());
        let expected = (step.int("first_dirty").unwrap_or(-1), step.int("first_uncleanable").unwrap_or(-1));
        report.check_equal(&place, &range, &expected);
        let mut task = log.clean_task(&cleanable, now).map_err(text)?.ok_or("nothing to clean")?;
        while task.run(&mut self.cleaner, &mut |_| ControlFlow::Continue(())).map_err(text)? == CleanStep::GroupReady {
            let replaced = log.complete_clean(&mut task, now).map_err(text)?;
            report.check_equal(&place, &replaced, &true);
        }
        let cleaned = log.finish_clean(task);
        let checkpoint = cleaned.first_dirty.map(Offset::to_wire);
        report.check_equal(&place, &checkpoint, &step.int("cleaner_checkpoint_after"));
        let records = (cleaned.stats.records_read as i64, cleaned.stats.records_written as i64);
        let expected = (step.int("messages_read").unwrap_or(-1), step.int("messages_written").unwrap_or(-1));
        report.check_equal(&place, &records, &expected);
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
