//! What the broker answers: one file per API key, and what they share.
//!
//! A handler translates between the wire and the crates that decide: it decodes the request's body, looks partitions
//! up, calls the log, the leader or the controller, and encodes the answer. Requests that change metadata park until
//! the controller's thread has carried them out; fetches and `acks=all` produces park on their partitions.

mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod broker_rpc;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod coordinator;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod error_map;
mod fetch;
mod find_coordinator;
mod forward;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leader_hint;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod lookup;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod parked;
mod produce;
mod quorum_rpc;
mod raft_voters;
mod request;
mod service;
mod supported;
mod sync_group;
mod unregister_broker;
mod update_features;

pub(crate) use error_map::ToCode;
pub(crate) use fetch::Sessions;
pub(crate) use service::Handlers;
