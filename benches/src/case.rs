//! What is measured.

use crate::batch::BatchCodec;
use crate::raw::fetch::Sending;
use crate::raw::produce::Pattern;

/// One kind of load.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the clients do.
    pub work: Work,
    /// Connections.
    pub connections: usize,
    /// Unanswered requests on each connection.
    pub depth: usize,
    /// Requests that cost a good broker about one CPU second.
    pub requests: u64,
    /// The least ratio of the raw loop's CPU time to the broker's that we want.
    pub goal: Option<f64>,
}

/// What the clients of a [`Case`] do.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Send one batch in each request, acks 1.
    Produce {
        /// Bytes of the batch before compression.
        batch_bytes: usize,
        /// Bytes of a record's value.
        value_bytes: usize,
        /// Compression of the batch.
        codec: BatchCodec,
    },
    /// Read a partition from its start to its end and again.
    Fetch {
        /// Bytes of records in each answer.
        step_bytes: usize,
        /// Bytes of the batches that the partition holds.
        batch_bytes: usize,
    },
}

impl Case {
    /// A short name, unique among the cases.
    pub fn name(&self) -> String {
        let Self { connections, depth, .. } = self;
        match self.work {
            Work::Produce { batch_bytes, value_bytes, codec } => {
                let (batch, record) = (size(batch_bytes), size(value_bytes));
                format!("produce {batch} of {record} {codec}, depth {depth}, {connections} conn")
            }
            Work::Fetch { step_bytes, .. } => {
                format!("fetch {}, depth {depth}, {connections} conn", size(step_bytes))
            }
        }
    }
}

impl Work {
    /// The ways in which a raw loop may do this work; the cheapest one is the floor.
    pub fn raw_variants(&self, depth: usize) -> Vec<RawVariant> {
        match *self {
            Self::Produce { batch_bytes, .. } if batch_bytes > 256 << 10 => {
                vec![RawVariant::Produce(Pattern::Each), RawVariant::Produce(Pattern::Pieces)]
            }
            Self::Produce { .. } if depth == 1 => vec![RawVariant::Produce(Pattern::Each)],
            Self::Produce { .. } => vec![RawVariant::Produce(Pattern::Each), RawVariant::Produce(Pattern::Grouped)],
            Self::Fetch { .. } => vec![RawVariant::Fetch(Sending::Sendfile), RawVariant::Fetch(Sending::Copy)],
        }
    }
}

/// One way in which the raw loop may work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawVariant {
    /// For [`Work::Produce`].
    Produce(Pattern),
    /// For [`Work::Fetch`].
    Fetch(Sending),
}

/// All cases, in the order of the report.
pub fn all() -> Vec<Case> {
    use BatchCodec::{Lz4, None as Plain, Zstd};

    let produce = |batch_bytes, value_bytes, codec, depth, connections, requests| Case {
        work: Work::Produce { batch_bytes, value_bytes, codec },
        connections,
        depth,
        requests,
        goal: (codec == Plain && (batch_bytes == 16 * KIB || batch_bytes == MIB)).then_some(0.7),
    };
    let fetch = |step_bytes, batch_bytes, connections, requests| Case {
        work: Work::Fetch { step_bytes, batch_bytes },
        connections,
        depth: 1,
        requests,
        goal: Some(0.8),
    };
    vec![
        produce(KIB, 100, Plain, 1, 1, 120_000),
        produce(KIB, 100, Plain, 5, 1, 200_000),
        produce(KIB, 100, Plain, 5, 4, 200_000),
        produce(16 * KIB, 1000, Plain, 1, 1, 80_000),
        produce(16 * KIB, 1000, Plain, 5, 1, 120_000),
        produce(16 * KIB, 1000, Plain, 5, 4, 120_000),
        produce(16 * KIB, 100, Plain, 5, 1, 120_000),
        produce(16 * KIB, 100, Lz4, 5, 1, 160_000),
        produce(64 * KIB, 1000, Plain, 5, 1, 30_000),
        produce(64 * KIB, 100, Zstd, 5, 1, 100_000),
        produce(MIB, 1000, Plain, 1, 1, 1_800),
        produce(MIB, 1000, Plain, 5, 1, 2_000),
        produce(MIB, 1000, Plain, 5, 4, 2_000),
        produce(MIB, 100, Plain, 5, 1, 2_000),
        produce(MIB, 100, Lz4, 5, 1, 8_000),
        produce(MIB, 100, Zstd, 5, 1, 12_000),
        fetch(64 * KIB, 16 * KIB, 1, 80_000),
        fetch(64 * KIB, 16 * KIB, 4, 80_000),
        fetch(MIB, 64 * KIB, 1, 10_000),
        fetch(MIB, 64 * KIB, 4, 8_000),
    ]
}

fn size(bytes: usize) -> String {
    match bytes {
        MIB.. if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        KIB.. if bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} B"),
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let cases = all();
        let names: HashSet<_> = cases.iter().map(Case::name).collect();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn the_goals_are_set_where_the_design_sets_them() {
        let goals = |name: &str| -> Vec<_> {
            all().iter().filter(|case| case.name().starts_with(name)).map(|case| case.goal).collect()
        };
        assert_eq!(goals("produce 16 KiB of 1000 B none"), [Some(0.7); 3]);
        assert_eq!(goals("produce 1 MiB of 1000 B none"), [Some(0.7); 3]);
        assert_eq!(goals("produce 1 KiB"), [None; 3]);
        assert_eq!(goals("fetch"), [Some(0.8); 4]);
    }
}
