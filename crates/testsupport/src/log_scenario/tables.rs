//! The recorded tables of reads and look-ups.

use highwater_log::{Log, LogError, ReadBound, TimestampQuery};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};
use serde_json::{Value, json};

use super::Report;
use super::compare::compare_json;

/// Compares every row of a table of reads, those of committed transactions with what they have to leave out.
pub(super) fn check_reads(report: &mut Report, name: &str, log: &Log, table: &Value) -> Result<(), String> {
    for (index, row) in rows(table)?.iter().enumerate() {
        let place = format!("{name}[{index}]");
        let bound = match row["isolation"].as_str() {
            Some("LOG_END") => ReadBound::LogEnd,
            Some("HIGH_WATERMARK") => ReadBound::HighWatermark,
            Some("TXN_COMMITTED") => ReadBound::LastStable,
            other => return Err(format!("{place}: isolation {other:?}")),
        };
        let start = offset(row, "start_offset")?;
        let max_bytes = row["max_length"].as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("a read without limit")?;
        let mut actual = row.clone();
        let fields = actual.as_object_mut().ok_or("a read that is not an object")?;
        fields
            .retain(|name, _| ["start_offset", "max_length", "min_one_message", "isolation"].contains(&name.as_str()));
        match log.read(start, max_bytes, row["min_one_message"] == true, bound) {
            Ok(slice) => {
                fields.insert("returned_offset".to_owned(), json!(slice.offset.value()));
                fields.insert("segment_base".to_owned(), json!(slice.segment_base.value()));
                fields.insert("position".to_owned(), json!(slice.position));
                fields.insert("size".to_owned(), json!(slice.length));
                fields.insert("first_entry_incomplete".to_owned(), json!(slice.first_entry_incomplete));
                let bytes = slice.read_to_vec().map_err(|error| format!("{place}: {error}"))?;
                report.check_equal(&place, &bytes.len(), &(slice.length as usize));
                if bound == ReadBound::LastStable {
                    let aborted =
                        log.aborted_transactions(start, &slice).map_err(|error| format!("{place}: {error}"))?;
                    let pairs = aborted.iter().map(|txn| json!([txn.producer.value(), txn.first.value()]));
                    fields.insert("aborted".to_owned(), pairs.collect());
                }
            }
            Err(LogError::OutOfRange { .. }) => {
                fields.insert("error".to_owned(), json!("OffsetOutOfRangeException"));
            }
            Err(error) => return Err(format!("{place}: {error}")),
        }
        compare_json(report, &place, &actual, row);
    }
    Ok(())
}

/// Compares every row of `timestamps.json` and `timestamps-special.json`.
pub(super) fn check_timestamps(report: &mut Report, name: &str, log: &Log, table: &Value) -> Result<(), String> {
    for (index, row) in rows(table)?.iter().enumerate() {
        let place = format!("{name}[{index}]");
        let query = match row["timestamp"].as_i64().ok_or("a look-up without a timestamp")? {
            -1 => TimestampQuery::Latest,
            -2 => TimestampQuery::Earliest,
            -3 => TimestampQuery::MaxTimestamp,
            -4 => TimestampQuery::EarliestLocal,
            at => TimestampQuery::At(TimestampMs(at)),
        };
        let answer = log.offset_for_timestamp(query).map_err(|error| format!("{place}: {error}"))?;
        let actual = match answer {
            Some(found) => json!({
                "timestamp": row["timestamp"],
                "found_timestamp": found.timestamp.value(),
                "found_offset": found.offset.value(),
                "leader_epoch": found.leader_epoch.map(LeaderEpoch::value),
            }),
            None => json!({"timestamp": row["timestamp"], "found_offset": null}),
        };
        compare_json(report, &place, &actual, row);
    }
    Ok(())
}

/// Compares every row of `end-offset-for-epoch.json`.
pub(super) fn check_epochs(report: &mut Report, log: &Log, table: &Value) -> Result<(), String> {
    for (index, row) in rows(table)?.iter().enumerate() {
        let raw =
            row["requested_epoch"].as_i64().and_then(|n| i32::try_from(n).ok()).ok_or("a row without an epoch")?;
        let answer = LeaderEpoch::from_wire(raw).and_then(|epoch| log.epochs().end_offset_for(epoch, log.log_end()));
        let actual = match answer {
            Some((epoch, end)) => {
                json!({"requested_epoch": raw, "epoch": epoch.value(), "end_offset": end.value()})
            }
            None => json!({"requested_epoch": raw, "end_offset": null}),
        };
        compare_json(report, &format!("end-offset-for-epoch.json[{index}]"), &actual, row);
    }
    Ok(())
}

pub(super) fn rows(table: &Value) -> Result<&Vec<Value>, String> {
    table.as_array().ok_or_else(|| "a table that is not an array".to_owned())
}

fn offset(row: &Value, name: &str) -> Result<Offset, String> {
    row[name].as_i64().and_then(Offset::from_wire).ok_or_else(|| format!("a row without {name}"))
}
