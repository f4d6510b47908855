//! Elections that somebody asks for, and those that happen from time to time (KIP-460).

use super::{Controller, Decision, Election, RECORDS_PER_BATCH_MAX, partition_index::PartitionKey};
use crate::{ApiError, record::MetadataRecord};
use highwater_types::{ErrorCode, NodeId, PartitionIndex, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// Most leaderships that one balancing pass moves.
pub const BALANCE_PER_PASS_MAX: usize = 1_000;

/// How an election went for a partition that needed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionResult {
    /// Name of the topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// What became of it.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Decides on elections: one result for each partition, in the order of the request. A partition is as on
    /// the wire.
    ///
    /// Codes: `UNKNOWN_TOPIC_OR_PARTITION`; `ELECTION_NOT_NEEDED` if the preferred replica leads, or, where
    /// an unclean election was asked for, if there is a leader; `PREFERRED_LEADER_NOT_AVAILABLE` and
    /// `ELIGIBLE_LEADERS_NOT_AVAILABLE` if the election would not give what was asked for.
    pub fn elect_leaders(
        &self,
        election: Election,
        partitions: &[(String, i32)],
    ) -> Decision<Vec<Result<(), ApiError>>> {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let mut results = Vec::with_capacity(partitions.len());
        for (name, index) in partitions {
            let result = if seen.insert((name, index)) {
                self.elect_leader(election, name, *index)
            } else {
                Err(ApiError::new(ErrorCode::ElectionNotNeeded, "The partition is given more than once."))
            };
            results.push(result.map(|record| records.push(record)));
        }
        Decision::new(records, results)
    }

    /// Decides on elections for all partitions: one result for each that needs one.
    pub fn elect_all_leaders(&self, election: Election) -> Decision<Vec<ElectionResult>> {
        let imbalanced = self.index.imbalanced().filter(|_| election == Election::Preferred);
        let mut records = Vec::new();
        let mut results = Vec::new();
        for (topic_id, partition) in self.index.leaderless().chain(imbalanced) {
            let Some(topic) = self.image.topic_by_id(topic_id) else { continue };
            let result = self.elect_leader(election, topic.name().as_str(), partition.to_wire());
            let result = result.map(|record| records.push(record));
            results.push(ElectionResult { topic: topic.name().clone(), partition, result });
        }
        Decision::new(records, results)
    }

    /// Decides on giving leaderships back to preferred replicas, [`BALANCE_PER_PASS_MAX`] at most; to be
    /// asked every `leader.imbalance.check.interval.seconds`. The response says whether there may be more.
    ///
    /// A broker gets its leaderships back when others hold more than `imbalance_percentage_max` percent of those
    /// that it is preferred for. Kafka until version 3 calls this `leader.imbalance.per.broker.percentage`; Kafka 4
    /// tolerates none, as with 0.
    pub fn balance_leaders(&self, imbalance_percentage_max: u8) -> Decision<bool> {
        let imbalanced: Vec<PartitionKey> = if imbalance_percentage_max == 0 {
            self.index.imbalanced().collect()
        } else {
            self.imbalanced_beyond(imbalance_percentage_max)
        };
        at_most(BALANCE_PER_PASS_MAX, self.change_all(imbalanced, |target| target.election = Election::Preferred))
    }

    /// Decides on leaders for partitions without one, unclean where the topic's configuration allows it; to
    /// be asked every `unclean.leader.election.interval.ms`. The response says whether there may be more.
    pub fn elect_leaderless(&self) -> Decision<bool> {
        at_most(RECORDS_PER_BATCH_MAX, self.change_all(self.index.leaderless(), |_| ()))
    }

    /// The partitions that are not led by their preferred replica, where this is so for more than that many percent
    /// of the ones that the same replica is preferred for.
    fn imbalanced_beyond(&self, percentage_max: u8) -> Vec<PartitionKey> {
        let preferred = |key: PartitionKey| self.partition(key)?.replicas.first().copied();
        let mut by_preferred: BTreeMap<NodeId, Vec<PartitionKey>> = BTreeMap::new();
        for key in self.index.imbalanced() {
            if let Some(node) = preferred(key) {
                by_preferred.entry(node).or_default().push(key);
            }
        }
        by_preferred.retain(|node, imbalanced| {
            let all = self.index.of_broker(*node).filter(|key| preferred(*key) == Some(*node)).count();
            all * usize::from(percentage_max) < imbalanced.len() * 100
        });
        by_preferred.into_values().flatten().collect()
    }

    fn elect_leader(&self, election: Election, name: &str, index: i32) -> Result<MetadataRecord, ApiError> {
        let unknown = |why: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, why);
        let topic = self.image.topic(name).ok_or_else(|| unknown(format!("No such topic as {name}")))?;
        let found =
            PartitionIndex::from_wire(index).and_then(|index| Some(((topic.id(), index), topic.partition(index)?)));
        let (key, old) = found.ok_or_else(|| unknown(format!("No such partition as {name}-{index}")))?;
        let preferred = old.replicas.first().copied();
        let not_needed = match election {
            Election::Preferred => old.leader.is_some() && old.leader == preferred,
            Election::Online | Election::Unclean => old.leader.is_some(),
        };
        if not_needed {
            return Err(ApiError::new(ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition."));
        }
        let record = self.change_all([key], |target| target.election = election).pop();
        let leader = match &record {
            Some(MetadataRecord::PartitionChange(change)) => change.leader.flatten(),
            _ => None,
        };
        match (election, record) {
            (Election::Preferred, Some(record)) if leader.is_some() && leader == preferred => Ok(record),
            (Election::Preferred, _) => {
                Err(ApiError::new(ErrorCode::PreferredLeaderNotAvailable, "The preferred leader was not available."))
            }
            (_, Some(record)) if leader.is_some() => Ok(record),
            _ => Err(ApiError::new(
                ErrorCode::EligibleLeadersNotAvailable,
                "Eligible topic partition leaders are not available.",
            )),
        }
    }
}

fn at_most(records_max: usize, mut records: Vec<MetadataRecord>) -> Decision<bool> {
    let more = records_max < records.len();
    records.truncate(records_max);
    Decision::new(records, more)
}
