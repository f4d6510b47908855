//! Which replicas of a topic are throttled.

use super::items;
use highwater_types::{NodeId, PartitionIndex};

/// The value of `leader.replication.throttled.replicas` or `follower.replication.throttled.replicas` (KIP-73).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// None is.
    #[default]
    None,
    /// All are: `*`.
    All,
    /// These are, each a partition and a broker.
    Some(Vec<(PartitionIndex, NodeId)>),
}

impl ThrottledReplicas {
    /// Reads the text form; what is no `partition:broker` is passed over.
    pub(super) fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::All;
        }
        let replica = |item: &str| {
            let (partition, broker) = item.split_once(':')?;
            let partition = partition.trim().parse().ok().and_then(PartitionIndex::from_wire)?;
            Some((partition, broker.trim().parse().ok().and_then(NodeId::from_wire)?))
        };
        let replicas: Vec<_> = items(text).filter_map(replica).collect();
        if replicas.is_empty() { Self::None } else { Self::Some(replicas) }
    }

    /// Whether the replica of `partition` on `broker` is one of them.
    #[must_use]
    pub fn contains(&self, partition: PartitionIndex, broker: NodeId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ThrottledReplicas;
    use highwater_types::{NodeId, PartitionIndex};

    #[test]
    fn replicas_are_named_by_partition_and_broker() {
        let contains = |text: &str, partition: u32, broker: u32| {
            ThrottledReplicas::parse(text).contains(PartitionIndex::new(partition), NodeId::new(broker))
        };
        assert!(contains("*", 7, 9));
        assert!(contains("0:1, 1:2", 1, 2) && contains("0:1,1:2", 0, 1));
        assert!(!contains("0:1,1:2", 0, 2) && !contains("", 0, 1) && !contains("-1:1", 0, 1));
        assert_eq!(ThrottledReplicas::parse(""), ThrottledReplicas::None);
        assert_eq!(ThrottledReplicas::parse("x"), ThrottledReplicas::None);
    }
}
