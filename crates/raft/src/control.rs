//! What the log itself says of the quorum.

use highwater_types::Offset;

use crate::{KRaftVersion, VoterSet};

/// A record of a control batch, as far as it is about the voters. Others are of no interest to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// KRaftVersionRecord: the level of `kraft.version` from here on.
    KRaftVersion(KRaftVersion),
    /// VotersRecord: who decides from here on.
    Voters(VoterSet),
}

/// A control record and where in the log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its offset.
    pub offset: Offset,
    /// The record.
    pub record: ControlRecord,
}

/// Who decides after some part of the log: what the header of a snapshot says, and the bootstrap checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The level of `kraft.version`; 0 if there was no KRaftVersionRecord.
    pub kraft_version: KRaftVersion,
    /// The voters; none if there was no VotersRecord, so that the configured ones count.
    pub voters: VoterSet,
}
