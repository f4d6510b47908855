//! Offsets of partitions, by place and by time.

use std::collections::BTreeMap;

use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicName, TopicPartition};
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Admin, Each};
use crate::error::check;
use crate::pending::Pending;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Of the first record that is there.
    Earliest,
    /// Behind the last record that is committed.
    Latest,
    /// Of the record with the latest time.
    MaxTimestamp,
    /// Of the first record at that time or later.
    Timestamp(TimestampMs),
}

impl OffsetSpec {
    /// How it is asked for.
    #[must_use]
    pub const fn to_wire(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::MaxTimestamp => -3,
            Self::Timestamp(at) => at.value(),
        }
    }
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None` if there is no such record.
    pub offset: Option<Offset>,
    /// Time of its record; `None` where the question was not about time.
    pub timestamp: Option<TimestampMs>,
    /// Leader epoch of its record, if the broker says.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Admin {
    /// Offsets of some partitions. With `read_committed`, the latest is where the first open transaction begins.
    pub fn list_offsets(
        &self,
        wanted: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
        read_committed: bool,
    ) -> Pending<Each<TopicPartition, ListedOffset>> {
        let wanted: BTreeMap<TopicPartition, OffsetSpec> = wanted.into_iter().collect();
        let timeout_ms = self.timeout_ms();
        self.call("listing offsets", move |io, deadline| async move {
            let partitions = wanted.keys().cloned().collect();
            let (wanted, asked) = (&wanted, &io);
            io.per_leader(partitions, deadline, |leader, partitions| async move {
                let mut topics: BTreeMap<&TopicName, Vec<ListOffsetsPartition<'_>>> = BTreeMap::new();
                for at in &partitions {
                    let partition = ListOffsetsPartition {
                        partition_index: at.partition.to_wire(),
                        current_leader_epoch: -1,
                        timestamp: wanted.get(at).map_or(-1, |spec| spec.to_wire()),
                        ..Default::default()
                    };
                    topics.entry(&at.topic).or_default().push(partition);
                }
                let topic = |(name, partitions): (&'_ TopicName, Vec<_>)| ListOffsetsTopic {
                    name: name.as_str().to_owned().into(),
                    partitions: partitions.into(),
                    ..Default::default()
                };
                let mut request = ListOffsetsRequest {
                    replica_id: -1,
                    isolation_level: i8::from(read_committed),
                    topics: topics.into_iter().map(topic).collect(),
                    ..ListOffsetsRequest::default()
                };
                request.timeout_ms = timeout_ms;
                let answer = asked.ask_node(leader, i16::MAX, deadline, &request).await?;
                let response: ListOffsetsResponse<'_> = answer.decode()?;
                let mut results = Vec::new();
                for topic in &response.topics {
                    for partition in &topic.partitions {
                        let Some(at) = place(&topic.name, partition.partition_index) else { continue };
                        let listed = check(partition.error_code, None).map(|()| ListedOffset {
                            offset: Offset::from_wire(partition.offset),
                            timestamp: (0 <= partition.timestamp).then_some(TimestampMs(partition.timestamp)),
                            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
                        });
                        results.push((at, listed));
                    }
                }
                Ok(results)
            })
            .await
        })
    }
}

/// A partition as brokers name it; `None` for what cannot be one.
pub(super) fn place(topic: &str, partition: i32) -> Option<TopicPartition> {
    Some(TopicPartition { topic: TopicName::new(topic).ok()?, partition: PartitionIndex::from_wire(partition)? })
}
