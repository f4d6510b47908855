//! A small limit of open files: partitions share a part of it, and connections leave that to them. In a process of its own, since
//! the limit holds for all of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "api/common.rs"]
#[expect(dead_code, reason = "shared with the tests of the API, which use all of it")]
mod common;

use common::{TestBroker, batch};
use highwater_types::ErrorCode;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors of this process, of which the clients of the test need some too.
const LIMIT: u64 = 400;

#[test]
fn neither_partitions_nor_connections_take_the_last_descriptors() {
    setrlimit(Resource::RLIMIT_NOFILE, 200, LIMIT).unwrap();
    let broker = TestBroker::start();
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (LIMIT, LIMIT), "the broker raises the soft limit");
    let mut client = broker.client();
    // Three files for each partition, far more than may be open.
    client.create_topic("wide", 200, &[]);
    client.create_topic("narrow", 20, &[("segment.bytes", "1048576")]);

    // Both ends of each connection live in this process.
    let mut clients = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect(broker.address()) {
        clients.push(stream);
        if clients.len() == 150 {
            break;
        }
    }
    // Each batch rolls a segment, which opens files.
    let large = "x".repeat(700_000);
    for offset in 0..8 {
        assert_eq!(client.produce("narrow", &batch(&[large.as_str()])), (ErrorCode::None, offset));
    }
    assert_eq!(broker.broker().failure(), None);
    drop(clients);
    assert_eq!(broker.client().fetch("narrow", 7).offsets(), [7]);
    assert_eq!(broker.client().produce("wide", &batch(&["a"])), (ErrorCode::None, 0));
}
