//! Groups on disks that fail.

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse, JoinGroupRequest};

use super::{
    Named, SETTINGS, commit, commit_request, committed, fetch_offsets, heartbeat, join, join_request, joined,
    sync_request, synced, until, wait_for_coordinator,
};
use crate::common::{TestBroker, code};
use crate::faulty_disk::FaultyDisk;

/// A group whose partition of the offsets topic is in `d1`, away from the metadata.
fn group_in_d1(broker: &TestBroker) -> &'static str {
    // The hash of one character is the character.
    let groups = ["a", "b", "c", "d"];
    let is_there = |group: &str| {
        let partition = group.as_bytes()[0] % 4;
        broker.directory().join(format!("d1/__consumer_offsets-{partition}")).exists()
    };
    groups.into_iter().find(|group| is_there(group)).expect("partitions are spread over the directories")
}

#[test]
fn a_commit_that_cannot_be_stored_is_not_acknowledged() {
    let disk = FaultyDisk::default();
    let settings: Vec<_> = SETTINGS.into_iter().chain([("log.dirs", "d0,d1")]).collect();
    let broker = TestBroker::start_on(disk.shared(), &settings);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    wait_for_coordinator(&mut client, "a");
    let group = group_in_d1(&broker);
    assert_eq!(commit(&mut client, group, "t", 0, 1), ErrorCode::None);
    let member = join(&mut client, group);
    disk.fail("/d1/");
    let answer = client.call(3, &sync_request(group, &member, &[(&member.member, b"all")]));
    assert_eq!(synced(&answer).0, ErrorCode::NotCoordinator, "clients look for another coordinator");
    // Nothing that the failed disk has is coordinated any more.
    let member_id = &member.member;
    until("the resignation", || heartbeat(&mut client, group, member_id, 1) == ErrorCode::NotCoordinator);
    assert_eq!(commit(&mut client, group, "t", 0, 2), ErrorCode::NotCoordinator);
    let elsewhere =
        ["a", "b", "c", "d"].into_iter().filter(|other| commit(&mut client, other, "t", 0, 3) == ErrorCode::None);
    assert_eq!(elsewhere.count(), 2, "the broker goes on with what is in the other directory");
}

#[test]
fn a_sync_that_nobody_waited_for_counts() {
    let disk = FaultyDisk::default();
    let flushed = [("log.flush.interval.messages", "1"), ("group.min.session.timeout.ms", "1")];
    let settings: Vec<_> = SETTINGS.into_iter().chain(flushed).collect();
    let broker = TestBroker::start_on(disk.shared(), &settings);
    let mut client = broker.client();
    wait_for_coordinator(&mut client, "g");
    let request = JoinGroupRequest { session_timeout_ms: 500, ..join_request("g", "", b"") };
    let member = joined(&client.call(3, &request));
    let answer = client.call(3, &sync_request("g", &member, &[(&member.member, b"all")]));
    assert_eq!(synced(&answer).0, ErrorCode::None);
    let before = disk.syncs("/__consumer_offsets-");
    disk.hold_syncs("/__consumer_offsets-");
    // The member's session ends, which is written without a request.
    disk.wait_for_held(1);
    disk.release_syncs();
    until("the sync", || disk.syncs("/__consumer_offsets-") > before);
    let answer = client.call(5, &DescribeGroupsRequest { groups: vec!["g".into()].into(), ..Default::default() });
    let response: DescribeGroupsResponse<'_> = answer.body();
    let group = response.groups.iter().next().unwrap();
    assert_eq!((code(group.error_code), &*group.group_state), (ErrorCode::None, "Empty"));
}

#[test]
fn with_flush_messages_a_commit_waits_for_its_sync() {
    let disk = FaultyDisk::default();
    let settings: Vec<_> = SETTINGS.into_iter().chain([("log.flush.interval.messages", "1")]).collect();
    let broker = TestBroker::start_on(disk.shared(), &settings);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    wait_for_coordinator(&mut client, "g");
    assert_eq!(commit(&mut client, "g", "t", 0, 1), ErrorCode::None);
    disk.hold_syncs("/__consumer_offsets-");
    let parks = broker.broker().stats().net.parks;
    let request = commit_request(8, "g", Named("t", Uuid::ZERO), &[(0, 2, "")]);
    let mut committer = broker.client();
    let sent = committer.send(8, &request);
    disk.wait_for_held(1);
    until("the wait", || broker.broker().stats().net.parks > parks);
    disk.release_syncs();
    assert_eq!(committed(&committer.receive(sent)), [ErrorCode::None]);
    let (error, offsets) = fetch_offsets(&mut client, 7, "g", &[("t", &[0])]);
    assert_eq!((error, offsets[0].1), (ErrorCode::None, 2));
}
