//! A voter, as the log describes it.

use std::fmt;

use highwater_types::{DirectoryId, NodeId};

/// A node together with its metadata directory.
///
/// A node whose disk was replaced is another replica: it may have forgotten what it voted for (KIP-853).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The node.
    pub id: NodeId,
    /// Its metadata directory; `None` if it is not known, as in quorums whose voters are fixed by configuration.
    pub directory: Option<DirectoryId>,
}

impl ReplicaKey {
    /// Whether both may be the same replica: an unknown directory may be any.
    #[must_use]
    pub fn matches(self, other: Self) -> bool {
        let same = |(a, b)| a == b;
        self.id == other.id && self.directory.zip(other.directory).is_none_or(same)
    }

    /// Whether a voter with this key is that replica. Who does not say its directory is no voter with a known one: it
    /// may have another disk.
    pub(crate) fn covers(self, replica: Self) -> bool {
        self.id == replica.id && (self.directory.is_none() || self.directory == replica.directory)
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directory {
            Some(directory) => write!(f, "{}@{directory}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// The level of the feature `kraft.version`: whether voters are fixed by configuration (0) or kept in the log (1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KRaftVersion(u16);

impl KRaftVersion {
    /// Voters are fixed by `controller.quorum.voters`.
    pub const FIXED: Self = Self(0);
    /// Voters are kept in the log and can be changed (KIP-853).
    pub const DYNAMIC: Self = Self(1);
    /// The highest level that this crate knows.
    pub const LATEST: Self = Self::DYNAMIC;

    /// The level of this number, which may be one that this crate does not know.
    #[must_use]
    pub const fn new(level: u16) -> Self {
        Self(level)
    }

    /// Its number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether voters are kept in the log.
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        Self::DYNAMIC <= self
    }
}

impl fmt::Display for KRaftVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The levels of `kraft.version` that a node supports. By default only the one with fixed voters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KRaftVersions {
    /// The lowest.
    pub min: KRaftVersion,
    /// The highest.
    pub max: KRaftVersion,
}

impl KRaftVersions {
    /// What this crate supports.
    pub const SUPPORTED: Self = Self { min: KRaftVersion::FIXED, max: KRaftVersion::LATEST };

    /// Whether this level is supported.
    #[must_use]
    pub fn contains(self, version: KRaftVersion) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

/// Where a node is reached as a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener.
    pub listener: String,
    /// Name or address of the host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Somebody who decides. In a VotersRecord each has all of this; of configured voters only the id is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Who.
    pub key: ReplicaKey,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub kraft_versions: KRaftVersions,
}

impl From<ReplicaKey> for Voter {
    fn from(key: ReplicaKey) -> Self {
        Self { key, endpoints: Vec::new(), kraft_versions: KRaftVersions::default() }
    }
}
