//! Members that speak the classic protocol in a consumer group.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::{ErrorCode, TopicId};

use super::draft::Draft;
use super::member::{Member, nothing};
use super::{ConsumerGroup, JOIN_EPOCH, LEAVE_STATIC_EPOCH};
use crate::protocol::{MemberAssignment, Subscription};
use crate::record::{ClassicMemberMetadata, ConsumerCurrentValue, ConsumerMemberState, ConsumerMemberValue};
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, LeavingMember, SyncGroup};
use crate::response::{JoinGroupResponse, LeaveGroupResponse, Response, SyncGroupResponse};
use crate::shard::Turn;
use crate::topics::Topics;

impl ConsumerGroup {
    /// JoinGroup of a classic member. The group has members.
    pub(crate) fn join(&self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) {
        let response = self.try_join(turn, join).unwrap_or_else(|(error, id)| JoinGroupResponse::refused(&id, error));
        turn.step.reply(token, Response::Join(response));
    }

    fn try_join(&self, turn: &mut Turn<'_>, join: &JoinGroup<'_>) -> Result<JoinGroupResponse, (ErrorCode, Arc<str>)> {
        let refuse = |error| (error, Arc::from(join.member));
        let subscription = self.check_protocols(join).map_err(refuse)?;
        let (id, replaced) = self.joining(turn, join)?;
        let known = self.members.get(replaced.as_ref().unwrap_or(&id));
        let value = joined_value(join, &subscription, known.map(|member| &member.value));
        let current = match known {
            // It was away, or another process has taken its place: it starts with what is kept for it.
            Some(member) if replaced.is_some() || member.current.epoch == LEAVE_STATIC_EPOCH => {
                Cow::Owned(ConsumerCurrentValue {
                    epoch: JOIN_EPOCH,
                    previous_epoch: JOIN_EPOCH,
                    ..member.current.clone()
                })
            }
            Some(member) => Cow::Borrowed(&member.current),
            None => Cow::Owned(nothing(JOIN_EPOCH)),
        };
        let mut draft = Draft::new(self, turn.step.records.len());
        if let Some(old) = &replaced {
            draft.remove_member(turn, old, Some(&id));
        }
        let bumps = known.is_none_or(|member| {
            member.value.topic_names != value.topic_names || member.is_classic() != value.classic.is_some()
        });
        if known.is_none_or(|member| member.value != value) || replaced.is_some() {
            draft.put_member(turn, &id, value);
            draft.resolve_regexes(turn, false);
        }
        if bumps {
            draft.bump(turn);
        }
        draft.assign(turn);
        let owned = owned_ids(&subscription, turn.topics);
        let is_new = known.is_none() || replaced.is_some();
        let current = self.settle(turn, &draft, &id, &current, Some(&owned), is_new);
        turn.timers.cancel(&self.rebalance_timer(&id));
        turn.timers.set(self.session_timer(&id), turn.now.ticks.plus_ms(ms(join.session_timeout_ms)));
        turn.timers.set(self.sync_timer(&id), turn.now.ticks.plus_ms(ms(join.rebalance_timeout_ms)));
        Ok(JoinGroupResponse {
            error: ErrorCode::None,
            generation: current.epoch,
            protocol_type: Some(Arc::from(CONSUMER)),
            protocol_name: join.protocols.first().map(|protocol| Arc::clone(&protocol.name)),
            // Nobody leads: the coordinator assigns.
            leader: Arc::default(),
            skip_assignment: false,
            member: id,
            members: Vec::new(),
        })
    }

    /// Its protocols must be those of consumers, and go together with those of the other classic members.
    fn check_protocols(&self, join: &JoinGroup<'_>) -> Result<Arc<Subscription>, ErrorCode> {
        let inconsistent = ErrorCode::InconsistentGroupProtocol;
        let first = join.protocols.first().filter(|_| join.protocol_type == CONSUMER).ok_or(inconsistent)?;
        let others = self.members.iter().filter(|(id, _)| ***id != *join.member);
        let others: Vec<&ClassicMemberMetadata> =
            others.filter_map(|(_, member)| member.value.classic.as_ref()).collect();
        let is_common =
            |name: &Arc<str>| others.iter().all(|other| other.protocols.iter().any(|protocol| protocol.name == *name));
        if !join.protocols.iter().any(|protocol| is_common(&protocol.name)) {
            return Err(inconsistent);
        }
        first.subscription.clone().ok_or(inconsistent)
    }

    /// The id of the member, and that of the static member whose place it takes.
    fn joining(&self, turn: &Turn<'_>, join: &JoinGroup<'_>) -> Result<Joining, (ErrorCode, Arc<str>)> {
        let refuse = |error| (error, Arc::from(join.member));
        let prefix = join.instance_id.unwrap_or(join.client.id);
        let new_id = || -> Arc<str> { Arc::from(format!("{prefix}-{}", join.new_member)) };
        if let Some(known) = join.instance_id.and_then(|instance| self.statics.get(instance)) {
            return match join.member {
                "" => Ok((new_id(), Some(Arc::clone(known)))),
                id if *id == **known => Ok((Arc::clone(known), None)),
                _ => Err(refuse(ErrorCode::FencedInstanceId)),
            };
        }
        if let Some((id, _)) = self.members.get_key_value(join.member) {
            return Ok((Arc::clone(id), None));
        }
        if usize::try_from(turn.config.consumer_size_max).is_ok_and(|max| max <= self.members.len()) {
            return Err((ErrorCode::GroupMaxSizeReached, Arc::default()));
        }
        match join.member {
            "" if join.requires_known_member_id => Err((ErrorCode::MemberIdRequired, new_id())),
            "" => Ok((new_id(), None)),
            // It comes back with the id that it was told, by this coordinator or by the one before.
            id if join.instance_id.is_none() => Ok((Arc::from(id), None)),
            _ => Err(refuse(ErrorCode::UnknownMemberId)),
        }
    }

    /// SyncGroup of a classic member.
    pub(crate) fn sync(&self, turn: &mut Turn<'_>, token: Token, sync: &SyncGroup<'_>) {
        let response = match self.try_sync(turn, sync) {
            Ok(assignment) => SyncGroupResponse {
                error: ErrorCode::None,
                protocol_type: Some(Arc::from(CONSUMER)),
                protocol_name: sync.protocol_name.map(Arc::from),
                assignment,
            },
            Err(error) => SyncGroupResponse::refused(error),
        };
        turn.step.reply(token, Response::Sync(response));
    }

    fn try_sync(&self, turn: &mut Turn<'_>, sync: &SyncGroup<'_>) -> Result<MemberAssignment, ErrorCode> {
        let (id, member, classic) = self.classic_member(sync.member, sync.instance_id)?;
        let has = |name: &str| classic.protocols.iter().any(|protocol| *protocol.name == *name);
        if sync.protocol_type.is_some_and(|name| name != CONSUMER) || sync.protocol_name.is_some_and(|name| !has(name))
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if sync.generation != member.current.epoch {
            return Err(ErrorCode::IllegalGeneration);
        }
        if member.current.epoch < self.epoch && member.current.state != ConsumerMemberState::UnrevokedPartitions {
            self.expect_join(turn, id, member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        turn.timers.cancel(&self.sync_timer(id));
        turn.timers.set(self.session_timer(id), turn.now.ticks.plus_ms(ms(classic.session_timeout_ms)));
        let version = classic.protocols.iter().find_map(|protocol| Some(protocol.subscription.as_ref()?.version));
        let mut partitions: BTreeMap<Arc<str>, Vec<_>> = BTreeMap::new();
        for (topic, assigned) in &member.current.assigned {
            if let Some((name, _)) = turn.topics.by_id(*topic) {
                partitions.insert(Arc::from(name), assigned.keys().copied().collect());
            }
        }
        Ok(MemberAssignment::Partitions { version: version.unwrap_or(0), partitions })
    }

    /// Heartbeat of a classic member.
    pub(crate) fn heartbeat(&self, turn: &mut Turn<'_>, token: Token, heartbeat: &Heartbeat<'_>) {
        let error = self.try_heartbeat(turn, heartbeat).err().unwrap_or(ErrorCode::None);
        turn.step.reply(token, Response::Heartbeat(error));
    }

    fn try_heartbeat(&self, turn: &mut Turn<'_>, heartbeat: &Heartbeat<'_>) -> Result<(), ErrorCode> {
        let (id, member, classic) = self.classic_member(heartbeat.member, heartbeat.instance_id)?;
        if heartbeat.generation != member.current.epoch {
            return Err(ErrorCode::IllegalGeneration);
        }
        turn.timers.set(self.session_timer(id), turn.now.ticks.plus_ms(ms(classic.session_timeout_ms)));
        let has_news = match member.current.state {
            ConsumerMemberState::UnrevokedPartitions => true,
            ConsumerMemberState::UnreleasedPartitions => !self.waits_for_others(id),
            ConsumerMemberState::Stable | ConsumerMemberState::Unknown => false,
        };
        if has_news || member.current.epoch < self.epoch {
            self.expect_join(turn, id, member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether others still have what a member shall get.
    fn waits_for_others(&self, id: &Arc<str>) -> bool {
        let mut target = self.targets.get(id).into_iter().flat_map(highwater_assignor::Partitions::iter);
        target.any(|partition| self.owners.get(&partition).is_some_and(|owner| owner != id))
    }

    /// A classic member has to join again, and is given its rebalance timeout for it.
    fn expect_join(&self, turn: &mut Turn<'_>, id: &Arc<str>, member: &Member) {
        let timer = self.rebalance_timer(id);
        if turn.timers.due(&timer).is_none() {
            turn.timers.set(timer, turn.now.ticks.plus_ms(member.rebalance_timeout_ms()));
        }
    }

    /// LeaveGroup, of classic members, or by an administrator of any.
    pub(crate) fn leave(&self, turn: &mut Turn<'_>, token: Token, leave: &LeaveGroup<'_>) {
        let (mut members, mut gone) = (Vec::with_capacity(leave.members.len()), Vec::new());
        for leaving in &leave.members {
            let (id, error) = match self.leaving_one(leaving) {
                Ok(id) if gone.contains(&id) => (id, ErrorCode::UnknownMemberId),
                Ok(id) => {
                    gone.push(Arc::clone(&id));
                    (id, ErrorCode::None)
                }
                Err(error) => (Arc::from(leaving.member), error),
            };
            members.push((id, leaving.instance_id.map(Arc::from), error));
        }
        self.remove(turn, &gone);
        turn.step.reply(token, Response::Leave(LeaveGroupResponse { error: ErrorCode::None, members }));
    }

    fn leaving_one(&self, leaving: &LeavingMember<'_>) -> Result<Arc<str>, ErrorCode> {
        match leaving.instance_id {
            Some(instance) if leaving.member.is_empty() => {
                self.statics.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId)
            }
            instance => Ok(Arc::clone(self.classic_member(leaving.member, instance)?.0)),
        }
    }

    fn classic_member(
        &self,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(&Arc<str>, &Member, &ClassicMemberMetadata), ErrorCode> {
        if let Some(instance) = instance {
            let known = self.statics.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if &**known != id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let (id, member) = self.members.get_key_value(id).ok_or(ErrorCode::UnknownMemberId)?;
        let classic = member.value.classic.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
        Ok((id, member, classic))
    }
}

/// The id of a member that joins, and that of the static member whose place it takes.
type Joining = (Arc<str>, Option<Arc<str>>);

fn joined_value(
    join: &JoinGroup<'_>,
    subscription: &Subscription,
    old: Option<&ConsumerMemberValue>,
) -> ConsumerMemberValue {
    let mut topic_names = subscription.topics.clone();
    topic_names.sort_unstable();
    topic_names.dedup();
    ConsumerMemberValue {
        instance_id: join.instance_id.map(Arc::from),
        rack_id: subscription.rack_id.clone(),
        client_id: Arc::from(join.client.id),
        client_host: Arc::from(join.client.host),
        topic_names,
        topic_regex: None,
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        server_assignor: old.and_then(|old| old.server_assignor.clone()),
        classic: Some(ClassicMemberMetadata {
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
        }),
    }
}

/// What a classic member says that it owns, by id.
fn owned_ids(subscription: &Subscription, topics: &dyn Topics) -> Vec<(TopicId, Vec<i32>)> {
    let owned = subscription.owned.iter().filter_map(|(name, partitions)| {
        let (id, _) = topics.by_name(name)?;
        Some((id, partitions.iter().map(|partition| partition.to_wire()).collect()))
    });
    owned.collect()
}

fn ms(value: i32) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";
