//! The application asks for events.

use highwater_types::{Ticks, TopicPartition};

use crate::buffer::Drained;
use crate::machine::Life;
use crate::partition::Stage;
use crate::{Consumer, ConsumerError, Event, Records};

/// What the application is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    /// Since when it has been at work; `None` while it waits.
    busy_since: Option<Ticks>,
    /// Whether it is to be told of an event.
    wants_wake: bool,
}

impl Poll {
    pub(crate) const fn new(now: Ticks) -> Self {
        Self { busy_since: Some(now), wants_wake: false }
    }

    /// It is at work from now on, unless it waits.
    pub(crate) fn touch(&mut self, now: Ticks) {
        self.busy_since = self.busy_since.map(|_| now);
    }
}

impl<T> Consumer<T> {
    /// The next event. With that, the events before are taken to be dealt with: automatic commits store what they had.
    ///
    /// `None` if there is none yet: then the application is taken to wait, until it asks again or
    /// [`stop_waiting`](Self::stop_waiting).
    pub fn poll_event(&mut self, now: Ticks) -> Option<Event> {
        if self.life != Life::Open {
            return None;
        }
        self.settle();
        self.come_back(now);
        let event = self.next_event();
        self.poll = Poll { busy_since: event.as_ref().map(|_| now), wants_wake: event.is_none() };
        self.run(now);
        event
    }

    /// The application does not wait any more, and has no event: from now on it has `max.poll.interval.ms` to ask again.
    pub fn stop_waiting(&mut self, now: Ticks) {
        self.poll = Poll::new(now);
        self.run(now);
    }

    /// The application is done with everything that it was given.
    pub(crate) fn settle(&mut self) {
        for (name, version, position) in self.unsettled.drain(..) {
            if let Some(partition) = self.partitions.get_mut(&name)
                && partition.version == version
            {
                partition.consumed = Some(position);
            }
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let records = self.next_records();
        if !records.is_empty() {
            self.stats.records += records.len() as u64;
            return Some(Event::Records(records));
        }
        self.events.pop_front()
    }

    /// Records of the partitions that are next, each of which then goes to the end.
    fn next_records(&mut self) -> Records {
        let mut records = Records::default();
        let most = self.config.poll_records_max as usize;
        for _ in 0..self.fetched.len() {
            if most <= records.len() {
                break;
            }
            let Some(name) = self.fetched.pop_front() else { break };
            if self.give(&name, most - records.len(), &mut records) {
                self.fetched.push_back(name);
            }
        }
        records
    }

    /// Gives records of one partition. Whether there may be more, now or once it goes on.
    fn give(&mut self, name: &TopicPartition, most: usize, records: &mut Records) -> bool {
        let Some(partition) = self.partitions.get_mut(name) else { return false };
        partition.is_queued = false;
        if !partition.is_given() {
            partition.is_queued = partition.buffer.is_some();
            return partition.is_queued;
        }
        let Stage::Ready(before) = partition.stage else { return false };
        let Some(buffer) = &mut partition.buffer else { return false };
        let (mut position, count) = (before, records.len());
        let drained = buffer.drain(name, &mut position, self.config.check_crcs, most, records);
        if position != before {
            partition.stage = Stage::Ready(position);
            if count < records.len() {
                records.set_next(name.clone(), position.to_commit());
            }
        }
        let (is_left, error) = match drained {
            Drained::Full => (true, None),
            Drained::Empty => {
                partition.buffer = None;
                (false, None)
            }
            Drained::Cut => (false, Some(ConsumerError::Cut { partition: name.clone(), position: position.offset })),
            Drained::Corrupt(source) => {
                (false, Some(ConsumerError::Corrupt { partition: name.clone(), position: position.offset, source }))
            }
        };
        partition.is_queued = is_left;
        if let Some(error) = error {
            self.stop(name, error);
        }
        if position != before
            && let Some(partition) = self.partitions.get(name)
        {
            self.unsettled.push((name.clone(), partition.version, position));
        }
        is_left
    }

    /// Leaves a partition alone until the application seeks, and tells it why.
    pub(crate) fn stop(&mut self, name: &TopicPartition, error: ConsumerError) {
        let version = self.number();
        let Some(partition) = self.partitions.get_mut(name) else { return };
        let consumed = partition.consumed;
        partition.go(version, Stage::Stopped);
        partition.consumed = consumed;
        self.events.push_back(Event::Error(error));
    }

    /// Events of partitions that are no more, or go on elsewhere, would only confuse.
    pub(crate) fn forget_events_of(&mut self, is_gone: impl Fn(&TopicPartition) -> bool) {
        self.events.retain(|event| match event {
            Event::Eof { partition, .. } => !is_gone(partition),
            Event::Error(
                ConsumerError::NoOffset { partition }
                | ConsumerError::OutOfRange { partition, .. }
                | ConsumerError::Truncated { partition, .. }
                | ConsumerError::Corrupt { partition, .. }
                | ConsumerError::Cut { partition, .. }
                | ConsumerError::Partition { partition, .. },
            ) => !is_gone(partition),
            _ => true,
        });
    }

    /// Leaves the group if the application has been at work for too long.
    pub(crate) fn step_poll(&mut self, now: Ticks) {
        let Some(since) = self.poll.busy_since else { return };
        if !self.is_member_or_joining() {
            return;
        }
        let deadline = since.plus_ms(self.config.poll_interval_ms_max.into());
        if now < deadline {
            self.hurry(deadline);
            return;
        }
        self.stats.poll_timeouts += 1;
        self.rest(now);
    }

    /// Tells an application that waits. It has as long to come as if it had been given something: it may be gone.
    pub(crate) fn step_wake(&mut self, now: Ticks) {
        if !self.poll.wants_wake || self.life != Life::Open {
            return;
        }
        let has_records = || {
            let fetched = self.fetched.iter().filter_map(|name| self.partitions.get(name));
            fetched.into_iter().any(|partition| partition.is_given() && partition.buffer.is_some())
        };
        if !self.events.is_empty() || has_records() {
            self.poll = Poll::new(now);
            if self.is_member_or_joining() {
                self.hurry(now.plus_ms(self.config.poll_interval_ms_max.into()));
            }
            self.outputs.push_back(crate::Output::EventReady);
        }
    }
}
