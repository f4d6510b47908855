//! DescribeCluster (60): the brokers of the cluster.

use highwater_types::ErrorCode;
use highwater_wire::messages::DescribeClusterRequest;
use highwater_wire::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeClusterRequest<'_> = request.decode()?;
    let refused = match body.endpoint_type {
        ENDPOINT_BROKERS => None,
        ENDPOINT_CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        )),
        _ => Some((ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type")),
    };
    if let Some((error, message)) = refused {
        let response = DescribeClusterResponse {
            error_code: error as i16,
            error_message: Some(message.into()),
            ..DescribeClusterResponse::default()
        };
        return request.to.send(out, &response);
    }
    let image = &cx.view.image;
    let brokers = image
        .brokers()
        .filter(|broker| body.include_fenced_brokers || broker.is_active())
        .map(|broker| {
            let (host, port) = cx.node.endpoint_of(broker, cx.peer);
            DescribeClusterBroker {
                broker_id: broker.node.to_wire(),
                host: host.into(),
                port: i32::from(port),
                rack: broker.rack.as_deref().map(Into::into),
                is_fenced: body.include_fenced_brokers && !broker.is_active(),
                ..DescribeClusterBroker::default()
            }
        })
        .collect();
    let response = DescribeClusterResponse {
        cluster_id: image.cluster_id().into(),
        controller_id: image.controller().to_wire(),
        brokers,
        ..DescribeClusterResponse::default()
    };
    request.to.send(out, &response)
}

const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;
