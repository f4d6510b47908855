//! The consumer protocol (KIP-848) over sockets.

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::consumer_group_describe_response::{Assignment, Member};
use highwater_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, CreatePartitionsRequest, DescribeGroupsRequest, DescribeGroupsResponse,
    consumer_group_heartbeat_request, create_partitions_request,
};

use super::{Named, broker_with, commit_request, committed, until};
use crate::common::{Client, TestBroker, code};
use crate::configs::incremental;

/// Targets are computed at once.
const AT_ONCE: [(&str, &str); 1] = [("group.consumer.assignment.interval.ms", "0")];

/// A member as its client sees it.
#[derive(Debug)]
struct Consumer {
    group: &'static str,
    id: String,
    epoch: i32,
    /// Partitions of the one topic it consumes.
    owned: Vec<i32>,
    heartbeat_interval_ms: i32,
}

impl Consumer {
    fn new(group: &'static str, id: &str) -> Self {
        Self { group, id: id.to_owned(), epoch: 0, owned: Vec::new(), heartbeat_interval_ms: 0 }
    }

    fn request(&self, topic: Uuid) -> ConsumerGroupHeartbeatRequest<'_> {
        let owned = consumer_group_heartbeat_request::TopicPartitions {
            topic_id: topic,
            partitions: self.owned.clone().into(),
            ..Default::default()
        };
        let owned = if self.owned.is_empty() { vec![] } else { vec![owned] };
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.into(),
            member_id: self.id.as_str().into(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["t".into()].into()),
            topic_partitions: Some(owned.into()),
            ..Default::default()
        }
    }

    /// Heartbeats with all it knows, and does as it is told.
    fn beat(&mut self, client: &mut Client, topic: Uuid) -> ErrorCode {
        let answer = client.call(1, &self.request(topic));
        self.take(&answer.body())
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse<'_>) -> ErrorCode {
        if response.error_code == 0 {
            self.id = response.member_id.clone().unwrap_or_default().into_owned();
            self.epoch = response.member_epoch;
            self.heartbeat_interval_ms = response.heartbeat_interval_ms;
            if let Some(assignment) = &response.assignment {
                let partitions =
                    assignment.topic_partitions.iter().flat_map(|t| t.partitions.iter().collect::<Vec<_>>());
                self.owned = partitions.collect();
                self.owned.sort_unstable();
            }
        }
        code(response.error_code)
    }

    fn until_it_owns(&mut self, client: &mut Client, topic: Uuid, expected: &[i32]) {
        until("the assignment", || {
            assert_eq!(self.beat(client, topic), ErrorCode::None);
            self.owned == expected
        });
    }
}

fn broker() -> (TestBroker, Client, Uuid) {
    let (broker, mut client) = broker_with(&AT_ONCE);
    let topic = client.create_topic("t", 4, &[]);
    (broker, client, topic)
}

#[test]
fn members_share_partitions_and_give_them_back() {
    let (_broker, mut client, topic) = broker();
    let mut first = Consumer::new("g", "first");
    first.until_it_owns(&mut client, topic, &[0, 1, 2, 3]);
    assert_eq!(first.heartbeat_interval_ms, 5000);
    let mut second = Consumer::new("g", "second");
    assert_eq!(second.beat(&mut client, topic), ErrorCode::None);
    assert_eq!(second.owned, [] as [i32; 0], "nothing is given twice");
    until("the first gives back", || {
        assert_eq!(first.beat(&mut client, topic), ErrorCode::None);
        first.owned.len() == 2
    });
    until("the second takes", || {
        assert_eq!(first.beat(&mut client, topic), ErrorCode::None);
        assert_eq!(second.beat(&mut client, topic), ErrorCode::None);
        second.owned.len() == 2
    });
    let mut all = [first.owned.clone(), second.owned.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    second.epoch = -1;
    assert_eq!(second.beat(&mut client, topic), ErrorCode::None);
    first.until_it_owns(&mut client, topic, &[0, 1, 2, 3]);
    second.epoch = 1;
    second.owned.clear();
    assert_eq!(second.beat(&mut client, topic), ErrorCode::UnknownMemberId);
}

#[test]
fn version_0_gives_the_member_its_id() {
    let (_broker, mut client, topic) = broker();
    let mut member = Consumer::new("g", "");
    let answer = client.call(0, &member.request(topic));
    assert_eq!(member.take(&answer.body()), ErrorCode::None);
    assert_eq!(member.id.len(), 22, "{}", member.id);
    let nameless = Consumer::new("g", "");
    let answer = client.call(1, &nameless.request(topic));
    let response: ConsumerGroupHeartbeatResponse<'_> = answer.body();
    assert_eq!(code(response.error_code), ErrorCode::InvalidRequest, "from version 1 on the client chooses it");
}

#[test]
fn commits_carry_the_member_epoch() {
    let (_broker, mut client, topic) = broker();
    let mut member = Consumer::new("g", "m");
    member.until_it_owns(&mut client, topic, &[0, 1, 2, 3]);
    let mut commit_as = |id: &'static str, version, epoch| {
        let mut request = commit_request(version, "g", Named("t", topic), &[(0, 1, "")]);
        request.member_id = id.into();
        request.generation_id_or_member_epoch = epoch;
        committed(&client.call(version, &request))
    };
    assert_eq!(commit_as("stranger", 9, member.epoch), [ErrorCode::UnknownMemberId]);
    assert_eq!(commit_as("", 9, -1), [ErrorCode::UnknownMemberId], "the group has members");
    let mut commit = |version, epoch| commit_as("m", version, epoch);
    assert_eq!(commit(9, member.epoch), [ErrorCode::None]);
    assert_eq!(commit(10, member.epoch), [ErrorCode::None]);
    assert_eq!(commit(9, member.epoch + 1), [ErrorCode::StaleMemberEpoch]);
    assert_eq!(commit(8, member.epoch + 1), [ErrorCode::UnsupportedVersion], "it knows no member epochs");
    assert_eq!(commit(9, -1), [ErrorCode::StaleMemberEpoch]);
}

#[test]
fn a_restart_of_the_broker_is_not_noticed() {
    let (mut broker, mut client, topic) = broker();
    let mut member = Consumer::new("g", "m");
    member.until_it_owns(&mut client, topic, &[0, 1, 2, 3]);
    let epoch = member.epoch;
    broker.restart();
    let mut client = broker.client();
    until("the load", || match member.beat(&mut client, topic) {
        ErrorCode::None => true,
        error => {
            assert_eq!(error, ErrorCode::CoordinatorLoadInProgress);
            false
        }
    });
    assert_eq!((member.epoch, member.owned), (epoch, vec![0, 1, 2, 3]));
}

#[test]
fn new_partitions_are_assigned() {
    let (_broker, mut client, topic) = broker();
    let mut member = Consumer::new("g", "m");
    member.until_it_owns(&mut client, topic, &[0, 1, 2, 3]);
    let more = create_partitions_request::CreatePartitionsTopic {
        name: "t".into(),
        count: 6,
        assignments: None,
        ..Default::default()
    };
    client.call(3, &CreatePartitionsRequest { topics: vec![more].into(), timeout_ms: 10_000, ..Default::default() });
    member.until_it_owns(&mut client, topic, &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_regular_expression_finds_topics() {
    let (_broker, mut client, topic) = broker();
    client.create_topic("other", 1, &[]);
    let mut member = Consumer::new("g", "m");
    until("the assignment", || {
        let mut request = member.request(topic);
        request.subscribed_topic_names = Some(Vec::new().into());
        request.subscribed_topic_regex = Some("t|u".into());
        let answer = client.call(1, &request);
        drop(request);
        assert_eq!(member.take(&answer.body()), ErrorCode::None);
        member.owned == [0, 1, 2, 3]
    });
    let mut request = member.request(topic);
    request.subscribed_topic_regex = Some("(".into());
    let answer = client.call(1, &request);
    let response: ConsumerGroupHeartbeatResponse<'_> = answer.body();
    assert_eq!(code(response.error_code), ErrorCode::InvalidRegularExpression);
}

#[test]
fn a_consumer_group_is_described_in_its_own_way() {
    let (_broker, mut client, topic) = broker();
    let mut member = Consumer::new("g", "m");
    member.until_it_owns(&mut client, topic, &[0, 1, 2, 3]);
    for version in 0..=1 {
        let names = vec!["g".into(), "gone".into()];
        let answer =
            client.call(version, &ConsumerGroupDescribeRequest { group_ids: names.into(), ..Default::default() });
        let response: ConsumerGroupDescribeResponse<'_> = answer.body();
        let groups: Vec<_> = response.groups.iter().collect();
        let group = &groups[0];
        assert_eq!(
            (code(group.error_code), &*group.group_state, &*group.assignor_name),
            (ErrorCode::None, "Stable", "uniform")
        );
        assert_eq!((group.group_epoch, group.assignment_epoch), (member.epoch, member.epoch));
        let members: Vec<Member<'_>> = group.members.iter().collect();
        let [described] = &members[..] else { panic!("{members:?}") };
        assert_eq!(
            (&*described.member_id, &*described.client_id, &*described.client_host),
            ("m", "test", "/127.0.0.1")
        );
        assert_eq!(described.member_type, if version == 0 { -1 } else { 1 });
        let partitions = |assignment: &Assignment<'_>| {
            let topic = assignment.topic_partitions.iter().next().unwrap();
            (topic.topic_name.into_owned(), topic.partitions.iter().collect::<Vec<_>>())
        };
        let expected = ("t".to_owned(), vec![0, 1, 2, 3]);
        assert_eq!(
            (partitions(&described.assignment), partitions(&described.target_assignment)),
            (expected.clone(), expected)
        );
        assert_eq!(code(groups[1].error_code), ErrorCode::GroupIdNotFound);
    }
    let answer = client.call(6, &DescribeGroupsRequest { groups: vec!["g".into()].into(), ..Default::default() });
    let response: DescribeGroupsResponse<'_> = answer.body();
    assert_eq!(code(response.groups.iter().next().unwrap().error_code), ErrorCode::GroupIdNotFound);
}

#[test]
fn a_group_has_settings_of_its_own() {
    const GROUP: i8 = 32;
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let (_broker, mut client, topic) = broker();
    let mut own = Consumer::new("g", "m");
    let mut other = Consumer::new("h", "m");
    let interval = "consumer.heartbeat.interval.ms";
    assert_eq!(incremental(&mut client, GROUP, "g", &[(interval, SET, Some("7000"))]), ErrorCode::None);
    until("the setting", || {
        assert_eq!(own.beat(&mut client, topic), ErrorCode::None);
        own.heartbeat_interval_ms == 7000
    });
    assert_eq!(other.beat(&mut client, topic), ErrorCode::None);
    assert_eq!(other.heartbeat_interval_ms, 5000);
    // Within what the broker allows: 5 to 15 seconds, and less than the session's timeout.
    let invalid = ErrorCode::InvalidConfig;
    for (name, value) in [
        (interval, "4999"),
        (interval, "15001"),
        ("consumer.session.timeout.ms", "44999"),
        ("consumer.session.timeout.ms", "60001"),
        ("consumer.session.timeout.ms", "soon"),
        ("consumer.nonsense", "1"),
    ] {
        assert_eq!(incremental(&mut client, GROUP, "g", &[(name, SET, Some(value))]), invalid, "{name}={value}");
    }
    assert_eq!(incremental(&mut client, GROUP, "", &[(interval, SET, Some("7000"))]), ErrorCode::InvalidRequest);
    assert_eq!(incremental(&mut client, GROUP, "g", &[(interval, DELETE, None)]), ErrorCode::None);
    until("the default", || {
        assert_eq!(own.beat(&mut client, topic), ErrorCode::None);
        own.heartbeat_interval_ms == 5000
    });
}

#[test]
fn the_protocol_can_be_left_out() {
    let (_broker, mut client) = broker_with(&[("group.coordinator.rebalance.protocols", "classic")]);
    for version in 0..=1 {
        let answer = client.call(version, &Consumer::new("g", "m").request(Uuid::ZERO));
        let response: ConsumerGroupHeartbeatResponse<'_> = answer.body();
        assert_eq!(code(response.error_code), ErrorCode::UnsupportedVersion);
        let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".into()].into(), ..Default::default() };
        let answer = client.call(version, &request);
        let response: ConsumerGroupDescribeResponse<'_> = answer.body();
        let group = response.groups.iter().next().unwrap();
        assert_eq!((code(group.error_code), &*group.group_id), (ErrorCode::UnsupportedVersion, "g"));
    }
}
