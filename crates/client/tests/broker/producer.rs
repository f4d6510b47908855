//! Sending records.

use std::sync::mpsc;
use std::time::Duration;

use highwater_client::admin::NewTopic;
use highwater_client::{
    Codec, Interceptor, Offset, ProduceError, ProducerRecord, RecordMetadata, SendError, TopicName, TopicPartition,
    TrySendError,
};

use crate::common::TestBroker;

fn topic() -> TopicName {
    TopicName::new("orders").unwrap()
}

fn record(value: impl Into<String>) -> ProducerRecord<String, String> {
    ProducerRecord::new(topic(), value.into())
}

#[test]
fn a_thread_sends_and_waits() {
    let broker = TestBroker::start();
    let producer = broker.client().producer::<String, String>().build().unwrap();
    for index in 0..3 {
        let metadata = producer.send(record("one").key("k".to_owned())).wait().unwrap();
        assert_eq!(metadata.offset, Some(Offset::new(index)));
        assert_eq!((metadata.key_bytes, metadata.value_bytes), (Some(1), Some(3)));
    }
}

#[test]
fn many_are_on_their_way_at_once() {
    let broker = TestBroker::start();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let client = broker.client();
        let producer = client.producer::<String, String>().compression(codec).build().unwrap();
        let deliveries: Vec<_> =
            (0..5_000).map(|index| producer.enqueue(record(format!("value {index}"))).wait().unwrap()).collect();
        let mut last = None;
        for delivery in deliveries {
            let offset = delivery.wait().unwrap().offset;
            assert!(last < offset, "{codec:?}: in order");
            last = offset;
        }
        producer.close(Duration::from_secs(10)).wait().unwrap();
        assert!(matches!(producer.send(record("late")).wait(), Err(SendError::Refused(_))));
    }
}

#[test]
fn a_flush_does_not_linger() {
    let broker = TestBroker::start();
    let producer = broker.client().producer::<String, String>().linger(Duration::from_secs(60)).build().unwrap();
    let delivery = producer.enqueue(record("one")).wait().unwrap();
    producer.flush().wait().unwrap();
    assert!(delivery.is_done());
    delivery.wait().unwrap();
}

#[test]
fn a_callback_is_called_once() {
    let broker = TestBroker::start();
    let producer = broker.client().producer::<String, String>().build().unwrap();
    let (told, heard) = mpsc::channel();
    for _ in 0..100 {
        let told = told.clone();
        producer.send_with(record("one"), move |result| told.send(result).unwrap());
    }
    drop(told);
    producer.close(Duration::from_secs(10)).wait().unwrap();
    let all: Vec<_> = heard.iter().collect();
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(Result::is_ok));
}

#[test]
fn what_was_taken_is_sent_after_everything_is_dropped() {
    let broker = TestBroker::start();
    let (told, heard) = mpsc::channel();
    let client = broker.client();
    let producer = client.producer::<String, String>().linger(Duration::from_secs(5)).build().unwrap();
    producer.send_with(record("one"), move |result| told.send(result).unwrap());
    drop((producer, client));
    heard.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
}

#[test]
fn what_cannot_be_sent_now_is_given_back() {
    let broker = TestBroker::start();
    let client = broker.client();
    let producer = client.producer::<String, String>().build().unwrap();
    let mut record = record("one");
    let mut attempts = 0;
    let delivery = loop {
        match producer.try_enqueue(record) {
            Ok(delivery) => break delivery,
            Err(TrySendError::Full(back)) => record = back,
            Err(TrySendError::Failed(error)) => panic!("{error}"),
        }
        attempts += 1;
        // Whatever is asked of the broker takes longer than looking.
        client.admin().list_topics().wait().unwrap();
    };
    assert!(0 < attempts, "nothing is known of the topic at first");
    delivery.wait().unwrap();
}

#[test]
fn records_too_large_are_refused_here_and_there() {
    let broker = TestBroker::start();
    let client = broker.client();
    client
        .admin()
        .create_topics([NewTopic::new("orders").config("max.message.bytes", "1000")], false)
        .wait()
        .unwrap()
        .all_ok()
        .unwrap();
    let producer = client.producer::<String, String>().build().unwrap();
    let error = producer.send(record("x".repeat(2 << 20))).wait().unwrap_err();
    assert!(error.to_string().contains("max.request.size"), "{error}");
    let error = producer.send(record("x".repeat(2_000))).wait().unwrap_err();
    assert_eq!(error.code(), Some(highwater_client::ErrorCode::MessageTooLarge), "{error}");
    producer.send(record("small")).wait().unwrap();
}

#[test]
fn a_topic_that_does_not_come_is_waited_for_in_vain() {
    let broker = TestBroker::start_with(&[("auto.create.topics.enable", "false")]);
    let producer = broker.client().producer::<String, String>().config("max.block.ms", "300").build().unwrap();
    match producer.send(record("one")).wait() {
        Err(error @ SendError::TimedOut { waited_ms: 300, .. }) => {
            assert!(error.to_string().contains("topic orders is not present in metadata"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn closing_gives_up_what_is_left() {
    // Nobody answers there: what connects is never accepted.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = highwater_client::Client::new(&listener.local_addr().unwrap().to_string()).unwrap();
    let producer = client.producer::<String, String>().build().unwrap();
    let waiting = producer.send(record("one"));
    producer.close(Duration::ZERO).wait().unwrap();
    assert!(matches!(waiting.wait(), Err(SendError::Refused(_))));
    client.close(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_client_that_is_closed_tells_everybody() {
    let broker = TestBroker::start();
    let client = broker.client();
    let producer = client.producer::<String, String>().linger(Duration::from_secs(60)).build().unwrap();
    let delivery = producer.enqueue(record("one")).wait().unwrap();
    let (admin, clone) = (client.admin(), client.clone());
    client.close(Duration::from_secs(10)).unwrap();
    assert!(matches!(delivery.wait(), Err(SendError::Produce(ProduceError::Closed))));
    assert!(admin.list_topics().wait().is_err());
    assert!(producer.send(record("two")).wait().is_err());
    clone.close(Duration::from_secs(10)).unwrap();
}

struct Stamp(mpsc::Sender<(TopicPartition, bool)>);

impl Interceptor<String, String> for Stamp {
    fn on_send(&self, record: &mut ProducerRecord<String, String>) {
        record.key = Some("stamped".to_owned());
    }

    fn on_acknowledgement(&self, to: &TopicPartition, result: &Result<RecordMetadata, ProduceError>) {
        self.0.send((to.clone(), result.is_ok())).unwrap();
    }
}

#[test]
fn interceptors_see_every_record_and_its_end() {
    let broker = TestBroker::start();
    let (told, heard) = mpsc::channel();
    let producer = broker.client().producer().interceptor(Stamp(told)).build().unwrap();
    let metadata = producer.send(record("one")).wait().unwrap();
    assert_eq!(metadata.key_bytes, Some(7));
    producer.send(record("x".repeat(2 << 20))).wait().unwrap_err();
    producer.close(Duration::from_secs(10)).wait().unwrap();
    drop(producer);
    let ends: Vec<bool> = heard.iter().map(|(_, is_ok)| is_ok).collect();
    assert_eq!(ends, [true, false]);
}

#[test]
fn configs_that_do_not_agree_are_refused() {
    let broker = TestBroker::start();
    let client = broker.client();
    let error = client.producer::<String, String>().config("lingerms", "5").build().unwrap_err();
    assert_eq!(error.to_string(), "unknown configuration lingerms, did you mean linger.ms?");
    let error = client.producer::<String, String>().config("acks", "two").build().unwrap_err();
    assert_eq!(error.to_string(), "invalid value two for configuration acks: allowed is one of all, -1, 0, 1");
    client.producer::<String, String>().config("acks", "1").config("enable.idempotence", "true").build().unwrap_err();
}
