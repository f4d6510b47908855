//! Handing out producer ids.

use super::{Controller, Decision};
use crate::{ApiError, record::MetadataRecord};
use highwater_types::{BrokerEpoch, ErrorCode, NodeId, ProducerId};

/// Producer ids that a broker gets at a time.
pub const PRODUCER_IDS_PER_BLOCK: u32 = 1000;

/// Producer ids `first..first + count`, which nobody else has or will get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub count: u32,
}

impl Controller {
    /// Decides on the next block of producer ids for a broker.
    ///
    /// # Errors
    ///
    /// `STALE_BROKER_EPOCH` if this is not the broker's registration, `UNKNOWN_SERVER_ERROR` when the
    /// 2^63 ids are used up.
    pub fn allocate_producer_ids(
        &self,
        node: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<Decision<ProducerIdBlock>, ApiError> {
        self.check_broker_epoch(node, epoch)?;
        let first = self.image.next_producer_id();
        let next = first.value() + u64::from(PRODUCER_IDS_PER_BLOCK);
        let next = i64::try_from(next).ok().and_then(ProducerId::from_wire);
        let exhausted = || ApiError::new(ErrorCode::UnknownServerError, "Exhausted all producerIds.");
        let next = next.ok_or_else(exhausted)?;
        let record = MetadataRecord::ProducerIds { node, epoch: Some(epoch), next };
        Ok(Decision::new(vec![record], ProducerIdBlock { first, count: PRODUCER_IDS_PER_BLOCK }))
    }
}
