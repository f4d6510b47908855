//! Requests of members of the consumer protocol (KIP-848).

use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{Group, GroupShard, GroupStep, Timer};
use crate::consumer::ConsumerGroup;
use crate::describe::GroupState;
use crate::request::ConsumerHeartbeat;
use crate::response::{ConsumerHeartbeatResponse, Response};

/// What a heartbeat finds under the name of its group.
enum Place {
    Consumer,
    /// Nobody is there, or a classic group without members.
    Free,
    /// A classic group with members, which may become a consumer group.
    Classic,
}

impl GroupShard {
    pub(super) fn consumer_heartbeat(
        &mut self,
        now: Now,
        token: Token,
        heartbeat: &ConsumerHeartbeat<'_>,
        step: &mut GroupStep,
    ) {
        let checked = ConsumerGroup::check(heartbeat, &self.config);
        let place = checked.and_then(|()| self.place(heartbeat).map_err(|error| (error, "".into())));
        let place = match place {
            Ok(place) => place,
            Err((error, message)) => {
                let message = match error {
                    ErrorCode::GroupIdNotFound => format!("Group {} not found.", heartbeat.group),
                    _ => message.into_owned(),
                };
                let refused = ConsumerHeartbeatResponse::refused(error, Some(message));
                step.reply(token, Response::ConsumerHeartbeat(refused));
                return;
            }
        };
        let (groups, mut turn) = self.turn(now, step);
        match (place, groups.get_mut(heartbeat.group)) {
            (Place::Consumer, Some(Group::Consumer(group))) => group.consumer_heartbeat(&mut turn, token, heartbeat),
            (Place::Classic, Some(Group::Classic(group))) => {
                let Some(handover) = group.hand_over() else { unreachable!("the place was looked at") };
                group.dissolve(&mut turn);
                group.delete(&mut turn.step.records);
                let id: Arc<str> = Arc::from(heartbeat.group);
                ConsumerGroup::upgrade(&id, handover, &mut turn, token, heartbeat);
            }
            (_, group) => {
                if let Some(Group::Classic(group)) = group {
                    group.delete(&mut turn.step.records);
                }
                let group = ConsumerGroup::new(Arc::from(heartbeat.group));
                group.consumer_heartbeat(&mut turn, token, heartbeat);
            }
        }
    }

    fn place(&self, heartbeat: &ConsumerHeartbeat<'_>) -> Result<Place, ErrorCode> {
        let joins = heartbeat.member_epoch == 0;
        match self.groups.get(heartbeat.group) {
            Some(Group::Consumer(_)) => Ok(Place::Consumer),
            None if joins => Ok(Place::Free),
            Some(Group::Classic(group)) if joins => {
                if group.state() == GroupState::Empty {
                    return Ok(Place::Free);
                }
                let allows = self.config.migration_policy.allows_upgrade();
                let may = allows && group.hand_over().is_some_and(|group| self.has_room(group.members.len()));
                if may { Ok(Place::Classic) } else { Err(ErrorCode::GroupIdNotFound) }
            }
            Some(Group::Classic(_)) | None => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// Whether one more member goes into a consumer group of so many.
    fn has_room(&self, members: usize) -> bool {
        usize::try_from(self.config.consumer_size_max).map_or(true, |max| members < max)
    }

    /// The metadata has changed: consumer groups may have to assign anew.
    pub(super) fn topics_changed(&mut self, now: Now, step: &mut GroupStep) {
        self.for_each_consumer_group(now, step, ConsumerGroup::topics_changed);
    }

    pub(super) fn consumer_timed_out(&mut self, now: Now, group: &Arc<str>, timer: &Timer, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        if let Some(Group::Consumer(group)) = groups.get(group) {
            group.timed_out(&mut turn, timer);
        }
    }

    /// Replay is over: arms the timers of consumer groups.
    pub(super) fn start_consumer(&mut self, now: Now, step: &mut GroupStep) {
        self.for_each_consumer_group(now, step, ConsumerGroup::start);
    }

    fn for_each_consumer_group(
        &mut self,
        now: Now,
        step: &mut GroupStep,
        mut visit: impl FnMut(&ConsumerGroup, &mut super::Turn<'_>),
    ) {
        let (groups, mut turn) = self.turn(now, step);
        for group in groups.values() {
            if let Group::Consumer(group) = group {
                visit(group, &mut turn);
            }
        }
    }
}
