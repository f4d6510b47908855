//! What is in the batches, as far as it is about who decides.

use std::collections::BTreeMap;

use highwater_raft::{Content, Control, ControlRecord, Membership, VoterSet};

use super::disk::Batch;

/// What was written of the voters.
#[derive(Debug)]
pub(super) struct Book {
    /// What the first voters start with.
    first: Membership,
    /// The control records of each batch that has some, by its value, with their place in it.
    records: BTreeMap<u64, Vec<(u64, ControlRecord)>>,
}

impl Book {
    pub(super) fn new(first: Membership) -> Self {
        Self { first, records: BTreeMap::new() }
    }

    /// What the bootstrap checkpoint says.
    pub(super) fn first(&self) -> &Membership {
        &self.first
    }

    /// Notes what a batch says.
    pub(super) fn write(&mut self, value: u64, content: &Content) {
        let records = match content {
            Content::FirstLeaderChange { kraft_version, voter_set, .. } => {
                vec![(1, ControlRecord::KRaftVersion(*kraft_version)), (2, ControlRecord::Voters(voter_set.clone()))]
            }
            Content::Raised { kraft_version, voter_set } => {
                vec![(0, ControlRecord::KRaftVersion(*kraft_version)), (1, ControlRecord::Voters(voter_set.clone()))]
            }
            Content::Voters(voters) => vec![(0, ControlRecord::Voters(voters.clone()))],
            Content::LeaderChange { .. } | Content::Batch { .. } => return,
        };
        self.records.insert(value, records);
    }

    /// The control records in these batches.
    pub(super) fn controls(&self, batches: &[Batch]) -> Vec<Control> {
        let of = |batch: &Batch| {
            let base = batch.base;
            let records = self.records.get(&batch.value).into_iter().flatten();
            records.map(move |(place, record)| Control { offset: base.plus(*place), record: record.clone() })
        };
        batches.iter().flat_map(of).collect()
    }

    /// What counts after these batches, with which the log begins.
    pub(super) fn membership(&self, batches: &[Batch]) -> Membership {
        let mut membership = self.first.clone();
        for Control { record, .. } in self.controls(batches) {
            match record {
                ControlRecord::KRaftVersion(version) => membership.kraft_version = version,
                ControlRecord::Voters(voters) => membership.voters = voters,
            }
        }
        membership
    }

    /// The last of these batches that says who decides.
    pub(super) fn last_change(&self, batches: &[Batch]) -> Option<Batch> {
        batches.iter().rfind(|batch| self.records.contains_key(&batch.value)).copied()
    }
}

/// How many replicas are in one set and not in the other.
pub(super) fn difference(before: &VoterSet, after: &VoterSet) -> usize {
    let lacks =
        |one: &VoterSet, other: &VoterSet| one.iter().filter(|key| !other.iter().any(|same| same == *key)).count();
    lacks(before, after) + lacks(after, before)
}
