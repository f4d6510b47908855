//! What a loss of power may do to what was not synced.

use crate::random::Random;

/// What becomes of names created, changed or removed since the last sync of their directory.
///
/// A rename happens as a whole or not at all, and nothing happens to a name before what happened to it earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameLoss {
    /// All changes survive.
    Nothing,
    /// No change does.
    Everything,
    /// Of each directory, the first changes survive, as with a journal.
    InOrder,
    /// Any of them survive: what the standard allows.
    AnySubset,
}

/// What becomes of bytes written and sizes changed since the last sync of their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLoss {
    /// All changes survive.
    Nothing,
    /// No change does.
    Everything,
    /// The first changes survive, the last of them cut off at any byte.
    Prefix,
    /// Each sector is as it was at some moment since the sync, independent of its neighbours and of the size: later
    /// writes without earlier ones, old bytes of overwritten ranges, zeros where nothing had been written.
    Sectors,
    /// The size survives, but not all bytes: the file ends in zeros.
    SizeFirst,
}

impl NameLoss {
    pub(super) fn draw(random: &mut Random) -> Self {
        random.pick(&[Self::Nothing, Self::Everything, Self::InOrder, Self::InOrder, Self::AnySubset, Self::AnySubset])
    }
}

impl DataLoss {
    pub(super) fn draw(random: &mut Random) -> Self {
        random.pick(&[
            Self::Nothing,
            Self::Everything,
            Self::Prefix,
            Self::Prefix,
            Self::Sectors,
            Self::Sectors,
            Self::SizeFirst,
        ])
    }
}
