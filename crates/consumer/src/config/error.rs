//! What is wrong with a config.

/// A config that no consumer takes. Blames whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The value is not one of those allowed, by itself or beside the other configs.
    #[error("invalid value {value} for configuration {key}: allowed is {allowed}")]
    Invalid {
        /// Kafka's name.
        key: &'static str,
        /// The value.
        value: String,
        /// What it could be.
        allowed: String,
    },
    /// The consumer's machine has no such config. It may be one of the client around it.
    #[error("unknown consumer configuration {key}; the nearest is {nearest}")]
    Unknown {
        /// The name.
        key: String,
        /// The name that is most like it.
        nearest: &'static str,
    },
}

impl ConfigError {
    pub(crate) fn invalid(key: &'static str, value: &dyn ToString, allowed: impl Into<String>) -> Self {
        Self::Invalid { key, value: value.to_string(), allowed: allowed.into() }
    }
}
