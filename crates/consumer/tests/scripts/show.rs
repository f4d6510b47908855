//! Outputs and events as one line each.

use std::fmt::{Display, Write as _};

use highwater_consumer::{
    ConsumerGroupHeartbeatRequest, ConsumerRecord, Event, FetchRequest, JoinGroupRequest, Membership,
    OffsetAndMetadata, OffsetSpec, Output, PartitionsById, Progress, Request, Target, WantedTopics,
};
use highwater_types::TopicPartition;

fn list<I: IntoIterator>(items: I) -> String
where
    I::Item: Display,
{
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(" ") }
}

fn option(value: Option<impl Display>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn at(offset: &OffsetAndMetadata) -> String {
    match offset.leader_epoch {
        Some(epoch) => format!("{}@{epoch}", offset.offset),
        None => offset.offset.to_string(),
    }
}

fn by_id(partitions: &PartitionsById) -> String {
    list(partitions.iter().flat_map(|(id, indexes)| {
        let topic = char::from(id.0.as_bytes()[0]);
        indexes.iter().map(move |index| format!("{topic}-{index}"))
    }))
}

pub(crate) fn output(output: &Output<u32>) -> String {
    match output {
        Output::Request { to, request, .. } => {
            let to = match to {
                Target::Node(node) => node.to_string(),
                Target::Coordinator(node) => format!("coordinator {node}"),
                Target::AnyBroker => "any".to_owned(),
            };
            format!("to {to}: {}", shown(request))
        }
        Output::WantTopics(WantedTopics::All) => "want all topics".to_owned(),
        Output::WantTopics(WantedTopics::Names(names)) => format!("want {}", list(names)),
        Output::RefreshMetadata => "refresh metadata".to_owned(),
        Output::EventReady => "event ready".to_owned(),
        Output::Committed { token, progress: stored, result } => {
            let who = token.map_or_else(|| "itself".to_owned(), |token| token.to_string());
            let result = result.as_ref().map_or_else(ToString::to_string, |()| "stored".to_owned());
            format!("commit by {who}, {}: {result}", progress(stored))
        }
        Output::CommittedOffsets { token, result } => match result {
            Ok(found) => {
                let found = found.iter().map(|(partition, committed)| {
                    format!("{partition}={}", committed.as_ref().map_or_else(|| "-".to_owned(), at))
                });
                format!("committed {token}: {}", list(found))
            }
            Err(error) => format!("committed {token}: {error}"),
        },
        Output::Closed => "closed".to_owned(),
    }
}

/// What scripts call a request by: its kind, and the broker if it goes to one as a leader.
pub(crate) fn kind(to: Target, request: &Request) -> String {
    let kind = match request {
        Request::FindCoordinator(_) => "coordinator",
        Request::JoinGroup(_) => "join",
        Request::SyncGroup(_) => "sync",
        Request::Heartbeat(_) => "heartbeat",
        Request::LeaveGroup(_) => "leave",
        Request::ConsumerGroupHeartbeat(request) => match request.membership {
            Membership::Leave | Membership::LeaveForNow => "leave",
            Membership::Join | Membership::Stay(_) => "group",
        },
        Request::OffsetCommit(_) => "commit",
        Request::OffsetFetch(_) => "offsets",
        Request::ListOffsets(_) => "list",
        Request::OffsetForLeaderEpoch(_) => "epochs",
        Request::Fetch(_) => "fetch",
    };
    match to {
        Target::Node(node) => format!("{kind}{node}"),
        Target::Coordinator(_) | Target::AnyBroker => kind.to_owned(),
    }
}

pub(crate) fn progress(progress: &Progress) -> String {
    list(progress.iter().map(|(partition, offset)| format!("{partition}={}", at(offset))))
}

/// Ids that were made from the seed are all alike.
fn member_name(id: &str) -> &str {
    if id.len() == 22 { "me" } else { id }
}

fn shown(request: &Request) -> String {
    match request {
        Request::FindCoordinator(request) => format!("find coordinator of {}", request.group),
        Request::JoinGroup(request) => join(request),
        Request::SyncGroup(request) => {
            let assigned = request.assignments.iter().map(|(member, given)| format!("{member}: {};", list(given)));
            format!("sync {} {} {}", request.generation, request.member, list(assigned))
        }
        Request::Heartbeat(request) => format!("heartbeat {} {}", request.generation, request.member),
        Request::LeaveGroup(request) => format!("leave {}, {}", request.member, request.reason),
        Request::ConsumerGroupHeartbeat(request) => group_heartbeat(request),
        Request::OffsetCommit(request) => {
            let member = request.member.as_ref().map(|(id, generation)| format!("{} {generation}", member_name(id)));
            let offsets = request.offsets.iter().map(|(partition, offset)| format!("{partition}={}", at(offset)));
            format!("commit by {}, {}", option(member), list(offsets))
        }
        Request::OffsetFetch(request) => {
            let member = request.member.as_ref().map(|(id, epoch)| format!(" by {} {epoch}", member_name(id)));
            let stable = if request.require_stable { ", stable" } else { "" };
            format!("offsets{} of {}{stable}", member.unwrap_or_default(), list(&request.partitions))
        }
        Request::ListOffsets(request) => {
            let asked = request.partitions.iter().map(|asked| {
                let at = match asked.at {
                    OffsetSpec::Earliest => "earliest".to_owned(),
                    OffsetSpec::Latest => "latest".to_owned(),
                    OffsetSpec::Timestamp(time) => format!("time {}", time.0),
                    OffsetSpec::Ago(ms) => format!("{ms} ago"),
                };
                format!("{}@{} {at}", asked.partition, option(asked.leader_epoch))
            });
            format!("list offsets {}", list(asked))
        }
        Request::OffsetForLeaderEpoch(request) => {
            let asked = request.partitions.iter().map(|asked| {
                format!("{}@{} {}", asked.partition, option(asked.current_leader_epoch), asked.leader_epoch)
            });
            format!("end of epochs {}", list(asked))
        }
        Request::Fetch(request) => fetch(request),
    }
}

fn join(request: &JoinGroupRequest) -> String {
    let mut out = format!("join as {:?}", &*request.member);
    if let Some(instance) = &request.instance {
        write!(out, " instance {instance}").unwrap();
    }
    for (name, said) in &request.protocols {
        write!(out, "; {name} {}", list(&said.topics)).unwrap();
        if !said.owned.is_empty() {
            write!(out, " owned {} in {}", list(&said.owned), option(said.generation)).unwrap();
        }
    }
    out
}

fn group_heartbeat(request: &ConsumerGroupHeartbeatRequest) -> String {
    let mut out = match request.membership {
        Membership::Join => "join".to_owned(),
        Membership::Stay(epoch) => format!("stay in {epoch}"),
        Membership::Leave => "leave".to_owned(),
        Membership::LeaveForNow => "leave for now".to_owned(),
    };
    if let Some(instance) = &request.instance {
        write!(out, " instance {instance}").unwrap();
    }
    if let Some(assignor) = &request.assignor {
        write!(out, " assignor {assignor}").unwrap();
    }
    if let Some(topics) = &request.topics {
        write!(out, ", topics {}", list(topics)).unwrap();
    }
    if let Some(owned) = &request.owned {
        write!(out, ", owned {}", by_id(owned)).unwrap();
    }
    out
}

fn fetch(request: &FetchRequest) -> String {
    let asked = request.partitions.iter();
    let asked = asked.map(|asked| format!("{}={}@{}", asked.partition, asked.offset, option(asked.leader_epoch)));
    let mut out = format!("fetch {}/{} {}", request.session.id, request.session.epoch, list(asked));
    if !request.forgotten.is_empty() {
        write!(out, " without {}", list(&request.forgotten)).unwrap();
    }
    out
}

fn record(record: &ConsumerRecord) -> String {
    String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned()
}

fn names(partitions: &[TopicPartition]) -> String {
    list(partitions)
}

pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Records(records) => {
            let mut out = String::from("records");
            let mut last = None;
            for one in records {
                if last.as_ref() != Some(one.partition()) {
                    write!(out, " {}:", one.partition()).unwrap();
                    last = Some(one.partition().clone());
                }
                write!(out, " {}", record(&one)).unwrap();
            }
            assert_eq!(records.iter().count(), records.len(), "as many as it says");
            format!("{out}, then {}", progress(&records.progress()))
        }
        Event::Assigned { partitions } => format!("assigned {}", names(partitions)),
        Event::Revoking(revoking) => {
            let deadline = revoking.deadline.0;
            format!("revoking {} until {deadline}", names(&revoking.partitions))
        }
        Event::Lost { partitions } => format!("lost {}", names(partitions)),
        Event::Eof { partition, offset } => format!("end of {partition} at {offset}"),
        Event::Error(error) => format!("error: {error}"),
    }
}
