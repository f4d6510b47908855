//! Consumers: one that goes on and on, one that begins again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use highwater_sim::Random;
use highwater_testsupport::history::{Key, Op, Outcome, Process, Step};

use super::RETRY_PAUSE;
use super::producer::kind;
use crate::client::{Fetched, Router};
use crate::recorder::{Mark, Recorder};
use crate::stop::Stop;

/// Reads all partitions to their ends and waits for more.
pub(super) fn follow(process: Process, keys: Vec<Key>, mut router: Router, recorder: &Recorder, stop: &Stop) {
    let mut positions: BTreeMap<Key, u64> = keys.into_iter().map(|key| (key, 0)).collect();
    while !stop.is_set() {
        let mut failures = 0;
        for (key, position) in &mut positions {
            match fetch(&mut router, key, *position, recorder) {
                Some(fetched) => *position = record(process, key, *position, &fetched, false, recorder),
                None => failures += 1,
            }
            if stop.is_set() {
                return;
            }
        }
        if failures == positions.len() {
            stop.sleep(RETRY_PAUSE);
        }
    }
}

/// Reads one partition from its beginning to its end, then another.
pub(super) fn read_again(
    process: Process,
    keys: &[Key],
    mut router: Router,
    mut random: Random,
    recorder: &Recorder,
    stop: &Stop,
) {
    while !stop.sleep(READ_AGAIN_PAUSE) {
        let key = keys[random.index(keys.len())].clone();
        let (mut position, mut reassigned) = (0, true);
        // It may take long, but it ends.
        while !stop.is_set() {
            let Some(fetched) = fetch(&mut router, &key, position, recorder) else {
                stop.sleep(RETRY_PAUSE);
                continue;
            };
            if fetched.values.is_empty() {
                break;
            }
            position = record(process, &key, position, &fetched, reassigned, recorder);
            reassigned = false;
        }
    }
}

/// Reads a partition from its beginning to `end`; where it got to.
pub(crate) fn read_all(process: Process, key: &Key, end: u64, router: &mut Router, recorder: &Recorder) -> u64 {
    let (mut position, mut reassigned) = (0, true);
    let deadline = Instant::now() + READ_ALL_TIMEOUT;
    while position < end && Instant::now() < deadline {
        match fetch(router, key, position, recorder) {
            Some(fetched) if !fetched.values.is_empty() => {
                position = record(process, key, position, &fetched, reassigned, recorder);
                reassigned = false;
            }
            _ => std::thread::sleep(RETRY_PAUSE),
        }
    }
    position
}

/// Adds what was read to the history; the next position.
fn record(process: Process, key: &Key, position: u64, fetched: &Fetched, reassigned: bool, recorder: &Recorder) -> u64 {
    let Some((last, _)) = fetched.values.last() else { return position };
    let step = Step::Poll(BTreeMap::from([(key.clone(), fetched.values.clone())]));
    recorder.op(&key.topic, Op { process, outcome: Outcome::Ok, steps: vec![step], reassigned });
    last + 1
}

fn fetch(router: &mut Router, key: &Key, position: u64, recorder: &Recorder) -> Option<Fetched> {
    let leader = router.leader(key)?;
    let bound = recorder.bound(Mark::Fetched, key, leader.epoch);
    match router.on(leader.node, |broker| broker.fetch(key, leader.epoch, position)) {
        Ok(Ok(fetched)) => {
            if let Some(damage) = &fetched.damage {
                recorder.problem(format!("{key} from {position} on, as node {} gives it: {damage}", leader.node));
            }
            let high_watermark = u64::try_from(fetched.high_watermark).unwrap_or(0);
            recorder.mark(Mark::Fetched, key, leader.epoch, high_watermark, bound);
            if let Some((last, _)) = fetched.values.last().filter(|(last, _)| high_watermark <= *last) {
                let what = format!("{key}: {last} was read beyond the high watermark {high_watermark}");
                recorder.problem(what);
            }
            return Some(fetched);
        }
        Ok(Err(code)) => recorder.answer(format!("Fetch: {code}")),
        Err(error) => recorder.answer(format!("Fetch: {}", kind(&error))),
    }
    router.forget(key);
    None
}

const READ_AGAIN_PAUSE: Duration = Duration::from_secs(2);
const READ_ALL_TIMEOUT: Duration = Duration::from_secs(60);
