//! The records of `__consumer_offsets`, between their bytes and the group coordinator.
//!
//! What is written has the versions that Apache Kafka 4.3 writes; what Kafka has ever written is read. Some values that
//! Kafka would store mean nothing: a negative offset is no offset, a negative partition is not there.

mod classic;
mod consumer;
mod embedded;
#[cfg(test)]
mod fixture;
mod offset;
#[cfg(test)]
mod tests;

use highwater_group::GroupRecord;
use highwater_wire::records_schema::offsets::OffsetsKey;
use highwater_wire::{DecodeError, EncodeError, Reader};

pub(crate) use embedded::{classic_protocol, encode_assignment};

/// Bytes that contradict the formats of `__consumer_offsets`: whoever wrote them is at fault, or is newer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The key is none.
    #[error("key: {source}")]
    Key {
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The value is none of its type, or of a version that is not known.
    #[error("value of type {record_type}: {source}")]
    Value {
        /// The type that the key says.
        record_type: i16,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Appends the key of a record to `key`, and its value to `value`: whether it has one.
///
/// # Errors
///
/// A string is longer than 32,767 bytes, which none that came from a client is.
pub(crate) fn encode(record: &GroupRecord, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<bool, EncodeError> {
    match record {
        GroupRecord::Offset { group, topic, partition, value: committed } => {
            offset::encode(group, topic, *partition, committed.as_ref(), key, value)?;
        }
        GroupRecord::Classic { group, value: classic } => classic::encode(group, classic.as_ref(), key, value)?,
        consumer => consumer::encode(consumer, key, value)?,
    }
    Ok(!record.is_tombstone())
}

/// Decodes a record. `None` for one that concerns nobody here: groups of other kinds, types of newer versions, and what
/// no group can own.
///
/// # Errors
///
/// [`CodecError`]; a known type of record in a version that is not known is one.
pub(crate) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, CodecError> {
    let mut r = Reader::new(key);
    let decoded = r.i16().and_then(|record_type| Ok((record_type, OffsetsKey::decode(record_type, 0, &mut r)?)));
    let (record_type, key) = decoded.map_err(|source| CodecError::Key { source })?;
    let Some(key) = key else { return Ok(None) };
    let record = match key {
        OffsetsKey::LegacyOffsetCommit(key) => offset::decode(&key.group, &key.topic, key.partition, value),
        OffsetsKey::OffsetCommit(key) => offset::decode(&key.group, &key.topic, key.partition, value),
        OffsetsKey::GroupMetadata(key) => classic::decode(&key.group, value).map(Some),
        key => consumer::decode(key, value),
    };
    record.map_err(|source| CodecError::Value { record_type, source })
}
