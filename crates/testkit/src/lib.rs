#![doc = include_str!("../README.md")]

mod admin;
mod builder;
mod config;
mod embedded;
mod error;
mod fault;
mod group;
mod port;
mod record;
mod storage;
mod topic;

pub use builder::Builder;
pub use embedded::EmbeddedBroker;
pub use error::KitError;
pub use fault::{FaultError, FaultHandle, On, Reply};
pub use group::{CommittedOffset, Group};
pub use highwater_types::{ErrorCode, TimestampMs};
pub use highwater_wire::ApiKey;
pub use record::StoredRecord;
pub use storage::Storage;
pub use topic::NewTopic;
