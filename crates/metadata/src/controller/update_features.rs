//! Finalizing features.

use super::{Controller, Decision};
use crate::{ApiError, features, record::MetadataRecord};
use highwater_types::ErrorCode;
use std::collections::BTreeSet;

/// A request to change the finalized level of features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFeatures {
    /// The changes; all are made, or none.
    pub updates: Vec<FeatureUpdate>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// A new level for one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Kafka's name of the feature.
    pub name: String,
    /// The level.
    pub level: i16,
    /// Whether the level may be lower than the current one.
    pub allow_downgrade: bool,
}

impl Controller {
    /// Decides on new feature levels.
    ///
    /// # Errors
    ///
    /// `INVALID_UPDATE_VERSION` for a feature or level outside [`features::SUPPORTED`] or outside what a
    /// registered broker supports, and for a downgrade that was not allowed; `INVALID_REQUEST` for a
    /// feature given twice.
    pub fn update_features(&self, request: &UpdateFeatures) -> Result<Decision<()>, ApiError> {
        let mut names = BTreeSet::new();
        let mut records = Vec::new();
        for update in &request.updates {
            if !names.insert(&update.name) {
                let why = format!("The feature {} is given more than once.", update.name);
                return Err(ApiError::new(ErrorCode::InvalidRequest, why));
            }
            self.check_feature(update)?;
            if self.image.feature_level(&update.name) != Some(update.level) {
                records.push(MetadataRecord::FeatureLevel { name: update.name.clone(), level: update.level });
            }
        }
        let records = if request.validate_only { Vec::new() } else { records };
        Ok(Decision::new(records, ()))
    }

    fn check_feature(&self, update: &FeatureUpdate) -> Result<(), ApiError> {
        let FeatureUpdate { name, level, allow_downgrade } = update;
        let refused = |why: String| {
            let why = format!("Invalid update version {level} for feature {name}. {why}");
            Err(ApiError::new(ErrorCode::InvalidUpdateVersion, why))
        };
        let Some(supported) = features::supported(name) else {
            return refused(format!("Controller {} does not support this feature.", self.node));
        };
        if !(supported.min..=supported.max).contains(level) {
            let (min, max) = (supported.min, supported.max);
            return refused(format!("Controller {} only supports versions {min}-{max}.", self.node));
        }
        for broker in self.image.brokers() {
            let range = broker.features.iter().find(|range| range.name == *name);
            if !range.is_some_and(|range| (range.min..=range.max).contains(level)) {
                return refused(format!("Broker {} does not support this version.", broker.node));
            }
        }
        if self.image.feature_level(name).is_some_and(|current| *level < current) && !allow_downgrade {
            return refused(
                "Can't downgrade the version of this feature without setting the upgrade type to \
                            either safe or unsafe downgrade."
                    .to_owned(),
            );
        }
        Ok(())
    }
}
