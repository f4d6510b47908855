//! Runs the scripts of `testdata`; the head of `elections.txt` explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use highwater_raft::{
    BeginQuorumEpoch, Content, CorrelationId, Diverging, EndQuorumEpoch, Fetch, FetchAnswer, FetchSnapshot,
    FetchedBatch, Leadership, LogShape, Output, Payload, QuorumState, Raft, RaftConfig, ReplicaKey, Request, Response,
    Setup, SnapshotAnswer, SnapshotId, Vote, VoteAnswer, VoterSet, Write,
};
use highwater_testkit::{Runner, run_file};
use highwater_types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, Ticks, Uuid};

fn epoch(word: &str) -> LeaderEpoch {
    LeaderEpoch::new(word.parse().unwrap())
}

fn offset(word: &str) -> Offset {
    Offset::new(word.parse().unwrap())
}

/// `1`, or `1/9` with a directory.
fn key(word: &str) -> ReplicaKey {
    let (id, directory) = word.split_once('/').map_or((word, None), |(id, directory)| (id, Some(directory)));
    let directory = directory.map(|byte| DirectoryId(Uuid::from_bytes([byte.parse().unwrap(); 16])));
    ReplicaKey { id: NodeId::new(id.parse().unwrap()), directory }
}

fn keys(word: &str) -> Vec<ReplicaKey> {
    word.split(',').filter(|word| !word.is_empty()).map(key).collect()
}

/// `None` for `-`.
fn optional<T>(word: &str, read: impl Fn(&str) -> T) -> Option<T> {
    (word != "-").then(|| read(word))
}

/// The value of `name=value` among the words.
fn option<'w>(words: &[&'w str], name: &str) -> Option<&'w str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn plain(keys: &[ReplicaKey]) -> String {
    keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>().join(",")
}

/// `END@EPOCH`.
fn snapshot(word: &str) -> SnapshotId {
    let (end, number) = word.split_once('@').unwrap();
    SnapshotId { end: offset(end), epoch: epoch(number) }
}

fn plain_id(id: SnapshotId) -> String {
    format!("{}@{}", id.end.value(), id.epoch)
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or("none".to_owned(), |value| value.to_string())
}

#[derive(Default)]
struct World {
    raft: Option<Raft<u32>>,
    /// Reports that a state is stored only when told to.
    holds: bool,
    tags: u64,
}

impl World {
    fn start(&mut self, words: &[&str]) {
        let [id, voters, end, ..] = words else { panic!("new NODE VOTERS END ...") };
        let epochs = option(words, "epochs").unwrap_or_default();
        let state = QuorumState {
            epoch: option(words, "epoch").map_or_else(LeaderEpoch::default, epoch),
            leader: option(words, "leader").map(|word| key(word).id),
            voted: option(words, "voted").map(key),
        };
        let start = |word: &str| {
            let (number, start) = word.split_once('@').unwrap();
            (epoch(number), offset(start))
        };
        let setup = Setup {
            key: key(id),
            voters: VoterSet::new(keys(voters)),
            state,
            log: LogShape {
                end: offset(end),
                start: option(words, "start").map_or(Offset::ZERO, offset),
                snapshots: option(words, "snapshots")
                    .map_or_else(Vec::new, |list| list.split(',').map(snapshot).collect()),
                epochs: epochs.split(',').filter(|word| !word.is_empty()).map(start).collect(),
            },
            config: RaftConfig::default(),
            seed: 1,
        };
        self.raft = Some(Raft::new(setup, Ticks(0)));
    }

    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "new" {
            self.start(&words[1..]);
        }
        let raft = self.raft.as_mut().expect("a case begins with new");
        let now = Ticks(words.get(1).and_then(|word| word.parse().ok()).unwrap_or_default());
        let mut out = String::new();
        match words.as_slice() {
            ["new", ..] => {}
            ["hold"] => self.holds = true,
            ["persisted"] => raft.persisted(),
            ["synced", _, end] => raft.synced(now, offset(end)),
            ["tick", _] => raft.handle_timeout(now),
            ["resign", _] => raft.resign(now),
            ["fail", _, correlation] => raft.handle_failure(now, CorrelationId(correlation.parse().unwrap())),
            ["snapshot", _, id] => raft.snapshot_taken(snapshot(id)),
            ["drop", _, id] => raft.drop_prefix(snapshot(id)),
            ["loaded", _, id] => raft.snapshot_loaded(now, snapshot(id)),
            ["append", _, records] => {
                self.tags += 1;
                match raft.append(now, self.tags, records.parse().unwrap()) {
                    Ok(appended) => writeln!(out, "at {}..{}", appended.base.value(), appended.end.value()).unwrap(),
                    Err(error) => writeln!(out, "{error}").unwrap(),
                }
            }
            ["answer", _, correlation, kind, number, leader, rest @ ..] => {
                let correlation = CorrelationId(correlation.parse().unwrap());
                let leadership = Leadership {
                    error: option(rest, "error").map_or(ErrorCode::None, code),
                    epoch: epoch(number),
                    leader: optional(leader, |word| key(word).id),
                };
                let (response, batches) = response(kind, leadership, rest);
                let payload = match option(rest, "bytes") {
                    Some(bytes) => Payload::Bytes(bytes.parse().unwrap()),
                    None => Payload::Batches(&batches),
                };
                raft.handle_response(now, correlation, response, payload);
            }
            [kind, _, token, rest @ ..] if request(kind, rest).is_some() => {
                raft.handle_request(now, token.parse().unwrap(), request(kind, rest).unwrap());
            }
            ["state", _] => writeln!(out, "{}", state(raft, now)).unwrap(),
            _ => panic!("unknown command: {line}"),
        }
        while let Some(output) = raft.poll_output() {
            writeln!(out, "{}", print(&output)).unwrap();
            if matches!(output, Output::Persist(_)) && !self.holds {
                raft.persisted();
            }
        }
        out
    }
}

fn code(name: &str) -> ErrorCode {
    *ErrorCode::ALL.iter().find(|code| code.name() == name).expect("a code's name")
}

fn request(kind: &str, words: &[&str]) -> Option<Request> {
    Some(match (kind, words) {
        ("vote" | "pre-vote", [from, number, last_epoch, end, rest @ ..]) => Request::Vote(Vote {
            epoch: epoch(number),
            candidate: key(from),
            voter: key(option(rest, "to").unwrap_or("1")),
            last_epoch: epoch(last_epoch),
            end: offset(end),
            is_pre_vote: kind == "pre-vote",
        }),
        ("begin", [leader, number, rest @ ..]) => Request::BeginQuorumEpoch(BeginQuorumEpoch {
            epoch: epoch(number),
            leader: key(leader).id,
            voter: key(option(rest, "to").unwrap_or("1")),
        }),
        ("end", [leader, number, successors]) => Request::EndQuorumEpoch(EndQuorumEpoch {
            epoch: epoch(number),
            leader: key(leader).id,
            successors: keys(successors),
        }),
        ("fetch", [from, number, at, last_epoch, rest @ ..]) => Request::Fetch(Fetch {
            epoch: epoch(number),
            replica: key(from),
            offset: offset(at),
            last_epoch: epoch(last_epoch),
            high_watermark: option(rest, "hw").map(offset),
            wait_ms: option(rest, "wait").map_or(500, |word| word.parse().unwrap()),
        }),
        ("part", [from, number, id, position]) => Request::FetchSnapshot(FetchSnapshot {
            epoch: epoch(number),
            replica: key(from),
            id: snapshot(id),
            position: position.parse().unwrap(),
        }),
        _ => return None,
    })
}

fn response(kind: &str, leadership: Leadership, words: &[&str]) -> (Response, Vec<FetchedBatch>) {
    let batch = |word: &str| {
        let (range, number) = word.split_once('@').unwrap();
        let (base, end) = range.split_once('-').unwrap();
        FetchedBatch { base: offset(base), end: offset(end), epoch: epoch(number) }
    };
    let diverging = |word: &str| {
        let (number, end) = word.split_once('@').unwrap();
        Diverging { epoch: epoch(number), end: offset(end) }
    };
    let batches: Vec<FetchedBatch> =
        option(words, "batches").map(|list| list.split(',').map(batch).collect()).unwrap_or_default();
    let response = match kind {
        "granted" => Response::Vote(VoteAnswer { leadership, granted: true }),
        "rejected" => Response::Vote(VoteAnswer { leadership, granted: false }),
        "began" => Response::BeginQuorumEpoch(leadership),
        "ended" => Response::EndQuorumEpoch(leadership),
        "fetched" => Response::Fetch(FetchAnswer {
            leadership,
            high_watermark: option(words, "hw").map(offset),
            diverging: option(words, "diverging").map(diverging),
            snapshot: option(words, "snapshot").map(snapshot),
            records_from: batches.first().map(|batch| batch.base),
        }),
        "part" => Response::FetchSnapshot(SnapshotAnswer {
            leadership,
            id: option(words, "id").map_or_else(SnapshotId::default, snapshot),
            size: option(words, "size").map_or(0, |word| word.parse().unwrap()),
            position: option(words, "position").map_or(0, |word| word.parse().unwrap()),
        }),
        _ => panic!("unknown answer {kind}"),
    };
    (response, batches)
}

fn state(raft: &Raft<u32>, now: Ticks) -> String {
    let view = raft.view(now);
    let mut out = format!(
        "{:?} in epoch {}, leader {}, high watermark {}, log to {}, next {}",
        view.role,
        view.epoch,
        or_none(view.leader),
        or_none(view.high_watermark.map(Offset::value)),
        view.log_end.value(),
        or_none(raft.next_timeout().map(|at| at.0)),
    );
    for replica in view.voters.iter().chain(&view.observers) {
        let time = |at: Option<Ticks>| or_none(at.map(|at| at.0));
        write!(
            out,
            "\n  {} to {}, fetched {}, caught up {}",
            replica.key.id,
            or_none(replica.end.map(Offset::value)),
            time(replica.last_fetch),
            time(replica.last_caught_up)
        )
        .unwrap();
    }
    out
}

fn print(output: &Output<u32>) -> String {
    match output {
        Output::Persist(QuorumState { epoch, leader, voted }) => format!(
            "persist epoch {epoch}, leader {}, voted {}",
            or_none(*leader),
            or_none(voted.map(|voted| voted.id))
        ),
        Output::Write(Write::Append { base, epoch, content }) => {
            let content = match content {
                Content::LeaderChange { voters, granting } => {
                    format!("leader change, voters {}, granting {}", plain(voters), plain(granting))
                }
                Content::Batch { tag, records } => format!("batch #{tag} of {records}"),
            };
            format!("write at {} in epoch {epoch}: {content}", base.value())
        }
        Output::Write(Write::Fetched { correlation, batches }) => {
            format!("write {batches} batches of answer {}", correlation.0)
        }
        Output::Write(Write::Truncate { end }) => format!("truncate to {}", end.value()),
        Output::Write(Write::DropPrefix { start }) => format!("drop everything before {}", start.value()),
        Output::Write(Write::SnapshotPart { correlation, id, position }) => {
            format!("write answer {} to snapshot {} at {position}", correlation.0, plain_id(*id))
        }
        Output::Write(Write::LoadSnapshot { id }) => format!("load snapshot {}", plain_id(*id)),
        Output::Sync { end } => format!("sync to {}", end.value()),
        Output::Send { to, request, correlation } => format!("to {to} #{}: {}", correlation.0, print_request(request)),
        Output::Reply { token, response } => format!("reply to #{token}: {}", print_response(response)),
        Output::HighWatermark(offset) => format!("high watermark {}", offset.value()),
        Output::Role { role, epoch, leader } => format!("now {role:?} in epoch {epoch}, leader {}", or_none(*leader)),
        Output::Violation(violation) => format!("STOP: {violation}"),
    }
}

fn print_request(request: &Request) -> String {
    match request {
        Request::Vote(vote) => format!(
            "{} for {} in epoch {}, log to {} of epoch {}",
            if vote.is_pre_vote { "pre-vote" } else { "vote" },
            vote.candidate.id,
            vote.epoch,
            vote.end.value(),
            vote.last_epoch
        ),
        Request::BeginQuorumEpoch(begin) => format!("{} leads epoch {}", begin.leader, begin.epoch),
        Request::EndQuorumEpoch(end) => {
            format!("{} led epoch {}, successors {}", end.leader, end.epoch, plain(&end.successors))
        }
        Request::FetchSnapshot(fetch) => {
            format!("part of snapshot {} from {}, in epoch {}", plain_id(fetch.id), fetch.position, fetch.epoch)
        }
        Request::Fetch(fetch) => format!(
            "fetch from {} after epoch {}, in epoch {}, high watermark {}, wait {}",
            fetch.offset.value(),
            fetch.last_epoch,
            fetch.epoch,
            or_none(fetch.high_watermark.map(Offset::value)),
            fetch.wait_ms
        ),
    }
}

fn print_response(response: &Response) -> String {
    let Leadership { error, epoch, leader } = response.leadership();
    let what = match response {
        Response::Vote(answer) if answer.granted => "granted".to_owned(),
        Response::Vote(_) => "not granted".to_owned(),
        Response::BeginQuorumEpoch(_) | Response::EndQuorumEpoch(_) => "heard".to_owned(),
        Response::Fetch(FetchAnswer { diverging: Some(diverging), .. }) => {
            format!("diverging, epoch {} ends at {}", diverging.epoch, diverging.end.value())
        }
        Response::Fetch(FetchAnswer { snapshot: Some(id), .. }) => format!("load snapshot {}", plain_id(*id)),
        Response::FetchSnapshot(answer) => format!("snapshot {} from {}", plain_id(answer.id), answer.position),
        Response::Fetch(FetchAnswer { high_watermark, records_from, .. }) => format!(
            "records from {}, high watermark {}",
            or_none(records_from.map(Offset::value)),
            or_none(high_watermark.map(Offset::value))
        ),
    };
    let what = if error == ErrorCode::None { what } else { error.name().to_owned() };
    format!("{what}; epoch {epoch}, leader {}", or_none(leader))
}

fn run(file: &str) {
    run_file(file, || -> Runner {
        let mut world = World::default();
        Box::new(move |line| world.run(line))
    });
}

#[test]
fn elections() {
    run("testdata/elections.txt");
}

#[test]
fn leaders() {
    run("testdata/leaders.txt");
}

#[test]
fn snapshots() {
    run("testdata/snapshots.txt");
}

#[test]
fn followers() {
    run("testdata/followers.txt");
}
