//! The classic protocol over sockets.

use highwater_types::ErrorCode;
use highwater_wire::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{
    become_stable, broker, broker_with, heartbeat, join, join_request, joined, leave, sync_request, synced, until,
};
use crate::common::code;

#[test]
fn a_member_joins_syncs_heartbeats_and_leaves() {
    let (_broker, mut client) = broker();
    let joined = join(&mut client, "g");
    assert_eq!(joined.error, ErrorCode::None);
    assert!(joined.member.starts_with("test-"), "{}", joined.member);
    assert_eq!((joined.generation, joined.protocol.as_deref()), (1, Some("range")));
    assert_eq!(joined.leader, joined.member);
    assert_eq!(joined.members, [(joined.member.clone(), b"metadata".to_vec())]);
    let answer = client.call(3, &sync_request("g", &joined, &[(&joined.member, b"assigned")]));
    assert_eq!(synced(&answer), (ErrorCode::None, b"assigned".to_vec()));
    assert_eq!(heartbeat(&mut client, "g", &joined.member, 1), ErrorCode::None);
    assert_eq!(heartbeat(&mut client, "g", &joined.member, 7), ErrorCode::IllegalGeneration);
    assert_eq!(heartbeat(&mut client, "g", "nobody", 1), ErrorCode::UnknownMemberId);
    assert_eq!(leave(&mut client, 4, "g", &joined.member), (ErrorCode::None, vec![ErrorCode::None]));
    assert_eq!(heartbeat(&mut client, "g", &joined.member, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_join_waits_for_the_others_on_its_own_connection() {
    let (broker, mut first) = broker();
    let alone = become_stable(&mut first, "g");
    let mut second = broker.client();
    let told = joined(&second.call(5, &join_request("g", "", b"2")));
    let parks = broker.broker().stats().net.parks;
    let sent = second.send(5, &join_request("g", &told.member, b"2"));
    until("the join", || broker.broker().stats().net.parks > parks);
    assert_eq!(heartbeat(&mut first, "g", &alone.member, 1), ErrorCode::RebalanceInProgress);
    let leader = joined(&first.call(5, &join_request("g", &alone.member, b"1")));
    let follower = joined(&second.receive(sent));
    assert_eq!((leader.generation, follower.generation), (2, 2));
    assert_eq!((&leader.leader, &follower.leader), (&alone.member, &alone.member));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    // The follower's sync waits for the leader's.
    let sent = second.send(3, &sync_request("g", &follower, &[]));
    until("the sync", || broker.broker().stats().net.parks > parks + 1);
    let assignments: [(&str, &[u8]); 2] = [(&leader.member, b"one"), (&follower.member, b"two")];
    let answer = first.call(3, &sync_request("g", &leader, &assignments));
    assert_eq!(synced(&answer), (ErrorCode::None, b"one".to_vec()));
    assert_eq!(synced(&second.receive(sent)), (ErrorCode::None, b"two".to_vec()));
}

#[test]
fn a_member_speaks_every_version() {
    let (_broker, mut client) = broker();
    for version in 0..=9 {
        let group = format!("v{version}");
        let mut member = joined(&client.call(version, &join_request(&group, "", b"m")));
        if 4 <= version {
            assert_eq!(member.error, ErrorCode::MemberIdRequired, "{version}");
            let empty = if 7 <= version { None } else { Some(String::new()) };
            assert_eq!(member.protocol, empty, "{version}");
            member = joined(&client.call(version, &join_request(&group, &member.member, b"m")));
        }
        assert_eq!((member.error, member.generation), (ErrorCode::None, 1), "{version}");
        let version = version.min(5);
        let mut request = sync_request(&group, &member, &[(&member.member, b"a")]);
        if version == 5 {
            let incomplete = client.call(5, &request);
            assert_eq!(synced(&incomplete).0, ErrorCode::InconsistentGroupProtocol, "type and name are missing");
            request.protocol_type = Some("consumer".into());
            request.protocol_name = Some("range".into());
        }
        let answer = client.call(version, &request);
        assert_eq!(synced(&answer), (ErrorCode::None, b"a".to_vec()), "{version}");
        let own = if 3 <= version { vec![ErrorCode::None] } else { vec![] };
        assert_eq!(leave(&mut client, version, &group, &member.member), (ErrorCode::None, own), "{version}");
        let gone = leave(&mut client, version, &group, &member.member);
        let unknown = ErrorCode::UnknownMemberId;
        let expected = if 3 <= version { (ErrorCode::None, vec![unknown]) } else { (unknown, vec![]) };
        assert_eq!(gone, expected, "version {version} says it where it can");
    }
}

#[test]
fn a_sync_of_version_5_says_which_protocol() {
    let (_broker, mut client) = broker();
    let joined = join(&mut client, "g");
    let request = SyncGroupRequest {
        protocol_type: Some("connect".into()),
        protocol_name: Some("range".into()),
        ..sync_request("g", &joined, &[])
    };
    let answer = client.call(5, &request);
    let response: SyncGroupResponse<'_> = answer.body();
    assert_eq!(code(response.error_code), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn the_answer_for_a_closed_connection_is_dropped() {
    let (broker, mut client) = broker_with(&[("group.initial.rebalance.delay.ms", "500")]);
    let mut gone = broker.client();
    let parks = broker.broker().stats().net.parks;
    gone.send(3, &join_request("g", "", b"gone"));
    until("the join", || broker.broker().stats().net.parks > parks);
    drop(gone);
    // Its connection is gone, which the group learns only by the session's end, as in Kafka.
    let joined = joined(&client.call(3, &join_request("g", "", b"here")));
    assert_eq!(
        (joined.error, joined.members.len()),
        (ErrorCode::None, if joined.leader == joined.member { 2 } else { 0 })
    );
    assert_eq!(heartbeat(&mut client, "g", &joined.member, joined.generation), ErrorCode::None);
}

#[test]
fn members_outlive_a_restart_of_the_broker() {
    let (mut broker, mut client) = broker();
    let before = become_stable(&mut client, "g");
    broker.restart();
    let mut client = broker.client();
    until("the load", || {
        let answer = heartbeat(&mut client, "g", &before.member, before.generation);
        assert!(matches!(answer, ErrorCode::None | ErrorCode::CoordinatorLoadInProgress), "{answer:?}");
        answer == ErrorCode::None
    });
    let answer = client.call(3, &sync_request("g", &before, &[]));
    assert_eq!(synced(&answer), (ErrorCode::None, b"all".to_vec()), "its assignment was stored");
}
