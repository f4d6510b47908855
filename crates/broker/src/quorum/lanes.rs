//! The ways to the other nodes of the quorum.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fmt, io};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use highwater_raft::{CorrelationId, Endpoint, Request};
use highwater_types::NodeId;
use highwater_wire::messages::{
    AddRaftVoterResponse, ApiVersionsRequest, ApiVersionsResponse, BeginQuorumEpochResponse, EndQuorumEpochResponse,
    FetchResponse, FetchSnapshotResponse, RemoveRaftVoterResponse, UpdateRaftVoterResponse, VoteResponse,
};
use highwater_wire::{ApiKey, Message};

use super::messages::{self, Address, Answer};
use super::thread::Event;
use super::voter_messages;
use crate::peer::{PeerConfig, PeerConnection, PeerError};

/// Asks other nodes, on two threads for each: fetches wait for records, and nothing else waits behind them.
pub(super) struct Lanes {
    peers: BTreeMap<Peer, Ways>,
    setup: LaneSetup,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    /// A node that is known by its id.
    Node(NodeId),
    /// One of `controller.quorum.bootstrap.servers`, from zero.
    Bootstrap(u32),
    /// One that is to be a voter.
    New(NodeId),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id} of the quorum"),
            Self::Bootstrap(server) => write!(f, "bootstrap server {server} of the quorum"),
            Self::New(id) => write!(f, "node {id}, which is to be a voter,"),
        }
    }
}

/// What a lane works with.
#[derive(Clone)]
pub(super) struct LaneSetup {
    pub(super) cluster_id: String,
    /// Where this node is reached as a controller.
    pub(super) endpoints: Vec<Endpoint>,
    /// `controller.quorum.request.timeout.ms`.
    pub(super) request_timeout: Duration,
    pub(super) events: Sender<Event>,
}

struct Ways {
    address: Address,
    calls: Option<Sender<Call>>,
    fetches: Option<Sender<Call>>,
}

struct Call {
    correlation: CorrelationId,
    what: What,
}

/// What another node is asked.
pub(super) enum What {
    Request(Request),
    /// Which levels of `kraft.version` it supports.
    Versions,
}

impl Lanes {
    pub(super) fn new(setup: LaneSetup) -> Self {
        Self { peers: BTreeMap::new(), setup }
    }

    /// Sends a request on its way. The answer, or that there is none, comes as an event.
    pub(super) fn send(
        &mut self,
        to: Peer,
        address: &Address,
        correlation: CorrelationId,
        what: What,
    ) -> Result<(), NoLane> {
        if self.peers.get(&to).is_some_and(|ways| ways.address != *address) {
            // It has moved. Who still waits for the other address is answered from there, or not.
            self.peers.remove(&to);
        }
        if PEERS_MAX <= self.peers.len() && !self.peers.contains_key(&to) {
            // Those that are asked again get new ones.
            self.peers.clear();
        }
        let ways =
            self.peers.entry(to).or_insert_with(|| Ways { address: address.clone(), calls: None, fetches: None });
        let is_fetch = matches!(what, What::Request(Request::Fetch(_) | Request::FetchSnapshot(_)));
        let lane = if is_fetch { &mut ways.fetches } else { &mut ways.calls };
        if lane.is_none() {
            *lane = Some(start(to, is_fetch, address, &self.setup).map_err(|error| {
                tracing::error!("a thread for {to} could not be started: {error}");
                NoLane
            })?);
        }
        let Some(lane) = lane else { return Err(NoLane) };
        lane.try_send(Call { correlation, what }).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NoLane,
        })
    }
}

/// The node has more to answer than it can.
#[derive(Debug)]
pub(super) struct NoLane;

fn start(to: Peer, is_fetch: bool, address: &Address, setup: &LaneSetup) -> io::Result<Sender<Call>> {
    let (calls, received) = bounded(CALLS_MAX);
    let lane = Lane { to, address: address.clone(), setup: setup.clone(), connection: None, is_silent: false };
    let kind = if is_fetch { "fetch" } else { "call" };
    let name = match to {
        Peer::Node(id) => format!("quorum-{kind}-{id}"),
        Peer::Bootstrap(server) => format!("quorum-{kind}-b{server}"),
        Peer::New(id) => format!("quorum-{kind}-n{id}"),
    };
    // Ends with the channel, after the call that it is at. Nobody waits for that: it holds nothing but a socket.
    std::thread::Builder::new().name(name).spawn(move || lane.run(&received))?;
    Ok(calls)
}

struct Lane {
    to: Peer,
    address: Address,
    setup: LaneSetup,
    connection: Option<PeerConnection>,
    /// The failure was logged.
    is_silent: bool,
}

impl Lane {
    fn run(mut self, calls: &Receiver<Call>) {
        for Call { correlation, what } in calls {
            let answered = match &what {
                What::Request(request) => self.call(correlation, request),
                What::Versions => self.ask_versions(correlation),
            };
            let event = match answered {
                Ok(answered) => {
                    self.is_silent = false;
                    answered
                }
                Err(error) => {
                    if !error.is_usable() {
                        self.connection = None;
                    }
                    if !std::mem::replace(&mut self.is_silent, true) {
                        tracing::info!("{} does not answer: {error}", self.to);
                    }
                    Event::Failed(correlation)
                }
            };
            if self.setup.events.send(event).is_err() {
                return;
            }
        }
    }

    fn connection(&mut self) -> Result<&mut PeerConnection, PeerError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = PeerConfig { connect_timeout: self.setup.request_timeout, ..PeerConfig::default() };
                let (host, port) = &self.address;
                PeerConnection::connect(host, *port, &config)?
            }
        };
        Ok(self.connection.insert(connection))
    }

    fn call(&mut self, correlation: CorrelationId, request: &Request) -> Result<Event, PeerError> {
        let LaneSetup { cluster_id, endpoints, request_timeout: timeout, .. } = self.setup.clone();
        let cluster_id = cluster_id.as_str();
        let connection = self.connection()?;
        let answer: Option<Answer> = match request {
            Request::Vote(vote) => {
                let version = connection.version(ApiKey::Vote, VOTE_VERSION)?;
                let asked = messages::vote_request(vote, cluster_id);
                let response: VoteResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_vote_response(&response)
            }
            Request::BeginQuorumEpoch(begin) => {
                let version = connection.version(ApiKey::BeginQuorumEpoch, 1)?;
                let asked = messages::begin_request(begin, cluster_id, &endpoints);
                let response: BeginQuorumEpochResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_begin_response(&response)
            }
            Request::EndQuorumEpoch(end) => {
                let version = connection.version(ApiKey::EndQuorumEpoch, 1)?;
                let asked = messages::end_request(end, cluster_id, &endpoints);
                let response: EndQuorumEpochResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_end_response(&response)
            }
            Request::Fetch(fetch) => {
                let version = connection.version(ApiKey::Fetch, FETCH_VERSION)?;
                let asked = messages::fetch_request(fetch, cluster_id);
                let timeout = timeout + Duration::from_millis(fetch.wait_ms);
                let response: FetchResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_fetch_response(&response)
            }
            Request::FetchSnapshot(fetch) => {
                let version = connection.version(ApiKey::FetchSnapshot, 1)?;
                let asked = messages::snapshot_request(fetch, cluster_id);
                let response: FetchSnapshotResponse<'_> = connection.call(version, &asked, timeout)?;
                messages::read_snapshot_response(&response)
            }
            Request::AddVoter(add) => {
                let version = connection.version(ApiKey::AddRaftVoter, ADD_VOTER_VERSION)?;
                let asked = voter_messages::add_request(add, cluster_id, version, timeout);
                let response: AddRaftVoterResponse<'_> = connection.call(version, &asked, timeout)?;
                Some(voter_messages::read_add_response(&response))
            }
            Request::RemoveVoter(remove) => {
                let version = connection.version(ApiKey::RemoveRaftVoter, 0)?;
                let asked = voter_messages::remove_request(*remove, cluster_id);
                let response: RemoveRaftVoterResponse<'_> = connection.call(version, &asked, timeout)?;
                Some(voter_messages::read_remove_response(&response))
            }
            Request::UpdateVoter(update) => {
                let version = connection.version(ApiKey::UpdateRaftVoter, 0)?;
                let asked = voter_messages::update_request(update, cluster_id);
                let response: UpdateRaftVoterResponse<'_> = connection.call(version, &asked, timeout)?;
                Some(voter_messages::read_update_response(&response))
            }
        };
        Ok(match answer {
            Some(answer) => Event::Answered { correlation, answer },
            None => {
                if !std::mem::replace(&mut self.is_silent, true) {
                    tracing::warn!("{} refuses our requests: is it of another cluster?", self.to);
                }
                Event::Failed(correlation)
            }
        })
    }

    fn ask_versions(&mut self, correlation: CorrelationId) -> Result<Event, PeerError> {
        let timeout = self.setup.request_timeout;
        let connection = self.connection()?;
        let version = connection.version(ApiKey::ApiVersions, API_VERSIONS_VERSION)?;
        let asked = ApiVersionsRequest {
            client_software_name: env!("CARGO_PKG_NAME").into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..ApiVersionsRequest::default()
        };
        let response: ApiVersionsResponse<'_> = connection.call(version, &asked, timeout)?;
        if response.error_code != 0 {
            return Ok(Event::Failed(correlation));
        }
        Ok(Event::Versions { correlation, supported: voter_messages::read_versions(&response) })
    }
}

/// Requests that wait for one node: the quorum has one fetch and a few calls under way.
const CALLS_MAX: usize = 16;
/// Nodes that there are threads for; whoever names more than that starts anew.
const PEERS_MAX: usize = 100;
/// The version of ApiVersions that tells of features whose levels begin at 0.
const API_VERSIONS_VERSION: i16 = 4;
/// The version of AddRaftVoter with an answer before the change is committed (KIP-1186).
const ADD_VOTER_VERSION: i16 = 1;
/// The version of Vote with pre-votes (KIP-996).
const VOTE_VERSION: i16 = 2;
const FETCH_VERSION: i16 = <highwater_wire::messages::FetchRequest<'static> as Message<'static>>::VERSIONS.max;
