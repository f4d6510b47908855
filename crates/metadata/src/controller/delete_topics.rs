//! Deleting topics.

use super::{Controller, Decision};
use crate::{ApiError, record::MetadataRecord};
use highwater_types::{ErrorCode, TopicId};
use std::collections::BTreeMap;

/// A topic to delete, by name or by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSelector {
    /// Its name; unchecked.
    pub name: Option<String>,
    /// Its id; the wire's zero is `None`.
    pub id: Option<TopicId>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopicResult {
    /// Its name; unknown if it was given by an id that no topic has.
    pub name: Option<String>,
    /// Its id; unknown if it was given by a name that no topic has.
    pub id: Option<TopicId>,
    /// Whether it will be gone when the records are committed.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Decides on the deletion of topics, in the order of the request.
    ///
    /// Codes: `UNKNOWN_TOPIC_OR_PARTITION` for a name and `UNKNOWN_TOPIC_ID` for an id that does not exist,
    /// `INVALID_REQUEST` for a topic given twice or not at all, `TOPIC_DELETION_DISABLED` for all where
    /// `delete.topic.enable` is false.
    pub fn delete_topics(&self, topics: &[TopicSelector]) -> Decision<Vec<DeleteTopicResult>> {
        let mut times: BTreeMap<TopicId, usize> = BTreeMap::new();
        for id in topics.iter().filter_map(|topic| self.find(topic)) {
            *times.entry(id).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(topics.len());
        for topic in topics {
            let checked = self.check_deletion(topic, &times);
            let found = self.find(topic).and_then(|id| self.image.topic_by_id(id));
            let (name, id) = match found {
                Some(image) if checked.is_ok() => (Some(image.name().as_str().to_owned()), Some(image.id())),
                _ => (topic.name.clone(), topic.id),
            };
            let result = checked.map(|id| records.push(MetadataRecord::RemoveTopic { id }));
            results.push(DeleteTopicResult { name, id, result });
        }
        Decision::new(records, results)
    }

    fn find(&self, topic: &TopicSelector) -> Option<TopicId> {
        match (&topic.name, topic.id) {
            (Some(name), None) => self.image.topic(name).map(|image| image.id()),
            (None, Some(id)) => self.image.topic_by_id(id).map(|image| image.id()),
            _ => None,
        }
    }

    fn check_deletion(&self, topic: &TopicSelector, times: &BTreeMap<TopicId, usize>) -> Result<TopicId, ApiError> {
        let refused = |code, why: &str| Err(ApiError::new(code, why));
        if self.static_config.flag("delete.topic.enable") == Some(false) {
            return refused(ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled.");
        }
        match (&topic.name, topic.id) {
            (None, None) => {
                return refused(ErrorCode::InvalidRequest, "Neither topic name nor id were specified.");
            }
            (Some(_), Some(_)) => {
                return refused(ErrorCode::InvalidRequest, "You may not specify both topic name and topic id.");
            }
            _ => {}
        }
        match self.find(topic) {
            Some(id) if times.get(&id) == Some(&1) => Ok(id),
            Some(_) if topic.name.is_some() => refused(ErrorCode::InvalidRequest, "Duplicate topic name."),
            Some(_) => refused(ErrorCode::InvalidRequest, "Duplicate topic id."),
            None if topic.name.is_some() => {
                refused(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
            }
            None => refused(ErrorCode::UnknownTopicId, "This server does not host this topic ID."),
        }
    }
}
