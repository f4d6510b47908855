//! Running the steps against a log on a temporary directory.

use std::fs;
use std::path::Path;

use highwater_log::json::state_json;
use highwater_log::{AppendError, AppendInfo, AppendSet, Log, OpenOptions, RealDisk};
use highwater_records::RecordSet;
use highwater_types::{LeaderEpoch, Offset, TimestampMs};
use tempfile::TempDir;

use super::Report;
use super::clean::CleanSteps;
use super::compare::{compare_files, compare_json};
use super::scenario::{Scenario, Step};
use super::tables::{check_epochs, check_reads, check_timestamps, rows};

/// A scenario that is being replayed.
pub(super) struct World {
    scenario: Scenario,
    dir: TempDir,
    log: Log,
    now: TimestampMs,
    appends: usize,
    cleaning: CleanSteps,
    report: Report,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Result<Self, String> {
        let now = TimestampMs(scenario.start_time_ms());
        let dir = TempDir::new().map_err(text)?;
        let log = open(&scenario, dir.path(), OpenOptions::unclean(now))?;
        Ok(Self { scenario, dir, log, now, appends: 0, cleaning: CleanSteps::default(), report: Report::default() })
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }

    pub(super) fn run(&mut self) -> Result<(), String> {
        let mut truncated = None;
        self.start_from_recorded()?;
        for index in 0..self.scenario.steps.len() {
            self.compare_stages(self.scenario.stages_before(index))?;
            let step = self.scenario.steps[index].clone();
            self.now = TimestampMs(step.now);
            match step.op.as_str() {
                // Closing is the stage after the last step.
                "close" => {}
                "reopen" => return self.reopen_damaged(&step),
                "result" => self.report.check_equal("truncated", &truncated, &step.flag("truncated")),
                "truncate_to" => truncated = Some(self.truncate(&step)?),
                _ => self.perform(&step)?,
            }
        }
        self.compare_stages(self.scenario.final_stages())?;
        self.compare_tables()?;
        self.finish()
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        match step.op.as_str() {
            "append_as_leader" => self.append_as_leader(step),
            "append_as_follower" => self.append_as_follower(step),
            "append_as_leader_with_record_version" => self.append_old_format(step),
            "clean" => self.clean(step),
            "update_high_watermark" => {
                self.log.advance_high_watermark(offset(step)?);
                Ok(())
            }
            "delete_records" => self.log.delete_records(offset(step)?).map(drop).map_err(text),
            "delete_old_segments" => {
                let deleted = self.log.apply_retention(self.now).map_err(text)?;
                self.report.check_equal("deleted segments", &Some(i64::from(deleted)), &step.int("deleted"));
                Ok(())
            }
            "assign_epoch" => {
                let end = self.log.log_end();
                self.log.assign_epoch(epoch(step)?, end).map_err(text)
            }
            other => Err(format!("unknown step {other:?}")),
        }
    }

    fn truncate(&mut self, step: &Step) -> Result<bool, String> {
        // Kafka's index files are memory mapped: what is cut off has been in the file.
        self.log.flush_indexes().map_err(text)?;
        self.log.truncate_to(offset(step)?, self.now).map_err(text)
    }

    fn append_as_leader(&mut self, step: &Step) -> Result<(), String> {
        let mut bytes = step.bytes()?;
        self.roll_by_hand(step)?;
        let base_before = self.active_base()?;
        let origin = step.origin().ok_or("an append of unknown origin")?;
        let mut sets = [AppendSet::new(&mut bytes, origin)];
        self.log.append_as_leader(&mut sets, epoch(step)?, self.now).map_err(text)?;
        let result = sets[0].take_result();
        self.run_due_flush()?;
        let place = format!("append {}", self.appends);
        let outcome = match &result {
            Ok(info) => (Some(info.base_offset.to_wire()), Some(info.last_offset.to_wire()), None),
            Err(error) => (None, None, Some(exception(error)?)),
        };
        let expected = (step.int("first_offset"), step.int("last_offset"), step.text("error"));
        self.report.check_equal(&place, &outcome, &expected);
        self.check_decision(&place, result.as_ref().ok())?;
        self.check_roll(&place, base_before)?;
        self.appends += 1;
        Ok(())
    }

    fn append_as_follower(&mut self, step: &Step) -> Result<(), String> {
        let appended = self.log.append_as_follower(&step.bytes()?, Some(epoch(step)?), self.now).map_err(text)?;
        self.run_due_flush()?;
        let last = appended.map(|info| info.last_offset.to_wire());
        self.report.check_equal(&format!("append {}", self.appends), &last, &step.int("last_offset"));
        self.appends += 1;
        Ok(())
    }

    /// The row of `sequence-decisions.json` that belongs to this append.
    fn check_decision(&mut self, place: &str, info: Option<&AppendInfo>) -> Result<(), String> {
        let Some(table) = self.scenario.json("sequence-decisions.json")? else { return Ok(()) };
        let row = rows(&table)?.get(self.appends).ok_or("more appends than decisions")?;
        self.report.check_equal(place, &info.map(|info| info.duplicate), &row["duplicate"].as_bool());
        Ok(())
    }

    /// The row of `rolls.json` that belongs to this append.
    fn check_roll(&mut self, place: &str, base_before: i64) -> Result<(), String> {
        let Some(table) = self.scenario.json("rolls.json")? else { return Ok(()) };
        let row = rows(&table)?.get(self.appends).ok_or("more appends than rolls")?;
        let expected = (row["active_base_before"].as_i64(), row["active_base_after"].as_i64());
        let actual = (Some(base_before), Some(self.active_base()?));
        self.report.check_equal(place, &actual, &expected);
        Ok(())
    }

    fn active_base(&self) -> Result<i64, String> {
        let state = self.log.describe().map_err(text)?;
        Ok(state.segments.last().map_or(-1, |segment| segment.base.to_wire()))
    }

    /// Rolled segments are synced in the background; here, at once.
    fn run_due_flush(&mut self) -> Result<(), String> {
        if let Some(task) = self.log.due_flush() {
            let done = task.run().map_err(text)?;
            self.log.complete_flush(done);
        }
        Ok(())
    }

    /// A scenario without appends begins with the recorded files of its first stage, which are written again: a log that
    /// has been opened differs from one that has not been closed.
    fn start_from_recorded(&mut self) -> Result<(), String> {
        let has_appends = self.scenario.steps.iter().any(|step| step.op.starts_with("append"));
        if has_appends || !self.scenario.has("0-before") {
            return Ok(());
        }
        for (base, bytes) in self.scenario.recorded_logs("0-before")? {
            if base > 0 {
                self.log.roll(self.now).map_err(text)?;
            }
            for entry in RecordSet::new(&bytes) {
                self.log.append_as_follower(entry.map_err(text)?.bytes(), None, self.now).map_err(text)?;
            }
            self.run_due_flush()?;
        }
        Ok(())
    }

    /// A scenario with cleaning ends with a segment that was begun by hand.
    fn roll_by_hand(&mut self, step: &Step) -> Result<(), String> {
        let first = step.int("first_offset").unwrap_or(-1);
        let is_last = self
            .scenario
            .steps
            .iter()
            .rfind(|step| step.op == "append_as_leader")
            .is_some_and(|last| last.int("first_offset") == Some(first));
        if is_last && self.scenario.has(&format!("0-before/{first:020}.log")) {
            self.log.roll(self.now).map_err(text)?;
        }
        Ok(())
    }

    /// Leaders have not stored v0 and v1 since 4.0. What one stored is taken over as from a leader of before.
    fn append_old_format(&mut self, step: &Step) -> Result<(), String> {
        let last = step.int("last_offset").ok_or("an append without a last offset")?;
        let bytes = self.scenario.recorded_entries("1-live", self.log.log_end().to_wire(), last)?;
        let appended = self.log.append_as_follower(&bytes, None, self.now).map_err(text)?;
        self.run_due_flush()?;
        let last = appended.map(|info| info.last_offset.to_wire());
        self.report.check_equal(&format!("append {}", self.appends), &last, &step.int("last_offset"));
        self.appends += 1;
        Ok(())
    }

    /// One pass of cleaning, over everything: each recorded pass was told that nothing had been cleaned before.
    fn clean(&mut self, step: &Step) -> Result<(), String> {
        if self.cleaning.passes() == 0
            && let Some(stage) = self.scenario.stage_of_pass(0)?
        {
            self.compare_stage(&stage)?;
        }
        self.cleaning.run(&mut self.log, step, self.now, &mut self.report)?;
        match self.scenario.stage_of_pass(self.cleaning.passes())? {
            Some(stage) => self.compare_stage(&stage),
            None => Ok(()),
        }
    }

    fn compare_stages(&mut self, names: &[&str]) -> Result<(), String> {
        names.iter().try_for_each(|name| self.compare_stage(name))
    }

    /// Compares state table and files of a stage, as far as they are recorded.
    fn compare_stage(&mut self, name: &str) -> Result<(), String> {
        self.log.flush_indexes().map_err(text)?;
        self.compare_files(name)?;
        if let Some(expected) = self.scenario.json(&format!("{name}.state.json"))? {
            let actual = state_json(&self.log.describe().map_err(text)?);
            compare_json(&mut self.report, &format!("{name}.state.json"), &actual, &expected);
        }
        // Recorded at the first stage, before anything was deleted.
        if let ("1-live", Some(table)) = (name, self.scenario.json("end-offset-for-epoch.json")?) {
            check_epochs(&mut self.report, &self.log, &table)?;
        }
        Ok(())
    }

    fn compare_files(&mut self, name: &str) -> Result<(), String> {
        let expected = self.scenario.dir.join(name);
        if !expected.is_dir() {
            return Ok(());
        }
        compare_files(&mut self.report, name, self.dir.path(), &expected)
    }

    fn compare_tables(&mut self) -> Result<(), String> {
        for name in ["reads.json", "reads-committed.json"] {
            if let Some(table) = self.scenario.json(name)? {
                check_reads(&mut self.report, name, &self.log, &table)?;
            }
        }
        for name in ["timestamps.json", "timestamps-special.json"] {
            if let Some(table) = self.scenario.json(name)? {
                check_timestamps(&mut self.report, name, &self.log, &table)?;
            }
        }
        Ok(())
    }

    /// What follows the steps: waiting, closing, and opening again.
    fn finish(&mut self) -> Result<(), String> {
        if self.scenario.has("after-file-delete-delay") {
            let later = self.now.plus_ms(60_000);
            if let Some(task) = self.log.due_deletions(later) {
                task.run().map_err(text)?;
            }
            self.compare_stage("after-file-delete-delay")?;
        }
        if self.scenario.has("2-closed") {
            self.log.close(self.now).map_err(text)?;
            self.compare_files("2-closed")?;
        }
        if self.scenario.has("2-reopened-clean.state.json") {
            let end = self.log.log_end();
            let clean = OpenOptions { clean: true, recovery_point: end, ..OpenOptions::unclean(self.now) };
            self.log = open(&self.scenario, self.dir.path(), clean)?;
            self.compare_stage("2-reopened-clean")?;
        }
        if self.scenario.has("3-recovered-from-live.state.json") {
            self.replace_dir(&self.scenario.dir.join("1-live"), OpenOptions::unclean(self.now))?;
            self.compare_stage("3-recovered-from-live")?;
            self.log.close(self.now).map_err(text)?;
            self.compare_files("3-recovered-closed")?;
        }
        Ok(())
    }

    /// Opens the recorded damaged image.
    fn reopen_damaged(&mut self, step: &Step) -> Result<(), String> {
        let checkpoint = |name: &str| step.int(name).and_then(Offset::from_wire).unwrap_or(Offset::ZERO);
        let options = OpenOptions {
            clean: step.flag("clean_shutdown").unwrap_or(false),
            recovery_point: checkpoint("recovery_point"),
            log_start: checkpoint("log_start_checkpoint"),
            high_watermark: Offset::ZERO,
            now: self.now,
        };
        self.replace_dir(&self.scenario.dir.join("1-damaged"), options)?;
        self.compare_stage("2-after-load")?;
        self.log.close(self.now).map_err(text)?;
        self.compare_files("3-closed")
    }

    fn replace_dir(&mut self, image: &Path, options: OpenOptions) -> Result<(), String> {
        let dir = TempDir::new().map_err(text)?;
        for entry in fs::read_dir(image).map_err(text)? {
            let entry = entry.map_err(text)?;
            // Not fs::copy, which would copy read-only permissions too.
            let bytes = fs::read(entry.path()).map_err(text)?;
            fs::write(dir.path().join(entry.file_name()), bytes).map_err(text)?;
        }
        self.log = open(&self.scenario, dir.path(), options)?;
        self.dir = dir;
        Ok(())
    }
}

fn open(scenario: &Scenario, dir: &Path, options: OpenOptions) -> Result<Log, String> {
    Log::open(RealDisk::shared(), dir, scenario.config.clone(), options).map_err(text)
}

/// Kafka's name for a refusal.
fn exception(error: &AppendError) -> Result<&'static str, String> {
    match error {
        AppendError::OutOfOrderSequence { .. } => Ok("OutOfOrderSequenceException"),
        AppendError::InvalidProducerEpoch { .. } => Ok("InvalidProducerEpochException"),
        other => Err(format!("unexpected refusal: {other}")),
    }
}

fn offset(step: &Step) -> Result<Offset, String> {
    step.int("offset").and_then(Offset::from_wire).ok_or_else(|| format!("{} without an offset", step.op))
}

fn epoch(step: &Step) -> Result<LeaderEpoch, String> {
    let raw = step.int("epoch").and_then(|epoch| i32::try_from(epoch).ok());
    raw.and_then(LeaderEpoch::from_wire).ok_or_else(|| format!("{} without an epoch", step.op))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
