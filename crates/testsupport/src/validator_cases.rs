//! Runs cases of a leader's validation: input and rules, and the bytes or the error that must come of them.
//!
//! The cases are those that Kafka's own validator was run on, so every batch is validated in full depth. Where
//! the output was compressed anew, its decoded form is compared: no two encoders give the same bytes.

use highwater_records::validate::{
    Depth, LeaderRules, Origin, TargetCodec, ValidateError, Validated, validate_and_assign,
};
use highwater_records::{
    Codec, Compression, DecompressLimit, LegacyBuilder, LegacyMagic, RecordSet, TimestampType, json,
};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};
use serde_json::Value;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases run.
    pub cases: usize,
    /// One text for each difference, starting with the case's index.
    pub differences: Vec<String>,
}

/// Runs all cases of a JSON list of cases.
///
/// # Errors
///
/// If the text is no such list. Differences are no errors but part of the report.
pub fn run(cases: &str) -> Result<Report, String> {
    let cases: Vec<Value> = serde_json::from_str(cases).map_err(|error| error.to_string())?;
    let mut report = Report { cases: cases.len(), ..Report::default() };
    for (index, case) in cases.iter().enumerate() {
        let case = Case::new(case).map_err(|what| format!("case {index}: {what}"))?;
        report.differences.extend(case.run().into_iter().map(|what| format!("case {index} ({}): {what}", case.what)));
    }
    Ok(report)
}

struct Case<'a> {
    what: &'a str,
    json: &'a Value,
    rules: LeaderRules,
    target: Compression,
    now: i64,
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
    input: Vec<u8>,
}

impl<'a> Case<'a> {
    fn new(json: &'a Value) -> Result<Self, String> {
        let text = |name: &str| json[name].as_str().ok_or(format!("no text {name}"));
        let number = |name: &str| json[name].as_i64().ok_or(format!("no number {name}"));
        let target = Codec::from_name(text("target_codec")?).ok_or("unknown codec")?.into();
        let rules = LeaderRules {
            codec: TargetCodec::Fixed(target),
            timestamp_type: match text("timestamp_type")? {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            before_max_ms: number("before_max_ms")?,
            after_max_ms: number("after_max_ms")?,
            compacted: json["compacted"] == true,
            origin: if text("origin")? == "CLIENT" { Origin::Client } else { Origin::Coordinator },
            depth: Depth::Full,
            legacy_allowed: true,
            ..LeaderRules::default()
        };
        Ok(Self {
            what: text("what")?,
            json,
            rules,
            target,
            now: number("now")?,
            next_offset: Offset::from_wire(number("start_offset")?).ok_or("negative offset")?,
            leader_epoch: i32::try_from(number("leader_epoch")?)
                .ok()
                .and_then(LeaderEpoch::from_wire)
                .ok_or("negative epoch")?,
            input: unhex(text("input")?)?,
        })
    }

    fn run(&self) -> Vec<String> {
        if self.json["target_magic"] == 1 {
            return self.run_legacy();
        }
        let mut bytes = self.input.clone();
        let now = TimestampMs(self.now);
        let result = validate_and_assign(&mut bytes, &self.rules, now, self.next_offset, self.leader_epoch);
        match (self.json["error"].as_str(), result) {
            (Some(expected), Err(error)) => self.compare_error(expected, &error),
            (Some(expected), Ok(_)) => vec![format!("accepted instead of {expected}")],
            (None, Err(error)) => vec![format!("refused: {error}")],
            (None, Ok(mut validated)) => {
                let output = validated.bytes_mut(&mut bytes).to_vec();
                let mut differences = self.compare_facts(&validated);
                differences.extend(self.compare_output(&output, validated.rebuilt.is_some()));
                differences
            }
        }
    }

    fn compare_error(&self, expected: &str, error: &ValidateError) -> Vec<String> {
        let message = self.json["message"].as_str().unwrap_or_default();
        let code = if message.contains("InvalidTimestampException") {
            ErrorCode::InvalidTimestamp
        } else if expected.contains("CorruptRecord") {
            ErrorCode::CorruptMessage
        } else {
            ErrorCode::InvalidRecord
        };
        let mut differences = Vec::new();
        if error.code() != code {
            differences.push(format!("{} where {code:?} is expected: {error}", error.code().name()));
        }
        if (expected == "RecordValidationException") == error.rejected().is_empty() {
            differences.push(format!("{} rejected records for {expected}", error.rejected().len()));
        }
        for rejected in error.rejected() {
            let index = format!("batchIndex={}", rejected.index);
            if message.contains("batchIndex") && !message.contains(&index) {
                differences.push(format!("record {} rejected, but not in: {message}", rejected.index));
            }
        }
        differences
    }

    fn compare_facts(&self, validated: &Validated) -> Vec<String> {
        let next_offset = self.next_offset.plus(validated.records.into());
        let append_time = match self.rules.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => self.json["log_append_time"].as_i64(),
        };
        let mut differences = Vec::new();
        let mut compare = |name: &str, ours: Value, theirs: &Value| {
            if ours != *theirs {
                differences.push(format!("{name} is {ours} instead of {theirs}"));
            }
        };
        compare("max_timestamp", validated.max_timestamp.into(), &self.json["max_timestamp"]);
        compare("next_offset", next_offset.to_wire().into(), &self.json["next_offset"]);
        compare("size_maybe_changed", validated.rebuilt.is_some().into(), &self.json["size_maybe_changed"]);
        compare("log_append_time", validated.append_time.into(), &append_time.into());
        differences
    }

    fn compare_output(&self, output: &[u8], rebuilt: bool) -> Vec<String> {
        let mut differences = Vec::new();
        let expected = self.json["output"].as_str().map(unhex);
        if !(rebuilt && self.target.codec().is_compressed()) && expected != Some(Ok(output.to_vec())) {
            differences.push(format!("output is {}", hex(output)));
        }
        differences.extend(self.compare_decoded(output));
        differences
    }

    fn compare_decoded(&self, output: &[u8]) -> Option<String> {
        let (ours, theirs) =
            (without_sizes(json::describe(output)), without_sizes(self.json["output_decoded"].clone()));
        (ours != theirs).then(|| format!("decodes as {ours} instead of {theirs}"))
    }

    /// A case for a log that is kept in v1, which no leader writes any more: only the format is exercised, by
    /// writing the input's records anew.
    fn run_legacy(&self) -> Vec<String> {
        match self.rewrite_as_v1() {
            Ok(output) => self.compare_decoded(&output).into_iter().collect(),
            Err(what) => vec![what],
        }
    }

    fn rewrite_as_v1(&self) -> Result<Vec<u8>, String> {
        let mut builder = LegacyBuilder::new(LegacyMagic::V1, self.target, None);
        let mut offset = self.next_offset;
        for entry in RecordSet::new(&self.input) {
            let entry = entry.map_err(|error| error.to_string())?;
            let mut records = entry.records(DecompressLimit::default()).map_err(|error| error.to_string())?;
            while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
                builder
                    .append(offset.to_wire(), record.timestamp, record.key, record.value)
                    .map_err(|error| error.to_string())?;
                offset = offset.next();
            }
        }
        builder.finish().map_err(|error| error.to_string())
    }
}

/// Drops what depends on the encoder.
fn without_sizes(mut described: Value) -> Value {
    let drop = |value: &mut Value, names: &[&str]| {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !names.contains(&name.as_str()));
        }
    };
    drop(&mut described, &["bytes", "valid_bytes"]);
    for entry in described["batches"].as_array_mut().into_iter().flatten() {
        drop(entry, &["size", "crc"]);
    }
    described
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or("not hexadecimal")?;
    // Two digits of four bits.
    Ok(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
