//! Structures inside the records of internal logs, and inside bytes fields.
//!
//! - [`metadata`]: the metadata log, each record in a [`metadata_frame`](crate::metadata_frame);
//! - [`offsets`] and [`transactions`]: `__consumer_offsets` and `__transaction_state`, whose keys
//!   start with the record type and whose values start with their version;
//! - [`control`]: values of control records;
//! - [`embedded`]: what consumers put into JoinGroup and SyncGroup, and principals in envelopes.

pub use crate::generated::{control, embedded, metadata, offsets, transactions};

use crate::runtime::{DecodeError, EncodeError, Message, Reader, Sink, Writer};

/// Decodes a value that starts with its version as a 16-bit integer, and returns both.
///
/// # Errors
///
/// Those of [`Message::decode`].
pub fn decode_versioned<'a, M: Message<'a>>(bytes: &'a [u8]) -> Result<(i16, M), DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    Ok((version, M::decode(&mut r, version)?))
}

/// Appends the version as a 16-bit integer and the value.
///
/// # Errors
///
/// Those of [`Message::encode`]. The buffer is unchanged then.
pub fn encode_versioned<'m, M: Message<'m>>(out: &mut Vec<u8>, version: i16, value: &M) -> Result<(), EncodeError> {
    encode_prefixed(out, version, version, value)
}

/// Appends the key of a coordinator record: its type as a 16-bit integer, then the only version of
/// its body.
///
/// # Errors
///
/// Those of [`Message::encode`]; [`EncodeError::UnsupportedVersion`] for a message without a type.
/// The buffer is unchanged then.
pub fn encode_key<'m, M: Message<'m>>(out: &mut Vec<u8>, key: &M) -> Result<(), EncodeError> {
    let version = M::VERSIONS.max;
    let record_type = M::KEY.ok_or(EncodeError::UnsupportedVersion { message: M::NAME, version })?;
    encode_prefixed(out, record_type, version, key)
}

fn encode_prefixed<'m, M: Message<'m>>(
    out: &mut Vec<u8>,
    prefix: i16,
    version: i16,
    body: &M,
) -> Result<(), EncodeError> {
    let size = body.encoded_size(version)?;
    let mut writer = Writer::new(out);
    writer.reserve(2 + size);
    writer.put(&prefix.to_be_bytes());
    body.encode(version, &mut writer)
}

#[cfg(test)]
mod tests {
    use super::control::EndTxnMarker;
    use super::offsets::{OffsetCommitKey, OffsetCommitValue, OffsetsKey};
    use super::*;

    #[test]
    fn a_commit_marker_is_version_and_coordinator_epoch() {
        let mut out = Vec::new();
        encode_versioned(&mut out, 0, &EndTxnMarker { coordinator_epoch: 7 }).unwrap();
        assert_eq!(out, [0, 0, 0, 0, 0, 7]);
        assert_eq!(decode_versioned(&out), Ok((0, EndTxnMarker { coordinator_epoch: 7 })));
    }

    #[test]
    fn a_key_starts_with_its_record_type() {
        let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
        let mut out = Vec::new();
        encode_key(&mut out, &key).unwrap();
        assert_eq!(out, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
        let any = OffsetsKey::decode(1, 0, &mut Reader::new(&out[2..])).unwrap();
        assert_eq!(any, Some(OffsetsKey::OffsetCommit(key)));
        assert_eq!(OffsetsKey::decode(77, 0, &mut Reader::new(&[])), Ok(None));
    }

    #[test]
    fn a_failed_encode_leaves_the_buffer_as_it_was() {
        let mut out = vec![1];
        encode_versioned(&mut out, 9, &OffsetCommitValue::default()).unwrap_err();
        assert_eq!(out, [1]);
    }
}
