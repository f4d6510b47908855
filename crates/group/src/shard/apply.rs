//! Records of the offsets topic, at replay and behind each append.

use std::sync::Arc;

use highwater_coordinator::{Entry, Now};
use highwater_types::Offset;

use super::{Corrupt, Group, GroupShard};
use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;
use crate::record::{ClassicGroupValue, GroupRecord};

impl GroupShard {
    pub(super) fn apply_entry(&mut self, now: Now, offset: Offset, entry: Entry<GroupRecord>) -> Result<(), Corrupt> {
        match entry {
            Entry::Record(record) => self.apply_record(now, offset, record),
            Entry::Transactional { producer, epoch, record } => {
                // Transactions write offsets alone; Kafka ignores the rest too.
                if let GroupRecord::Offset { group, topic, partition, value: Some(value) } = record {
                    self.offsets.apply_pending(producer, epoch, group, topic, partition, offset, value);
                }
                Ok(())
            }
            Entry::Marker { producer, epoch, outcome } => {
                self.offsets.apply_marker(producer, epoch, outcome);
                Ok(())
            }
        }
    }

    fn apply_record(&mut self, now: Now, at: Offset, record: GroupRecord) -> Result<(), Corrupt> {
        match record {
            GroupRecord::Offset { group, topic, partition, value } => {
                self.offsets.apply(group, topic, partition, at, value);
                Ok(())
            }
            GroupRecord::Classic { group, value } => {
                self.apply_classic(now, group, value);
                Ok(())
            }
            GroupRecord::Consumer { ref group, .. }
            | GroupRecord::ConsumerTopics { ref group, .. }
            | GroupRecord::ConsumerMember { ref group, .. }
            | GroupRecord::ConsumerTarget { ref group, .. }
            | GroupRecord::ConsumerMemberTarget { ref group, .. }
            | GroupRecord::ConsumerCurrent { ref group, .. }
            | GroupRecord::ConsumerRegex { ref group, .. } => {
                let group = Arc::clone(group);
                self.apply_consumer(now, &group, record)
            }
        }
    }

    fn apply_classic(&mut self, now: Now, id: Arc<str>, value: Option<ClassicGroupValue>) {
        match (self.groups.get_mut(&id), value) {
            (Some(Group::Classic(group)), Some(value)) => group.apply(now, value),
            (_, Some(value)) => {
                let mut group = ClassicGroup::new(Arc::clone(&id), now);
                group.apply(now, value);
                self.groups.insert(id, Group::Classic(group));
            }
            (Some(Group::Classic(_)), None) => {
                self.groups.remove(&id);
            }
            // Converted to a consumer group: its classic record goes.
            (Some(Group::Consumer(_)) | None, None) => {}
        }
    }

    fn apply_consumer(&mut self, now: Now, id: &Arc<str>, record: GroupRecord) -> Result<(), Corrupt> {
        if !matches!(self.groups.get(id), Some(Group::Consumer(_))) {
            if record.is_tombstone() {
                return Ok(());
            }
            self.groups.insert(Arc::clone(id), Group::Consumer(ConsumerGroup::new(Arc::clone(id))));
        }
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else { unreachable!("it was made") };
        let removes_group = matches!(record, GroupRecord::Consumer { value: None, .. });
        group.apply(now, record)?;
        if removes_group {
            self.groups.remove(id);
        }
        Ok(())
    }
}
