//! Bodies of the fuzz targets, and decoding by a key that is a value. Not a stable interface.

use crate::frame::{FrameDecoder, FrameStatus, SIZE_BYTES, decode_request_header};
use crate::generated::dispatch;
use crate::runtime::{DecodeError, EncodeError, Message, Reader, Writer};
use crate::{ApiKey, metadata_frame};

/// A body that was decoded and encoded again, or why it could not be.
pub type Recoded = Result<Vec<u8>, RecodeError>;

/// Why a body did not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecodeError {
    /// It is not a body of that version.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What was decoded could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Decodes `body`, which must be used up, and encodes it again.
pub(crate) fn recode<'a, M: Message<'a>>(version: i16, body: &'a [u8]) -> Recoded {
    let mut r = Reader::new(body);
    let message = M::decode(&mut r, version)?;
    r.expect_end()?;
    let mut out = Vec::new();
    message.encode(version, &mut Writer::new(&mut out))?;
    assert_eq!(message.encoded_size(version), Ok(out.len()), "a message is as long as it was measured");
    Ok(out)
}

/// Recodes the body of a request; `None` when the key has no layout.
pub fn recode_request(key: ApiKey, version: i16, body: &[u8]) -> Option<Recoded> {
    dispatch::request(key, version, body)
}

/// Recodes the body of a response; `None` when the key has no layout.
pub fn recode_response(key: ApiKey, version: i16, body: &[u8]) -> Option<Recoded> {
    dispatch::response(key, version, body)
}

/// Recodes the record or embedded structure of that name; `None` when there is none.
pub fn recode_record(name: &str, version: i16, body: &[u8]) -> Option<Recoded> {
    dispatch::record(name, version, body)
}

/// What was accepted must encode, and its encoding must be stable: accepted, and unchanged when it
/// is recoded once more.
fn check_stable(once: Option<Recoded>, again: impl Fn(&[u8]) -> Option<Recoded>) {
    match once {
        None | Some(Err(RecodeError::Decode(_))) => {}
        Some(Err(RecodeError::Encode(error))) => panic!("decoded but not encodable: {error}"),
        Some(Ok(first)) => assert_eq!(again(&first), Some(Ok(first.clone())), "recoding is stable"),
    }
}

/// Takes `bytes` as a stream of request frames.
pub fn fuzz_frame(bytes: &[u8]) {
    let decoder = FrameDecoder::new(1 << 20);
    let mut rest = bytes;
    while let Ok(FrameStatus::Frame(length)) = decoder.decode(rest) {
        let (frame, tail) = rest[SIZE_BYTES..].split_at(length);
        rest = tail;
        let mut r = Reader::new(frame);
        let Ok(header) = decode_request_header(&mut r) else { continue };
        let Some(key) = ApiKey::from_code(header.api_key) else { continue };
        let version = header.api_version;
        check_stable(recode_request(key, version, r.rest()), |body| recode_request(key, version, body));
    }
}

/// Takes the first byte as key, the second as version with the top bit for a response, the rest as
/// body.
pub fn fuzz_request(bytes: &[u8]) {
    let [key, version, body @ ..] = bytes else { return };
    let Some(key) = ApiKey::from_code(i16::from(*key)) else { return };
    let number = i16::from(version & 0x7f);
    if *version < 0x80 {
        check_stable(recode_request(key, number, body), |body| recode_request(key, number, body));
    } else {
        check_stable(recode_response(key, number, body), |body| recode_response(key, number, body));
    }
}

/// Takes `bytes` as the value of a record in the metadata log.
pub fn fuzz_metadata_record(bytes: &[u8]) {
    let Ok((version, record)) = metadata_frame::decode(bytes) else { return };
    let mut out = Vec::new();
    metadata_frame::encode(&mut out, &record, version).expect("what was decoded can be encoded");
    let (_, again) = metadata_frame::decode(&out).expect("what was encoded can be decoded");
    let mut twice = Vec::new();
    metadata_frame::encode(&mut twice, &again, version).expect("what was decoded can be encoded");
    assert_eq!(out, twice, "recoding is stable");
}
