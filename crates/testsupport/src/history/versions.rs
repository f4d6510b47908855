//! In which order the values of each partition are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Anomaly, Key, Op, Outcome};

/// What was seen of one partition, by anybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    offsets: BTreeMap<u64, BTreeSet<u64>>,
    /// By value, the ranks of its offsets: holes, such as the markers of transactions, do not count.
    ranks: BTreeMap<u64, BTreeSet<usize>>,
}

impl Versions {
    /// The ranks of a value that was seen.
    pub(super) fn ranks(&self, value: u64) -> Option<&BTreeSet<usize>> {
        self.ranks.get(&value)
    }

    /// The first rank of a value that was seen.
    pub(super) fn rank(&self, value: u64) -> Option<usize> {
        self.ranks(value)?.first().copied()
    }

    pub(super) fn anomalies(&self, key: &Key) -> Vec<Anomaly> {
        let several = self.offsets.iter().filter(|(_, values)| 1 < values.len());
        let inconsistent = several.map(|(offset, values)| Anomaly::InconsistentOffset {
            key: key.clone(),
            offset: *offset,
            values: values.iter().copied().collect(),
        });
        let duplicates = self.ranks.iter().filter(|(_, ranks)| 1 < ranks.len()).map(|(value, _)| Anomaly::Duplicate {
            key: key.clone(),
            value: *value,
            offsets: self.offsets.iter().filter(|(_, values)| values.contains(value)).map(|(at, _)| *at).collect(),
        });
        inconsistent.chain(duplicates).collect()
    }
}

/// The order of each partition, from all offsets that anybody was told.
pub(super) fn versions(history: &[Op]) -> BTreeMap<Key, Versions> {
    let mut all: BTreeMap<Key, Versions> = BTreeMap::new();
    let mut see = |key: &Key, offset: u64, value: u64| {
        all.entry(key.clone()).or_default().offsets.entry(offset).or_default().insert(value);
    };
    for op in history.iter().filter(|op| op.outcome != Outcome::Fail) {
        for (key, value, offset) in op.sends() {
            if let Some(offset) = offset {
                see(key, offset, value);
            }
        }
        op.reads().for_each(|(key, offset, value)| see(key, offset, value));
    }
    for versions in all.values_mut() {
        for (rank, values) in versions.offsets.values().enumerate() {
            for value in values {
                versions.ranks.entry(*value).or_default().insert(rank);
            }
        }
    }
    all
}
