//! What the application wants to consume.

use std::collections::BTreeSet;

use highwater_types::{ErrorCode, TopicName};
use regex::{Regex, RegexBuilder};

use crate::UsageError;
use crate::metadata::Metadata;

/// What the application wants to consume.
#[derive(Clone, Debug, Default)]
pub(crate) enum Subscription {
    #[default]
    Nothing,
    Topics(BTreeSet<TopicName>),
    Pattern {
        pattern: Regex,
        /// Topics that match, so far.
        topics: BTreeSet<TopicName>,
    },
    /// Partitions that the application has assigned itself.
    Manual,
}

impl Subscription {
    /// Topics whose whole name matches.
    pub(crate) fn pattern(text: &str) -> Result<Self, UsageError> {
        let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
        // Alone as well, so that no parenthesis of it reaches outside.
        let pattern = build(text).and_then(|_| build(&format!("^(?:{text})$")));
        let pattern =
            pattern.map_err(|error| UsageError::Pattern { pattern: text.to_owned(), reason: error.to_string() })?;
        Ok(Self::Pattern { pattern, topics: BTreeSet::new() })
    }

    /// The topics that the group is told.
    pub(crate) fn topics(&self) -> Option<&BTreeSet<TopicName>> {
        match self {
            Self::Topics(topics) | Self::Pattern { topics, .. } => Some(topics),
            Self::Nothing | Self::Manual => None,
        }
    }

    /// Whether a group decides on the partitions.
    pub(crate) fn is_by_group(&self) -> bool {
        self.topics().is_some()
    }

    /// Matches a pattern again. Whether its topics are others now.
    pub(crate) fn rematch(&mut self, metadata: &Metadata, exclude_internal: bool) -> bool {
        let Self::Pattern { pattern, topics } = self else { return false };
        let found = metadata.topics().filter(|(name, topic)| {
            let may = !exclude_internal || (!topic.is_internal && !name.is_internal());
            may && topic.error.is_none_or(ErrorCode::is_retriable) && pattern.is_match(name.as_str())
        });
        let found: BTreeSet<TopicName> = found.map(|(name, _)| name.clone()).collect();
        let is_other = found != *topics;
        *topics = found;
        is_other
    }
}

/// Memory that a pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
