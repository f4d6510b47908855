//! DescribeCluster (60): the brokers of the cluster, or, on a listener for controllers, the controllers (KIP-919).

use highwater_types::{ErrorCode, NodeId};
use highwater_wire::messages::DescribeClusterRequest;
use highwater_wire::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeClusterRequest<'_> = request.decode()?;
    let response = match (body.endpoint_type, cx.node.is_for_controllers(cx.peer)) {
        (ENDPOINT_BROKERS, false) => brokers(cx, body.include_fenced_brokers),
        (ENDPOINT_CONTROLLERS, true) => controllers(cx),
        (ENDPOINT_BROKERS | ENDPOINT_CONTROLLERS, for_controllers) => {
            let (sent, wanted) = if for_controllers { ("CONTROLLER", "BROKER") } else { ("BROKER", "CONTROLLER") };
            // The type came with version 1, and so did the code.
            let code =
                if request.version() == 0 { ErrorCode::InvalidRequest } else { ErrorCode::MismatchedEndpointType };
            let why = format!(
                "The request was sent to an endpoint of type {sent}, but we wanted an endpoint of type {wanted}"
            );
            refused(code, why)
        }
        (unknown, _) => refused(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {unknown}")),
    };
    request.to.send(out, &response)
}

fn refused(code: ErrorCode, why: String) -> DescribeClusterResponse<'static> {
    DescribeClusterResponse {
        error_code: code as i16,
        error_message: Some(why.into()),
        ..DescribeClusterResponse::default()
    }
}

/// The controllers that have registered with an endpoint for this listener, and which of them is the active one, as far
/// as this node knows.
fn controllers(cx: &Cx<'_>) -> DescribeClusterResponse<'static> {
    let listener = cx.node.controller_listener_of(cx.peer);
    let controllers = cx.view.image.controllers().filter_map(|controller| {
        let endpoint = controller.endpoints.iter().find(|endpoint| Some(endpoint.name.as_str()) == listener)?;
        Some(DescribeClusterBroker {
            broker_id: controller.node.to_wire(),
            host: endpoint.host.clone().into(),
            port: i32::from(endpoint.port),
            ..DescribeClusterBroker::default()
        })
    });
    DescribeClusterResponse {
        endpoint_type: ENDPOINT_CONTROLLERS,
        cluster_id: cx.view.image.cluster_id().to_owned().into(),
        controller_id: cx.node.quorum.state().leader().map_or(-1, NodeId::to_wire),
        brokers: controllers.collect::<Vec<_>>().into(),
        ..DescribeClusterResponse::default()
    }
}

fn brokers(cx: &Cx<'_>, include_fenced: bool) -> DescribeClusterResponse<'static> {
    let image = &cx.view.image;
    let brokers = image
        .brokers()
        .filter(|broker| include_fenced || broker.is_active())
        .map(|broker| {
            let (host, port) = cx.node.endpoint_of(broker, cx.peer);
            DescribeClusterBroker {
                broker_id: broker.node.to_wire(),
                host: host.into(),
                port: i32::from(port),
                rack: broker.rack.clone().map(Into::into),
                is_fenced: include_fenced && !broker.is_active(),
                ..DescribeClusterBroker::default()
            }
        })
        .collect();
    DescribeClusterResponse {
        cluster_id: image.cluster_id().to_owned().into(),
        controller_id: image.controller().to_wire(),
        brokers,
        ..DescribeClusterResponse::default()
    }
}

const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;
