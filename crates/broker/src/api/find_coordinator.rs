//! FindCoordinator (10): says that no coordinator is available, until groups and transactions exist.

use highwater_types::ErrorCode;
use highwater_wire::messages::FindCoordinatorRequest;
use highwater_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(_cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: FindCoordinatorRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.coordinator_keys.len())?;
    let version = request.version();
    let (error, message) = match body.key_type {
        KEY_GROUP | KEY_TRANSACTION => (ErrorCode::CoordinatorNotAvailable, "The coordinator is not available."),
        KEY_SHARE if version >= 6 => (ErrorCode::CoordinatorNotAvailable, "The coordinator is not available."),
        _ => (ErrorCode::InvalidRequest, "Unknown coordinator type."),
    };
    let response = if version >= 4 {
        FindCoordinatorResponse {
            coordinators: body
                .coordinator_keys
                .iter()
                .map(|key| Coordinator {
                    key,
                    node_id: -1,
                    port: -1,
                    error_code: error as i16,
                    error_message: Some(message.into()),
                    ..Coordinator::default()
                })
                .collect(),
            ..FindCoordinatorResponse::default()
        }
    } else {
        FindCoordinatorResponse {
            error_code: error as i16,
            error_message: (version >= 1).then(|| message.into()),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        }
    };
    request.to.send(out, &response)
}

const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;
const KEY_SHARE: i8 = 2;
