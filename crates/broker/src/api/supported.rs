//! Which keys and versions this broker serves.

use highwater_wire::ApiKey;

use super::request::{Cx, Outcome, Refused, Request};
use super::{
    alter_configs, alter_partition_reassignments, alter_replica_log_dirs, api_versions, broker_rpc,
    consumer_group_describe, consumer_group_heartbeat, create_partitions, create_topics, delete_groups, delete_records,
    delete_topics, describe_cluster, describe_configs, describe_groups, describe_log_dirs, describe_producers,
    describe_quorum, describe_topic_partitions, elect_leaders, fetch, find_coordinator, forward, heartbeat,
    incremental_alter_configs, init_producer_id, join_group, leave_group, list_config_resources, list_groups,
    list_offsets, list_partition_reassignments, metadata, offset_commit, offset_delete, offset_fetch,
    offset_for_leader_epoch, quorum_rpc, raft_voters, sync_group, unregister_broker, update_features,
};
use crate::net::Out;

/// Serves one request.
pub(super) type Handler = fn(&mut Cx<'_>, &Request<'_>, &mut Out) -> Result<Outcome, Refused>;

/// Which code serves an API.
pub(super) enum Route {
    /// Requests are staged with their neighbours, see [`produce`](super::produce).
    Produce,
    /// Each request on its own.
    One(Handler),
    /// By the active controller; other nodes hand it the requests of their clients.
    Controller(Handler),
    /// By controllers, for other nodes of the cluster.
    Quorum(Handler),
}

/// One API of this broker.
pub(super) struct SupportedApi {
    pub(super) key: ApiKey,
    /// Lowest version that ApiVersions tells of.
    pub(super) advertised_min: i16,
    /// Lowest version that is answered; requests below it close the connection.
    pub(super) min: i16,
    /// Highest version.
    pub(super) max: i16,
    pub(super) route: Route,
}

const fn api(key: ApiKey, min: i16, max: i16, handler: Handler) -> SupportedApi {
    SupportedApi { key, advertised_min: min, min, max, route: Route::One(handler) }
}

const fn controller_api(key: ApiKey, min: i16, max: i16, handler: Handler) -> SupportedApi {
    SupportedApi { key, advertised_min: min, min, max, route: Route::Controller(handler) }
}

/// One that nodes of the cluster use among themselves, on the listeners of controllers.
const fn quorum_api(key: ApiKey, min: i16, max: i16, handler: Handler) -> SupportedApi {
    SupportedApi { key, advertised_min: min, min, max, route: Route::Quorum(handler) }
}

/// Every API, by key.
///
/// Produce is advertised from version 0 because librdkafka before 2.11 takes the lowest version for a sign of which
/// codecs the broker knows (KAFKA-18659), but versions below 3 close the connection, as they do in Kafka 4.
pub(super) const SUPPORTED: &[SupportedApi] = &[
    SupportedApi { key: ApiKey::Produce, advertised_min: 0, min: 3, max: 13, route: Route::Produce },
    api(ApiKey::Fetch, 4, 18, fetch::handle),
    api(ApiKey::ListOffsets, 1, 11, list_offsets::handle),
    api(ApiKey::Metadata, 0, 13, metadata::handle),
    api(ApiKey::OffsetCommit, 2, 10, offset_commit::handle),
    api(ApiKey::OffsetFetch, 1, 10, offset_fetch::handle),
    api(ApiKey::FindCoordinator, 0, 6, find_coordinator::handle),
    api(ApiKey::JoinGroup, 0, 9, join_group::handle),
    api(ApiKey::Heartbeat, 0, 4, heartbeat::handle),
    api(ApiKey::LeaveGroup, 0, 5, leave_group::handle),
    api(ApiKey::SyncGroup, 0, 5, sync_group::handle),
    api(ApiKey::DescribeGroups, 0, 6, describe_groups::handle),
    api(ApiKey::ListGroups, 0, 5, list_groups::handle),
    api(
        ApiKey::ApiVersions,
        api_versions::SUPPORTED_VERSIONS.min,
        api_versions::SUPPORTED_VERSIONS.max,
        api_versions::handle,
    ),
    controller_api(ApiKey::CreateTopics, 2, 7, create_topics::handle),
    controller_api(ApiKey::DeleteTopics, 1, 6, delete_topics::handle),
    api(ApiKey::DeleteRecords, 0, 2, delete_records::handle),
    api(ApiKey::InitProducerId, 0, 5, init_producer_id::handle),
    api(ApiKey::OffsetForLeaderEpoch, 2, 4, offset_for_leader_epoch::handle),
    api(ApiKey::DescribeConfigs, 1, 4, describe_configs::handle),
    controller_api(ApiKey::AlterConfigs, 0, 2, alter_configs::handle),
    api(ApiKey::AlterReplicaLogDirs, 1, 2, alter_replica_log_dirs::handle),
    api(ApiKey::DescribeLogDirs, 1, 5, describe_log_dirs::handle),
    controller_api(ApiKey::CreatePartitions, 0, 3, create_partitions::handle),
    api(ApiKey::DeleteGroups, 0, 2, delete_groups::handle),
    controller_api(ApiKey::ElectLeaders, 0, 2, elect_leaders::handle),
    controller_api(ApiKey::IncrementalAlterConfigs, 0, 1, incremental_alter_configs::handle),
    controller_api(ApiKey::AlterPartitionReassignments, 0, 1, alter_partition_reassignments::handle),
    controller_api(ApiKey::ListPartitionReassignments, 0, 0, list_partition_reassignments::handle),
    api(ApiKey::OffsetDelete, 0, 0, offset_delete::handle),
    quorum_api(ApiKey::Vote, 0, 2, quorum_rpc::vote),
    quorum_api(ApiKey::BeginQuorumEpoch, 0, 1, quorum_rpc::begin_quorum_epoch),
    quorum_api(ApiKey::EndQuorumEpoch, 0, 1, quorum_rpc::end_quorum_epoch),
    controller_api(ApiKey::DescribeQuorum, 0, 2, describe_quorum::handle),
    quorum_api(ApiKey::AlterPartition, 2, 3, broker_rpc::alter_partition),
    controller_api(ApiKey::UpdateFeatures, 0, 2, update_features::handle),
    quorum_api(ApiKey::Envelope, 0, 0, forward::handle),
    quorum_api(ApiKey::FetchSnapshot, 0, 1, quorum_rpc::fetch_snapshot),
    api(ApiKey::DescribeCluster, 0, 2, describe_cluster::handle),
    api(ApiKey::DescribeProducers, 0, 0, describe_producers::handle),
    quorum_api(ApiKey::BrokerRegistration, 0, 4, broker_rpc::registration),
    quorum_api(ApiKey::BrokerHeartbeat, 0, 1, broker_rpc::heartbeat),
    controller_api(ApiKey::UnregisterBroker, 0, 0, unregister_broker::handle),
    quorum_api(ApiKey::AllocateProducerIds, 0, 0, broker_rpc::allocate_producer_ids),
    api(ApiKey::ConsumerGroupHeartbeat, 0, 1, consumer_group_heartbeat::handle),
    api(ApiKey::ConsumerGroupDescribe, 0, 1, consumer_group_describe::handle),
    quorum_api(ApiKey::ControllerRegistration, 0, 0, broker_rpc::controller_registration),
    quorum_api(ApiKey::AssignReplicasToDirs, 0, 0, broker_rpc::assign_replicas_to_dirs),
    api(ApiKey::ListConfigResources, 0, 1, list_config_resources::handle),
    api(ApiKey::DescribeTopicPartitions, 0, 0, describe_topic_partitions::handle),
    controller_api(ApiKey::AddRaftVoter, 0, 1, raft_voters::add),
    controller_api(ApiKey::RemoveRaftVoter, 0, 0, raft_voters::remove),
    quorum_api(ApiKey::UpdateRaftVoter, 0, 0, raft_voters::update),
];

impl SupportedApi {
    /// Whether it is served on listeners of this kind.
    pub(super) fn is_served(&self, for_controllers: bool) -> bool {
        match self.route {
            Route::Quorum(_) => for_controllers,
            Route::Controller(_) => true,
            Route::One(_) => !for_controllers || ON_CONTROLLERS.contains(&self.key),
            Route::Produce => !for_controllers,
        }
    }
}

/// What controllers answer besides the requests that only they can.
const ON_CONTROLLERS: &[ApiKey] =
    &[ApiKey::Fetch, ApiKey::ApiVersions, ApiKey::DescribeConfigs, ApiKey::DescribeCluster];

/// The API with this number, if the broker has it.
pub(super) fn find(code: i16) -> Option<&'static SupportedApi> {
    let index = SUPPORTED.binary_search_by_key(&code, |api| api.key as i16).ok()?;
    SUPPORTED.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_key() {
        assert!(SUPPORTED.is_sorted_by_key(|api| api.key as i16));
        assert_eq!(find(18).map(|api| api.key), Some(ApiKey::ApiVersions));
        assert!(find(4).is_none() && find(-1).is_none() && find(i16::MAX).is_none());
    }
}
