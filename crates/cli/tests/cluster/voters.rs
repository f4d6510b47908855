//! Controllers that come and go while the cluster runs (KIP-853).

use std::process::Command;

use highwater_types::{ErrorCode, Uuid};

use crate::client::{Client, until};
use crate::node::Cluster;
use crate::{client, in_sync, leader, state, write};

/// Quick elections, and records that stay: those of these tests are of the past.
const SETTINGS: &[&str] =
    &["controller.quorum.fetch.timeout.ms=1000", "controller.quorum.election.timeout.ms=500", "log.retention.ms=-1"];

/// Waits until a broker hears that these decide, in the order of their ids. Says who leads them.
fn decided_by(cluster: &Cluster, expected: &[i32]) -> i32 {
    until(&format!("{expected:?} decide"), || {
        let (voters, _) = client(cluster).quorum();
        let leader = *voters.first()?;
        let mut sorted = voters;
        sorted.sort_unstable();
        (sorted == expected).then_some(leader)
    })
}

/// Asks until a change of the voters is made: the change before may not be committed yet, and leaders may change.
fn change(what: &str, mut ask: impl FnMut() -> ErrorCode) {
    until(what, || match ask() {
        ErrorCode::None => Some(()),
        ErrorCode::RequestTimedOut | ErrorCode::NotLeaderOrFollower | ErrorCode::NotController => None,
        error => panic!("{what}: {error}"),
    });
}

fn add(cluster: &Cluster, id: u32) {
    let (directory, port) = (cluster.directory_id(id), cluster.controller_port(id));
    change(&format!("{id} decides"), || client(cluster).add_voter(id, directory, port));
}

/// As an administrator does, who asks again if no answer has come: then the voter may be gone already.
fn remove(cluster: &Cluster, id: u32) {
    let directory = cluster.directory_id(id);
    change(&format!("{id} decides no more"), || match client(cluster).remove_voter(id, directory) {
        ErrorCode::VoterNotFound => ErrorCode::None,
        error => error,
    });
}

/// One controller becomes three, and the first of them leaves; then those that are left become one again. Nothing is lost.
#[test]
fn a_controller_grows_to_three_and_the_first_one_leaves() {
    let mut cluster = Cluster::dynamic(&[1, 2, 3], &[4], SETTINGS);
    cluster.format(1, &["--standalone"]);
    for id in [2, 3] {
        cluster.format(id, &["--no-initial-controllers"]);
    }
    cluster.format(4, &[]);
    cluster.start_all();
    assert_eq!(decided_by(&cluster, &[1]), 1);
    assert_eq!(client(&cluster).kraft_version(), 1);
    until("the others follow", || (client(&cluster).quorum().1 == [2, 3, 4]).then_some(()));
    assert_eq!(client(&cluster).create("before", &[4], &[]), ErrorCode::None);
    assert_eq!(write(&cluster, "before", "one"), 0);

    let (directory, port) = (cluster.directory_id(2), cluster.controller_port(2));
    assert_eq!(client(&cluster).add_voter(9, Uuid::ZERO, port), ErrorCode::InvalidRequest, "without a directory");
    add(&cluster, 2);
    assert_eq!(client(&cluster).add_voter(2, directory, port), ErrorCode::DuplicateVoter);
    assert_eq!(client(&cluster).remove_voter(3, directory), ErrorCode::VoterNotFound);
    // Not by way of a broker.
    let mut controller = Client::connect(cluster.controller_port(1)).expect("the controller answers");
    let (directory, port) = (cluster.directory_id(3), cluster.controller_port(3));
    change("3 decides", || controller.add_voter(3, directory, port));
    assert_eq!(decided_by(&cluster, &[1, 2, 3]), 1);

    remove(&cluster, 1);
    let second = decided_by(&cluster, &[2, 3]);
    until("the first one only follows", || client(&cluster).quorum().1.contains(&1).then_some(()));
    cluster.stop(1);
    assert_eq!(client(&cluster).create("between", &[4], &[]), ErrorCode::None);
    assert_eq!(write(&cluster, "between", "two"), 0);

    remove(&cluster, u32::try_from(second).expect("an id"));
    let last = decided_by(&cluster, &[5 - second]);
    cluster.stop(u32::try_from(second).expect("an id"));
    let directory = cluster.directory_id(u32::try_from(last).expect("an id"));
    let alone = client(&cluster).remove_voter(u32::try_from(last).expect("an id"), directory);
    assert_eq!(alone, ErrorCode::VoterNotFound, "somebody has to decide");
    assert_eq!(client(&cluster).create("after", &[4], &[]), ErrorCode::None);

    // What the log says of the voters is still there when all begin anew.
    let last = u32::try_from(last).expect("an id");
    cluster.stop(4);
    cluster.kill(last);
    cluster.start(last);
    cluster.start(4);
    cluster.wait_until_ready(4);
    assert_eq!(decided_by(&cluster, &[i32::try_from(last).expect("an id")]), i32::try_from(last).expect("an id"));
    for (topic, values) in [("before", &["one"][..]), ("between", &["two"]), ("after", &[])] {
        state(&cluster, topic, "the topic is led", in_sync(1));
        assert_eq!(
            leader(&cluster, topic).read(topic).as_deref(),
            Ok(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()[..])
        );
    }
}

/// Three controllers that are formatted with one list elect a leader; one whose disk is lost is another voter; one that
/// is reached elsewhere says so; and snapshots carry who decides.
#[test]
fn controllers_that_begin_together_change_their_disks_and_addresses() {
    let settings = [
        SETTINGS,
        &["metadata.log.max.record.bytes.between.snapshots=2000", "metadata.max.retention.bytes=1000"],
        &["metadata.log.max.snapshot.interval.ms=0"],
    ]
    .concat();
    let mut cluster = Cluster::dynamic(&[1, 2, 3], &[4], &settings);
    let ids: Vec<Uuid> = (1..=3).map(|number| Uuid::from_bytes([number; 16])).collect();
    let list: Vec<String> = (1..=3)
        .zip(&ids)
        .map(|(id, directory)| format!("{id}@127.0.0.1:{}:{directory}", cluster.controller_port(id)))
        .collect();
    for (id, directory) in (1..=3).zip(&ids) {
        assert_eq!(cluster.format(id, &["--initial-controllers", &list.join(",")]), *directory);
    }
    cluster.format(4, &[]);
    cluster.start_all();
    decided_by(&cluster, &[1, 2, 3]);
    for number in 0..40 {
        let name = format!("topic-{number}");
        until("a topic is created", || (client(&cluster).create(&name, &[4], &[]) == ErrorCode::None).then_some(()));
    }
    until("a snapshot takes the place of records", || {
        let files = std::fs::read_dir(cluster.data(1).join("__cluster_metadata-0")).ok()?;
        let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let is_later = |name: &String| name.ends_with(".checkpoint") && !name.starts_with("00000000000000000000-");
        names.find(is_later).map(drop)
    });

    cluster.stop(3);
    std::fs::remove_dir_all(cluster.data(3)).expect("its disk is lost");
    cluster.move_controller(3);
    let directory = cluster.format(3, &["--no-initial-controllers"]);
    assert_ne!(directory, ids[2]);
    cluster.start(3);
    until("it follows", || client(&cluster).quorum().1.contains(&3).then_some(()));
    let old = ids[2];
    change("the lost disk decides no more", || match client(&cluster).remove_voter(3, old) {
        ErrorCode::VoterNotFound => ErrorCode::None,
        error => error,
    });
    add(&cluster, 3);
    decided_by(&cluster, &[1, 2, 3]);

    // Another port: the log has to be told, or the others would not find it.
    let moved = if decided_by(&cluster, &[1, 2, 3]) == 1 { 2 } else { 1 };
    cluster.stop(moved);
    cluster.move_controller(moved);
    cluster.start(moved);
    let port = cluster.controller_port(moved);
    until("it is known at its new address", || {
        client(&cluster).voter_ports().contains(&(i32::try_from(moved).expect("an id"), port)).then_some(())
    });
    // With the third one away, those two have to reach one another.
    let third = 3;
    cluster.stop(third);
    until("two of them decide", || (client(&cluster).create("last", &[4], &[]) == ErrorCode::None).then_some(()));
    assert_eq!(write(&cluster, "last", "value"), 0);
}

/// A controller with `controller.quorum.auto.join.enable` needs nobody to add it.
#[test]
fn controllers_join_by_themselves() {
    let settings = [SETTINGS, &["controller.quorum.auto.join.enable=true"]].concat();
    let mut cluster = Cluster::dynamic(&[1, 2, 3], &[4], &settings);
    cluster.format(1, &["--standalone"]);
    for id in [2, 3] {
        cluster.format(id, &["--no-initial-controllers"]);
    }
    cluster.format(4, &[]);
    cluster.start_all();
    decided_by(&cluster, &[1, 2, 3]);
    cluster.kill(1);
    until("two are enough", || (client(&cluster).create("t", &[4], &[]) == ErrorCode::None).then_some(()));
}

/// Voters of the configuration are taken into the log, where they can be changed; the configuration counts no more.
#[test]
fn configured_voters_become_voters_of_the_log() {
    let mut cluster = Cluster::new(&[1, 2, 3], &[4], SETTINGS);
    cluster.start_all();
    let leader = decided_by(&cluster, &[1, 2, 3]);
    assert_eq!(client(&cluster).kraft_version(), 0);
    let other = if leader == 1 { 2 } else { 1 };
    let directory = cluster.directory_id(other);
    assert_eq!(client(&cluster).remove_voter(other, directory), ErrorCode::UnsupportedVersion);
    assert_eq!(client(&cluster).set_kraft_version(2), ErrorCode::InvalidUpdateVersion);
    // The voters may not have described themselves yet.
    until("the voters are in the log", || (client(&cluster).set_kraft_version(1) == ErrorCode::None).then_some(()));
    until("clients are told", || (client(&cluster).kraft_version() == 1).then_some(()));
    assert_eq!(client(&cluster).set_kraft_version(1), ErrorCode::None, "it is so already");
    assert_eq!(client(&cluster).set_kraft_version(0), ErrorCode::InvalidUpdateVersion, "there is no way back");
    remove(&cluster, other);
    let rest: Vec<i32> = [1, 2, 3].into_iter().filter(|id| u32::try_from(*id) != Ok(other)).collect();
    decided_by(&cluster, &rest);
    cluster.stop(other);
    assert_eq!(client(&cluster).create("t", &[4], &[]), ErrorCode::None);
    for id in rest {
        let id = u32::try_from(id).expect("an id");
        cluster.kill(id);
        cluster.start(id);
    }
    until("two of them decide", || (client(&cluster).create("last", &[4], &[]) == ErrorCode::None).then_some(()));
}

/// What `kafka-metadata-quorum` of Apache Kafka sees and does, if its jars are there.
#[test]
fn kafkas_own_tool_adds_and_removes_controllers() {
    let Some(class_path) = std::env::var_os("HIGHWATER_KAFKA_CLASSPATH") else {
        assert!(std::env::var_os("HIGHWATER_REQUIRE_CLIENTS").is_none(), "HIGHWATER_KAFKA_CLASSPATH is not set");
        return eprintln!("skipped: HIGHWATER_KAFKA_CLASSPATH is not set");
    };
    let mut cluster = Cluster::dynamic(&[1, 2], &[3], SETTINGS);
    let first = cluster.format(1, &["--standalone"]);
    cluster.format(2, &["--no-initial-controllers"]);
    cluster.format(3, &[]);
    cluster.start_all();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new("java");
        command.arg("-cp").arg(&class_path).arg("org.apache.kafka.tools.MetadataQuorumCommand").args(arguments);
        let output = command.output().expect("java runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let ask = |arguments: &[&str]| {
        let (is_well, said) = tool(arguments);
        assert!(is_well, "{arguments:?}: {said}");
        said
    };
    let brokers = format!("127.0.0.1:{}", cluster.port(3));
    let controllers = format!("127.0.0.1:{}", cluster.controller_port(2));
    let status = ask(&["--bootstrap-server", &brokers, "describe", "--status"]);
    assert!(status.contains("LeaderId:               1"), "{status}");
    let voter = format!(
        "{{\"id\": 1, \"directoryId\": \"{first}\", \"endpoints\": [\"CONTROLLER://127.0.0.1:{}\"]}}",
        cluster.controller_port(1)
    );
    assert!(status.contains(&format!("CurrentVoters:          [{voter}]")), "{status}");

    let file = cluster.data(2).with_extension("properties");
    std::fs::write(&file, cluster.properties(2)).expect("a file of settings");
    let file = file.display().to_string();
    let added = ask(&["--command-config", &file, "--bootstrap-server", &brokers, "add-controller"]);
    assert!(added.contains("Added controller 2"), "{added}");
    decided_by(&cluster, &[1, 2]);
    let (is_well, said) = tool(&["--command-config", &file, "--bootstrap-controller", &controllers, "add-controller"]);
    assert!(!is_well && said.contains("DuplicateVoterException"), "{said}");

    let first = first.to_string();
    let arguments = ["--bootstrap-controller", &controllers, "remove-controller", "-i", "1", "-d", &first];
    assert!(ask(&arguments).contains("Removed  KRaft controller 1"));
    decided_by(&cluster, &[2]);
    let replication = ask(&["--bootstrap-server", &brokers, "describe", "--replication"]);
    let row = |id: &str| replication.lines().find(|line| line.starts_with(id)).unwrap_or_default();
    assert!(
        row("2").contains("Leader") && row("1").contains("Observer") && row("3").contains("Observer"),
        "{replication}"
    );
}
