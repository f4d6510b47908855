//! Which versions of which APIs a broker speaks.

use std::collections::BTreeMap;

use highwater_wire::messages::ApiVersionsResponse;
use highwater_wire::{ApiKey, VersionRange};

/// The version ranges that a broker gave in its answer to ApiVersions.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions(BTreeMap<i16, VersionRange>);

impl Versions {
    pub(super) fn of(response: &ApiVersionsResponse<'_>) -> Self {
        let ranges = response.api_keys.iter();
        Self(ranges.map(|api| (api.api_key, VersionRange { min: api.min_version, max: api.max_version })).collect())
    }

    /// The highest version that both speak and that is not above `max`.
    pub(super) fn common(&self, api: ApiKey, max: i16) -> Option<i16> {
        let (theirs, ours) = (self.0.get(&api.code())?, api.stable_versions()?);
        let version = theirs.max.min(ours.max).min(max);
        (theirs.min.max(ours.min) <= version).then_some(version)
    }

    /// Everything that the broker speaks.
    pub(super) fn all(&self) -> impl Iterator<Item = (i16, VersionRange)> + '_ {
        self.0.iter().map(|(api, range)| (*api, *range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_taken() {
        let versions = Versions([(1, VersionRange { min: 4, max: 99 }), (0, VersionRange { min: 98, max: 99 })].into());
        let fetch_max = ApiKey::Fetch.stable_versions().map(|range| range.max);
        assert_eq!(versions.common(ApiKey::Fetch, i16::MAX), fetch_max);
        assert_eq!(versions.common(ApiKey::Fetch, 12), Some(12), "the caller cannot use a higher one");
        assert_eq!(versions.common(ApiKey::Fetch, 3), None, "they no longer speak it");
        assert_eq!(versions.common(ApiKey::Produce, i16::MAX), None, "we do not speak it yet");
        assert_eq!(versions.common(ApiKey::Metadata, i16::MAX), None, "they do not have it");
    }
}
