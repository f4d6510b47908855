//! What is known about each API key.

use std::fmt;

pub use crate::generated::api_key::ApiKey;
use crate::generated::api_key::{ALL, INFO};
use crate::runtime::VersionRange;

/// One row of the generated table.
pub(crate) struct ApiInfo {
    pub(crate) name: &'static str,
    pub(crate) versions: Option<VersionRange>,
    pub(crate) flexible_from: Option<i16>,
    pub(crate) unstable: bool,
    pub(crate) broker: bool,
    pub(crate) controller: bool,
}

impl ApiKey {
    /// Every key, in ascending order.
    pub const ALL: &'static [Self] = &ALL;

    /// The key with this number; `None` when Kafka has not assigned it.
    pub fn from_code(code: i16) -> Option<Self> {
        usize::try_from(code).ok().and_then(|index| ALL.get(index)).copied()
    }

    /// The number in the request header.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name, such as `Produce`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The versions whose layout is known; `None` for the keys that Kafka 4.0 removed. What a
    /// broker advertises is its own choice within them.
    pub fn versions(self) -> Option<VersionRange> {
        self.info().versions
    }

    /// [`versions`](Self::versions) without a last version that Kafka has not declared stable.
    pub fn stable_versions(self) -> Option<VersionRange> {
        self.versions().map(|range| VersionRange { max: range.max - i16::from(self.info().unstable), ..range })
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        self.info().flexible_from.is_some_and(|from| from <= version)
    }

    /// Whether brokers answer this key.
    pub fn is_for_brokers(self) -> bool {
        self.info().broker
    }

    /// Whether controllers answer this key.
    pub fn is_for_controllers(self) -> bool {
        self.info().controller
    }

    /// Version of the request header: 2 when the request is flexible, else 1.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header: 1 when the response is flexible, else 0. Always 0 for
    /// ApiVersions, so that a client can read the answer before it knows what the broker speaks.
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self != Self::ApiVersions)
    }

    fn info(self) -> &'static ApiInfo {
        &INFO[self as usize]
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_gaps() {
        for (index, key) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(usize::try_from(key.code()), Ok(index));
            assert_eq!(ApiKey::from_code(key.code()), Some(*key));
            assert_eq!(key.name(), format!("{key:?}"));
        }
        assert_eq!(ApiKey::ALL.len(), 95);
        assert_eq!(ApiKey::from_code(-1), None);
        assert_eq!(ApiKey::from_code(95), None);
    }

    #[test]
    fn header_versions_follow_flexibility_except_for_api_versions() {
        assert_eq!((ApiKey::Produce.request_header_version(8), ApiKey::Produce.response_header_version(8)), (1, 0));
        assert_eq!((ApiKey::Produce.request_header_version(9), ApiKey::Produce.response_header_version(9)), (2, 1));
        let versions = ApiKey::ApiVersions;
        assert_eq!((versions.request_header_version(3), versions.response_header_version(3)), (2, 0));
        for key in [ApiKey::SaslHandshake, ApiKey::OffsetDelete] {
            assert_eq!((key.request_header_version(1), key.response_header_version(1)), (1, 0));
        }
    }

    #[test]
    fn unstable_versions_are_known_but_not_stable() {
        assert_eq!(ApiKey::InitProducerId.versions(), Some(VersionRange { min: 0, max: 6 }));
        assert_eq!(ApiKey::InitProducerId.stable_versions(), Some(VersionRange { min: 0, max: 5 }));
        assert_eq!(ApiKey::LeaderAndIsr.versions(), None);
    }
}
