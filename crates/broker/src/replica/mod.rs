//! The replicas on this broker: they follow the metadata, their leaders, and ask the controller for what only it decides.

mod applier;
mod asking;
mod controller_link;
mod controller_registrar;
mod fetch_thread;
mod fetchers;
mod lifecycle;
mod local;
mod quotas;

pub(crate) use applier::{Applier, ApplierSetup, BrokerParts};
pub(crate) use asking::AskingThread;
pub(crate) use controller_link::{ControllerLink, LinkError, LinkSetup};
pub(crate) use controller_registrar::ControllerRegistrar;
pub(crate) use fetchers::{FetcherSettings, FetcherStop, Fetchers};
pub(crate) use lifecycle::{BrokerLife, LifeSetup};
pub(crate) use local::{FoundLog, LocalPartitions};
pub(crate) use quotas::{Quota, ReplicationQuotas};

use highwater_log::Log;
use highwater_replication::follower::LogState;

/// The log as its follower has to know it.
fn log_state(log: &Log) -> LogState {
    LogState {
        start: log.log_start(),
        end: log.log_end(),
        latest_epoch: log.epochs().latest().map(|entry| entry.epoch),
    }
}
