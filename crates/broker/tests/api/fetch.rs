//! Fetch: what is returned, when it waits, and sessions.

use std::time::{Duration, Instant};

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::Records;
use highwater_wire::messages::FetchResponse;
use highwater_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

use crate::common::{Answer, Client, Fetched, TestBroker, batch, code, fetch_request};

/// A topic with three batches of two records each.
fn three_batches(client: &mut Client) -> Uuid {
    let id = client.create_topic("t", 1, &[]);
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        assert_eq!(client.produce("t", &batch(&values)).0, ErrorCode::None);
    }
    id
}

fn with_partition<'a>(mut request: FetchRequest<'a>, change: impl FnOnce(&mut FetchPartition<'_>)) -> FetchRequest<'a> {
    let mut topic = request.topics.iter().next().unwrap();
    let mut partition = topic.partitions.iter().next().unwrap();
    change(&mut partition);
    topic.partitions = vec![partition].into();
    request.topics = vec![topic].into();
    request
}

#[test]
fn an_empty_fetch_has_empty_records_not_null() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for version in [4, 11, 12] {
        let answer = client.call(version, &fetch_request("t", 0));
        let fetched = Fetched::of(&answer);
        assert_eq!((fetched.error, fetched.high_watermark, fetched.records.len()), (ErrorCode::None, 0, 0));
    }
}

#[test]
fn an_offset_inside_a_batch_returns_the_whole_batch() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    three_batches(&mut client);
    assert_eq!(client.fetch("t", 3).offsets(), [2, 3, 4, 5]);
    assert_eq!(client.fetch("t", 5).offsets(), [4, 5]);
    assert!(client.fetch("t", 6).records.is_empty());
}

#[test]
fn limits_bend_for_the_first_batch_only() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    three_batches(&mut client);
    let size = client.fetch("t", 4).records.len();
    // One byte allowed: the first batch still comes whole (KIP-74).
    let tiny = with_partition(fetch_request("t", 0), |partition| partition.partition_max_bytes = 1);
    assert_eq!(Fetched::of(&client.call(12, &tiny)).offsets(), [0, 1]);
    let tiny = FetchRequest { max_bytes: 1, ..fetch_request("t", 0) };
    assert_eq!(Fetched::of(&client.call(12, &tiny)).offsets(), [0, 1]);
    // Two batches and a bit: the third may come cut, never more bytes than allowed.
    let allowed = i32::try_from(size * 2 + 10).unwrap();
    let some = with_partition(fetch_request("t", 0), |partition| partition.partition_max_bytes = allowed);
    let fetched = Fetched::of(&client.call(12, &some));
    assert!(fetched.records.len() <= size * 2 + 10);
    assert_eq!(Fetched { records: fetched.records[..size * 2].to_vec(), ..fetched }.offsets(), [0, 1, 2, 3]);
}

#[test]
fn the_first_partition_with_records_uses_the_exception_up() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    for topic in ["a", "b", "c"] {
        client.create_topic(topic, 1, &[]);
    }
    client.produce("b", &batch(&["x"]));
    client.produce("c", &batch(&["y"]));
    let topics: Vec<FetchTopic<'_>> =
        ["a", "b", "c"].iter().flat_map(|topic| fetch_request(topic, 0).topics.iter().collect::<Vec<_>>()).collect();
    let request = FetchRequest { max_bytes: 1, topics: topics.into(), ..fetch_request("a", 0) };
    let answer = client.call(12, &request);
    let response: FetchResponse<'_> = answer.body();
    let sizes: Vec<usize> =
        response.responses.iter().map(|topic| topic.partitions.iter().next().unwrap().records.len()).collect();
    assert!(sizes[0] == 0 && sizes[1] > 0 && sizes[2] == 0, "{sizes:?}");
}

#[test]
fn offsets_and_epochs_out_of_range() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    three_batches(&mut client);
    for offset in [7, -1, i64::MAX] {
        let fetched = client.fetch("t", offset);
        assert_eq!((fetched.error, fetched.high_watermark), (ErrorCode::OffsetOutOfRange, -1), "{offset}");
    }
    let ahead = with_partition(fetch_request("t", 0), |partition| partition.current_leader_epoch = 1);
    assert_eq!(Fetched::of(&client.call(12, &ahead)).error, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(client.fetch("nope", 0).error, ErrorCode::UnknownTopicOrPartition);
    let replica = FetchRequest { replica_id: 3, ..fetch_request("t", 0) };
    assert_eq!(Fetched::of(&client.call(12, &replica)).error, ErrorCode::UnknownLeaderEpoch, "no replica of ours");
}

#[test]
fn a_restart_raises_the_leader_epoch_and_fences_the_old_one() {
    let mut broker = TestBroker::start();
    three_batches(&mut broker.client());
    broker.restart();
    let mut client = broker.client();
    let metadata = client.call(9, &crate::common::metadata_request(&["t"]));
    let response: highwater_wire::messages::MetadataResponse<'_> = metadata.body();
    let epoch = response.topics.iter().next().unwrap().partitions.iter().next().unwrap().leader_epoch;
    assert!(epoch > 0, "{epoch}");
    let old = with_partition(fetch_request("t", 0), |partition| partition.current_leader_epoch = 0);
    assert_eq!(Fetched::of(&client.call(12, &old)).error, ErrorCode::FencedLeaderEpoch);
    let current = with_partition(fetch_request("t", 0), |partition| partition.current_leader_epoch = epoch);
    assert_eq!(Fetched::of(&client.call(12, &current)).offsets(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_client_that_followed_another_history_learns_where_it_parts() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    three_batches(&mut client);
    let from =
        |offset, epoch| with_partition(fetch_request("t", offset), |partition| partition.last_fetched_epoch = epoch);
    let diverging = |answer: &Answer| {
        let response: FetchResponse<'_> = answer.body();
        let partition = response.responses.iter().next().unwrap().partitions.iter().next().unwrap();
        assert_eq!(partition.error_code, 0);
        (partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset, partition.records.len())
    };
    assert_eq!(diverging(&client.call(12, &from(6, 0))), (-1, -1, 0), "the same history");
    // Epoch 0 ends at 6 here, and the client says that it has seven records of it.
    assert_eq!(diverging(&client.call(12, &from(7, 0))), (0, 6, 0));
}

#[test]
fn unknown_topic_ids() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let id = three_batches(&mut client);
    let by_id = |topic_id| {
        let mut request = fetch_request("", 0);
        let topic = FetchTopic { topic_id, ..request.topics.iter().next().unwrap() };
        request.topics = vec![topic].into();
        request
    };
    let answer = client.call(18, &by_id(id));
    assert_eq!(Fetched::of(&answer).offsets().len(), 6);
    let answer = client.call(13, &by_id(Uuid::from_bytes([1; 16])));
    assert_eq!(Fetched::of(&answer).error, ErrorCode::UnknownTopicId);
}

#[test]
fn isolation_and_preferred_replica() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    three_batches(&mut client);
    for (isolation_level, aborted) in [(0, None), (1, Some(0))] {
        let answer = client.call(12, &FetchRequest { isolation_level, ..fetch_request("t", 0) });
        let response: FetchResponse<'_> = answer.body();
        let partition = response.responses.iter().next().unwrap().partitions.iter().next().unwrap();
        assert_eq!(partition.aborted_transactions.map(|list| list.len()), aborted);
        assert_eq!(partition.last_stable_offset, 6);
        assert_eq!(partition.preferred_read_replica, -1);
        assert!(matches!(partition.records, Records::Bytes(bytes) if !bytes.is_empty()));
    }
}

#[test]
fn a_fetch_waits_for_records_and_wakes_when_they_come() {
    let broker = TestBroker::start();
    let mut consumer = broker.client();
    consumer.create_topic("t", 1, &[]);
    let waiting = FetchRequest { max_wait_ms: 25_000, min_bytes: 1, ..fetch_request("t", 0) };
    let sent = consumer.send(12, &waiting);
    let mut producer = broker.client();
    assert_eq!(producer.produce("t", &batch(&["a"])), (ErrorCode::None, 0));
    let began = Instant::now();
    assert_eq!(Fetched::of(&consumer.receive(sent)).offsets(), [0]);
    assert!(began.elapsed() < Duration::from_secs(20), "woken by the record, not by the time");
}

#[test]
fn a_fetch_that_waits_in_vain_answers_in_time_with_what_there_is() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    three_batches(&mut client);
    let began = Instant::now();
    let request = FetchRequest { max_wait_ms: 100, min_bytes: 1 << 20, ..fetch_request("t", 0) };
    assert_eq!(Fetched::of(&client.call(12, &request)).offsets().len(), 6);
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_parked_fetch_learns_that_its_topic_was_deleted() {
    use highwater_wire::messages::DeleteTopicsRequest;
    let broker = TestBroker::start();
    let mut consumer = broker.client();
    consumer.create_topic("t", 1, &[]);
    let sent = consumer.send(12, &FetchRequest { max_wait_ms: 25_000, ..fetch_request("t", 0) });
    let mut admin = broker.client();
    admin.call(5, &DeleteTopicsRequest { topic_names: vec!["t".into()].into(), ..DeleteTopicsRequest::default() });
    let began = Instant::now();
    assert_eq!(Fetched::of(&consumer.receive(sent)).error, ErrorCode::UnknownTopicOrPartition);
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// Session id, top-level error, and the partitions told.
fn session(answer: &Answer) -> (i32, ErrorCode, Vec<(String, i32, usize)>) {
    let response: FetchResponse<'_> = answer.body();
    let mut told = Vec::new();
    for topic in &response.responses {
        for partition in &topic.partitions {
            told.push((topic.topic.to_string(), partition.partition_index, partition.records.len()));
        }
    }
    (response.session_id, code(response.error_code), told)
}

#[test]
fn a_session_tells_only_what_is_new() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("a", 1, &[]);
    client.create_topic("b", 1, &[]);
    let topics: Vec<FetchTopic<'_>> =
        ["a", "b"].iter().flat_map(|topic| fetch_request(topic, 0).topics.iter().collect::<Vec<_>>()).collect();
    let first = FetchRequest { session_epoch: 0, topics: topics.into(), ..fetch_request("a", 0) };
    let (id, error, told) = session(&client.call(12, &first));
    assert_eq!((error, told.len()), (ErrorCode::None, 2));
    assert_ne!(id, 0);
    let next = |session_epoch| FetchRequest {
        session_id: id,
        session_epoch,
        topics: Vec::new().into(),
        ..fetch_request("a", 0)
    };
    assert_eq!(session(&client.call(12, &next(1))), (id, ErrorCode::None, vec![]), "nothing is new");
    client.produce("b", &batch(&["x"]));
    let (_, _, told) = session(&client.call(12, &next(2)));
    assert_eq!(told.iter().map(|(topic, ..)| topic.as_str()).collect::<Vec<_>>(), ["b"]);
    let forgotten = ForgottenTopic { topic: "b".into(), partitions: vec![0].into(), ..ForgottenTopic::default() };
    let forget = FetchRequest { forgotten_topics_data: vec![forgotten].into(), ..next(3) };
    assert_eq!(session(&client.call(12, &forget)), (id, ErrorCode::None, vec![]));
    assert_eq!(session(&client.call(12, &next(9))).1, ErrorCode::InvalidFetchSessionEpoch);
    let unknown = FetchRequest { session_id: id ^ 1, ..next(1) };
    assert_eq!(session(&client.call(12, &unknown)).1, ErrorCode::FetchSessionIdNotFound);
    assert_eq!(session(&client.call(13, &next(4))).1, ErrorCode::FetchSessionTopicIdError);
}
