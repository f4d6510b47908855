//! The topics of the scripts, whose ids are letters.

use std::collections::BTreeMap;

use highwater_group::Topics;
use highwater_types::{PartitionIndex, TopicId, Uuid};

/// Topics by name, with the letter that is the id, and the number of partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeTopics {
    version: i64,
    all: BTreeMap<String, (char, u32)>,
}

impl FakeTopics {
    /// Topics written `NAME=PARTITIONS`, or `NAME=PARTITIONS/ID` where the id is not the first letter of the name.
    pub(crate) fn parse(version: i64, words: &[(&str, &str)]) -> Self {
        let all = words.iter().map(|(name, word)| {
            let (partitions, id) = word.split_once('/').unwrap_or((word, name));
            ((*name).to_owned(), (id.chars().next().unwrap(), partitions.parse().unwrap()))
        });
        Self { version, all: all.collect() }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }
}

pub(crate) fn id(letter: char) -> TopicId {
    TopicId(Uuid::from_bytes([u8::try_from(letter).unwrap(); 16]))
}

pub(crate) fn letter(id: TopicId) -> char {
    char::from(id.0.as_bytes()[0])
}

impl Topics for FakeTopics {
    fn version(&self) -> i64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<(TopicId, u32)> {
        self.all.get(name).map(|(letter, partitions)| (id(*letter), *partitions))
    }

    fn by_id(&self, topic: TopicId) -> Option<(&str, u32)> {
        let mut all = self.all.iter();
        all.find_map(|(name, (letter, partitions))| (id(*letter) == topic).then_some((name.as_str(), *partitions)))
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.names().for_each(visit);
    }

    fn racks(&self, _: TopicId, _: PartitionIndex) -> Vec<&str> {
        Vec::new()
    }
}
