//! What goes wrong between two nodes.

use std::io;

use highwater_types::ErrorCode;
use highwater_wire::frame::FrameError;
use highwater_wire::{ApiKey, DecodeError, EncodeError};

/// Why a node could not be asked, or its answer not be understood.
///
/// Whether the other node has carried out the request is unknown after every error but [`Connect`](Self::Connect),
/// [`Version`](Self::Version) and [`Encode`](Self::Encode). The connection is of no use after any of them but the last
/// two.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The address cannot be resolved, or nobody listens there.
    #[error("connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The connection broke, or was closed by either side.
    #[error("{op} {address}: {source}")]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// Host and port.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The answer did not arrive in time.
    #[error("{address} did not answer {api} within {timeout_ms} ms")]
    Timeout {
        /// Host and port.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// How long it was waited for.
        timeout_ms: u128,
    },
    /// The two nodes have no version of the API in common.
    #[error("{address} speaks no version of {api} that this node does")]
    Version {
        /// Host and port.
        address: String,
        /// The API.
        api: ApiKey,
    },
    /// The node refused to say what it speaks.
    #[error("{address} refused ApiVersions: {code}")]
    Refused {
        /// Host and port.
        address: String,
        /// Its reason.
        code: ErrorCode,
    },
    /// The answer is larger than allowed, or has a negative size.
    #[error("answer of {address}: {source}")]
    Frame {
        /// Host and port.
        address: String,
        /// What is wrong with the size.
        source: FrameError,
    },
    /// The answer belongs to another request.
    #[error("{address} answered request {found} instead of {expected}")]
    Correlation {
        /// Host and port.
        address: String,
        /// The request that was sent.
        expected: i32,
        /// The request that was answered.
        found: i32,
    },
    /// The answer contradicts itself.
    #[error("answer of {address} to {api}: {source}")]
    Decode {
        /// Host and port.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// The contradiction.
        source: DecodeError,
    },
    /// The request has no form in the version that both speak: our own bug.
    #[error("{api} cannot be encoded: {source}")]
    Encode {
        /// What was to be asked.
        api: ApiKey,
        /// Why.
        source: EncodeError,
    },
}

impl PeerError {
    /// Whether the connection can still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::Encode { .. })
    }
}
