//! Who decides.

use std::fmt;

use highwater_types::{DirectoryId, NodeId};

/// A node together with its metadata directory.
///
/// A node whose disk was replaced is another replica: it may have forgotten what it voted for (KIP-853).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The node.
    pub id: NodeId,
    /// Its metadata directory; `None` if it is not known, as in quorums whose voters are fixed by configuration.
    pub directory: Option<DirectoryId>,
}

impl ReplicaKey {
    /// Whether both may be the same replica: an unknown directory may be any.
    #[must_use]
    pub fn matches(self, other: Self) -> bool {
        let same = |(a, b)| a == b;
        self.id == other.id && self.directory.zip(other.directory).is_none_or(same)
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directory {
            Some(directory) => write!(f, "{}@{directory}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// The nodes whose majority elects and commits. Never changes while a node runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet(Vec<ReplicaKey>);

impl VoterSet {
    /// A set of voters, in the order of their ids. Of several with the same id, the first one counts.
    #[must_use]
    pub fn new(mut voters: Vec<ReplicaKey>) -> Self {
        voters.sort_by_key(|voter| voter.id);
        voters.dedup_by_key(|voter| voter.id);
        Self(voters)
    }

    /// Whether this replica decides.
    #[must_use]
    pub fn contains(&self, replica: ReplicaKey) -> bool {
        self.0.iter().any(|voter| voter.matches(replica))
    }

    /// Whether there are votes enough.
    #[must_use]
    pub fn is_majority(&self, votes: usize) -> bool {
        self.0.len() / 2 < votes
    }

    /// The voters, by id.
    pub fn iter(&self) -> impl Iterator<Item = ReplicaKey> {
        self.0.iter().copied()
    }

    /// Number of voters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, so that nothing can be decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::Uuid;

    fn key(id: u32, directory: Option<u8>) -> ReplicaKey {
        let directory = directory.map(|byte| DirectoryId(Uuid::from_bytes([byte; 16])));
        ReplicaKey { id: NodeId::new(id), directory }
    }

    #[test]
    fn a_replaced_disk_is_another_replica() {
        let voters = VoterSet::new(vec![key(2, Some(9)), key(1, Some(8))]);
        assert!(voters.contains(key(1, Some(8))) && voters.contains(key(1, None)));
        assert!(!voters.contains(key(1, Some(9))) && !voters.contains(key(3, None)));
    }

    #[test]
    fn more_than_half_is_a_majority() {
        for (count, least) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let voters = VoterSet::new((0..count).map(|id| key(id, None)).collect());
            assert!(voters.is_majority(least) && !voters.is_majority(least - 1), "{count}");
        }
        assert!(!VoterSet::default().is_majority(0), "nobody decides nothing");
    }
}
