//! Groups that do not change: heartbeats and commits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::messages::{ConsumerGroupHeartbeatRequest, HeartbeatRequest, OffsetCommitRequest};

use super::classic::{self, ClassicMember};
use super::consumer::{self, ConsumerMember};
use super::peer::encode;
use crate::client::{Exchange, Load};

/// Which protocol the members of the groups speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JoinGroup and SyncGroup.
    Classic,
    /// ConsumerGroupHeartbeat.
    Consumer,
}

/// What the members do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Say that they live.
    Heartbeat,
    /// Commit one offset.
    Commit,
    /// Commit ten offsets.
    CommitTen,
}

/// Groups with members that have their assignment.
#[derive(Debug)]
pub struct SteadyGroups {
    protocol: Protocol,
    /// Group, member, and its generation or epoch.
    members: Vec<(String, String, i32)>,
}

impl SteadyGroups {
    /// Makes `groups` groups of `members` members each, and waits until they are stable.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses.
    pub fn make(address: SocketAddr, protocol: Protocol, groups: usize, members: usize) -> io::Result<Self> {
        let name = |index| format!("steady-{protocol:?}-{index}");
        let next = AtomicUsize::new(0);
        let made = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..MAKERS)
                .map(|_| {
                    scope.spawn(|| -> io::Result<Vec<_>> {
                        let mut made = Vec::new();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            if groups <= index {
                                return Ok(made);
                            }
                            made.extend(make_group(address, protocol, &name(index), members)?);
                        }
                    })
                })
                .collect();
            let made: io::Result<Vec<_>> =
                makers.into_iter().map(|maker| maker.join().expect("a maker does not panic")).collect();
            made
        })?;
        Ok(Self { protocol, members: made.into_iter().flatten().collect() })
    }

    /// Lets them act, over and over, and returns how long it took.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses one.
    pub fn run(&self, act: Act, load: &Load) -> io::Result<Duration> {
        let frames: Vec<Vec<u8>> =
            self.members.iter().map(|member| self.frame(act, member)).collect::<io::Result<_>>()?;
        let frames = Arc::new(frames);
        let next = AtomicUsize::new(0);
        let step = frames.len() / load.connections.max(1);
        load.run(|| Frames {
            frames: Arc::clone(&frames),
            at: next.fetch_add(1, Ordering::Relaxed) * step,
            code_at: self.code_at(act),
        })
    }

    /// Lets every member heartbeat once: members of consumer groups have 45 seconds, and commits do not count.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses one.
    pub fn keep_alive(&self, load: &Load) -> io::Result<()> {
        self.run(Act::Heartbeat, &Load { requests: self.members.len() as u64, ..*load }).map(drop)
    }

    fn frame(&self, act: Act, (group, member, generation): &(String, String, i32)) -> io::Result<Vec<u8>> {
        let mut frame = Vec::new();
        let partitions = match (act, self.protocol) {
            (Act::Heartbeat, Protocol::Classic) => {
                let request = HeartbeatRequest {
                    group_id: group.into(),
                    generation_id: *generation,
                    member_id: member.into(),
                    ..HeartbeatRequest::default()
                };
                encode(&mut frame, classic::HEARTBEAT_VERSION, &request)?;
                return Ok(frame);
            }
            (Act::Heartbeat, Protocol::Consumer) => {
                let request = ConsumerGroupHeartbeatRequest {
                    group_id: group.into(),
                    member_id: member.into(),
                    member_epoch: *generation,
                    rebalance_timeout_ms: -1,
                    ..ConsumerGroupHeartbeatRequest::default()
                };
                encode(&mut frame, consumer::HEARTBEAT_VERSION, &request)?;
                return Ok(frame);
            }
            (Act::Commit, _) => 1,
            (Act::CommitTen, _) => 10,
        };
        let partitions = (0..partitions).map(|partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 42,
            committed_leader_epoch: 0,
            committed_metadata: Some("".into()),
            ..Default::default()
        });
        let topic = OffsetCommitRequestTopic {
            name: "groups".into(),
            partitions: partitions.collect(),
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: *generation,
            member_id: member.into(),
            topics: vec![topic].into(),
            ..OffsetCommitRequest::default()
        };
        encode(&mut frame, COMMIT_VERSION, &request)?;
        Ok(frame)
    }

    /// Where the first error code of an answer is, behind its length.
    fn code_at(&self, act: Act) -> usize {
        match (act, self.protocol) {
            // Correlation id, throttle.
            (Act::Heartbeat, Protocol::Classic) => 8,
            // The same with tags behind the header.
            (Act::Heartbeat, Protocol::Consumer) => 9,
            // Correlation id, tags, throttle, topics, name, partitions, partition.
            (Act::Commit | Act::CommitTen, _) => 4 + 1 + 4 + 1 + 7 + 1 + 4,
        }
    }
}

fn make_group(
    address: SocketAddr,
    protocol: Protocol,
    group: &str,
    count: usize,
) -> io::Result<Vec<(String, String, i32)>> {
    match protocol {
        Protocol::Classic => {
            let mut members: Vec<_> = (0..count).map(|_| ClassicMember::connect(address)).collect::<io::Result<_>>()?;
            classic::rebalance(group, &mut members, &[0; 32])?;
            Ok(members.into_iter().map(|member| (group.to_owned(), member.id, member.generation)).collect())
        }
        Protocol::Consumer => {
            let mut members: Vec<_> = (0..count)
                .map(|index| ConsumerMember::connect(address, format!("member-{index}")))
                .collect::<io::Result<_>>()?;
            for member in &mut members {
                member.heartbeat(group)?;
            }
            consumer::settle(group, &mut members, PARTITIONS as usize)?;
            Ok(members.into_iter().map(|member| (group.to_owned(), member.id, member.epoch)).collect())
        }
    }
}

/// Sends prepared requests in a round.
struct Frames {
    frames: Arc<Vec<Vec<u8>>>,
    at: usize,
    code_at: usize,
}

impl Exchange for Frames {
    fn request(&mut self) -> &[u8] {
        let frame = &self.frames[self.at % self.frames.len()];
        self.at += 1;
        frame
    }

    fn answer(&mut self, head: &[u8], _bytes: usize) -> Result<(), String> {
        match head.get(self.code_at..self.code_at + 2) {
            Some([0, 0]) => Ok(()),
            Some(code) => Err(format!("error {}", i16::from_be_bytes([code[0], code[1]]))),
            None => Err("the answer is too short".into()),
        }
    }
}

/// Partitions of the topic `groups` of these benches.
pub const PARTITIONS: i32 = 1000;
/// The first that a member of a consumer group may use.
const COMMIT_VERSION: i16 = 9;
/// Groups that are made side by side: each waits out the initial rebalance delay.
const MAKERS: usize = 50;
