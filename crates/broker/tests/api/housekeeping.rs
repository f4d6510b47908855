//! What happens without being asked for.

use std::time::{Duration, Instant};

use highwater_types::ErrorCode;

use crate::common::{TestBroker, batch};

/// Looks again and again until `look` finds something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn old_records_go_and_their_offsets_do_not_come_back() {
    let mut broker = TestBroker::start_with(&[("log.retention.check.interval.ms", "20")]);
    let mut client = broker.client();
    client.create_topic("kept", 1, &[("retention.ms", "-1")]);
    client.create_topic("t", 1, &[("retention.ms", "1000")]);
    for topic in ["kept", "t"] {
        // Records of 1970.
        assert_eq!(client.produce(topic, &batch(&["a", "b"])), (ErrorCode::None, 0));
    }
    let log_start = wait_for("retention moves the log start", || {
        let fetched = client.fetch("t", 2);
        (fetched.log_start > 0).then_some(fetched.log_start)
    });
    assert_eq!(log_start, 2);
    assert_eq!(client.fetch("t", 0).error, ErrorCode::OffsetOutOfRange);
    assert_eq!(client.fetch("kept", 0).offsets(), [0, 1]);
    broker.restart();
    assert_eq!(broker.client().fetch("t", 2).log_start, 2);
}

#[test]
fn checkpoints_are_written_while_the_broker_runs() {
    let broker = TestBroker::start_with(&[("replica.high.watermark.checkpoint.interval.ms", "20")]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", &batch(&["a", "b", "c"]));
    let file = broker.directory().join("replication-offset-checkpoint");
    wait_for("the high watermark is written", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().any(|line| line == "t 0 3").then_some(())
    });
}

#[test]
fn idle_logs_are_settled_and_known_to_the_next_start() {
    let mut broker = TestBroker::start_with(&[("log.flush.offset.checkpoint.interval.ms", "20")]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    client.produce("t", &batch(&["a", "b"]));
    let recovery_points = broker.directory().join("recovery-point-offset-checkpoint");
    wait_for("the idle log is synced", || {
        let text = std::fs::read_to_string(&recovery_points).unwrap_or_default();
        text.lines().any(|line| line == "t 0 2").then_some(())
    });
    let manifest = broker.directory().join("highwater-manifest");
    wait_for("both logs are in the manifest", || {
        let bytes = std::fs::read(&manifest).unwrap_or_default();
        let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
        (has(b"\x03t-0") && has(b"\x03t-1")).then_some(())
    });
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.fetch("t", 0).offsets(), [0, 1]);
    assert_eq!(client.produce("t", &batch(&["c"])), (ErrorCode::None, 2));
}

#[test]
fn flush_ms_moves_the_recovery_point() {
    let broker = TestBroker::start_with(&[
        ("replica.high.watermark.checkpoint.interval.ms", "20"),
        ("log.flush.offset.checkpoint.interval.ms", "20"),
    ]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.ms", "10")]);
    client.produce("t", &batch(&["a", "b"]));
    let file = broker.directory().join("recovery-point-offset-checkpoint");
    wait_for("the log is synced", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().any(|line| line == "t 0 2").then_some(())
    });
}
