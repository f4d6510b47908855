//! Names of topics and of their partitions.

use crate::PartitionIndex;
use core::{borrow::Borrow, fmt, str::FromStr};
use std::sync::Arc;

/// The name of a topic: 1 to 249 characters of `a-zA-Z0-9._-`, neither `.` nor `..`.
///
/// Cheap to clone. 249 leaves room for `-` and the partition number in a directory name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Longest allowed name in bytes.
    pub const LENGTH_MAX: usize = 249;

    /// Checks and takes a name.
    ///
    /// # Errors
    ///
    /// Says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        Self::check(name)?;
        Ok(Self(name.into()))
    }

    /// Checks a name without keeping it.
    ///
    /// # Errors
    ///
    /// Says which rule the name breaks.
    pub fn check(name: &str) -> Result<(), InvalidTopicName> {
        let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        match name {
            "" => Err(InvalidTopicName::Empty),
            "." | ".." => Err(InvalidTopicName::Dots),
            _ if name.len() > Self::LENGTH_MAX => Err(InvalidTopicName::TooLong { length: name.len() }),
            _ if !name.bytes().all(legal) => Err(InvalidTopicName::IllegalCharacter),
            _ => Ok(()),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two names that may not exist side by side have in common: `.` replaced by `_`, since both
    /// become the same metric name.
    #[must_use]
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }

    /// Whether clients must treat the topic as internal.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(&*self.0, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TopicName {
    type Err = InvalidTopicName;

    fn from_str(name: &str) -> Result<Self, InvalidTopicName> {
        Self::new(name)
    }
}

/// Why a string cannot name a topic. The caller must choose another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTopicName {
    /// The name has no characters.
    Empty,
    /// The name is `.` or `..`.
    Dots,
    /// The name is longer than [`TopicName::LENGTH_MAX`].
    TooLong {
        /// Length given, in bytes.
        length: usize,
    },
    /// The name holds a character outside `a-zA-Z0-9._-`.
    IllegalCharacter,
}

impl fmt::Display for InvalidTopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a topic name has at least one character"),
            Self::Dots => f.write_str("a topic name is neither . nor .."),
            Self::TooLong { length } => write!(f, "a topic name has at most 249 characters, this one {length}"),
            Self::IllegalCharacter => f.write_str("a topic name holds only ASCII letters, digits, '.', '_' and '-'"),
        }
    }
}

impl core::error::Error for InvalidTopicName {}

/// One partition of one topic; prints as `topic-0`, the name of its directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition within it.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: TopicName, partition: PartitionIndex) -> Self {
        Self { topic, partition }
    }

    /// Reads the name of a live partition directory, splitting at its last `-`; `None` if it is none.
    ///
    /// Directories on their way out (`…-delete`, `…-stray`) or in (`…-future`) are not live: strip their
    /// suffix first.
    #[must_use]
    pub fn from_dir_name(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        if partition.is_empty() || !partition.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let partition = PartitionIndex::from_wire(partition.parse().ok()?)?;
        Some(Self { topic: TopicName::new(topic).ok()?, partition })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidTopicName, TopicName, TopicPartition};

    #[test]
    fn names_follow_kafkas_rules() {
        assert_eq!(TopicName::new(""), Err(InvalidTopicName::Empty));
        assert_eq!(TopicName::new(".."), Err(InvalidTopicName::Dots));
        assert_eq!(TopicName::new("bad/name"), Err(InvalidTopicName::IllegalCharacter));
        assert_eq!(TopicName::new("zürich"), Err(InvalidTopicName::IllegalCharacter));
        assert_eq!(TopicName::new(&"x".repeat(250)), Err(InvalidTopicName::TooLong { length: 250 }));
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
        assert!(TopicName::new("...").is_ok());
    }

    #[test]
    fn dots_and_underscores_collide() {
        let key = |name: &str| TopicName::new(name).expect("legal").collision_key();
        assert_eq!(key("a.b_c"), key("a_b.c"));
        assert_ne!(key("a-b"), key("a.b"));
    }

    #[test]
    fn directory_names_split_at_the_last_dash() {
        let parsed = TopicPartition::from_dir_name("my-topic.v1-12").expect("a partition directory");
        assert_eq!((parsed.topic.as_str(), parsed.partition.value()), ("my-topic.v1", 12));
        assert_eq!(parsed.to_string(), "my-topic.v1-12");
        for name in ["topic", "topic-", "-3", "topic-x", "topic-+1", "topic-99999999999", "t-0.0123-delete"] {
            assert_eq!(TopicPartition::from_dir_name(name), None, "{name}");
        }
    }

    #[test]
    fn three_topics_are_internal() {
        let internal = |name: &str| TopicName::new(name).expect("legal").is_internal();
        assert!(internal("__consumer_offsets") && internal("__transaction_state") && internal("__share_group_state"));
        assert!(!internal("__cluster_metadata") && !internal("offsets"));
    }
}
