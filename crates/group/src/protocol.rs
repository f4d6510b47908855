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

/// The partitions in a `ConsumerProtocolAssignment`, whose versions all begin alike: version, then for each topic its
/// name and its partitions, numbers big-endian, lengths in front. `None` if the bytes are none.
///
/// The one encoding that this crate knows: what a leader gave its members, which stays theirs when the group becomes a
/// consumer group.
pub(crate) fn assigned_partitions(bytes: &[u8]) -> Option<Vec<(Arc<str>, PartitionIndex)>> {
    let mut rest = bytes;
    let _version: [u8; 2] = take(&mut rest)?;
    let topics = i32::from_be_bytes(take(&mut rest)?);
    let mut assigned = Vec::new();
    for _ in 0..topics {
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let name: Arc<str> = Arc::from(std::str::from_utf8(name).ok()?);
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            let partition = PartitionIndex::from_wire(i32::from_be_bytes(take(&mut rest)?))?;
            assigned.push((Arc::clone(&name), partition));
        }
    }
    Some(assigned)
}

/// The other way round, in version 0, without user data.
pub(crate) fn encode_assigned(partitions: &BTreeMap<Arc<str>, Vec<PartitionIndex>>) -> Arc<[u8]> {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![0, 0];
    bytes.extend(count(partitions.len()));
    for (topic, partitions) in partitions {
        // Names of topics have at most 249 bytes.
        bytes.extend(u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend(count(partitions.len()));
        partitions.iter().for_each(|partition| bytes.extend(partition.to_wire().to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    Arc::from(bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_up_to_its_user_data_and_never_beyond_its_end() {
        let bytes = b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x05\x00\x01b\x00\x00\x00\x00\xff\xff\xff\xff";
        let a: Arc<str> = Arc::from("a");
        let expected = vec![(Arc::clone(&a), PartitionIndex::new(0)), (a, PartitionIndex::new(5))];
        assert_eq!(assigned_partitions(bytes), Some(expected));
        let names = [("a", vec![PartitionIndex::new(0), PartitionIndex::new(5)]), ("b", Vec::new())];
        let encoded = encode_assigned(&names.into_iter().map(|(name, list)| (Arc::from(name), list)).collect());
        assert_eq!(encoded[2..], bytes[2..], "all but the version");
        for length in 0..bytes.len() - 4 {
            assert_eq!(assigned_partitions(&bytes[..length]), None, "cut to {length} bytes");
        }
        assert_eq!(assigned_partitions(b"\x00\x00\x7f\xff\xff\xff"), None);
        assert_eq!(assigned_partitions(b"\x00\x00\x00\x00\x00\x00"), Some(Vec::new()));
    }
}
