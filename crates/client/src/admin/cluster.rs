//! The brokers themselves.

use highwater_types::NodeId;
use highwater_wire::messages::update_features_request::FeatureUpdateKey;
use highwater_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse, UnregisterBrokerRequest,
    UnregisterBrokerResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use highwater_wire::{ApiKey, VersionRange};

use super::Admin;
use crate::error::check;
use crate::io::{Lane, Peer};
use crate::metadata::Node;
use crate::pending::Pending;

/// A cluster and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: String,
    /// The broker that is told to clients as the controller.
    pub controller: Option<NodeId>,
    /// Its brokers, by id.
    pub brokers: Vec<DescribedBroker>,
}

/// A broker of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedBroker {
    /// Where it is.
    pub node: Node,
    /// Whether it is registered but not there.
    pub is_fenced: bool,
}

/// What a broker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    /// Number of the API.
    pub code: i16,
    /// The API, if this client knows it.
    pub api: Option<ApiKey>,
    /// The versions that the broker speaks.
    pub versions: VersionRange,
    /// The version that this client uses with it; `None` if there is none in common.
    pub usable: Option<i16>,
}

/// A feature of a cluster, such as `metadata.version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// The levels that the broker supports.
    pub supported: (i16, i16),
    /// The level that the cluster is at; 0 if it is off.
    pub finalized: i16,
    /// When the levels were changed last, counted by the cluster; `None` if it does not say.
    pub epoch: Option<i64>,
}

/// What to do with a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Its name.
    pub name: String,
    /// The level to go to; 0 turns it off.
    pub level: i16,
    /// Whether the level may be lower than it is now, as long as nothing is lost.
    pub may_downgrade: bool,
}

impl Admin {
    /// The cluster and its brokers, also those that are registered but not there.
    pub fn describe_cluster(&self) -> Pending<ClusterDescription> {
        self.call("describing the cluster", |io, deadline| async move {
            let link = io.any_link(Lane::default(), deadline).await?;
            let version = io.version(link, ApiKey::DescribeCluster, i16::MAX)?;
            let request = DescribeClusterRequest {
                // Ignored where it is not known.
                include_fenced_brokers: FENCED_BROKERS <= version,
                ..DescribeClusterRequest::default()
            };
            let answer = io.ask(link, version, io.request_deadline(deadline), &request).await?;
            let response: DescribeClusterResponse<'_> = answer.decode()?;
            check(response.error_code, response.error_message.as_deref())?;
            let mut brokers: Vec<DescribedBroker> = Vec::new();
            for broker in &response.brokers {
                let (Some(id), Ok(port)) = (NodeId::from_wire(broker.broker_id), u16::try_from(broker.port)) else {
                    return Err(answer.lacks("a broker's address"));
                };
                let rack = broker.rack.as_deref().map(str::to_owned);
                let node = Node { id, host: broker.host.to_string(), port, rack };
                brokers.push(DescribedBroker { node, is_fenced: broker.is_fenced });
            }
            brokers.sort_by_key(|broker| broker.node.id);
            let controller = NodeId::from_wire(response.controller_id);
            Ok(ClusterDescription { id: response.cluster_id.to_string(), controller, brokers })
        })
    }

    /// What a broker speaks; `None` for whichever can be reached.
    pub fn api_versions(&self, broker: Option<NodeId>) -> Pending<Vec<ApiRange>> {
        self.call("asking for versions", move |io, deadline| async move {
            let link = match broker {
                Some(id) => {
                    io.know_nodes(deadline).await?;
                    io.ready(Peer::Node(id), Lane::default(), deadline).await?
                }
                None => io.any_link(Lane::default(), deadline).await?,
            };
            let range = |(code, versions): (i16, VersionRange)| {
                let api = ApiKey::from_code(code);
                let usable = api.and_then(|api| io.version(link, api, i16::MAX).ok());
                ApiRange { code, api, versions, usable }
            };
            Ok(io.versions(link).into_iter().map(range).collect())
        })
    }

    /// The features of the cluster, by name.
    pub fn describe_features(&self) -> Pending<Vec<Feature>> {
        self.call("describing features", |io, deadline| async move {
            let request = ApiVersionsRequest {
                client_software_name: "highwater".into(),
                client_software_version: env!("CARGO_PKG_VERSION").into(),
                ..ApiVersionsRequest::default()
            };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: ApiVersionsResponse<'_> = answer.decode()?;
            check(response.error_code, None)?;
            let epoch = Some(response.finalized_features_epoch).filter(|epoch| 0 <= *epoch);
            let level = |name: &str| {
                let finalized = response.finalized_features.iter().find(|feature| feature.name == name);
                finalized.map_or(0, |feature| feature.max_version_level)
            };
            let mut features: Vec<Feature> = response
                .supported_features
                .iter()
                .map(|feature| Feature {
                    finalized: level(&feature.name),
                    supported: (feature.min_version, feature.max_version),
                    name: feature.name.to_string(),
                    epoch,
                })
                .collect();
            features.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(features)
        })
    }

    /// Takes features to other levels, all of them or none; or only checks whether that could be done.
    pub fn update_features(
        &self,
        updates: impl IntoIterator<Item = FeatureUpdate>,
        validate_only: bool,
    ) -> Pending<()> {
        let updates: Vec<FeatureUpdate> = updates.into_iter().collect();
        let timeout_ms = self.timeout_ms();
        self.call("changing features", move |io, deadline| async move {
            let wanted = updates.iter().map(|update| FeatureUpdateKey {
                feature: update.name.as_str().into(),
                max_version_level: update.level,
                upgrade_type: if update.may_downgrade { SAFE_DOWNGRADE } else { UPGRADE },
                ..Default::default()
            });
            let request = UpdateFeaturesRequest {
                timeout_ms,
                feature_updates: wanted.collect(),
                validate_only,
                ..UpdateFeaturesRequest::default()
            };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: UpdateFeaturesResponse<'_> = answer.decode()?;
            check(response.error_code, response.error_message.as_deref())?;
            let mut results = response.results.iter();
            results.try_for_each(|result| check(result.error_code, result.error_message.as_deref()))
        })
    }

    /// Forgets a broker that will not come back.
    pub fn unregister_broker(&self, id: NodeId) -> Pending<()> {
        self.call("unregistering a broker", move |io, deadline| async move {
            let request = UnregisterBrokerRequest { broker_id: id.to_wire(), ..UnregisterBrokerRequest::default() };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: UnregisterBrokerResponse<'_> = answer.decode()?;
            check(response.error_code, response.error_message.as_deref())
        })
    }
}

/// First version of DescribeCluster that tells of fenced brokers.
const FENCED_BROKERS: i16 = 2;
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
