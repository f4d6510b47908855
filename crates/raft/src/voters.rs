//! Who decides.

use highwater_types::NodeId;

use crate::{ReplicaKey, Voter};

/// The nodes whose majority elects and commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet(Vec<Voter>);

impl VoterSet {
    /// A set of voters of which only the keys are known, in the order of their ids. Of several with the same id, the
    /// first one counts.
    #[must_use]
    pub fn new(voters: Vec<ReplicaKey>) -> Self {
        Self::of(voters.into_iter().map(Voter::from).collect())
    }

    /// A set of voters as a VotersRecord has them, in the order of their ids. Of several with the same id, the first
    /// one counts.
    #[must_use]
    pub fn of(mut voters: Vec<Voter>) -> Self {
        voters.sort_by_key(|voter| voter.key.id);
        voters.dedup_by_key(|voter| voter.key.id);
        Self(voters)
    }

    /// Whether this replica decides.
    #[must_use]
    pub fn contains(&self, replica: ReplicaKey) -> bool {
        self.0.iter().any(|voter| voter.key.covers(replica))
    }

    /// The voter with this id, with whichever directory.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&Voter> {
        self.0.iter().find(|voter| voter.key.id == id)
    }

    /// Whether there are votes enough.
    #[must_use]
    pub fn is_majority(&self, votes: usize) -> bool {
        self.0.len() / 2 < votes
    }

    /// The voters' keys, by id.
    pub fn iter(&self) -> impl Iterator<Item = ReplicaKey> {
        self.0.iter().map(|voter| voter.key)
    }

    /// The voters, by id.
    #[must_use]
    pub fn as_slice(&self) -> &[Voter] {
        &self.0
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

    /// The set with one voter more; `None` if there is one with its id.
    pub(crate) fn with(&self, voter: Voter) -> Option<Self> {
        let is_new = self.get(voter.key.id).is_none();
        is_new.then(|| Self::of(self.0.iter().cloned().chain([voter]).collect()))
    }

    /// The set without this voter; `None` if it is not there with this directory.
    pub(crate) fn without(&self, key: ReplicaKey) -> Option<Self> {
        let rest: Vec<Voter> = self.0.iter().filter(|voter| voter.key != key).cloned().collect();
        (rest.len() < self.0.len()).then_some(Self(rest))
    }

    /// The set with this description of a voter; `None` if it is not there with this directory.
    pub(crate) fn updated(&self, voter: &Voter) -> Option<Self> {
        let mut voters = self.clone();
        *voters.0.iter_mut().find(|known| known.key == voter.key)? = voter.clone();
        Some(voters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use highwater_types::{DirectoryId, Uuid};

    fn key(id: u32, directory: Option<u8>) -> ReplicaKey {
        let directory = directory.map(|byte| DirectoryId(Uuid::from_bytes([byte; 16])));
        ReplicaKey { id: NodeId::new(id), directory }
    }

    #[test]
    fn a_replaced_disk_is_another_replica() {
        let voters = VoterSet::new(vec![key(2, Some(9)), key(1, Some(8)), key(3, None)]);
        assert!(voters.contains(key(1, Some(8))));
        assert!(!voters.contains(key(1, Some(9))) && !voters.contains(key(4, None)));
        assert!(!voters.contains(key(1, None)), "it may be one with another disk");
        assert!(voters.contains(key(3, None)) && voters.contains(key(3, Some(7))), "its disk was never known");
    }

    #[test]
    fn more_than_half_is_a_majority() {
        for (count, least) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let voters = VoterSet::new((0..count).map(|id| key(id, None)).collect());
            assert!(voters.is_majority(least) && !voters.is_majority(least - 1), "{count}");
        }
        assert!(!VoterSet::default().is_majority(0), "nobody decides nothing");
    }

    #[test]
    fn sets_change_by_one_replica() {
        let voters = VoterSet::new(vec![key(1, Some(1)), key(3, Some(3))]);
        let more = voters.with(key(2, Some(2)).into()).expect("nobody has this id");
        assert_eq!(more.iter().map(|key| key.id.value()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(more.with(key(2, Some(9)).into()), None, "an id decides once");
        assert_eq!(more.without(key(2, Some(9))), None, "that is another disk");
        assert_eq!(more.without(key(2, Some(2))), Some(voters));

        let endpoint = Endpoint { listener: "CONTROLLER".into(), host: "c2".into(), port: 9093 };
        let moved = Voter { endpoints: vec![endpoint], ..key(2, Some(2)).into() };
        let updated = more.updated(&moved).expect("it is there");
        assert_eq!(updated.get(NodeId::new(2)), Some(&moved));
        assert_eq!(more.updated(&key(2, None).into()), None, "that is another disk, or none");
    }
}
