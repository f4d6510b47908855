//! What happens to a coordinator and its members.

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

impl Event {
    /// Whether it still happens once the world has healed.
    pub(super) fn is_harmless(&self) -> bool {
        !matches!(self, Self::Crashes | Self::Changes)
    }
}
