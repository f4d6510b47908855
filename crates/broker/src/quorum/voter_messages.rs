//! Changes of the voters on the wire: AddRaftVoter, RemoveRaftVoter and UpdateRaftVoter (KIP-853).

use std::time::Duration;

use highwater_metadata::features::SupportedFeature;
use highwater_raft::{AddVoter, ChangeAnswer, Endpoint, KRaftVersions, Leadership, RemoveVoter, Response, UpdateVoter};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId};
use highwater_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, ApiVersionsResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UpdateRaftVoterRequest, UpdateRaftVoterResponse, add_raft_voter_request, update_raft_voter_request,
    update_raft_voter_response,
};

use super::control::levels;
pub(crate) use super::control::wire_level;
use super::log::wire_directory;
use super::messages::{Answer, LeaderAt, key};

/// The feature that says whether voters can be changed. Its level is the quorum's, not that of a record of metadata.
pub(crate) const KRAFT_VERSION: SupportedFeature = SupportedFeature {
    name: "kraft.version",
    min: KRaftVersions::SUPPORTED.min.value().cast_signed(),
    max: KRaftVersions::SUPPORTED.max.value().cast_signed(),
};

/// Which levels of `kraft.version` a node supports; one that does not know the feature supports only 0.
pub(super) fn read_versions(response: &ApiVersionsResponse<'_>) -> KRaftVersions {
    let known = response.supported_features.iter().find(|feature| feature.name == KRAFT_VERSION.name);
    known.and_then(|feature| levels(feature.min_version, feature.max_version)).unwrap_or_default()
}

pub(super) fn add_request<'a>(
    add: &'a AddVoter,
    cluster_id: &'a str,
    version: i16,
    timeout: Duration,
) -> AddRaftVoterRequest<'a> {
    let listener = |endpoint: &'a Endpoint| add_raft_voter_request::Listener {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..Default::default()
    };
    AddRaftVoterRequest {
        cluster_id: Some(cluster_id.into()),
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        voter_id: add.key.id.to_wire(),
        voter_directory_id: wire_directory(add.key.directory),
        listeners: add.endpoints.iter().map(listener).collect(),
        // Version 0 answers always when it is committed.
        ack_when_committed: add.ack_when_committed || version < 1,
        ..AddRaftVoterRequest::default()
    }
}

/// Who is to be a voter. `None` if it makes no sense.
pub(crate) fn read_add(request: &AddRaftVoterRequest<'_>) -> Option<AddVoter> {
    let endpoint = |listener: add_raft_voter_request::Listener<'_>| Endpoint {
        listener: listener.name.into_owned(),
        host: listener.host.into_owned(),
        port: listener.port,
    };
    Some(AddVoter {
        key: key(request.voter_id, request.voter_directory_id)?,
        endpoints: request.listeners.iter().map(endpoint).collect(),
        ack_when_committed: request.ack_when_committed,
    })
}

pub(super) fn read_add_response(response: &AddRaftVoterResponse<'_>) -> Answer {
    changed(Response::AddVoter, response.error_code)
}

pub(super) fn remove_request(remove: RemoveVoter, cluster_id: &str) -> RemoveRaftVoterRequest<'_> {
    RemoveRaftVoterRequest {
        cluster_id: Some(cluster_id.into()),
        voter_id: remove.key.id.to_wire(),
        voter_directory_id: wire_directory(remove.key.directory),
        ..RemoveRaftVoterRequest::default()
    }
}

/// Who is to be no voter any more. `None` if it makes no sense.
pub(crate) fn read_remove(request: &RemoveRaftVoterRequest<'_>) -> Option<RemoveVoter> {
    Some(RemoveVoter { key: key(request.voter_id, request.voter_directory_id)? })
}

pub(super) fn read_remove_response(response: &RemoveRaftVoterResponse<'_>) -> Answer {
    changed(Response::RemoveVoter, response.error_code)
}

pub(super) fn update_request<'a>(update: &'a UpdateVoter, cluster_id: &'a str) -> UpdateRaftVoterRequest<'a> {
    let listener = |endpoint: &'a Endpoint| update_raft_voter_request::Listener {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..Default::default()
    };
    UpdateRaftVoterRequest {
        cluster_id: Some(cluster_id.into()),
        current_leader_epoch: update.epoch.to_wire(),
        voter_id: update.key.id.to_wire(),
        voter_directory_id: wire_directory(update.key.directory),
        listeners: update.endpoints.iter().map(listener).collect(),
        kraft_version_feature: update_raft_voter_request::KRaftVersionFeature {
            min_supported_version: wire_level(update.kraft_versions.min),
            max_supported_version: wire_level(update.kraft_versions.max),
            ..Default::default()
        },
        ..UpdateRaftVoterRequest::default()
    }
}

/// What a voter says of itself. `None` if it makes no sense.
pub(crate) fn read_update(request: &UpdateRaftVoterRequest<'_>) -> Option<UpdateVoter> {
    let endpoint = |listener: update_raft_voter_request::Listener<'_>| Endpoint {
        listener: listener.name.into_owned(),
        host: listener.host.into_owned(),
        port: listener.port,
    };
    let feature = &request.kraft_version_feature;
    Some(UpdateVoter {
        epoch: LeaderEpoch::from_wire(request.current_leader_epoch)?,
        key: key(request.voter_id, request.voter_directory_id)?,
        endpoints: request.listeners.iter().map(endpoint).collect(),
        kraft_versions: levels(feature.min_supported_version, feature.max_supported_version)?,
    })
}

pub(crate) fn update_response(answer: &ChangeAnswer, leader_at: Option<LeaderAt>) -> UpdateRaftVoterResponse<'static> {
    let Leadership { error, epoch, leader } = answer.leadership;
    let (host, port) = leader_at.map(|leader_at| leader_at.address).unwrap_or_default();
    UpdateRaftVoterResponse {
        error_code: error as i16,
        current_leader: update_raft_voter_response::CurrentLeader {
            leader_id: leader.map_or(-1, NodeId::to_wire),
            leader_epoch: epoch.to_wire(),
            host: host.into(),
            port: i32::from(port),
            ..Default::default()
        },
        ..UpdateRaftVoterResponse::default()
    }
}

pub(super) fn read_update_response(response: &UpdateRaftVoterResponse<'_>) -> Answer {
    let current = &response.current_leader;
    let mut answer = changed(Response::UpdateVoter, response.error_code);
    if let Response::UpdateVoter(change) = &mut answer.response
        && let (Some(epoch), Some(leader)) =
            (LeaderEpoch::from_wire(current.leader_epoch), NodeId::from_wire(current.leader_id))
    {
        (change.leadership.epoch, change.leadership.leader) = (epoch, Some(leader));
        let port = u16::try_from(current.port).ok().filter(|port| *port != 0);
        answer.leader_at = port.map(|port| (current.host.clone().into_owned(), port));
    }
    answer
}

/// An answer that says no more than whether the request was carried out.
fn changed(kind: impl FnOnce(ChangeAnswer) -> Response, error_code: i16) -> Answer {
    let error = ErrorCode::from_code(error_code).unwrap_or(ErrorCode::UnknownServerError);
    let leadership = Leadership { error, epoch: LeaderEpoch::default(), leader: None };
    Answer { response: kind(ChangeAnswer { leadership, refusal: None }), bytes: Vec::new(), leader_at: None }
}

#[cfg(test)]
mod tests {
    use highwater_raft::{KRaftVersion, ReplicaKey};
    use highwater_types::{DirectoryId, Uuid};
    use highwater_wire::messages::api_versions_response::SupportedFeatureKey;

    use super::*;

    fn voter() -> (ReplicaKey, Vec<Endpoint>) {
        let key = ReplicaKey { id: NodeId::new(3), directory: Some(DirectoryId(Uuid::from_bytes([5; 16]))) };
        (key, vec![Endpoint { listener: "CONTROLLER".into(), host: "c3".into(), port: 9093 }])
    }

    #[test]
    fn requests_are_read_back() {
        let (key, endpoints) = voter();
        for ack_when_committed in [true, false] {
            let add = AddVoter { key, endpoints: endpoints.clone(), ack_when_committed };
            let timeout = Duration::from_secs(1);
            assert_eq!(read_add(&add_request(&add, "cluster", 1, timeout)), Some(add.clone()));
            let old = read_add(&add_request(&add, "cluster", 0, timeout));
            assert_eq!(old, Some(AddVoter { ack_when_committed: true, ..add }), "version 0 always waits");
        }
        let remove = RemoveVoter { key };
        assert_eq!(read_remove(&remove_request(remove, "cluster")), Some(remove));
        let kraft_versions = KRaftVersions::SUPPORTED;
        let update = UpdateVoter { epoch: LeaderEpoch::new(4), key, endpoints, kraft_versions };
        assert_eq!(read_update(&update_request(&update, "cluster")), Some(update.clone()));
        let mut senseless = update_request(&update, "cluster");
        senseless.kraft_version_feature.max_supported_version = -1;
        assert_eq!(read_update(&senseless), None);
    }

    #[test]
    fn an_answer_to_an_update_says_who_leads_and_where() {
        let leadership = Leadership {
            error: ErrorCode::NotLeaderOrFollower,
            epoch: LeaderEpoch::new(4),
            leader: Some(NodeId::new(1)),
        };
        let change = ChangeAnswer { leadership, refusal: None };
        let leader_at = LeaderAt { id: NodeId::new(1), address: ("c1".into(), 9093) };
        let answer = read_update_response(&update_response(&change, Some(leader_at)));
        assert_eq!((answer.response, answer.leader_at), (Response::UpdateVoter(change), Some(("c1".into(), 9093))));
    }

    #[test]
    fn who_does_not_know_the_feature_supports_level_0() {
        let feature = |name: &'static str, max_version| SupportedFeatureKey {
            name: name.into(),
            min_version: 0,
            max_version,
            ..Default::default()
        };
        let says = |feature| ApiVersionsResponse { supported_features: vec![feature].into(), ..Default::default() };
        assert_eq!(read_versions(&says(feature("kraft.version", 1))), KRaftVersions::SUPPORTED);
        let fixed = KRaftVersions { min: KRaftVersion::FIXED, max: KRaftVersion::FIXED };
        assert_eq!(read_versions(&says(feature("group.version", 1))), fixed);
        assert_eq!(read_versions(&says(feature("kraft.version", -1))), fixed);
    }
}
