//! Producer ids: blocks of them come from the controller, and are handed out one by one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_metadata::ProducerIdBlock;
use highwater_types::{BrokerEpoch, ErrorCode, NodeId, ProducerId};
use parking_lot::Mutex;

use crate::replica::ControllerLink;

/// The ids of the block allocated last that have not been handed out.
pub(crate) struct ProducerIds {
    node: NodeId,
    /// The registration of this process, 0 while it has none.
    broker_epoch: Arc<AtomicU64>,
    left: Mutex<Range<u64>>,
    /// Held by who asks for a block, so that others wait for it instead of asking for more.
    asking: Mutex<()>,
}

impl ProducerIds {
    pub(crate) fn new(node: NodeId, broker_epoch: Arc<AtomicU64>) -> Self {
        Self { node, broker_epoch, left: Mutex::new(0..0), asking: Mutex::new(()) }
    }

    /// An id that nobody has had; `None` if a new block is needed.
    pub(crate) fn next(&self) -> Option<ProducerId> {
        let id = self.left.lock().next()?;
        ProducerId::from_wire(i64::try_from(id).ok()?)
    }

    /// Hands out an id, of a new block if there is need. Blocks.
    pub(crate) fn next_of_new_block(&self, link: &mut ControllerLink) -> Result<ProducerId, ErrorCode> {
        let _asking = self.asking.lock();
        if let Some(id) = self.next() {
            return Ok(id);
        }
        let epoch = BrokerEpoch(self.broker_epoch.load(Ordering::Acquire));
        let block = link.allocate_producer_ids(self.node, epoch);
        // Clients take this for a reason to ask again.
        let ProducerIdBlock { first, count } = block.map_err(|error| {
            tracing::info!("no producer ids could be had: {error}");
            ErrorCode::CoordinatorLoadInProgress
        })?;
        *self.left.lock() = first.value()..first.value() + u64::from(count);
        self.next().ok_or(ErrorCode::UnknownServerError)
    }
}
