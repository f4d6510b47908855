//! The sequence numbers of an idempotent producer in one partition.

use highwater_types::Sequence;

use crate::accumulator::{Identity, Stamp};

/// Which sequence numbers are given out, acknowledged, and in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    /// As whom; `None` before the first batch.
    identity: Option<Identity>,
    next: Sequence,
    last_acked: Option<Sequence>,
    /// Behind a batch that was given up after it had been sent: nobody knows whether the broker has got so far.
    unresolved: Option<Sequence>,
    /// Whether batches are to begin anew in the next epoch of the producer, since there is a gap.
    must_restart: bool,
}

impl Sequences {
    /// Whether the broker has acknowledged a batch of `identity`. One that knows nothing of a producer takes any number
    /// from it, so that a second batch could be stored before a first one that was lost, and the first one never.
    pub(crate) fn is_established(&self, identity: Identity) -> bool {
        !self.is_stale(identity) && self.last_acked.is_some()
    }

    fn is_stale(&self, identity: Identity) -> bool {
        self.identity != Some(identity)
    }

    /// The stamp of the next batch. Begins at zero if the producer has another identity by now.
    pub(crate) fn stamp(&mut self, identity: Identity, records: u32) -> Stamp {
        if self.is_stale(identity) {
            self.restart(identity);
        }
        let base_sequence = self.next;
        self.next = base_sequence.plus(records);
        Stamp { identity, base_sequence }
    }

    /// Begins anew at zero, which closes every gap.
    pub(crate) fn restart(&mut self, identity: Identity) {
        *self = Self { identity: Some(identity), ..Self::default() };
    }

    /// Asks for a new epoch, in which to begin anew.
    pub(crate) const fn demand_restart(&mut self) {
        self.must_restart = true;
    }

    pub(crate) const fn must_restart(&self) -> bool {
        self.must_restart
    }

    /// Whether `sequence` comes right after all that is acknowledged.
    pub(crate) fn is_next(&self, sequence: Sequence) -> bool {
        self.last_acked.map_or(Sequence::ZERO, |last| last.plus(1)) == sequence
    }

    /// The records up to `sequence` are acknowledged, to a batch of `identity`.
    pub(crate) fn acked(&mut self, identity: Identity, sequence: Sequence) {
        if self.is_stale(identity) {
            return;
        }
        // Sequences wrap around: what is less than half of them ahead is later.
        let is_later = |last: Sequence| sequence != last && sequence.value().wrapping_sub(last.value()) << 1 < 1 << 31;
        if self.last_acked.is_none_or(is_later) {
            self.last_acked = Some(sequence);
        }
    }

    /// A batch that ends before `after` was given up, and a broker may have it or not.
    pub(crate) fn doubt(&mut self, after: Sequence) {
        self.unresolved = Some(after);
    }

    pub(crate) const fn is_unresolved(&self) -> bool {
        self.unresolved.is_some()
    }

    /// Whether `sequence` is the first after what is in doubt.
    pub(crate) fn is_next_unresolved(&self, sequence: Sequence) -> bool {
        self.unresolved == Some(sequence)
    }

    /// Nothing is in flight any more: either all has arrived, or there is a gap.
    pub(crate) fn resolve(&mut self) {
        if self.unresolved.take().is_some() && !self.is_next(self.next) {
            self.demand_restart();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::{ProducerEpoch, ProducerId};

    fn identity(epoch: u16) -> Identity {
        Identity { id: ProducerId::new(7), epoch: ProducerEpoch::new(epoch) }
    }

    fn sequence(value: u32) -> Sequence {
        Sequence::new(value)
    }

    #[test]
    fn numbers_count_records_and_begin_anew_in_another_epoch() {
        let mut sequences = Sequences::default();
        assert_eq!(sequences.stamp(identity(0), 3).base_sequence, sequence(0));
        assert_eq!(sequences.stamp(identity(0), 2).base_sequence, sequence(3));
        assert!(sequences.is_next(sequence(0)));
        sequences.acked(identity(0), sequence(2));
        assert!(sequences.is_next(sequence(3)));
        assert_eq!(sequences.stamp(identity(1), 2).base_sequence, sequence(0));
        sequences.acked(identity(0), sequence(4));
        assert!(sequences.is_next(sequence(0)), "that was another epoch");
    }

    #[test]
    fn numbers_wrap_around() {
        let mut sequences = Sequences::default();
        sequences.stamp(identity(0), i32::MAX as u32);
        sequences.acked(identity(0), sequence(i32::MAX as u32 - 1));
        assert_eq!(sequences.stamp(identity(0), 2).base_sequence, sequence(i32::MAX as u32));
        sequences.acked(identity(0), sequence(0));
        assert!(sequences.is_next(sequence(1)));
        sequences.acked(identity(0), sequence(i32::MAX as u32));
        assert!(sequences.is_next(sequence(1)), "that is earlier");
    }

    #[test]
    fn a_doubt_ends_well_or_in_another_epoch() {
        let mut sequences = Sequences::default();
        sequences.stamp(identity(0), 3);
        sequences.stamp(identity(0), 2);
        sequences.doubt(sequence(3));
        assert!(sequences.is_next_unresolved(sequence(3)));
        let mut lost = sequences;
        sequences.acked(identity(0), sequence(4));
        sequences.resolve();
        assert!(!sequences.is_unresolved() && !sequences.must_restart(), "what came later has arrived");
        lost.resolve();
        assert!(!lost.is_unresolved() && lost.must_restart(), "nothing has");
    }
}
