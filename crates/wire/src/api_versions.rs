//! The answer to an ApiVersions request in a version that the broker does not speak.

use crate::frame::encode_response;
use crate::messages::ApiVersionsResponse;
use crate::messages::api_versions_response::ApiVersion;
use crate::runtime::VersionRange;
use crate::{ApiKey, EncodeError};

/// Kafka's UNSUPPORTED_VERSION.
const UNSUPPORTED_VERSION: i16 = 35;

/// Appends the answer to an ApiVersions request whose version is not in `supported`: version 0, in
/// which every client can read it, with error 35 and the range of ApiVersions alone, so that the
/// client asks again in a version that both speak.
///
/// # Errors
///
/// None in practice; the type is that of every encoder.
pub fn encode_api_versions_fallback(
    out: &mut Vec<u8>,
    correlation_id: i32,
    supported: VersionRange,
) -> Result<(), EncodeError> {
    let only = ApiVersion {
        api_key: ApiKey::ApiVersions.code(),
        min_version: supported.min,
        max_version: supported.max,
        ..ApiVersion::default()
    };
    let body = ApiVersionsResponse {
        error_code: UNSUPPORTED_VERSION,
        api_keys: vec![only].into(),
        ..ApiVersionsResponse::default()
    };
    encode_response(out, ApiKey::ApiVersions, 0, correlation_id, &body).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_is_what_a_live_broker_answers() {
        let mut out = Vec::new();
        encode_api_versions_fallback(&mut out, 2, VersionRange { min: 0, max: 4 }).unwrap();
        assert_eq!(out, [0, 0, 0, 16, 0, 0, 0, 2, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    }
}
