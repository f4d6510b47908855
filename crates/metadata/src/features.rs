//! The features that this version knows, and at which levels.
//!
//! A finalized feature changes what clients and brokers do, so only those are here that work:
//! `transaction.version` makes clients leave out requests that a broker without it needs. `kraft.version` belongs to the quorum, not to the metadata log.

use crate::image::MetadataImage;

/// Name of the feature that says which metadata records may be written.
pub const METADATA_VERSION: &str = "metadata.version";

/// Lowest metadata version that this version reads and writes: 4.0-IV0.
pub const METADATA_VERSION_MIN: i16 = 22;

/// Metadata version of a new cluster: 4.0-IV3, so that every Apache Kafka 4 opens its log directory.
pub const METADATA_VERSION_DEFAULT: i16 = 25;

/// Highest metadata version that this version reads and writes: 4.3-IV0.
pub const METADATA_VERSION_MAX: i16 = 30;

/// Name of the feature that lets consumers use the consumer protocol (KIP-848), at level 1.
pub const GROUP_VERSION: &str = "group.version";

/// Highest level of [`GROUP_VERSION`], and that of a new cluster.
pub const GROUP_VERSION_MAX: i16 = 1;

/// Name of the feature that keeps eligible leader replicas (KIP-966), at level 1. A new cluster does without.
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// Highest level of [`ELIGIBLE_LEADER_REPLICAS_VERSION`].
pub const ELIGIBLE_LEADER_REPLICAS_VERSION_MAX: i16 = 1;

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
pub const SUPPORTED: &[SupportedFeature] = &[
    SupportedFeature { name: ELIGIBLE_LEADER_REPLICAS_VERSION, min: 0, max: ELIGIBLE_LEADER_REPLICAS_VERSION_MAX },
    SupportedFeature { name: GROUP_VERSION, min: 0, max: GROUP_VERSION_MAX },
    SupportedFeature { name: METADATA_VERSION, min: METADATA_VERSION_MIN, max: METADATA_VERSION_MAX },
];

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

/// Whether consumers may use the consumer protocol (KIP-848).
#[must_use]
pub fn has_consumer_groups(image: &MetadataImage) -> bool {
    image.feature_level(GROUP_VERSION).is_some_and(|level| 1 <= level)
}

/// Whether replicas that leave the in-sync set below `min.insync.replicas` stay eligible (KIP-966).
#[must_use]
pub fn has_eligible_leader_replicas(image: &MetadataImage) -> bool {
    image.feature_level(ELIGIBLE_LEADER_REPLICAS_VERSION).is_some_and(|level| 1 <= level)
}

const _: () = assert!(METADATA_VERSION_MIN <= METADATA_VERSION_DEFAULT);
const _: () = assert!(METADATA_VERSION_DEFAULT <= METADATA_VERSION_MAX);
