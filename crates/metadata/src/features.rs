//! The features that this version knows, and at which levels.
//!
//! A finalized feature changes what clients and brokers do, so only those are here that work:
//! `transaction.version` and `group.version` make clients leave out requests that a broker without them
//! needs. `kraft.version` belongs to the quorum, not to the metadata log.

use crate::image::MetadataImage;

/// Name of the feature that says which metadata records may be written.
pub const METADATA_VERSION: &str = "metadata.version";

/// Lowest metadata version that this version reads and writes: 4.0-IV0.
pub const METADATA_VERSION_MIN: i16 = 22;

/// Metadata version of a new cluster: 4.0-IV3, so that every Apache Kafka 4 opens its log directory.
pub const METADATA_VERSION_DEFAULT: i16 = 25;

/// Highest metadata version that this version reads and writes: 4.3-IV0.
pub const METADATA_VERSION_MAX: i16 = 30;

/// A feature and the levels that this version can work at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Kafka's name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// Every feature that can be finalized.
pub const SUPPORTED: &[SupportedFeature] =
    &[SupportedFeature { name: METADATA_VERSION, min: METADATA_VERSION_MIN, max: METADATA_VERSION_MAX }];

/// The feature called `name`.
#[must_use]
pub fn supported(name: &str) -> Option<SupportedFeature> {
    SUPPORTED.iter().copied().find(|feature| feature.name == name)
}

/// The finalized features that clients may be told of, with their levels.
///
/// A log directory taken over from Apache Kafka can have others finalized, such as `transaction.version`.
/// They stay in the log but must not be published: a client that saw them would rely on them.
pub fn finalized(image: &MetadataImage) -> impl Iterator<Item = (&'static str, i16)> {
    SUPPORTED.iter().filter_map(|feature| Some((feature.name, image.feature_level(feature.name)?)))
}

const _: () = assert!(METADATA_VERSION_MIN <= METADATA_VERSION_DEFAULT);
const _: () = assert!(METADATA_VERSION_DEFAULT <= METADATA_VERSION_MAX);
