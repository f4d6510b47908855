//! From frames to handlers.

use std::sync::Arc;
use std::time::Duration;

use highwater_wire::frame::decode_request_header;
use highwater_wire::{ApiKey, Reader};

use super::parked::{self, Parked};
use super::request::{Cx, Outcome, Refused, ReplyTo, Request};
use super::supported::{self, Route, SupportedApi};
use super::{api_versions, delete_records, fetch, forward, produce};
use crate::interpose::{Intercepted, Verdict};
use crate::net::{Context, Frames, Out, Served, Service, Wake};
use crate::node::Node;
use crate::view::ViewCache;

/// Serves every connection of the broker.
pub(crate) struct Handlers {
    node: Arc<Node>,
}

/// State of one event loop.
pub(crate) struct LoopState {
    view: ViewCache,
    scratch: Scratch,
}

/// Vectors that requests of one loop reuse.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) produce: produce::Scratch,
}

/// State of one connection.
#[derive(Default)]
pub(crate) struct ConnState {
    /// Name and version of the client's library, from ApiVersions.
    pub(super) software: Option<Box<(String, String)>>,
    /// What was decided about the next request, which could not be carried out yet.
    decided: Option<Box<Verdict>>,
    /// The request being served is not answered: the connection ends instead.
    loses_answer: bool,
}

impl Handlers {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn cx<'a>(&'a self, context: &'a mut Context<'_, Self>) -> Cx<'a> {
        let LoopState { view, scratch } = &mut *context.lp;
        let view = Arc::clone(view.refresh(&self.node.view));
        Cx { node: &self.node, view, scratch, conn: context.conn, peer: context.peer, now: context.now }
    }

    fn refuse(&self, refused: &Refused) {
        match refused {
            Refused::Malformed(_) | Refused::TooMany { .. } => self.node.counters.malformed_requests.add(1),
            Refused::Answer(error) => tracing::error!("an answer could not be encoded: {error}"),
        }
    }

    fn served(&self, outcome: Result<Outcome, Refused>) -> Served<Parked> {
        match outcome {
            Ok(Outcome::Answered) => Served::Done,
            Ok(Outcome::Park { parked, deadline }) => Served::Park { parked, deadline },
            Ok(Outcome::Close) => Served::Close,
            Err(refused) => {
                self.refuse(&refused);
                Served::Close
            }
        }
    }
}

impl Service for Handlers {
    type Loop = LoopState;
    type Conn = ConnState;
    type Parked = Parked;

    fn new_loop(&self, _index: usize) -> LoopState {
        LoopState { view: self.node.view.cache(), scratch: Scratch::default() }
    }

    fn serve(&self, context: &mut Context<'_, Self>, frames: &mut Frames<'_>, out: &mut Out) -> Served<Parked> {
        let mut cx = self.cx(context);
        if !is_ready(&cx) {
            return Served::Park { parked: Parked::Start, deadline: Some(cx.now.instant + START_PAUSE) };
        }
        while let Some(frame) = frames.peek() {
            match intercept(&mut cx, frame, out) {
                Verdict::Serve => {}
                Verdict::Answer(answer) => {
                    if frames.next(out).is_some() {
                        out.buf().extend_from_slice(&answer);
                        continue;
                    }
                    cx.conn.decided = Some(Box::new(Verdict::Answer(answer)));
                    break;
                }
                Verdict::Delay(pause) => {
                    cx.conn.decided = Some(Box::default());
                    return Served::Park { parked: Parked::Pause, deadline: cx.now.instant.checked_add(pause) };
                }
                Verdict::Close => return Served::Close,
                // Answers to earlier requests leave first.
                Verdict::ServeAndClose if !out.is_empty() => {
                    cx.conn.decided = Some(Box::new(Verdict::ServeAndClose));
                    break;
                }
                Verdict::ServeAndClose => cx.conn.loses_answer = true,
                Verdict::Ignore => return Served::Park { parked: Parked::Nothing, deadline: None },
            }
            let outcome = if is_served_produce(frame) {
                if out.is_full() {
                    break;
                }
                produce::serve(&mut cx, frames, out)
            } else {
                let Some(frame) = frames.next(out) else { break };
                serve_one(&mut cx, frame, out)
            };
            match self.served(outcome) {
                Served::Done if cx.conn.loses_answer => return lose(out),
                Served::Done => {}
                other => return other,
            }
        }
        Served::Done
    }

    fn resume(&self, context: &mut Context<'_, Self>, parked: Parked, why: Wake, out: &mut Out) -> Served<Parked> {
        let mut cx = self.cx(context);
        let served = self.served(match parked {
            Parked::Fetch(fetch) => fetch::resume(&mut cx, *fetch, why, out),
            Parked::Produce(produce) => produce::resume(&mut cx, *produce, why, out),
            Parked::Deletion(deletion) => delete_records::resume(&cx, *deletion, why, out),
            Parked::Job(job) => parked::resume_job(job, why, out),
            Parked::Forwarded(forwarded) => forward::resume(&mut cx, *forwarded, why, out),
            Parked::Start if is_ready(&cx) => Ok(Outcome::Answered),
            Parked::Start if why == Wake::Stopping => Ok(Outcome::Close),
            Parked::Start => Ok(Outcome::Park { parked: Parked::Start, deadline: Some(cx.now.instant + START_PAUSE) }),
            Parked::Pause | Parked::Nothing if why == Wake::Stopping => Ok(Outcome::Close),
            Parked::Pause => Ok(Outcome::Answered),
            Parked::Nothing => Ok(Outcome::Park { parked: Parked::Nothing, deadline: None }),
        });
        match served {
            Served::Done if cx.conn.loses_answer => lose(out),
            served => served,
        }
    }
}

/// What is to become of the request at the front.
fn intercept(cx: &mut Cx<'_>, frame: &[u8], out: &Out) -> Verdict {
    let Some(interposer) = &cx.node.interposer else { return Verdict::Serve };
    if let Some(decided) = cx.conn.decided.take() {
        return *decided;
    }
    // Those that are not served are none of a test's business, and those that have to wait are decided about later.
    if accept(frame).is_none() || out.is_full() {
        return Verdict::Serve;
    }
    let is_for_controllers = cx.node.is_for_controllers(cx.peer);
    interposer.intercept(&Intercepted { frame, node: cx.node.id, is_for_controllers, view: &cx.view })
}

/// Ends a connection instead of answering.
fn lose<P>(out: &mut Out) -> Served<P> {
    out.clear();
    Served::Close
}

/// Serves a request of any kind.
fn serve_one(cx: &mut Cx<'_>, frame: &[u8], out: &mut Out) -> Result<Outcome, Refused> {
    let Some(api) = accept(frame) else {
        if let Some(correlation_id) = unknown_api_versions(frame) {
            return api_versions::answer_unknown_version(correlation_id, out);
        }
        cx.node.counters.unsupported_requests.add(1);
        return Ok(Outcome::Close);
    };
    if !api.is_served(cx.node.is_for_controllers(cx.peer)) {
        cx.node.counters.unsupported_requests.add(1);
        return Ok(Outcome::Close);
    }
    let handler = match api.route {
        Route::One(handler) => handler,
        Route::Controller(_) if !cx.node.is_for_controllers(cx.peer) && !cx.node.quorum.state().is_active() => {
            return forward::begin(cx, frame, out);
        }
        Route::Controller(handler) => handler,
        Route::Quorum(handler) => handler,
        Route::Produce => return Ok(Outcome::Close),
    };
    let request = read_header(api, frame)?;
    handler(cx, &request, out)
}

/// Clients are served once the broker is let into its cluster; controllers at once.
fn is_ready(cx: &Cx<'_>) -> bool {
    cx.node.is_for_controllers(cx.peer) || cx.node.life.is_ready()
}

/// How often connections that came too early look whether the broker has started.
const START_PAUSE: Duration = Duration::from_millis(20);

/// The API of a request, if its key and version are served.
pub(super) fn accept(frame: &[u8]) -> Option<&'static SupportedApi> {
    let api = supported::find(i16_at(frame, 0)?)?;
    (api.min..=api.max).contains(&i16_at(frame, 2)?).then_some(api)
}

pub(super) fn read_header<'a>(api: &SupportedApi, frame: &'a [u8]) -> Result<Request<'a>, Refused> {
    let mut reader = Reader::new(frame);
    let header = decode_request_header(&mut reader)?;
    let (version, correlation_id) = (header.api_version, header.correlation_id);
    let to = ReplyTo { key: api.key, version, correlation_id, envelope: None };
    Ok(Request { to, client_id: header.client_id, body: reader.rest() })
}

/// Whether this is a produce request in a version that is served.
fn is_served_produce(frame: &[u8]) -> bool {
    accept(frame).is_some_and(|api| matches!(api.route, Route::Produce))
}

/// The correlation id of an ApiVersions request in a version that we do not know.
fn unknown_api_versions(frame: &[u8]) -> Option<i32> {
    let correlation_id = frame.get(4..8)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))?;
    (i16_at(frame, 0)? == ApiKey::ApiVersions as i16).then_some(correlation_id)
}

fn i16_at(frame: &[u8], at: usize) -> Option<i16> {
    frame.get(at..)?.first_chunk().map(|bytes| i16::from_be_bytes(*bytes))
}
