//! What Kafka logs while it loads a directory.

use std::path::PathBuf;

use crate::kafka::KafkaBroker;

/// Kafka takes the logs as they are: nothing recovered, nothing truncated, no segment deleted, no warning.
pub(crate) fn expect_clean(kafka: &KafkaBroker, partitions: &[PathBuf]) {
    let text = kafka.log_text();
    let count = user_partitions(partitions);
    let skipped = format!("Skipping recovery of {count} logs");
    assert!(text.contains(&skipped), "Kafka did not say: {skipped}");
    let recovered: Vec<&str> = about_logs(&text).filter(|line| line.contains("Recovering unflushed segment")).collect();
    assert!(recovered.is_empty(), "Kafka recovers:\n{}", recovered.join("\n"));
    expect_nothing_lost(&text);
}

/// Kafka recovers every log, and finds nothing in it that it would not keep.
pub(crate) fn expect_lossless(kafka: &KafkaBroker, partitions: &[PathBuf]) {
    let text = kafka.log_text();
    let count = user_partitions(partitions);
    let recovering = format!("Recovering {count} logs");
    assert!(text.contains(&recovering), "Kafka did not say: {recovering}");
    assert!(about_logs(&text).any(|line| line.contains("Recovering unflushed segment")), "no segment was recovered");
    expect_nothing_lost(&text);
}

fn expect_nothing_lost(text: &str) {
    let wrong: Vec<&str> = about_logs(text)
        .filter(|line| {
            let lower = line.to_lowercase();
            let is_loud = ["WARN ", "ERROR "].iter().any(|level| line.starts_with(level));
            is_loud || ["truncat", "corrupt", "invalid", "deleted"].iter().any(|word| lower.contains(word))
        })
        // Those of earlier ends of the log, which either broker leaves to the one that starts after the next.
        .filter(|line| !line.contains("Deleted producer state snapshot"))
        .collect();
    assert!(wrong.is_empty(), "Kafka finds fault with the logs:\n{}", wrong.join("\n"));
}

/// Lines about the logs of topics: that of the metadata is always recovered, and its snapshots written anew.
fn about_logs(text: &str) -> impl Iterator<Item = &str> {
    const LOADERS: [&str; 3] = ["kafka.log.LogManager", "kafka.cluster.Partition", ".storage.internals."];
    text.lines().filter(|line| LOADERS.iter().any(|name| line.contains(name)) && !line.contains("__cluster_metadata"))
}

fn user_partitions(partitions: &[PathBuf]) -> usize {
    partitions.iter().filter(|path| !path.ends_with("__cluster_metadata-0")).count()
}
