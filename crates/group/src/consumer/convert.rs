//! Classic groups that become consumer groups, and the other way round (KIP-848).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_assignor::Partitions;
use highwater_coordinator::Token;
use highwater_types::PartitionIndex;

use super::apply::each;
use super::{ConsumerGroup, classic};
use crate::classic::{Handover, HandoverMember};
use crate::protocol::{ClassicProtocol, assigned_partitions, encode_assigned};
use crate::record::{
    AssignedPartitions, ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, ConsumerCurrentValue,
    ConsumerGroupValue, ConsumerMemberState, ConsumerMemberValue, ConsumerTargetValue, GroupRecord,
};
use crate::request::ConsumerHeartbeat;
use crate::shard::{Timer, Turn};
use crate::topics::Topics;

impl ConsumerGroup {
    /// The first ConsumerGroupHeartbeat in a classic group: asks for the records of a consumer group with the members
    /// of the classic one and the new member, and answers. The classic group's tombstone precedes them.
    pub(crate) fn upgrade(
        id: &Arc<str>,
        classic: Handover,
        turn: &mut Turn<'_>,
        token: Token,
        heartbeat: &ConsumerHeartbeat<'_>,
    ) {
        let mut group = Self::new(Arc::clone(id));
        let mut records = Vec::new();
        let epoch = classic.generation;
        for member in classic.members {
            let session_ms = u64::try_from(member.value.session_timeout_ms).unwrap_or(0);
            turn.timers.set(group.session_timer(&member.value.id), turn.now.ticks.plus_ms(session_ms));
            // What is left of an earlier life as a consumer group.
            turn.timers.cancel(&group.rebalance_timer(&member.value.id));
            turn.timers.cancel(&group.sync_timer(&member.value.id));
            take_over(id, epoch, member, turn.topics, &mut records);
        }
        records.push(GroupRecord::ConsumerTarget {
            group: Arc::clone(id),
            value: Some(ConsumerTargetValue { epoch, timestamp: None }),
        });
        for record in &records {
            // What was just made does not contradict itself.
            let _ = group.apply(turn.now, record.clone());
        }
        let metadata_hash = super::draft::Draft::new(&group, 0).metadata_hash(turn.topics);
        let value =
            GroupRecord::Consumer { group: Arc::clone(id), value: Some(ConsumerGroupValue { epoch, metadata_hash }) };
        let _ = group.apply(turn.now, value.clone());
        turn.step.record(value);
        turn.step.records.append(&mut records);
        group.consumer_heartbeat(turn, token, heartbeat);
    }

    /// Becomes a classic group if, without `leaving`, only classic members are left.
    pub(super) fn downgrade(&self, turn: &mut Turn<'_>, leaving: &[Arc<str>]) -> bool {
        let staying = || self.members.iter().filter(|(id, _)| !leaving.contains(id));
        let (mut count, mut has_consumers) = (0_usize, false);
        for (_, member) in staying() {
            count += 1;
            has_consumers |= !member.is_classic();
        }
        let has_room = usize::try_from(turn.config.classic_size_max).is_ok_and(|max| count <= max);
        if count == 0 || has_consumers || !has_room || !turn.config.migration_policy.allows_downgrade() {
            return false;
        }
        self.delete(&mut turn.step.records);
        let protocol = self.common_protocol(&leaving.iter().cloned().collect());
        let mut members = Vec::with_capacity(count);
        for (id, member) in staying() {
            let Some(metadata) = &member.value.classic else { continue };
            let chosen = metadata.protocols.iter().find(|known| Some(&known.name) == protocol.as_ref());
            let Some(chosen) = chosen.or_else(|| metadata.protocols.first()) else { continue };
            let timer = Timer::ClassicSession { group: Arc::clone(&self.id), member: Arc::clone(id) };
            let session_ms = u64::try_from(metadata.session_timeout_ms).unwrap_or(0);
            turn.timers.set(timer, turn.now.ticks.plus_ms(session_ms));
            members.push(ClassicMemberValue {
                id: Arc::clone(id),
                instance_id: member.value.instance_id.clone(),
                client_id: Arc::clone(&member.value.client_id),
                client_host: Arc::clone(&member.value.client_host),
                rebalance_timeout_ms: Some(member.value.rebalance_timeout_ms),
                session_timeout_ms: metadata.session_timeout_ms,
                subscription: chosen.clone(),
                // They join again right away, and get another then; until they do, this is theirs.
                assignment: encode_assigned(&held(&member.current, turn.topics)),
            });
        }
        let value = ClassicGroupValue {
            protocol_type: Arc::from(classic::CONSUMER),
            // The one that the others' leaving would have made: all have to join again, be it after a failover.
            generation: self.epoch.checked_add(1).unwrap_or(1),
            protocol,
            leader: members.first().map(|member| Arc::clone(&member.id)),
            state_timestamp: Some(turn.now.wall),
            members,
        };
        turn.step.record(GroupRecord::Classic { group: Arc::clone(&self.id), value: Some(value) });
        turn.timers.set(Timer::ClassicRebalance { group: Arc::clone(&self.id) }, turn.now.ticks);
        true
    }

    /// A protocol that all classic members support, but for those in `without`.
    pub(super) fn common_protocol(&self, without: &BTreeSet<Arc<str>>) -> Option<Arc<str>> {
        let lists: Vec<&[ClassicProtocol]> = self
            .members
            .iter()
            .filter(|(id, _)| !without.contains(*id))
            .filter_map(|(_, member)| member.value.classic.as_ref().map(|classic| &*classic.protocols))
            .collect();
        let is_common = |name: &Arc<str>| lists.iter().all(|list| list.iter().any(|protocol| protocol.name == *name));
        lists.first()?.iter().map(|protocol| &protocol.name).find(|name| is_common(name)).cloned()
    }
}

/// What a member has, also what it is to give back, by the names of topics.
fn held(current: &ConsumerCurrentValue, topics: &dyn Topics) -> BTreeMap<Arc<str>, Vec<PartitionIndex>> {
    let mut held: BTreeMap<Arc<str>, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic, partition) in each(&current.assigned).chain(each(&current.pending_revocation)) {
        if let Some((name, _)) = topics.by_id(topic) {
            held.entry(Arc::from(name)).or_default().push(partition);
        }
    }
    held
}

/// Asks for the records of a classic member in a consumer group: it keeps what its leader gave it.
fn take_over(
    group: &Arc<str>,
    epoch: i32,
    HandoverMember { value, protocols }: HandoverMember,
    topics: &dyn Topics,
    records: &mut Vec<GroupRecord>,
) {
    let subscription = protocols.iter().find_map(|protocol| protocol.subscription.clone()).unwrap_or_default();
    let mut topic_names = subscription.topics.clone();
    topic_names.sort_unstable();
    topic_names.dedup();
    let owned: Partitions = assigned_partitions(&value.assignment)
        .into_iter()
        .flatten()
        .filter_map(|(name, partition)| Some((topics.by_name(&name)?.0, partition)))
        .collect();
    let mut assigned = AssignedPartitions::new();
    for (topic, partition) in owned.iter() {
        assigned.entry(topic).or_default().insert(partition, epoch);
    }
    let (group, member) = (|| Arc::clone(group), || Arc::clone(&value.id));
    let metadata = ClassicMemberMetadata { session_timeout_ms: value.session_timeout_ms, protocols };
    let consumer = ConsumerMemberValue {
        instance_id: value.instance_id.clone(),
        rack_id: subscription.rack_id.clone(),
        client_id: Arc::clone(&value.client_id),
        client_host: Arc::clone(&value.client_host),
        topic_names,
        topic_regex: None,
        rebalance_timeout_ms: value.rebalance_timeout_ms.unwrap_or(value.session_timeout_ms),
        server_assignor: None,
        classic: Some(metadata),
    };
    let current = ConsumerCurrentValue {
        epoch,
        previous_epoch: epoch,
        state: ConsumerMemberState::Stable,
        assigned,
        pending_revocation: AssignedPartitions::new(),
    };
    records.push(GroupRecord::ConsumerMember { group: group(), member: member(), value: Some(consumer) });
    records.push(GroupRecord::ConsumerMemberTarget { group: group(), member: member(), value: Some(owned) });
    records.push(GroupRecord::ConsumerCurrent { group: group(), member: member(), value: Some(current) });
}
