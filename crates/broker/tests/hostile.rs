//! Clients that mean no good, all at once and for long, while one that does goes on. In a process of its own, since it
//! measures the memory of the whole process and listens for every panic. What single requests get is in `api`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "api/common.rs"]
#[expect(dead_code, reason = "shared with the tests of the API, which use all of it")]
mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Client, TestBroker, batch};
use highwater_testsupport::heap::{MeasuringAllocator, bytes_in_use, bytes_in_use_max, reset_peak};
use highwater_types::ErrorCode;
use highwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use highwater_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, JoinGroupRequest, JoinGroupResponse,
};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics of the broker's threads; those of the test's own are failures by themselves.
fn count_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        default(info);
    }));
}

#[global_allocator]
static ALLOCATOR: MeasuringAllocator = MeasuringAllocator;

/// A client that must not notice anything: one record there and back.
struct Witness {
    client: Client,
    records: i64,
}

impl Witness {
    fn new(broker: &TestBroker) -> Self {
        let mut client = broker.client();
        client.create_topic("witness", 1, &[]);
        Self { client, records: 0 }
    }

    fn look(&mut self, what: &str) {
        let started = Instant::now();
        let produced = self.client.produce("witness", &batch(&["still here"]));
        assert_eq!(produced, (ErrorCode::None, self.records), "produce after {what}");
        assert_eq!(self.client.fetch("witness", self.records).offsets(), [self.records], "fetch after {what}");
        self.records += 1;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?} after {what}", started.elapsed());
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a panic after {what}");
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes and their end, and waits for the broker to have read them: it answers, if at all, and closes.
fn throw(broker: &TestBroker, bytes: &[u8]) {
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the connection was not closed"),
    }
}

/// Key, lowest and highest version that the broker advertises.
fn advertised(broker: &TestBroker) -> Vec<(i16, i16, i16)> {
    let answer = broker.client().call(4, &ApiVersionsRequest::default());
    answer
        .body::<ApiVersionsResponse<'_>>()
        .api_keys
        .iter()
        .map(|a| (a.api_key, a.min_version, a.max_version))
        .collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes as requests have them: many small numbers, some extremes.
    fn body(&mut self) -> Vec<u8> {
        let length = [0, 1, 3, 8, 20, 60, 300][self.next() as usize % 7];
        let byte = |random: u64| match random % 16 {
            0..=5 => 0,
            6..=8 => 1,
            9 | 10 => 2,
            11 => 0x7f,
            12 => 0x80,
            13 => 0xff,
            _ => (random >> 8) as u8,
        };
        (0..length).map(|_| byte(self.next())).collect()
    }
}

#[test]
fn others_notice_nothing_and_memory_stays_bounded() {
    count_panics();
    let budget = 16 << 20;
    let broker = TestBroker::start_with(&[
        ("queued.max.request.bytes", "16777216"),
        // Garbage that happens to be a request for a topic makes a small one.
        ("num.partitions", "1"),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ]);
    let mut witness = Witness::new(&broker);
    witness.look("nothing yet");

    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (key, min, max) in advertised(&broker) {
        // What creates topics by chance would create thousands of partitions by chance.
        if [19, 37].contains(&key) {
            continue;
        }
        for version in min - 1..=max + 1 {
            for tagged in [false, true] {
                let mut body = [key.to_be_bytes(), version.to_be_bytes(), [0, 0], [0, 7], [0, 0]].concat();
                if tagged {
                    body.push(0);
                }
                body.extend_from_slice(&random.body());
                throw(&broker, &frame(&body));
            }
        }
        witness.look(&format!("garbage for key {key}"));
    }

    // Requests of 100 MB that never end, from many connections, as much as the broker takes of each.
    let piece = vec![0_u8; 64 << 10];
    let mut start = (100_u32 << 20).to_be_bytes().to_vec();
    start.extend_from_slice(&[0, 0, 0, 7, 0, 0, 0, 1, 0xff, 0xff]);
    let mut endless: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(broker.address()).unwrap();
            stream.write_all(&start).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let before = bytes_in_use();
    reset_peak();
    let mut sent = 0;
    for round in 0..40 {
        for stream in &mut endless {
            // Full, or closed by now: both are fine.
            sent += stream.write(&piece).unwrap_or(0);
        }
        if round % 10 == 9 {
            witness.look("requests that never end");
        }
    }
    assert!(budget * 2 < sent, "only {sent} bytes were taken, the budget was not tried");
    let held = bytes_in_use_max().saturating_sub(before);
    // Beyond the budget each loop has a pool of buffers, and one request that may go on: its buffer is at most eight
    // times what has arrived, in a power of two, and there are two of them while it moves to a larger one.
    let arrived_max = 40 * piece.len() + start.len();
    let loop_max = (16 << 20) + 2 * (8 * arrived_max).next_power_of_two();
    assert!(held < budget + LOOPS * loop_max, "{} MiB held of {} MiB sent", held >> 20, sent >> 20);
    drop(endless);
    witness.look("the end of requests that never end");

    swelling_subscriptions(&broker);
    witness.look("subscriptions that swell");
}

/// Members that subscribe to millions of topics without a name: each takes two bytes as it was sent, and many times that
/// when it has been looked at.
fn swelling_subscriptions(broker: &TestBroker) {
    let mut client = broker.client();
    let size: i32 = 8 << 20;
    let mut metadata = 0_i16.to_be_bytes().to_vec();
    metadata.extend_from_slice(&(size / 2).to_be_bytes());
    metadata.resize(usize::try_from(size).unwrap() + 10, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    // The first joins make the offsets topic, and let it load.
    let mut join = |group: &str| loop {
        client.call(0, &FindCoordinatorRequest { key: group.into(), ..FindCoordinatorRequest::default() });
        let protocol = JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: metadata.as_slice().into(),
            ..Default::default()
        };
        let request = JoinGroupRequest {
            group_id: group.into(),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![protocol].into(),
            ..JoinGroupRequest::default()
        };
        let answer = client.call(1, &request);
        match answer.body::<JoinGroupResponse<'_>>().error_code {
            0 => return,
            14..=16 => assert!(Instant::now() < deadline, "no coordinator"),
            error => panic!("error code {error}"),
        }
    };
    join("first");
    let before = bytes_in_use();
    reset_peak();
    let joins = 4;
    (0..joins).for_each(|index| join(&format!("g{index}")));
    let held = bytes_in_use_max().saturating_sub(before);
    // What a member says is kept as it is. One request and its answer are on their way, here and there: each in a buffer
    // that may be twice as large, and in two of them while it moves to a larger one. The names alone would take twelve
    // times what was sent, for every member.
    let one = usize::try_from(size).unwrap();
    assert!(held < (joins + 16) * one, "{} MiB held for {joins} members", held >> 20);
}

/// Event loops of the broker under test, or fewer.
const LOOPS: usize = 2;
