//! The requests of groups: what they need, and the ids and epochs that a coordinator chooses anew each time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use highwater_wire::frame::{SIZE_BYTES, decode_response_header, encode_request};
use highwater_wire::messages::{
    ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsResponse,
    DescribeGroupsResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use highwater_wire::{ApiKey, Message, Reader};

use crate::cluster::Need;
use crate::codes::{Codes, Names, message, name_of};
use crate::recording::Exchange;

/// Whether this is a request of groups that was recorded.
pub(crate) fn is_known(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::JoinGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::SyncGroup
            | ApiKey::DescribeGroups
            | ApiKey::ListGroups
            | ApiKey::DeleteGroups
            | ApiKey::ConsumerGroupHeartbeat
            | ApiKey::ConsumerGroupDescribe
    )
}

/// The codes of an answer.
pub(crate) fn decode(key: ApiKey, version: i16, body: &[u8], names: &Names, out: &mut Codes) -> Result<(), String> {
    match key {
        ApiKey::JoinGroup => out.add("", message::<JoinGroupResponse<'_>>(body, version)?.error_code),
        ApiKey::SyncGroup => out.add("", message::<SyncGroupResponse<'_>>(body, version)?.error_code),
        ApiKey::Heartbeat => out.add("", message::<HeartbeatResponse<'_>>(body, version)?.error_code),
        // Which groups there are depends on what was not recorded.
        ApiKey::ListGroups => out.add("", message::<ListGroupsResponse<'_>>(body, version)?.error_code),
        ApiKey::ConsumerGroupHeartbeat => {
            out.add("", message::<ConsumerGroupHeartbeatResponse<'_>>(body, version)?.error_code);
        }
        ApiKey::LeaveGroup => {
            let response: LeaveGroupResponse<'_> = message(body, version)?;
            out.add("", response.error_code);
            response.members.iter().enumerate().for_each(|(at, each)| out.add(format!("member {at}"), each.error_code));
        }
        ApiKey::DescribeGroups => {
            let response: DescribeGroupsResponse<'_> = message(body, version)?;
            response.groups.iter().for_each(|each| out.add(each.group_id, each.error_code));
        }
        ApiKey::DeleteGroups => {
            let response: DeleteGroupsResponse<'_> = message(body, version)?;
            response.results.iter().for_each(|each| out.add(each.group_id, each.error_code));
        }
        ApiKey::ConsumerGroupDescribe => {
            let response: ConsumerGroupDescribeResponse<'_> = message(body, version)?;
            response.groups.iter().for_each(|each| out.add(each.group_id, each.error_code));
        }
        ApiKey::OffsetCommit => {
            let response: OffsetCommitResponse<'_> = message(body, version)?;
            for topic in &response.topics {
                let name = name_of(&topic.name, topic.topic_id, names);
                for each in &topic.partitions {
                    out.add_partition(&name, each.partition_index, each.error_code);
                }
            }
        }
        _ => offset_fetch(&message(body, version)?, names, out),
    }
    Ok(())
}

/// What an offset is was decided by commits that may not have been recorded: only the codes are compared.
fn offset_fetch(response: &OffsetFetchResponse<'_>, names: &Names, out: &mut Codes) {
    out.add("", response.error_code);
    for topic in &response.topics {
        topic.partitions.iter().for_each(|each| out.add_partition(&topic.name, each.partition_index, each.error_code));
    }
    for group in &response.groups {
        out.add(group.group_id, group.error_code);
        for topic in &group.topics {
            let name = name_of(&topic.name, topic.topic_id, names);
            topic.partitions.iter().for_each(|each| out.add_partition(&name, each.partition_index, each.error_code));
        }
    }
}

/// A member of a group in the recording.
type Recorded = (String, String);

/// What the broker calls the members of the recording.
#[derive(Debug, Default)]
pub(crate) struct Members {
    own: BTreeMap<Recorded, Member>,
}

/// A member on the broker.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// Generation or member epoch.
    pub(crate) epoch: i32,
}

impl Members {
    /// The member as which a recorded request was sent, if the broker has not seen it join.
    pub(crate) fn unknown(&self, exchange: &Exchange, recorded: &Codes) -> Option<Need> {
        // What Kafka refused it may refuse here too, member or not.
        if recorded.codes.values().any(|code| *code != 0) {
            return None;
        }
        let (_, body) = exchange.header();
        let mut r = Reader::new(body);
        let (group, member, instance) = match exchange.key {
            ApiKey::SyncGroup => {
                let request = SyncGroupRequest::decode(&mut r, exchange.version).ok()?;
                (request.group_id, request.member_id, request.group_instance_id)
            }
            ApiKey::Heartbeat => {
                let request = HeartbeatRequest::decode(&mut r, exchange.version).ok()?;
                (request.group_id, request.member_id, request.group_instance_id)
            }
            _ => return None,
        };
        let recorded = (group.into_owned(), member.into_owned());
        let is_known = self.own.contains_key(&recorded);
        (!is_known).then(|| Need::Member {
            group: recorded.0,
            recorded: recorded.1,
            instance: instance.map(Cow::into_owned),
        })
    }

    pub(crate) fn learn(&mut self, group: &str, recorded: &str, member: Member) {
        self.own.insert((group.to_owned(), recorded.to_owned()), member);
    }

    /// Takes note of the ids and epochs that an answer gives.
    pub(crate) fn observe(&mut self, exchange: &Exchange, recorded: &[u8], answer: &[u8]) {
        let (_, request) = exchange.header();
        let version = exchange.version;
        let body = |bytes: &'_ [u8]| {
            let mut r = Reader::new(bytes);
            decode_response_header(&mut r, exchange.key, version).ok()?;
            Some(r.rest().to_vec())
        };
        let (Some(recorded), Some(answer)) = (body(recorded), body(answer)) else { return };
        match exchange.key {
            ApiKey::JoinGroup => {
                let Ok(request) = JoinGroupRequest::decode(&mut Reader::new(request), version) else { return };
                let decode = |bytes| message::<JoinGroupResponse<'_>>(bytes, version).ok();
                let (Some(theirs), Some(ours)) = (decode(&recorded), decode(&answer)) else { return };
                let own = Member { id: ours.member_id.to_string(), epoch: ours.generation_id };
                self.learn(&request.group_id, &theirs.member_id, own);
            }
            ApiKey::ConsumerGroupHeartbeat => {
                let decode = |bytes| message::<ConsumerGroupHeartbeatResponse<'_>>(bytes, version).ok();
                let Ok(request) = ConsumerGroupHeartbeatRequest::decode(&mut Reader::new(request), version) else {
                    return;
                };
                let (Some(theirs), Some(ours)) = (decode(&recorded), decode(&answer)) else { return };
                if let (Some(theirs), Some(id)) = (&theirs.member_id, &ours.member_id) {
                    self.learn(&request.group_id, theirs, Member { id: id.to_string(), epoch: ours.member_epoch });
                }
            }
            _ => {}
        }
    }

    /// The request with the broker's own ids and epochs in place of the recorded ones.
    pub(crate) fn translate(&self, exchange: &Exchange) -> Vec<u8> {
        let (_, body) = exchange.header();
        let version = exchange.version;
        match exchange.key {
            ApiKey::JoinGroup => self.rewrite::<JoinGroupRequest<'_>>(exchange, body, |own, request| {
                own.rename(&request.group_id, &mut request.member_id);
            }),
            ApiKey::SyncGroup => self.rewrite::<SyncGroupRequest<'_>>(exchange, body, |own, request| {
                let group = request.group_id.clone();
                own.renew(&group, &mut request.member_id, &mut request.generation_id);
                let assignments = request.assignments.iter().map(|mut assignment| {
                    own.rename(&group, &mut assignment.member_id);
                    assignment
                });
                request.assignments = assignments.collect();
            }),
            ApiKey::Heartbeat => self.rewrite::<HeartbeatRequest<'_>>(exchange, body, |own, request| {
                own.renew(&request.group_id.clone(), &mut request.member_id, &mut request.generation_id);
            }),
            ApiKey::LeaveGroup => self.rewrite::<LeaveGroupRequest<'_>>(exchange, body, |own, request| {
                let group = request.group_id.clone();
                own.rename(&group, &mut request.member_id);
                let members = request.members.iter().map(|mut member| {
                    own.rename(&group, &mut member.member_id);
                    member
                });
                request.members = members.collect();
            }),
            ApiKey::OffsetCommit => self.rewrite::<OffsetCommitRequest<'_>>(exchange, body, |own, request| {
                let group = request.group_id.clone();
                own.renew(&group, &mut request.member_id, &mut request.generation_id_or_member_epoch);
            }),
            ApiKey::OffsetFetch if 9 <= version => {
                self.rewrite::<OffsetFetchRequest<'_>>(exchange, body, |own, request| {
                    let groups = request.groups.iter().map(|mut group| {
                        if let Some(member) = &mut group.member_id {
                            own.renew(&group.group_id, member, &mut group.member_epoch);
                        }
                        group
                    });
                    request.groups = groups.collect();
                })
            }
            ApiKey::ConsumerGroupHeartbeat => {
                self.rewrite::<ConsumerGroupHeartbeatRequest<'_>>(exchange, body, |own, request| {
                    let group = request.group_id.clone();
                    // 0 joins, and what is negative leaves.
                    if 0 < request.member_epoch {
                        own.renew(&group, &mut request.member_id, &mut request.member_epoch);
                    }
                })
            }
            _ => exchange.request.clone(),
        }
    }

    fn rewrite<'e, M: Message<'e>>(
        &'e self,
        exchange: &'e Exchange,
        body: &'e [u8],
        change: impl FnOnce(&'e Self, &mut M),
    ) -> Vec<u8> {
        let (header, _) = exchange.header();
        let mut request = M::decode(&mut Reader::new(body), exchange.version).expect("recorded requests decode");
        change(self, &mut request);
        let mut frame = Vec::new();
        encode_request(&mut frame, &header, &request).expect("what was decoded can be encoded");
        frame.split_off(SIZE_BYTES)
    }

    fn member(&self, group: &str, recorded: &str) -> Option<&Member> {
        self.own.get(&(group.to_owned(), recorded.to_owned()))
    }

    fn rename<'e>(&'e self, group: &str, member: &mut Cow<'e, str>) {
        if let Some(own) = self.member(group, member) {
            *member = own.id.as_str().into();
        }
    }

    fn renew<'e>(&'e self, group: &str, member: &mut Cow<'e, str>, epoch: &mut i32) {
        if let Some(own) = self.member(group, member) {
            *member = own.id.as_str().into();
            *epoch = own.epoch;
        }
    }
}

/// What has to hold so that the recorded answer is the right one.
pub(crate) fn needs(exchange: &Exchange, recorded: &Codes, names: &Names) -> Vec<Need> {
    let (_, body) = exchange.header();
    let mut r = Reader::new(body);
    let groups = |expected: i16| {
        let found = recorded.codes.iter().filter(move |(_, code)| **code == expected);
        found.map(|(group, _)| group.clone())
    };
    match exchange.key {
        ApiKey::FindCoordinator => groups(0).map(|group| Need::Coordinator { group }).collect(),
        ApiKey::ConsumerGroupDescribe => groups(0).map(|group| Need::ConsumerGroup { group }).collect(),
        ApiKey::DeleteGroups => groups(0).map(|group| Need::Group { group }).collect(),
        // Before version 6 a group that is not there is no error.
        ApiKey::DescribeGroups if 6 <= exchange.version => groups(0).map(|group| Need::Group { group }).collect(),
        ApiKey::OffsetCommit => {
            let request = OffsetCommitRequest::decode(&mut r, exchange.version).expect("recorded requests decode");
            let mut needs = Vec::new();
            for topic in &request.topics {
                let topic_name = name_of(&topic.name, topic.topic_id, names);
                for each in &topic.partitions {
                    needs.push(Need::Partition { topic: topic_name.clone(), index: each.partition_index });
                }
            }
            needs
        }
        // Everything was asked for: what was answered has to be there.
        ApiKey::OffsetFetch if 8 <= exchange.version => {
            let request = OffsetFetchRequest::decode(&mut r, exchange.version).expect("recorded requests decode");
            let all = request.groups.iter().filter(|group| group.topics.is_none());
            let groups: Vec<String> = all.map(|group| group.group_id.into_owned()).collect();
            let partitions = recorded.codes.keys().filter_map(|what| what.rsplit_once('-'));
            let partitions = partitions.filter_map(|(topic, index)| Some((topic, index.parse().ok()?)));
            partitions
                .flat_map(|(topic, index)| {
                    let topic = topic.to_owned();
                    groups.iter().map(move |group| Need::Committed {
                        group: group.clone(),
                        topic: topic.clone(),
                        index,
                    })
                })
                .collect()
        }
        _ => Vec::new(),
    }
}
