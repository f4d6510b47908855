//! Runs the scripts of `testdata`; the head of `elections.txt` explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use highwater_raft::{
    AddVoter, BeginQuorumEpoch, ChangeAnswer, Content, Control, ControlRecord, CorrelationId, Diverging,
    EndQuorumEpoch, Endpoint, Fetch, FetchAnswer, FetchSnapshot, FetchedBatch, KRaftVersion, KRaftVersions, Leadership,
    LogShape, Membership, Output, Payload, QuorumState, Raft, RaftConfig, RemoveVoter, ReplicaKey, Request, Response,
    Setup, SnapshotAnswer, SnapshotId, UpdateVoter, Vote, VoteAnswer, Voter, VoterSet, VoterSetup, Write,
};
use highwater_testsupport::{Runner, run_file};
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

/// A voter that is reached at its id and supports what there is; `1/9:HOST` is reached elsewhere.
fn voter(word: &str) -> Voter {
    let (word, host) = word.split_once(':').map_or((word, None), |(word, host)| (word, Some(host)));
    let key = key(word);
    let host = host.map_or_else(|| format!("c{}", key.id), str::to_owned);
    Voter { key, endpoints: endpoints(&host), kraft_versions: KRaftVersions::SUPPORTED }
}

/// `-` for none.
fn endpoints(host: &str) -> Vec<Endpoint> {
    let hosts = optional(host, str::to_owned).into_iter();
    hosts.map(|host| Endpoint { listener: "CONTROLLER".to_owned(), host, port: 9093 }).collect()
}

fn voter_set(word: &str) -> VoterSet {
    VoterSet::of(word.split(',').filter(|word| !word.is_empty()).map(voter).collect())
}

/// What snapshots and the bootstrap checkpoint say: `LEVEL:VOTERS`.
fn membership(word: &str) -> Membership {
    let (level, voters) = word.split_once(':').unwrap();
    Membership { kraft_version: level_of(level), voters: voter_set(voters) }
}

fn level_of(word: &str) -> KRaftVersion {
    KRaftVersion::new(word.parse().unwrap())
}

/// Control records, one `;` after the other: `OFFSET:level=N` or `OFFSET:VOTERS`.
fn controls(words: &str) -> Vec<Control> {
    let control = |word: &str| {
        let (at, what) = word.split_once(':').unwrap();
        let record = match what.strip_prefix("level=") {
            Some(level) => ControlRecord::KRaftVersion(level_of(level)),
            None => ControlRecord::Voters(voter_set(what)),
        };
        Control { offset: offset(at), record }
    };
    words.split(';').map(control).collect()
}

/// `1`, or `1/9` with a directory.
fn print_key(key: ReplicaKey) -> String {
    key.directory.map_or_else(|| key.id.to_string(), |directory| format!("{}/{}", key.id, directory.0.as_bytes()[0]))
}

/// Voters with their directories and, where that is not what [`voter`] makes, where they are reached.
fn print_voters(voters: &VoterSet) -> String {
    let print = |known: &Voter| {
        let key = known.key;
        let host = known.endpoints.first().map_or("-", |endpoint| &endpoint.host);
        let host = if host == format!("c{}", key.id) { String::new() } else { format!(":{host}") };
        format!("{}{host}", print_key(key))
    };
    voters.as_slice().iter().map(print).collect::<Vec<_>>().join(",")
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
            config: RaftConfig {
                auto_join: words.contains(&"auto-join"),
                bootstrap_servers: option(words, "servers").map_or(0, |word| word.parse().unwrap()),
                ..RaftConfig::default()
            },
            seed: 1,
        };
        let base = option(words, "base").map(|word| {
            let (end, said) = word.split_once('=').unwrap();
            (offset(end), membership(said))
        });
        let known = VoterSetup {
            snapshot: base,
            controls: option(words, "controls").map_or_else(Vec::new, controls),
            endpoints: option(words, "host").map_or_else(Vec::new, endpoints),
        };
        self.raft = Some(Raft::with_voters(setup, known, Ticks(0)));
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
            ["loaded", _, id, said] => raft.snapshot_loaded_with(now, snapshot(id), membership(said)),
            ["versions", _, correlation, min, max] => {
                let supported = KRaftVersions { min: level_of(min), max: level_of(max) };
                raft.handle_versions(now, CorrelationId(correlation.parse().unwrap()), supported);
            }
            ["raise", _, level, rest @ ..] => {
                let said = match raft.raise_kraft_version(now, level_of(level), rest.contains(&"check")) {
                    Ok(Some(appended)) => format!("raised at {}", appended.base.value()),
                    Ok(None) => "nothing to do".to_owned(),
                    Err(refusal) => format!("refused: {refusal}"),
                };
                writeln!(out, "{said}").unwrap();
            }
            ["voters"] => {
                let (voters, level) = (print_voters(raft.voters()), raft.kraft_version());
                writeln!(out, "voters {voters} at kraft.version {level}").unwrap();
            }
            ["voters-at", end] => {
                let Membership { kraft_version, voters } = raft.membership_at(offset(end));
                writeln!(out, "voters {} at kraft.version {kraft_version}", print_voters(&voters)).unwrap();
            }
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
                let controls = option(rest, "controls").map_or_else(Vec::new, controls);
                let payload = match option(rest, "bytes") {
                    Some(bytes) => Payload::Bytes(bytes.parse().unwrap()),
                    None if controls.is_empty() => Payload::Batches(&batches),
                    None => Payload::Records { batches: &batches, controls: &controls },
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
        ("add", [key_word, rest @ ..]) => {
            let Voter { key, endpoints: usual, .. } = voter(key_word);
            let endpoints = option(rest, "host").map_or(usual, endpoints);
            Request::AddVoter(AddVoter { key, endpoints, ack_when_committed: !rest.contains(&"early") })
        }
        ("remove", [word]) => Request::RemoveVoter(RemoveVoter { key: key(word) }),
        ("update", [word, number, rest @ ..]) => {
            let Voter { key, endpoints, kraft_versions } = voter(word);
            let max = option(rest, "max").map_or(kraft_versions.max, level_of);
            let kraft_versions = KRaftVersions { max, ..kraft_versions };
            Request::UpdateVoter(UpdateVoter { epoch: epoch(number), key, endpoints, kraft_versions })
        }
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
        "added" => Response::AddVoter(ChangeAnswer { leadership, refusal: None }),
        "removed" => Response::RemoveVoter(ChangeAnswer { leadership, refusal: None }),
        "updated" => Response::UpdateVoter(ChangeAnswer { leadership, refusal: None }),
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
            print_key(replica.key),
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
                Content::FirstLeaderChange { voters, granting, kraft_version, voter_set } => format!(
                    "leader change, voters {}, granting {}; kraft.version {kraft_version}; voters {}",
                    plain(voters),
                    plain(granting),
                    print_voters(voter_set)
                ),
                Content::Raised { kraft_version, voter_set } => {
                    format!("kraft.version {kraft_version}; voters {}", print_voters(voter_set))
                }
                Content::Voters(voters) => format!("voters {}", print_voters(voters)),
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
        Output::SendToBootstrap { server, request, correlation } => {
            format!("to server {server} #{}: {}", correlation.0, print_request(request))
        }
        Output::AskVersions { replica, correlation, .. } => format!("to {} #{}: versions?", replica.id, correlation.0),
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
        Request::AddVoter(AddVoter { key, ack_when_committed, .. }) => {
            format!("add voter {}{}", key.id, if *ack_when_committed { "" } else { ", answer early" })
        }
        Request::RemoveVoter(remove) => format!("remove voter {}", remove.key.id),
        Request::UpdateVoter(update) => {
            let hosts: Vec<&str> = update.endpoints.iter().map(|endpoint| endpoint.host.as_str()).collect();
            format!("update voter {} to {}, in epoch {}", update.key.id, hosts.join(","), update.epoch)
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
        Response::AddVoter(ChangeAnswer { refusal, .. })
        | Response::RemoveVoter(ChangeAnswer { refusal, .. })
        | Response::UpdateVoter(ChangeAnswer { refusal, .. }) => {
            return match refusal {
                Some(refusal) => format!("{}: {refusal}", refusal.code().name()),
                None => "done".to_owned(),
            };
        }
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
fn voter_sets() {
    run("testdata/voter_sets.txt");
}

#[test]
fn voter_changes() {
    run("testdata/voter_changes.txt");
}

#[test]
fn voter_raise() {
    run("testdata/voter_raise.txt");
}

#[test]
fn followers() {
    run("testdata/followers.txt");
}
