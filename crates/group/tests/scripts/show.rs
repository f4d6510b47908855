//! Records and answers as scripts print them.

use highwater_group::{
    AssignedPartitions, ClassicGroupValue, ConsumerCurrentValue, ConsumerGroupDescription, ConsumerMemberState,
    DescribedTopic, GroupDescription, GroupListing, GroupRecord, JoinGroupResponse, LeaveGroupResponse,
    MemberAssignment, Response, SyncGroupResponse,
};
use highwater_types::{ErrorCode, PartitionIndex, TopicId};

use crate::names::short;
use crate::topics::letter;

/// Bytes of scripts are words; what the coordinator itself writes is shown by its printable part.
fn text(bytes: &[u8]) -> String {
    let printable = bytes.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ');
    printable.map(|byte| char::from(*byte)).collect()
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
            Some(value) => {
                let kind = if value.classic.is_some() { "classic member" } else { "member" };
                let instance = value.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
                format!("{group}: {kind} {}{instance}", short(member))
            }
            None => format!("{group}: member {} gone", short(member)),
        },
        GroupRecord::ConsumerTarget { group, value } => match value {
            Some(value) => format!("{group}: target epoch {}", value.epoch),
            None => format!("{group}: target gone"),
        },
        GroupRecord::ConsumerMemberTarget { group, member, value } => match value {
            Some(target) => format!("{group}: target of {}:{}", short(member), partitions(target.iter())),
            None => format!("{group}: target of {} gone", short(member)),
        },
        GroupRecord::ConsumerCurrent { group, member, value } => match value {
            Some(value) => format!("{group}: {} {}", short(member), current(value)),
            None => format!("{group}: {} in no epoch", short(member)),
        },
        GroupRecord::ConsumerRegex { group, regex, value } => match value {
            Some(value) => format!("{group}: {regex} matches {}", value.topics.join(",")),
            None => format!("{group}: {regex} gone"),
        },
        other @ GroupRecord::ConsumerTopics { .. } => format!("{other:?}"),
    }
}

/// What of a record compaction goes by.
pub(crate) fn key(record: &GroupRecord) -> (u8, String, String) {
    let (kind, group, name) = match record {
        GroupRecord::Offset { group, topic, partition, .. } => (1, group, format!("{topic}-{partition}")),
        GroupRecord::Classic { group, .. } => (2, group, String::new()),
        GroupRecord::Consumer { group, .. } => (3, group, String::new()),
        GroupRecord::ConsumerTopics { group, .. } => (4, group, String::new()),
        GroupRecord::ConsumerMember { group, member, .. } => (5, group, member.to_string()),
        GroupRecord::ConsumerTarget { group, .. } => (6, group, String::new()),
        GroupRecord::ConsumerMemberTarget { group, member, .. } => (7, group, member.to_string()),
        GroupRecord::ConsumerCurrent { group, member, .. } => (8, group, member.to_string()),
        GroupRecord::ConsumerRegex { group, regex, .. } => (16, group, regex.to_string()),
    };
    (kind, group.to_string(), name)
}

/// Partitions as ` t:0,1 u:0`.
fn partitions(all: impl Iterator<Item = (TopicId, PartitionIndex)>) -> String {
    let (mut shown, mut last) = (String::new(), None);
    for (topic, partition) in all {
        let lead = if last == Some(topic) { ",".to_owned() } else { format!(" {}:", letter(topic)) };
        shown += &format!("{lead}{partition}");
        last = Some(topic);
    }
    if shown.is_empty() { " -".to_owned() } else { shown }
}

fn current(value: &ConsumerCurrentValue) -> String {
    let state = match value.state {
        ConsumerMemberState::Stable => "stable",
        ConsumerMemberState::UnrevokedPartitions => "revokes",
        ConsumerMemberState::UnreleasedPartitions => "waits",
        ConsumerMemberState::Unknown => "unknown",
    };
    let each = |all: &AssignedPartitions| {
        let all = all.iter().flat_map(|(topic, all)| all.keys().map(|partition| (*topic, *partition)));
        partitions(all.collect::<Vec<_>>().into_iter())
    };
    let revokes = match value.state {
        ConsumerMemberState::UnrevokedPartitions => format!(" not{}", each(&value.pending_revocation)),
        _ => String::new(),
    };
    let (from, to) = (value.previous_epoch, value.epoch);
    format!("in epoch {to} after {from} {state}{}{revokes}", each(&value.assigned))
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
            ErrorCode::None => {
                let of = |all: &Vec<(TopicId, Vec<PartitionIndex>)>| {
                    let each = all.iter().flat_map(|(topic, all)| all.iter().map(|partition| (*topic, *partition)));
                    format!(" has{}", partitions(each))
                };
                let id = heartbeat.member.as_deref().map_or("-".to_owned(), short);
                let has = heartbeat.assignment.as_ref().map_or(String::new(), of);
                format!("{id} epoch {}{has}", heartbeat.member_epoch)
            }
            error => error.name().to_owned(),
        },
        Response::DeleteGroup(code) => code.name().to_owned(),
        Response::ConsumerDescribe(Ok(group)) => described_consumer(group),
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
    let assignment = match &sync.assignment {
        MemberAssignment::Opaque(assignment) => assignment,
        MemberAssignment::Partitions { partitions, .. } => return format!("got {partitions:?}"),
    };
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

fn described_consumer(group: &ConsumerGroupDescription) -> String {
    let shown = |all: &[DescribedTopic]| {
        partitions(all.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.id, *partition))))
    };
    let members = group.members.iter().map(|member| {
        let instance = member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
        let (has, wants) = (shown(&member.assignment), shown(&member.target));
        let subscribed = member.topic_regex.iter().chain(&member.topic_names).map(|name| &**name).collect::<Vec<_>>();
        let (id, epoch, subscribed) = (short(&member.id), member.epoch, subscribed.join(","));
        format!("; {id}{instance} of {subscribed} epoch {epoch} has{has} wants{wants}")
    });
    let members: String = members.collect();
    format!("{:?} {} epoch {} target {}{members}", group.state, group.assignor, group.epoch, group.assignment_epoch)
}
