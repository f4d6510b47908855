#![doc = include_str!("../README.md")]

mod api;
mod broker;
pub mod config;
mod descriptors;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod lifecycle;
pub mod net;
mod node;
mod partition;
pub mod peer;
pub mod purgatory;
mod quorum;
mod random;
pub mod server;
pub mod session;
mod storage;
mod view;

pub use broker::{Broker, BrokerStats, StartError};
pub use config::BrokerConfig;
pub use lifecycle::BrokerError;
pub use storage::StorageError;
