//! Requests on their way, owning what they say.

use std::sync::Arc;

use highwater_group::{
    ClassicProtocol, Client, ConsumerHeartbeat, Heartbeat, JoinGroup, LeaveGroup, LeavingMember, OffsetCommit,
    OffsetFetch, OffsetToCommit, Request, Subscription, SyncGroup,
};
use highwater_types::{Offset, PartitionIndex, TopicId, Uuid};

/// A request of a member.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Join {
        group: Arc<str>,
        member: String,
        instance: Option<String>,
        topics: Vec<Arc<str>>,
        new_member: Uuid,
    },
    Sync {
        group: Arc<str>,
        member: String,
        instance: Option<String>,
        generation: i32,
        assignments: Vec<(String, Vec<u8>)>,
    },
    Heartbeat {
        group: Arc<str>,
        member: String,
        instance: Option<String>,
        generation: i32,
    },
    Leave {
        group: Arc<str>,
        member: String,
    },
    Consumer(ConsumerAsk),
    Commit {
        group: Arc<str>,
        member: String,
        epoch: i32,
        is_consumer: bool,
        commits: Vec<Commit>,
    },
    Fetch {
        group: Arc<str>,
    },
}

/// ConsumerGroupHeartbeat.
#[derive(Clone, Debug)]
pub(super) struct ConsumerAsk {
    pub(super) group: Arc<str>,
    pub(super) member: String,
    pub(super) epoch: i32,
    pub(super) instance: Option<String>,
    pub(super) topics: Option<Vec<Arc<str>>>,
    pub(super) regex: Option<String>,
    pub(super) owned: Option<Vec<(TopicId, Vec<i32>)>>,
    pub(super) rebalance_timeout_ms: i32,
}

/// One offset to commit.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) topic: Arc<str>,
    pub(super) topic_id: Option<TopicId>,
    pub(super) partition: u32,
    /// Never used twice.
    pub(super) offset: u64,
    /// Which holding of the partition this commit belongs to. The coordinator does not see it.
    pub(super) lease: u64,
}

/// How long a classic member may be silent.
pub(super) const SESSION_TIMEOUT_MS: i32 = 6000;
/// How long members may take to join, or to give back.
pub(super) const REBALANCE_TIMEOUT_MS: i32 = 10_000;
/// The one assignor of classic members.
const PROTOCOL: &str = "range";

impl Ask {
    /// Lets `handle` have the request as the coordinator takes it.
    pub(super) fn with_request<R>(&self, handle: impl FnOnce(Request<'_>) -> R) -> R {
        match self {
            Self::Join { group, member, instance, topics, new_member } => {
                let subscription = Subscription { topics: topics.clone(), generation: -1, ..Subscription::default() };
                let protocol = ClassicProtocol {
                    name: Arc::from(PROTOCOL),
                    metadata: Arc::from(topics.join(",").into_bytes()),
                    subscription: Some(Arc::new(subscription)),
                };
                handle(Request::Join(JoinGroup {
                    group,
                    member,
                    instance_id: instance.as_deref(),
                    client: Client { id: "sim", host: "/sim" },
                    session_timeout_ms: SESSION_TIMEOUT_MS,
                    rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
                    protocol_type: "consumer",
                    protocols: vec![protocol],
                    requires_known_member_id: instance.is_none(),
                    supports_skipping_assignment: true,
                    reason: None,
                    new_member: *new_member,
                }))
            }
            Self::Sync { group, member, instance, generation, assignments } => handle(Request::Sync(SyncGroup {
                group,
                generation: *generation,
                member,
                instance_id: instance.as_deref(),
                protocol_type: Some("consumer"),
                protocol_name: Some(PROTOCOL),
                assignments: assignments.iter().map(|(member, bytes)| (&**member, &**bytes)).collect(),
            })),
            Self::Heartbeat { group, member, instance, generation } => handle(Request::Heartbeat(Heartbeat {
                group,
                generation: *generation,
                member,
                instance_id: instance.as_deref(),
            })),
            Self::Leave { group, member } => {
                let members = vec![LeavingMember { member, instance_id: None, reason: None }];
                handle(Request::Leave(LeaveGroup { group, members }))
            }
            Self::Consumer(ask) => handle(Request::ConsumerHeartbeat(ConsumerHeartbeat {
                group: &ask.group,
                member: &ask.member,
                member_epoch: ask.epoch,
                instance_id: ask.instance.as_deref(),
                rack_id: None,
                client: Client { id: "sim", host: "/sim" },
                rebalance_timeout_ms: ask.rebalance_timeout_ms,
                topic_names: ask.topics.as_ref().map(|topics| topics.iter().map(|name| (&**name).into()).collect()),
                topic_regex: ask.regex.as_deref(),
                server_assignor: None,
                owned: ask.owned.clone(),
                may_choose_member_id: false,
                new_member: Uuid::ZERO,
            })),
            Self::Commit { group, member, epoch, is_consumer, commits } => {
                let offsets = commits.iter().map(|commit| OffsetToCommit {
                    topic: Arc::clone(&commit.topic),
                    topic_id: commit.topic_id,
                    partition: PartitionIndex::new(commit.partition),
                    offset: Offset::new(commit.offset),
                    leader_epoch: None,
                    metadata: "".into(),
                });
                handle(Request::OffsetCommit(OffsetCommit {
                    group,
                    member,
                    instance_id: None,
                    generation_or_epoch: *epoch,
                    retention_ms: None,
                    offsets: offsets.collect(),
                    knows_member_epochs: *is_consumer,
                }))
            }
            Self::Fetch { group } => handle(Request::OffsetFetch(OffsetFetch {
                group,
                member: None,
                member_epoch: -1,
                topics: None,
                require_stable: false,
            })),
        }
    }
}
