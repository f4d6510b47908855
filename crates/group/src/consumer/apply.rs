//! Records of a consumer group.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use highwater_coordinator::Now;

use super::member::{Member, nothing};
use super::{ConsumerGroup, LEAVE_EPOCH};
use crate::record::{AssignedPartitions, ConsumerCurrentValue, ConsumerMemberValue, GroupRecord};
use crate::shard::Corrupt;

impl ConsumerGroup {
    /// Applies one of the records of this group.
    ///
    /// Whatever Kafka may have written is taken, also where compaction has left only part of it: a tombstone for
    /// something unknown, or what a member has before the member itself.
    pub(crate) fn apply(&mut self, _now: Now, record: GroupRecord) -> Result<(), Corrupt> {
        match record {
            GroupRecord::Consumer { value: Some(value), .. } => {
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            GroupRecord::ConsumerMember { member, value, .. } => self.apply_member(member, value),
            GroupRecord::ConsumerTarget { value, .. } => {
                self.target_epoch = value.map_or(0, |value| value.epoch);
                self.target_timestamp = value.and_then(|value| value.timestamp);
            }
            GroupRecord::ConsumerMemberTarget { member, value, .. } => {
                match value {
                    Some(target) => self.targets.insert(member, target),
                    None => self.targets.remove(&member),
                };
            }
            GroupRecord::ConsumerCurrent { member, value, .. } => self.apply_current(&member, value),
            GroupRecord::ConsumerRegex { regex, value, .. } => {
                match value {
                    Some(resolved) => self.regexes.insert(regex, resolved),
                    None => self.regexes.remove(&regex),
                };
            }
            // The group's own tombstone is its owner's matter; what others had seen of topics does not count any more.
            GroupRecord::Consumer { value: None, .. }
            | GroupRecord::ConsumerTopics { .. }
            | GroupRecord::Classic { .. }
            | GroupRecord::Offset { .. } => {}
        }
        Ok(())
    }

    fn apply_member(&mut self, id: Arc<str>, value: Option<ConsumerMemberValue>) {
        let Some(value) = value else {
            let Some(member) = self.members.remove(&id) else { return };
            self.disown(&id, &member.current);
            if let Some(instance) = &member.value.instance_id
                && self.statics.get(instance) == Some(&id)
            {
                self.statics.remove(instance);
            }
            return;
        };
        // It may have come back with another name.
        let old = self.members.get(&id).and_then(|member| member.value.instance_id.as_ref());
        if let Some(old) = old.filter(|old| Some(*old) != value.instance_id.as_ref())
            && self.statics.get(old) == Some(&id)
        {
            self.statics.remove(old);
        }
        if let Some(instance) = &value.instance_id {
            self.statics.insert(Arc::clone(instance), Arc::clone(&id));
        }
        match self.members.entry(id) {
            Entry::Occupied(mut known) => known.get_mut().value = value,
            Entry::Vacant(new) => {
                new.insert(Member::new(value));
            }
        }
    }

    fn apply_current(&mut self, id: &Arc<str>, value: Option<ConsumerCurrentValue>) {
        if value.is_none() && !self.members.contains_key(id) {
            return;
        }
        let member = self.members.entry(Arc::clone(id)).or_insert_with(|| Member::new(ConsumerMemberValue::default()));
        let value = value.unwrap_or_else(|| nothing(LEAVE_EPOCH));
        let old = std::mem::replace(&mut member.current, value);
        let has = [member.current.assigned.clone(), member.current.pending_revocation.clone()];
        self.disown(id, &old);
        for (topic, partition) in has.iter().flat_map(each) {
            self.owners.insert((topic, partition), Arc::clone(id));
        }
    }

    /// Forgets that a member has what it had.
    fn disown(&mut self, id: &Arc<str>, had: &ConsumerCurrentValue) {
        for partition in each(&had.assigned).chain(each(&had.pending_revocation)) {
            if self.owners.get(&partition) == Some(id) {
                self.owners.remove(&partition);
            }
        }
    }
}

/// The partitions alone.
pub(super) fn each(
    partitions: &AssignedPartitions,
) -> impl Iterator<Item = (highwater_types::TopicId, highwater_types::PartitionIndex)> {
    partitions.iter().flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
}
