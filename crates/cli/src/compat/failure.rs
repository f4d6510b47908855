//! Errors in the words of Kafka's tools.

use std::fmt;

use highwater_client::{ClientError, ErrorCode};

use crate::error::CliError;

/// Why a tool ends, as it is told behind the tool's own words.
#[derive(Debug)]
pub(super) struct Failure(String);

impl Failure {
    /// With these words.
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self(error.why().to_owned())
    }
}

/// What the broker says, as Kafka's tools repeat it.
pub(super) fn said(error: &ClientError) -> Failure {
    Failure(match error {
        ClientError::Broker { message: Some(message), .. } => message.to_string(),
        ClientError::Broker { code, message: None } => crate::errors::explain(*code).meaning.to_owned(),
        other => other.to_string(),
    })
}

/// The name of Kafka's class for an error, and its text.
pub(super) fn java_name(error: &ClientError) -> String {
    let Some(code) = error.code() else { return error.to_string() };
    format!("org.apache.kafka.common.errors.{}: {}", class_of(code), said(error))
}

/// `UNKNOWN_TOPIC_OR_PARTITION` is `UnknownTopicOrPartitionException`.
fn class_of(code: ErrorCode) -> String {
    let name = match code {
        // Those whose class is called otherwise.
        ErrorCode::RequestTimedOut => "TIMEOUT",
        ErrorCode::TopicAlreadyExists => "TOPIC_EXISTS",
        ErrorCode::MessageTooLarge => "RECORD_TOO_LARGE",
        ErrorCode::RecordListTooLarge => "RECORD_BATCH_TOO_LARGE",
        ErrorCode::InvalidTopicException => "INVALID_TOPIC",
        ErrorCode::NonEmptyGroup => "GROUP_NOT_EMPTY",
        ErrorCode::InvalidConfig => "INVALID_CONFIGURATION",
        ErrorCode::CorruptMessage => "CORRUPT_RECORD",
        code => code.name(),
    };
    let mut class = String::new();
    for word in name.split('_') {
        let mut letters = word.chars();
        class.extend(letters.next());
        class.push_str(&letters.as_str().to_ascii_lowercase());
    }
    class + "Exception"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_kafkas_classes() {
        assert_eq!(class_of(ErrorCode::UnknownTopicOrPartition), "UnknownTopicOrPartitionException");
        assert_eq!(class_of(ErrorCode::TopicAlreadyExists), "TopicExistsException");
        assert_eq!(class_of(ErrorCode::GroupIdNotFound), "GroupIdNotFoundException");
        assert_eq!(class_of(ErrorCode::InvalidTopicException), "InvalidTopicException");
    }
}
