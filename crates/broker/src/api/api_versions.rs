//! ApiVersions (18): which keys, versions and features this broker has.

use highwater_metadata::features;
use highwater_types::ErrorCode;
use highwater_wire::messages::ApiVersionsRequest;
use highwater_wire::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use highwater_wire::{VersionRange, encode_api_versions_fallback};

use super::request::{Cx, Outcome, Refused, Request};
use super::supported::SUPPORTED;
use crate::net::Out;
use crate::quorum::voter_messages::{KRAFT_VERSION, wire_level};

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ApiVersionsRequest<'_> = request.decode()?;
    let version = request.version();
    if version >= 3 {
        let (name, software_version) = (&*body.client_software_name, &*body.client_software_version);
        if !is_software_name(name) || !is_software_name(software_version) {
            let response =
                ApiVersionsResponse { error_code: ErrorCode::InvalidRequest as i16, ..ApiVersionsResponse::default() };
            return request.to.send(out, &response);
        }
        cx.conn.software = Some(Box::new((name.to_owned(), software_version.to_owned())));
    }
    let mut response = ApiVersionsResponse {
        api_keys: SUPPORTED
            .iter()
            .filter(|api| api.is_served(cx.node.is_for_controllers(cx.peer)))
            .map(|api| ApiVersion {
                api_key: api.key as i16,
                min_version: api.advertised_min,
                max_version: api.max,
                ..ApiVersion::default()
            })
            .collect(),
        ..ApiVersionsResponse::default()
    };
    if version >= 3 {
        response.supported_features = features::SUPPORTED
            .iter()
            .chain(&[KRAFT_VERSION])
            // Clients of version 3 fail on a range that begins at 0.
            .filter(|feature| version >= 4 || feature.min > 0)
            .map(|feature| SupportedFeatureKey {
                name: feature.name.into(),
                min_version: feature.min,
                max_version: feature.max,
                ..SupportedFeatureKey::default()
            })
            .collect();
        response.finalized_features_epoch = cx.view.metadata_offset.to_wire();
        // Level 0 is that of clusters which do not know the feature.
        let kraft_version = wire_level(cx.node.quorum.state().kraft_version());
        let kraft_version = (kraft_version > 0).then_some((KRAFT_VERSION.name, kraft_version));
        response.finalized_features = features::finalized(&cx.view.image)
            .chain(kraft_version)
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.into(),
                max_version_level: level,
                min_version_level: level,
                ..FinalizedFeatureKey::default()
            })
            .collect();
    }
    request.to.send(out, &response)
}

/// Answers a version that we do not know in the layout of version 0, which every client can read.
pub(super) fn answer_unknown_version(correlation_id: i32, out: &mut Out) -> Result<Outcome, Refused> {
    encode_api_versions_fallback(out.buf(), correlation_id, SUPPORTED_VERSIONS)?;
    Ok(Outcome::Answered)
}

/// The versions of this API itself.
pub(super) const SUPPORTED_VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

/// Letters and digits, with dashes and dots between them (KIP-511).
fn is_software_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
    let ends = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().copied().all(inner)
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names_follow_kip_511() {
        for good in ["librdkafka", "apache-kafka-java", "4.3.0", "a", "a-.-b"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".a", "a.", "a b", "a_b", "é"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
