//! One socket to one broker: what is sent, what is awaited, what has arrived.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use highwater_types::Ticks;
use highwater_wire::frame::{RequestHeader, decode_response_header, encode_request};
use highwater_wire::{ApiKey, DecodeError, Message, Reader};
use nix::errno::Errno;

use super::frames::Frames;
use super::network::ConnectionKey;
use super::outbox::{Outbox, Piece, PieceBytes};
use super::versions::Versions;
use crate::ClientError;
use crate::error::ProtocolFault;

/// A connection that was ready once. Another one to the same broker is another link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link(pub(super) u64);

/// What a broker answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) address: Arc<str>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The answer's fields, which borrow from it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if it contradicts itself.
    pub(crate) fn decode<'a, R: Message<'a>>(&'a self) -> Result<R, ClientError> {
        debug_assert_eq!(R::KEY, Some(self.api.code()), "an answer is of the same API as its request");
        R::decode(&mut Reader::new(&self.body), self.version).map_err(|source| self.contradicts(source))
    }

    pub(crate) fn contradicts(&self, source: DecodeError) -> ClientError {
        let reason = ProtocolFault::Decode { api: self.api, source };
        ClientError::Protocol { address: self.address.to_string(), reason }
    }

    /// It lacks what was asked for.
    pub(crate) fn lacks(&self, what: &'static str) -> ClientError {
        let reason = ProtocolFault::Missing { api: self.api, what };
        ClientError::Protocol { address: self.address.to_string(), reason }
    }
}

/// Where the end of a request is told.
#[derive(Clone, Debug, Default)]
pub(super) struct CallCell(Rc<RefCell<CallState>>);

#[derive(Debug)]
enum CallState {
    Waiting(Option<Waker>),
    There(Result<Bytes, ClientError>),
    Taken,
}

impl Default for CallState {
    fn default() -> Self {
        Self::Waiting(None)
    }
}

impl CallCell {
    pub(super) fn complete(&self, result: Result<Bytes, ClientError>) {
        let former = std::mem::replace(&mut *self.0.borrow_mut(), CallState::There(result));
        if let CallState::Waiting(Some(waker)) = former {
            waker.wake();
        }
    }
}

impl Future for CallCell {
    type Output = Result<Bytes, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.borrow_mut();
        if let CallState::Waiting(waker) = &mut *state {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, CallState::Taken) {
            CallState::There(result) => Poll::Ready(result),
            CallState::Waiting(_) | CallState::Taken => panic!("an answer is taken once"),
        }
    }
}

/// A request whose answer is awaited.
#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    cell: CallCell,
}

/// A socket and all that goes through it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) key: ConnectionKey,
    pub(super) stream: TcpStream,
    pub(super) address: Arc<str>,
    pub(super) versions: Versions,
    /// Told when the system has made the connection, or could not.
    pub(super) opening: Option<CallCell>,
    pub(super) is_write_awaited: bool,
    pub(super) is_dirty: bool,
    pub(super) last_used: Ticks,
    out: Outbox,
    in_flight: VecDeque<InFlight>,
    input: Frames,
    correlation_id: i32,
}

impl Socket {
    pub(super) fn new(key: ConnectionKey, stream: TcpStream, address: Arc<str>, answer_bytes_max: usize) -> Self {
        Self {
            key,
            stream,
            address,
            versions: Versions::default(),
            opening: None,
            is_write_awaited: false,
            is_dirty: false,
            last_used: Ticks(0),
            out: Outbox::default(),
            in_flight: VecDeque::new(),
            input: Frames::new(answer_bytes_max),
            correlation_id: 0,
        }
    }

    /// Requests that are not answered yet.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.has_output() || 0 < self.in_flight()
    }

    /// Queues a request. `records` stand where the request says that there are external ones, in their order. A request
    /// that is not answered ends when it is sent.
    pub(super) fn submit<'q, Q: Message<'q>>(
        &mut self,
        client_id: &str,
        version: i16,
        request: &Q,
        records: Vec<Arc<Vec<u8>>>,
        is_answered: bool,
    ) -> Result<CallCell, ClientError> {
        let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        let header = RequestHeader {
            api_key: api.code(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some(client_id.into()),
            ..RequestHeader::default()
        };
        let mut own = Vec::new();
        let external = encode_request(&mut own, &header, request).map_err(|source| ClientError::Unsupported {
            address: self.address.to_string(),
            api,
            source,
        })?;
        assert_eq!(external.len(), records.len(), "every external record set is given");
        let cell = CallCell::default();
        let done = || (!is_answered).then(|| cell.clone());
        let end = own.len();
        match external.first() {
            None => self.out.push(Piece { bytes: PieceBytes::Own(own, 0..end), done: done() }),
            Some(_) => {
                let mut from = 0;
                for (place, shared) in external.iter().zip(records) {
                    assert_eq!(place.length as usize, shared.len(), "a record set is as long as it was said to be");
                    let head = PieceBytes::Own(own[from..place.position].to_vec(), 0..place.position - from);
                    self.out.push(Piece { bytes: head, done: None });
                    let is_last = place.position == end && std::ptr::eq(place, external.last().unwrap_or(place));
                    self.out.push(Piece { bytes: PieceBytes::Shared(shared), done: done().filter(|_| is_last) });
                    from = place.position;
                }
                if from < end {
                    self.out.push(Piece { bytes: PieceBytes::Own(own, from..end), done: done() });
                }
            }
        }
        if is_answered {
            let in_flight = InFlight { correlation_id: self.correlation_id, api, version, cell: cell.clone() };
            self.in_flight.push_back(in_flight);
        }
        Ok(cell)
    }

    /// Sends as much as the socket takes.
    pub(super) fn send(&mut self) -> Result<(), ClientError> {
        self.out.send(&self.stream).map_err(|source| self.broken(source))
    }

    /// Reads what has arrived, and tells whoever waits for it.
    pub(super) fn receive(&mut self) -> Result<(), ClientError> {
        for _ in 0..READS_MAX {
            match self.input.receive(self.stream.as_fd()) {
                Ok((0, _)) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok((count, room)) => {
                    while let Some(frame) = self.input.next_frame().map_err(|error| self.nonsense(error.into()))? {
                        self.answer(&frame)?;
                    }
                    if count < room {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.broken(errno.into())),
            }
        }
        Ok(())
    }

    fn answer(&mut self, frame: &Bytes) -> Result<(), ClientError> {
        let Some(request) = self.in_flight.pop_front() else {
            let found = frame.first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes));
            return Err(self.nonsense(ProtocolFault::Correlation { expected: None, found }));
        };
        let mut reader = Reader::new(frame);
        let fault = match decode_response_header(&mut reader, request.api, request.version) {
            Ok(found) if found == request.correlation_id => {
                let body = frame.slice(frame.len() - reader.rest().len()..);
                request.cell.complete(Ok(body));
                return Ok(());
            }
            Ok(found) => ProtocolFault::Correlation { expected: Some(request.correlation_id), found },
            Err(source) => ProtocolFault::Decode { api: request.api, source },
        };
        let error = self.nonsense(fault);
        request.cell.complete(Err(error.clone()));
        Err(error)
    }

    /// Tells everybody who waits that nothing more will come.
    pub(super) fn fail(self, error: &ClientError) {
        self.in_flight.into_iter().for_each(|request| request.cell.complete(Err(error.clone())));
        self.out.into_untold().for_each(|cell| cell.complete(Err(error.clone())));
        if let Some(opening) = self.opening {
            opening.complete(Err(error.clone()));
        }
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Disconnected { address: self.address.to_string(), source: Arc::new(source) }
    }

    fn nonsense(&self, reason: ProtocolFault) -> ClientError {
        ClientError::Protocol { address: self.address.to_string(), reason }
    }
}

/// How often one socket is read before the others have their turn.
const READS_MAX: usize = 16;
