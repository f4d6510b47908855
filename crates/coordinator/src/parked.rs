//! Answers that wait for the high watermark.

use std::collections::VecDeque;

use highwater_types::Offset;

use crate::{Reply, Ticks};

/// Answers in the order in which they were given, each with the offset that must be committed first.
#[derive(Debug)]
pub(crate) struct ParkedReplies<P> {
    /// Offsets and deadlines never go down from front to back.
    queue: VecDeque<ParkedReply<P>>,
}

#[derive(Debug)]
struct ParkedReply<P> {
    /// First offset that need not be committed.
    until: Offset,
    deadline: Ticks,
    reply: Reply<P>,
}

impl<P> ParkedReplies<P> {
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, until: Offset, deadline: Ticks, reply: Reply<P>) {
        assert!(self.queue.back().is_none_or(|last| last.until <= until), "the log only grows");
        self.queue.push_back(ParkedReply { until, deadline, reply });
    }

    /// Takes out the next answer whose state is committed.
    pub(crate) fn pop_committed(&mut self, committed: Offset) -> Option<Reply<P>> {
        let parked = self.queue.pop_front_if(|parked| parked.until <= committed)?;
        Some(parked.reply)
    }

    /// Takes out the next answer that has waited too long.
    pub(crate) fn pop_late(&mut self, now: Ticks) -> Option<Reply<P>> {
        let parked = self.queue.pop_front_if(|parked| parked.deadline <= now)?;
        Some(parked.reply)
    }

    pub(crate) fn next_deadline(&self) -> Option<Ticks> {
        self.queue.front().map(|parked| parked.deadline)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Reply<P>> {
        self.queue.drain(..).map(|parked| parked.reply)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
