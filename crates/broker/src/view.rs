//! What request handlers see of the cluster: the metadata image and the partitions that live here, as one snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_metadata::MetadataImage;
use highwater_types::{NodeId, Offset};
use parking_lot::RwLock;

use crate::partition::PartitionTable;

/// One consistent state of the metadata with the partitions that this broker serves under it.
///
/// A topic is in `topics` before or with its appearance in `image`, so a client that sees a topic can use it.
pub(crate) struct View {
    pub(crate) image: MetadataImage,
    /// Offset of the last metadata record in it.
    pub(crate) metadata_offset: Offset,
    pub(crate) topics: PartitionTable,
}

impl View {
    /// The view before the metadata has been replayed.
    pub(crate) fn empty(cluster_id: &str, node: NodeId) -> Self {
        Self {
            image: MetadataImage::empty(cluster_id, node),
            metadata_offset: Offset::ZERO,
            topics: PartitionTable::default(),
        }
    }
}

/// Holds the newest [`View`].
///
/// Written by the controller's thread alone. Event loops keep a [`ViewCache`], so that a request costs one atomic load.
pub(crate) struct ViewCell {
    version: AtomicU64,
    newest: RwLock<Arc<View>>,
}

impl ViewCell {
    pub(crate) fn new(view: View) -> Self {
        Self { version: AtomicU64::new(0), newest: RwLock::new(Arc::new(view)) }
    }

    /// Replaces the view. Readers pick it up with their next request.
    pub(crate) fn publish(&self, view: View) {
        *self.newest.write() = Arc::new(view);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The newest view.
    pub(crate) fn load(&self) -> Arc<View> {
        Arc::clone(&self.newest.read())
    }

    /// A reader's own copy, to be refreshed before each use.
    pub(crate) fn cache(&self) -> ViewCache {
        // The version is read first: a view published in between is then fetched once more, never missed.
        let version = self.version.load(Ordering::Acquire);
        ViewCache { version, view: self.load() }
    }
}

/// One reader's reference to a view.
pub(crate) struct ViewCache {
    version: u64,
    view: Arc<View>,
}

impl ViewCache {
    /// Follows `cell` to its newest view; one atomic load when there is none.
    pub(crate) fn refresh(&mut self, cell: &ViewCell) -> &Arc<View> {
        if cell.version.load(Ordering::Acquire) != self.version {
            *self = cell.cache();
        }
        &self.view
    }
}
