//! How long an embedded broker takes to start and to end: the median of 21, in milliseconds.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Instant;

use highwater_testkit::{EmbeddedBroker, KitError, Storage};

fn main() -> Result<(), KitError> {
    for (nodes, storage) in [(1, Storage::Temporary), (1, Storage::Memory), (3, Storage::Memory)] {
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..21 {
            let began = Instant::now();
            let broker = EmbeddedBroker::builder().nodes(nodes).storage(storage.clone()).start()?;
            starts.push(began.elapsed());
            let began = Instant::now();
            drop(broker);
            ends.push(began.elapsed());
        }
        starts.sort();
        ends.sort();
        let ms = |all: &[std::time::Duration]| all[all.len() / 2].as_secs_f64() * 1000.0;
        println!("{nodes} node(s), {storage:?}: start {:.1} ms, drop {:.1} ms", ms(&starts), ms(&ends));
    }
    Ok(())
}
