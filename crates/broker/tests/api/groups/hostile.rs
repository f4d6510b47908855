//! Group requests that mean no good.

use highwater_types::ErrorCode;
use highwater_wire::frame::{RequestHeader, encode_request};
use highwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use highwater_wire::messages::{DescribeGroupsRequest, JoinGroupRequest};

use super::{become_stable, broker, heartbeat, join_request, joined, sync_request, synced};

#[test]
fn metadata_that_is_no_subscription_is_passed_on() {
    let (_broker, mut client) = broker();
    let garbage: [&[u8]; 5] = [b"", b"\x00", b"\xff\xff\xff\xff\xff\xff", &[0x7f; 64], &[0; 7]];
    for (index, metadata) in garbage.into_iter().enumerate() {
        let member = joined(&client.call(3, &join_request(&format!("g{index}"), "", metadata)));
        assert_eq!(member.error, ErrorCode::None);
        assert_eq!(member.members[0].1, metadata);
    }
    // Half a million topics without a name, which would take much more memory decoded than they do here.
    let mut topics = 3_i16.to_be_bytes().to_vec();
    topics.extend(500_000_i32.to_be_bytes());
    topics.resize(topics.len() + 1_000_000 + 64, 0);
    let member = joined(&client.call(3, &join_request("large", "", &topics)));
    assert_eq!((member.error, member.members[0].1.len()), (ErrorCode::None, topics.len()));
}

#[test]
fn more_than_anybody_needs_ends_the_connection() {
    let (broker, mut client) = broker();
    let protocol = JoinGroupRequestProtocol { name: "p".into(), ..Default::default() };
    let many = JoinGroupRequest { protocols: vec![protocol; 5000].into(), ..join_request("g", "", b"") };
    let mut other = broker.client();
    other.send(5, &many);
    assert_eq!(other.until_closed(), b"");
    let mut other = broker.client();
    other.send(5, &DescribeGroupsRequest { groups: vec!["g".into(); 300_000].into(), ..Default::default() });
    assert_eq!(other.until_closed(), b"");
    become_stable(&mut client, "g");
}

#[test]
fn a_client_with_the_longest_name_gets_an_id_that_can_be_used() {
    let (_broker, mut client) = broker();
    let name = "\u{e9}".repeat(16_383);
    let mut call = |request: &JoinGroupRequest<'_>| {
        let header = RequestHeader {
            api_key: 11,
            api_version: 3,
            correlation_id: 5,
            client_id: Some(name.as_str().into()),
            ..Default::default()
        };
        let mut bytes = Vec::new();
        encode_request(&mut bytes, &header, request).unwrap();
        client.send_raw(&bytes);
        joined(&client.receive((highwater_wire::ApiKey::JoinGroup, 3, 5)))
    };
    let member = call(&join_request("g", "", b"m"));
    assert_eq!(member.error, ErrorCode::None);
    let answer = client.call(3, &sync_request("g", &member, &[(&member.member, b"a")]));
    assert_eq!(synced(&answer), (ErrorCode::None, b"a".to_vec()), "it was stored");
    assert_eq!(heartbeat(&mut client, "g", &member.member, member.generation), ErrorCode::None);
}

#[test]
fn assignments_for_strangers_change_nothing() {
    let (_broker, mut client) = broker();
    let member = super::join(&mut client, "g");
    let names: Vec<String> = (0..1000).map(|index| format!("stranger-{index}")).collect();
    let mut assignments: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    assignments.push((&member.member, b"mine"));
    let answer = client.call(3, &sync_request("g", &member, &assignments));
    assert_eq!(synced(&answer), (ErrorCode::None, b"mine".to_vec()));
}

#[test]
fn a_group_without_a_name_has_no_members() {
    let (_broker, mut client) = broker();
    assert_eq!(joined(&client.call(3, &join_request("", "", b""))).error, ErrorCode::InvalidGroupId);
    assert_eq!(heartbeat(&mut client, "", "m", 1), ErrorCode::InvalidGroupId);
}

#[test]
fn an_assignment_too_large_to_store_is_an_error_and_no_end() {
    let (_broker, mut client) = broker();
    let member = super::join(&mut client, "g");
    let large = vec![7; 3 << 20];
    let answer = client.call(3, &sync_request("g", &member, &[(&member.member, &large)]));
    assert_eq!(synced(&answer).0, ErrorCode::UnknownServerError);
    let member = super::join(&mut client, "h");
    let answer = client.call(3, &sync_request("h", &member, &[(&member.member, b"a")]));
    assert_eq!(synced(&answer).0, ErrorCode::None, "other groups go on");
}
