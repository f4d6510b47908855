//! Names of topics, each kept once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The topics in which groups have offsets: a thousand groups that consume a topic share its name.
#[derive(Debug, Default)]
pub(super) struct TopicNames {
    /// How many groups have offsets in each.
    groups: BTreeMap<Arc<str>, u32>,
}

impl TopicNames {
    /// One more group has offsets in the topic: gives the allocation that the others have.
    pub(super) fn acquire(&mut self, name: Arc<str>) -> Arc<str> {
        match self.groups.entry(name) {
            Entry::Occupied(mut known) => {
                *known.get_mut() += 1;
                Arc::clone(known.key())
            }
            Entry::Vacant(new) => {
                let name = Arc::clone(new.key());
                new.insert(1);
                name
            }
        }
    }

    /// One group less has offsets in the topic.
    pub(super) fn release(&mut self, name: &str) {
        let groups = self.groups.get_mut(name).expect("a topic that is released was acquired");
        *groups -= 1;
        if *groups == 0 {
            self.groups.remove(name);
        }
    }

    /// Whether any group has offsets in the topic.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_share_a_name_until_the_last_lets_go() {
        let mut names = TopicNames::default();
        let first = names.acquire(Arc::from("t"));
        let second = names.acquire(Arc::from("t"));
        assert!(Arc::ptr_eq(&first, &second));
        names.release("t");
        assert!(names.contains("t"));
        names.release("t");
        assert!(!names.contains("t"));
    }
}
