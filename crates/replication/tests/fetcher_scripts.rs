//! Runs `testdata/fetcher.txt`; its head explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_replication::fetcher::{Assignment, FetchResponse, Fetcher, FetcherConfig, PartitionKey, SessionId};
use highwater_replication::follower::{FetchDue, FetchPosition};
use highwater_testsupport::{Runner, run_file};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Ticks, TopicId};
use std::fmt::Write as _;

fn key(word: &str) -> PartitionKey {
    PartitionKey { topic: TopicId::default(), partition: PartitionIndex::new(word.parse().unwrap()) }
}

fn ticks(word: &str) -> Ticks {
    Ticks(word.parse().unwrap())
}

fn assignment(words: &[&str]) -> Assignment {
    let position = |offset: &str, epoch: &str| FetchPosition {
        offset: Offset::new(offset.parse().unwrap()),
        last_fetched_epoch: None,
        leader_epoch: LeaderEpoch::new(epoch.parse().unwrap()),
        log_start: Offset::ZERO,
    };
    let mut assignment = Assignment { due: None, in_sync: false, throttled: false };
    for word in words {
        match word.split_once('/') {
            Some((offset, epoch)) => {
                assignment.due =
                    Some(FetchDue { position: position(offset, epoch), not_before: Ticks(0), needs_marks: false });
            }
            None if *word == "throttled" => assignment.throttled = true,
            None if *word == "insync" => assignment.in_sync = true,
            None if *word == "marks" => assignment.due.as_mut().unwrap().needs_marks = true,
            None if *word == "idle" => {}
            None => assignment.due.as_mut().unwrap().not_before = ticks(word),
        }
    }
    assignment
}

fn show(key: &PartitionKey, position: &FetchPosition) -> String {
    format!("{}={}/{}", key.partition, position.offset, position.leader_epoch)
}

fn respond(fetcher: &mut Fetcher, now: Ticks, session: &str, words: &[&str]) -> String {
    let mut error = ErrorCode::None;
    let mut partitions = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, bytes)) => partitions.push((key(name), bytes.parse().unwrap())),
            None => error = *ErrorCode::ALL.iter().find(|code| code.name() == *word).expect("a code's name"),
        }
    }
    let session_id = session.parse().ok().map(SessionId);
    let answers = fetcher.handle_response(now, &FetchResponse { error, session_id, partitions: &partitions });
    let used: Vec<String> = answers.partitions.iter().map(|answered| show(&answered.key, &answered.request)).collect();
    let throttled = answers.throttled_bytes;
    let throttled = if throttled == 0 { String::new() } else { format!(", throttled bytes {throttled}") };
    if used.is_empty() { format!("nothing{throttled}") } else { format!("use {}{throttled}", used.join(" ")) }
}

fn poll(fetcher: &mut Fetcher, now: Ticks, quota_at: Option<Ticks>) -> String {
    match fetcher.poll_request(now, quota_at) {
        Some(request) => {
            let session = request.session_id.map_or("-".to_owned(), |id| id.0.to_string());
            let mut out = format!("session {session} request {}:", request.session_epoch);
            for (key, position) in &request.partitions {
                write!(out, " {}", show(key, position)).unwrap();
            }
            for key in &request.forgotten {
                write!(out, " -{}", key.partition).unwrap();
            }
            out
        }
        None => match fetcher.poll_timeout(quota_at) {
            Some(at) => format!("nothing, next {}", at.0),
            None => "nothing, next never".to_owned(),
        },
    }
}

fn run(fetcher: &mut Fetcher, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut out = match words.as_slice() {
        ["assign", name, rest @ ..] => {
            fetcher.assign(key(name), assignment(rest));
            return String::new();
        }
        ["remove", name] => {
            fetcher.remove(&key(name));
            return String::new();
        }
        ["poll", now] => poll(fetcher, ticks(now), None),
        ["poll", now, "quota", at] => poll(fetcher, ticks(now), Some(ticks(at))),
        ["response", now, session, rest @ ..] => respond(fetcher, ticks(now), session, rest),
        ["interruption"] => {
            fetcher.handle_interruption();
            "interrupted".to_owned()
        }
        ["failure", now] => {
            fetcher.handle_failure(ticks(now));
            return String::new();
        }
        _ => panic!("unknown command: {line}"),
    };
    writeln!(out).unwrap();
    out
}

#[test]
fn fetcher_scripts() {
    run_file("testdata/fetcher.txt", || -> Runner {
        let mut fetcher = Fetcher::new(FetcherConfig { backoff_ms: 1_000 });
        Box::new(move |line| run(&mut fetcher, line))
    });
}
