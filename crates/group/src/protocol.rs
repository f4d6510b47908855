//! What members of the classic protocol tell each other through the coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_types::PartitionIndex;

/// One assignor that a classic member supports, with what it wants to tell the leader.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicProtocol {
    /// `range`, `cooperative-sticky`, ..
    pub name: Arc<str>,
    /// Opaque to the classic protocol.
    pub metadata: Arc<[u8]>,
    /// `metadata` as a `ConsumerProtocolSubscription`, where it is one; decoded by whoever knows the wire, for groups
    /// whose protocol type is `consumer`.
    pub subscription: Option<Arc<Subscription>>,
}

/// What a consumer of the classic protocol subscribes to and owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Version of its encoding; an assignment is answered in the same.
    pub version: i16,
    /// Topics, in the client's order.
    pub topics: Vec<Arc<str>>,
    /// What it says it owns (version 1).
    pub owned: BTreeMap<Arc<str>, Vec<PartitionIndex>>,
    /// Generation in which it owned that (version 2); -1 for none.
    pub generation: i32,
    /// `client.rack` (version 3).
    pub rack_id: Option<Arc<str>>,
    /// Bytes for the assignor.
    pub user_data: Option<Arc<[u8]>>,
}

/// What SyncGroup gives to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberAssignment {
    /// Bytes that the leader made.
    Opaque(Arc<[u8]>),
    /// Partitions that the coordinator gave to a classic member of a consumer group; to be encoded as a
    /// `ConsumerProtocolAssignment` of this version.
    Partitions {
        /// Version to encode.
        version: i16,
        /// By topic name.
        partitions: BTreeMap<Arc<str>, Vec<PartitionIndex>>,
    },
}
