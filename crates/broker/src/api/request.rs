//! One request, and the ways to end it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use highwater_wire::frame::encode_response;
use highwater_wire::messages::EnvelopeResponse;
use highwater_wire::{ApiKey, DecodeError, EncodeError, Message, Reader};

use super::parked::Parked;
use super::service::{ConnState, Scratch};
use crate::net::{Now, Out, Peer};
use crate::node::Node;
use crate::view::View;

/// What a handler works with besides the request.
pub(super) struct Cx<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) view: Arc<View>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) conn: &'a mut ConnState,
    pub(super) peer: &'a Peer,
    pub(super) now: Now,
}

/// A request whose header has been read.
pub(super) struct Request<'a> {
    pub(super) to: ReplyTo,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads the body. Bytes behind it are ignored, as Kafka does.
    pub(super) fn decode<M: Message<'a>>(&self) -> Result<M, Refused> {
        Ok(M::decode(&mut Reader::new(self.body), self.to.version)?)
    }

    pub(super) fn version(&self) -> i16 {
        self.to.version
    }
}

/// Where an answer belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTo {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    /// The envelope that the request came in, from the broker that has forwarded it.
    pub(super) envelope: Option<Envelope>,
}

/// An envelope to be answered (KIP-590).
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub(super) version: i16,
    pub(super) correlation_id: i32,
}

impl ReplyTo {
    /// Writes the answer behind those that are there.
    pub(super) fn send<'m, M: Message<'m>>(self, out: &mut Out, response: &M) -> Result<Outcome, Refused> {
        if let Some(Envelope { version, correlation_id }) = self.envelope {
            let mut answer = Vec::new();
            encode_response(&mut answer, self.key, self.version, self.correlation_id, response)?;
            let answer = answer.split_off(SIZE_BYTES);
            let response = EnvelopeResponse { response_data: Some(answer.into()), ..EnvelopeResponse::default() };
            encode_response(out.buf(), ApiKey::Envelope, version, correlation_id, &response)?;
            return Ok(Outcome::Answered);
        }
        encode_response(out.buf(), self.key, self.version, self.correlation_id, response)?;
        Ok(Outcome::Answered)
    }
}

/// How a handler left its request.
pub(crate) enum Outcome {
    /// The answer is in the output, or none is due.
    Answered,
    /// The answer comes later.
    Park { parked: Parked, deadline: Option<Instant> },
    /// The connection ends without an answer.
    Close,
}

/// Why a request gets no answer: its connection is closed, which is counted, not logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The peer's fault.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The request names more things than one request may.
    #[error("a request names {count} things, and may name {max}")]
    TooMany {
        /// How many it names.
        count: usize,
        /// How many it may name.
        max: usize,
    },
    /// Our fault: the answer does not fit the version.
    #[error(transparent)]
    Answer(#[from] EncodeError),
}

/// Refuses a request that names more than `max` things.
///
/// A name takes a few bytes on the wire and some hundred in memory, here and in the answer, so the limit on a request's
/// bytes alone would let one request take gigabytes.
pub(super) fn at_most(max: usize, count: usize) -> Result<(), Refused> {
    if max < count { Err(Refused::TooMany { count, max }) } else { Ok(()) }
}

/// Bytes of a frame's size in front of it.
const SIZE_BYTES: usize = 4;
/// Most topics or partitions that one request may name.
pub(super) const NAMES_MAX: usize = 200_000;
/// Most resources that one request may create, change or delete: as many records as one batch of metadata may have.
pub(super) const CHANGES_MAX: usize = 10_000;
