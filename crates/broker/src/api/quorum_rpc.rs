//! What the nodes of the metadata quorum ask one another: Vote (52), BeginQuorumEpoch (53), EndQuorumEpoch (54),
//! FetchSnapshot (59), and Fetch (1) of `__cluster_metadata`.

use highwater_raft::Response;
use highwater_types::ErrorCode;
use highwater_wire::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, VoteRequest, VoteResponse,
};

use super::parked::park_for;
use super::request::{Cx, Outcome, Refused, ReplyTo, Request};
use crate::net::Out;
use crate::quorum::messages::LeaderAt;
use crate::quorum::{Asked, RaftReply, messages};

pub(super) fn vote(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: VoteRequest<'_> = request.decode()?;
    let asked = check(cx, body.cluster_id.as_deref(), || messages::read_vote(&body, cx.node.id)).map(Asked::from);
    let reply = |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::Vote(answer) => to.send(out, &messages::vote_response(&answer, at(reply.leader_at, to, 1))),
        _ => Ok(Outcome::Close),
    };
    let refuse = |code| VoteResponse { error_code: code, ..VoteResponse::default() };
    match ask(cx, request, asked, reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code as i16)),
    }
}

pub(super) fn begin_quorum_epoch(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: BeginQuorumEpochRequest<'_> = request.decode()?;
    let read = check(cx, body.cluster_id.as_deref(), || messages::read_begin(&body, cx.node.id));
    let leader_at = messages::begin_leader_at(&body, &cx.node.settings.controller_listener);
    let asked = read.map(|request| Asked { leader_at, ..request.into() });
    let reply = |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::BeginQuorumEpoch(answer) => {
            to.send(out, &messages::begin_response(answer, at(reply.leader_at, to, 1)))
        }
        _ => Ok(Outcome::Close),
    };
    let refuse = |code| BeginQuorumEpochResponse { error_code: code, ..BeginQuorumEpochResponse::default() };
    match ask(cx, request, asked, reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code as i16)),
    }
}

pub(super) fn end_quorum_epoch(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: EndQuorumEpochRequest<'_> = request.decode()?;
    let read = check(cx, body.cluster_id.as_deref(), || messages::read_end(&body));
    let leader_at = messages::end_leader_at(&body, &cx.node.settings.controller_listener);
    let asked = read.map(|request| Asked { leader_at, ..request.into() });
    let reply = |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::EndQuorumEpoch(answer) => to.send(out, &messages::end_response(answer, at(reply.leader_at, to, 1))),
        _ => Ok(Outcome::Close),
    };
    let refuse = |code| EndQuorumEpochResponse { error_code: code, ..EndQuorumEpochResponse::default() };
    match ask(cx, request, asked, reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code as i16)),
    }
}

pub(super) fn fetch_snapshot(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: FetchSnapshotRequest<'_> = request.decode()?;
    let read = check(cx, body.cluster_id.as_deref(), || messages::read_fetch_snapshot(&body));
    let asked = read.map(|(request, bytes_max)| Asked { bytes_max, ..request.into() });
    let reply = |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::FetchSnapshot(answer) => {
            to.send(out, &messages::snapshot_response(&answer, &reply.bytes, at(reply.leader_at, to, 1)))
        }
        _ => Ok(Outcome::Close),
    };
    let refuse = |code| FetchSnapshotResponse { error_code: code, ..FetchSnapshotResponse::default() };
    match ask(cx, request, asked, reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code as i16)),
    }
}

/// A fetch of the metadata log, on a listener for controllers.
pub(super) fn fetch(
    cx: &Cx<'_>,
    body: &FetchRequest<'_>,
    request: &Request<'_>,
    out: &mut Out,
) -> Result<Outcome, Refused> {
    let read = check(cx, body.cluster_id.as_deref(), || messages::read_fetch(body));
    let asked = read.map(|(request, bytes_max)| Asked { bytes_max, ..request.into() });
    let reply = |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::Fetch(answer) => {
            to.send(out, &messages::fetch_response(&answer, &reply.bytes, at(reply.leader_at, to, 16)))
        }
        _ => Ok(Outcome::Close),
    };
    let refuse = |code| FetchResponse { error_code: code, ..FetchResponse::default() };
    match ask(cx, request, asked, reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code as i16)),
    }
}

/// Reads a request of this cluster.
pub(super) fn check<R>(
    cx: &Cx<'_>,
    cluster_id: Option<&str>,
    read: impl FnOnce() -> Option<R>,
) -> Result<R, ErrorCode> {
    if cluster_id.is_some_and(|id| id != cx.view.image.cluster_id()) {
        return Err(ErrorCode::InconsistentClusterId);
    }
    read().ok_or(ErrorCode::InvalidRequest)
}

/// Where the leader is, for versions from `since` on, which can say so.
pub(super) fn at(leader_at: Option<LeaderAt>, to: ReplyTo, since: i16) -> Option<LeaderAt> {
    leader_at.filter(|_| since <= to.version)
}

/// Asks the quorum's thread and parks for its answer.
pub(super) fn ask(
    cx: &Cx<'_>,
    request: &Request<'_>,
    asked: Result<Asked, ErrorCode>,
    reply: impl FnOnce(RaftReply, ReplyTo, &mut Out) -> Result<Outcome, Refused> + 'static,
) -> Result<Outcome, ErrorCode> {
    let job = cx.node.quorum.ask(cx.peer.token(), asked?).map_err(|_| ErrorCode::RequestTimedOut)?;
    Ok(park_for(request, job, reply))
}
