//! All groups of one partition of the offsets topic.

mod admin;
mod answer;
mod apply;
mod classic;
mod consumer;
mod dispatch;
mod group;
mod offsets;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_coordinator::{Entry, Now, Reply, Shard, Ticks, Timers, Token};
use highwater_types::{ErrorCode, Offset};

pub(crate) use group::{Expiration, Group};
pub(crate) use turn::{GroupStep, Timer, Turn};

use crate::classic::ClassicEffect;
use crate::config::GroupConfig;
use crate::offsets::Offsets;
use crate::record::GroupRecord;
use crate::request::Request;
use crate::response::Response;
use crate::topics::Topics;

/// All groups whose offsets are in one partition of the offsets topic.
pub struct GroupShard {
    config: Arc<GroupConfig>,
    topics: Arc<dyn Topics>,
    /// Groups that have, or had, members. One that only has offsets is not here.
    groups: Groups,
    offsets: Offsets,
    timers: Timers<Timer>,
}

/// Groups by id.
type Groups = BTreeMap<Arc<str>, Group>;

/// What a [`GroupShard`] is told besides requests.
#[derive(Clone)]
pub enum Event {
    /// Topics or partitions have come or gone.
    Topics {
        /// All there are now.
        topics: Arc<dyn Topics>,
        /// Names that are gone: their offsets are deleted.
        deleted: Vec<Arc<str>>,
    },
    /// Settings have changed.
    Config(Arc<GroupConfig>),
}

/// What a [`GroupShard`] wants to be reminded of once its records are appended, or could not be.
#[derive(Debug, Default)]
pub struct Effect {
    /// What a classic group has changed in its soft state.
    pub(crate) classic: Option<ClassicEffect>,
    /// The timer that the records are due to: what it was set for is still to be done if they cannot be appended.
    pub(crate) timer: Option<Timer>,
}

/// A record of the offsets topic contradicts those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in group {group}")]
pub struct Corrupt {
    /// Which group.
    pub group: Arc<str>,
    /// What is wrong.
    pub what: &'static str,
}

impl GroupShard {
    /// A shard without groups.
    #[must_use]
    pub fn new(config: Arc<GroupConfig>, topics: Arc<dyn Topics>) -> Self {
        Self { config, topics, groups: BTreeMap::new(), offsets: Offsets::default(), timers: Timers::default() }
    }
}

impl Shard for GroupShard {
    type Request<'a> = Request<'a>;
    type Response = Response;
    type Record = GroupRecord;
    type Event = Event;
    type Effect = Effect;
    type Corrupt = Corrupt;

    fn handle(&mut self, now: Now, token: Token, request: Request<'_>, step: &mut GroupStep) {
        self.dispatch(now, token, &request, step);
    }

    fn handle_event(&mut self, now: Now, event: Event, step: &mut GroupStep) {
        match event {
            Event::Topics { topics, deleted } => {
                self.topics = topics;
                self.topics_deleted(now, &deleted);
                self.topics_changed(now, step);
            }
            Event::Config(config) => self.config = config,
        }
    }

    fn handle_timeout(&mut self, now: Now, step: &mut GroupStep) {
        if let Some(timer) = self.timers.pop_due(now.ticks) {
            self.timed_out(now, &timer, step);
            if !step.records.is_empty() {
                step.effect.get_or_insert_default().timer = Some(timer);
            }
        }
    }

    fn next_timeout(&self) -> Option<Ticks> {
        self.timers.next()
    }

    fn apply(&mut self, now: Now, offset: Offset, entry: Entry<GroupRecord>) -> Result<(), Corrupt> {
        self.apply_entry(now, offset, entry)
    }

    fn loaded(&mut self, now: Now, step: &mut GroupStep) {
        self.start(now, step);
    }

    fn appended(&mut self, now: Now, effect: Effect) {
        if let Some(effect) = effect.classic
            && let Some(Group::Classic(group)) = self.groups.get_mut(effect.group())
        {
            group.appended(now, effect);
        }
    }

    fn append_failed(&mut self, now: Now, effect: Effect, _error: ErrorCode, step: &mut GroupStep) {
        if let Some(effect) = effect.classic {
            self.classic_append_failed(now, &effect, step);
        }
        if let Some(timer) = effect.timer {
            let retry = now.ticks.plus_ms(RETRY_MS);
            if self.timers.due(&timer).is_none_or(|due| retry < due) {
                self.timers.set(timer, retry);
            }
        }
    }

    fn resign(&mut self, error: ErrorCode) -> Vec<Reply<Response>> {
        let mut replies = Vec::new();
        for group in self.groups.values_mut() {
            // Members of consumer groups are answered at once, or wait in the runtime.
            if let Group::Classic(group) = group {
                group.resign(error, &mut replies);
            }
        }
        replies
    }

    fn refuse(request: &Request<'_>, error: ErrorCode) -> Response {
        answer::refuse(request, error)
    }

    fn fail(response: Response, error: ErrorCode) -> Response {
        answer::fail(response, error)
    }
}

impl std::fmt::Debug for GroupShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupShard").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

/// When something is tried again that was due and could not be stored.
const RETRY_MS: u64 = 500;
