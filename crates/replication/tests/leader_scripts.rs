//! Runs `testdata/leader.txt`; its head explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_replication::leader::{
    Acks, FollowerFetch, Input, IsrAnswer, Leader, LeaderConfig, LeaderSetup, Output, ProposalId, RecoveryState, Ticks,
};
use highwater_testsupport::{Runner, run_file};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use std::fmt::Write as _;

fn node(word: &str) -> NodeId {
    NodeId::new(word.parse().unwrap())
}

fn nodes(words: &str) -> Vec<NodeId> {
    words.split(',').map(node).collect()
}

fn offset(word: &str) -> Offset {
    Offset::new(word.parse().unwrap())
}

fn acks(word: &str) -> Acks {
    Acks::from_wire(word.parse().unwrap()).unwrap()
}

/// `None` for `-`.
fn optional<T>(word: &str, read: impl Fn(&str) -> T) -> Option<T> {
    (word != "-").then(|| read(word))
}

fn plain(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn print(output: &Output) -> String {
    match output {
        Output::HighWatermark(offset) => format!("high watermark {}", offset.value()),
        Output::LowWatermark => "low watermark".to_owned(),
        Output::IsrChanged => "isr changed".to_owned(),
        Output::ProposeIsr(proposal) => {
            let member = |m: &highwater_replication::leader::IsrMember| match m.epoch {
                Some(epoch) => format!("{}@{}", m.node, epoch.0),
                None => m.node.to_string(),
            };
            let isr: Vec<String> = proposal.isr.iter().map(member).collect();
            format!("propose #{} from state {}: {}", proposal.id.0, proposal.partition_epoch, isr.join(","))
        }
    }
}

fn recovery(words: &[&str]) -> RecoveryState {
    match words {
        [] => RecoveryState::Recovered,
        ["recovering"] => RecoveryState::Recovering,
        _ => panic!("unknown recovery state {words:?}"),
    }
}

fn new_leader(words: &[&str]) -> Leader {
    let [replicas, isr, high_watermark, log_end, min_isr, state @ ..] = words else { panic!("{words:?}") };
    let setup = LeaderSetup {
        node: NodeId::new(1),
        leader_epoch: LeaderEpoch::new(5),
        partition_epoch: PartitionEpoch::new(0),
        replicas: nodes(replicas),
        isr: nodes(isr),
        recovery: recovery(state),
        log_end: offset(log_end),
        high_watermark: offset(high_watermark),
        config: LeaderConfig { lag_ms_max: 1000, min_insync_replicas: min_isr.parse().unwrap() },
    };
    Leader::new(setup, Ticks(0))
}

fn answer(leader: &Leader, words: &[&str]) -> IsrAnswer {
    match words {
        ["committed", state, isr, rest @ ..] => IsrAnswer::Committed {
            leader_epoch: rest.first().map_or(leader.leader_epoch(), |word| LeaderEpoch::new(word.parse().unwrap())),
            partition_epoch: PartitionEpoch::new(state.parse().unwrap()),
            isr: nodes(isr),
        },
        [name] => {
            IsrAnswer::from_error(*ErrorCode::ALL.iter().find(|code| code.name() == *name).expect("a code's name"))
        }
        _ => panic!("unknown answer {words:?}"),
    }
}

fn run(leader: &mut Option<Leader>, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let ["new", rest @ ..] = words.as_slice() {
        *leader = Some(new_leader(rest));
    }
    let leader = leader.as_mut().expect("a case begins with new");
    let now = Ticks(words.get(1).and_then(|word| word.parse().ok()).unwrap_or_default());
    let mut out = String::new();
    match words.as_slice() {
        ["new", ..] => {}
        ["append", end] => match leader.appended(offset(end)) {
            Some(high_watermark) => writeln!(out, "high watermark {}", high_watermark.value()).unwrap(),
            None => writeln!(out, "unmoved").unwrap(),
        },
        ["fetch", _, follower, at, broker_epoch, leader_epoch, log_start @ ..] => {
            let fetch = FollowerFetch {
                node: node(follower),
                broker_epoch: optional(broker_epoch, |word| BrokerEpoch(word.parse().unwrap())),
                leader_epoch: optional(leader_epoch, |word| LeaderEpoch::new(word.parse().unwrap())),
                offset: offset(at),
                log_start: log_start.first().map(|word| offset(word)),
            };
            match leader.check_follower(&fetch) {
                Ok(()) => leader.handle(now, Input::FollowerFetch(fetch)),
                Err(refusal) => writeln!(out, "{}: {refusal}", refusal.code().name()).unwrap(),
            }
        }
        ["broker", _, id, epoch, state] => {
            let epoch = optional(epoch, |word| BrokerEpoch(word.parse().unwrap()));
            leader.handle(now, Input::BrokerChanged { node: node(id), epoch, active: *state == "active" });
        }
        ["changed", _, state, replicas, isr, rest @ ..] => leader.handle(
            now,
            Input::PartitionChanged {
                partition_epoch: PartitionEpoch::new(state.parse().unwrap()),
                replicas: nodes(replicas),
                isr: nodes(isr),
                recovery: recovery(rest),
            },
        ),
        ["answer", _, id, rest @ ..] => {
            let answer = answer(leader, rest);
            leader.handle(now, Input::IsrAnswered { id: ProposalId(id.parse().unwrap()), answer });
        }
        ["config", lag_ms_max, min_isr] => {
            let (lag_ms_max, min_insync_replicas) = (lag_ms_max.parse().unwrap(), min_isr.parse().unwrap());
            match leader.set_config(LeaderConfig { lag_ms_max, min_insync_replicas }) {
                Some(high_watermark) => writeln!(out, "high watermark {}", high_watermark.value()).unwrap(),
                None => writeln!(out, "unmoved").unwrap(),
            }
        }
        ["start", at] => leader.log_start_raised(offset(at)),
        ["low", start] => match leader.low_watermark(offset(start)) {
            Some(low) => writeln!(out, "low watermark {low}").unwrap(),
            None => writeln!(out, "not known").unwrap(),
        },
        ["near", at, near] => {
            let near = nodes(near);
            match leader.preferred_replica(offset(at), |node| near.contains(&node)) {
                Some(node) => writeln!(out, "read from {node}").unwrap(),
                None => writeln!(out, "read here").unwrap(),
            }
        }
        ["maximal"] => {
            let maximal: Vec<NodeId> = leader.maximal_isr().collect();
            writeln!(out, "{}", plain(&maximal)).unwrap();
        }
        ["tick", _] => leader.handle_timeout(now),
        ["admit", word] => match leader.admit(acks(word)) {
            Ok(()) => writeln!(out, "yes").unwrap(),
            Err(error) => writeln!(out, "{}: {error}", error.code().name()).unwrap(),
        },
        ["acknowledge", word, end] => writeln!(out, "{:?}", leader.acknowledge(acks(word), offset(end))).unwrap(),
        ["epoch", word] => match leader.check_epoch(Some(LeaderEpoch::new(word.parse().unwrap()))) {
            Ok(()) => writeln!(out, "current").unwrap(),
            Err(error) => writeln!(out, "{}: {error}", error.code().name()).unwrap(),
        },
        ["state"] => {
            let next = leader.poll_timeout().map_or("never".to_owned(), |at| at.0.to_string());
            let (high_watermark, end) = (leader.high_watermark().value(), leader.log_end().value());
            let known = if leader.knows_high_watermark() { "" } else { ", not known" };
            let isr = plain(leader.isr());
            let recovering = if leader.recovery() == RecoveryState::Recovering { " recovering" } else { "" };
            writeln!(out, "high watermark {high_watermark} of {end}{known}, isr {isr}{recovering}, next {next}")
                .unwrap();
        }
        _ => panic!("unknown command: {line}"),
    }
    while let Some(output) = leader.poll_output() {
        writeln!(out, "{}", print(&output)).unwrap();
    }
    out
}

#[test]
fn leader_scripts() {
    run_file("testdata/leader.txt", || -> Runner {
        let mut leader = None;
        Box::new(move |line| run(&mut leader, line))
    });
}
