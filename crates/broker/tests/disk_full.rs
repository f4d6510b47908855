//! A disk that takes no more: nothing is acknowledged, the directory goes offline, and the broker ends itself.
//!
//! Alone in its process, because the limit on file sizes that stands for the full disk holds for all of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "api/common.rs"]
#[expect(dead_code, reason = "shared with the tests of the API, which use all of it")]
mod common;

use std::time::{Duration, Instant};

use common::{Fetched, TestBroker, batch, fetch_request};
use highwater_broker::BrokerError;
use highwater_types::ErrorCode;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

#[test]
fn a_failed_write_takes_the_directory_offline_and_ends_the_broker() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(client.produce("t", &batch(&["fits"])), (ErrorCode::None, 0));
    let waiting = {
        let mut consumer = broker.client();
        let request = highwater_wire::messages::FetchRequest { max_wait_ms: 25_000, ..fetch_request("t", 1) };
        let parks = broker.broker().stats().net.parks;
        let sent = consumer.send(12, &request);
        // Once it waits, it is there to be told.
        let deadline = Instant::now() + Duration::from_secs(20);
        while broker.broker().stats().net.parks == parks {
            assert!(Instant::now() < deadline, "the fetch never came to wait");
            std::thread::yield_now();
        }
        (consumer, sent)
    };

    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 4096, hard).unwrap();
    let large = "x".repeat(100_000);
    assert_eq!(client.produce("t", &batch(&[large.as_str()])), (ErrorCode::KafkaStorageError, -1));
    let (mut consumer, sent) = waiting;
    assert_eq!(Fetched::of(&consumer.receive(sent)).error, ErrorCode::KafkaStorageError);
    // It is the only directory, and it holds the metadata.
    let failure = broker.broker().wait().unwrap_err();
    assert!(matches!(failure, BrokerError::MetadataLog { .. }), "{failure}");
    assert_eq!(broker.broker().failure(), Some(failure));
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();

    // What was acknowledged is there after a restart, and nothing else.
    let mut broker = broker;
    broker.restart();
    let mut client = broker.client();
    let fetched = client.fetch("t", 0);
    assert_eq!((fetched.offsets(), fetched.high_watermark), (vec![0], 1));
    assert_eq!(client.produce("t", &batch(&["again"])), (ErrorCode::None, 1));
}
