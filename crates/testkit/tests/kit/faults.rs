//! Faults by script.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use highwater_broker::peer::PeerError;
use highwater_testkit::{ApiKey, EmbeddedBroker, ErrorCode, FaultError, On, Reply};
use highwater_wire::messages::{MetadataRequest, MetadataResponse, ProduceResponse};

use crate::common::{WAIT, batch, client, produce, produce_request, try_produce, values};

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::builder().topic("orders", 1).topic("others", 1).start().unwrap()
}

#[test]
fn an_error_hits_the_first_requests_of_its_topic() {
    let broker = broker();
    let on = On::api(ApiKey::Produce).topic("orders").times(2);
    let fault = broker.fault(on, Reply::Error(ErrorCode::NotLeaderOrFollower)).unwrap();
    let mut client = client(&broker, 1);
    assert_eq!(produce(&mut client, "others", &["x"]), ErrorCode::None);
    assert_eq!(fault.hits(), 0);
    assert_eq!(produce(&mut client, "orders", &["a"]), ErrorCode::NotLeaderOrFollower);
    assert_eq!(produce(&mut client, "orders", &["b"]), ErrorCode::NotLeaderOrFollower);
    assert_eq!(produce(&mut client, "orders", &["c"]), ErrorCode::None);
    assert_eq!(fault.hits(), 2);
    assert_eq!(values(&broker, "orders"), ["c"]);
}

#[test]
fn pipelined_requests_are_decided_about_one_by_one() {
    use std::io::{Read, Write};

    use highwater_wire::frame::{RequestHeader, encode_request};

    let broker = broker();
    let on = On::api(ApiKey::Produce).times(1);
    let fault = broker.fault(on, Reply::Error(ErrorCode::NotLeaderOrFollower)).unwrap();
    let mut frames = Vec::new();
    for correlation_id in 1..=3 {
        let header = RequestHeader {
            api_key: ApiKey::Produce as i16,
            api_version: 9,
            correlation_id,
            ..RequestHeader::default()
        };
        encode_request(&mut frames, &header, &produce_request("orders", 0, -1, &batch(&["a"]))).unwrap();
    }
    let mut stream = std::net::TcpStream::connect(broker.address(1).unwrap()).unwrap();
    stream.write_all(&frames).unwrap();
    for correlation_id in 1..=3 {
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..4], i32::to_be_bytes(correlation_id));
    }
    assert_eq!(fault.hits(), 1);
    assert_eq!(broker.end_offset("orders", 0).unwrap(), 2);
}

#[test]
fn a_fault_that_is_removed_hits_nothing_more() {
    let broker = broker();
    let fault = broker.fault(On::api(ApiKey::Produce), Reply::Error(ErrorCode::KafkaStorageError)).unwrap();
    let mut client = client(&broker, 1);
    assert_eq!(produce(&mut client, "orders", &["a"]), ErrorCode::KafkaStorageError);
    fault.remove();
    assert_eq!(produce(&mut client, "orders", &["b"]), ErrorCode::None);
    assert_eq!(fault.hits(), 1);
}

#[test]
fn a_delayed_request_is_carried_out_later() {
    let broker = broker();
    let pause = Duration::from_millis(300);
    let fault = broker.fault(On::api(ApiKey::Produce).times(1), Reply::Delay(pause)).unwrap();
    let mut client = client(&broker, 1);
    let began = Instant::now();
    assert_eq!(produce(&mut client, "orders", &["a"]), ErrorCode::None);
    assert!(pause <= began.elapsed());
    assert_eq!(fault.hits(), 1);
    assert_eq!(values(&broker, "orders"), ["a"]);
}

#[test]
fn close_ends_the_connection_before_anything_is_done() {
    let broker = broker();
    broker.fault(On::api(ApiKey::Produce).times(1), Reply::Close).unwrap();
    let mut first = client(&broker, 1);
    let closed = try_produce(&mut first, "orders", &["a"]);
    assert!(matches!(closed, Err(PeerError::Io { .. })), "{closed:?}");
    assert_eq!(produce(&mut client(&broker, 1), "orders", &["b"]), ErrorCode::None);
    assert_eq!(values(&broker, "orders"), ["b"]);
}

#[test]
fn close_after_loses_only_the_answer() {
    let broker = broker();
    broker.fault(On::api(ApiKey::Produce).times(1), Reply::CloseAfter).unwrap();
    let closed = try_produce(&mut client(&broker, 1), "orders", &["a"]);
    assert!(matches!(closed, Err(PeerError::Io { .. })), "{closed:?}");
    assert_eq!(values(&broker, "orders"), ["a"]);
}

#[test]
fn close_after_loses_answers_that_come_later_too() {
    let broker = broker();
    broker.fault(On::api(ApiKey::CreateTopics).times(1), Reply::CloseAfter).unwrap();
    let request = crate::errors::create_topics("late");
    let closed: Result<highwater_wire::messages::CreateTopicsResponse<'_>, _> = client(&broker, 1)
        .call(7, &request, WAIT)
        .map(|_: highwater_wire::messages::CreateTopicsResponse<'_>| unreachable!("no answer"));
    assert!(matches!(closed, Err(PeerError::Io { .. })), "{closed:?}");
    assert_eq!(broker.partitions("late"), Some(1));
}

#[test]
fn a_dropped_request_is_never_answered() {
    let broker = broker();
    let fault = broker.fault(On::api(ApiKey::Produce).times(1), Reply::Drop).unwrap();
    let mut silent = client(&broker, 1);
    let (done, outcome) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let batch = batch(&["a"]);
        let answer: Result<ProduceResponse<'_>, PeerError> =
            silent.call(9, &produce_request("orders", 0, -1, &batch), WAIT);
        done.send(answer.map(|_| ()).map_err(|error| error.to_string())).unwrap();
    });
    assert!(fault.wait_for_hits(1, WAIT));
    assert_eq!(produce(&mut client(&broker, 1), "orders", &["b"]), ErrorCode::None);
    assert!(outcome.try_recv().is_err(), "it still waits");
    assert_eq!(values(&broker, "orders"), ["b"]);
    // Its connection ends with the broker, which does not wait for it.
    drop(broker);
    assert!(outcome.recv_timeout(WAIT).unwrap().is_err());
    thread.join().unwrap();
}

#[test]
fn the_first_fault_that_fits_counts() {
    let broker = broker();
    let first = On::api(ApiKey::Produce).times(1);
    let first = broker.fault(first, Reply::Error(ErrorCode::KafkaStorageError)).unwrap();
    let second = broker.fault(On::api(ApiKey::Produce), Reply::Error(ErrorCode::NotEnoughReplicas)).unwrap();
    let mut client = client(&broker, 1);
    assert_eq!(produce(&mut client, "orders", &["a"]), ErrorCode::KafkaStorageError);
    assert_eq!(produce(&mut client, "orders", &["a"]), ErrorCode::NotEnoughReplicas);
    assert_eq!((first.hits(), second.hits()), (1, 1));
}

#[test]
fn a_producer_that_wants_no_answer_loses_its_connection() {
    let broker = broker();
    broker.fault(On::api(ApiKey::Produce), Reply::Error(ErrorCode::NotLeaderOrFollower)).unwrap();
    let mut client = client(&broker, 1);
    let batch = batch(&["a"]);
    let closed: Result<ProduceResponse<'_>, PeerError> = client.call(9, &produce_request("orders", 0, 0, &batch), WAIT);
    assert!(matches!(closed, Err(PeerError::Io { .. })), "{closed:?}");
    assert_eq!(values(&broker, "orders"), Vec::<String>::new());
}

#[test]
fn the_kit_itself_is_spared() {
    let broker = broker();
    for api in [ApiKey::CreateTopics, ApiKey::FindCoordinator, ApiKey::OffsetFetch] {
        broker.fault(On::api(api), Reply::Close).unwrap();
    }
    broker.create_topic("more", 1).unwrap();
    assert_eq!(broker.group("billing").lag().unwrap(), 0);
}

#[test]
fn metadata_for_all_topics_has_an_error_only_from_version_13_on() {
    let broker = broker();
    let error = ErrorCode::LeaderNotAvailable;
    let fault = broker.fault(On::api(ApiKey::Metadata), Reply::Error(error)).unwrap();
    let mut client = client(&broker, 1);
    let served: MetadataResponse<'_> =
        client.call(12, &MetadataRequest { topics: None, ..MetadataRequest::default() }, WAIT).unwrap();
    assert_eq!(served.topics.iter().count(), 2);
    assert_eq!(fault.hits(), 0);
    let refused: MetadataResponse<'_> =
        client.call(13, &MetadataRequest { topics: None, ..MetadataRequest::default() }, WAIT).unwrap();
    assert_eq!(refused.error_code, error as i16);
    assert_eq!(fault.hits(), 1);
}

#[test]
fn what_cannot_be_is_said_at_once() {
    let broker = broker();
    let no_answer = broker.fault(On::api(ApiKey::DescribeCluster), Reply::Error(ErrorCode::NotController));
    assert_eq!(no_answer.unwrap_err(), FaultError::NoErrorAnswer { api: ApiKey::DescribeCluster });
    let no_topics = broker.fault(On::api(ApiKey::Heartbeat).topic("orders"), Reply::Close);
    assert_eq!(no_topics.unwrap_err(), FaultError::NoTopics { api: ApiKey::Heartbeat });
}
