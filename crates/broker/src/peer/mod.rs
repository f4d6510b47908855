//! Requests to other nodes of the cluster.

mod answer_buffer;
mod connection;
mod error;
mod versions;

pub use connection::{PeerConfig, PeerConnection, PeerHandle};
pub use error::PeerError;
