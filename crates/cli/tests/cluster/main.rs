//! Clusters of real processes: what is promised when nodes are killed, and who is not let in.
//!
//! Elections, replication and the quorum are proved by the simulation (`highwater-sim`); this shows that the processes
//! do the same.

mod client;
mod node;
mod voters;

use std::time::Duration;

use highwater_types::ErrorCode;

use client::{Client, State, until};
use node::Cluster;

/// A client of some broker that runs.
fn client(cluster: &Cluster) -> Client {
    until("a broker answers", || cluster.running().into_iter().find_map(|id| Client::connect(cluster.port(id)).ok()))
}

/// What a broker that runs says of a topic, once `is_right` holds for it.
fn state(cluster: &Cluster, topic: &str, what: &str, is_right: impl Fn(&State) -> bool) -> State {
    until(what, || client(cluster).state(topic).filter(&is_right))
}

/// A client of the leader of a topic, as soon as there is one that runs.
fn leader(cluster: &Cluster, topic: &str) -> Client {
    until("the topic is led", || {
        let leader = u32::try_from(client(cluster).state(topic)?.leader).ok()?;
        let runs = cluster.running().contains(&leader);
        if runs { Client::connect(cluster.port(leader)).ok() } else { None }
    })
}

/// Appends a record with `acks=all` and returns its offset. Asks again, as clients do, while the leader has not heard of it
/// yet.
fn write(cluster: &Cluster, topic: &str, value: &str) -> i64 {
    until("a record is taken", || match leader(cluster, topic).produce(topic, -1, value) {
        Ok(offset) => Some(offset),
        Err(ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderOrFollower) => None,
        Err(error) => panic!("{topic} does not take {value}: {error}"),
    })
}

fn in_sync(count: usize) -> impl Fn(&State) -> bool {
    move |state| state.isr.len() == count
}

/// Controllers and brokers are different nodes. With two of three replicas down nothing is taken, and nothing shown.
#[test]
fn too_few_replicas_in_sync_are_refused_and_nothing_is_visible() {
    let mut cluster = Cluster::new(&[1], &[2, 3, 4], &[]);
    cluster.start_all();
    assert_eq!(client(&cluster).create("t", &[2, 3, 4], &[("min.insync.replicas", "2")]), ErrorCode::None);
    state(&cluster, "t", "all replicas are in sync", in_sync(3));
    assert_eq!(write(&cluster, "t", "first"), 0);
    cluster.kill(3);
    cluster.kill(4);
    state(&cluster, "t", "the dead are out of sync", in_sync(1));
    let mut last = leader(&cluster, "t");
    assert_eq!(last.produce("t", -1, "refused"), Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(last.log_end("t"), Ok(1), "nothing was appended");
    assert_eq!(last.read("t"), Ok(vec!["first".to_owned()]));
    cluster.start(3);
    cluster.wait_until_ready(3);
    state(&cluster, "t", "one is back in sync", in_sync(2));
    assert_eq!(write(&cluster, "t", "second"), 1);
    cluster.start(4);
    cluster.wait_until_ready(4);
    state(&cluster, "t", "all are back in sync", in_sync(3));
    cluster.stop(2);
    assert_eq!(leader(&cluster, "t").read("t"), Ok(vec!["first".to_owned(), "second".to_owned()]));
}

/// A replica that lacks acknowledged records leads only a topic that allows it.
#[test]
fn an_unclean_election_happens_only_where_it_is_allowed() {
    let mut cluster = Cluster::new(&[1], &[2, 3], &["unclean.leader.election.interval.ms=500"]);
    cluster.start_all();
    for (topic, unclean) in [("safe", "false"), ("loose", "true")] {
        let created = client(&cluster).create(topic, &[2, 3], &[("unclean.leader.election.enable", unclean)]);
        assert_eq!(created, ErrorCode::None);
        state(&cluster, topic, "both replicas are in sync", in_sync(2));
        assert_eq!(write(&cluster, topic, "both"), 0);
    }
    cluster.kill(3);
    for topic in ["safe", "loose"] {
        state(&cluster, topic, "the dead follower is out of sync", in_sync(1));
        assert_eq!(write(&cluster, topic, "one"), 1);
    }
    cluster.kill(2);
    cluster.start(3);
    cluster.wait_until_ready(3);
    state(&cluster, "loose", "the stale replica leads where it may", |state| state.leader == 3);
    assert_eq!(leader(&cluster, "loose").read("loose"), Ok(vec!["both".to_owned()]), "what only the other had is lost");
    write(&cluster, "loose", "other");
    assert_eq!(client(&cluster).state("safe").map(|state| state.leader), Some(-1), "and nowhere else");
    cluster.start(2);
    cluster.wait_until_ready(2);
    state(&cluster, "safe", "the last one in sync leads again", |state| state.leader == 2);
    state(&cluster, "safe", "both are in sync", in_sync(2));
    assert_eq!(leader(&cluster, "safe").read("safe"), Ok(vec!["both".to_owned(), "one".to_owned()]));
    state(&cluster, "loose", "the other gives up what only it had", in_sync(2));
    assert_eq!(leader(&cluster, "loose").read("loose"), Ok(vec!["both".to_owned(), "other".to_owned()]));
}

/// The active controller is killed: another one takes over, and knows everything.
#[test]
fn a_controller_that_dies_is_replaced() {
    let mut cluster = Cluster::new(&[1, 2, 3], &[1, 2, 3], &[]);
    cluster.start_all();
    assert_eq!(client(&cluster).create("before", &[1, 2, 3], &[]), ErrorCode::None);
    let active = cluster.running().into_iter().find(|id| {
        cluster.log(*id).contains("is the active controller") && !cluster.log(*id).contains("is not the active")
    });
    let active = active.expect("one of them is active");
    cluster.kill(active);
    until("another one creates a topic", || {
        let others: Vec<i32> = cluster.running().iter().map(|id| i32::try_from(*id).unwrap()).collect();
        (client(&cluster).create("after", &others, &[]) == ErrorCode::None).then_some(())
    });
    state(&cluster, "before", "the topic from before is led", |state| state.leader != -1 && state.isr.len() == 2);
    assert_eq!(write(&cluster, "after", "value"), 0);
    cluster.start(active);
    cluster.wait_until_ready(active);
    state(&cluster, "before", "all are in sync", in_sync(3));
}

/// A broker that comes when the records it would need are only in a snapshot, and one that has missed a part of them.
#[test]
fn who_comes_late_begins_with_a_snapshot() {
    let settings = [
        "metadata.log.max.record.bytes.between.snapshots=2000",
        "metadata.max.retention.bytes=1000",
        "metadata.log.max.snapshot.interval.ms=0",
    ];
    let mut cluster = Cluster::new(&[1, 2, 3], &[4, 5, 6], &settings);
    for id in [1, 2, 4, 5] {
        cluster.start(id);
    }
    cluster.wait_until_ready(4);
    cluster.wait_until_ready(5);
    for number in 0..50 {
        let name = format!("topic-{number}");
        until("a topic is created", || (client(&cluster).create(&name, &[4, 5], &[]) == ErrorCode::None).then_some(()));
    }
    assert_eq!(write(&cluster, "topic-7", "value"), 0);
    let snapshots = |cluster: &Cluster, id: u32| -> Vec<String> {
        let files = std::fs::read_dir(cluster.data(id).join("__cluster_metadata-0")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".checkpoint")).collect()
    };
    until("controllers take snapshots", || (!snapshots(&cluster, 1).is_empty()).then_some(()));
    until("and brokers too", || (!snapshots(&cluster, 4).is_empty()).then_some(()));
    // A controller and a broker that have nothing, and one that has missed something.
    cluster.kill(5);
    for number in 50..100 {
        let name = format!("topic-{number}");
        until("a topic is created", || (client(&cluster).create(&name, &[4], &[]) == ErrorCode::None).then_some(()));
    }
    std::thread::sleep(Duration::from_secs(3));
    for id in [3, 5, 6] {
        cluster.start(id);
    }
    for id in [5, 6] {
        cluster.wait_until_ready(id);
        assert!(cluster.log(id).contains("begins anew with snapshot"), "node {id} has read the whole log");
        let mut late = Client::connect(cluster.port(id)).unwrap();
        assert_eq!(late.state("topic-99").map(|state| state.leader), Some(4), "node {id}");
    }
    until("the controller has begun with a snapshot", || {
        cluster.log(3).contains("begins anew with snapshot").then_some(())
    });
    // It can lead what it has only from the snapshot.
    cluster.kill(1);
    until("a topic is created", || (client(&cluster).create("last", &[6], &[]) == ErrorCode::None).then_some(()));
    assert_eq!(write(&cluster, "last", "value"), 0);
    state(&cluster, "topic-7", "the one that was away is in sync again", in_sync(2));
}

/// Nodes of other clusters and doubles are not let in; a node whose disk was lost is, and gets everything again.
#[test]
fn strangers_are_kept_out_and_a_wiped_disk_is_filled_again() {
    let mut cluster = Cluster::new(&[1], &[2, 3], &[]);
    cluster.start_all();
    assert_eq!(client(&cluster).create("t", &[2, 3], &[]), ErrorCode::None);
    state(&cluster, "t", "both replicas are in sync", in_sync(2));
    for number in 0..10 {
        assert_eq!(write(&cluster, "t", &number.to_string()), number);
    }
    let stranger = cluster.start_double(4, "another-cluster");
    let double = cluster.start_double(3, "cluster-under-test");
    assert!(!stranger.is_ready_within(Duration::from_secs(3)), "a node of another cluster was let in");
    assert!(!double.is_ready_within(Duration::from_secs(1)), "two processes are broker 3");
    assert_eq!(client(&cluster).brokers(), [2, 3]);
    drop((stranger, double));
    cluster.kill(3);
    std::fs::remove_dir_all(cluster.data(3)).unwrap();
    state(&cluster, "t", "the lost replica is out of sync", in_sync(1));
    cluster.start(3);
    cluster.wait_until_ready(3);
    state(&cluster, "t", "it is in sync again", in_sync(2));
    cluster.stop(2);
    let all: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(leader(&cluster, "t").read("t"), Ok(all));
}
