//! Runs `testdata/follower.txt`; its head explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_replication::follower::{
    AppendOutcome, BatchSpan, FetchPosition, FetchedPartition, Follower, FollowerConfig, FollowerSetup, LeaderOffsets,
    LogState, Marks, Plan,
};
use highwater_replication::{EpochEnd, EpochTable};
use highwater_testsupport::{Runner, run_file};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};
use std::fmt::Write as _;

fn offset(word: &str) -> Offset {
    Offset::new(word.parse().unwrap())
}

fn epoch(word: &str) -> LeaderEpoch {
    LeaderEpoch::new(word.parse().unwrap())
}

fn code(word: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.name() == word)
}

/// The follower's log, but for its records.
struct Log {
    start: Offset,
    end: Offset,
    epochs: Vec<(LeaderEpoch, Offset)>,
}

impl Log {
    fn state(&self) -> LogState {
        LogState { start: self.start, end: self.end, latest_epoch: self.epochs.last().map(|(epoch, _)| *epoch) }
    }

    fn truncate(&mut self, to: Offset) {
        self.end = self.end.min(to);
        self.start = self.start.min(self.end);
        self.epochs.retain(|(_, start)| *start < to);
    }

    fn start_over(&mut self, at: Offset) {
        *self = Self { start: at, end: at, epochs: Vec::new() };
    }
}

impl EpochTable for Log {
    fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let (newest, _) = *self.epochs.last()?;
        if newest <= epoch {
            return (newest == epoch).then_some(EpochEnd { epoch, end: self.end });
        }
        let above = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = self.epochs[above].1;
        Some(EpochEnd { epoch: above.checked_sub(1).map_or(epoch, |index| self.epochs[index].0), end })
    }
}

struct Script {
    log: Log,
    follower: Follower,
    start_over_at: Option<Offset>,
}

impl Script {
    fn new(words: &[&str]) -> Self {
        let [leader, leader_epoch, start, end, high_watermark, epochs @ ..] = words else { panic!("{words:?}") };
        let entry = |word: &&str| {
            let (known, start) = word.split_once('@').unwrap();
            (epoch(known), offset(start))
        };
        let log = Log { start: offset(start), end: offset(end), epochs: epochs.iter().map(entry).collect::<Vec<_>>() };
        let follower = Follower::new(FollowerSetup {
            leader: leader.parse().ok().map(NodeId::new),
            leader_epoch: epoch(leader_epoch),
            log: log.state(),
            high_watermark: offset(high_watermark),
            config: FollowerConfig { backoff_ms: 1_000, ..FollowerConfig::default() },
        });
        Self { log, follower, start_over_at: None }
    }

    /// The position that a script means: `-` for the current one.
    fn request(&self, word: &str) -> FetchPosition {
        let log = self.log.state();
        let mut request = FetchPosition {
            offset: log.end,
            last_fetched_epoch: log.latest_epoch,
            leader_epoch: self.follower.leader_epoch(),
            log_start: log.start,
        };
        if word != "-" {
            let parts: Vec<&str> = word.split('/').collect();
            request.offset = offset(parts[0]);
            request.last_fetched_epoch = Some(epoch(parts[1]));
            request.leader_epoch = epoch(parts[2]);
        }
        request
    }

    fn respond(&mut self, now: Ticks, request: &str, words: &[&str]) -> String {
        let mut answer = FetchedPartition {
            error: ErrorCode::None,
            diverging: None,
            high_watermark: None,
            log_start: None,
            first_batch: None,
        };
        for word in words {
            match word.split_once('=') {
                None => answer.error = code(word).expect("a code's name"),
                Some(("hw", value)) => answer.high_watermark = Some(offset(value)),
                Some(("start", value)) => answer.log_start = Some(offset(value)),
                Some(("diverging", value)) => {
                    let (known, end) = value.split_once('@').unwrap();
                    answer.diverging = Some(EpochEnd { epoch: epoch(known), end: offset(end) });
                }
                Some(("batch", value)) => {
                    let (base, last) = value.split_once("..").unwrap();
                    answer.first_batch = Some(BatchSpan { base: offset(base), last: offset(last) });
                }
                _ => panic!("unknown answer {word}"),
            }
        }
        let request = self.request(request);
        let plan = self.follower.handle_response(now, &request, &answer, &self.log);
        self.carry_out(now, plan)
    }

    fn carry_out(&mut self, now: Ticks, plan: Plan) -> String {
        match plan {
            Plan::Nothing => "nothing".to_owned(),
            Plan::Truncate { to } => {
                self.log.truncate(to);
                self.follower.truncated(now, self.log.state());
                format!("truncate to {to}")
            }
            Plan::StartOver { at } => {
                self.log.start_over(at);
                self.follower.truncated(now, self.log.state());
                format!("start over at {at}")
            }
            Plan::Append { start_over_at, epoch_max } => {
                self.start_over_at = start_over_at;
                let first = start_over_at.map_or(String::new(), |at| format!("start over at {at}, "));
                format!("{first}append epochs up to {epoch_max}")
            }
            Plan::Advance(marks) => self.set(marks),
            Plan::AskOffsets(position) => format!("ask offsets in epoch {}", position.leader_epoch),
            Plan::Fail => "fail".to_owned(),
        }
    }

    fn set(&mut self, marks: Marks) -> String {
        self.log.start = marks.log_start;
        format!("high watermark {}, start {}", marks.high_watermark, marks.log_start)
    }

    fn append(&mut self, now: Ticks, words: &[&str]) -> String {
        let outcome = match words {
            [end, entries @ ..] if end.parse::<u64>().is_ok() => {
                if let Some(at) = self.start_over_at.take() {
                    self.log.start_over(at);
                }
                let begins = self.log.end;
                self.log.epochs.extend(entries.iter().map(|word| (epoch(word), begins)));
                self.log.end = offset(end);
                AppendOutcome::Appended
            }
            ["corrupt"] => AppendOutcome::Corrupt,
            ["failed"] => AppendOutcome::Failed,
            _ => panic!("unknown outcome {words:?}"),
        };
        match self.follower.appended(now, self.log.state(), outcome) {
            Some(marks) => self.set(marks),
            None => "nothing".to_owned(),
        }
    }

    fn describe(&self) -> String {
        let next = match self.follower.next_fetch() {
            None if self.follower.is_failed() => "failed".to_owned(),
            None => "no fetch".to_owned(),
            Some(due) => {
                let FetchPosition { offset, last_fetched_epoch, leader_epoch, log_start } = due.position;
                let last = last_fetched_epoch.map_or("-".to_owned(), |epoch| epoch.to_string());
                let marks = if due.needs_marks { ", marks" } else { "" };
                format!("fetch {offset}/{last}/{leader_epoch} start {log_start} from {} on{marks}", due.not_before.0)
            }
        };
        format!("{next}, high watermark {}", self.follower.high_watermark())
    }
}

fn run(script: &mut Option<Script>, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let ["new", rest @ ..] = words.as_slice() {
        *script = Some(Script::new(rest));
        return String::new();
    }
    let script = script.as_mut().expect("a case begins with new");
    let now = Ticks(words.get(1).and_then(|word| word.parse().ok()).unwrap_or_default());
    let mut out = match words.as_slice() {
        ["answer", _, rest @ ..] => script.respond(now, "-", rest),
        ["late", _, request, rest @ ..] => script.respond(now, request, rest),
        ["appended", _, rest @ ..] => script.append(now, rest),
        ["offsets", _, start, end] => {
            let offsets = LeaderOffsets { start: offset(start), end: offset(end) };
            let plan = script.follower.offsets_answered(now, &script.request("-"), Ok(offsets));
            script.carry_out(now, plan)
        }
        ["offsets", _, word] => {
            let plan = script.follower.offsets_answered(now, &script.request("-"), Err(code(word).unwrap()));
            script.carry_out(now, plan)
        }
        ["fail"] => {
            script.follower.fail();
            "failed".to_owned()
        }
        ["retention", start] => {
            script.log.start = offset(start);
            script.follower.log_start_raised(offset(start));
            "deleted".to_owned()
        }
        ["state"] => script.describe(),
        _ => panic!("unknown command: {line}"),
    };
    writeln!(out).unwrap();
    out
}

/// Would ask the same question again and again.
#[test]
fn a_cut_that_changes_nothing_is_not_repeated_at_once() {
    let mut script = Script::new(&["1", "6", "0", "10", "3", "2@0", "4@7"]);
    let diverging = Some(EpochEnd { epoch: epoch("2"), end: offset("5") });
    let answer = FetchedPartition {
        error: ErrorCode::None,
        diverging,
        high_watermark: None,
        log_start: None,
        first_batch: None,
    };
    let plan = script.follower.handle_response(Ticks(10), &script.request("-"), &answer, &script.log);
    assert_eq!(plan, Plan::Truncate { to: offset("5") });
    script.follower.truncated(Ticks(10), script.log.state());
    assert_eq!(script.follower.next_fetch().map(|due| due.not_before), Some(Ticks(1_010)));
}

#[test]
fn follower_scripts() {
    run_file("testdata/follower.txt", || -> Runner {
        let mut script = None;
        Box::new(move |line| run(&mut script, line))
    });
}
