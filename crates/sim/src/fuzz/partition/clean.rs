//! Cleaning a log, a step at a time beside everything else.

use std::ops::ControlFlow;

use highwater_log::{CleanStep, LogError};

use super::Partition;
use super::check::aborted_in;
use crate::fuzz::env::Env;
use crate::fuzz::model::{Batch, Pass};

impl Partition {
    /// Begins a pass of cleaning, or goes on with the one under way.
    pub(super) fn clean(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let now = env.now();
        let Some(mut task) = self.cleaning.take() else {
            let cleanable = self.log().cleanable(now)?;
            let range = (cleanable.first_dirty.value(), cleanable.first_uncleanable.value());
            env.say(|| format!("  begin to clean {range:?}"));
            assert!(range.1 <= self.model.high_watermark.max(range.0), "what is not committed would be cleaned");
            self.cleaning = self.log().clean_task(&cleanable, now)?;
            return Ok(());
        };
        let step = task.run(&mut self.cleaner, &mut |_| ControlFlow::Continue(()));
        env.say(|| format!("  go on cleaning: {step:?}"));
        match step? {
            CleanStep::GroupReady => {
                // Whatever is cleaned lies below the active segment and the high watermark.
                let upto = self.model.high_watermark.min(self.model.segments.last().map_or(0, |active| active.base));
                self.swapping = Some(upto);
                let has_swapped = self.log().complete_clean(&mut task, now)?;
                self.swapping = None;
                env.say(|| format!("  put in place: {has_swapped}"));
                self.cleaning = Some(task);
                if has_swapped {
                    self.wants_look = Some(upto);
                }
            }
            CleanStep::Finished | CleanStep::Stopped => {
                let cleaned = self.log().finish_clean(task);
                env.say(|| format!("  cleaned: {cleaned:?}"));
            }
        }
        Ok(())
    }

    /// Segments below `upto` have been replaced: takes over what they hold now, if it is right.
    pub(super) fn look_at_cleaned(&mut self, upto: u64, env: &mut Env<'_, '_>) {
        let state = self.log().describe().expect("a log that was cleaned can be described");
        let found = self.read_files(&state, env);
        let all: Vec<Batch> = found.iter().flat_map(|(_, batches)| batches.iter().cloned()).collect();
        let aborted = aborted_in(&state);
        let base = self.model.segments[0].base;
        let pass = Pass { upto, now: env.now, from: base.max(self.model.log_start), durable: u64::MAX };
        self.model.check_cleaned(&all, &aborted, &pass);
        let bases: Vec<u64> = found.iter().map(|(base, _)| *base).collect();
        let below: Vec<Batch> = all.into_iter().filter(|batch| batch.last < upto).collect();
        self.model.take_cleaned(below, &bases, upto, &state, &self.config);
        self.model.aborted = aborted;
    }
}
