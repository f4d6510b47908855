//! Clients that write, read and watch until they are told to stop.

mod consumer;
mod observer;
mod producer;
mod threads;

pub(crate) use consumer::read_all;
pub(crate) use observer::expect_sane;
pub(crate) use threads::Workload;

use std::time::Duration;

use crate::client::TopicSpec;
use highwater_types::NodeId;

/// Values that are acknowledged by all in-sync replicas, at least two: none may be lost.
pub(crate) const SAFE: &str = "safe";
/// Values that are acknowledged by the leader alone: they may be lost, but only before somebody has read them.
pub(crate) const LOOSE: &str = "loose";

/// Topics of the workload: every partition has three replicas.
pub(crate) fn topics(nodes: &[NodeId], min_insync_replicas: u32) -> Vec<TopicSpec> {
    let replicas = |first: usize| (0..REPLICAS).map(|index| nodes[(first + index) % nodes.len()]).collect();
    let spec = |name, partitions, own: &[(&'static str, &str)]| {
        // Segments are rolled now and then.
        let configs = [("segment.bytes", "1048576")].iter().chain(own);
        let configs = configs.map(|(config, value)| (*config, (*value).to_owned())).collect();
        TopicSpec { name, partitions: (0..partitions).map(replicas).collect(), configs }
    };
    let min_insync_replicas = min_insync_replicas.to_string();
    vec![
        // Synced now and then, so that failing syncs are noticed.
        spec(SAFE, 4, &[("min.insync.replicas", &min_insync_replicas), ("flush.messages", "50")]),
        spec(LOOSE, 2, &[("min.insync.replicas", "1")]),
    ]
}

const REPLICAS: usize = 3;
/// How long a client waits after it was refused.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
