//! What must be true, judged from outside the nodes.

mod metadata;
mod partitions;

pub(super) use metadata::{MetadataJudge, UncleanElection};
pub(super) use partitions::PartitionsJudge;

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) metadata: MetadataJudge,
    pub(super) partitions: PartitionsJudge,
}
