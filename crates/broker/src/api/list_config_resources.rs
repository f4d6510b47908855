//! ListConfigResources (74): which resources have configs. Version 0 was ListClientMetricsResources.

use highwater_metadata::config::ResourceKind;
use highwater_types::ErrorCode;
use highwater_wire::messages::ListConfigResourcesRequest;
use highwater_wire::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};

use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ListConfigResourcesRequest<'_> = request.decode()?;
    let asked: Vec<i8> = body.resource_types.iter().collect();
    let kinds: Option<Vec<ResourceKind>> = match (request.version(), asked.is_empty()) {
        (0, _) => Some(vec![ResourceKind::ClientMetrics]),
        (_, true) => Some(ALL_KINDS.to_vec()),
        (_, false) => asked.iter().map(|code| ResourceKind::from_code(*code)).collect(),
    };
    let Some(mut kinds) = kinds else {
        let error_code = ErrorCode::UnsupportedVersion as i16;
        return request
            .to
            .send(out, &ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() });
    };
    kinds.sort_unstable_by_key(|kind| kind.code());
    kinds.dedup();
    let mut resources = Vec::new();
    for kind in kinds {
        let mut add = |name: &str| {
            resources.push(ConfigResource {
                resource_name: name.to_owned().into(),
                resource_type: kind.code(),
                ..ConfigResource::default()
            });
        };
        let image = &cx.view.image;
        match kind {
            ResourceKind::Topic => image.topics().for_each(|topic| add(topic.name().as_str())),
            ResourceKind::Broker | ResourceKind::BrokerLogger => {
                image.brokers().for_each(|broker| add(&broker.node.to_string()));
            }
            kind => image.config_resources(kind).for_each(add),
        }
    }
    let response =
        ListConfigResourcesResponse { config_resources: resources.into(), ..ListConfigResourcesResponse::default() };
    request.to.send(out, &response)
}

const ALL_KINDS: [ResourceKind; 5] = [
    ResourceKind::Topic,
    ResourceKind::Broker,
    ResourceKind::BrokerLogger,
    ResourceKind::ClientMetrics,
    ResourceKind::Group,
];
