//! The thread that makes the broker follow the metadata.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use highwater_metadata::MetadataImage;
use highwater_types::{NodeId, Uuid};

use super::lifecycle::BrokerLife;
use super::local::{FoundLog, LocalPartitions};
use crate::lifecycle::{Event, spawn};
use crate::net::Now;
use crate::partition::PartitionTable;
use crate::quorum::Change;
use crate::view::{View, ViewCell};

/// What the thread works with.
pub(crate) struct ApplierSetup {
    pub(crate) changes: Receiver<Change>,
    pub(crate) view: Arc<ViewCell>,
    /// The broker; `None` on a node that is only a controller.
    pub(crate) broker: Option<BrokerParts>,
}

/// What there is only on a broker.
pub(crate) struct BrokerParts {
    pub(crate) node: NodeId,
    /// This process.
    pub(crate) incarnation: Uuid,
    pub(crate) local: LocalPartitions,
    pub(crate) found: Vec<FoundLog>,
    pub(crate) life: Arc<BrokerLife>,
}

/// Makes the broker follow what is committed.
pub(crate) struct Applier {
    setup: ApplierSetup,
    /// The logs that were found have been matched with the metadata.
    is_loaded: bool,
}

impl Applier {
    /// Starts the thread. It ends when the quorum does.
    pub(crate) fn start(setup: ApplierSetup, events: Sender<Event>) -> io::Result<JoinHandle<()>> {
        let applier = Self { setup, is_loaded: false };
        spawn("metadata".to_owned(), "the thread that follows the metadata", events, move || applier.run())
    }

    fn run(mut self) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            let left = next_tick.saturating_duration_since(Instant::now());
            match self.setup.changes.recv_timeout(left) {
                Ok(change) => self.apply(change),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // However fast the changes come.
            if next_tick <= Instant::now() {
                if let Some(broker) = &self.setup.broker
                    && self.is_loaded
                {
                    broker.local.tick(Now::read());
                }
                next_tick = Instant::now() + TICK;
            }
        }
    }

    fn apply(&mut self, change: Change) {
        let Change { image, offset, delta, completions } = change;
        let now = Now::read();
        let is_fenced = self.setup.broker.as_ref().is_none_or(|broker| broker.is_fenced(&image));
        match &mut self.setup.broker {
            Some(broker) if self.is_loaded => broker.local.follow(&image, offset, &delta, now),
            // Before this process is registered, the metadata may be old: logs that it does not know may be wanted.
            Some(broker) if broker.is_registered(&image) => {
                let found = std::mem::take(&mut broker.found);
                broker.local.load(&image, offset, found, now);
                broker.life.loaded();
                self.is_loaded = true;
            }
            Some(_) => {}
            None => {
                let topics = PartitionTable::default();
                self.setup.view.publish(View { image, metadata_offset: offset, topics });
            }
        }
        if let Some(broker) = &self.setup.broker
            && self.is_loaded
        {
            broker.life.is_fenced(is_fenced);
        }
        completions.into_iter().for_each(|completion| completion());
    }
}

impl BrokerParts {
    fn is_fenced(&self, image: &MetadataImage) -> bool {
        image.broker(self.node).is_none_or(|broker| broker.fenced)
    }

    fn is_registered(&self, image: &MetadataImage) -> bool {
        image.broker(self.node).is_some_and(|broker| broker.incarnation == self.incarnation)
    }
}

/// How often leaders look after their followers.
const TICK: Duration = Duration::from_millis(250);
