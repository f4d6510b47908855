//! What a run comes to, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use highwater_testsupport::history::{self, Anomaly, Key, Op, Outcome, Step};

use crate::nemesis::{Event, Means};
use crate::recorder::Seen;
use crate::workload::{LOOSE, SAFE};

/// The judgement of a run.
#[derive(Debug)]
pub(crate) struct Report {
    command: String,
    seed: u64,
    events: Vec<Event>,
    /// Kinds of faults by why there were none of them.
    skipped: BTreeMap<String, Vec<String>>,
    seen: Seen,
    elections: usize,
    anomalies: Vec<Anomaly>,
    loose_lost: usize,
}

impl Report {
    /// Judges the histories.
    pub(crate) fn new(
        command: String,
        seed: u64,
        means: &Means,
        events: Vec<Event>,
        elections: usize,
        seen: Seen,
    ) -> Self {
        let ops = |topic: &str| -> Vec<Op> {
            seen.histories.get(topic).into_iter().flatten().map(|(_, op)| op.clone()).collect()
        };
        let mut anomalies = history::check(&ops(SAFE));
        let loose = ops(LOOSE);
        // What the leader alone had may be gone. What was read stays, once, where it was.
        let doubtful: Vec<Op> = loose.iter().cloned().map(doubted).collect();
        anomalies.extend(history::check(&doubtful));
        let loose_lost = history::check(&loose).iter().filter(|anomaly| is_lost(anomaly)).count();
        let mut skipped: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (kind, why) in &means.skipped {
            skipped.entry(why.clone()).or_default().push(kind.to_string());
        }
        Self { command, seed, events, skipped, seen, elections, anomalies, loose_lost }
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.anomalies.is_empty() && self.seen.problems.is_empty()
    }

    /// Longest time without an acknowledgement of `key`, or of anything, and when it began.
    fn longest_gap(&self, key: Option<&Key>) -> (Duration, Duration) {
        let acks = self.seen.acks.iter().filter(|(_, of)| key.is_none_or(|key| key == of)).map(|(at, _)| *at);
        let times: Vec<Duration> = acks.collect();
        times.windows(2).map(|pair| (pair[1] - pair[0], pair[0])).max().unwrap_or_default()
    }

    /// The history, one operation a line.
    pub(crate) fn history(&self) -> String {
        let mut all: Vec<&(Duration, Op)> = self.seen.histories.values().flatten().collect();
        all.sort_by_key(|(at, _)| *at);
        let mut text = String::new();
        for (at, op) in all {
            let reassigned = if op.reassigned { " from the beginning" } else { "" };
            let _ = write!(text, "{:10.3} process {} {:?}{reassigned}", at.as_secs_f64(), op.process, op.outcome);
            for step in &op.steps {
                let _ = match step {
                    Step::Send { key, value, offset } => write!(text, " send {key} {value} at {offset:?}"),
                    Step::Poll(polled) => {
                        polled.iter().try_for_each(|(key, values)| write!(text, " poll {key} {values:?}"))
                    }
                };
            }
            text.push('\n');
        }
        text
    }

    /// Everything else.
    pub(crate) fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

/// An operation of which nobody promised anything.
fn doubted(op: Op) -> Op {
    let is_send = op.steps.iter().any(|step| matches!(step, Step::Send { .. }));
    if is_send && op.outcome == Outcome::Ok { Op { outcome: Outcome::Unknown, ..op } } else { op }
}

fn is_lost(anomaly: &Anomaly) -> bool {
    matches!(anomaly, Anomaly::LostWrite { .. } | Anomaly::Unseen { .. })
}

/// The summary, as text.
#[derive(Debug)]
pub(crate) struct Summary<'a>(&'a Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "what was done, at which second")?;
        for Event { at, what } in &report.events {
            writeln!(f, "{:9.3} {what}", at.as_secs_f64())?;
        }
        for (why, kinds) in &report.skipped {
            writeln!(f, "skipped: {}: {why}", kinds.join(", "))?;
        }
        let count = |outcome| report.seen.sends(outcome);
        writeln!(
            f,
            "batches: {} acknowledged, {} refused, {} unknown; {} partition leaderships",
            count(Outcome::Ok),
            count(Outcome::Fail),
            count(Outcome::Unknown),
            report.elections
        )?;
        let polled = |op: &Op| op.steps.iter().any(|step| matches!(step, Step::Poll(_)));
        let polls = report.seen.histories.values().flatten().filter(|(_, op)| polled(op)).count();
        writeln!(f, "reads: {polls} with values; {} values of acks=1 lost, which is allowed", report.loose_lost)?;
        let (gap, from) = report.longest_gap(None);
        writeln!(
            f,
            "longest time without an acknowledgement: {:.3} s from {:.3} on",
            gap.as_secs_f64(),
            from.as_secs_f64()
        )?;
        let mut partitions: BTreeMap<&Key, usize> = BTreeMap::new();
        report.seen.acks.iter().for_each(|(_, key)| *partitions.entry(key).or_default() += 1);
        for (key, acks) in partitions {
            let (gap, from) = report.longest_gap(Some(key));
            writeln!(f, "  {key}: {acks} batches, {:.3} s from {:.3} on", gap.as_secs_f64(), from.as_secs_f64())?;
        }
        for (answer, count) in &report.seen.answers {
            writeln!(f, "  {count:6} times {answer}")?;
        }
        for anomaly in report.anomalies.iter().take(SHOWN_MAX) {
            writeln!(f, "ANOMALY {anomaly}")?;
        }
        if SHOWN_MAX < report.anomalies.len() {
            writeln!(f, "ANOMALY and {} more", report.anomalies.len() - SHOWN_MAX)?;
        }
        for problem in report.seen.problems.iter().take(SHOWN_MAX) {
            writeln!(f, "PROBLEM {problem}")?;
        }
        let verdict = if report.is_good() { "good" } else { "BAD" };
        writeln!(f, "verdict: {verdict}; seed {}; repeat with\n  {}", report.seed, report.command)
    }
}

const SHOWN_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    fn report(ops: &[(&str, Op)]) -> Report {
        let recorder = Recorder::new();
        ops.iter().for_each(|(topic, op)| recorder.op(topic, op.clone()));
        let means = Means { possible: Vec::new(), skipped: Vec::new() };
        Report::new(String::new(), 1, &means, Vec::new(), 0, recorder.take())
    }

    fn send(topic: &str, value: u64, offset: Option<u64>) -> Op {
        Op::new(1, Outcome::Ok, Step::Send { key: Key::new(topic, 0), value, offset })
    }

    fn poll(topic: &str, process: u32, values: &[(u64, u64)]) -> Op {
        Op::new(process, Outcome::Ok, Step::Poll(BTreeMap::from([(Key::new(topic, 0), values.to_vec())])))
    }

    #[test]
    fn a_lost_value_is_bad_where_all_replicas_acknowledged_it() {
        let ops =
            |topic| [(topic, send(topic, 1, None)), (topic, send(topic, 2, None)), (topic, poll(topic, 2, &[(0, 2)]))];
        assert!(!report(&ops(SAFE)).is_good());
        let loose = report(&ops(LOOSE));
        assert!(loose.is_good() && loose.loose_lost == 1, "{}", loose.summary());
    }

    #[test]
    fn a_value_that_was_read_stays_also_where_the_leader_alone_acknowledged_it() {
        let ops = [(LOOSE, poll(LOOSE, 2, &[(0, 1), (1, 2)])), (LOOSE, poll(LOOSE, 3, &[(0, 1), (1, 3)]))];
        assert!(!report(&ops).is_good());
    }

    #[test]
    fn a_problem_is_bad() {
        let recorder = Recorder::new();
        recorder.problem("something");
        let means = Means { possible: Vec::new(), skipped: Vec::new() };
        assert!(!Report::new(String::new(), 1, &means, Vec::new(), 0, recorder.take()).is_good());
    }
}
