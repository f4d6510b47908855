//! Records: written, read back, looked up by time.

use std::io::Read as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use highwater_client::admin::{NewTopic, OffsetSpec};
use highwater_client::{
    Client, Codec, Consumer, ConsumerRecord, Event, Header, Offset, OffsetReset, ProducerRecord, TimestampMs,
};
use serde_json::json;

use super::member::say;
use super::{DEADLINE, Done, Failure, NAME, Options, at, check_sent, close, expect, number_of, offset, until};
use crate::records::{HEADER_NAMES, Recipe, Record, digest};

/// What the topics of the idempotent producer end with.
pub(super) const IDEMPOTENT: &str = "-idempotent";

/// One topic and how it is written.
pub(super) struct Case {
    topic: String,
    codec: Codec,
    is_idempotent: bool,
}

impl Case {
    /// A topic that is written in the plainest way.
    pub(super) fn plain(topic: &str) -> Self {
        Self { topic: topic.to_owned(), codec: Codec::None, is_idempotent: false }
    }
}

/// The topics of this client, one for each codec and variant, or those of another writer.
fn cases(options: &Options) -> Vec<Case> {
    let (writer, suffixes): (&str, &[&str]) = match options.text("writer") {
        "" => (NAME, &["", IDEMPOTENT]),
        other => (other, &[""]),
    };
    let codecs = || options.text("codecs").split(',').map(|name| Codec::from_name(name).expect("a codec's name"));
    let case = |suffix: &str, codec: Codec| Case {
        topic: format!("{writer}{suffix}-{}", codec.name()),
        codec,
        is_idempotent: suffix == IDEMPOTENT,
    };
    suffixes.iter().flat_map(|suffix| codecs().map(move |codec| case(suffix, codec))).collect()
}

pub(super) fn produce(client: &Client, options: &Options) -> Done {
    let first = options.number("first");
    let records = options.recipe().stream(first, options.number("count"));
    let mut done = Vec::new();
    for case in cases(options) {
        if first == 0 {
            create_topic(client, &case.topic, options.partitions())?;
        }
        send(client, &case, &records)?;
        done.push(json!({ "topic": case.topic, "codec": case.codec.name(), "count": records.len() }));
    }
    Ok(json!({ "topics": done }))
}

/// Creates a topic and waits until its leaders answer.
pub(super) fn create_topic(client: &Client, topic: &str, partitions: usize) -> Result<(), Failure> {
    let count = u32::try_from(partitions).expect("few partitions");
    client.admin().create_topics([NewTopic::new(topic).partitions(count)], false).wait()?.all_ok()?;
    let empty = vec![(Some(Offset::ZERO), Some(Offset::ZERO)); partitions];
    until("the leaders answer", || Ok(bounds(client, topic, partitions).is_ok_and(|found| found == empty)))
}

/// Sends the records, in order, and waits until all are acknowledged.
pub(super) fn send(client: &Client, case: &Case, records: &[Record]) -> Result<(), Failure> {
    let builder = client.producer().compression(case.codec).idempotence(case.is_idempotent);
    // Unlike the idempotent producer, the plain one keeps the order only with one request in flight.
    let in_flight = if case.is_idempotent { "5" } else { "1" };
    let producer = builder.config("max.in.flight.requests.per.connection", in_flight).build()?;
    let mut deliveries = Vec::with_capacity(records.len());
    for record in records {
        deliveries.push(producer.enqueue(to_send(&case.topic, record)).wait()?);
    }
    close(&producer)?;
    let failed: Vec<_> = deliveries.into_iter().filter_map(|delivery| delivery.wait().err()).collect();
    check_sent(&failed)
}

fn to_send(topic: &str, record: &Record) -> ProducerRecord<Vec<u8>, Vec<u8>> {
    let at = at(topic, record.partition);
    let mut sent = ProducerRecord::new(at.topic, Vec::new()).partition(at.partition);
    sent.key.clone_from(&record.key);
    sent.value.clone_from(&record.value);
    sent.timestamp = Some(TimestampMs(record.timestamp_ms));
    let headers = record.headers.iter();
    sent.headers = headers.map(|(name, value)| Header { key: (*name).to_owned(), value: value.clone() }).collect();
    sent
}

pub(super) fn verify(client: &Client, options: &Options) -> Done {
    let want = options.recipe().by_partition(options.number("first") + options.number("count"));
    let mut done = Vec::new();
    for case in cases(options) {
        let got = read(client, &case.topic, want.len())?;
        for (partition, records) in want.iter().enumerate() {
            compare(&case.topic, records, &got[partition])?;
        }
        let bare: Vec<Vec<Record>> =
            got.into_iter().map(|all| all.into_iter().map(|(_, record)| record).collect()).collect();
        let count: usize = bare.iter().map(Vec::len).sum();
        let codec = case.codec.name();
        done.push(json!({ "topic": case.topic, "codec": codec, "count": count, "digest": digest(&bare) }));
    }
    Ok(json!({ "topics": done }))
}

/// Everything in a topic, by partition.
fn read(client: &Client, topic: &str, partitions: usize) -> Result<Vec<Vec<(Offset, Record)>>, Failure> {
    let builder = client.reader().partitions((0..partitions).map(|partition| at(topic, partition)));
    let builder = builder.start_at(OffsetReset::Earliest).config("enable.partition.eof", "true");
    let consumer = builder.config("check.crcs", "true").build()?;
    let mut got = vec![Vec::new(); partitions];
    let mut left = partitions;
    let deadline = Instant::now() + DEADLINE;
    while 0 < left {
        match next(&consumer, deadline)? {
            Event::Records(records) => {
                for record in &records {
                    got[number_of(record.partition())].push((record.offset(), to_compare(&record)?));
                }
            }
            Event::Eof { .. } => left -= 1,
            _ => {}
        }
    }
    consumer.close(DEADLINE).wait()?;
    Ok(got)
}

fn next(consumer: &Consumer, deadline: Instant) -> Result<Event, Failure> {
    match consumer.next().wait_for(deadline.saturating_duration_since(Instant::now()))? {
        Some(Event::Error(error)) => Err(error.into()),
        Some(event) => Ok(event),
        None => Err(Failure("the end of a partition did not come".to_owned())),
    }
}

fn to_compare(record: &ConsumerRecord) -> Result<Record, Failure> {
    let mut headers = Vec::new();
    for header in record.headers() {
        let name = HEADER_NAMES.into_iter().find(|name| name.as_bytes() == header.key);
        let name = name.ok_or_else(|| Failure(format!("nobody wrote a header {:?}", header.key)))?;
        headers.push((name, header.value.map(<[u8]>::to_vec)));
    }
    Ok(Record {
        partition: number_of(record.partition()),
        timestamp_ms: record.timestamp().value(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.value().map(<[u8]>::to_vec),
        headers,
    })
}

fn compare(topic: &str, want: &[Record], got: &[(Offset, Record)]) -> Result<(), Failure> {
    for (position, (found, record)) in got.iter().enumerate() {
        let place = format!("{topic}-{} offset {found}", record.partition);
        expect(&place, *found, offset(position))?;
        expect(&place, Some(record), want.get(position))?;
    }
    expect(&format!("records of {topic}"), got.len(), want.len())
}

type Bounds = Vec<(Option<Offset>, Option<Offset>)>;

/// The first and the next offset of each partition.
pub(super) fn bounds(client: &Client, topic: &str, partitions: usize) -> Result<Bounds, Failure> {
    let first = offsets(client, topic, partitions, OffsetSpec::Earliest)?;
    Ok(first.into_iter().zip(offsets(client, topic, partitions, OffsetSpec::Latest)?).collect())
}

fn offsets(client: &Client, topic: &str, partitions: usize, what: OffsetSpec) -> Result<Vec<Option<Offset>>, Failure> {
    let wanted = (0..partitions).map(|partition| (at(topic, partition), what));
    let found = client.admin().list_offsets(wanted, false).wait()?.all_ok()?;
    Ok(found.into_iter().map(|(_, listed)| listed.offset).collect())
}

pub(super) fn times(client: &Client, options: &Options) -> Done {
    let total = options.number("first") + options.number("count");
    let split = options.recipe().by_partition(total);
    let (base, length) = (options.base_timestamp_ms(), 10 * i64::try_from(total).expect("few records"));
    let steps = (1..7).map(|step| base + length * step / 7 + 3);
    let targets: Vec<i64> = [0, base, base + length].into_iter().chain(steps).collect();
    let mut looked_up = 0;
    for case in cases(options) {
        let want = split.iter().map(|records| (Some(Offset::ZERO), Some(offset(records.len())))).collect();
        expect("bounds", bounds(client, &case.topic, split.len())?, want)?;
        for target in &targets {
            let first = |records: &Vec<Record>| records.iter().position(|record| *target <= record.timestamp_ms);
            let want: Vec<_> = split.iter().map(|records| first(records).map(offset)).collect();
            let found = offsets(client, &case.topic, split.len(), OffsetSpec::Timestamp(TimestampMs(*target)))?;
            expect(&format!("{} at {target}", case.topic), found, want)?;
            looked_up += split.len();
        }
    }
    Ok(json!({ "looked_up": looked_up }))
}

/// One record for each partition per round: the count of rounds is the end of every partition.
pub(super) fn feed(client: &Client, options: &Options) -> Done {
    let ended = until_stdin_ends();
    let (mut rounds, partitions) = (options.number("first"), options.partitions());
    let recipe = Recipe { partitions: 1, ..options.recipe() };
    let case = Case::plain(options.text("topic"));
    loop {
        // The end is looked at before the round, so that what was asked for is written in any case.
        let is_last = !matches!(ended.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout));
        let records = recipe.stream(rounds, ROUNDS);
        let spread = |record: Record| (0..partitions).map(move |partition| Record { partition, ..record.clone() });
        send(client, &case, &records.into_iter().flat_map(spread).collect::<Vec<_>>())?;
        rounds += ROUNDS;
        say("fed", json!({ "rounds": rounds }));
        if is_last {
            return Ok(json!({ "rounds": rounds }));
        }
    }
}

/// Is disconnected when stdin ends.
pub(super) fn until_stdin_ends() -> Receiver<()> {
    let (ended, receiver) = mpsc::channel();
    thread::spawn(move || {
        // A stdin that cannot be read has ended.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
    });
    receiver
}

/// Of the feed, before it looks whether it is to end.
const ROUNDS: u64 = 5;
const PAUSE: Duration = Duration::from_millis(200);
