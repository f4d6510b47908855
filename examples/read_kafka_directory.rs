//! Reads a log directory that Apache Kafka has written: `cargo run -p highwater-examples --example read_kafka_directory
//! -- [DIRECTORY]`.
//!
//! Without an argument it reads the small directory that lies beside this file. Opening a log recovers it and trims its
//! files, so this works on a private copy; a broker would open the directory itself.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use highwater_log::{CheckedLogConfig, DirOptions, LogDir, LogReader, ReadBound, RealDisk};
use highwater_types::TimestampMs;

fn main() -> Result<(), Box<dyn Error>> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka-directory");
    let original = std::env::args_os().nth(1).map_or(sample, PathBuf::from);
    let copy = tempfile::tempdir()?;
    copy_dir(&original, copy.path())?;

    let now = TimestampMs(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
    let options = DirOptions { recovery_threads: 2, now };
    // Every partition could have settings of its own; nothing here depends on them.
    let opened = LogDir::open(RealDisk::shared(), copy.path(), options, &|_| CheckedLogConfig::default())?;
    if let Some(meta) = opened.dir.meta() {
        println!("node {} of cluster {}", meta.node_id, meta.cluster_id.as_deref().unwrap_or("?"));
    }
    let mut logs = Vec::new();
    for partition in opened.logs {
        let (name, mut log) = (partition.topic_partition, partition.log);
        println!("{name}: {} segments, offsets {}..{}", log.segment_count(), log.log_start(), log.log_end());
        for epoch in log.epochs().entries() {
            println!("  leader epoch {} from {}", epoch.epoch, epoch.start);
        }
        for producer in log.producers() {
            println!("  producer {} in epoch {}", producer.producer_id, producer.epoch);
        }
        // Nobody else has a copy that could contradict this one, so all of it is committed.
        log.advance_high_watermark(log.log_end());
        for (who, bound) in [("all", ReadBound::HighWatermark), ("committed", ReadBound::LastStable)] {
            let mut bytes = 0;
            let records = LogReader::new(log.log_start(), bound)
                .for_each(&log, |record| bytes += record.value.map_or(0, <[u8]>::len))?;
            println!("  {who}: {records} records with {bytes} bytes of values");
        }
        logs.push(log);
    }
    // Leaves the clean marker, so that the next start has nothing to check.
    opened.dir.close_clean(logs, None, now)?;
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_dir(&entry.path(), &target)?;
        } else if entry.file_name() != ".lock" {
            fs::write(target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
