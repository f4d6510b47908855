//! Listing, describing and deleting groups.

use highwater_types::ErrorCode;
use highwater_wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, ListGroupsRequest,
    ListGroupsResponse,
};

use super::{become_stable, broker, commit, leave};
use crate::common::{Client, code};

/// Group, state and type, by name.
fn list(client: &mut Client, version: i16, states: &[&str], types: &[&str]) -> Vec<(String, String, String)> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned().into()).collect();
    let request = ListGroupsRequest { states_filter: names(states), types_filter: names(types), ..Default::default() };
    let answer = client.call(version, &request);
    let response: ListGroupsResponse<'_> = answer.body();
    assert_eq!(code(response.error_code), ErrorCode::None);
    let mut groups: Vec<_> = response
        .groups
        .iter()
        .map(|group| (group.group_id.into_owned(), group.group_state.into_owned(), group.group_type.into_owned()))
        .collect();
    groups.sort();
    groups
}

fn names(groups: &[(String, String, String)]) -> Vec<&str> {
    groups.iter().map(|(name, ..)| name.as_str()).collect()
}

#[test]
fn groups_of_all_partitions_are_listed() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 1, &[]);
    for group in ["a", "b", "c", "d", "e"] {
        assert_eq!(commit(&mut client, group, "t", 0, 1), ErrorCode::None);
    }
    become_stable(&mut client, "member");
    for version in 0..=5 {
        let groups = list(&mut client, version, &[], &[]);
        assert_eq!(names(&groups), ["a", "b", "c", "d", "e", "member"], "version {version}");
        let expected = (if 4 <= version { "Stable" } else { "" }, if 5 <= version { "classic" } else { "" });
        assert_eq!((groups[5].1.as_str(), groups[5].2.as_str()), expected, "version {version}");
    }
    assert_eq!(names(&list(&mut client, 5, &["stable"], &[])), ["member"]);
    assert_eq!(names(&list(&mut client, 5, &["Empty", "Nonsense"], &["Classic"])).len(), 5);
    assert_eq!(list(&mut client, 5, &["Nonsense"], &[]), [], "what nobody knows is nothing, not all");
    assert_eq!(list(&mut client, 5, &[], &["consumer"]), []);
    assert_eq!(list(&mut client, 5, &[], &["nonsense"]), []);
}

#[test]
fn a_group_is_described_with_its_members() {
    let (_broker, mut client) = broker();
    let member = become_stable(&mut client, "g");
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into(), "gone".into(), "g".into()].into(),
            include_authorized_operations: 3 <= version,
            ..Default::default()
        };
        let answer = client.call(version, &request);
        let response: DescribeGroupsResponse<'_> = answer.body();
        let groups: Vec<_> = response.groups.iter().collect();
        assert_eq!(groups.len(), 2, "each once");
        let (known, gone) = (&groups[0], &groups[1]);
        assert_eq!((code(known.error_code), &*known.group_id, &*known.group_state), (ErrorCode::None, "g", "Stable"));
        assert_eq!((&*known.protocol_type, &*known.protocol_data), ("consumer", "range"));
        let described = known.members.iter().next().unwrap();
        assert_eq!((&*described.member_id, &*described.client_id), (member.member.as_str(), "test"));
        assert_eq!(&*described.client_host, "/127.0.0.1");
        assert_eq!((&*described.member_metadata, &*described.member_assignment), (&b"metadata"[..], &b"all"[..]));
        let expected = if version < 6 { ErrorCode::None } else { ErrorCode::GroupIdNotFound };
        assert_eq!((code(gone.error_code), &*gone.group_state), (expected, "Dead"), "version {version}");
        if 3 <= version {
            assert_eq!(known.authorized_operations, 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11);
        }
    }
}

#[test]
fn only_groups_without_members_are_deleted() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 1, &[]);
    assert_eq!(commit(&mut client, "offsets", "t", 0, 1), ErrorCode::None);
    let member = become_stable(&mut client, "members");
    let delete = |client: &mut Client, version| {
        let names = ["offsets", "members", "gone"].map(Into::into).to_vec();
        let answer = client.call(version, &DeleteGroupsRequest { groups_names: names.into(), ..Default::default() });
        let response: DeleteGroupsResponse<'_> = answer.body();
        response.results.iter().map(|result| code(result.error_code)).collect::<Vec<_>>()
    };
    let (full, gone) = (ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound);
    assert_eq!(delete(&mut client, 0), [ErrorCode::None, full, gone]);
    assert_eq!(delete(&mut client, 1), [gone, full, gone]);
    leave(&mut client, 4, "members", &member.member);
    assert_eq!(delete(&mut client, 2), [gone, ErrorCode::None, gone]);
    assert_eq!(list(&mut client, 5, &[], &[]), []);
}
