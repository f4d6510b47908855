//! The ways to the other nodes of the quorum.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use highwater_raft::{CorrelationId, Request, Response};
use highwater_types::NodeId;
use highwater_wire::messages::{
    BeginQuorumEpochResponse, EndQuorumEpochResponse, FetchResponse, FetchSnapshotResponse, VoteResponse,
};
use highwater_wire::{ApiKey, Message};

use super::messages::{self, ControllerEndpoint};
use super::thread::Event;
use crate::peer::{PeerConfig, PeerConnection, PeerError};

/// Asks other nodes, on two threads for each: fetches wait for records, and nothing else waits behind them.
pub(super) struct Lanes {
    peers: BTreeMap<NodeId, Peer>,
    setup: LaneSetup,
}

/// What a lane works with.
#[derive(Clone)]
pub(super) struct LaneSetup {
    pub(super) cluster_id: String,
    /// Where this node is reached as a controller.
    pub(super) endpoints: Vec<ControllerEndpoint>,
    /// `controller.quorum.request.timeout.ms`.
    pub(super) request_timeout: Duration,
    pub(super) events: Sender<Event>,
}

struct Peer {
    address: (String, u16),
    calls: Option<Sender<Call>>,
    fetches: Option<Sender<Call>>,
}

struct Call {
    correlation: CorrelationId,
    request: Request,
}

impl Lanes {
    pub(super) fn new(addresses: impl IntoIterator<Item = (NodeId, (String, u16))>, setup: LaneSetup) -> Self {
        let peer = |address| Peer { address, calls: None, fetches: None };
        Self { peers: addresses.into_iter().map(|(id, address)| (id, peer(address))).collect(), setup }
    }

    /// Sends a request on its way. The answer, or that there is none, comes as an event.
    pub(super) fn send(&mut self, to: NodeId, correlation: CorrelationId, request: Request) -> Result<(), NoLane> {
        let peer = self.peers.get_mut(&to).ok_or(NoLane)?;
        let is_fetch = matches!(request, Request::Fetch(_) | Request::FetchSnapshot(_));
        let lane = if is_fetch { &mut peer.fetches } else { &mut peer.calls };
        if lane.is_none() {
            let kind = if is_fetch { "fetch" } else { "call" };
            *lane = Some(start(to, kind, &peer.address, &self.setup).map_err(|error| {
                tracing::error!("a thread for node {to} could not be started: {error}");
                NoLane
            })?);
        }
        let Some(lane) = lane else { return Err(NoLane) };
        lane.try_send(Call { correlation, request }).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NoLane,
        })
    }
}

/// The node is not known, or has more to answer than it can.
#[derive(Debug)]
pub(super) struct NoLane;

fn start(to: NodeId, kind: &str, address: &(String, u16), setup: &LaneSetup) -> io::Result<Sender<Call>> {
    let (calls, received) = bounded(CALLS_MAX);
    let lane = Lane { to, address: address.clone(), setup: setup.clone(), connection: None, is_silent: false };
    // Ends with the channel, after the call that it is at. Nobody waits for that: it holds nothing but a socket.
    std::thread::Builder::new().name(format!("quorum-{kind}-{to}")).spawn(move || lane.run(&received))?;
    Ok(calls)
}

struct Lane {
    to: NodeId,
    address: (String, u16),
    setup: LaneSetup,
    connection: Option<PeerConnection>,
    /// The failure was logged.
    is_silent: bool,
}

impl Lane {
    fn run(mut self, calls: &Receiver<Call>) {
        for Call { correlation, request } in calls {
            let event = match self.call(correlation, &request) {
                Ok(answered) => {
                    self.is_silent = false;
                    answered
                }
                Err(error) => {
                    if !error.is_usable() {
                        self.connection = None;
                    }
                    if !std::mem::replace(&mut self.is_silent, true) {
                        tracing::info!("node {} of the quorum does not answer: {error}", self.to);
                    }
                    Event::Failed(correlation)
                }
            };
            if self.setup.events.send(event).is_err() {
                return;
            }
        }
    }

    fn call(&mut self, correlation: CorrelationId, request: &Request) -> Result<Event, PeerError> {
        let timeout = self.setup.request_timeout;
        if self.connection.is_none() {
            let config = PeerConfig { connect_timeout: timeout, ..PeerConfig::default() };
            let (host, port) = &self.address;
            self.connection = Some(PeerConnection::connect(host, *port, &config)?);
        }
        let Some(connection) = &mut self.connection else { unreachable!("it was just made") };
        let cluster_id = self.setup.cluster_id.as_str();
        let answer: Option<(Response, Vec<u8>)> = match request {
            Request::Vote(vote) => {
                let version = connection.version(ApiKey::Vote, VOTE_VERSION)?;
                let asked = messages::vote_request(vote, cluster_id);
                let response: VoteResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_vote_response(&response).map(bare)
            }
            Request::BeginQuorumEpoch(begin) => {
                let version = connection.version(ApiKey::BeginQuorumEpoch, 1)?;
                let asked = messages::begin_request(begin, cluster_id, &self.setup.endpoints);
                let response: BeginQuorumEpochResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_begin_response(&response).map(bare)
            }
            Request::EndQuorumEpoch(end) => {
                let version = connection.version(ApiKey::EndQuorumEpoch, 1)?;
                let asked = messages::end_request(end, cluster_id, &self.setup.endpoints);
                let response: EndQuorumEpochResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_end_response(&response).map(bare)
            }
            Request::Fetch(fetch) => {
                let version = connection.version(ApiKey::Fetch, FETCH_VERSION)?;
                let asked = messages::fetch_request(fetch, cluster_id);
                let timeout = timeout + Duration::from_millis(fetch.wait_ms);
                let response: FetchResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_fetch_response(&response).map(owned)
            }
            Request::FetchSnapshot(fetch) => {
                let version = connection.version(ApiKey::FetchSnapshot, 1)?;
                let asked = messages::snapshot_request(fetch, cluster_id);
                let response: FetchSnapshotResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_snapshot_response(&response).map(owned)
            }
            // The voters are those of the configuration, so that none asks to be one.
            Request::AddVoter(_) | Request::RemoveVoter(_) | Request::UpdateVoter(_) => None,
        };
        Ok(match answer {
            Some((response, bytes)) => Event::Answered { correlation, response, bytes },
            None => {
                if !std::mem::replace(&mut self.is_silent, true) {
                    tracing::warn!("node {} of the quorum refuses our requests: is it of another cluster?", self.to);
                }
                Event::Failed(correlation)
            }
        })
    }
}

fn bare(response: Response) -> (Response, Vec<u8>) {
    (response, Vec::new())
}

fn owned((response, bytes): (Response, &[u8])) -> (Response, Vec<u8>) {
    (response, bytes.to_vec())
}

/// Requests that wait for one node: the quorum has one fetch and a few calls under way.
const CALLS_MAX: usize = 16;
/// The version of Vote with pre-votes (KIP-996).
const VOTE_VERSION: i16 = 2;
const FETCH_VERSION: i16 = <highwater_wire::messages::FetchRequest<'static> as Message<'static>>::VERSIONS.max;
