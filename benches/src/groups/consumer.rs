//! Members of the consumer protocol (KIP-848).

use std::io;
use std::net::SocketAddr;

use highwater_types::Uuid;
use highwater_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use highwater_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::peer::{Peer, no_error};

/// One member.
#[derive(Debug)]
pub struct ConsumerMember {
    peer: Peer,
    /// Its id, chosen by itself.
    pub id: String,
    /// The epoch that the coordinator gave it.
    pub epoch: i32,
    /// What it owns.
    pub owned: Vec<(Uuid, Vec<i32>)>,
}

impl ConsumerMember {
    /// Connects, without joining.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn connect(address: SocketAddr, id: String) -> io::Result<Self> {
        Ok(Self { peer: Peer::connect(address)?, id, epoch: 0, owned: Vec::new() })
    }

    /// Heartbeats once and obeys the answer at once: gives back what it shall, takes what it is given. Whether the
    /// coordinator sent an assignment.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses.
    pub fn heartbeat(&mut self, group: &str) -> io::Result<bool> {
        let joins = self.epoch == 0;
        let owned = self.owned.iter().map(|(topic, partitions)| TopicPartitions {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.into(),
            member_id: self.id.as_str().into(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 300_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec!["groups".into()].into()),
            topic_partitions: Some(owned.collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let answer = self.peer.call(HEARTBEAT_VERSION, &request)?;
        let answer = answer.read::<ConsumerGroupHeartbeatResponse<'_>>()?;
        no_error(answer.error_code, "heartbeat of a consumer group")?;
        self.epoch = answer.member_epoch;
        let Some(assignment) = answer.assignment else { return Ok(false) };
        self.owned = assignment
            .topic_partitions
            .iter()
            .map(|topic| (topic.topic_id, topic.partitions.iter().collect()))
            .collect();
        Ok(true)
    }

    /// How many partitions it owns.
    pub fn partitions(&self) -> usize {
        self.owned.iter().map(|(_, partitions)| partitions.len()).sum()
    }
}

/// Lets all members heartbeat in turn until they own all partitions and nothing changes any more; returns the number of
/// heartbeats it took.
///
/// # Errors
///
/// If the coordinator refuses, or they do not settle.
pub fn settle(group: &str, members: &mut [ConsumerMember], partitions: usize) -> io::Result<usize> {
    for round in 1..=ROUNDS_MAX {
        let mut changed = false;
        for member in &mut *members {
            let epoch = member.epoch;
            changed |= member.heartbeat(group)? || member.epoch != epoch;
        }
        let epoch = members.first().map_or(0, |member| member.epoch);
        let is_level = members.iter().all(|member| member.epoch == epoch);
        let owned: usize = members.iter().map(ConsumerMember::partitions).sum();
        if !changed && is_level && owned == partitions {
            return Ok(round * members.len());
        }
    }
    Err(io::Error::other(format!("{group} does not settle")))
}

/// Of ConsumerGroupHeartbeat requests.
pub const HEARTBEAT_VERSION: i16 = 1;
const ROUNDS_MAX: usize = 10_000;
