//! What must hold, as seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use highwater_consumer::{Records, RevocationId};
use highwater_types::TopicPartition;

#[derive(Default)]
pub(crate) struct Judge {
    /// Offsets that applications are to see, by partition.
    pub(crate) visible: BTreeMap<TopicPartition, BTreeSet<u64>>,
    /// Those that somebody has seen.
    given: BTreeMap<TopicPartition, BTreeSet<u64>>,
    /// What members were told is theirs, and the last offset that each has seen of it.
    owned: BTreeMap<(u64, TopicPartition), Option<u64>>,
    pub(crate) commits: u64,
    /// Whether nobody is ever cut off, so that no two members may have a partition at once.
    pub(crate) is_calm: bool,
}

impl Judge {
    pub(crate) fn assigned(&mut self, member: u64, partitions: &[TopicPartition]) {
        for partition in partitions {
            let other = self.owned.keys().find(|(_, owned)| self.is_calm && owned == partition);
            assert_eq!(other, None, "{member} gets {partition} that somebody has");
            let before = self.owned.insert((member, partition.clone()), None);
            assert!(before.is_none(), "{member} gets {partition} that it has");
        }
    }

    pub(crate) fn gone(&mut self, member: u64, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.owned.remove(&(member, partition.clone()));
        }
    }

    pub(crate) fn revoking(&mut self, member: u64, id: RevocationId, partitions: &[TopicPartition]) {
        for partition in partitions {
            let had = self.owned.remove(&(member, partition.clone()));
            assert!(had.is_some(), "{member} gives back {partition} in {id:?}, which it has not");
        }
    }

    /// A process is no more.
    pub(crate) fn died(&mut self, member: u64) {
        self.owned.retain(|(other, _), _| *other != member);
    }

    pub(crate) fn records(&mut self, member: u64, records: &Records) {
        for record in records {
            let (partition, offset) = (record.partition().clone(), record.offset().value());
            let visible = &self.visible[&partition];
            assert!(visible.contains(&offset), "{partition} {offset} is not for applications");
            assert_eq!(record.value(), Some(format!("v{offset}").as_bytes()));
            let given = self.given.entry(partition.clone()).or_default();
            let last = self.owned.get_mut(&(member, partition.clone()));
            let last = last.unwrap_or_else(|| panic!("{member} sees {partition}, which is not its own"));
            match *last {
                Some(last) => {
                    let next = visible.range(last + 1..).next();
                    assert_eq!(next, Some(&offset), "{member} sees {partition} out of order after {last}");
                }
                None => {
                    let missed = visible.range(..offset).find(|before| !given.contains(before));
                    assert_eq!(missed, None, "{member} begins {partition} at {offset}");
                }
            }
            *last = Some(offset);
            given.insert(offset);
        }
    }

    pub(crate) fn committed(&mut self, partition: &TopicPartition, offset: u64) {
        self.commits += 1;
        let given = self.given.entry(partition.clone()).or_default();
        let missed = self.visible[partition].range(..offset).find(|before| !given.contains(before));
        assert_eq!(missed, None, "{offset} is committed for {partition}");
    }

    /// In the end each partition is one member's.
    pub(crate) fn check_shared(&self, partitions: usize) {
        let owned: BTreeSet<&TopicPartition> = self.owned.keys().map(|(_, partition)| partition).collect();
        assert_eq!((owned.len(), self.owned.len()), (partitions, partitions), "{:?}", self.owned);
    }

    /// How many records nobody has seen.
    pub(crate) fn unseen(&self) -> usize {
        let seen = |partition| self.given.get(partition).map_or(0, BTreeSet::len);
        self.visible.iter().map(|(partition, visible)| visible.len() - seen(partition)).sum()
    }
}
