//! A log that keeps the last value of each key: `cargo run -p highwater-examples --example compaction`.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::collections::BTreeMap;
use std::error::Error;

use highwater_log::{
    AppendOrigin, AppendSet, Cleaner, CleanupPolicy, Log, LogConfig, LogReader, OpenOptions, ReadBound, RealDisk,
};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_types::{LeaderEpoch, TimestampMs};

/// The last value of each key; `None` for a deletion.
type Settings = BTreeMap<String, Option<String>>;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let now = TimestampMs(1_700_000_000_000);
    let config = LogConfig { cleanup: CleanupPolicy { delete: false, compact: true }, ..LogConfig::default() };
    let options = OpenOptions::unclean(now);
    let mut log = Log::open(RealDisk::shared(), &dir.path().join("settings-0"), config.checked()?, options)?;

    // A thousand changes to ten settings, and one setting that is deleted in the end.
    for change in 0..1_000 {
        set(&mut log, now, &format!("setting-{}", change % 10), Some(&format!("value {change}")))?;
    }
    set(&mut log, now, "setting-3", None)?;
    // What is being written is never compacted: the segment has to be closed. And it has to be committed.
    log.roll(now)?;
    log.advance_high_watermark(log.log_end());
    println!("before: {} bytes, {} records", log.size_bytes(), read(&log)?.0);

    // Waits for a whole pass; a server would run a CleanTask on another thread.
    let cleaned = log.clean(&mut Cleaner::default(), now)?.ok_or("all of it is dirty")?;
    println!("kept {} of {} records", cleaned.stats.records_written, cleaned.stats.records_read);
    let (records, settings) = read(&log)?;
    println!("after: {} bytes, {records} records", log.size_bytes());
    for (key, value) in &settings {
        println!("  {key} = {}", value.as_deref().unwrap_or("(deleted)"));
    }

    // That something was deleted is remembered for a day, so that every reader can learn of it.
    let later = now.plus_ms(DAY_MS + 1);
    set(&mut log, later, "setting-0", Some("changed once more"))?;
    log.roll(later)?;
    log.advance_high_watermark(log.log_end());
    log.set_clean_checkpoint(None);
    log.clean(&mut Cleaner::default(), later)?.ok_or("all of it counts as dirty")?;
    let (records, settings) = read(&log)?;
    println!(
        "a day later: {records} records, setting-3 is {}",
        if settings.contains_key("setting-3") { "there" } else { "gone" }
    );
    Ok(())
}

fn set(log: &mut Log, now: TimestampMs, key: &str, value: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(now.value(), Some(key.as_bytes()), value.map(str::as_bytes), &[])?;
    let mut batch = builder.finish()?;
    let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
    log.append_as_leader(&mut sets, LeaderEpoch::ZERO, now)?;
    sets[0].take_result()?;
    Ok(())
}

/// Number of records, and what they say in the end.
fn read(log: &Log) -> Result<(u64, Settings), Box<dyn Error>> {
    let mut last = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let records = LogReader::new(log.log_start(), ReadBound::HighWatermark).for_each(log, |record| {
        last.insert(record.key.map_or_else(String::new, text), record.value.map(text));
    })?;
    Ok((records, last))
}
