//! Who the producer is to the brokers, and when it has to be somebody else.

use highwater_types::{ErrorCode, ProducerEpoch, ProducerId, Ticks};

use super::TransactionState;
use crate::accumulator::{Identity, Outcome, PartitionRef};
use crate::{Output, ProduceError, Producer};

/// The identity of an idempotent producer.
#[derive(Debug, Default)]
pub(crate) struct Idempotence {
    pub(crate) state: TransactionState,
    /// Only in [`TransactionState::Ready`].
    pub(crate) identity: Option<Identity>,
    /// When to ask for one again.
    ask_at: Option<Ticks>,
    /// Whether the last answer was that it may not have one: then only records make it ask again.
    is_forbidden: bool,
    /// How often asking has failed since it last has not.
    failures: u32,
}

impl<T> Producer<T> {
    /// Who the producer is; `None` if it is not known yet.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.idempotence.as_ref().and_then(|idempotence| idempotence.identity)
    }

    /// Closes gaps in the sequence numbers by a new epoch, and asks for a producer id if there is none.
    pub(crate) fn renew_identity(&mut self, now: Ticks) {
        let Some(identity) = self.identity() else {
            self.ask_identity(now);
            return;
        };
        if !self.is_gap_suspected {
            return;
        }
        let settled = self.settle_partitions();
        if settled.is_empty() {
            return;
        }
        if identity.epoch == ProducerEpoch::new(i16::MAX as u16) {
            // Epochs are used up. Under another id everything begins at zero as well.
            self.forget_identity();
            self.ask_identity(now);
            return;
        }
        let identity = Identity { epoch: ProducerEpoch::new(identity.epoch.value() + 1), ..identity };
        if let Some(idempotence) = &mut self.idempotence {
            idempotence.identity = Some(identity);
        }
        self.stats.epoch_bumps += 1;
        settled.into_iter().for_each(|at| self.restart(at, identity));
    }

    /// Partitions that have to begin anew, and can: everything that was sent to them is either ended or certainly not
    /// stored, so that another stamp cannot make a repeat of it.
    fn settle_partitions(&mut self) -> Vec<PartitionRef> {
        let accumulator = &mut self.accumulator;
        let mut settled = Vec::new();
        self.is_gap_suspected = false;
        for at in accumulator.topics.refs() {
            let batches = &accumulator.batches;
            let partition = accumulator.topics.partition_mut(at);
            let mut sent = partition.untold.iter().map(|id| batches.at(*id)).filter(|batch| batch.stamp.is_some());
            if partition.sequences.is_unresolved() && partition.on_wire == 0 && sent.clone().next().is_none() {
                partition.sequences.resolve();
            }
            let is_certain = partition.on_wire == 0 && !sent.any(|batch| batch.outcome.is_none() && batch.is_uncertain);
            if partition.sequences.must_restart() && is_certain {
                settled.push(at);
            } else {
                self.is_gap_suspected |= partition.sequences.must_restart() || partition.sequences.is_unresolved();
            }
        }
        settled
    }

    /// Numbers the batches of a partition anew, from zero.
    fn restart(&mut self, at: PartitionRef, identity: Identity) {
        let accumulator = &mut self.accumulator;
        let partition = accumulator.topics.partition_mut(at);
        partition.sequences.restart(identity);
        for id in &partition.untold {
            let batch = accumulator.batches.at_mut(*id);
            if batch.stamp.is_some() && batch.outcome.is_none() {
                batch.set_stamp(partition.sequences.stamp(identity, batch.record_count()));
            }
        }
    }

    fn ask_identity(&mut self, now: Ticks) {
        let is_due = self.ask_identity_at().is_some_and(|at| at <= now);
        if let Some(idempotence) = self.idempotence.as_mut().filter(|_| is_due) {
            idempotence.state.become_next(TransactionState::Initializing);
            self.outputs.push_back(Output::InitProducerId);
        }
    }

    /// When to ask for a producer id, if that is to be done.
    pub(crate) fn ask_identity_at(&self) -> Option<Ticks> {
        let idempotence = self.idempotence.as_ref()?;
        let is_wanted = !idempotence.is_forbidden || 0 < self.accumulator.untold();
        let is_asking = idempotence.state == TransactionState::Uninitialized && is_wanted;
        is_asking.then(|| idempotence.ask_at.unwrap_or_default())
    }

    fn forget_identity(&mut self) {
        if let Some(idempotence) = &mut self.idempotence {
            idempotence.identity = None;
            idempotence.state.become_next(TransactionState::Uninitialized);
        }
    }

    /// The producer has an id now, or not.
    pub(crate) fn handle_producer_id(&mut self, now: Ticks, answer: Result<(ProducerId, ProducerEpoch), ErrorCode>) {
        let Some(idempotence) = &mut self.idempotence else { return };
        if idempotence.state != TransactionState::Initializing {
            return;
        }
        match answer {
            Ok((id, epoch)) => {
                let identity = Identity { id, epoch };
                idempotence.identity = Some(identity);
                (idempotence.is_forbidden, idempotence.failures) = (false, 0);
                idempotence.state.become_next(TransactionState::Ready);
                let settled = self.settle_partitions();
                settled.into_iter().for_each(|at| self.restart(at, identity));
            }
            Err(code) => self.handle_no_producer_id(now, code),
        }
    }

    fn handle_no_producer_id(&mut self, now: Ticks, code: ErrorCode) {
        let is_forbidden =
            matches!(code, ErrorCode::ClusterAuthorizationFailed | ErrorCode::TransactionalIdAuthorizationFailed);
        if !is_forbidden && !code.is_retriable() {
            self.fail_for_good(code);
            return;
        }
        let random = self.random.bits();
        if let Some(idempotence) = &mut self.idempotence {
            idempotence.is_forbidden = is_forbidden;
            idempotence.failures = idempotence.failures.saturating_add(1);
            idempotence.state.become_next(TransactionState::Uninitialized);
            idempotence.ask_at = Some(now.plus_ms(self.backoff.wait_ms(idempotence.failures, random)));
        }
        if is_forbidden {
            // What waits cannot be sent, but somebody may allow it later.
            self.end_all(|| Outcome::Failed(ProduceError::Broker { code, message: None }));
        }
    }

    /// The brokers will never take anything from this producer again.
    pub(crate) fn fail_for_good(&mut self, code: ErrorCode) {
        if let Some(idempotence) = &mut self.idempotence {
            idempotence.state.become_next(TransactionState::FatalError);
            idempotence.identity = None;
        }
        self.fatal = Some(code);
        self.end_all(|| Outcome::Failed(ProduceError::Fatal { code }));
    }
}
