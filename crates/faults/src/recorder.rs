//! What clients did and saw, from all of their threads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use highwater_testsupport::history::{Key, Op, Outcome, Step};
use highwater_types::{LeaderEpoch, NodeId};
use parking_lot::Mutex;

/// Collects until the run ends.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    seen: Mutex<Seen>,
}

/// Everything that was collected.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Operations on each topic in the order in which they ended, and when.
    pub(crate) histories: BTreeMap<String, Vec<(Duration, Op)>>,
    /// When something was acknowledged that must not be lost.
    pub(crate) acks: Vec<(Duration, Key)>,
    /// What must not be and is not a matter of histories.
    pub(crate) problems: Vec<String>,
    /// How often clients were told what.
    pub(crate) answers: BTreeMap<String, u64>,
    marks: BTreeMap<(Mark, Key), BTreeMap<LeaderEpoch, u64>>,
    leaders: BTreeMap<(Key, LeaderEpoch), NodeId>,
}

/// Something that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// The high watermark that comes with records: within an epoch only, for a new leader learns it.
    Fetched,
    /// The end that consumers are told: a new leader does not tell it before it knows.
    Latest,
}

/// What a mark must not fall behind of, as it was before a question was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound(u64);

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), seen: Mutex::default() }
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Adds an operation that has just ended.
    pub(crate) fn op(&self, topic: &str, op: Op) {
        let mut seen = self.seen.lock();
        // Inside the lock, so that times are in order.
        let now = self.now();
        match seen.histories.get_mut(topic) {
            Some(history) => history.push((now, op)),
            None => drop(seen.histories.insert(topic.to_owned(), vec![(now, op)])),
        }
    }

    /// Adds a batch that was acknowledged for good.
    pub(crate) fn ack(&self, key: &Key) {
        let mut seen = self.seen.lock();
        let now = self.now();
        seen.acks.push((now, key.clone()));
    }

    /// Adds something that must not be. Of very many only the first are kept.
    pub(crate) fn problem(&self, what: impl Into<String>) {
        let at = self.now();
        let mut seen = self.seen.lock();
        if seen.problems.len() < PROBLEMS_MAX {
            seen.problems.push(format!("at {:.3} s: {}", at.as_secs_f64(), what.into()));
        }
    }

    /// Counts an answer.
    pub(crate) fn answer(&self, what: impl Into<String>) {
        *self.seen.lock().answers.entry(what.into()).or_default() += 1;
    }

    /// What `mark` must not be less than if it is asked for from now on, in `epoch`.
    pub(crate) fn bound(&self, mark: Mark, key: &Key, epoch: LeaderEpoch) -> Bound {
        let seen = self.seen.lock();
        let known = seen.marks.get(&(mark, key.clone()));
        let counts = |at: &LeaderEpoch| match mark {
            Mark::Fetched => *at == epoch,
            Mark::Latest => *at <= epoch,
        };
        let bound = known.into_iter().flatten().filter(|(at, _)| counts(at)).map(|(_, value)| *value).max();
        Bound(bound.unwrap_or(0))
    }

    /// Adds the answer to a question before which `bound` was taken.
    pub(crate) fn mark(&self, mark: Mark, key: &Key, epoch: LeaderEpoch, value: u64, bound: Bound) {
        if value < bound.0 {
            self.problem(format!("{mark:?} of {key} fell from {} to {value} in epoch {epoch}", bound.0));
        }
        let mut seen = self.seen.lock();
        let known = seen.marks.entry((mark, key.clone())).or_default().entry(epoch).or_default();
        *known = value.max(*known);
    }

    /// Adds who leads a partition in an epoch, as somebody says.
    pub(crate) fn leader(&self, key: &Key, epoch: LeaderEpoch, node: NodeId) {
        let before = *self.seen.lock().leaders.entry((key.clone(), epoch)).or_insert(node);
        if before != node {
            self.problem(format!("{key} is led by {before} and by {node} in epoch {epoch}"));
        }
    }

    /// When something on a partition was last acknowledged.
    pub(crate) fn last_ack(&self, key: &Key) -> Option<Duration> {
        self.seen.lock().acks.iter().rev().find(|(_, of)| of == key).map(|(at, _)| *at)
    }

    /// How many different leaders and epochs there were.
    pub(crate) fn elections(&self) -> usize {
        self.seen.lock().leaders.len()
    }

    /// Everything, at the end.
    pub(crate) fn take(self) -> Seen {
        self.seen.into_inner()
    }
}

impl Seen {
    /// Batches by how their senders were told that they ended.
    pub(crate) fn sends(&self, outcome: Outcome) -> usize {
        let is_send = |op: &Op| op.outcome == outcome && op.steps.iter().any(|step| matches!(step, Step::Send { .. }));
        self.histories.values().flatten().filter(|(_, op)| is_send(op)).count()
    }
}

const PROBLEMS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("t", 0)
    }

    fn problems(recorder: Recorder) -> usize {
        recorder.take().problems.len()
    }

    #[test]
    fn the_end_never_falls_and_the_high_watermark_only_with_a_new_leader() {
        let (old, new) = (LeaderEpoch::new(3), LeaderEpoch::new(4));
        for (mark, epoch, expected) in
            [(Mark::Fetched, old, 1), (Mark::Fetched, new, 0), (Mark::Latest, old, 1), (Mark::Latest, new, 1)]
        {
            let recorder = Recorder::new();
            let bound = recorder.bound(mark, &key(), old);
            recorder.mark(mark, &key(), old, 10, bound);
            let bound = recorder.bound(mark, &key(), epoch);
            recorder.mark(mark, &key(), epoch, 9, bound);
            assert_eq!(problems(recorder), expected, "{mark:?} in {epoch}");
        }
    }

    #[test]
    fn answers_to_questions_that_overlap_may_come_in_any_order() {
        let (recorder, epoch) = (Recorder::new(), LeaderEpoch::new(3));
        let slow = recorder.bound(Mark::Latest, &key(), epoch);
        let fast = recorder.bound(Mark::Latest, &key(), epoch);
        recorder.mark(Mark::Latest, &key(), epoch, 10, fast);
        recorder.mark(Mark::Latest, &key(), epoch, 9, slow);
        assert_eq!(problems(recorder), 0);
    }

    #[test]
    fn an_old_leader_may_not_know_what_a_new_one_has_told() {
        let recorder = Recorder::new();
        let bound = recorder.bound(Mark::Latest, &key(), LeaderEpoch::new(4));
        recorder.mark(Mark::Latest, &key(), LeaderEpoch::new(4), 10, bound);
        let bound = recorder.bound(Mark::Latest, &key(), LeaderEpoch::new(3));
        recorder.mark(Mark::Latest, &key(), LeaderEpoch::new(3), 9, bound);
        assert_eq!(problems(recorder), 0);
    }

    #[test]
    fn two_leaders_in_one_epoch_are_noticed() {
        let recorder = Recorder::new();
        recorder.leader(&key(), LeaderEpoch::new(1), NodeId::new(1));
        recorder.leader(&key(), LeaderEpoch::new(2), NodeId::new(2));
        recorder.leader(&key(), LeaderEpoch::new(1), NodeId::new(1));
        assert_eq!(recorder.elections(), 2);
        recorder.leader(&key(), LeaderEpoch::new(1), NodeId::new(2));
        assert_eq!(problems(recorder), 1);
    }
}
