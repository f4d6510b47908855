//! Reading records.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use highwater_client::admin::NewTopic;
use highwater_client::{
    Client, Codec, Consumer, Event, GroupProtocol, Offset, OffsetReset, PartitionIndex, ProducerRecord, SeekTo,
    TimestampMs, TopicName, TopicPartition,
};

use crate::common::TestBroker;

const PROTOCOLS: [GroupProtocol; 2] = [GroupProtocol::Classic, GroupProtocol::Consumer];

fn topic() -> TopicName {
    TopicName::new("orders").unwrap()
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: topic(), partition: PartitionIndex::new(partition) }
}

fn fill(client: &Client, partitions: u32, values: std::ops::Range<u64>) {
    let topic_made = NewTopic::new("orders").partitions(partitions);
    // It may be there already.
    let _ = client.admin().create_topics([topic_made], false).wait().unwrap();
    let producer = client.producer::<String, String>().compression(Codec::Lz4).build().unwrap();
    for value in values {
        let mut record = ProducerRecord::new(topic(), value.to_string()).key(value.to_string());
        record.timestamp = Some(TimestampMs(1_000_000 + i64::try_from(value).unwrap()));
        producer.send_with(record, |result| assert!(result.is_ok(), "{result:?}"));
    }
    producer.close(Duration::from_secs(30)).wait().unwrap();
}

/// Reads until it has so many values.
fn read(consumer: &Consumer, count: usize) -> Vec<u64> {
    let mut values = Vec::new();
    let until = Instant::now() + Duration::from_secs(60);
    while values.len() < count {
        assert!(Instant::now() < until, "{} of {count} came", values.len());
        match consumer.next().wait_for(Duration::from_secs(10)).unwrap() {
            Some(Event::Records(records)) => {
                for record in &records {
                    let value = record.decode::<String>().unwrap().unwrap();
                    assert_eq!(record.decode_key::<String>().unwrap().as_ref(), Some(&value));
                    values.push(value.parse().unwrap());
                }
            }
            Some(Event::Error(error)) => panic!("{error}"),
            Some(_) | None => {}
        }
    }
    values
}

#[test]
fn a_group_goes_on_where_it_was() {
    for protocol in PROTOCOLS {
        let broker = TestBroker::start();
        let client = broker.client();
        fill(&client, 3, 0..1_000);
        let build = || {
            let builder = client.consumer("billing").topics([topic()]).protocol(protocol);
            builder.start_at(OffsetReset::Earliest).auto_commit(false).build().unwrap()
        };
        let consumer = build();
        let first: BTreeSet<u64> = read(&consumer, 1_000).into_iter().collect();
        assert_eq!(first, (0..1_000).collect());
        consumer.commit_now().wait().unwrap();
        consumer.close(Duration::from_secs(30)).wait().unwrap();
        let group = client.admin().describe_groups(["billing"]).wait().unwrap().only().unwrap();
        assert_eq!((group.state.as_str(), group.members.len()), ("Empty", 0), "{protocol:?}: it has left");
        fill(&client, 3, 1_000..1_100);
        let consumer = build();
        let second: BTreeSet<u64> = read(&consumer, 100).into_iter().collect();
        assert_eq!(second, (1_000..1_100).collect(), "{protocol:?}");
    }
}

#[test]
fn what_was_read_is_committed_by_itself_when_it_closes() {
    let broker = TestBroker::start();
    let client = broker.client();
    fill(&client, 1, 0..10);
    let consumer = client.consumer("billing").topics([topic()]).start_at(OffsetReset::Earliest).build().unwrap();
    read(&consumer, 10);
    consumer.close(Duration::from_secs(30)).wait().unwrap();
    assert!(matches!(consumer.next().wait(), Err(highwater_client::ClientError::Closed)));
    let committed = client.admin().group_offsets("billing").wait().unwrap();
    assert_eq!(committed[&at(0)].offset, Offset::new(10));
}

#[test]
fn members_share_and_take_over() {
    for protocol in PROTOCOLS {
        let broker = TestBroker::start();
        let client = broker.client();
        fill(&client, 4, 0..100);
        let build = || {
            let builder = client.consumer("billing").topics([topic()]).protocol(protocol);
            let builder = builder.config("heartbeat.interval.ms", "100").config("session.timeout.ms", "6000");
            builder.start_at(OffsetReset::Earliest).build().unwrap()
        };
        let (one, other) = (build(), build());
        let until = Instant::now() + Duration::from_secs(60);
        let poll = |consumer: &Consumer| match consumer.next().wait_for(Duration::from_millis(50)).unwrap() {
            Some(Event::Revoking(revocation)) => revocation.done(),
            Some(Event::Error(error)) => panic!("{error}"),
            _ => {}
        };
        while [&one, &other].iter().any(|consumer| consumer.assignment().unwrap().len() != 2) {
            assert!(Instant::now() < until, "{protocol:?}: they do not share");
            poll(&one);
            poll(&other);
        }
        let mine: BTreeSet<TopicPartition> = one.assignment().unwrap().into_iter().collect();
        assert!(other.assignment().unwrap().iter().all(|partition| !mine.contains(partition)));
        other.close(Duration::from_secs(30)).wait().unwrap();
        while one.assignment().unwrap().len() != 4 {
            assert!(Instant::now() < until, "{protocol:?}: nobody takes over");
            poll(&one);
        }
    }
}

#[test]
fn one_without_a_group_reads_where_it_is_told_to() {
    let broker = TestBroker::start();
    let client = broker.client();
    fill(&client, 1, 0..100);
    let consumer = client.reader().partitions([at(0)]).start_at(OffsetReset::Earliest).build().unwrap();
    assert_eq!(read(&consumer, 100), (0..100).collect::<Vec<_>>());
    assert_eq!(consumer.position(&at(0)).unwrap(), Some(Offset::new(100)));
    consumer.seek(&at(0), SeekTo::Offset(Offset::new(98))).unwrap();
    assert_eq!(read(&consumer, 2), [98, 99]);
    consumer.seek(&at(0), SeekTo::Timestamp(TimestampMs(1_000_097))).unwrap();
    assert_eq!(read(&consumer, 3), [97, 98, 99]);
    consumer.seek(&at(0), SeekTo::Beginning).unwrap();
    assert_eq!(read(&consumer, 100).len(), 100);
    consumer.pause(&[at(0)]).unwrap();
    fill(&client, 1, 100..101);
    assert!(consumer.next().wait_for(Duration::from_millis(300)).unwrap().is_none(), "it is paused");
    consumer.resume(&[at(0)]).unwrap();
    assert_eq!(read(&consumer, 1), [100]);
    assert!(consumer.commit_now().wait().is_err(), "there is no group");
    assert!(consumer.seek(&at(7), SeekTo::End).is_err());
}

#[test]
fn topics_that_match_are_found_when_they_come() {
    let broker = TestBroker::start();
    let client = broker.client();
    let consumer = client.consumer("billing").pattern("ord.*").start_at(OffsetReset::Earliest);
    let consumer = consumer.config("heartbeat.interval.ms", "100").config("session.timeout.ms", "6000");
    let consumer = consumer.build().unwrap();
    assert!(consumer.next().wait_for(Duration::from_millis(200)).unwrap().is_none());
    fill(&client, 1, 0..5);
    // Sooner than `metadata.max.age.ms`.
    consumer.unsubscribe().unwrap();
    consumer.subscribe_pattern("ord.*").unwrap();
    assert_eq!(read(&consumer, 5), [0, 1, 2, 3, 4]);
}

#[test]
fn a_record_outlives_everything() {
    let broker = TestBroker::start();
    let client = broker.client();
    fill(&client, 1, 0..3);
    let consumer = client.reader().partitions([at(0)]).start_at(OffsetReset::Earliest).build().unwrap();
    let records = loop {
        if let Event::Records(records) = consumer.next().wait().unwrap() {
            break records;
        }
    };
    drop((consumer, client, broker));
    let last = thread::spawn(move || records.iter().last()).join().unwrap().unwrap();
    assert_eq!(last.value(), Some(&b"2"[..]));
}

#[cfg(feature = "json")]
#[test]
fn json_comes_back_as_it_was_sent() {
    use highwater_client::Json;

    let broker = TestBroker::start();
    let client = broker.client();
    client.admin().create_topics([NewTopic::new("orders")], false).wait().unwrap().all_ok().unwrap();
    let producer = client.producer::<String, Json<Vec<u32>>>().build().unwrap();
    producer.send(ProducerRecord::new(topic(), Json(vec![1, 2, 3]))).wait().unwrap();
    let consumer = client.reader().partitions([at(0)]).start_at(OffsetReset::Earliest).build().unwrap();
    let Event::Records(records) = consumer.next().wait().unwrap() else { panic!("there is a record") };
    let record = records.iter().next().unwrap();
    assert_eq!(record.decode::<Json<Vec<u32>>>().unwrap(), Some(Json(vec![1, 2, 3])));
    record.decode::<Json<String>>().unwrap_err();
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn tasks_of_any_runtime_can_wait() {
    let broker = TestBroker::start();
    let client = broker.client();
    let read = block_on(async {
        client.admin().create_topics([NewTopic::new("orders")], false).await.unwrap().all_ok().unwrap();
        let producer = client.producer::<String, String>().build().unwrap();
        let consumer = client.consumer("billing").topics([topic()]).start_at(OffsetReset::Earliest).build().unwrap();
        producer.send(ProducerRecord::new(topic(), "one".to_owned())).await.unwrap();
        let read = loop {
            if let Event::Records(records) = consumer.next().await.unwrap() {
                consumer.commit(records.progress()).await.unwrap();
                break records.iter().next().unwrap().decode::<String>().unwrap();
            }
        };
        consumer.close(Duration::from_secs(30)).await.unwrap();
        producer.close(Duration::from_secs(30)).await.unwrap();
        read
    });
    assert_eq!(read.as_deref(), Some("one"));
}
