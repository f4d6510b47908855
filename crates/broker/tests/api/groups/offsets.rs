//! Committed offsets over sockets.

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::{
    DeleteTopicsRequest, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
    offset_delete_request, offset_fetch_request,
};

use super::{
    Named, Offsets, become_stable, broker, commit, commit_request, committed, fetch_offsets, until,
    wait_for_coordinator,
};
use crate::common::{Client, code};

/// Some partitions of a topic.
type Partitions<'a> = (Named<'a>, &'a [i32]);

/// Asks for several groups, each for a topic's partitions or, without one, for everything.
fn fetch_groups(
    client: &mut Client,
    version: i16,
    groups: &[(&str, Option<Partitions<'_>>)],
) -> Vec<(String, ErrorCode, Vec<String>, Offsets)> {
    let asked = groups.iter().map(|(group, topic)| {
        let topics = topic.map(|(Named(name, id), partitions)| {
            vec![offset_fetch_request::OffsetFetchRequestTopics {
                name: if version < 10 { name.into() } else { "".into() },
                topic_id: if version < 10 { Uuid::ZERO } else { id },
                partition_indexes: partitions.to_vec().into(),
                ..Default::default()
            }]
            .into()
        });
        offset_fetch_request::OffsetFetchRequestGroup { group_id: (*group).into(), topics, ..Default::default() }
    });
    let answer = client.call(version, &OffsetFetchRequest { groups: asked.collect(), ..Default::default() });
    let response: OffsetFetchResponse<'_> = answer.body();
    let groups = response.groups.iter().map(|group| {
        let (mut names, mut offsets) = (Vec::new(), Vec::new());
        for topic in &group.topics {
            names.push(if version < 10 { topic.name.into_owned() } else { topic.topic_id.to_string() });
            for p in &topic.partitions {
                let metadata = p.metadata.clone().unwrap_or_default().into_owned();
                offsets.push((p.partition_index, p.committed_offset, metadata, code(p.error_code)));
            }
        }
        (group.group_id.into_owned(), code(group.error_code), names, offsets)
    });
    groups.collect()
}

fn row(partition: i32, offset: i64, metadata: &str) -> (i32, i64, String, ErrorCode) {
    (partition, offset, metadata.to_owned(), ErrorCode::None)
}

#[test]
fn what_one_version_commits_every_version_reads() {
    let (_broker, mut client) = broker();
    let topic = Named("t", client.create_topic("t", 2, &[]));
    for written in 2..=10_i16 {
        let offset = i64::from(written) * 100;
        let answer = client.call(written, &commit_request(written, "g", topic, &[(1, offset, "note")]));
        assert_eq!(committed(&answer), [ErrorCode::None], "version {written}");
        for read in 1..=7 {
            let fetched = fetch_offsets(&mut client, read, "g", &[("t", &[0, 1])]);
            assert_eq!(fetched, (ErrorCode::None, vec![row(0, -1, ""), row(1, offset, "note")]), "{written}, {read}");
        }
        for read in 8..=10 {
            let name = if read < 10 { "t".to_owned() } else { topic.1.to_string() };
            let asked = [("g", Some((topic, &[0, 1][..]))), ("other", Some((topic, &[1][..]))), ("g", None)];
            let expected = [
                ("g".to_owned(), ErrorCode::None, vec![name.clone()], vec![row(0, -1, ""), row(1, offset, "note")]),
                ("other".to_owned(), ErrorCode::None, vec![name.clone()], vec![row(1, -1, "")]),
            ];
            assert_eq!(fetch_groups(&mut client, read, &asked), expected, "{written}, {read}: each group once");
            let all = fetch_groups(&mut client, read, &[("g", None)]);
            assert_eq!(all, [("g".to_owned(), ErrorCode::None, vec![name], vec![row(1, offset, "note")])]);
        }
    }
}

#[test]
fn what_is_named_twice_is_answered_once() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 1, &[]);
    assert_eq!(commit(&mut client, "g", "t", 0, 5), ErrorCode::None);
    let many = vec![0; 10_000];
    let (error, offsets) = fetch_offsets(&mut client, 7, "g", &[("t", &many), ("t", &many)]);
    assert_eq!((error, offsets), (ErrorCode::None, vec![row(0, 5, "")]));
}

#[test]
fn what_the_metadata_does_not_know_is_refused_by_itself() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 1, &[]);
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let request = commit_request(8, "g", Named("t", Uuid::ZERO), &[(0, 1, ""), (1, 1, ""), (-1, 1, "")]);
    assert_eq!(committed(&client.call(8, &request)), [ErrorCode::None, unknown, unknown]);
    assert_eq!(commit(&mut client, "g", "nope", 0, 1), unknown);
    let id = Uuid::from_bytes([7; 16]);
    let answer = client.call(10, &commit_request(10, "g", Named("", id), &[(0, 1, "")]));
    assert_eq!(committed(&answer), [ErrorCode::UnknownTopicId]);
    let fetched = fetch_groups(&mut client, 10, &[("g", Some((Named("", id), &[0])))]);
    assert_eq!(fetched[0].3, [(0, -1, String::new(), ErrorCode::UnknownTopicId)]);
}

#[test]
fn long_metadata_and_strangers_are_refused() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 1, &[]);
    let long = "x".repeat(4097);
    let request = commit_request(8, "g", Named("t", Uuid::ZERO), &[(0, 1, &long)]);
    assert_eq!(committed(&client.call(8, &request)), [ErrorCode::OffsetMetadataTooLarge]);
    let member = become_stable(&mut client, "g");
    assert_eq!(commit(&mut client, "g", "t", 0, 1), ErrorCode::UnknownMemberId, "the group has members");
    let mut request = commit_request(8, "g", Named("t", Uuid::ZERO), &[(0, 1, "")]);
    request.member_id = member.member.as_str().into();
    request.generation_id_or_member_epoch = member.generation;
    assert_eq!(committed(&client.call(8, &request)), [ErrorCode::None]);
    request.generation_id_or_member_epoch += 1;
    assert_eq!(committed(&client.call(8, &request)), [ErrorCode::IllegalGeneration]);
}

#[test]
fn offsets_outlive_a_restart() {
    let (mut broker, mut client) = broker();
    client.create_topic("t", 100, &[]);
    for partition in 0..100 {
        assert_eq!(commit(&mut client, "g", "t", partition, 7), ErrorCode::None);
        assert_eq!(commit(&mut client, "g", "t", partition, 1000 + i64::from(partition)), ErrorCode::None);
    }
    broker.restart();
    let mut client = broker.client();
    wait_for_coordinator(&mut client, "g");
    let partitions: Vec<i32> = (0..100).collect();
    let expected: Vec<_> = (0..100).map(|partition| row(partition, 1000 + i64::from(partition), "")).collect();
    assert_eq!(fetch_offsets(&mut client, 7, "g", &[("t", &partitions)]), (ErrorCode::None, expected));
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 1, &[]);
    client.create_topic("u", 1, &[]);
    assert_eq!(commit(&mut client, "g", "t", 0, 5), ErrorCode::None);
    assert_eq!(commit(&mut client, "g", "u", 0, 6), ErrorCode::None);
    client.call(
        4,
        &DeleteTopicsRequest { topic_names: vec!["t".into()].into(), timeout_ms: 10_000, ..Default::default() },
    );
    until("the deletion", || fetch_offsets(&mut client, 7, "g", &[("t", &[0])]).1 == [row(0, -1, "")]);
    assert_eq!(fetch_offsets(&mut client, 7, "g", &[("u", &[0])]).1, [row(0, 6, "")]);
}

#[test]
fn an_administrator_deletes_offsets() {
    let (_broker, mut client) = broker();
    client.create_topic("t", 2, &[]);
    let delete = |client: &mut Client, group: &str, topics: &[&str]| {
        let partition = |partition_index| offset_delete_request::OffsetDeleteRequestPartition { partition_index };
        let topics = topics.iter().map(|name| offset_delete_request::OffsetDeleteRequestTopic {
            name: (*name).into(),
            partitions: vec![partition(99), partition(0)].into(),
        });
        let request = OffsetDeleteRequest { group_id: group.to_owned().into(), topics: topics.collect() };
        let answer = client.call(0, &request);
        let response: OffsetDeleteResponse<'_> = answer.body();
        let topics: Vec<_> = response
            .topics
            .iter()
            .map(|topic| {
                let codes: Vec<_> =
                    topic.partitions.iter().map(|each| (each.partition_index, code(each.error_code))).collect();
                (topic.name.into_owned(), codes)
            })
            .collect();
        (code(response.error_code), topics)
    };
    assert_eq!(delete(&mut client, "nobody", &["t"]), (ErrorCode::GroupIdNotFound, vec![]));
    assert_eq!(commit(&mut client, "g", "t", 0, 5), ErrorCode::None);
    assert_eq!(commit(&mut client, "g", "t", 1, 6), ErrorCode::None);
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let known = ("t".to_owned(), vec![(99, unknown), (0, ErrorCode::None)]);
    let unknown = ("nope".to_owned(), vec![(99, unknown), (0, unknown)]);
    let deleted = delete(&mut client, "g", &["nope", "t"]);
    assert_eq!(deleted, (ErrorCode::None, vec![unknown.clone(), known]));
    assert_eq!(delete(&mut client, "nobody", &["nope"]), (ErrorCode::None, vec![unknown]), "as Kafka has it");
    let left = fetch_offsets(&mut client, 7, "g", &[("t", &[0, 1])]);
    assert_eq!(left, (ErrorCode::None, vec![row(0, -1, ""), row(1, 6, "")]));
}
