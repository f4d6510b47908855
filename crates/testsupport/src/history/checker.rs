//! Finds what must not be.

use std::collections::{BTreeMap, BTreeSet};

use super::versions::{Versions, versions};
use super::{Anomaly, Key, Op, Outcome, Process, Step};

/// Everything in `history` that a correct cluster does not do, in no particular order.
///
/// A history should end with everything being read from the beginning: what nobody has read by then counts as unseen.
#[must_use]
pub fn check(history: &[Op]) -> Vec<Anomaly> {
    let versions = versions(history);
    let mut found: Vec<Anomaly> = versions.iter().flat_map(|(key, versions)| versions.anomalies(key)).collect();
    found.extend(lost(history, &versions));
    found.extend(aborted_reads(history));
    found.extend(precommitted_reads(history));
    found.extend(order(history, &versions));
    found.sort();
    found.dedup();
    found
}

/// Values that were read, by partition.
fn read_values(history: &[Op]) -> BTreeMap<&Key, BTreeSet<u64>> {
    let mut read: BTreeMap<&Key, BTreeSet<u64>> = BTreeMap::new();
    for op in history.iter().filter(|op| op.outcome == Outcome::Ok) {
        op.reads().for_each(|(key, _, value)| {
            read.entry(key).or_default().insert(value);
        });
    }
    read
}

fn lost(history: &[Op], versions: &BTreeMap<Key, Versions>) -> Vec<Anomaly> {
    let read = read_values(history);
    // Of an operation of which nobody knows how it ended, a value that was seen tells: it happened, and with it the rest.
    let happened = |op: &Op| match op.outcome {
        Outcome::Ok => true,
        Outcome::Fail => false,
        Outcome::Unknown => op.sends().any(|(key, value, _)| read.get(key).is_some_and(|read| read.contains(&value))),
    };
    let mut found = Vec::new();
    for (key, value, _) in history.iter().filter(|op| happened(op)).flat_map(Op::sends) {
        let read = read.get(key);
        if read.is_some_and(|read| read.contains(&value)) {
            continue;
        }
        let rank = |value: u64| versions.get(key)?.rank(value);
        let bound = read.into_iter().flatten().filter_map(|value| rank(*value)).max();
        let last = versions.get(key).and_then(|versions| versions.ranks(value)?.last().copied());
        let key = key.clone();
        found.push(match (last, bound) {
            (Some(last), Some(bound)) if last <= bound => Anomaly::LostWrite { key, value },
            _ => Anomaly::Unseen { key, value },
        });
    }
    found
}

fn aborted_reads(history: &[Op]) -> Vec<Anomaly> {
    let failed: BTreeSet<(&Key, u64)> = history
        .iter()
        .filter(|op| op.outcome == Outcome::Fail)
        .flat_map(Op::sends)
        .map(|(key, value, _)| (key, value))
        .collect();
    let reads = history
        .iter()
        .filter(|op| op.outcome == Outcome::Ok)
        .flat_map(|op| op.reads().map(|(key, _, value)| (op.process, key, value)).collect::<Vec<_>>());
    reads
        .filter(|(_, key, value)| failed.contains(&(key, *value)))
        .map(|(reader, key, value)| Anomaly::AbortedRead { key: key.clone(), value, reader })
        .collect()
}

fn precommitted_reads(history: &[Op]) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for op in history {
        let sent: BTreeSet<(&Key, u64)> = op.sends().map(|(key, value, _)| (key, value)).collect();
        for (key, _, value) in op.reads().filter(|(key, _, value)| sent.contains(&(*key, *value))) {
            found.push(Anomaly::PrecommittedRead { key: key.clone(), value, process: op.process });
        }
    }
    found
}

/// Consumers and producers go forward: consumers by one value each time.
fn order(history: &[Op], versions: &BTreeMap<Key, Versions>) -> Vec<Anomaly> {
    let rank = |key: &Key, value: u64| versions.get(key)?.rank(value);
    let mut read: BTreeMap<(Process, &Key), u64> = BTreeMap::new();
    let mut sent: BTreeMap<(Process, &Key), u64> = BTreeMap::new();
    let mut found = Vec::new();
    for op in history.iter().filter(|op| op.outcome != Outcome::Fail) {
        let process = op.process;
        if op.reassigned {
            read.retain(|(of, _), _| *of != process);
        }
        for step in &op.steps {
            match step {
                // Where a value went that nobody acknowledged says nothing of the order.
                Step::Send { key, value, .. } if op.outcome == Outcome::Ok => {
                    if let Some(from) = sent.insert((process, key), *value)
                        && let (Some(before), Some(after)) = (rank(key, from), rank(key, *value))
                        && after < before
                    {
                        found.push(Anomaly::NonmonotonicSend { key: key.clone(), process, from, to: *value });
                    }
                }
                Step::Send { .. } => {}
                Step::Poll(polled) => {
                    for (key, value) in polled.iter().flat_map(|(key, all)| all.iter().map(move |(_, v)| (key, *v))) {
                        let Some(from) = read.insert((process, key), value) else { continue };
                        let (Some(before), Some(after)) = (rank(key, from), rank(key, value)) else { continue };
                        let key = key.clone();
                        if after <= before {
                            found.push(Anomaly::NonmonotonicPoll { key, process, from, to: value });
                        } else if before + 1 < after {
                            found.push(Anomaly::PollSkip { key, process, from, to: value });
                        }
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("t", 0)
    }

    fn send(process: Process, outcome: Outcome, value: u64, offset: Option<u64>) -> Op {
        Op::new(process, outcome, Step::Send { key: key(), value, offset })
    }

    fn poll(process: Process, values: &[(u64, u64)]) -> Op {
        Op::new(process, Outcome::Ok, Step::Poll(BTreeMap::from([(key(), values.to_vec())])))
    }

    fn ok(value: u64, offset: u64) -> Op {
        send(0, Outcome::Ok, value, Some(offset))
    }

    #[test]
    fn a_good_history_has_no_anomaly() {
        let history = [
            ok(1, 0),
            send(0, Outcome::Unknown, 2, None),
            send(0, Outcome::Fail, 3, None),
            ok(4, 5),
            poll(1, &[(0, 1)]),
            // 2 was not acknowledged, and it is there; offsets 2 to 4 are markers.
            poll(1, &[(1, 2), (5, 4)]),
            poll(2, &[(0, 1), (1, 2), (5, 4)]),
        ];
        assert_eq!(check(&history), []);
    }

    #[test]
    fn two_values_at_one_offset_and_one_at_two() {
        let history = [ok(1, 0), poll(1, &[(0, 2), (1, 1)])];
        let found = check(&history);
        let inconsistent = Anomaly::InconsistentOffset { key: key(), offset: 0, values: vec![1, 2] };
        assert!(found.contains(&inconsistent), "{found:?}");
        assert!(found.contains(&Anomaly::Duplicate { key: key(), value: 1, offsets: vec![0, 1] }), "{found:?}");
    }

    #[test]
    fn what_was_acknowledged_is_lost_or_only_not_yet_seen() {
        let history = [ok(1, 0), ok(2, 1), ok(3, 2), poll(1, &[(1, 2)])];
        let expected = [Anomaly::LostWrite { key: key(), value: 1 }, Anomaly::Unseen { key: key(), value: 3 }];
        assert_eq!(check(&history), expected);
    }

    #[test]
    fn a_transaction_of_which_a_part_is_seen_has_happened() {
        let steps = |offsets: [Option<u64>; 2]| {
            let step = |(value, offset)| Step::Send { key: key(), value, offset };
            Op {
                process: 0,
                outcome: Outcome::Unknown,
                steps: [1, 2].into_iter().zip(offsets).map(step).collect(),
                reassigned: false,
            }
        };
        assert_eq!(check(&[steps([None, None]), ok(3, 9), poll(1, &[(9, 3)])]), []);
        let torn = [steps([Some(0), Some(1)]), ok(3, 9), poll(1, &[(0, 1)]), poll(2, &[(9, 3)])];
        assert_eq!(check(&torn), [Anomaly::LostWrite { key: key(), value: 2 }]);
    }

    #[test]
    fn what_certainly_failed_is_not_read() {
        let history = [send(0, Outcome::Fail, 1, None), poll(7, &[(0, 1)])];
        assert_eq!(check(&history), [Anomaly::AbortedRead { key: key(), value: 1, reader: 7 }]);
    }

    #[test]
    fn a_transaction_does_not_read_itself() {
        let polled = Step::Poll(BTreeMap::from([(key(), vec![(0, 1)])]));
        let steps = vec![Step::Send { key: key(), value: 1, offset: Some(0) }, polled];
        let history = [Op { process: 3, outcome: Outcome::Ok, steps, reassigned: false }];
        assert_eq!(check(&history), [Anomaly::PrecommittedRead { key: key(), value: 1, process: 3 }]);
    }

    #[test]
    fn consumers_go_forward_one_by_one_unless_their_partitions_changed() {
        let written = [ok(1, 0), ok(2, 1), ok(3, 2), poll(9, &[(0, 1), (1, 2), (2, 3)])];
        let with = |ops: &[Op]| check(&written.iter().chain(ops).cloned().collect::<Vec<_>>());
        let skip = Anomaly::PollSkip { key: key(), process: 1, from: 1, to: 3 };
        assert_eq!(with(&[poll(1, &[(0, 1), (2, 3)])]), std::slice::from_ref(&skip));
        assert_eq!(with(&[poll(1, &[(0, 1)]), poll(1, &[(2, 3)])]), [skip]);
        let back = Anomaly::NonmonotonicPoll { key: key(), process: 1, from: 2, to: 1 };
        assert_eq!(with(&[poll(1, &[(1, 2)]), poll(1, &[(0, 1)])]), [back]);
        let reassigned = Op { reassigned: true, ..poll(1, &[(0, 1)]) };
        assert_eq!(with(&[poll(1, &[(1, 2)]), reassigned]), []);
        assert_eq!(with(&[poll(1, &[(1, 2)]), poll(2, &[(0, 1)])]), [], "another consumer");
    }

    #[test]
    fn producers_go_forward() {
        let history = [ok(1, 1), ok(2, 0), poll(9, &[(0, 2), (1, 1)])];
        assert_eq!(check(&history), [Anomaly::NonmonotonicSend { key: key(), process: 0, from: 1, to: 2 }]);
    }
}
