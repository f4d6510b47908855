//! Changing configs, one by one or all of a resource at once.

use super::{Controller, Decision, RECORDS_PER_BATCH_MAX, config_rules::MIN_ISR};
use crate::{
    ApiError,
    config::{ResourceKind, ValueType, definition, items},
    features,
    image::ConfigMap,
    record::{ConfigChange, MetadataRecord},
};
use highwater_types::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};

/// A request to change single configs (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalAlterConfigs {
    /// The resources.
    pub resources: Vec<IncrementalResource>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// Changes of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalResource {
    /// Kafka's number of its kind; see [`ResourceKind`].
    pub kind: i8,
    /// Its name.
    pub name: String,
    /// The changes.
    pub changes: Vec<ConfigEdit>,
}

/// A change of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEdit {
    /// Name of the config.
    pub name: String,
    /// Kafka's number: 0 set, 1 delete, 2 append to a list, 3 subtract from a list.
    pub operation: i8,
    /// The value; not needed to delete.
    pub value: Option<String>,
}

/// A request to replace all configs of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    /// The resources.
    pub resources: Vec<ReplaceResource>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// The configs that a resource is to have; those not named are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceResource {
    /// Kafka's number of its kind; see [`ResourceKind`].
    pub kind: i8,
    /// Its name.
    pub name: String,
    /// Names and values.
    pub configs: Vec<(String, Option<String>)>,
}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigsResult {
    /// The kind in the request.
    pub kind: i8,
    /// The name in the request.
    pub name: String,
    /// Whether its configs will have changed when the records are committed.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Decides on changes of single configs: each resource on its own, all changes of one or none.
    ///
    /// Codes: `INVALID_CONFIG` for unknown configs and wrong values of topics and groups,
    /// `INVALID_REQUEST` for those of brokers and client metrics and for malformed changes,
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `BROKER_ID_NOT_REGISTERED`, and `POLICY_VIOLATION` for what would take
    /// the request over [`RECORDS_PER_BATCH_MAX`] records.
    pub fn incremental_alter_configs(&self, request: &IncrementalAlterConfigs) -> Decision<Vec<AlterConfigsResult>> {
        let wanted = |kind, resource: &IncrementalResource, current: &ConfigMap| {
            self.edited(kind, &resource.name, current, &resource.changes)
        };
        let id = |resource: &IncrementalResource| (resource.kind, resource.name.clone());
        self.alter(&request.resources, id, wanted, request.validate_only)
    }

    /// Decides on the replacement of all configs of resources. Codes as for
    /// [`incremental_alter_configs`](Self::incremental_alter_configs).
    pub fn alter_configs(&self, request: &AlterConfigs) -> Decision<Vec<AlterConfigsResult>> {
        let wanted = |_, resource: &ReplaceResource, _: &ConfigMap| {
            let mut wanted = ConfigMap::new();
            for (name, value) in &resource.configs {
                let value = value.clone().ok_or_else(|| null_value(name))?;
                if wanted.insert(name.clone(), value).is_some() {
                    return Err(duplicate_key(name));
                }
            }
            Ok(wanted)
        };
        let id = |resource: &ReplaceResource| (resource.kind, resource.name.clone());
        self.alter(&request.resources, id, wanted, request.validate_only)
    }

    /// Works out the overrides that `wanted` asks for, checks them, and writes what differs.
    fn alter<R>(
        &self,
        resources: &[R],
        id: impl Fn(&R) -> (i8, String),
        wanted: impl Fn(ResourceKind, &R, &ConfigMap) -> Result<ConfigMap, ApiError>,
        validate_only: bool,
    ) -> Decision<Vec<AlterConfigsResult>> {
        let mut times: BTreeMap<(i8, String), usize> = BTreeMap::new();
        for resource in resources {
            *times.entry(id(resource)).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(resources.len());
        for resource in resources {
            let (code, name) = id(resource);
            let changes = match times.remove(&(code, name.clone())) {
                Some(1) => self.changes(code, &name, |kind, current| wanted(kind, resource, current)),
                Some(_) => Err(invalid_request("Each resource must appear at most once.")),
                None => continue,
            };
            let result = changes.and_then(|mut changes| {
                if RECORDS_PER_BATCH_MAX < records.len() + changes.len() {
                    let why = format!("The request would write more than {RECORDS_PER_BATCH_MAX} metadata records.");
                    return Err(ApiError::new(ErrorCode::PolicyViolation, why));
                }
                let cleared = self.forget_elr(&changes);
                records.append(&mut changes);
                records.extend(cleared);
                Ok(())
            });
            results.push(AlterConfigsResult { kind: code, name, result });
        }
        Decision::new(if validate_only { Vec::new() } else { records }, results)
    }

    /// What a new `min.insync.replicas` does to the eligible leader replicas, which were found with the
    /// old one (KIP-966): they are forgotten, of the topic or, for a default, of all.
    fn forget_elr(&self, changes: &[MetadataRecord]) -> Option<MetadataRecord> {
        let is_bound = |record: &&MetadataRecord| match record {
            MetadataRecord::Config(change) => {
                change.name == MIN_ISR && matches!(change.kind, ResourceKind::Topic | ResourceKind::Broker)
            }
            _ => false,
        };
        let Some(MetadataRecord::Config(change)) = changes.iter().find(is_bound) else { return None };
        let topic = (change.kind == ResourceKind::Topic).then(|| change.resource.clone());
        // Some may be left from when the feature was on, which it may be again.
        let mut partitions = self.image.topics().flat_map(|topic| topic.partitions());
        let is_kept = features::has_eligible_leader_replicas(&self.image)
            || partitions.any(|(_, state)| !state.elr.is_empty() || !state.last_known_elr.is_empty());
        is_kept.then_some(MetadataRecord::ClearElr { topic })
    }

    fn changes(
        &self,
        code: i8,
        resource: &str,
        wanted: impl Fn(ResourceKind, &ConfigMap) -> Result<ConfigMap, ApiError>,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let kind = ResourceKind::from_code(code);
        let kind = kind.ok_or_else(|| invalid_request(format!("Unsupported resource type {code}.")))?;
        self.check_resource(kind, resource)?;
        let none = ConfigMap::new();
        let current = self.image.config(kind, resource).unwrap_or(&none);
        let wanted = wanted(kind, current)?;
        let differs = |(name, value): &(&String, &String)| current.get(*name) != Some(*value);
        let set: ConfigMap = wanted.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect();
        self.check_overrides(kind, resource, &wanted, &set)?;
        let removed = current.keys().filter(|name| !wanted.contains_key(*name)).map(|name| (name.clone(), None));
        let changes: Vec<(String, Option<String>)> =
            set.into_iter().map(|(name, value)| (name, Some(value))).chain(removed).collect();
        for (name, value) in &changes {
            self.check_may_change(kind, resource, name, value.is_none())?;
        }
        let record =
            |(name, value)| MetadataRecord::Config(ConfigChange { kind, resource: resource.to_owned(), name, value });
        Ok(changes.into_iter().map(record).collect())
    }

    /// The overrides after these changes.
    fn edited(
        &self,
        kind: ResourceKind,
        resource: &str,
        current: &ConfigMap,
        changes: &[ConfigEdit],
    ) -> Result<ConfigMap, ApiError> {
        let mut names = BTreeSet::new();
        let mut wanted = current.clone();
        for ConfigEdit { name, operation, value } in changes {
            if !names.insert(name) {
                return Err(duplicate_key(name));
            }
            // A removal of what is not set is refused too.
            self.check_may_change(kind, resource, name, *operation == 1)?;
            let given = || value.as_deref().ok_or_else(|| null_value(name));
            match operation {
                0 => {
                    wanted.insert(name.clone(), given()?.to_owned());
                }
                1 => {
                    wanted.remove(name);
                }
                2 | 3 => {
                    check_list(kind, name, if *operation == 2 { "APPEND" } else { "SUBTRACT" })?;
                    let inherited = || self.inherited_list(kind, resource, name);
                    let old = current.get(name).cloned().unwrap_or_else(inherited);
                    wanted.insert(name.clone(), merged(&old, given()?, *operation == 2));
                }
                _ => return Err(invalid_request(format!("Unknown operation {operation} for config {name}."))),
            }
        }
        Ok(wanted)
    }
}

/// A list with items added at the end, if not there yet, or with items taken out.
fn merged(old: &str, edit: &str, append: bool) -> String {
    let mut list: Vec<&str> = items(old).collect();
    for item in items(edit) {
        if !append {
            list.retain(|kept| *kept != item);
        } else if !list.contains(&item) {
            list.push(item);
        }
    }
    list.join(",")
}

fn check_list(kind: ResourceKind, name: &str, operation: &str) -> Result<(), ApiError> {
    match definition(kind, name) {
        Some(found) if found.value_type != ValueType::List => {
            let why = format!("Can't {operation} to key {name} because its type is not LIST.");
            Err(ApiError::new(ErrorCode::InvalidConfig, why))
        }
        _ => Ok(()),
    }
}

fn invalid_request(why: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, why)
}

fn null_value(name: &str) -> ApiError {
    invalid_request(format!("Null value not supported for : {name}"))
}

fn duplicate_key(name: &str) -> ApiError {
    invalid_request(format!("Error due to duplicate config keys : {name}"))
}
