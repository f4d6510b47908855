//! Who decides in the metadata quorum (KIP-853): AddRaftVoter (80), RemoveRaftVoter (81), UpdateRaftVoter (82).

use highwater_raft::{ChangeAnswer, Endpoint, Request as RaftRequest, Response};
use highwater_types::ErrorCode;
use highwater_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse, UpdateRaftVoterRequest,
    UpdateRaftVoterResponse,
};

use super::quorum_rpc::{ask, check};
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::Out;
use crate::quorum::{Asked, RaftReply, voter_messages};

pub(super) fn add(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: AddRaftVoterRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.listeners.len())?;
    let refuse = |code: ErrorCode, why: Option<String>| AddRaftVoterResponse {
        error_code: code as i16,
        error_message: why.map(Into::into),
        ..AddRaftVoterResponse::default()
    };
    let add = check(cx, body.cluster_id.as_deref(), || voter_messages::read_add(&body));
    if let Ok(add) = &add
        && let Some(why) = lacks_default(cx, &add.endpoints)
    {
        return request.to.send(out, &refuse(ErrorCode::InvalidRequest, Some(why)));
    }
    let reply = move |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::AddVoter(answer) => to.send(out, &refuse(answer.leadership.error, why(&answer))),
        _ => Ok(Outcome::Close),
    };
    match ask(cx, request, add.map(|add| Asked::from(RaftRequest::AddVoter(add))), reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code, None)),
    }
}

pub(super) fn remove(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: RemoveRaftVoterRequest<'_> = request.decode()?;
    let refuse = |code: ErrorCode, why: Option<String>| RemoveRaftVoterResponse {
        error_code: code as i16,
        error_message: why.map(Into::into),
        ..RemoveRaftVoterResponse::default()
    };
    let remove = check(cx, body.cluster_id.as_deref(), || voter_messages::read_remove(&body));
    let reply = move |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::RemoveVoter(answer) => to.send(out, &refuse(answer.leadership.error, why(&answer))),
        _ => Ok(Outcome::Close),
    };
    match ask(cx, request, remove.map(|remove| Asked::from(RaftRequest::RemoveVoter(remove))), reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => request.to.send(out, &refuse(code, None)),
    }
}

pub(super) fn update(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: UpdateRaftVoterRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.listeners.len())?;
    let update = check(cx, body.cluster_id.as_deref(), || voter_messages::read_update(&body));
    let update = update.and_then(|update| match lacks_default(cx, &update.endpoints) {
        Some(_) => Err(ErrorCode::InvalidRequest),
        None => Ok(Asked::from(RaftRequest::UpdateVoter(update))),
    });
    let reply = |reply: RaftReply, to: ReplyTo, out: &mut Out| match reply.response {
        Response::UpdateVoter(answer) => to.send(out, &voter_messages::update_response(&answer, reply.leader_at)),
        _ => Ok(Outcome::Close),
    };
    match ask(cx, request, update, reply) {
        Ok(outcome) => Ok(outcome),
        Err(code) => {
            let refused = UpdateRaftVoterResponse { error_code: code as i16, ..UpdateRaftVoterResponse::default() };
            request.to.send(out, &refused)
        }
    }
}

/// What is wrong with the endpoints of a voter if that on which the others look for it is not among them.
fn lacks_default(cx: &Cx<'_>, endpoints: &[Endpoint]) -> Option<String> {
    let default = &cx.node.settings.controller_listener;
    let has_default = endpoints.iter().any(|endpoint| endpoint.listener.eq_ignore_ascii_case(default));
    (!has_default).then(|| format!("the request has no endpoint for the default listener {default}"))
}

fn why(answer: &ChangeAnswer) -> Option<String> {
    answer.refusal.map(|refusal| refusal.to_string())
}
