//! Who has replicas, and who leads.

use std::collections::BTreeMap;

use highwater_types::{ErrorCode, NodeId, TopicName, TopicPartition};
use highwater_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use highwater_wire::messages::elect_leaders_request::TopicPartitions;
use highwater_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::offsets::place;
use super::{Admin, Each};
use crate::ClientError;
use crate::error::check;
use crate::pending::Pending;

/// A partition whose replicas are on the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The partition.
    pub at: TopicPartition,
    /// Who has a replica now, or is getting one.
    pub replicas: Vec<NodeId>,
    /// Who is getting one.
    pub adding: Vec<NodeId>,
    /// Who will have none.
    pub removing: Vec<NodeId>,
}

/// Who may be elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first replica, if it is in sync.
    Preferred,
    /// A replica that is not in sync, if nobody who is can lead. Records may be lost.
    Unclean,
}

/// What came of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// There is another leader.
    Elected,
    /// There was nothing to change.
    NotNeeded,
}

impl Admin {
    /// Moves replicas to other brokers, the preferred leader first; `None` takes back a move that is under way. Does not
    /// wait until they are there.
    pub fn alter_reassignments(
        &self,
        moves: impl IntoIterator<Item = (TopicPartition, Option<Vec<NodeId>>)>,
    ) -> Pending<Each<TopicPartition, ()>> {
        let moves: BTreeMap<TopicPartition, Option<Vec<NodeId>>> = moves.into_iter().collect();
        let timeout_ms = self.timeout_ms();
        self.call("moving replicas", move |io, deadline| async move {
            let mut topics: BTreeMap<&TopicName, Vec<ReassignablePartition<'_>>> = BTreeMap::new();
            for (at, replicas) in &moves {
                let replicas = replicas.as_ref().map(|ids| ids.iter().map(|id| id.to_wire()).collect());
                let partition =
                    ReassignablePartition { partition_index: at.partition.to_wire(), replicas, ..Default::default() };
                topics.entry(&at.topic).or_default().push(partition);
            }
            let topic = |(name, partitions): (&'_ TopicName, Vec<_>)| ReassignableTopic {
                name: name.as_str().to_owned().into(),
                partitions: partitions.into(),
                ..Default::default()
            };
            let request = AlterPartitionReassignmentsRequest {
                timeout_ms,
                topics: topics.into_iter().map(topic).collect(),
                ..AlterPartitionReassignmentsRequest::default()
            };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: AlterPartitionReassignmentsResponse<'_> = answer.decode()?;
            check(response.error_code, response.error_message.as_deref())?;
            let mut found = BTreeMap::new();
            for topic in &response.responses {
                for partition in &topic.partitions {
                    if let Some(at) = place(&topic.name, partition.partition_index) {
                        found.insert(at, check(partition.error_code, partition.error_message.as_deref()));
                    }
                }
            }
            let missing = || Err(ClientError::of(ErrorCode::UnknownTopicOrPartition));
            let results = moves.into_keys().map(|at| {
                let result = found.remove(&at).unwrap_or_else(missing);
                (at, result)
            });
            Ok(Each::new(results.collect()))
        })
    }

    /// Every partition whose replicas are on the move.
    pub fn list_reassignments(&self) -> Pending<Vec<Reassignment>> {
        let timeout_ms = self.timeout_ms();
        self.call("listing moves", move |io, deadline| async move {
            let request = ListPartitionReassignmentsRequest { timeout_ms, topics: None, ..Default::default() };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: ListPartitionReassignmentsResponse<'_> = answer.decode()?;
            check(response.error_code, response.error_message.as_deref())?;
            let nodes = |ids: &highwater_wire::Array<'_, i32>| ids.iter().filter_map(NodeId::from_wire).collect();
            let mut moves = Vec::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let Some(at) = place(&topic.name, partition.partition_index) else { continue };
                    moves.push(Reassignment {
                        at,
                        replicas: nodes(&partition.replicas),
                        adding: nodes(&partition.adding_replicas),
                        removing: nodes(&partition.removing_replicas),
                    });
                }
            }
            moves.sort_by(|one, other| one.at.cmp(&other.at));
            Ok(moves)
        })
    }

    /// Elects leaders for some partitions; `None` for all that there are.
    pub fn elect_leaders(
        &self,
        kind: ElectionKind,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Pending<Each<TopicPartition, Election>> {
        let timeout_ms = self.timeout_ms();
        self.call("electing leaders", move |io, deadline| async move {
            let wanted = partitions.as_ref().map(|partitions| {
                let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
                partitions.iter().for_each(|at| topics.entry(&at.topic).or_default().push(at.partition.to_wire()));
                let topic = |(name, partitions): (&'_ TopicName, Vec<i32>)| TopicPartitions {
                    topic: name.as_str().to_owned().into(),
                    partitions: partitions.into(),
                    ..Default::default()
                };
                topics.into_iter().map(topic).collect()
            });
            let request = ElectLeadersRequest {
                election_type: i8::from(kind == ElectionKind::Unclean),
                topic_partitions: wanted,
                timeout_ms,
                ..ElectLeadersRequest::default()
            };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: ElectLeadersResponse<'_> = answer.decode()?;
            check(response.error_code, None)?;
            let mut results = Vec::new();
            for topic in &response.replica_election_results {
                for partition in &topic.partition_result {
                    let Some(at) = place(&topic.topic, partition.partition_id) else { continue };
                    let result = match check(partition.error_code, partition.error_message.as_deref()) {
                        Ok(()) => Ok(Election::Elected),
                        Err(ClientError::Broker { code: ErrorCode::ElectionNotNeeded, .. }) => Ok(Election::NotNeeded),
                        Err(error) => Err(error),
                    };
                    results.push((at, result));
                }
            }
            results.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(Each::new(results))
        })
    }
}
