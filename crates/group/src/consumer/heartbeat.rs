//! ConsumerGroupHeartbeat.

use std::borrow::Cow;
use std::sync::Arc;

use highwater_assignor::Partitions;
use highwater_coordinator::Token;
use highwater_types::{ErrorCode, PartitionIndex, TopicId};

use super::draft::Draft;
use super::member::{Member, is_within, nothing};
use super::reconcile::{Goal, Owned};
use super::{ConsumerGroup, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, regexes};
use crate::config::{GroupConfig, ServerAssignor};
use crate::record::{AssignedPartitions, ConsumerCurrentValue, ConsumerMemberState, ConsumerMemberValue, GroupRecord};
use crate::request::ConsumerHeartbeat;
use crate::response::{ConsumerHeartbeatResponse, Response};
use crate::shard::Turn;

/// Why a heartbeat is refused, for programs and for people.
pub(crate) type Refusal = (ErrorCode, Cow<'static, str>);

/// A member as this step finds it.
struct Found<'g> {
    id: Arc<str>,
    /// `None` for one that is new.
    value: Option<&'g ConsumerMemberValue>,
    current: Cow<'g, ConsumerCurrentValue>,
    /// The static member whose place it takes.
    replaces: Option<Arc<str>>,
}

impl ConsumerGroup {
    /// Whether a heartbeat is well formed, whatever the group.
    pub(crate) fn check(heartbeat: &ConsumerHeartbeat<'_>, config: &GroupConfig) -> Result<(), Refusal> {
        let invalid = |what: &'static str| Err((ErrorCode::InvalidRequest, Cow::Borrowed(what)));
        let ConsumerHeartbeat { member_epoch, .. } = *heartbeat;
        if (!heartbeat.may_choose_member_id || member_epoch != JOIN_EPOCH) && heartbeat.member.is_empty() {
            return invalid("MemberId can't be empty.");
        }
        if heartbeat.group.is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if heartbeat.instance_id == Some("") {
            return invalid("InstanceId can't be empty.");
        }
        if heartbeat.rack_id == Some("") {
            return invalid("RackId can't be empty.");
        }
        if member_epoch == JOIN_EPOCH {
            let has_names = heartbeat.topic_names.as_ref().is_some_and(|names| !names.is_empty());
            let has_regex = heartbeat.topic_regex.is_some_and(|regex| !regex.is_empty());
            if heartbeat.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if heartbeat.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if !has_names && !has_regex {
                return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be set in first request.");
            }
        }
        if member_epoch == LEAVE_STATIC_EPOCH && heartbeat.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
        if member_epoch < LEAVE_STATIC_EPOCH {
            return invalid("MemberEpoch is invalid.");
        }
        if let Some(name) = heartbeat.server_assignor
            && !ServerAssignor::from_name(name).is_some_and(|assignor| config.consumer_assignors.contains(&assignor))
        {
            let supported: Vec<&str> = config.consumer_assignors.iter().map(|assignor| assignor.name()).collect();
            let message =
                format!("ServerAssignor {name} is not supported. Supported assignors: {}.", supported.join(", "));
            return Err((ErrorCode::UnsupportedAssignor, message.into()));
        }
        Ok(())
    }

    /// ConsumerGroupHeartbeat, well formed. Always answered in this step.
    pub(crate) fn consumer_heartbeat(&self, turn: &mut Turn<'_>, token: Token, heartbeat: &ConsumerHeartbeat<'_>) {
        let result = match heartbeat.member_epoch {
            LEAVE_EPOCH => self.leave_for_good(turn, heartbeat),
            LEAVE_STATIC_EPOCH => self.leave_for_now(turn, heartbeat),
            _ => self.beat(turn, heartbeat),
        };
        let response = result
            .unwrap_or_else(|(error, message)| ConsumerHeartbeatResponse::refused(error, Some(message.into_owned())));
        turn.step.reply(token, Response::ConsumerHeartbeat(response));
    }

    fn beat(
        &self,
        turn: &mut Turn<'_>,
        heartbeat: &ConsumerHeartbeat<'_>,
    ) -> Result<ConsumerHeartbeatResponse, Refusal> {
        let found = self.find(turn.config, heartbeat)?;
        let id = Arc::clone(&found.id);
        let value = updated_value(found.value, heartbeat)?;
        let mut draft = Draft::new(self, turn.step.records.len());
        if let Some(old) = &found.replaces {
            draft.remove_member(turn, old, Some(&id));
        }
        let joins = found.value.is_none();
        let has_changed = |old: &ConsumerMemberValue, new: &ConsumerMemberValue| {
            old.topic_names != new.topic_names
                || old.topic_regex != new.topic_regex
                || old.server_assignor != new.server_assignor
                || old.classic.is_some() != new.classic.is_some()
        };
        let mut bumps = joins;
        if let Some(value) = value {
            bumps |= found.value.is_some_and(|old| has_changed(old, &value));
            draft.put_member(turn, &id, value);
            draft.resolve_regexes(turn, false);
        } else if found.replaces.is_some()
            && let Some(value) = found.value
        {
            draft.put_member(turn, &id, value.clone());
        }
        if bumps {
            draft.bump(turn);
        }
        draft.assign(turn);
        let rejoins = heartbeat.member_epoch == JOIN_EPOCH;
        let current = self.settle(
            turn,
            &draft,
            &id,
            &found.current,
            heartbeat.owned.as_deref(),
            joins || found.replaces.is_some(),
        );
        let session_ms = u64::from(turn.config.consumer_session_timeout_ms(&self.id));
        turn.timers.set(self.session_timer(&id), turn.now.ticks.plus_ms(session_ms));
        let says_all = heartbeat.rebalance_timeout_ms != -1
            && (heartbeat.topic_names.is_some() || heartbeat.topic_regex.is_some())
            && heartbeat.owned.is_some();
        // It is one answer behind, and that may have been the one with its assignment.
        let has_lost_an_answer = heartbeat.member_epoch != found.current.epoch;
        let shows_assignment =
            rejoins || says_all || has_lost_an_answer || !is_same(&current.assigned, &found.current.assigned);
        Ok(ConsumerHeartbeatResponse {
            error: ErrorCode::None,
            message: None,
            member: Some(id),
            member_epoch: current.epoch,
            heartbeat_interval_ms: i32::try_from(turn.config.consumer_heartbeat_interval_ms(&self.id))
                .unwrap_or(i32::MAX),
            assignment: shows_assignment.then(|| listed(&current.assigned)),
        })
    }

    /// Takes a member as far towards its target as it can go, and asks for that to be stored if it is news.
    pub(super) fn settle<'a>(
        &self,
        turn: &mut Turn<'_>,
        draft: &Draft<'_>,
        id: &Arc<str>,
        current: &'a ConsumerCurrentValue,
        owned: Owned<'_>,
        is_new: bool,
    ) -> Cow<'a, ConsumerCurrentValue> {
        let target = Self::still_wanted(turn, draft, id);
        let goal = Goal { epoch: draft.target_epoch, target: &target };
        let next = match self.reconcile(id, current, &goal, owned) {
            Some(next) => next,
            None if is_new => current.clone(),
            None => return Cow::Borrowed(current),
        };
        turn.step.record(GroupRecord::ConsumerCurrent {
            group: Arc::clone(&self.id),
            member: Arc::clone(id),
            value: Some(next.clone()),
        });
        // It has as long as it asked for to give back.
        let timer = self.rebalance_timer(id);
        let timeout_ms = draft.members().find(|(other, _)| *other == id).map(|(_, value)| value.rebalance_timeout_ms);
        let timeout_ms = timeout_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        match next.state {
            ConsumerMemberState::UnrevokedPartitions => turn.timers.set(timer, turn.now.ticks.plus_ms(timeout_ms)),
            _ => turn.timers.cancel(&timer),
        }
        Cow::Owned(next)
    }

    /// The part of a target that a member still subscribes to: the target may be older than its subscription.
    fn still_wanted<'d>(turn: &Turn<'_>, draft: &'d Draft<'_>, id: &Arc<str>) -> Cow<'d, Partitions> {
        let target = draft.target(id).map_or(Cow::Owned(Partitions::EMPTY), Cow::Borrowed);
        if draft.epoch == draft.target_epoch {
            return target;
        }
        let Some((_, value)) = draft.members().find(|(other, _)| *other == id) else { return target };
        let topics = draft.topics_of(value, turn.topics);
        Cow::Owned(target.iter().filter(|(topic, _)| topics.binary_search(topic).is_ok()).collect())
    }

    /// The member that a heartbeat comes from.
    fn find(&self, config: &GroupConfig, heartbeat: &ConsumerHeartbeat<'_>) -> Result<Found<'_>, Refusal> {
        let joins = heartbeat.member_epoch == JOIN_EPOCH;
        if let Some(instance) = heartbeat.instance_id
            && let Some(known) = self.statics.get(instance)
            && &**known != heartbeat.member
        {
            let member = &self.members[known];
            if !joins {
                let message = format!(
                    "Static member {} with instance id {instance} was fenced by member {known}.",
                    heartbeat.member
                );
                return Err((ErrorCode::FencedInstanceId, message.into()));
            }
            // Only one that has said goodbye can be replaced. In the classic protocol there is no way to say it.
            if member.current.epoch != LEAVE_STATIC_EPOCH && !member.is_classic() {
                let message = format!("Static member {known} with instance id {instance} is still in the group.");
                return Err((ErrorCode::UnreleasedInstanceId, message.into()));
            }
            let current =
                ConsumerCurrentValue { epoch: JOIN_EPOCH, previous_epoch: JOIN_EPOCH, ..member.current.clone() };
            return Ok(Found {
                id: new_id(heartbeat),
                value: Some(&member.value),
                current: Cow::Owned(current),
                replaces: Some(Arc::clone(known)),
            });
        }
        if let Some((id, member)) = self.members.get_key_value(heartbeat.member) {
            if !joins {
                self.check_instance(id, member, heartbeat)?;
                check_epoch(id, member, heartbeat)?;
            }
            return Ok(Found {
                id: Arc::clone(id),
                value: Some(&member.value),
                current: Cow::Borrowed(&member.current),
                replaces: None,
            });
        }
        if !joins {
            return Err(self.unknown(heartbeat.member));
        }
        if usize::try_from(config.consumer_size_max).is_ok_and(|max| max <= self.members.len()) {
            let message = format!(
                "The consumer group {} has reached its maximum capacity of {} members.",
                self.id, config.consumer_size_max
            );
            return Err((ErrorCode::GroupMaxSizeReached, message.into()));
        }
        Ok(Found { id: new_id(heartbeat), value: None, current: Cow::Owned(nothing(JOIN_EPOCH)), replaces: None })
    }

    pub(super) fn unknown(&self, member: &str) -> Refusal {
        (ErrorCode::UnknownMemberId, format!("Member {member} is not a member of group {}.", self.id).into())
    }

    /// A static member must say so each time.
    fn check_instance(&self, id: &Arc<str>, member: &Member, heartbeat: &ConsumerHeartbeat<'_>) -> Result<(), Refusal> {
        match heartbeat.instance_id {
            Some(instance) if member.value.instance_id.as_deref() != Some(instance) => {
                Err((ErrorCode::UnknownMemberId, format!("Instance id {instance} of member {id} is unknown.").into()))
            }
            _ => Ok(()),
        }
    }
}

/// A member may be one answer behind, if that was lost.
fn check_epoch(id: &str, member: &Member, heartbeat: &ConsumerHeartbeat<'_>) -> Result<(), Refusal> {
    let (said, current) = (heartbeat.member_epoch, &member.current);
    let has_lost_an_answer = || {
        let owned = heartbeat.owned.as_deref();
        said == current.previous_epoch && owned.is_some_and(|owned| is_within(owned, &current.assigned))
    };
    if said == current.epoch || (said < current.epoch && has_lost_an_answer()) {
        return Ok(());
    }
    let (than, epoch) = (if current.epoch < said { "greater" } else { "smaller" }, current.epoch);
    let message = format!(
        "The consumer group member {id} has a {than} member epoch ({said}) than the one known by the group coordinator \
         ({epoch}). The member must abandon all its partitions and rejoin."
    );
    Err((ErrorCode::FencedMemberEpoch, message.into()))
}

fn new_id(heartbeat: &ConsumerHeartbeat<'_>) -> Arc<str> {
    if heartbeat.member.is_empty() { Arc::from(heartbeat.new_member.to_string()) } else { Arc::from(heartbeat.member) }
}

/// What a member says of itself now; `None` if that is what it said before.
fn updated_value(
    old: Option<&ConsumerMemberValue>,
    heartbeat: &ConsumerHeartbeat<'_>,
) -> Result<Option<ConsumerMemberValue>, Refusal> {
    let says = |old: &ConsumerMemberValue| {
        let same = |new: Option<&str>, old: &Option<Arc<str>>| new.is_none() || new == old.as_deref();
        let same_regex = match heartbeat.topic_regex {
            None => true,
            Some("") => old.topic_regex.is_none(),
            regex => regex == old.topic_regex.as_deref(),
        };
        let same_names = heartbeat.topic_names.as_ref().is_none_or(|names| is_same_list(names, &old.topic_names));
        let same_timeout =
            heartbeat.rebalance_timeout_ms == -1 || heartbeat.rebalance_timeout_ms == old.rebalance_timeout_ms;
        !(same_regex
            && same_names
            && same_timeout
            && same(heartbeat.instance_id, &old.instance_id)
            && same(heartbeat.rack_id, &old.rack_id)
            && same(heartbeat.server_assignor, &old.server_assignor)
            && *old.client_id == *heartbeat.client.id
            && *old.client_host == *heartbeat.client.host
            && old.classic.is_none())
    };
    if old.is_some_and(|old| !says(old)) {
        return Ok(None);
    }
    let mut value = old.cloned().unwrap_or_default();
    let set = |field: &mut Option<Arc<str>>, new: Option<&str>| {
        if let Some(new) = new {
            *field = Some(Arc::from(new));
        }
    };
    set(&mut value.instance_id, heartbeat.instance_id);
    set(&mut value.rack_id, heartbeat.rack_id);
    set(&mut value.server_assignor, heartbeat.server_assignor);
    value.client_id = Arc::from(heartbeat.client.id);
    value.client_host = Arc::from(heartbeat.client.host);
    if heartbeat.rebalance_timeout_ms != -1 {
        value.rebalance_timeout_ms = heartbeat.rebalance_timeout_ms;
    }
    if let Some(names) = &heartbeat.topic_names {
        value.topic_names = names.iter().map(|name| Arc::from(&**name)).collect();
        value.topic_names.sort_unstable();
        value.topic_names.dedup();
    }
    match heartbeat.topic_regex {
        None => {}
        Some("") => value.topic_regex = None,
        Some(regex) => {
            if value.topic_regex.as_deref() != Some(regex) {
                regexes::compile(regex).map_err(|(error, message)| (error, Cow::Owned(message)))?;
            }
            value.topic_regex = Some(Arc::from(regex));
        }
    }
    value.classic = None;
    Ok(Some(value))
}

/// Whether a list has the same names, in any order.
fn is_same_list(names: &[Cow<'_, str>], sorted: &[Arc<str>]) -> bool {
    names.len() == sorted.len() && names.iter().all(|name| sorted.binary_search_by(|known| (**known).cmp(name)).is_ok())
}

/// Whether two assignments have the same partitions, whenever they were assigned.
fn is_same(left: &AssignedPartitions, right: &AssignedPartitions) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|((topic, left), (other, right))| topic == other && left.keys().eq(right.keys()))
}

fn listed(assigned: &AssignedPartitions) -> Vec<(TopicId, Vec<PartitionIndex>)> {
    assigned.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
