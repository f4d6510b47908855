//! What of a classic group is in the log.

use std::sync::Arc;

use highwater_coordinator::Now;
use highwater_types::ErrorCode;

use super::{ClassicGroup, Member, Phase};
use crate::record::{ClassicGroupValue, GroupRecord};
use crate::shard::{Effect, Turn};

/// What a classic group has changed in its soft state together with records.
#[derive(Debug)]
pub(crate) struct ClassicEffect {
    group: Arc<str>,
    kind: EffectKind,
}

#[derive(Debug)]
pub(super) enum EffectKind {
    /// The leader has brought the assignment.
    Assigned,
    /// The last member is gone.
    Emptied,
    /// A static member has a new id.
    Replaced { old_id: Arc<str>, old: Box<Member>, old_leader: Option<Arc<str>>, id: Arc<str> },
}

impl ClassicEffect {
    pub(crate) fn group(&self) -> &Arc<str> {
        &self.group
    }
}

impl ClassicGroup {
    /// The group as it is, as a record has it.
    pub(super) fn value(&self) -> ClassicGroupValue {
        let protocol = self.protocol.as_deref();
        let members =
            self.members.iter().map(|(id, member)| member.value(id, protocol, Arc::clone(&member.assignment)));
        ClassicGroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp: Some(self.since),
            members: members.collect(),
        }
    }

    /// Asks for the group to be stored as it is.
    pub(super) fn store(&self, turn: &mut Turn<'_>, kind: EffectKind) {
        self.store_value(turn, self.value(), kind);
    }

    pub(super) fn store_value(&self, turn: &mut Turn<'_>, value: ClassicGroupValue, kind: EffectKind) {
        turn.step.record(GroupRecord::Classic { group: Arc::clone(&self.id), value: Some(value) });
        turn.step.effect = Some(Effect(ClassicEffect { group: Arc::clone(&self.id), kind }));
    }

    /// Takes the state of a record: at replay all of it, on the leader what it had decided.
    pub(crate) fn apply(&mut self, now: Now, value: ClassicGroupValue) {
        self.is_stored = true;
        self.phase = if value.members.is_empty() { Phase::Empty } else { Phase::Stable };
        self.since = value.state_timestamp.unwrap_or(now.wall);
        self.protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        self.generation = value.generation;
        self.protocol = value.protocol;
        self.leader = value.leader;
        let mut known = std::mem::take(&mut self.members);
        self.statics.clear();
        for value in value.members {
            // On the leader a member also has what is not stored: its other protocols, and what it waits for.
            let mut member = known.remove(&value.id).unwrap_or_else(|| Member::from_value(&value));
            member.assignment = value.assignment;
            if let Some(instance) = &member.instance_id {
                self.statics.insert(Arc::clone(instance), Arc::clone(&value.id));
            }
            self.members.insert(value.id, member);
        }
    }

    /// The records are appended and applied; the soft state had gone ahead.
    pub(crate) fn appended(&mut self, _now: Now, _effect: ClassicEffect) {}

    /// The records could not be appended.
    pub(crate) fn append_failed(&mut self, turn: &mut Turn<'_>, effect: ClassicEffect, _error: ErrorCode) {
        match effect.kind {
            // Those who waited have learnt of the error: they join again, and so must the others.
            EffectKind::Assigned => self.prepare(turn),
            // The log has members of an older generation: after a failover they would be waited for, and expire.
            EffectKind::Emptied => {}
            EffectKind::Replaced { old_id, old, old_leader, id } => {
                turn.timers.cancel(&self.session(&id));
                self.members.remove(&id);
                if let Some(instance) = &old.instance_id {
                    self.statics.insert(Arc::clone(instance), Arc::clone(&old_id));
                }
                self.members.insert(Arc::clone(&old_id), *old);
                self.leader = old_leader;
                self.arm_session(turn, &old_id);
            }
        }
    }
}
