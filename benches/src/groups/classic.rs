//! Members of the classic protocol.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use highwater_types::ErrorCode;
use highwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use highwater_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use highwater_wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::peer::{Peer, no_error};

/// One member, on a connection of its own while it joins.
#[derive(Debug)]
pub struct ClassicMember {
    /// Its connection.
    pub peer: Peer,
    /// Id that the coordinator gave it.
    pub id: String,
    /// The generation it has joined.
    pub generation: i32,
}

/// What a finished join has told the leader: the ids of all members.
type Members = Option<Vec<String>>;

impl ClassicMember {
    /// Connects, without joining.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { peer: Peer::connect(address)?, id: String::new(), generation: -1 })
    }

    /// Asks to join; the answer comes when the rebalance is over.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn send_join(&mut self, group: &str) -> io::Result<()> {
        let protocol =
            JoinGroupRequestProtocol { name: "range".into(), metadata: SUBSCRIPTION.into(), ..Default::default() };
        let request = JoinGroupRequest {
            group_id: group.into(),
            session_timeout_ms: 300_000,
            rebalance_timeout_ms: 300_000,
            member_id: self.id.as_str().into(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol].into(),
            ..JoinGroupRequest::default()
        };
        self.peer.send(JOIN_VERSION, &request)
    }

    /// Waits until the join is over.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses.
    pub fn receive_join(&mut self) -> io::Result<Members> {
        let answer = self.peer.receive::<JoinGroupRequest<'_>>(JOIN_VERSION)?;
        let answer = answer.read::<JoinGroupResponse<'_>>()?;
        no_error(answer.error_code, "join")?;
        self.id = answer.member_id.into_owned();
        self.generation = answer.generation_id;
        let leads = answer.leader == self.id;
        Ok(leads.then(|| answer.members.iter().map(|member| member.member_id.into_owned()).collect()))
    }

    /// Asks for the assignment, and brings it if this member leads.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn send_sync(&mut self, group: &str, members: Members, assignment: &[u8]) -> io::Result<()> {
        let members = members.unwrap_or_default();
        let request = SyncGroupRequest {
            group_id: group.into(),
            generation_id: self.generation,
            member_id: self.id.as_str().into(),
            assignments: members
                .iter()
                .map(|member| SyncGroupRequestAssignment {
                    member_id: member.as_str().into(),
                    assignment: assignment.into(),
                    ..Default::default()
                })
                .collect(),
            ..SyncGroupRequest::default()
        };
        self.peer.send(SYNC_VERSION, &request)
    }

    /// Waits for the assignment.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses.
    pub fn receive_sync(&mut self) -> io::Result<()> {
        let answer = self.peer.receive::<SyncGroupRequest<'_>>(SYNC_VERSION)?;
        no_error(answer.read::<SyncGroupResponse<'_>>()?.error_code, "sync")
    }

    /// Heartbeats until the coordinator says that the group rebalances.
    ///
    /// # Errors
    ///
    /// If it says anything else, or does not say so for a while.
    pub fn await_rebalance(&mut self, group: &str) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let request = HeartbeatRequest {
                group_id: group.into(),
                generation_id: self.generation,
                member_id: self.id.as_str().into(),
                ..HeartbeatRequest::default()
            };
            let answer = self.peer.call(HEARTBEAT_VERSION, &request)?;
            let code = answer.read::<HeartbeatResponse<'_>>()?.error_code;
            if code == ErrorCode::RebalanceInProgress as i16 {
                return Ok(());
            }
            no_error(code, "heartbeat")?;
        }
        Err(io::Error::other("the group does not rebalance"))
    }
}

/// Lets all members join and sync, on their connections side by side, and returns when the group is stable.
///
/// # Errors
///
/// If the coordinator refuses.
pub fn rebalance(group: &str, members: &mut [ClassicMember], assignment: &[u8]) -> io::Result<()> {
    members.iter_mut().try_for_each(|member| member.send_join(group))?;
    finish(group, members, assignment)
}

/// The rest of a rebalance, once every member has asked to join.
///
/// # Errors
///
/// If the coordinator refuses.
pub fn finish(group: &str, members: &mut [ClassicMember], assignment: &[u8]) -> io::Result<()> {
    for member in &mut *members {
        let led = member.receive_join()?;
        member.send_sync(group, led, assignment)?;
    }
    members.iter_mut().try_for_each(ClassicMember::receive_sync)
}

/// The last version without MEMBER_ID_REQUIRED.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 3;
/// Of Heartbeat requests.
pub const HEARTBEAT_VERSION: i16 = 3;
/// A `ConsumerProtocolSubscription` of version 0 to the topic `groups`.
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x06groups\xff\xff\xff\xff";
