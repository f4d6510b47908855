//! Looks at the cluster from outside all the time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use highwater_testsupport::history::Key;

use super::producer::kind;
use crate::client::{PartitionState, Router};
use crate::node::Endpoint;
use crate::recorder::{Mark, Recorder};
use crate::stop::Stop;

/// Asks every broker who leads what, and every leader where its log ends.
pub(super) fn observe(keys: &[Key], endpoints: &Arc<[Endpoint]>, recorder: &Recorder, stop: &Stop) {
    let mut router = Router::new(Arc::clone(endpoints), 0);
    let topics: BTreeSet<&str> = keys.iter().map(|key| key.topic.as_str()).collect();
    while !stop.sleep(PAUSE) {
        for topic in &topics {
            for endpoint in endpoints.iter() {
                if stop.is_set() {
                    return;
                }
                match router.on(endpoint.id, |broker| broker.describe(topic)) {
                    Ok((states, _)) => states.iter().for_each(|state| expect_sane(state, recorder)),
                    Err(error) => recorder.answer(format!("Metadata: {}", kind(&error))),
                }
            }
        }
        for key in keys {
            let Some(leader) = router.leader(key) else { continue };
            let bound = recorder.bound(Mark::Latest, key, leader.epoch);
            match router.on(leader.node, |broker| broker.latest(key, leader.epoch)) {
                Ok(Ok(end)) => recorder.mark(Mark::Latest, key, leader.epoch, end, bound),
                Ok(Err(code)) => {
                    recorder.answer(format!("ListOffsets: {code}"));
                    router.forget(key);
                }
                Err(error) => {
                    recorder.answer(format!("ListOffsets: {}", kind(&error)));
                    router.forget(key);
                }
            }
        }
    }
}

/// What holds for a partition in every broker's eyes, however old its knowledge is.
pub(crate) fn expect_sane(state: &PartitionState, recorder: &Recorder) {
    if let Some(leader) = state.leader {
        recorder.leader(&state.key, leader.epoch, leader.node);
        if !state.isr.contains(&leader.node) {
            recorder.problem(format!("the leader is not in sync: {state:?}"));
        }
    }
    if !state.isr.iter().all(|id| state.replicas.contains(id)) {
        recorder.problem(format!("in sync, but no replica: {state:?}"));
    }
}

const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use highwater_types::{LeaderEpoch, NodeId};

    use super::*;
    use crate::client::Leader;

    #[test]
    fn leaders_are_in_sync_and_those_in_sync_are_replicas() {
        let ids = |ids: &[u32]| ids.iter().copied().map(NodeId::new).collect();
        let problems = |leader: u32, isr: &[u32]| {
            let recorder = Recorder::new();
            let leader = Some(Leader { node: NodeId::new(leader), epoch: LeaderEpoch::ZERO });
            let (key, replicas) = (Key::new("t", 0), ids(&[1, 2, 3]));
            expect_sane(&PartitionState { key, leader, replicas, isr: ids(isr) }, &recorder);
            recorder.take().problems.len()
        };
        assert_eq!(problems(1, &[1, 2]), 0);
        assert_eq!(problems(3, &[1, 2]), 1);
        assert_eq!(problems(1, &[1, 4]), 1);
    }
}
