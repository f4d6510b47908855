//! Classic groups: type 2.

use std::sync::Arc;

use highwater_group::{ClassicGroupValue, ClassicMemberValue, GroupRecord};
use highwater_types::TimestampMs;
use highwater_wire::records_schema::offsets::group_metadata_key::GroupMetadataKey;
use highwater_wire::records_schema::offsets::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use highwater_wire::records_schema::{decode_versioned, encode_key, encode_versioned};
use highwater_wire::{DecodeError, EncodeError};

use super::embedded::classic_protocol;

pub(super) fn encode(
    group: &str,
    classic: Option<&ClassicGroupValue>,
    key: &mut Vec<u8>,
    value: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_key(key, &GroupMetadataKey { group: group.into() })?;
    let Some(classic) = classic else { return Ok(()) };
    let encoded = GroupMetadataValue {
        protocol_type: (&*classic.protocol_type).into(),
        generation: classic.generation,
        protocol: classic.protocol.as_deref().map(Into::into),
        leader: classic.leader.as_deref().map(Into::into),
        current_state_timestamp: classic.state_timestamp.map_or(-1, TimestampMs::value),
        members: classic.members.iter().map(encode_member).collect(),
        ..GroupMetadataValue::default()
    };
    encode_versioned(value, VERSION, &encoded)
}

fn encode_member(member: &ClassicMemberValue) -> MemberMetadata<'_> {
    MemberMetadata {
        member_id: (&*member.id).into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        client_id: (&*member.client_id).into(),
        client_host: (&*member.client_host).into(),
        rebalance_timeout: member.rebalance_timeout_ms.unwrap_or(-1),
        session_timeout: member.session_timeout_ms,
        subscription: (&*member.subscription.metadata).into(),
        assignment: (&*member.assignment).into(),
        ..MemberMetadata::default()
    }
}

pub(super) fn decode(group: &str, value: Option<&[u8]>) -> Result<GroupRecord, DecodeError> {
    let value = value.map(decode_versioned::<GroupMetadataValue<'_>>).transpose()?;
    let value = value.map(|(_, value)| decode_group(&value));
    Ok(GroupRecord::Classic { group: Arc::from(group), value })
}

fn decode_group(value: &GroupMetadataValue<'_>) -> ClassicGroupValue {
    let protocol: Option<Arc<str>> = value.protocol.as_deref().map(Arc::from);
    let chosen = protocol.clone().unwrap_or_default();
    let decode_member = |member: MemberMetadata<'_>| ClassicMemberValue {
        id: Arc::from(&*member.member_id),
        instance_id: member.group_instance_id.as_deref().map(Arc::from),
        client_id: Arc::from(&*member.client_id),
        client_host: Arc::from(&*member.client_host),
        rebalance_timeout_ms: (member.rebalance_timeout != -1).then_some(member.rebalance_timeout),
        session_timeout_ms: member.session_timeout,
        subscription: classic_protocol(&value.protocol_type, Arc::clone(&chosen), &member.subscription),
        assignment: Arc::from(&*member.assignment),
    };
    let mut members: Vec<ClassicMemberValue> = value.members.iter().map(decode_member).collect();
    members.sort_by(|first, second| first.id.cmp(&second.id));
    let since = value.current_state_timestamp;
    ClassicGroupValue {
        protocol_type: Arc::from(&*value.protocol_type),
        generation: value.generation,
        protocol,
        leader: value.leader.as_deref().map(Arc::from),
        state_timestamp: (since != -1).then_some(TimestampMs(since)),
        members,
    }
}

/// Kafka reads version 4 and writes 3.
const VERSION: i16 = 3;
