//! What assignors are told.

use highwater_types::TopicId;

use crate::Partitions;

/// A member of a group, as the coordinator knows it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its id.
    pub id: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// The topics it subscribes to and that exist, sorted, without repeats.
    pub topics: &'a [TopicId],
    /// What it was given last.
    pub owned: &'a Partitions,
}

impl Member<'_> {
    /// Static members first, by instance id, then the others by their own.
    pub(crate) fn rank(&self) -> (bool, &str) {
        (self.instance_id.is_none(), self.instance_id.unwrap_or(self.id))
    }
}
