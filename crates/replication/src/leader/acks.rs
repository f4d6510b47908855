//! When a producer may be told that its records are written.

use highwater_types::ErrorCode;

/// What a producer waits for: `acks` of a produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing; it does not even get an answer. 0 on the wire.
    None,
    /// The leader's append. 1 on the wire.
    Leader,
    /// Every in-sync replica. -1 on the wire.
    All,
}

impl Acks {
    /// Decodes the wire form; `None` for what must be answered with `INVALID_REQUIRED_ACKS`.
    #[must_use]
    pub const fn from_wire(raw: i16) -> Option<Self> {
        match raw {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }
}

/// Whether appended records can be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Yes.
    Ready,
    /// Not yet; ask again when the high watermark or the in-sync replicas change.
    Wait,
    /// No, and waiting does not help.
    Refused(AckError),
}

/// There are fewer in-sync replicas than `min.insync.replicas` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// Nothing was appended.
    #[error("{in_sync} in-sync replicas are fewer than the required {required}")]
    NotEnoughReplicas {
        /// In-sync replicas.
        in_sync: usize,
        /// How many there should be.
        required: usize,
    },
    /// The records were appended and may or may not survive: an indefinite outcome.
    #[error("the records were written to {in_sync} in-sync replicas, fewer than the required {required}")]
    NotEnoughReplicasAfterAppend {
        /// In-sync replicas.
        in_sync: usize,
        /// How many there should be.
        required: usize,
    },
}

impl AckError {
    /// The code that goes to the client.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
        }
    }
}
