//! ConsumerGroupDescribe (69): groups of the consumer protocol (KIP-848).

use highwater_group::{
    ConsumerGroupDescription, ConsumerMemberDescription, DescribedTopic, GroupState, Request as GroupRequest, Response,
};
use highwater_types::ErrorCode;
use highwater_wire::messages::ConsumerGroupDescribeRequest;
use highwater_wire::messages::consumer_group_describe_response::{
    Assignment, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};

use super::coordinator::{GROUP_OPERATIONS, NO_OPERATIONS, answer_all, ask_each, has_consumer_protocol};
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ConsumerGroupDescribeRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.group_ids.len())?;
    if !has_consumer_protocol(cx) {
        let refused = body.group_ids.iter().map(|group_id| DescribedGroup {
            error_code: ErrorCode::UnsupportedVersion as i16,
            group_id,
            authorized_operations: NO_OPERATIONS,
            ..DescribedGroup::default()
        });
        let groups = refused.collect();
        return request
            .to
            .send(out, &ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() });
    }
    let (groups, asked) = ask_each(cx, &body.group_ids, |group| GroupRequest::ConsumerDescribe { group });
    let operations = if body.include_authorized_operations { GROUP_OPERATIONS } else { NO_OPERATIONS };
    answer_all(request, out, asked, move |responses, to, out| {
        let groups = groups.iter().zip(&responses).map(|(group, response)| {
            let mut answer = match response {
                Response::ConsumerDescribe(Ok(description)) => described_group(description, to.version),
                Response::ConsumerDescribe(Err(error)) => failed(group, *error),
                _ => failed(group, ErrorCode::UnknownServerError),
            };
            answer.group_id = group.as_str().into();
            answer.authorized_operations = operations;
            answer
        });
        let response =
            ConsumerGroupDescribeResponse { groups: groups.collect(), ..ConsumerGroupDescribeResponse::default() };
        to.send(out, &response)
    })
}

fn failed(group: &str, error: ErrorCode) -> DescribedGroup<'static> {
    let message =
        (error == ErrorCode::GroupIdNotFound).then(|| format!("Group {group} is not a consumer group.").into());
    DescribedGroup {
        error_code: error as i16,
        error_message: message,
        group_state: GroupState::Dead.name().into(),
        ..DescribedGroup::default()
    }
}

fn described_group(description: &ConsumerGroupDescription, version: i16) -> DescribedGroup<'_> {
    DescribedGroup {
        group_state: description.state.name().into(),
        group_epoch: description.epoch,
        assignment_epoch: description.assignment_epoch,
        assignor_name: (&*description.assignor).into(),
        members: description.members.iter().map(|member| described_member(member, version)).collect(),
        ..DescribedGroup::default()
    }
}

fn described_member(member: &ConsumerMemberDescription, version: i16) -> Member<'_> {
    Member {
        member_id: (&*member.id).into(),
        instance_id: member.instance_id.as_deref().map(Into::into),
        rack_id: member.rack_id.as_deref().map(Into::into),
        member_epoch: member.epoch,
        client_id: (&*member.client_id).into(),
        client_host: (&*member.client_host).into(),
        subscribed_topic_names: member.topic_names.iter().map(|name| (&**name).into()).collect(),
        subscribed_topic_regex: member.topic_regex.as_deref().map(Into::into),
        assignment: assignment(&member.assignment),
        target_assignment: assignment(&member.target),
        // Version 0 cannot say it.
        member_type: match (version, member.is_classic) {
            (0, _) => -1,
            (_, true) => MEMBER_CLASSIC,
            (_, false) => MEMBER_CONSUMER,
        },
        ..Member::default()
    }
}

fn assignment(topics: &[DescribedTopic]) -> Assignment<'_> {
    let topics = topics.iter().map(|topic| TopicPartitions {
        topic_id: topic.id.0,
        topic_name: (&*topic.name).into(),
        partitions: topic.partitions.iter().map(|partition| partition.to_wire()).collect(),
        ..TopicPartitions::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Assignment::default() }
}

const MEMBER_CLASSIC: i8 = 0;
const MEMBER_CONSUMER: i8 = 1;
