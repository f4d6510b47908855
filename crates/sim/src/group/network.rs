//! What happens when, in virtual time.

use std::collections::BTreeMap;

use highwater_group::Response;

use super::ask::Ask;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A request reaches the coordinator.
    Arrives { member: usize, call: u64, ask: Ask },
    /// An answer reaches its member.
    Answers { member: usize, call: u64, response: Box<Response> },
    /// A member does what it has to do by time.
    Wakes { member: usize, wake: u64 },
    /// The coordinator has something to do by time.
    Timer,
    /// The high watermark, as this term's leader learns it.
    Commits { epoch: u32, end: u64 },
    /// The coordinator has read its log.
    Loads { epoch: u32 },
    /// The coordinator crashes, or loses the leadership and gets it back.
    Crashes,
    /// Members come and go, topics change.
    Changes,
}

/// Events by time, and in the order in which they were put where times are equal.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl Queue {
    pub(super) fn put(&mut self, at_ms: u64, event: Event) {
        self.count += 1;
        self.events.insert((at_ms, self.count), event);
    }

    pub(super) fn pop(&mut self) -> Option<(u64, Event)> {
        let ((at_ms, _), event) = self.events.pop_first()?;
        Some((at_ms, event))
    }

    /// Drops the crashes and changes that were still to come.
    pub(super) fn heal(&mut self) {
        self.events.retain(|_, event| !matches!(event, Event::Crashes | Event::Changes));
    }
}
