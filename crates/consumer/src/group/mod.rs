//! The group: who coordinates it, how to get in and out.

mod assign;
mod classic;
mod coordinator;
mod modern;
mod revocation;

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_types::{ErrorCode, NodeId, Ticks, Uuid};

use crate::pending::Pending;
use crate::random::Random;
use crate::retry::Retry;
use crate::{
    CheckedConsumerConfig, Consumer, ConsumerError, Event, GroupProtocol, LeaveGroupRequest, Output, Request,
    RequestId, Target, WantedTopics,
};
use classic::Classic;
use modern::Modern;
pub(crate) use revocation::Revocation;

/// The group that the consumer commits for, and may be a member of.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: Arc<str>,
    pub(crate) instance: Option<Arc<str>>,
    coordinator: Option<NodeId>,
    coordinator_request: Option<RequestId>,
    coordinator_retry: Retry,
    protocol: Protocol,
    /// Whether the classic protocol will do if the coordinator has no other.
    is_auto: bool,
    /// Why it does not take the consumer, until that subscribes again.
    refused: Option<ErrorCode>,
    /// A member is on its way out.
    leaving: Option<Leaving>,
    /// Outside since the application took too long, until it asks for an event.
    is_resting: bool,
}

#[derive(Debug)]
enum Protocol {
    Classic(Classic),
    Modern(Modern),
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    deadline: Ticks,
    request: Option<RequestId>,
    reason: &'static str,
}

impl Group {
    /// `None` without `group.id`.
    pub(crate) fn new(config: &CheckedConsumerConfig, random: &mut Random) -> Option<Self> {
        let id: Arc<str> = config.group_id.as_deref()?.into();
        let protocol = match config.group_protocol {
            GroupProtocol::Classic => Protocol::Classic(Classic::default()),
            GroupProtocol::Consumer | GroupProtocol::Auto => Protocol::Modern(Modern::new(member_id(random))),
        };
        Some(Self {
            id,
            instance: config.group_instance_id.as_deref().map(Into::into),
            coordinator: None,
            coordinator_request: None,
            coordinator_retry: Retry::default(),
            protocol,
            is_auto: config.group_protocol == GroupProtocol::Auto,
            refused: None,
            leaving: None,
            is_resting: false,
        })
    }

    pub(crate) const fn coordinator(&self) -> Option<NodeId> {
        self.coordinator
    }

    pub(crate) const fn refusal(&self) -> Option<ErrorCode> {
        self.refused
    }

    pub(crate) const fn is_modern(&self) -> bool {
        matches!(self.protocol, Protocol::Modern(_))
    }

    /// The member's id with its generation or epoch.
    pub(crate) fn membership(&self) -> Option<(Arc<str>, u32)> {
        match &self.protocol {
            Protocol::Classic(classic) => Some((classic.member.clone(), classic.generation?)),
            Protocol::Modern(modern) => Some((modern.member.clone(), modern.epoch?)),
        }
    }

    /// Whether the coordinator may know the consumer as a member.
    fn is_known(&self) -> bool {
        match &self.protocol {
            Protocol::Classic(classic) => !classic.member.is_empty(),
            Protocol::Modern(modern) => modern.epoch.is_some() || modern.request.is_some(),
        }
    }

    /// Whether nothing is left to be done for leaving it.
    pub(crate) const fn is_out(&self) -> bool {
        self.leaving.is_none()
    }

    /// Forgets the membership.
    fn forget(&mut self) {
        match &mut self.protocol {
            Protocol::Classic(classic) => *classic = Classic::default(),
            Protocol::Modern(modern) => *modern = Modern::new(modern.member.clone()),
        }
    }

    fn classic(&mut self) -> Option<&mut Classic> {
        match &mut self.protocol {
            Protocol::Classic(classic) => Some(classic),
            Protocol::Modern(_) => None,
        }
    }

    fn modern(&mut self) -> Option<&mut Modern> {
        match &mut self.protocol {
            Protocol::Modern(modern) => Some(modern),
            Protocol::Classic(_) => None,
        }
    }
}

/// An id that no other member has.
fn member_id(random: &mut Random) -> Arc<str> {
    loop {
        let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
        if let Some(id) = Uuid::from_random(bits.to_be_bytes()) {
            return id.to_string().into();
        }
    }
}

impl<T> Consumer<T> {
    fn classic(&mut self) -> Option<&mut Classic> {
        self.group.as_mut().and_then(Group::classic)
    }

    fn modern(&mut self) -> Option<&mut Modern> {
        self.group.as_mut().and_then(Group::modern)
    }

    /// Topics to subscribe to are others now.
    pub(crate) fn group_subscribed(&mut self, now: Ticks) {
        self.group_reconsidered();
        let Some(group) = &mut self.group else { return };
        if let Some(classic) = group.classic() {
            classic.rejoin();
        }
        self.is_want_stale = true;
        self.poll.touch(now);
        self.go_round();
    }

    /// The application wants something else, of which the group may think better.
    pub(crate) fn group_reconsidered(&mut self) {
        if let Some(group) = &mut self.group {
            group.refused = None;
        }
    }

    pub(crate) fn is_member_or_joining(&self) -> bool {
        let group = self.group.as_ref();
        self.subscription.is_by_group() && group.is_some_and(|group| group.refused.is_none() && !group.is_resting)
    }

    /// The application asks for an event, so that it may have partitions again.
    pub(crate) fn come_back(&mut self, now: Ticks) {
        if let Some(group) = self.group.as_mut().filter(|group| group.is_resting) {
            group.is_resting = false;
            self.poll.touch(now);
        }
    }

    /// Leaves the group until the application asks for an event.
    pub(crate) fn rest(&mut self, now: Ticks) {
        self.lose_partitions();
        self.begin_leaving(now, "max.poll.interval.ms has passed");
        if let Some(group) = &mut self.group {
            group.is_resting = true;
        }
        self.go_round();
    }

    /// Whether a member is on its way out: then nothing that is said to it matters any more.
    pub(crate) fn is_leaving(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.leaving.is_some())
    }

    /// Gives up what the group has assigned, and the membership. What was consumed is committed on the way if that is
    /// automatic.
    pub(crate) fn leave_group(&mut self, now: Ticks) {
        self.commit_by_itself(now, |_| true);
        self.revocation = None;
        let gone: Vec<_> = self.partitions.keys().cloned().collect();
        self.remove_partitions(&gone);
        self.events.retain(|event| matches!(event, Event::Error(_)));
        self.begin_leaving(now, "the application has unsubscribed");
    }

    fn begin_leaving(&mut self, now: Ticks, reason: &'static str) {
        let deadline = now.plus_ms(self.config.default_api_timeout_ms.into());
        let Some(group) = &mut self.group else { return };
        group.is_resting = false;
        if group.leaving.is_some() {
            return;
        }
        if group.is_known() {
            group.leaving = Some(Leaving { deadline, request: None, reason });
        } else {
            group.forget();
        }
    }

    pub(crate) fn step_group(&mut self, now: Ticks) {
        let Some(group) = &self.group else { return };
        if group.leaving.is_some() {
            return self.step_leaving(now);
        }
        if !self.is_member_or_joining() {
            return;
        }
        if group.is_modern() { self.step_modern(now) } else { self.step_classic(now) }
    }

    fn step_leaving(&mut self, now: Ticks) {
        let has_commits = !self.commits.is_empty();
        let Some(group) = &mut self.group else { return };
        let Some(Leaving { deadline, request, reason }) = group.leaving else { return };
        if deadline <= now {
            return self.be_out();
        }
        self.hurry(deadline);
        let Some(group) = &mut self.group else { return };
        // Commits are for members.
        if request.is_some() || has_commits {
            return;
        }
        // Static members come back before anybody misses them.
        let is_silent = !group.is_modern() && group.instance.is_some();
        if is_silent || group.refused.is_some() {
            return self.be_out();
        }
        let Some(coordinator) = group.coordinator else { return };
        let request = match &group.protocol {
            Protocol::Classic(classic) => {
                let request = LeaveGroupRequest { group: group.id.clone(), member: classic.member.clone(), reason };
                Request::LeaveGroup(request)
            }
            Protocol::Modern(modern) => Request::ConsumerGroupHeartbeat(modern.farewell(group)),
        };
        let id = self.request(Target::Coordinator(coordinator), request, Pending::Leave);
        if let Some(leaving) = self.group.as_mut().and_then(|group| group.leaving.as_mut()) {
            leaving.request = Some(id);
        }
    }

    /// Whatever was said to it: the session times out if need be.
    pub(crate) fn left(&mut self, id: RequestId) {
        let leaving = self.group.as_ref().and_then(|group| group.leaving);
        if leaving.is_some_and(|leaving| leaving.request == Some(id)) {
            self.be_out();
        }
    }

    fn be_out(&mut self) {
        if let Some(group) = &mut self.group {
            group.leaving = None;
            group.forget();
        }
        self.go_round();
    }

    /// The group does not take the consumer.
    fn be_refused(&mut self, code: ErrorCode, message: Option<Arc<str>>) {
        self.lose_partitions();
        let Some(group) = &mut self.group else { return };
        group.refused = Some(code);
        group.forget();
        let group = group.id.clone();
        self.events.push_back(Event::Error(ConsumerError::Group { group, code, message }));
        self.go_round();
    }

    /// Metadata have come.
    pub(crate) fn group_knows_more(&mut self) {
        if self.modern().map(|modern| modern.is_unreconciled = true).is_some() {
            self.go_round();
        } else {
            self.leader_knows_more();
        }
    }

    /// Asks for metadata of what is needed now, if that has changed.
    pub(crate) fn step_wants(&mut self) {
        if !core::mem::take(&mut self.is_want_stale) {
            return;
        }
        let wanted = if matches!(self.subscription, crate::subscription::Subscription::Pattern { .. }) {
            WantedTopics::All
        } else {
            let subscribed = self.subscription.topics().into_iter().flatten();
            let assigned = self.partitions.keys().map(|partition| &partition.topic);
            let group = self.group.as_ref();
            let led = group.and_then(|group| match &group.protocol {
                Protocol::Classic(classic) => Some(&classic.led_topics),
                Protocol::Modern(_) => None,
            });
            WantedTopics::Names(subscribed.chain(assigned).chain(led.into_iter().flatten()).cloned().collect())
        };
        if let WantedTopics::Names(names) = &wanted {
            self.metadata.has_all = false;
            self.metadata.retain(names);
        }
        if self.metadata.wanted.as_ref() != Some(&wanted) {
            let is_nothing = self.metadata.wanted.is_none() && wanted == WantedTopics::Names(BTreeSet::new());
            if wanted == WantedTopics::All {
                self.metadata.has_all = false;
            }
            if !is_nothing {
                // They come soon, without being asked for again.
                self.metadata.is_refresh_asked = wanted != WantedTopics::Names(BTreeSet::new());
                self.metadata.wanted = Some(wanted.clone());
                self.outputs.push_back(Output::WantTopics(wanted));
            }
        }
    }
}
