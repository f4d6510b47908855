//! Asking the coordinators of groups.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use highwater_group::{Request as GroupRequest, Response};
use highwater_metadata::features;
use highwater_wire::Array;

use super::parked::{Parked, PendingReply};
use super::request::{Cx, Outcome, Refused, ReplyTo, Request};
use crate::group::{Asked, PendingResponse};
use crate::net::{Out, Peer};

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

/// Asks about each of `groups`; their names, and what became of the questions.
///
/// A group that is named again is left out: a short request must not make a long answer out of one large group.
pub(super) fn ask_each(
    cx: &Cx<'_>,
    groups: &Array<'_, Cow<'_, str>>,
    question: impl for<'g> Fn(&'g str) -> GroupRequest<'g>,
) -> (Vec<String>, Vec<Asked>) {
    let mut seen = HashSet::with_capacity(groups.len());
    let names: Vec<String> = groups.iter().filter(|name| seen.insert(name.clone())).map(Cow::into_owned).collect();
    let ask = |name: &String| cx.node.coordinators.ask(cx.now, cx.peer.token(), name, question(name));
    let asked = names.iter().map(ask).collect();
    (names, asked)
}

/// The client's address, as Kafka writes it.
pub(super) fn client_host(peer: &Peer) -> String {
    host_of(peer.peer_addr().ip())
}

/// Java leaves no zeros out of an IPv6 address.
fn host_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            format!("/{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
        }
    }
}

/// Whether the consumer protocol (KIP-848) is served: its feature is finalized and the settings do not leave it out.
pub(super) fn has_consumer_protocol(cx: &Cx<'_>) -> bool {
    cx.node.settings.consumer_protocol && features::has_consumer_groups(&cx.view.image)
}

/// A coordinator answers in kind; if one should not, the client sees its connection end and asks again.
pub(super) fn unexpected() -> Result<Outcome, Refused> {
    tracing::error!("a group coordinator gave the answer to another request");
    Ok(Outcome::Close)
}

/// What may be done with a group, where nobody is denied anything: read (3), delete (6), describe (8), describe and
/// alter configs (10, 11).
pub(super) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
/// The answer to whoever has not asked for that.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_java_writes_them() {
        for (address, host) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::ffff:10.0.0.7", "/10.0.0.7"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("fe80::1:abcd", "/fe80:0:0:0:0:0:1:abcd"),
        ] {
            assert_eq!(host_of(address.parse().unwrap()), host);
        }
    }
}
