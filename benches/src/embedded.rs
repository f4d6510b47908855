//! Counts the heap allocations of a broker that runs inside this process.

use std::io;
use std::path::Path;

use highwater_broker::{Broker, BrokerConfig};

use crate::allocations;
use crate::case::Case;
use crate::client::Load;
use crate::stage::Stage;
use crate::target::Target;

/// Allocations of the broker for one request of a case, over `requests` requests.
///
/// The clients' threads and this one are not counted; what is left is the broker's. A run before the counted one lets
/// buffers grow to their size. Needs [`CountingAllocator`](allocations::CountingAllocator) as the global allocator.
///
/// # Errors
///
/// If the broker does not start or answers anything but success.
pub fn allocations_per_request(case: &Case, scratch: &Path, requests: u64) -> io::Result<f64> {
    let _uncounted = allocations::exempt_this_thread();
    let data = tempfile::Builder::new().prefix("embedded-").tempdir_in(scratch)?;
    let broker = Broker::start(&BrokerConfig::embedded(data.path())).map_err(io::Error::other)?;
    let mut target = Target::connect(broker.local_addr(), data.path().to_owned())?;
    let stage = Stage::prepare(&mut target, scratch, case)?;
    let topic = stage.topic(&mut target)?;
    let load = Load { address: target.address(), connections: case.connections, depth: case.depth, requests };
    stage.run(&load, &topic)?;
    let before = allocations::count();
    stage.run(&load, &topic)?;
    let counted = allocations::count() - before;
    stage.release(&mut target, &topic)?;
    stage.tear_down(&mut target)?;
    broker.shutdown();
    Ok(counted as f64 / requests as f64)
}
