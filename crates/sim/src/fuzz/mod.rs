//! Random histories of logs against models.

mod dir_world;
mod env;
mod log_world;
mod model;
mod partition;
mod plan;
mod trace;
mod traffic;

pub use trace::Trace;

/// What a history is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// One log on its own.
    Log,
    /// A directory of logs, with its checkpoint files.
    Dir,
    /// A group coordinator with many members.
    Group,
    /// A metadata quorum of several nodes.
    Raft,
    /// A metadata quorum whose voters come and go.
    Voters,
    /// A whole cluster: controllers, brokers, producers.
    Cluster,
    /// A producer before faulty brokers.
    Producer,
}

impl World {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Dir => "dir",
            Self::Group => "group",
            Self::Raft => "raft",
            Self::Voters => "voters",
            Self::Cluster => "cluster",
            Self::Producer => "producer",
        }
    }

    /// Plays the history that belongs to `seed`, telling `trace` what happens.
    ///
    /// # Panics
    ///
    /// At the first thing that is not as it should be.
    pub fn run(self, seed: u64, trace: &mut Trace<'_>) {
        match self {
            Self::Log => log_world::run(seed, trace),
            Self::Dir => dir_world::run(seed, trace),
            Self::Group => crate::group::run(seed, trace),
            Self::Raft => crate::raft::run(seed, trace),
            Self::Voters => crate::raft::run_voters(seed, trace),
            Self::Cluster => crate::cluster::run(seed, trace),
            Self::Producer => crate::producer::run(seed, trace),
        }
    }

    /// The command that replays a history, line by line.
    #[must_use]
    pub fn replay_command(self, seed: u64) -> String {
        format!("cargo run --release -p highwater-sim -- {} --seed {seed}", self.name())
    }
}
