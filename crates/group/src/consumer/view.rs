//! Consumer groups as administrators see them.

use std::sync::Arc;

use highwater_assignor::Partitions;
use highwater_types::{PartitionIndex, TopicId};

use super::apply::each;
use super::{ConsumerGroup, draft};
use crate::config::{GroupConfig, ServerAssignor};
use crate::describe::{ConsumerGroupDescription, ConsumerMemberDescription, DescribedTopic, GroupListing, GroupType};
use crate::record::GroupRecord;
use crate::topics::Topics;

impl ConsumerGroup {
    pub(crate) fn listing(&self) -> GroupListing {
        GroupListing {
            group: Arc::clone(&self.id),
            protocol_type: Arc::from("consumer"),
            state: self.state(),
            kind: GroupType::Consumer,
        }
    }

    pub(crate) fn describe(&self, topics: &dyn Topics, config: &GroupConfig) -> ConsumerGroupDescription {
        let members = self.members.iter().map(|(id, member)| ConsumerMemberDescription {
            id: Arc::clone(id),
            instance_id: member.value.instance_id.clone(),
            rack_id: member.value.rack_id.clone(),
            epoch: member.current.epoch,
            client_id: Arc::clone(&member.value.client_id),
            client_host: Arc::clone(&member.value.client_host),
            topic_names: member.value.topic_names.clone(),
            topic_regex: member.value.topic_regex.clone(),
            assignment: described(each(&member.current.assigned), topics),
            target: described(self.targets.get(id).into_iter().flat_map(Partitions::iter), topics),
            is_classic: member.is_classic(),
        });
        let assignor = draft::preferred(self.members.values().map(|member| &member.value), &config.consumer_assignors);
        ConsumerGroupDescription {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor: Arc::from(ServerAssignor::name(assignor)),
            members: members.collect(),
        }
    }

    /// Asks for everything to be deleted that the log has of the group: the group itself last, so that what a crash
    /// leaves is still a group.
    pub(crate) fn delete(&self, records: &mut Vec<GroupRecord>) {
        let group = || Arc::clone(&self.id);
        for member in self.members.keys() {
            let member = Arc::clone(member);
            records.push(GroupRecord::ConsumerCurrent { group: group(), member, value: None });
        }
        for member in self.targets.keys() {
            let member = Arc::clone(member);
            records.push(GroupRecord::ConsumerMemberTarget { group: group(), member, value: None });
        }
        records.push(GroupRecord::ConsumerTarget { group: group(), value: None });
        for member in self.members.keys() {
            let member = Arc::clone(member);
            records.push(GroupRecord::ConsumerMember { group: group(), member, value: None });
        }
        for regex in self.regexes.keys() {
            records.push(GroupRecord::ConsumerRegex { group: group(), regex: Arc::clone(regex), value: None });
        }
        records.push(GroupRecord::Consumer { group: group(), value: None });
    }
}

/// Partitions with the names of their topics; those of topics that are gone are left out.
fn described(partitions: impl Iterator<Item = (TopicId, PartitionIndex)>, topics: &dyn Topics) -> Vec<DescribedTopic> {
    let mut all: Vec<DescribedTopic> = Vec::new();
    for (id, partition) in partitions {
        match all.last_mut() {
            Some(last) if last.id == id => last.partitions.push(partition),
            _ => {
                let Some((name, _)) = topics.by_id(id) else { continue };
                all.push(DescribedTopic { id, name: Arc::from(name), partitions: vec![partition] });
            }
        }
    }
    all
}
