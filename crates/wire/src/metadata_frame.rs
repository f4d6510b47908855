//! The value of a data record in the metadata log: frame version, record type, version, body.

use crate::records_schema::metadata::MetadataLogRecord;
use crate::runtime::{DecodeError, EncodeError, Reader, Sink, Writer};

/// The only version of the frame.
const FRAME_VERSION: u32 = 1;

/// Appends `record` in `version` with its frame.
///
/// # Errors
///
/// Those of [`Message::encode`](crate::Message::encode). The buffer is unchanged then.
pub fn encode(out: &mut Vec<u8>, record: &MetadataLogRecord<'_>, version: i16) -> Result<(), EncodeError> {
    let size = record.encoded_size(version)?;
    let mut writer = Writer::new(out);
    writer.reserve(8 + size);
    writer.put_uvarint(FRAME_VERSION);
    // Types and versions are not negative: the size above is known for no other version.
    writer.put_uvarint(u32::from(record.record_type().cast_unsigned()));
    writer.put_uvarint(u32::from(version.cast_unsigned()));
    record.encode(version, &mut writer)
}

/// Decodes a record and returns its version with it.
///
/// # Errors
///
/// [`DecodeError::UnknownFrameVersion`], [`DecodeError::UnknownRecordType`],
/// [`DecodeError::UnsupportedVersion`], [`DecodeError::TrailingBytes`], or the first contradiction
/// in the bytes.
pub fn decode(bytes: &[u8]) -> Result<(i16, MetadataLogRecord<'_>), DecodeError> {
    let mut r = Reader::new(bytes);
    let frame_version = r.uvarint()?;
    if frame_version != FRAME_VERSION {
        return Err(DecodeError::UnknownFrameVersion(frame_version));
    }
    let number = r.uvarint()?;
    let record_type = i16::try_from(number).map_err(|_| DecodeError::UnknownRecordType(number))?;
    // A version above 2^15 is unknown to every type, as is the greatest one below.
    let version = i16::try_from(r.uvarint()?).unwrap_or(i16::MAX);
    let record = MetadataLogRecord::decode(record_type, version, &mut r)?;
    let record = record.ok_or(DecodeError::UnknownRecordType(number))?;
    r.expect_end()?;
    Ok((version, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records_schema::metadata::FeatureLevelRecord;

    /// The example of the storage specification, section 8.
    const FEATURE_LEVEL: &[u8] = b"\x01\x0c\x00\x11metadata.version\x00\x1d\x00";

    #[test]
    fn a_feature_level_is_framed_as_kafka_does() {
        let record = MetadataLogRecord::FeatureLevel(FeatureLevelRecord {
            name: "metadata.version".into(),
            feature_level: 29,
            ..FeatureLevelRecord::default()
        });
        let mut out = Vec::new();
        encode(&mut out, &record, 0).unwrap();
        assert_eq!(out, FEATURE_LEVEL);
        assert_eq!(decode(&out), Ok((0, record)));
    }

    #[test]
    fn every_part_of_the_frame_is_checked() {
        let with = |index: usize, value: u8| {
            let mut bytes = FEATURE_LEVEL.to_vec();
            bytes[index] = value;
            decode(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 2), DecodeError::UnknownFrameVersion(2));
        assert_eq!(with(1, 6), DecodeError::UnknownRecordType(6));
        assert_eq!(with(2, 1), DecodeError::UnsupportedVersion { message: "FeatureLevelRecord", version: 1 });
        let mut long = FEATURE_LEVEL.to_vec();
        long.push(0);
        assert_eq!(decode(&long), Err(DecodeError::TrailingBytes(1)));
        for length in 0..FEATURE_LEVEL.len() {
            assert!(decode(&FEATURE_LEVEL[..length]).is_err(), "{length}");
        }
    }
}
