//! Administration of the cluster: who is in it, where replicas are, and who leads.

use highwater_types::ErrorCode;
use highwater_wire::messages::*;

use crate::common::{Client, TestBroker, code};

/// Code, message, endpoint type, controller, and every broker with its port.
type Described = (ErrorCode, Option<String>, i8, i32, Vec<(i32, i32)>);

fn describe(client: &mut Client, version: i16, endpoint_type: i8) -> Described {
    let answer = client.call(version, &DescribeClusterRequest { endpoint_type, ..Default::default() });
    let response: DescribeClusterResponse<'_> = answer.body();
    assert_eq!(response.cluster_id.is_empty(), response.error_code != 0);
    let brokers = response.brokers.iter().map(|broker| (broker.broker_id, broker.port)).collect();
    let message = response.error_message.map(|message| message.into_owned());
    (code(response.error_code), message, response.endpoint_type, response.controller_id, brokers)
}

#[test]
fn each_listener_describes_the_nodes_behind_it() {
    let broker = TestBroker::start_with(&[
        ("node.id", "1"),
        ("process.roles", "broker,controller"),
        ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
        ("controller.listener.names", "CONTROLLER"),
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
    ]);
    let refused = |code, message: &str| (code, Some(message.to_owned()), 1, -1, vec![]);
    let mut client = broker.client();
    let port = i32::from(broker.address().port());
    for version in [0, 1, 2] {
        assert_eq!(describe(&mut client, version, 1), (ErrorCode::None, None, 1, 1, vec![(1, port)]));
    }
    let mut controller = Client::connect(broker.broker().local_addrs()[1]);
    for version in [1, 2] {
        let to_controllers =
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        assert_eq!(describe(&mut client, version, 2), refused(ErrorCode::MismatchedEndpointType, to_controllers));
        assert_eq!(describe(&mut controller, version, 2), (ErrorCode::None, None, 2, 1, vec![(1, 9093)]));
        for client in [&mut client, &mut controller] {
            let unknown = refused(ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type 9");
            assert_eq!(describe(client, version, 9), unknown);
        }
    }
    let to_brokers = "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER";
    assert_eq!(describe(&mut controller, 0, 1), refused(ErrorCode::InvalidRequest, to_brokers));
    assert_eq!(describe(&mut controller, 2, 1), refused(ErrorCode::MismatchedEndpointType, to_brokers));
}
