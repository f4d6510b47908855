//! Errors as a user reads them.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::iter;
use std::process::ExitCode;

use highwater_broker::{FormatError, StartError, StorageError};
use highwater_log::LogError;
use highwater_types::ErrorCode;

use crate::errors;

/// Why a command did not do what it was asked to: what went wrong, why, and what to try.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    what: String,
    why: String,
    hint: Option<String>,
}

/// Which exit code an error gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The operation failed: 1.
    Failed,
    /// The arguments make no sense: 2. `clap` ends the process so by itself for what it can tell.
    Usage,
    /// What was named does not exist: 3.
    NotFound,
    /// Nobody answered, or not in time: 4.
    Unreachable,
    /// Whoever asked may not: 5.
    Denied,
    /// Some of several operations failed, which a table has told one by one: 6.
    Partial,
    /// Something else holds what is needed, or exists already: 7.
    Conflict,
}

impl Kind {
    /// The exit code.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Denied => 5,
            Self::Partial => 6,
            Self::Conflict => 7,
        }
    }

    /// The kind of an error that a broker answered with.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::GroupIdNotFound
            | ErrorCode::TransactionalIdNotFound
            | ErrorCode::LogDirNotFound
            | ErrorCode::ResourceNotFound
            | ErrorCode::NoReassignmentInProgress
            | ErrorCode::VoterNotFound
            | ErrorCode::BrokerIdNotRegistered => Self::NotFound,
            ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NetworkException => Self::Unreachable,
            ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::DelegationTokenAuthorizationFailed
            | ErrorCode::SaslAuthenticationFailed
            | ErrorCode::UnsupportedSaslMechanism
            | ErrorCode::IllegalSaslState => Self::Denied,
            ErrorCode::TopicAlreadyExists
            | ErrorCode::NonEmptyGroup
            | ErrorCode::GroupSubscribedToTopic
            | ErrorCode::DuplicateResource
            | ErrorCode::DuplicateVoter
            | ErrorCode::ReassignmentInProgress => Self::Conflict,
            _ => Self::Failed,
        }
    }
}

impl CliError {
    /// An error with its cause in words.
    pub(crate) fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, what: what.into(), why: why.into(), hint: None }
    }

    /// An operation that failed because of `cause`, whose own causes are told in the same line, decide on the exit
    /// code, and suggest what to try.
    pub(crate) fn caused(what: impl Into<String>, cause: &(dyn Error + 'static)) -> Self {
        let (kind, hint) = iter::successors(Some(cause), |&cause| cause.source())
            .find_map(remedy)
            .map_or((Kind::Failed, None), |(kind, hint)| (kind, Some(hint.to_owned())));
        Self { kind, what: what.into(), why: chain(cause), hint }
    }

    /// An operation that a broker refused with `code` and, if it is not empty, its own words.
    pub(crate) fn answered(what: impl Into<String>, code: ErrorCode, message: Option<&str>) -> Self {
        let explanation = errors::explain(code);
        let said = message.filter(|said| !said.trim().is_empty()).unwrap_or(explanation.meaning);
        Self {
            kind: Kind::of(code),
            what: what.into(),
            why: format!("{} ({code})", said.trim()),
            hint: Some(explanation.advice.to_owned()),
        }
    }

    /// Which exit code it gets.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Why, in one line.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// Adds what the user may try next, unless the cause has already suggested something.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Writes the error to standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // If standard error is closed there is nobody to tell; the exit code still says it.
        let _ = write!(io::stderr(), "{self}");
        ExitCode::from(self.kind.exit_code())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        writeln!(f, "  why: {}", self.why)?;
        match &self.hint {
            Some(hint) => writeln!(f, "  try: {hint}"),
            None => Ok(()),
        }
    }
}

/// What kind of error a cause makes, and what the user may try, if that can be told.
fn remedy(cause: &(dyn Error + 'static)) -> Option<(Kind, &'static str)> {
    let storage = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(StartError::Storage(error)), _) | (_, Some(FormatError::Storage(error))) => Some(error),
        _ => cause.downcast_ref(),
    };
    match storage {
        Some(StorageError::Log(LogError::Locked { .. })) => {
            return Some((Kind::Conflict, "stop the other process that uses the directory, or give another one"));
        }
        Some(StorageError::OtherCluster { .. }) => {
            return Some((Kind::Conflict, "unset CLUSTER_ID or set it to the directory's, or give another directory"));
        }
        _ => {}
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::AddrInUse => {
            Some((Kind::Conflict, "stop what listens there, or give another port (0 takes a free one)"))
        }
        io::ErrorKind::NotFound => Some((Kind::NotFound, "give the path of something that exists")),
        io::ErrorKind::PermissionDenied => Some((Kind::Failed, "give a path or a port that this user may use")),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => {
            Some((Kind::Unreachable, "start the broker, or give its address with -b HOST:PORT"))
        }
        io::ErrorKind::StorageFull => Some((Kind::Failed, "free some space, or give a directory on another disk")),
        _ => None,
    }
}

/// An error and all its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors already tell their cause.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_try() {
        let cause = io::Error::from(io::ErrorKind::InvalidData);
        let error = CliError::caused("cannot read a.log", &cause).hint("give another path");
        assert_eq!(error.to_string(), format!("error: cannot read a.log\n  why: {cause}\n  try: give another path\n"));
        assert_eq!(error.kind, Kind::Failed);
    }

    #[test]
    fn a_cause_that_suggests_something_knows_better() {
        let cause = io::Error::from(io::ErrorKind::NotFound);
        let error = CliError::caused("cannot read a.log", &cause).hint("give another path");
        assert_eq!(error.hint.as_deref(), Some("give the path of something that exists"));
        assert_eq!(error.kind, Kind::NotFound);
    }

    #[test]
    fn what_a_broker_answers_is_told_with_its_name_and_with_what_to_do() {
        let error = CliError::answered("cannot create orders", ErrorCode::TopicAlreadyExists, Some("it is there"));
        let text = error.to_string();
        assert!(text.contains("  why: it is there (TOPIC_ALREADY_EXISTS)\n  try: Use it"), "{text}");
        assert_eq!(error.kind().exit_code(), 7);
        let error = CliError::answered("cannot describe orders", ErrorCode::UnknownTopicOrPartition, None);
        assert!(error.why().starts_with("This broker has no such topic"), "{}", error.why());
        assert_eq!(error.kind().exit_code(), 3);
    }
}
