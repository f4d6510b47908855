//! A broker that any Kafka client can use, embeddable in any program.

pub mod config;
pub mod net;
pub mod purgatory;
pub mod server;
pub mod session;

pub use config::BrokerConfig;
