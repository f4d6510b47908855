//! Finalizing features.

use super::config_rules::MIN_ISR;
use super::{Controller, Decision};
use crate::{
    ApiError,
    config::{ResourceKind, definition},
    features,
    record::{ConfigChange, MetadataRecord},
};
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
    /// In which direction.
    pub upgrade: UpgradeType,
}

/// In which direction a feature's level may go (KIP-584, KIP-778).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    /// Not to a lower level.
    Upgrade,
    /// Not to a higher level, and only if nothing is lost by it.
    SafeDowngrade,
    /// Not to a higher level.
    UnsafeDowngrade,
    /// One that this version does not know; refused.
    Unknown,
}

impl Controller {
    /// Decides on new feature levels.
    ///
    /// # Errors
    ///
    /// `INVALID_UPDATE_VERSION` for a feature or level outside [`features::SUPPORTED`] or outside what a
    /// registered broker or controller supports, and for a level on the other side of the current one than was asked for; `INVALID_REQUEST` for a
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
            if update.name == features::ELIGIBLE_LEADER_REPLICAS_VERSION
                && 1 <= update.level
                && !features::has_eligible_leader_replicas(&self.image)
            {
                records.append(&mut self.one_min_isr_for_all());
            }
            if self.image.feature_level(&update.name) != Some(update.level) {
                records.push(MetadataRecord::FeatureLevel { name: update.name.clone(), level: update.level });
            }
        }
        let records = if request.validate_only { Vec::new() } else { records };
        Ok(Decision::new(records, ()))
    }

    /// Eligible leader replicas follow from `min.insync.replicas` (KIP-966), so that controllers and leaders have to know
    /// one value for it: a default for all brokers, as this controller was started with, and none of single brokers.
    fn one_min_isr_for_all(&self) -> Vec<MetadataRecord> {
        let kind = ResourceKind::Broker;
        let is_set =
            |resource: &str| self.image.config(kind, resource).is_some_and(|overrides| overrides.contains_key(MIN_ISR));
        let record = |resource: &str, value| {
            let (resource, name) = (resource.to_owned(), MIN_ISR.to_owned());
            MetadataRecord::Config(ConfigChange { kind, resource, name, value })
        };
        let own = || self.static_config.get(MIN_ISR).map(str::to_owned);
        let default = || definition(kind, MIN_ISR).and_then(|found| found.default).map(str::to_owned);
        let for_all = (!is_set("")).then(|| record("", own().or_else(default)));
        let single = self.image.config_resources(kind).filter(|resource| !resource.is_empty() && is_set(resource));
        for_all.into_iter().chain(single.map(|resource| record(resource, None))).collect()
    }

    fn check_feature(&self, update: &FeatureUpdate) -> Result<(), ApiError> {
        let FeatureUpdate { name, level, upgrade } = update;
        let refused = |why: String| {
            let why = format!("Invalid update version {level} for feature {name}. {why}");
            Err(ApiError::new(ErrorCode::InvalidUpdateVersion, why))
        };
        let Some(supported) = features::supported(name) else {
            return refused(format!("Local controller {} does not support this feature.", self.node));
        };
        if *level < 0 {
            return refused("A feature version cannot be less than 0.".to_owned());
        }
        if !(supported.min..=supported.max).contains(level) {
            let (min, max) = (supported.min, supported.max);
            return refused(format!("Local controller {} only supports versions {min}-{max}", self.node));
        }
        let brokers = self.image.brokers().map(|broker| ("Broker", broker.node, &broker.features));
        let others = self.image.controllers().filter(|controller| controller.node != self.node);
        let controllers = others.map(|controller| ("Controller", controller.node, &controller.features));
        for (what, node, features) in brokers.chain(controllers) {
            // Not to name a feature is to support its level 0.
            let range =
                features.iter().find(|range| range.name == *name).map_or((0, 0), |range| (range.min, range.max));
            match range {
                (min, max) if (min..=max).contains(level) => {}
                (_, 0) => return refused(format!("{what} {node} does not support this feature.")),
                (min, max) => return refused(format!("{what} {node} only supports versions {min}-{max}")),
            }
        }
        let current = self.image.feature_level(name);
        match upgrade {
            UpgradeType::Unknown => refused("The controller does not support the given upgrade type.".to_owned()),
            UpgradeType::Upgrade if current.is_some_and(|current| *level < current) => refused(
                "Can't downgrade the version of this feature without setting the upgrade type to \
                 either safe or unsafe downgrade."
                    .to_owned(),
            ),
            UpgradeType::SafeDowngrade | UpgradeType::UnsafeDowngrade if current.unwrap_or(0) < *level => {
                refused("Can't downgrade to a newer version.".to_owned())
            }
            _ => Ok(()),
        }
    }
}
