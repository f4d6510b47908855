//! DescribeConfigs (32): every config of a resource, with where its value comes from.

use std::borrow::Cow;
use std::collections::HashSet;

use highwater_metadata::config::{ConfigResolver, ResolvedConfig, ResourceKind};
use highwater_types::{ErrorCode, TopicName};
use highwater_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use highwater_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeConfigsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.resources.len())?;
    // A resource is described once: a repeated name must not multiply the answer.
    let mut seen = HashSet::new();
    let results = body
        .resources
        .iter()
        .filter(|resource| seen.insert((resource.resource_type, resource.resource_name.clone())))
        .map(|resource| match describe(cx, &resource) {
            Ok(configs) => DescribeConfigsResult {
                configs: wanted(configs, &resource).map(|config| result(config, body.include_synonyms)).collect(),
                error_message: None,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                ..DescribeConfigsResult::default()
            },
            Err((code, message)) => DescribeConfigsResult {
                error_code: code as i16,
                error_message: Some(message.into()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                ..DescribeConfigsResult::default()
            },
        })
        .collect();
    request.to.send(out, &DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() })
}

fn describe(cx: &Cx<'_>, resource: &DescribeConfigsResource<'_>) -> Result<Vec<ResolvedConfig>, (ErrorCode, String)> {
    let invalid = |message: String| (ErrorCode::InvalidRequest, message);
    let resolver = ConfigResolver { image: &cx.view.image, static_config: &cx.node.static_config, node: cx.node.id };
    let name = &*resource.resource_name;
    let own_id = cx.node.id.to_string();
    match ResourceKind::from_code(resource.resource_type) {
        Some(ResourceKind::Topic) => {
            TopicName::check(name).map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
            if cx.view.image.topic(name).is_none() {
                let code = ErrorCode::UnknownTopicOrPartition;
                return Err((code, "This server does not host this topic-partition.".to_owned()));
            }
            Ok(resolver.topic(name))
        }
        Some(ResourceKind::Broker) if name.is_empty() => Ok(resolver.default_broker()),
        Some(ResourceKind::Broker) if name == own_id => Ok(resolver.broker()),
        Some(ResourceKind::Broker) => {
            Err(invalid(format!("Unexpected broker id, expected {own_id} or empty string, but received {name}")))
        }
        // The levels of loggers are not configured through the protocol here.
        Some(ResourceKind::BrokerLogger) if name == own_id => Ok(Vec::new()),
        Some(ResourceKind::BrokerLogger) => {
            Err(invalid(format!("Unexpected broker id, expected {own_id} but received {name}")))
        }
        Some(ResourceKind::ClientMetrics) if name.is_empty() => {
            Err(invalid("Client metrics subscription name must not be empty".to_owned()))
        }
        Some(ResourceKind::ClientMetrics) => Ok(resolver.client_metrics(name)),
        Some(ResourceKind::Group) if name.is_empty() => Err(invalid("Group name must not be empty".to_owned())),
        Some(ResourceKind::Group) => Ok(resolver.group(name)),
        _ => Err(invalid(format!("Unsupported resource type: {}", resource.resource_type))),
    }
}

/// Those that the request names; all of them if it names none.
fn wanted(
    configs: Vec<ResolvedConfig>,
    resource: &DescribeConfigsResource<'_>,
) -> impl Iterator<Item = ResolvedConfig> {
    let keys: Option<HashSet<String>> = resource
        .configuration_keys
        .as_ref()
        .filter(|keys| !keys.is_empty())
        .map(|keys| keys.iter().map(Cow::into_owned).collect());
    configs.into_iter().filter(move |config| keys.as_ref().is_none_or(|keys| keys.contains(&config.name)))
}

fn result(config: ResolvedConfig, include_synonyms: bool) -> DescribeConfigsResourceResult<'static> {
    let synonyms = if include_synonyms { config.synonyms } else { Vec::new() };
    DescribeConfigsResourceResult {
        name: config.name.into(),
        value: config.value.map(Into::into),
        read_only: config.read_only,
        config_source: config.source.code(),
        is_sensitive: config.sensitive,
        synonyms: synonyms
            .into_iter()
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name.into(),
                value: synonym.value.map(Into::into),
                source: synonym.source.code(),
                ..DescribeConfigsSynonym::default()
            })
            .collect(),
        config_type: config.value_type.code(),
        documentation: None,
        ..DescribeConfigsResourceResult::default()
    }
}
