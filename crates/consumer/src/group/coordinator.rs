//! Who coordinates the group.

use highwater_types::{ErrorCode, NodeId, Ticks};

use crate::pending::Pending;
use crate::{Consumer, ConsumerError, Event, Failure, FindCoordinatorRequest, Request, RequestId, Target};

impl<T> Consumer<T> {
    pub(crate) fn step_coordinator(&mut self, now: Ticks) {
        let needs_offsets = || self.partitions.values().any(|known| known.stage == crate::partition::Stage::Committed);
        let is_needed = self.is_member_or_joining()
            || !self.commits.is_empty()
            || !self.queries.is_empty()
            || self.group.as_ref().is_some_and(|group| group.leaving.is_some())
            || needs_offsets();
        let Some(group) = &self.group else { return };
        if !is_needed || group.refused.is_some() || group.coordinator.is_some() || group.coordinator_request.is_some() {
            return;
        }
        if !group.coordinator_retry.is_due(now) {
            let at = group.coordinator_retry.at();
            at.into_iter().for_each(|at| self.hurry(at));
            return;
        }
        let request = FindCoordinatorRequest { group: group.id.clone() };
        let id = self.request(Target::AnyBroker, Request::FindCoordinator(request), Pending::Coordinator);
        if let Some(group) = &mut self.group {
            group.coordinator_request = Some(id);
        }
    }

    pub(crate) fn coordinator_found(
        &mut self,
        now: Ticks,
        id: RequestId,
        outcome: Result<Result<NodeId, ErrorCode>, Failure>,
    ) {
        let Some(group) = &mut self.group else { return };
        if group.coordinator_request != Some(id) {
            return;
        }
        group.coordinator_request = None;
        match outcome {
            Ok(Ok(coordinator)) => {
                group.coordinator = Some(coordinator);
                group.coordinator_retry.clear();
                self.go_round();
            }
            Ok(Err(code)) if !code.is_retriable() => self.refuse_group(code),
            Err(Failure::Unsupported) => self.refuse_group(ErrorCode::UnsupportedVersion),
            Ok(Err(_)) | Err(Failure::Disconnected | Failure::TimedOut) => {
                group.coordinator_retry.fail(now, self.backoff, &mut self.random);
            }
        }
    }

    fn refuse_group(&mut self, code: ErrorCode) {
        if self.subscription.is_by_group() {
            return self.be_refused(code, None);
        }
        // Partitions that were assigned by hand are read on; those that have no position yet get none.
        let Some(group) = &mut self.group else { return };
        group.refused = Some(code);
        let group = group.id.clone();
        self.events.push_back(Event::Error(ConsumerError::Group { group, code, message: None }));
        self.go_round();
    }

    /// The coordinator is not what it was, or cannot be reached. Members stay members.
    pub(crate) fn lose_coordinator(&mut self, now: Ticks) {
        if let Some(group) = &mut self.group
            && group.coordinator.take().is_some()
        {
            group.coordinator_retry.fail(now, self.backoff, &mut self.random);
        }
        self.go_round();
    }
}
