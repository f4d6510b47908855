//! What goes wrong, by who must act.

use std::io;
use std::sync::Arc;

use highwater_consumer::{CommitError, QueryError, UsageError};
use highwater_types::ErrorCode;
use highwater_wire::frame::FrameError;
use highwater_wire::{ApiKey, DecodeError, EncodeError};

use crate::ConfigError;

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A config has no such value. The caller must change it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The call itself makes no sense. The caller must change it.
    #[error("{0}")]
    Invalid(String),
    /// Nothing listens at the address, or its name is not known. Somebody must start the broker, or correct the address.
    #[error("connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// The connection broke while an answer was awaited. Whether the broker has carried out the request is not known.
    #[error("connection to {address}: {source}")]
    Disconnected {
        /// Host and port.
        address: String,
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// It took too long. Whether the broker has carried out the request is not known.
    #[error("{what} took longer than {timeout_ms} ms{}", last.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
    Timeout {
        /// What was attempted.
        what: String,
        /// How long it was waited for.
        timeout_ms: u64,
        /// What was wrong at the last attempt, if anything.
        last: Option<Box<ClientError>>,
    },
    /// The broker speaks no version of the API that this client does, so it is far older, or not what it should be.
    #[error("{address} speaks no version of {api} that this client does")]
    Version {
        /// Host and port.
        address: String,
        /// The API.
        api: ApiKey,
    },
    /// What the broker answers makes no sense: it is no Kafka broker, or one with a fault.
    #[error("{address} does not answer as a Kafka broker does: {reason}")]
    Protocol {
        /// Host and port.
        address: String,
        /// What is wrong with the answer.
        reason: ProtocolFault,
    },
    /// The request cannot be expressed in a version that both speak. The caller asks for what the broker does not have.
    #[error("{api} cannot be asked of {address} like this: {source}")]
    Unsupported {
        /// Host and port.
        address: String,
        /// The API.
        api: ApiKey,
        /// What the version lacks.
        source: EncodeError,
    },
    /// The broker refused. Who must act depends on the code.
    #[error("{}", refusal(*code, message.as_deref()))]
    Broker {
        /// Kafka's code.
        code: ErrorCode,
        /// What else the broker says.
        message: Option<Arc<str>>,
    },
    /// A commit was not stored, or is not known to be.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What is committed is not known.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The consumer cannot do that. The caller must change it.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The client, or this part of it, is closed.
    #[error("the client is closed")]
    Closed,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolFault {
    /// It is larger than allowed, or has a negative size.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It contradicts itself.
    #[error("{api}: {source}")]
    Decode {
        /// What was asked.
        api: ApiKey,
        /// The contradiction.
        source: DecodeError,
    },
    /// It belongs to another request, or to none.
    #[error("answer to request {found} instead of {expected:?}")]
    Correlation {
        /// The request that was to be answered, if any.
        expected: Option<i32>,
        /// The request that was answered.
        found: i32,
    },
    /// It leaves out what was asked for.
    #[error("answer to {api} without {what}")]
    Missing {
        /// What was asked.
        api: ApiKey,
        /// What is not there.
        what: &'static str,
    },
}

impl ClientError {
    /// A refusal without a text.
    #[must_use]
    pub const fn of(code: ErrorCode) -> Self {
        Self::Broker { code, message: None }
    }

    /// Kafka's code, if a broker gave one.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. }
            | Self::Commit(CommitError::Stale { code } | CommitError::Refused { code, .. })
            | Self::Query(QueryError::Refused { code }) => Some(*code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody having changed anything.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { code, .. } => code.is_retriable(),
            Self::Connect { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => true,
            _ => false,
        }
    }

    /// Whether the brokers could not be reached, or did not answer in time.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Disconnected { .. }
                | Self::Timeout { .. }
                | Self::Commit(CommitError::TimedOut)
                | Self::Query(QueryError::TimedOut)
        )
    }
}

fn refusal(code: ErrorCode, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{message} ({})", code.name()),
        _ => format!("the broker refused: {}", code.name()),
    }
}

/// `Ok` for no error, else the code with what the broker says of it.
pub(crate) fn check(code: i16, message: Option<&str>) -> Result<(), ClientError> {
    match ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Ok(()),
        code => Err(ClientError::Broker { code, message: message.filter(|text| !text.is_empty()).map(Arc::from) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_code() {
        let plain = ClientError::of(ErrorCode::TopicAuthorizationFailed);
        assert_eq!(plain.to_string(), "the broker refused: TOPIC_AUTHORIZATION_FAILED");
        let told = check(36, Some("Topic 'a' already exists.")).unwrap_err();
        assert_eq!(told.to_string(), "Topic 'a' already exists. (TOPIC_ALREADY_EXISTS)");
        assert_eq!(told.code(), Some(ErrorCode::TopicAlreadyExists));
    }

    #[test]
    fn a_timeout_says_what_was_wrong_last() {
        let source = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        let last = Some(Box::new(ClientError::Connect { address: "nowhere:1".to_owned(), source }));
        let error = ClientError::Timeout { what: "finding a broker".to_owned(), timeout_ms: 50, last };
        let expected = "finding a broker took longer than 50 ms: connect to nowhere:1: connection refused";
        assert_eq!(error.to_string(), expected);
        assert!(error.is_unreachable() && error.is_retriable());
    }

    #[test]
    fn unknown_codes_are_errors_too() {
        assert_eq!(check(0, None).ok(), Some(()));
        assert_eq!(check(i16::MAX, None).unwrap_err().code(), Some(ErrorCode::UnknownServerError));
    }
}
