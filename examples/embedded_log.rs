//! A durable log inside a program, without a broker: `cargo run -p highwater-examples --example embedded_log`.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::path::Path;

use highwater_log::{
    AppendOrigin, AppendSet, Log, LogConfig, LogReader, OpenOptions, ReadBound, RealDisk, SharedLog, TimestampQuery,
};
use highwater_records::{BatchBuilder, BatchOptions, Codec};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("measurements-0");
    let start = TimestampMs(1_700_000_000_000);

    // Settings are checked once; whatever is not said is as in Kafka.
    let config = LogConfig { segment_bytes_max: 16 << 20, ..LogConfig::default() }.checked()?;
    let mut log = Log::open(RealDisk::shared(), &path, config.clone(), OpenOptions::unclean(start))?;

    // Records are written in batches, compressed if one likes. The log numbers them.
    for minute in 0..3 {
        let now = start.plus_ms(minute * 60_000);
        let mut builder = BatchBuilder::new(BatchOptions { compression: Codec::Lz4.into(), ..BatchOptions::default() });
        for second in 0..60 {
            let value = format!("{{\"celsius\":{}}}", 20 + second % 5);
            builder.append(now.value() + second * 1_000, Some(b"kitchen"), Some(value.as_bytes()), &[])?;
        }
        let mut batch = builder.finish()?;
        let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
        log.append_as_leader(&mut sets, LeaderEpoch::ZERO, now)?;
        let written = sets[0].take_result()?;
        println!("minute {minute}: offsets {}..={}", written.base_offset, written.last_offset);
    }
    // In the page cache until now; on the disk when this returns. Then it may be shown to readers.
    log.flush()?;
    log.advance_high_watermark(log.log_end());

    // By offset.
    let mut celsius = 0;
    let count = LogReader::new(Offset::new(100), ReadBound::HighWatermark)
        .for_each(&log, |record| celsius += i64::from(record.value.is_some_and(|value| value.ends_with(b"24}"))))?;
    println!("from offset 100: {count} records, {celsius} of them warm");

    // By time.
    let minute_two = TimestampQuery::At(start.plus_ms(120_000));
    let found = log.offset_for_timestamp(minute_two)?.ok_or("three minutes were written")?;
    println!("minute 2 begins at offset {}", found.offset);

    // What was written last can be taken back, in whole batches.
    log.truncate_to(found.offset, start)?;
    println!("after truncation the log ends at {}", log.log_end());

    // Closed in order, it opens without a look at its content.
    log.close(start)?;
    let clean = OpenOptions { clean: true, ..OpenOptions::unclean(start) };
    let log = Log::open(RealDisk::shared(), Path::new(&path), config, clean)?;
    assert_eq!(log.log_end(), found.offset);
    println!("reopened: {} bytes in {} segments", log.size_bytes(), log.segment_count());

    // Threads that share a log share its syncs too: each waits until its own record is on the disk.
    let log = SharedLog::new(log);
    let begin = log.log_end();
    std::thread::scope(|scope| {
        let log = &log;
        let sensors: Vec<_> = (0..8).map(|sensor| scope.spawn(move || measure(log, sensor, start))).collect();
        sensors.into_iter().try_for_each(|thread| thread.join().expect("a sensor does not panic"))
    })?;
    assert_eq!(log.synced_to(), log.log_end());
    println!("eight sensors: {} records, all on the disk", begin.records_until(log.log_end()).unwrap_or(0));
    Ok(())
}

fn measure(log: &SharedLog, sensor: u32, now: TimestampMs) -> Result<(), Box<dyn Error + Send + Sync>> {
    for second in 0..10 {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(now.value() + second * 1_000, Some(format!("sensor-{sensor}").as_bytes()), Some(b"21"), &[])?;
        let mut batch = builder.finish()?;
        let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
        log.append_durable(&mut sets, LeaderEpoch::ZERO, now)?;
        sets[0].take_result()?;
    }
    Ok(())
}
