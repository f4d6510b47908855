//! Answers that say that something went wrong.

use std::sync::Arc;

use highwater_types::ErrorCode;

use crate::protocol::MemberAssignment;
use crate::request::Request;
use crate::response::{
    ConsumerHeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, OffsetDeleteResponse, OffsetFetchResponse,
    Response, SyncGroupResponse,
};

/// The answer to a request that is not handled.
pub(crate) fn refuse(request: &Request<'_>, error: ErrorCode) -> Response {
    match request {
        Request::Join(join) => Response::Join(JoinGroupResponse::refused(join.member, error)),
        Request::Sync(_) => Response::Sync(SyncGroupResponse::refused(error)),
        Request::Heartbeat(_) => Response::Heartbeat(error),
        Request::Leave(_) => Response::Leave(LeaveGroupResponse { error, members: Vec::new() }),
        Request::ConsumerHeartbeat(_) => Response::ConsumerHeartbeat(ConsumerHeartbeatResponse::refused(error, None)),
        Request::OffsetCommit(commit) => Response::OffsetCommit(vec![error; commit.offsets.len()]),
        Request::OffsetFetch(_) => Response::OffsetFetch(OffsetFetchResponse { error, topics: Vec::new() }),
        Request::OffsetDelete(_) => Response::OffsetDelete(OffsetDeleteResponse { error, topics: Vec::new() }),
        Request::DeleteGroup { .. } => Response::DeleteGroup(error),
        Request::Describe { .. } => Response::Describe(Err(error)),
        Request::ConsumerDescribe { .. } => Response::ConsumerDescribe(Err(error)),
        Request::List { .. } => Response::List(Err(error)),
    }
}

/// The answer to a request whose records could not be stored, or not be committed in time.
pub(crate) fn fail(response: Response, error: ErrorCode) -> Response {
    // Clients of groups do not know the codes of appends.
    let error = match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    };
    match response {
        Response::Join(join) => Response::Join(JoinGroupResponse::refused(&join.member, error)),
        Response::Sync(_) => Response::Sync(SyncGroupResponse::refused(error)),
        Response::Heartbeat(_) => Response::Heartbeat(error),
        Response::Leave(_) => Response::Leave(LeaveGroupResponse { error, members: Vec::new() }),
        Response::ConsumerHeartbeat(_) => Response::ConsumerHeartbeat(ConsumerHeartbeatResponse::refused(error, None)),
        Response::OffsetCommit(codes) => {
            // What was refused for a reason of its own keeps that.
            let failed = |code| if code == ErrorCode::None { error } else { code };
            Response::OffsetCommit(codes.into_iter().map(failed).collect())
        }
        Response::OffsetFetch(_) => Response::OffsetFetch(OffsetFetchResponse { error, topics: Vec::new() }),
        Response::OffsetDelete(_) => Response::OffsetDelete(OffsetDeleteResponse { error, topics: Vec::new() }),
        Response::DeleteGroup(_) => Response::DeleteGroup(error),
        Response::Describe(_) => Response::Describe(Err(error)),
        Response::ConsumerDescribe(_) => Response::ConsumerDescribe(Err(error)),
        Response::List(_) => Response::List(Err(error)),
    }
}

impl JoinGroupResponse {
    /// An answer that says `error` to `member`.
    pub(crate) fn refused(member: &str, error: ErrorCode) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: Arc::from(""),
            skip_assignment: false,
            member: Arc::from(member),
            members: Vec::new(),
        }
    }
}

impl SyncGroupResponse {
    /// An answer that says `error`.
    pub(crate) fn refused(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol_name: None, assignment: MemberAssignment::Opaque(Arc::from([])) }
    }
}

impl ConsumerHeartbeatResponse {
    /// An answer that says `error`.
    pub(crate) fn refused(error: ErrorCode, message: Option<String>) -> Self {
        Self { error, message, member: None, member_epoch: 0, heartbeat_interval_ms: 0, assignment: None }
    }
}
