//! A classic group as administrators, and consumer groups, see it.

use std::sync::Arc;

use super::members::Member;
use super::{ClassicGroup, Handover, HandoverMember};
use crate::describe::{GroupDescription, GroupListing, GroupState, GroupType, MemberDescription};

impl ClassicGroup {
    pub(crate) fn listing(&self) -> GroupListing {
        GroupListing {
            group: Arc::clone(&self.id),
            protocol_type: Arc::clone(&self.protocol_type),
            state: self.state,
            kind: GroupType::Classic,
        }
    }

    pub(crate) fn describe(&self) -> GroupDescription {
        // Before the group is stable its protocol and the metadata may belong to different generations.
        let is_stable = self.state == GroupState::Stable;
        let describe = |member: &Member| MemberDescription {
            id: Arc::clone(&member.id),
            instance_id: member.instance_id.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            metadata: if is_stable { self.metadata_of(member) } else { Arc::from([]) },
            assignment: Arc::clone(&member.assignment),
        };
        let protocol = self.protocol.clone().filter(|_| is_stable);
        GroupDescription {
            state: self.state,
            protocol_type: Arc::clone(&self.protocol_type),
            protocol: protocol.unwrap_or_else(|| Arc::from("")),
            members: self.members.iter().map(describe).collect(),
        }
    }

    /// Metadata of the protocol that won.
    pub(super) fn metadata_of(&self, member: &Member) -> Arc<[u8]> {
        let protocol = self.protocol.as_deref().and_then(|name| member.protocol(name));
        protocol.map_or_else(|| Arc::from([]), |protocol| Arc::clone(&protocol.metadata))
    }

    /// What a consumer group would take over; `None` if its members are no consumers, or say things that cannot be
    /// decoded.
    pub(crate) fn hand_over(&self) -> Option<Handover> {
        if !self.is_consumers() {
            return None;
        }
        let members = self.members.iter().map(|member| {
            let value = self.member_value(member)?;
            let is_understood = value.subscription.subscription.is_some();
            is_understood.then(|| HandoverMember { value, protocols: member.protocols().to_vec() })
        });
        Some(Handover { generation: self.generation, members: members.collect::<Option<_>>()? })
    }
}
