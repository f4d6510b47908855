#![doc = include_str!("../README.md")]

mod api;
mod broker;
pub mod config;
mod descriptors;
mod format;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod inspect;
mod interpose;
mod lifecycle;
pub mod net;
mod node;
mod partition;
pub mod peer;
mod producer_ids;
pub mod purgatory;
mod quorum;
mod random;
mod replica;
pub mod server;
pub mod session;
mod storage;
mod view;

pub use broker::{Broker, BrokerStats, Readiness, StartError};
pub use config::BrokerConfig;
pub use format::{FormatError, InitialController, InitialControllers, NoController, format};
pub use inspect::{InspectError, ReplicaState};
pub use interpose::{Intercepted, Interposer, Verdict};
pub use lifecycle::BrokerError;
pub use storage::StorageError;
