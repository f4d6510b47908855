//! Compares what the replicas of a partition have on disk, read without the help of either server.

use std::fs;
use std::path::{Path, PathBuf};

use highwater_records::{Entry, RecordSet};
use highwater_testsupport::history::Key;
use highwater_types::NodeId;

/// Compares the logs of all replicas of `key` below `end`, which all of them had when they were stopped.
///
/// Returns what is wrong: offsets that are missing, bytes that are damaged, and batches that differ.
pub(crate) fn compare(key: &Key, replicas: &[(NodeId, PathBuf)], end: u64) -> Vec<String> {
    let mut problems = Vec::new();
    let mut logs: Vec<(NodeId, Vec<Batch>)> = Vec::new();
    for (id, data) in replicas {
        match read(&data.join(key.to_string()), end) {
            Ok(log) => logs.push((*id, log)),
            Err(what) => problems.push(format!("the log of {key} on node {id}: {what}")),
        }
    }
    let Some(((first_id, first), others)) = logs.split_first() else { return problems };
    for (id, log) in others {
        let differs = first.iter().zip(log).find(|(one, other)| one != other);
        match differs {
            Some((one, other)) => problems.push(format!(
                "{key} differs between node {first_id} and node {id}: {} and {}",
                one.describe(),
                other.describe()
            )),
            None if first.len() != log.len() => {
                problems.push(format!(
                    "{key} has {} and {} batches on nodes {first_id} and {id}",
                    first.len(),
                    log.len()
                ));
            }
            None => {}
        }
    }
    problems
}

/// One batch with all of its bytes, offsets and epoch included.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    base: u64,
    epoch: i32,
    bytes: Vec<u8>,
}

impl Batch {
    fn describe(&self) -> String {
        let Self { base, epoch, bytes } = self;
        format!("a batch at {base} of epoch {epoch} with {} bytes", bytes.len())
    }
}

/// The batches of a log that begin below `end`; they must follow one another without a gap, and reach it.
fn read(directory: &Path, end: u64) -> Result<Vec<Batch>, String> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    // Their names are offsets of one length.
    segments.sort();
    let (mut batches, mut next) = (Vec::new(), 0);
    'segments: for segment in segments {
        let bytes = fs::read(&segment).map_err(|error| error.to_string())?;
        let mut rest = bytes.as_slice();
        for entry in RecordSet::new(&bytes).entries() {
            let fault = |what: &str| format!("{what} after offset {next} in {}", segment.display());
            let Ok(Entry::Batch(batch)) = entry else { return Err(fault("no whole batch")) };
            let Some((base, last)) = batch.check_offsets() else { return Err(fault("offsets that cannot be")) };
            if end <= base {
                break 'segments;
            }
            if base != next {
                return Err(fault(&format!("a batch at {base}")));
            }
            batch.check_crc().map_err(|error| fault(&error.to_string()))?;
            let (own, after) = rest.split_at_checked(batch.size()).ok_or_else(|| fault("no whole batch"))?;
            batches.push(Batch { base, epoch: batch.leader_epoch(), bytes: own.to_owned() });
            (rest, next) = (after, last + 1);
        }
    }
    if next < end { Err(format!("it ends at {next} instead of {end}")) } else { Ok(batches) }
}

#[cfg(test)]
mod tests {
    use highwater_records::{BatchBuilder, BatchOptions};

    use super::*;

    fn batch(base_offset: i64, leader_epoch: i32, value: &str) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions { base_offset, leader_epoch, ..BatchOptions::default() });
        builder.append(0, None, Some(value.as_bytes()), &[]).unwrap();
        builder.finish().unwrap()
    }

    /// What is wrong with two replicas that have these batches, in one segment each.
    fn compared(one: &[Vec<u8>], other: &[Vec<u8>], end: u64) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let replica = |number: u32, batches: &[Vec<u8>]| {
            let data = directory.path().join(number.to_string());
            fs::create_dir_all(data.join("t-0")).unwrap();
            fs::write(data.join("t-0/00000000000000000000.log"), batches.concat()).unwrap();
            (NodeId::new(number), data)
        };
        compare(&Key::new("t", 0), &[replica(1, one), replica(2, other)], end)
    }

    #[test]
    fn replicas_are_equal_below_the_end() {
        let (first, second, other) = (batch(0, 1, "a"), batch(1, 1, "b"), batch(1, 2, "b"));
        assert_eq!(
            compared(&[first.clone(), second.clone()], &[first.clone(), second.clone()], 2),
            Vec::<String>::new()
        );
        assert_eq!(
            compared(&[first.clone(), second.clone()], &[first.clone(), other.clone()], 1),
            Vec::<String>::new()
        );
        let problems = compared(&[first.clone(), second.clone()], &[first.clone(), other], 2);
        assert!(problems.len() == 1 && problems[0].contains("differs between node 1 and node 2"), "{problems:?}");
        let problems = compared(&[first.clone(), second], std::slice::from_ref(&first), 2);
        assert!(problems.len() == 1 && problems[0].contains("ends at 1 instead of 2"), "{problems:?}");
    }

    #[test]
    fn gaps_and_damage_are_found() {
        let (first, third) = (batch(0, 1, "a"), batch(2, 1, "c"));
        let problems = compared(std::slice::from_ref(&first), &[first.clone(), third], 1);
        assert_eq!(problems, Vec::<String>::new(), "what is above the end does not matter");
        let problems = compared(&[first.clone(), batch(2, 1, "c")], &[first.clone(), batch(1, 1, "b")], 2);
        assert!(problems.iter().any(|problem| problem.contains("ends at 1")), "{problems:?}");
        let mut damaged = first.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(compared(&[first], &[damaged], 1).len(), 1);
    }
}
