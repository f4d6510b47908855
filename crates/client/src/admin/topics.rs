//! Topics and their records.

use std::collections::BTreeMap;

use highwater_types::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicPartition};
use highwater_wire::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use highwater_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use highwater_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use highwater_wire::messages::delete_topics_request::DeleteTopicState;
use highwater_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, MetadataResponse,
};

use super::{Admin, Each};
use crate::error::check;
use crate::pending::Pending;

/// A topic to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the cluster's `num.partitions`.
    pub partitions: Option<u32>,
    /// How many replicas of each; `None` for the cluster's `default.replication.factor`.
    pub replication_factor: Option<u16>,
    /// Replicas of each partition, the preferred leader first. Instead of the two above.
    pub assignment: Vec<Vec<NodeId>>,
    /// Configs of its own.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic as the cluster makes them by default.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With that many partitions.
    #[must_use]
    pub fn partitions(self, partitions: u32) -> Self {
        Self { partitions: Some(partitions), ..self }
    }

    /// With that many replicas of each partition.
    #[must_use]
    pub fn replication_factor(self, replication_factor: u16) -> Self {
        Self { replication_factor: Some(replication_factor), ..self }
    }

    /// With a config of its own.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((key.into(), value.into()));
        self
    }
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListing {
    /// Its name.
    pub name: String,
    /// Its id; `None` from brokers that know none.
    pub id: Option<TopicId>,
    /// Whether it belongs to the brokers.
    pub is_internal: bool,
    /// How many partitions it has.
    pub partitions: usize,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id; `None` from brokers that know none.
    pub id: Option<TopicId>,
    /// Whether it belongs to the brokers.
    pub is_internal: bool,
    /// Its partitions, in order of their numbers.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub index: PartitionIndex,
    /// Who leads it, if anybody does.
    pub leader: Option<NodeId>,
    /// In which epoch, if the broker says.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Who has a replica, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Who is in sync.
    pub isr: Vec<NodeId>,
    /// Whose replica is offline.
    pub offline: Vec<NodeId>,
}

impl Admin {
    /// Every topic, by name.
    pub fn list_topics(&self) -> Pending<Vec<TopicListing>> {
        self.call("listing the topics", |io, deadline| async move {
            let answer = io.metadata(None::<std::iter::Empty<&str>>, false, deadline).await?;
            let response: MetadataResponse<'_> = answer.decode()?;
            let listing =
                |topic: highwater_wire::messages::metadata_response::MetadataResponseTopic<'_>| TopicListing {
                    name: topic.name.as_deref().unwrap_or_default().to_owned(),
                    id: Some(TopicId(topic.topic_id)).filter(|id| !id.0.is_zero()),
                    is_internal: topic.is_internal,
                    partitions: topic.partitions.len(),
                };
            let mut topics: Vec<TopicListing> = response.topics.iter().map(listing).collect();
            topics.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(topics)
        })
    }

    /// Some topics with their partitions.
    pub fn describe_topics(
        &self,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Pending<Each<String, TopicDescription>> {
        let names: Vec<String> = topics.into_iter().map(Into::into).collect();
        self.call("describing topics", |io, deadline| async move {
            let answer = io.metadata(Some(names.iter().map(String::as_str)), false, deadline).await?;
            let response: MetadataResponse<'_> = answer.decode()?;
            let mut found: BTreeMap<String, _> = BTreeMap::new();
            for topic in &response.topics {
                let name = topic.name.as_deref().unwrap_or_default().to_owned();
                let described = check(topic.error_code, None).map(|()| TopicDescription {
                    name: name.clone(),
                    id: Some(TopicId(topic.topic_id)).filter(|id| !id.0.is_zero()),
                    is_internal: topic.is_internal,
                    partitions: partitions(&topic),
                });
                found.insert(name, described);
            }
            let missing = || Err(answer.lacks("a topic"));
            Ok(Each::new(
                names
                    .into_iter()
                    .map(|name| {
                        let described = found.get(&name).cloned().unwrap_or_else(missing);
                        (name, described)
                    })
                    .collect(),
            ))
        })
    }

    /// Makes topics, or only checks whether they could be made. Tells the id of each.
    pub fn create_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
        validate_only: bool,
    ) -> Pending<Each<String, TopicId>> {
        let topics: Vec<NewTopic> = topics.into_iter().collect();
        let timeout_ms = self.timeout_ms();
        self.call("creating topics", move |io, deadline| async move {
            let request = CreateTopicsRequest {
                topics: topics.iter().map(creatable).collect(),
                timeout_ms,
                validate_only,
                ..CreateTopicsRequest::default()
            };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: CreateTopicsResponse<'_> = answer.decode()?;
            let mut found: BTreeMap<String, _> = BTreeMap::new();
            for topic in &response.topics {
                let created = check(topic.error_code, topic.error_message.as_deref()).map(|()| TopicId(topic.topic_id));
                found.insert(topic.name.into_owned(), created);
            }
            let missing = || Err(answer.lacks("a topic"));
            Ok(Each::new(
                topics
                    .into_iter()
                    .map(|topic| {
                        let created = found.get(&topic.name).cloned().unwrap_or_else(missing);
                        (topic.name, created)
                    })
                    .collect(),
            ))
        })
    }

    /// Deletes topics with all their records.
    pub fn delete_topics(&self, topics: impl IntoIterator<Item = impl Into<String>>) -> Pending<Each<String, ()>> {
        let names: Vec<String> = topics.into_iter().map(Into::into).collect();
        let timeout_ms = self.timeout_ms();
        self.call("deleting topics", move |io, deadline| async move {
            let link = io.any_link(crate::io::Lane::default(), deadline).await?;
            let version = io.version(link, highwater_wire::ApiKey::DeleteTopics, i16::MAX)?;
            let state = |name: &'_ String| DeleteTopicState { name: Some(name.clone().into()), ..Default::default() };
            let mut request = DeleteTopicsRequest { timeout_ms, ..DeleteTopicsRequest::default() };
            if version < DELETE_BY_STATE {
                request.topic_names = names.iter().map(|name| name.as_str().into()).collect();
            } else {
                request.topics = names.iter().map(state).collect();
            }
            let answer = io.ask(link, version, io.request_deadline(deadline), &request).await?;
            let response: DeleteTopicsResponse<'_> = answer.decode()?;
            let mut found: BTreeMap<String, _> = BTreeMap::new();
            for topic in &response.responses {
                let deleted = check(topic.error_code, topic.error_message.as_deref());
                found.insert(topic.name.unwrap_or_default().into_owned(), deleted);
            }
            let missing = || Err(answer.lacks("a topic"));
            Ok(Each::new(
                names
                    .into_iter()
                    .map(|name| {
                        let deleted = found.get(&name).cloned().unwrap_or_else(missing);
                        (name, deleted)
                    })
                    .collect(),
            ))
        })
    }

    /// Gives topics more partitions: `count` is how many they are to have. New ones are placed by the cluster, unless
    /// `assignment` says where.
    pub fn create_partitions(
        &self,
        topics: impl IntoIterator<Item = (impl Into<String>, u32, Option<Vec<Vec<NodeId>>>)>,
        validate_only: bool,
    ) -> Pending<Each<String, ()>> {
        let topics = topics.into_iter().map(|(name, count, assignment)| (name.into(), count, assignment));
        let topics: Vec<(String, u32, _)> = topics.collect();
        let timeout_ms = self.timeout_ms();
        self.call("adding partitions", move |io, deadline| async move {
            let assignment = |replicas: &Vec<NodeId>| CreatePartitionsAssignment {
                broker_ids: replicas.iter().map(|id| id.to_wire()).collect(),
                ..Default::default()
            };
            let wanted = topics.iter().map(|(name, count, placed)| CreatePartitionsTopic {
                name: name.as_str().into(),
                count: i32::try_from(*count).unwrap_or(i32::MAX),
                assignments: placed.as_ref().map(|placed| placed.iter().map(assignment).collect()),
                ..Default::default()
            });
            let request = CreatePartitionsRequest {
                topics: wanted.collect(),
                timeout_ms,
                validate_only,
                ..CreatePartitionsRequest::default()
            };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: CreatePartitionsResponse<'_> = answer.decode()?;
            let mut found: BTreeMap<String, _> = BTreeMap::new();
            for topic in &response.results {
                found.insert(topic.name.into_owned(), check(topic.error_code, topic.error_message.as_deref()));
            }
            let missing = || Err(answer.lacks("a topic"));
            Ok(Each::new(
                topics
                    .into_iter()
                    .map(|(name, ..)| {
                        let added = found.get(&name).cloned().unwrap_or_else(missing);
                        (name, added)
                    })
                    .collect(),
            ))
        })
    }

    /// Deletes the records before an offset, `None` for all that are committed. Tells where each log begins then.
    pub fn delete_records(
        &self,
        before: impl IntoIterator<Item = (TopicPartition, Option<Offset>)>,
    ) -> Pending<Each<TopicPartition, Offset>> {
        let before: BTreeMap<TopicPartition, Option<Offset>> = before.into_iter().collect();
        let timeout_ms = self.timeout_ms();
        self.call("deleting records", move |io, deadline| async move {
            let partitions = before.keys().cloned().collect();
            let before = &before;
            let asked = &io;
            io.per_leader(partitions, deadline, |leader, partitions| async move {
                let mut topics: BTreeMap<&str, Vec<DeleteRecordsPartition<'_>>> = BTreeMap::new();
                for at in &partitions {
                    let offset = before.get(at).copied().flatten().map_or(-1, Offset::to_wire);
                    let partition_index = at.partition.to_wire();
                    let partition = DeleteRecordsPartition { partition_index, offset, ..Default::default() };
                    topics.entry(at.topic.as_str()).or_default().push(partition);
                }
                let topic = |(name, partitions): (&'_ str, Vec<_>)| DeleteRecordsTopic {
                    name: name.to_owned().into(),
                    partitions: partitions.into(),
                    ..Default::default()
                };
                let topics = topics.into_iter().map(topic).collect();
                let request = DeleteRecordsRequest { topics, timeout_ms, ..DeleteRecordsRequest::default() };
                let answer = asked.ask_node(leader, i16::MAX, deadline, &request).await?;
                let response: DeleteRecordsResponse<'_> = answer.decode()?;
                let mut results = Vec::new();
                for topic in &response.topics {
                    for partition in &topic.partitions {
                        let Some(at) = super::offsets::place(&topic.name, partition.partition_index) else { continue };
                        let low = Offset::from_wire(partition.low_watermark).ok_or_else(|| answer.lacks("an offset"));
                        results.push((at, check(partition.error_code, None).and(low)));
                    }
                }
                Ok(results)
            })
            .await
        })
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic<'_> {
    let assignment = |(replicas, index): (&Vec<NodeId>, i32)| CreatableReplicaAssignment {
        partition_index: index,
        broker_ids: replicas.iter().map(|id| id.to_wire()).collect(),
        ..Default::default()
    };
    let config = |(key, value): &'_ (String, String)| CreatableTopicConfig {
        name: key.clone().into(),
        value: Some(value.clone().into()),
        ..Default::default()
    };
    CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: topic.partitions.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX)),
        replication_factor: topic.replication_factor.map_or(-1, |count| i16::try_from(count).unwrap_or(i16::MAX)),
        assignments: topic.assignment.iter().zip(0..).map(assignment).collect(),
        configs: topic.configs.iter().map(config).collect(),
        ..Default::default()
    }
}

fn partitions(
    topic: &highwater_wire::messages::metadata_response::MetadataResponseTopic<'_>,
) -> Vec<PartitionDescription> {
    let nodes = |ids: &highwater_wire::Array<'_, i32>| ids.iter().filter_map(NodeId::from_wire).collect();
    let mut partitions: Vec<PartitionDescription> = Vec::new();
    for partition in &topic.partitions {
        let Some(index) = PartitionIndex::from_wire(partition.partition_index) else { continue };
        partitions.push(PartitionDescription {
            index,
            leader: NodeId::from_wire(partition.leader_id),
            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
            replicas: nodes(&partition.replica_nodes),
            isr: nodes(&partition.isr_nodes),
            offline: nodes(&partition.offline_replicas),
        });
    }
    partitions.sort_by_key(|partition| partition.index);
    partitions
}

/// First version of DeleteTopics that names topics by id or name.
const DELETE_BY_STATE: i16 = 6;
