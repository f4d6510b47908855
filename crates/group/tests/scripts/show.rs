//! Records and answers as scripts print them.

use highwater_group::{
    ClassicGroupValue, GroupDescription, GroupListing, GroupRecord, JoinGroupResponse, LeaveGroupResponse,
    MemberAssignment, Response, SyncGroupResponse,
};
use highwater_types::ErrorCode;

use crate::names::short;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn record(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Classic { group, value: Some(value) } => format!("{group}: {}", classic(value)),
        GroupRecord::Classic { group, value: None } => format!("{group}: gone"),
        GroupRecord::Offset { group, topic, partition, value } => {
            let value = value.as_ref().map_or("gone".to_owned(), |value| value.offset.to_string());
            format!("{group}: {topic}-{partition} at {value}")
        }
        GroupRecord::Consumer { group, value } => match value {
            Some(value) => format!("{group}: consumer epoch {}", value.epoch),
            None => format!("{group}: consumer gone"),
        },
        GroupRecord::ConsumerMember { group, member, value } => match value {
            Some(value) if value.classic.is_some() => format!("{group}: classic member {}", short(member)),
            Some(_) => format!("{group}: member {}", short(member)),
            None => format!("{group}: member {} gone", short(member)),
        },
        GroupRecord::ConsumerTarget { group, value } => match value {
            Some(value) => format!("{group}: target epoch {}", value.epoch),
            None => format!("{group}: target gone"),
        },
        GroupRecord::ConsumerMemberTarget { group, member, value } => match value {
            Some(_) => format!("{group}: target of {}", short(member)),
            None => format!("{group}: target of {} gone", short(member)),
        },
        GroupRecord::ConsumerCurrent { group, member, value } => match value {
            Some(value) => format!("{group}: {} in epoch {}", short(member), value.epoch),
            None => format!("{group}: {} in no epoch", short(member)),
        },
        other => format!("{other:?}"),
    }
}

fn classic(value: &ClassicGroupValue) -> String {
    let ClassicGroupValue { protocol_type, generation, protocol, leader, .. } = value;
    let members = value.members.iter().map(|member| {
        let instance = member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
        let said = text(&member.subscription.metadata);
        format!(" {}{instance}({said}={})", short(&member.id), text(&member.assignment))
    });
    let (protocol, leader) = (protocol.as_deref().unwrap_or("-"), leader.as_deref().unwrap_or_default());
    let members: String = members.collect();
    format!("{protocol_type} generation {generation} {protocol} leader {}{members}", short(leader))
}

pub(crate) fn response(response: &Response) -> String {
    match response {
        Response::Join(join) => joined(join),
        Response::Sync(sync) => synced(sync),
        Response::Heartbeat(code) => code.name().to_owned(),
        Response::Leave(leave) => left(leave),
        Response::OffsetCommit(codes) => codes.iter().map(|code| code.name()).collect::<Vec<_>>().join(" "),
        Response::ConsumerHeartbeat(heartbeat) => match heartbeat.error {
            ErrorCode::None => format!("epoch {}", heartbeat.member_epoch),
            error => error.name().to_owned(),
        },
        Response::DeleteGroup(code) => code.name().to_owned(),
        Response::Describe(Ok(group)) => described(group),
        Response::Describe(Err(code)) | Response::ConsumerDescribe(Err(code)) | Response::List(Err(code)) => {
            code.name().to_owned()
        }
        Response::List(Ok(groups)) => groups.iter().map(listed).collect::<Vec<_>>().join(", "),
        other => format!("{other:?}"),
    }
}

fn joined(join: &JoinGroupResponse) -> String {
    if join.error != ErrorCode::None {
        return format!("{} {}", join.error.name(), short(&join.member));
    }
    let members = join.members.iter().map(|member| {
        let instance = member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
        format!(" {}{instance}({})", short(&member.id), text(&member.metadata))
    });
    let (kind, protocol) = (join.protocol_type.as_deref().unwrap(), join.protocol_name.as_deref().unwrap_or("-"));
    let skip = if join.skip_assignment { " skip" } else { "" };
    let (id, leader) = (short(&join.member), short(&join.leader));
    let members: String = members.collect();
    format!("{id} joined generation {} {kind} {protocol} leader {leader}{skip}{members}", join.generation)
}

fn synced(sync: &SyncGroupResponse) -> String {
    if sync.error != ErrorCode::None {
        return sync.error.name().to_owned();
    }
    let MemberAssignment::Opaque(assignment) = &sync.assignment else { return format!("{sync:?}") };
    let (kind, protocol) = (sync.protocol_type.as_deref().unwrap(), sync.protocol_name.as_deref().unwrap_or("-"));
    format!("{kind} {protocol} got {:?}", text(assignment))
}

fn left(leave: &LeaveGroupResponse) -> String {
    if leave.error != ErrorCode::None {
        return leave.error.name().to_owned();
    }
    let members = leave.members.iter().map(|(id, instance, code)| {
        let instance = instance.as_ref().map_or(String::new(), |id| format!("/{id}"));
        format!("{}{instance} {}", short(id), code.name())
    });
    members.collect::<Vec<_>>().join(", ")
}

pub(crate) fn described(group: &GroupDescription) -> String {
    let members = group.members.iter().map(|member| {
        let instance = member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
        let (said, got) = (text(&member.metadata), text(&member.assignment));
        format!(" {}{instance}@{}{}({said}={got})", short(&member.id), member.client_id, member.client_host)
    });
    let members: String = members.collect();
    format!("{:?} {:?} {:?}{members}", group.state, group.protocol_type, group.protocol)
}

fn listed(group: &GroupListing) -> String {
    format!("{} {:?} {:?} {:?}", group.group, group.protocol_type, group.state, group.kind)
}
