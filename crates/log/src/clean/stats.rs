//! What a pass has done.

use highwater_types::Offset;

/// What came of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// Everything below has been cleaned; `None` if the pass is not complete, because it was stopped or because
    /// segments it was about to replace had been deleted. What it has replaced stays replaced.
    pub first_dirty: Option<Offset>,
    /// Work done.
    pub stats: CleanStats,
}

/// Work done by a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanStats {
    /// Bytes read to find the last offset of each key.
    pub index_bytes_read: u64,
    /// Records read for that, without those of aborted transactions.
    pub index_records_read: u64,
    /// Keys found.
    pub keys: u64,
    /// Keys that would have fit.
    pub keys_max: u64,
    /// Bytes read to be filtered.
    pub bytes_read: u64,
    /// Records read to be filtered.
    pub records_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Records written.
    pub records_written: u64,
    /// Segments read.
    pub segments_read: u64,
    /// Segments written.
    pub segments_written: u64,
    /// Groups of segments whose result was discarded.
    pub groups_discarded: u64,
}
