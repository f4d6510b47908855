//! Records of partitions, or of a group's share of topics.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_client::{
    Client, Consumer, ConsumerRecord, Event, IsolationLevel, NodeId, Offset, OffsetReset, Progress, Records, SeekTo,
    TopicName, TopicPartition,
};
use highwater_records::TimestampType;

use crate::error::{CliError, Kind};
use crate::session::{Session, told, topic_name};
use crate::topic::describe::topics;

/// Reads partitions from where it is told, or as a member of a group from where that is; those of a partition in order.
pub(crate) struct Reader {
    consumer: Consumer,
    /// Where each partition is that is read without a group.
    positions: BTreeMap<TopicPartition, i64>,
    leaders: BTreeMap<TopicPartition, NodeId>,
    is_member: bool,
}

/// A record as it was read.
pub(crate) struct Found<'a> {
    /// Where it is.
    pub(crate) at: &'a TopicPartition,
    /// Its offset.
    pub(crate) offset: i64,
    /// The node that leads its partition, if that is known.
    pub(crate) broker: Option<NodeId>,
    /// Its time, and whose that is.
    pub(crate) timestamp: Option<(TimestampType, i64)>,
    /// Its key.
    pub(crate) key: Option<&'a [u8]>,
    /// Its value.
    pub(crate) value: Option<&'a [u8]>,
    /// All of it.
    pub(crate) record: &'a ConsumerRecord,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next record.
    On,
    /// Leave out the rest of this partition, now and later.
    Done,
    /// Not at all.
    Stop,
}

/// Whose share of which topics is read.
#[derive(Debug)]
pub(crate) struct Membership<'a> {
    /// The group.
    pub(crate) group: &'a str,
    /// The topics.
    pub(crate) topics: Vec<TopicName>,
    /// Where to begin if the group has committed nothing.
    pub(crate) start: OffsetReset,
}

impl Reader {
    /// Reads the partitions from these offsets on.
    pub(crate) fn new(
        session: &Session,
        positions: BTreeMap<TopicPartition, i64>,
        read_committed: bool,
    ) -> Result<Self, CliError> {
        let failed = |error| told("cannot read", &error);
        let consumer = session
            .client
            .reader()
            .partitions(positions.keys().cloned())
            .start_at(OffsetReset::None)
            .isolation(isolation(read_committed))
            .config("enable.partition.eof", "true")
            .build()
            .map_err(failed)?;
        for (at, offset) in &positions {
            let offset = Offset::from_wire(*offset).unwrap_or(Offset::ZERO);
            consumer.seek(at, SeekTo::Offset(offset)).map_err(failed)?;
        }
        let leaders = leaders(session, &positions)?;
        Ok(Self { consumer, positions, leaders, is_member: false })
    }

    /// Reads as a member of a group, and commits what was handed over.
    pub(crate) fn of_group(
        client: &Client,
        membership: Membership<'_>,
        read_committed: bool,
        configs: &[(String, String)],
    ) -> Result<Self, CliError> {
        let mut builder = client
            .consumer(membership.group)
            .topics(membership.topics)
            .start_at(membership.start)
            .isolation(isolation(read_committed))
            .auto_commit(false);
        for (key, value) in configs {
            builder = builder.config(key, value);
        }
        let what = || format!("cannot join group {}", membership.group);
        let consumer = builder.build().map_err(|error| told(what(), &error))?;
        Ok(Self { consumer, positions: BTreeMap::new(), leaders: BTreeMap::new(), is_member: true })
    }

    /// The partitions that are still read without a group, with the offset that comes next.
    pub(crate) fn positions(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.positions
    }

    /// Leaves a partition out from now on.
    pub(crate) fn drop_partition(&mut self, at: &TopicPartition) -> Result<(), CliError> {
        self.positions.remove(at);
        self.consumer.pause(std::slice::from_ref(at)).map_err(|error| told("cannot read", &error))
    }

    /// Waits up to `wait` for records and hands them over.
    pub(crate) fn poll(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(&Found<'_>) -> Result<Flow, CliError>,
    ) -> Result<Flow, CliError> {
        let failed = |error| told("cannot read", &error);
        match self.consumer.next().wait_for(wait).map_err(failed)? {
            Some(Event::Records(records)) => self.hand_over(&records, take),
            Some(Event::Eof { partition, offset }) => {
                if let Some(position) = self.positions.get_mut(&partition) {
                    *position = offset.to_wire();
                }
                Ok(Flow::On)
            }
            Some(Event::Revoking(revocation)) => {
                revocation.done();
                Ok(Flow::On)
            }
            Some(Event::Error(error)) => Err(CliError::new(Kind::Failed, "cannot read", error.to_string())),
            _ => Ok(Flow::On),
        }
    }

    fn hand_over(
        &mut self,
        records: &Records,
        take: &mut dyn FnMut(&Found<'_>) -> Result<Flow, CliError>,
    ) -> Result<Flow, CliError> {
        let mut taken: BTreeMap<TopicPartition, Progress> = BTreeMap::new();
        let mut flow = Flow::On;
        for record in records {
            let at = record.partition();
            if !self.is_member && !self.positions.contains_key(at) {
                continue;
            }
            let timestamp = record.timestamp_type().map(|kind| (kind, record.timestamp().value()));
            let found = Found {
                at,
                offset: record.offset().to_wire(),
                broker: self.leaders.get(at).copied(),
                timestamp,
                key: record.key(),
                value: record.value(),
                record: &record,
            };
            let next = found.offset.saturating_add(1);
            flow = take(&found)?;
            match flow {
                Flow::Done => {
                    self.drop_partition(at)?;
                    flow = Flow::On;
                }
                Flow::On | Flow::Stop => {
                    if self.is_member {
                        taken.insert(at.clone(), record.progress());
                    } else {
                        self.positions.insert(at.clone(), next);
                    }
                }
            }
            if flow == Flow::Stop {
                break;
            }
        }
        for progress in taken.into_values() {
            self.consumer.commit(progress).wait().map_err(|error| told("cannot commit", &error))?;
        }
        Ok(flow)
    }

    /// Leaves the group, if there is one.
    pub(crate) fn close(self) -> Result<(), CliError> {
        self.consumer.close(CLOSE).wait().map_err(|error| told("cannot leave the group", &error))
    }
}

fn isolation(read_committed: bool) -> IsolationLevel {
    if read_committed { IsolationLevel::ReadCommitted } else { IsolationLevel::ReadUncommitted }
}

fn leaders(
    session: &Session,
    positions: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, NodeId>, CliError> {
    let mut names: Vec<String> = positions.keys().map(|at| at.topic.as_str().to_owned()).collect();
    names.dedup();
    let mut found = BTreeMap::new();
    for topic in topics(session, names)? {
        let name = topic_name(&topic.name)?;
        for partition in topic.partitions {
            if let Some(leader) = partition.leader {
                found.insert(TopicPartition { topic: name.clone(), partition: partition.index }, leader);
            }
        }
    }
    Ok(found)
}

/// A host as it stands before `:PORT`.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

const CLOSE: Duration = Duration::from_secs(10);
