//! The connections to all brokers: when they are made, and whom they are for.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use highwater_types::{ErrorCode, NodeId, Ticks};
use highwater_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use highwater_wire::{ApiKey, Message, VersionRange};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt};

use super::connection::{Answer, CallCell, Link, Socket};
use super::resolve::resolve;
use super::thread::{Deadline, Io};
use super::versions::Versions;
use crate::ClientError;
use crate::config::split_address;

/// Whom a connection is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// A broker that metadata have told of.
    Node(NodeId),
    /// An entry of `bootstrap.servers`.
    Bootstrap(usize),
}

/// What a connection is for. A broker answers the requests of a connection one after the other, so that those that take
/// their time have one of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane(pub(crate) u64);

pub(super) type ConnectionKey = (Peer, Lane);

/// Every connection, and every socket.
#[derive(Debug, Default)]
pub(super) struct Network {
    entries: BTreeMap<ConnectionKey, Entry>,
    sockets: BTreeMap<u64, Socket>,
    sockets_made: u64,
    /// Sockets that have something new to send.
    dirty: Vec<u64>,
}

#[derive(Debug, Default)]
struct Entry {
    stage: Stage,
    /// Attempts that have ended.
    attempts: u64,
    /// Attempts that have failed since one succeeded.
    failures: u32,
    retry_at: Ticks,
    last_error: Option<ClientError>,
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Connecting,
    Ready(u64),
}

impl Io {
    /// A connection that can be used. Waits for one that is being made, or makes it, once.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or not before `deadline`.
    pub(crate) async fn ready(
        self: &Rc<Self>,
        peer: Peer,
        lane: Lane,
        deadline: Deadline,
    ) -> Result<Link, ClientError> {
        let key = (peer, lane);
        let mut seen = None;
        let attempt = std::future::poll_fn(|context| {
            let mut network = self.network.borrow_mut();
            let entry = network.entries.entry(key).or_default();
            if let Stage::Ready(token) = entry.stage {
                return Poll::Ready(Ok(Ok(Link(token))));
            }
            if let Some(seen) = seen
                && seen < entry.attempts
            {
                let error = entry.last_error.clone();
                return Poll::Ready(Ok(Err(error.unwrap_or(ClientError::Closed))));
            }
            if entry.stage == Stage::Idle {
                if self.now() < entry.retry_at {
                    return Poll::Ready(Err(entry.retry_at));
                }
                entry.stage = Stage::Connecting;
                let io = Rc::clone(self);
                self.spawn(async move { io.establish(key).await });
            }
            seen.get_or_insert(entry.attempts);
            if !entry.waiting.iter().any(|known| known.will_wake(context.waker())) {
                entry.waiting.push(context.waker().clone());
            }
            Poll::Pending
        });
        let mut attempt = std::pin::pin!(attempt);
        loop {
            match self.until(deadline.at, attempt.as_mut()).await {
                Some(Ok(result)) => return result,
                Some(Err(retry_at)) => self.sleep_until(retry_at.min(deadline.at)).await,
                None => {}
            }
            if deadline.at <= self.now() {
                let last = self.network.borrow().entries.get(&key).and_then(|entry| entry.last_error.clone());
                let what = format!("connecting to {}", self.address_of(peer).as_deref().unwrap_or("an unknown broker"));
                return Err(last.unwrap_or_else(|| deadline.missed(what, None)));
            }
        }
    }

    /// The link to a broker, if there is one now.
    pub(crate) fn link(&self, peer: Peer, lane: Lane) -> Option<Link> {
        match self.network.borrow().entries.get(&(peer, lane))?.stage {
            Stage::Ready(token) => Some(Link(token)),
            _ => None,
        }
    }

    /// Whether it makes sense to connect now: it has not just failed.
    pub(crate) fn is_approachable(&self, peer: Peer, lane: Lane) -> bool {
        let network = self.network.borrow();
        network.entries.get(&(peer, lane)).is_none_or(|entry| entry.failures == 0 || entry.retry_at <= self.now())
    }

    /// Requests on a link that are not answered yet; `None` if it is broken.
    pub(crate) fn in_flight(&self, link: Link) -> Option<usize> {
        self.network.borrow().sockets.get(&link.0).map(Socket::in_flight)
    }

    /// The highest version that both sides speak, and that is not above `max`.
    ///
    /// # Errors
    ///
    /// If there is none, or the link is broken.
    pub(crate) fn version(&self, link: Link, api: ApiKey, max: i16) -> Result<i16, ClientError> {
        let network = self.network.borrow();
        let socket = network.sockets.get(&link.0).ok_or_else(broken_before)?;
        let version = socket.versions.common(api, max);
        version.ok_or_else(|| ClientError::Version { address: socket.address.to_string(), api })
    }

    /// Every version that the other side speaks.
    pub(crate) fn versions(&self, link: Link) -> Vec<(i16, VersionRange)> {
        self.network.borrow().sockets.get(&link.0).map(|socket| socket.versions.all().collect()).unwrap_or_default()
    }

    /// Queues a request, and gives what its end will be known by.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded in that version, or the link is broken.
    pub(crate) fn submit<'q, Q: Message<'q>>(
        &self,
        link: Link,
        version: i16,
        request: &Q,
        records: Vec<Arc<Vec<u8>>>,
        is_answered: bool,
    ) -> Result<Submitted, ClientError> {
        let mut network = self.network.borrow_mut();
        let Network { sockets, dirty, .. } = &mut *network;
        let socket = sockets.get_mut(&link.0).ok_or_else(broken_before)?;
        let cell = socket.submit(&self.config.client_id, version, request, records, is_answered)?;
        socket.last_used = self.now();
        if !std::mem::replace(&mut socket.is_dirty, true) {
            dirty.push(link.0);
        }
        let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
        Ok(Submitted { link, cell, api, version, address: Arc::clone(&socket.address) })
    }

    /// The answer to a request; the connection is given up if it does not come in time, since nothing behind it would.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for everything that keeps the answer from coming.
    pub(crate) async fn answered(&self, submitted: Submitted, deadline: Deadline) -> Result<Answer, ClientError> {
        let Submitted { link, cell, api, version, address } = submitted;
        match self.until(deadline.at, cell).await {
            Some(result) => result.map(|body| Answer { api, version, address, body }),
            None => {
                let error = deadline.missed(format!("the answer of {address} to {api}"), None);
                self.disconnect(link, &error);
                Err(error)
            }
        }
    }

    /// Asks over one link, and waits for the answer until `deadline`.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for everything that keeps the answer from coming. Not if the answer is a refusal.
    pub(crate) async fn ask<'q, Q: Message<'q>>(
        &self,
        link: Link,
        version_max: i16,
        deadline: Deadline,
        request: &Q,
    ) -> Result<Answer, ClientError> {
        let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
        let version = self.version(link, api, version_max)?;
        let submitted = self.submit(link, version, request, Vec::new(), true)?;
        self.answered(submitted, deadline).await
    }

    /// Gives up a connection. Whoever waits for an answer on it is told the error.
    pub(crate) fn disconnect(&self, link: Link, error: &ClientError) {
        let mut network = self.network.borrow_mut();
        let Some(socket) = network.sockets.remove(&link.0) else { return };
        let now = self.now();
        let backoff = self.reconnect_backoff(1);
        if let Some(entry) = network.entries.get_mut(&socket.key)
            && entry.stage == Stage::Ready(link.0)
        {
            entry.stage = Stage::Idle;
            entry.retry_at = now.plus_ms(backoff);
            entry.last_error = Some(error.clone());
        }
        drop(network);
        // The connection is about to be closed, whatever the system says.
        let _ = self.epoll.delete(&socket.stream);
        socket.fail(error);
    }

    /// Gives up all connections to a broker, which has moved to another address.
    pub(crate) fn disconnect_node(&self, id: NodeId) {
        let is_to = |socket: &Socket| socket.key.0 == Peer::Node(id) && socket.opening.is_none();
        let links: Vec<u64> = {
            let network = self.network.borrow();
            network.sockets.iter().filter(|(_, socket)| is_to(socket)).map(|(token, _)| *token).collect()
        };
        let source = Arc::new(io::Error::other("the broker has another address now"));
        let error = ClientError::Disconnected { address: format!("broker {id}"), source };
        links.into_iter().for_each(|token| self.disconnect(Link(token), &error));
    }

    /// Closes connections that nobody has used for long.
    pub(super) fn close_idle(&self) {
        let now = self.now();
        let idle_ms = u64::try_from(self.config.connection_idle_max.as_millis()).unwrap_or(u64::MAX);
        let idle: Vec<u64> = {
            let network = self.network.borrow();
            let is_idle = |socket: &Socket| {
                socket.opening.is_none() && !socket.is_busy() && idle_ms <= now.ms_since(socket.last_used)
            };
            network.sockets.iter().filter(|(_, socket)| is_idle(socket)).map(|(token, _)| *token).collect()
        };
        idle.into_iter().for_each(|token| self.disconnect(Link(token), &ClientError::Closed));
    }

    /// Sends what was submitted since the last time.
    pub(super) fn flush(&self) {
        let mut dirty = std::mem::take(&mut self.network.borrow_mut().dirty);
        for token in dirty.drain(..) {
            self.send(token);
        }
        let mut network = self.network.borrow_mut();
        if network.dirty.is_empty() {
            network.dirty = dirty;
        }
    }

    fn send(&self, token: u64) {
        let sent = {
            let mut network = self.network.borrow_mut();
            let Some(socket) = network.sockets.get_mut(&token) else { return };
            socket.is_dirty = false;
            let sent = socket.send();
            let is_left = socket.has_output();
            if sent.is_ok() && is_left != socket.is_write_awaited {
                socket.is_write_awaited = is_left;
                let events = if is_left { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
                let changed = self.epoll.modify(&socket.stream, &mut EpollEvent::new(events, token));
                changed.map_err(|errno| ClientError::Disconnected {
                    address: socket.address.to_string(),
                    source: Arc::new(errno.into()),
                })
            } else {
                sent
            }
        };
        if let Err(error) = sent {
            self.disconnect(Link(token), &error);
        }
    }

    /// Does what a socket is ready for.
    pub(super) fn handle_event(&self, token: u64, events: EpollFlags) {
        let received = {
            let mut network = self.network.borrow_mut();
            let Some(socket) = network.sockets.get_mut(&token) else { return };
            if let Some(opening) = socket.opening.take() {
                opening.complete(Ok(bytes::Bytes::new()));
                return;
            }
            if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                socket.receive()
            } else {
                Ok(())
            }
        };
        match received {
            Err(error) => self.disconnect(Link(token), &error),
            Ok(()) if events.contains(EpollFlags::EPOLLOUT) => self.send(token),
            Ok(()) => {}
        }
    }

    /// Ends every connection.
    pub(super) fn disconnect_all(&self) {
        let tokens: Vec<u64> = self.network.borrow().sockets.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.disconnect(Link(token), &ClientError::Closed));
        self.network.borrow_mut().entries.clear();
    }

    async fn establish(self: Rc<Self>, key: ConnectionKey) {
        let deadline = self.within(self.config.connection_setup_timeout);
        let result = match self.until(deadline.at, self.connect(key, deadline)).await {
            Some(result) => result,
            None => {
                let source = Arc::new(io::Error::from(io::ErrorKind::TimedOut));
                let address = self.address_of(key.0).unwrap_or_default();
                Err(ClientError::Connect { address, source })
            }
        };
        let mut network = self.network.borrow_mut();
        let entry = network.entries.entry(key).or_default();
        entry.attempts += 1;
        match result {
            Ok(token) => {
                (entry.stage, entry.failures, entry.last_error) = (Stage::Ready(token), 0, None);
            }
            Err(error) => {
                tracing::debug!(%error, "no connection");
                entry.failures = entry.failures.saturating_add(1);
                entry.retry_at = self.now().plus_ms(self.reconnect_backoff(entry.failures));
                (entry.stage, entry.last_error) = (Stage::Idle, Some(error));
            }
        }
        let waiting = std::mem::take(&mut entry.waiting);
        drop(network);
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn connect(&self, key: ConnectionKey, deadline: Deadline) -> Result<u64, ClientError> {
        let address = self.address_of(key.0).ok_or_else(|| {
            let source = Arc::new(io::Error::new(io::ErrorKind::NotFound, "no broker of that id is known"));
            ClientError::Connect { address: format!("{:?}", key.0), source }
        })?;
        let (host, port) = split_address(&address).ok_or_else(|| {
            let source = Arc::new(io::Error::new(io::ErrorKind::InvalidInput, "not host:port"));
            ClientError::Connect { address: address.clone(), source }
        })?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for candidate in resolve(host, port).await? {
            match self.open(key, candidate, &address).await {
                Ok(socket) => {
                    // Dropped with this future, it is closed.
                    let mut guard = SocketGuard { io: self, token: Some(socket) };
                    self.negotiate(Link(socket), deadline).await?;
                    guard.token = None;
                    return Ok(socket);
                }
                Err(error) => last = error,
            }
        }
        Err(ClientError::Connect { address, source: Arc::new(last) })
    }

    /// Opens a socket to one address.
    async fn open(&self, key: ConnectionKey, to: SocketAddr, address: &str) -> io::Result<u64> {
        let stream = begin_connect(to)?;
        let token = {
            let mut network = self.network.borrow_mut();
            network.sockets_made += 1;
            network.sockets_made
        };
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
        self.epoll.add(stream.as_fd(), EpollEvent::new(events, token))?;
        let cell = CallCell::default();
        let mut socket = Socket::new(key, stream, address.into(), self.config.answer_bytes_max);
        socket.opening = Some(cell.clone());
        socket.is_write_awaited = true;
        self.network.borrow_mut().sockets.insert(token, socket);
        let mut guard = SocketGuard { io: self, token: Some(token) };
        // Only readiness ends this; an error shows in the socket.
        let _ = cell.await;
        let error = {
            let network = self.network.borrow();
            let socket = network.sockets.get(&token).ok_or(io::ErrorKind::ConnectionAborted)?;
            socket.stream.take_error()?
        };
        match error {
            Some(error) => Err(error),
            None => {
                guard.token = None;
                Ok(token)
            }
        }
    }

    /// Asks what the broker speaks.
    async fn negotiate(&self, link: Link, deadline: Deadline) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "highwater".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..ApiVersionsRequest::default()
        };
        let newest = ApiKey::ApiVersions.stable_versions().map_or(0, |range| range.max);
        let mut answer = self.answered(self.submit(link, newest, &request, Vec::new(), true)?, deadline).await?;
        let is_refused = answer.body.first_chunk() == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
        if is_refused && 0 < newest {
            // Such an answer is always in version 0.
            let oldest = ApiVersionsRequest::default();
            answer = self.answered(self.submit(link, 0, &oldest, Vec::new(), true)?, deadline).await?;
        }
        let response: ApiVersionsResponse<'_> = answer.decode()?;
        crate::error::check(response.error_code, None)?;
        let versions = Versions::of(&response);
        let mut network = self.network.borrow_mut();
        network.sockets.get_mut(&link.0).ok_or_else(broken_before)?.versions = versions;
        Ok(())
    }

    fn reconnect_backoff(&self, failures: u32) -> u64 {
        self.backoff_ms(failures, self.config.reconnect_backoff, self.config.reconnect_backoff_max)
    }
}

/// A request that is on its way.
#[derive(Debug)]
pub(crate) struct Submitted {
    link: Link,
    cell: CallCell,
    api: ApiKey,
    version: i16,
    address: Arc<str>,
}

struct SocketGuard<'a> {
    io: &'a Io,
    token: Option<u64>,
}

impl Drop for SocketGuard<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.io.disconnect(Link(token), &ClientError::Closed);
        }
    }
}

fn broken_before() -> ClientError {
    let source = Arc::new(io::Error::from(io::ErrorKind::NotConnected));
    ClientError::Disconnected { address: "the broker".to_owned(), source }
}

fn begin_connect(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(errno) => Err(errno.into()),
    }
}
