//! Asking the coordinators of groups.

use highwater_group::{Request as GroupRequest, Response};

use super::parked::{Parked, PendingReply};
use super::request::{Cx, Outcome, Refused, ReplyTo, Request};
use crate::group::{Asked, PendingResponse};
use crate::net::Out;

/// Asks the coordinator of `group`, and answers with what `reply` makes of its response, now or when it comes.
pub(super) fn ask(
    cx: &Cx<'_>,
    request: &Request<'_>,
    out: &mut Out,
    group: &str,
    asked: GroupRequest<'_>,
    reply: impl FnOnce(Response, ReplyTo, &mut Out) -> Result<Outcome, Refused> + 'static,
) -> Result<Outcome, Refused> {
    match cx.node.coordinators.ask(cx.now, cx.peer.token(), group, asked) {
        Asked::Answered(response) => reply(response, request.to, out),
        Asked::Waits(pending) => {
            let parked = OneReply { pending, to: request.to, reply: Some(reply) };
            Ok(Outcome::Park { parked: Parked::Job(Box::new(parked)), deadline: None })
        }
    }
}

/// Answers with what `reply` makes of the responses to several questions, in their order, once all are there.
pub(super) fn answer_all(
    request: &Request<'_>,
    out: &mut Out,
    asked: Vec<Asked>,
    reply: impl FnOnce(Vec<Response>, ReplyTo, &mut Out) -> Result<Outcome, Refused> + 'static,
) -> Result<Outcome, Refused> {
    let mut parked = AllReplies { asked, to: request.to, reply: Some(reply) };
    match parked.answer(out) {
        Some(outcome) => outcome,
        None => Ok(Outcome::Park { parked: Parked::Job(Box::new(parked)), deadline: None }),
    }
}

struct OneReply<F> {
    pending: PendingResponse,
    to: ReplyTo,
    reply: Option<F>,
}

impl<F: FnOnce(Response, ReplyTo, &mut Out) -> Result<Outcome, Refused>> PendingReply for OneReply<F> {
    fn answer(&mut self, out: &mut Out) -> Option<Result<Outcome, Refused>> {
        let response = self.pending.take()?;
        let reply = self.reply.take()?;
        Some(reply(response, self.to, out))
    }
}

struct AllReplies<F> {
    asked: Vec<Asked>,
    to: ReplyTo,
    reply: Option<F>,
}

impl<F: FnOnce(Vec<Response>, ReplyTo, &mut Out) -> Result<Outcome, Refused>> PendingReply for AllReplies<F> {
    fn answer(&mut self, out: &mut Out) -> Option<Result<Outcome, Refused>> {
        let mut is_complete = true;
        for asked in &mut self.asked {
            if let Asked::Waits(pending) = asked {
                match pending.take() {
                    Some(response) => *asked = Asked::Answered(response),
                    None => is_complete = false,
                }
            }
        }
        if !is_complete {
            return None;
        }
        let responses = self.asked.drain(..).filter_map(|asked| match asked {
            Asked::Answered(response) => Some(response),
            Asked::Waits(_) => None,
        });
        let responses = responses.collect();
        let reply = self.reply.take()?;
        Some(reply(responses, self.to, out))
    }
}
