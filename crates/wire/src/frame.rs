//! Frames: a 4-byte size, a header, a body.

use std::borrow::Cow;

use crate::ApiKey;
use crate::runtime::{
    DecodeError, Element, EncodeError, ExternalRecords, Message, Reader, Sink, Size, TaggedFields, Version, Writer,
};

/// Bytes of the size that precedes every request and response.
pub const SIZE_BYTES: usize = 4;

/// The client id and the header's own strings are never compact.
const OLD_STRINGS: Version = Version { number: 1, flexible: false };

/// What a request says before its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestHeader<'a> {
    /// Number of the API.
    pub api_key: i16,
    /// Version of the body, which also decides the version of this header.
    pub api_version: i16,
    /// Chosen by the client; the response carries it back.
    pub correlation_id: i32,
    /// Name that the client gives itself, for logs and quotas.
    pub client_id: Option<Cow<'a, str>>,
    /// Tagged fields of a flexible header; Kafka has assigned none.
    pub tags: TaggedFields<'a>,
}

/// Decodes the header of a request, which the body follows in the reader.
///
/// Works for every version of a known key, known or not, so that ApiVersions can be answered in any
/// version: check the version before decoding the body.
///
/// # Errors
///
/// [`DecodeError::UnknownApiKey`], because the header's own layout depends on the key, or the first
/// contradiction in the bytes.
pub fn decode_request_header<'a>(r: &mut Reader<'a>) -> Result<RequestHeader<'a>, DecodeError> {
    let api_key = r.i16()?;
    let api_version = r.i16()?;
    let correlation_id = r.i32()?;
    let key = ApiKey::from_code(api_key).ok_or(DecodeError::UnknownApiKey(api_key))?;
    let client_id = Element::read(r, OLD_STRINGS)?;
    let tags = if key.is_flexible(api_version) { TaggedFields::read(r)? } else { TaggedFields::new() };
    Ok(RequestHeader { api_key, api_version, correlation_id, client_id, tags })
}

/// Appends a whole request: size, header, body.
///
/// # Errors
///
/// Those of [`Message::encode`], and [`EncodeError::UnsupportedVersion`] for a message that has no
/// key. The buffer is unchanged then.
pub fn encode_request<'m, M: Message<'m>>(
    out: &mut Vec<u8>,
    header: &RequestHeader<'_>,
    body: &M,
) -> Result<Vec<ExternalRecords>, EncodeError> {
    let version = header.api_version;
    let key = ApiKey::from_code(header.api_key);
    let key = key.ok_or(EncodeError::UnsupportedVersion { message: M::NAME, version })?;
    let flexible = key.is_flexible(version);
    let mut size = Size::default();
    write_request_header(&mut size, header, flexible)?;
    let total = size.total() + body.encoded_size(version)?;
    encode_frame(out, total, |writer| {
        write_request_header(writer, header, flexible)?;
        body.encode(version, writer)
    })
}

fn write_request_header<S: Sink>(s: &mut S, header: &RequestHeader<'_>, flexible: bool) -> Result<(), EncodeError> {
    header.api_key.write(s, OLD_STRINGS)?;
    header.api_version.write(s, OLD_STRINGS)?;
    header.correlation_id.write(s, OLD_STRINGS)?;
    header.client_id.write(s, OLD_STRINGS)?;
    if flexible { header.tags.write(s) } else { Ok(()) }
}

/// Decodes the header of a response to a request with `key` and `version`, and returns the
/// correlation id. The body follows in the reader; tagged fields of the header are dropped.
///
/// # Errors
///
/// The first contradiction in the bytes.
pub fn decode_response_header(r: &mut Reader<'_>, key: ApiKey, version: i16) -> Result<i32, DecodeError> {
    let correlation_id = r.i32()?;
    if key.response_header_version(version) == 1 {
        TaggedFields::read(r)?;
    }
    Ok(correlation_id)
}

/// Appends a whole response: size, header, body. The size counts the records that the caller sends
/// from elsewhere; the result tells where in `out` they belong. The buffer grows at most once.
///
/// # Errors
///
/// Those of [`Message::encode`], and [`EncodeError::TooLarge`] when the frame passes 2^31-1 bytes.
/// The buffer is unchanged then.
pub fn encode_response<'m, M: Message<'m>>(
    out: &mut Vec<u8>,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &M,
) -> Result<Vec<ExternalRecords>, EncodeError> {
    let flexible = key.response_header_version(version) == 1;
    let header = SIZE_BYTES + usize::from(flexible);
    encode_frame(out, header + body.encoded_size(version)?, |writer| {
        writer.put(&correlation_id.to_be_bytes());
        if flexible {
            writer.put(&[0]);
        }
        body.encode(version, writer)
    })
}

/// Appends the size and what `write` appends, or nothing when it fails.
fn encode_frame(
    out: &mut Vec<u8>,
    total: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<Vec<ExternalRecords>, EncodeError> {
    let start = out.len();
    let size = i32::try_from(total).map_err(|_| EncodeError::TooLarge(total))?;
    let mut writer = Writer::new(out);
    writer.put(&size.to_be_bytes());
    let result = write(&mut writer);
    let external = writer.finish();
    if let Err(error) = result {
        out.truncate(start);
        return Err(error);
    }
    let elsewhere: usize = external.iter().map(|records| records.length as usize).sum();
    assert_eq!(out.len() - start + elsewhere, SIZE_BYTES + total, "a message is as long as it was measured");
    Ok(external)
}

/// Finds frames in a stream of bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameDecoder {
    bytes_max: usize,
}

/// What the front of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameStatus {
    /// The frame is not complete; at least this many more bytes are needed to go on.
    NeedMore(usize),
    /// The four bytes of size are followed by a complete frame of this many bytes.
    Frame(usize),
}

/// The size in front of a frame is not acceptable; nothing after it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The size is negative.
    #[error("frame size {0} is negative")]
    Negative(i32),
    /// The size is above the limit.
    #[error("frame size {size} is above the limit of {max}")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Limit in bytes.
        max: usize,
    },
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `bytes_max` bytes, size not counted. Kafka's
    /// limit for requests is `socket.request.max.bytes`, 100 MiB by default.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max }
    }

    /// Looks at the bytes received so far, from the first byte of a size on.
    ///
    /// # Errors
    ///
    /// [`FrameError`] as soon as the four bytes of size are there, before any of the frame is.
    pub fn decode(&self, received: &[u8]) -> Result<FrameStatus, FrameError> {
        let Some((size, rest)) = received.split_first_chunk::<SIZE_BYTES>() else {
            return Ok(FrameStatus::NeedMore(SIZE_BYTES - received.len()));
        };
        let size = i32::from_be_bytes(*size);
        let size = usize::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if self.bytes_max < size {
            return Err(FrameError::TooLarge { size, max: self.bytes_max });
        }
        match size.checked_sub(rest.len()) {
            None | Some(0) => Ok(FrameStatus::Frame(size)),
            Some(missing) => Ok(FrameStatus::NeedMore(missing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::messages::{ApiVersionsRequest, HeartbeatResponse, ListGroupsRequest};
    use crate::runtime::Records;

    #[test]
    fn a_frame_is_found_when_it_is_complete() {
        let decoder = FrameDecoder::new(8);
        for (bytes, expected) in [
            (&[][..], Ok(FrameStatus::NeedMore(4))),
            (&[0, 0, 0], Ok(FrameStatus::NeedMore(1))),
            (&[0, 0, 0, 2], Ok(FrameStatus::NeedMore(2))),
            (&[0, 0, 0, 2, 9, 9], Ok(FrameStatus::Frame(2))),
            (&[0, 0, 0, 2, 9, 9, 9], Ok(FrameStatus::Frame(2))),
            (&[0, 0, 0, 0], Ok(FrameStatus::Frame(0))),
            (&[0, 0, 0, 9], Err(FrameError::TooLarge { size: 9, max: 8 })),
            (&[0xff, 0xff, 0xff, 0xff], Err(FrameError::Negative(-1))),
        ] {
            assert_eq!(decoder.decode(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_flexible_header_still_has_an_old_client_id() {
        let header = RequestHeader {
            api_key: 18,
            api_version: 3,
            correlation_id: 7,
            client_id: Some("me".into()),
            tags: TaggedFields::new(),
        };
        let mut out = Vec::new();
        encode_request(&mut out, &header, &ApiVersionsRequest::default()).unwrap();
        assert_eq!(out[4..], [0, 18, 0, 3, 0, 0, 0, 7, 0, 2, b'm', b'e', 0, 1, 1, 0]);
        assert_eq!(out[..4], 16_i32.to_be_bytes());
        let mut r = Reader::new(&out[4..]);
        assert_eq!(decode_request_header(&mut r), Ok(header));
        assert_eq!(r.rest(), [1, 1, 0]);
    }

    #[test]
    fn an_unknown_version_has_a_header_and_an_unknown_key_has_none() {
        let bytes = [0, 18, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0];
        let header = decode_request_header(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((header.api_version, header.client_id), (99, None));
        let bytes = [0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0];
        assert_eq!(decode_request_header(&mut Reader::new(&bytes)), Err(DecodeError::UnknownApiKey(i16::MAX)));
    }

    #[test]
    fn the_size_counts_records_that_are_elsewhere() {
        let partition = |length| PartitionData { records: Records::External(length), ..Default::default() };
        let topic =
            FetchableTopicResponse { partitions: vec![partition(1000), partition(24)].into(), ..Default::default() };
        let body = FetchResponse { responses: vec![topic].into(), ..Default::default() };
        let mut out = vec![9; 3];
        let external = encode_response(&mut out, ApiKey::Fetch, 11, 5, &body).unwrap();
        assert_eq!(external.iter().map(|e| e.length).collect::<Vec<_>>(), [1000, 24]);
        assert_eq!(external[1].position, out.len());
        assert_eq!(out[external[0].position - 4..external[0].position], 1000_i32.to_be_bytes());
        let size = i32::from_be_bytes(out[3..7].try_into().unwrap());
        assert_eq!(size as usize, out.len() - 7 + 1024);
        assert_eq!(out[..3], [9; 3]);
    }

    #[test]
    fn a_failed_encode_leaves_the_buffer_as_it_was() {
        let mut out = vec![1, 2];
        let body = HeartbeatResponse::default();
        let error = encode_response(&mut out, ApiKey::Heartbeat, 5, 0, &body).unwrap_err();
        assert_eq!(error, EncodeError::UnsupportedVersion { message: "HeartbeatResponse", version: 5 });
        let request = ListGroupsRequest { states_filter: vec!["Stable".into()].into(), ..Default::default() };
        let header = RequestHeader { api_key: 16, api_version: 0, ..Default::default() };
        let error = encode_request(&mut out, &header, &request).unwrap_err();
        assert_eq!(error, EncodeError::NotInVersion { field: "ListGroupsRequest.StatesFilter", version: 0 });
        assert_eq!(out, [1, 2]);
    }
}
