//! The seam between the controller and the log that holds its records.

use crate::{ApplyError, MetadataRecord};
use highwater_types::{LeaderEpoch, Offset};

/// Where the metadata log lives: consensus, disk, or both, behind one seam.
///
/// The controller's thread owns it. An implementation for one node appends to a local log and syncs it;
/// one for several nodes waits for the high watermark.
pub trait MetadataQuorum {
    /// Why the log could not be written or read.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Appends `records` as one atomic batch and returns the offset of the first.
    ///
    /// On return they are durable and committed: they will be replayed after any crash. Blocks for that
    /// long. Callers pass at most [`crate::RECORDS_PER_BATCH_MAX`] records.
    ///
    /// # Errors
    ///
    /// If the outcome is not known to be a success. The log must be reopened and replayed before the
    /// next append: the records may or may not be in it.
    fn append(&mut self, records: &[MetadataRecord]) -> Result<Offset, Self::Error>;

    /// Hands every committed record to `apply`, with its offset, once and in order.
    ///
    /// # Errors
    ///
    /// If the log cannot be read or decoded, or as soon as `apply` refuses a record.
    fn replay(
        &mut self,
        apply: &mut dyn FnMut(Offset, &MetadataRecord) -> Result<(), ApplyError>,
    ) -> Result<(), Self::Error>;

    /// Offset that the next appended record will get.
    fn next_offset(&self) -> Offset;

    /// Epoch in which this node leads the quorum.
    fn leader_epoch(&self) -> LeaderEpoch;
}
