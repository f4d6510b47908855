//! The recorded side: settings, steps, and which stages are compared when.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use highwater_log::{AppendOrigin, CheckedLogConfig, LogConfig};
use highwater_records::{RecordSet, TimestampType};
use serde_json::Value;

/// A folder with a scenario.
#[derive(Debug)]
pub struct Scenario {
    /// The folder.
    pub dir: PathBuf,
    /// Settings of the log.
    pub config: CheckedLogConfig,
    /// The steps in order.
    pub steps: Vec<Step>,
    start_time_ms: i64,
    foreign_settings: Vec<String>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub op: String,
    /// The time at which it is done, in milliseconds.
    pub now: i64,
    fields: Value,
}

impl Step {
    /// An integer field.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.fields.get(name)?.as_i64()
    }

    /// A truth value.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.fields.get(name)?.as_bool()
    }

    /// A text field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// Who appends; `None` for an origin of another name.
    pub fn origin(&self) -> Option<AppendOrigin> {
        match self.text("origin") {
            None => Some(AppendOrigin::Client),
            Some("COORDINATOR") => Some(AppendOrigin::Coordinator),
            Some(_) => None,
        }
    }

    /// The record set.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let hex = self.text("bytes").ok_or("a step without bytes")?;
        let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        (0..hex.len()).step_by(2).map(|at| digit(at).ok_or_else(|| "bytes that are not hex".to_owned())).collect()
    }
}

/// Steps that [`World`](super::world::World) knows.
const KNOWN_OPS: [&str; 12] = [
    "append_as_leader",
    "append_as_follower",
    "update_high_watermark",
    "truncate_to",
    "result",
    "delete_records",
    "delete_old_segments",
    "assign_epoch",
    "reopen",
    "clean",
    "append_as_leader_with_record_version",
    "close",
];

impl Scenario {
    pub(super) fn read(dir: &Path) -> Result<Self, String> {
        let json = read_json(&dir.join("scenario.json"))?;
        let (config, foreign_settings) = read_config(&json["config"])?;
        let steps = json["steps"].as_array().ok_or("a scenario without steps")?;
        let steps = steps.iter().map(|fields| {
            let op = fields["op"].as_str().ok_or("a step without op")?.to_owned();
            Ok(Step { op, now: fields["now"].as_i64().unwrap_or(0), fields: fields.clone() })
        });
        Ok(Self {
            dir: dir.to_owned(),
            config,
            steps: steps.collect::<Result<_, String>>()?,
            start_time_ms: json["start_time_ms"].as_i64().unwrap_or(0),
            foreign_settings,
        })
    }

    /// Why this scenario cannot be replayed, if so.
    pub(super) fn unsupported(&self) -> Option<String> {
        if let Some(step) = self.steps.iter().find(|step| !KNOWN_OPS.contains(&step.op.as_str())) {
            return Some(format!("unsupported step {:?}", step.op));
        }
        if let Some(step) = self.steps.iter().find(|step| step.origin().is_none()) {
            return Some(format!("unsupported step: {} from {:?}", step.op, step.text("origin").unwrap_or_default()));
        }
        self.foreign_settings.first().map(|setting| format!("unsupported setting {setting:?}"))
    }

    /// The log files of a recorded stage, by base offset.
    pub(super) fn recorded_logs(&self, stage: &str) -> Result<BTreeMap<u64, Vec<u8>>, String> {
        let mut found = BTreeMap::new();
        let dir = self.dir.join(stage);
        for entry in fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            let base = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
            if let Some(base) = base {
                found.insert(base, fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
            }
        }
        Ok(found)
    }

    /// The entries of a recorded stage from offset `first` up to `last`, as they are in its log files.
    pub(super) fn recorded_entries(&self, stage: &str, first: i64, last: i64) -> Result<Vec<u8>, String> {
        let mut found = Vec::new();
        for bytes in self.recorded_logs(stage)?.values() {
            for entry in RecordSet::new(bytes) {
                let entry = entry.map_err(|error| format!("{stage}: {error}"))?;
                if (first..=last).contains(&entry.last_offset()) {
                    found.extend_from_slice(entry.bytes());
                }
            }
        }
        Ok(found)
    }

    pub(super) fn start_time_ms(&self) -> i64 {
        self.start_time_ms
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    pub(super) fn json(&self, name: &str) -> Result<Option<Value>, String> {
        if self.has(name) { read_json(&self.dir.join(name)).map(Some) } else { Ok(None) }
    }

    /// The stages to compare right before the step at `index`.
    pub(super) fn stages_before(&self, index: usize) -> &'static [&'static str] {
        let op = self.steps[index].op.as_str();
        let is_first_of_its_kind = !self.steps[..index].iter().any(|step| step.op == op);
        let deleted_before = self.steps[..index].iter().any(|step| step.op == "delete_records");
        match op {
            "reopen" => &["0-before-damage"],
            "delete_old_segments" if !deleted_before => &["before"],
            "delete_records" if is_first_of_its_kind => &["before", "1-live"],
            "truncate_to" if self.has("2-after-start-5") => &["2-after-start-5"],
            "append_as_leader" if self.steps[..index].iter().any(|step| step.op == "truncate_to") => {
                &["3-after-truncate-9"]
            }
            _ => &[],
        }
    }

    /// The stage that the `passes`th pass of cleaning leaves, or that before the first.
    pub(super) fn stage_of_pass(&self, passes: usize) -> Result<Option<String>, String> {
        let prefix = format!("{passes}-");
        let mut names = fs::read_dir(&self.dir)
            .map_err(|error| format!("{}: {error}", self.dir.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.find(|name| name.starts_with(&prefix) && !name.contains(".state")))
    }

    /// The stages to compare after the last step.
    pub(super) fn final_stages(&self) -> &'static [&'static str] {
        match self.has("2-after-start-5") {
            true => &["4-append-lower-epoch-4"],
            false => &["1-live", "after", "after-live"],
        }
    }
}

fn read_config(json: &Value) -> Result<(CheckedLogConfig, Vec<String>), String> {
    let mut config = LogConfig { retention_ms: None, ..LogConfig::default() };
    let mut foreign = Vec::new();
    for (name, value) in json.as_object().ok_or("a scenario without config")? {
        let number = value.as_i64();
        let small = || number.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| format!("{name} is not a size"));
        let limit = number.and_then(|n| u64::try_from(n).ok());
        match name.as_str() {
            "internal.segment.bytes" => config.segment_bytes_max = small()?,
            "index.interval.bytes" => config.index_interval_bytes = small()?,
            "segment.index.bytes" => config.segment_index_bytes_max = small()?,
            "segment.ms" => config.segment_ms_max = limit.ok_or("a negative segment.ms")?,
            "retention.ms" => config.retention_ms = limit,
            "retention.bytes" => config.retention_bytes = limit,
            "preallocate" => config.preallocate = value.as_bool().unwrap_or(false),
            "message.timestamp.type" if value == "LogAppendTime" => {
                config.timestamp_type = TimestampType::LogAppendTime;
            }
            "cleanup.policy" | "delete.retention.ms" => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                config.set(name, &text).map_err(|error| error.to_string())?;
            }
            other => foreign.push(other.to_owned()),
        }
    }
    Ok((config.checked().map_err(|error| error.to_string())?, foreign))
}

fn read_json(path: &Path) -> Result<Value, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}
