#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod classic;
mod config;
mod consumer;
mod describe;
mod offsets;
mod protocol;
mod record;
mod request;
mod response;
mod shard;
mod topics;

pub use config::{GroupConfig, GroupOverrides, MigrationPolicy, ServerAssignor};
pub use describe::{
    ConsumerGroupDescription, ConsumerMemberDescription, DescribedTopic, GroupDescription, GroupListing, GroupState,
    GroupType, MemberDescription,
};
pub use protocol::{ClassicProtocol, MemberAssignment, Subscription};
pub use record::{
    AssignedPartitions, ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, CommittedOffset,
    ConsumerCurrentValue, ConsumerGroupValue, ConsumerMemberState, ConsumerMemberValue, ConsumerTargetValue,
    GroupRecord, ResolvedRegex,
};
pub use request::{
    Client, ConsumerHeartbeat, Heartbeat, JoinGroup, LeaveGroup, LeavingMember, OffsetCommit, OffsetDelete,
    OffsetFetch, OffsetToCommit, Request, SyncGroup,
};
pub use response::{
    ConsumerHeartbeatResponse, DeletedOffset, FetchedOffset, JoinGroupResponse, JoinedMember, LeaveGroupResponse,
    OffsetDeleteResponse, OffsetFetchResponse, Response, SyncGroupResponse,
};
pub use shard::{Corrupt, Effect, Event, GroupShard};
pub use topics::Topics;
