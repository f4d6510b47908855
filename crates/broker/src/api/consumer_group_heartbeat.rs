//! ConsumerGroupHeartbeat (68): the consumer protocol (KIP-848).

use highwater_group::{Client, ConsumerHeartbeat, Request as GroupRequest, Response};
use highwater_types::{ErrorCode, TopicId};
use highwater_wire::messages::ConsumerGroupHeartbeatRequest;
use highwater_wire::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::coordinator::{ask, client_host, has_consumer_protocol, unexpected};
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::Out;
use crate::random::random_uuid;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ConsumerGroupHeartbeatRequest<'_> = request.decode()?;
    let names = body.subscribed_topic_names.as_ref().map_or(0, highwater_wire::Array::len);
    let owned = body.topic_partitions.as_ref().map_or(0, |topics| topics.iter().map(|t| t.partitions.len() + 1).sum());
    at_most(NAMES_MAX, names + owned)?;
    if !has_consumer_protocol(cx) {
        let refused = ConsumerGroupHeartbeatResponse {
            error_code: ErrorCode::UnsupportedVersion as i16,
            ..ConsumerGroupHeartbeatResponse::default()
        };
        return request.to.send(out, &refused);
    }
    let host = client_host(cx.peer);
    let owned = body.topic_partitions.as_ref().map(|topics| {
        topics.iter().map(|topic| (TopicId(topic.topic_id), topic.partitions.iter().collect())).collect()
    });
    let heartbeat = ConsumerHeartbeat {
        group: &body.group_id,
        member: &body.member_id,
        member_epoch: body.member_epoch,
        instance_id: body.instance_id.as_deref(),
        rack_id: body.rack_id.as_deref(),
        client: Client { id: request.client_id.as_deref().unwrap_or_default(), host: &host },
        rebalance_timeout_ms: body.rebalance_timeout_ms,
        topic_names: body.subscribed_topic_names.as_ref().map(|names| names.iter().collect()),
        topic_regex: body.subscribed_topic_regex.as_deref(),
        server_assignor: body.server_assignor.as_deref(),
        owned,
        may_choose_member_id: request.version() == 0,
        new_member: random_uuid(),
    };
    ask(cx, request, out, &body.group_id, GroupRequest::ConsumerHeartbeat(heartbeat), reply)
}

fn reply(response: Response, to: ReplyTo, out: &mut Out) -> Result<Outcome, Refused> {
    let Response::ConsumerHeartbeat(answer) = response else { return unexpected() };
    let assignment = answer.assignment.map(|topics| {
        let topic_partitions = topics.into_iter().map(|(topic, partitions)| TopicPartitions {
            topic_id: topic.0,
            partitions: partitions.iter().map(|partition| partition.to_wire()).collect(),
            ..TopicPartitions::default()
        });
        Assignment { topic_partitions: topic_partitions.collect(), ..Assignment::default() }
    });
    let response = ConsumerGroupHeartbeatResponse {
        error_code: answer.error as i16,
        error_message: answer.message.map(Into::into),
        member_id: answer.member.as_deref().map(Into::into),
        member_epoch: answer.member_epoch,
        heartbeat_interval_ms: answer.heartbeat_interval_ms,
        assignment,
        ..ConsumerGroupHeartbeatResponse::default()
    };
    to.send(out, &response)
}
