//! UpdateFeatures (57): the levels at which the cluster's features are finalized.

use highwater_metadata::{FeatureUpdate, UpdateFeatures, UpgradeType};
use highwater_types::ErrorCode;
use highwater_wire::messages::UpdateFeaturesRequest;
use highwater_wire::messages::update_features_request::FeatureUpdateKey;
use highwater_wire::messages::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;
use crate::quorum::ControllerError;
use crate::quorum::voter_messages::KRAFT_VERSION;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: UpdateFeaturesRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.feature_updates.len())?;
    let version = request.version();
    let updates: Vec<FeatureUpdate> = body.feature_updates.iter().map(|update| read(&update, version)).collect();
    let names: Vec<String> = updates.iter().map(|update| update.name.clone()).collect();
    let (kraft, updates): (Vec<_>, Vec<_>) = updates.into_iter().partition(|one| one.name == KRAFT_VERSION.name);
    let update = UpdateFeatures { updates, validate_only: body.validate_only };
    let submitted = cx.node.quorum.update_features(cx.peer.token(), update, kraft.last().map(|one| one.level));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |updated, to, out| match updated {
            Ok(()) => to.send(out, &updated_all(&names, version)),
            Err(ControllerError::Refused(error)) => to.send(out, &refused(error.code, &error.message)),
            Err(error) => to.send(out, &refused(error.to_code(), &error.to_string())),
        })),
        Err(busy) => request.to.send(out, &refused(busy.to_code(), "the controller has too much to do")),
    }
}

fn read(update: &FeatureUpdateKey<'_>, version: i16) -> FeatureUpdate {
    let upgrade = match (version, update.upgrade_type) {
        (0, _) if update.allow_downgrade => UpgradeType::SafeDowngrade,
        (0, _) | (_, UPGRADE) => UpgradeType::Upgrade,
        (_, SAFE_DOWNGRADE) => UpgradeType::SafeDowngrade,
        (_, UNSAFE_DOWNGRADE) => UpgradeType::UnsafeDowngrade,
        _ => UpgradeType::Unknown,
    };
    FeatureUpdate { name: update.feature.as_ref().to_owned(), level: update.max_version_level, upgrade }
}

/// From version 2 on, that all went well is said once.
fn updated_all(names: &[String], version: i16) -> UpdateFeaturesResponse<'_> {
    let names = if version < 2 { names } else { &[] };
    let results = names
        .iter()
        .map(|name| UpdatableFeatureResult {
            feature: name.as_str().into(),
            error_message: Some("NONE".into()),
            ..UpdatableFeatureResult::default()
        })
        .collect();
    UpdateFeaturesResponse { results, ..UpdateFeaturesResponse::default() }
}

fn refused(code: ErrorCode, why: &str) -> UpdateFeaturesResponse<'static> {
    let why = format!("The update failed for all features since the following feature had an error: {why}");
    UpdateFeaturesResponse {
        error_code: code as i16,
        error_message: Some(why.into()),
        ..UpdateFeaturesResponse::default()
    }
}

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;
