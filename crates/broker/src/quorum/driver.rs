//! Drives the controller: decide, store, apply, publish.

use highwater_metadata::{
    ApiError, ApplyError, BrokerRegistration, Controller, Decision, MetadataQuorum, MetadataRecord, ProducerIdBlock,
    RECORDS_PER_BATCH_MAX,
};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, ProducerId, TimestampMs};

use super::{FoundLog, LocalPartitions, MetadataLog, MetadataLogError};
use crate::random::random_uuid;

/// Owns the controller's state, the metadata log, and the partitions that follow from them.
pub(crate) struct ControllerDriver {
    controller: Controller,
    log: MetadataLog,
    node: NodeId,
    broker_epoch: BrokerEpoch,
    local: LocalPartitions,
    /// Ids of the block allocated last that have not been handed out.
    producer_ids: std::ops::Range<u64>,
    /// Set when log and memory may differ; nothing is decided any more.
    poisoned: bool,
}

/// How the metadata log stands, as its leader knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuorumInfo {
    pub(crate) leader: NodeId,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) high_watermark: Offset,
    pub(crate) log_end: Offset,
}

/// Why the controller could not carry out a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControllerError {
    /// The request was wrong.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The metadata log failed in this request or an earlier one.
    #[error("the metadata log failed, the broker is stopping")]
    Stopped,
}

impl ControllerError {
    /// The wire code of the error.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(error) => error.code,
            Self::Stopped => ErrorCode::NotController,
        }
    }
}

/// Why the controller could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControllerStartError {
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    #[error("the broker could not register: {0}")]
    Refused(#[from] ApiError),
    #[error("the metadata log contradicts itself: {0}")]
    Apply(#[from] ApplyError),
}

impl ControllerDriver {
    /// Registers this process as a broker and takes over the metadata that `controller` has replayed from `log`.
    pub(crate) fn start(
        mut controller: Controller,
        mut log: MetadataLog,
        registration: &BrokerRegistration,
        local: LocalPartitions,
        found: Vec<FoundLog>,
        now: TimestampMs,
    ) -> Result<Self, ControllerStartError> {
        let Decision { records, response: () } = controller.bootstrap();
        store(&mut controller, &mut log, &records)?;
        let Decision { records, response: broker_epoch } =
            controller.register_broker(registration, log.next_offset())?;
        store(&mut controller, &mut log, &records)?;
        let Decision { records, response: () } = controller.unfence_broker(registration.node, broker_epoch)?;
        store(&mut controller, &mut log, &records)?;
        local.load(&controller.image(), last_offset(&log), found, now);
        let node = registration.node;
        Ok(Self { controller, log, node, broker_epoch, local, producer_ids: 0..0, poisoned: false })
    }

    /// Fences the broker and closes the metadata log. Nothing is decided any more.
    pub(crate) fn close(&mut self, now: TimestampMs) {
        if std::mem::replace(&mut self.poisoned, true) {
            return;
        }
        if let Err(error) = self.fence() {
            tracing::warn!("the broker stays registered as if it were alive: {error}");
        }
        if let Err(error) = self.log.close(now) {
            tracing::error!("the metadata log was not closed cleanly: {error}");
        }
    }

    /// Records that the broker is gone. A controller that found it alive would refuse the same node until its session
    /// has timed out, as Apache Kafka's does.
    fn fence(&mut self) -> Result<(), ControllerStartError> {
        let Decision { records, response: () } = self.controller.fence_broker(self.node, self.broker_epoch)?;
        store(&mut self.controller, &mut self.log, &records)
    }

    /// How the metadata log stands.
    pub(crate) fn quorum(&self) -> QuorumInfo {
        // Each append is synced before the next is made: with one voter, all of the log is committed.
        let end = self.log.next_offset();
        QuorumInfo { leader: self.node, leader_epoch: self.log.leader_epoch(), high_watermark: end, log_end: end }
    }

    pub(crate) fn broker_epoch(&self) -> BrokerEpoch {
        self.broker_epoch
    }

    /// Carries out one request; the answer may be sent when this returns.
    ///
    /// # Errors
    ///
    /// [`ControllerError::Stopped`] if the records could not be stored, now or earlier.
    pub(crate) fn carry_out<R>(
        &mut self,
        now: TimestampMs,
        decide: impl FnOnce(&Controller) -> Decision<R>,
    ) -> Result<R, ControllerError> {
        if self.poisoned {
            return Err(ControllerError::Stopped);
        }
        let Decision { records, response } = decide(&self.controller);
        if !records.is_empty() {
            self.poisoned = true;
            if let Err(error) = store(&mut self.controller, &mut self.log, &records) {
                self.local.metadata_failed(&error);
                return Err(ControllerError::Stopped);
            }
            let last = last_offset(&self.log);
            self.local.follow(&self.controller.image(), last, &records, now);
            self.poisoned = false;
        }
        Ok(response)
    }

    /// Hands out a producer id that nobody has had.
    ///
    /// # Errors
    ///
    /// [`ControllerError`] if a new block of ids was needed and could not be stored.
    pub(crate) fn next_producer_id(&mut self, now: TimestampMs) -> Result<ProducerId, ControllerError> {
        if self.producer_ids.is_empty() {
            let (node, epoch) = (self.node, self.broker_epoch);
            let mut refused = None;
            let block = self.carry_out(now, |controller| match controller.allocate_producer_ids(node, epoch) {
                Ok(Decision { records, response }) => Decision { records, response: Some(response) },
                Err(error) => {
                    refused = Some(error);
                    Decision { records: Vec::new(), response: None }
                }
            })?;
            match (block, refused) {
                (Some(ProducerIdBlock { first, count, .. }), _) => {
                    self.producer_ids = first.value()..first.value() + u64::from(count);
                }
                (None, Some(error)) => return Err(error.into()),
                (None, None) => return Err(ControllerError::Stopped),
            }
        }
        let id = self.producer_ids.next().ok_or(ControllerError::Stopped)?;
        ProducerId::from_wire(i64::try_from(id).unwrap_or(-1)).ok_or(ControllerError::Stopped)
    }

    /// A topic id that was never used before.
    pub(crate) fn new_topic_id() -> highwater_types::TopicId {
        highwater_types::TopicId(random_uuid())
    }
}

/// Offset of the last record of the metadata log.
fn last_offset(log: &MetadataLog) -> Offset {
    Offset::from_wire(log.next_offset().to_wire() - 1).unwrap_or(Offset::ZERO)
}

/// Stores a decision's records, then applies them.
fn store(
    controller: &mut Controller,
    log: &mut MetadataLog,
    records: &[MetadataRecord],
) -> Result<(), ControllerStartError> {
    assert!(records.len() <= RECORDS_PER_BATCH_MAX || records.iter().all(splittable), "a decision fits one batch");
    for batch in records.chunks(RECORDS_PER_BATCH_MAX) {
        log.append(batch)?;
        for record in batch {
            controller.apply(record)?;
        }
    }
    Ok(())
}

/// Whether a record may be in another batch than the rest of its decision: registering and unfencing touch every
/// partition of a broker, and each of those records stands on its own.
fn splittable(record: &MetadataRecord) -> bool {
    matches!(
        record,
        MetadataRecord::PartitionChange(_)
            | MetadataRecord::RegisterBroker(_)
            | MetadataRecord::BrokerRegistrationChange(_)
    )
}
