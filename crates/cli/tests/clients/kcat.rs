//! kcat: no scripting, one process per step. It sets no timestamps, and headers are the same for all
//! records of a run, so its records are the common recipe cut down to what it can send.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::broker::Broker;
use crate::program::{Missing, Run, answers, run};
use crate::records::Record;
use crate::scenario::{CODECS, PARTITIONS, RECORDS, RECORDS_MORE, recipe};
use crate::table;

/// A record as kcat sends and prints it; the offset is its position in its partition.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: String,
}

/// Whether kcat is here.
pub(crate) fn find() -> Result<(), Missing> {
    let found = answers(Command::new("kcat").arg("-V"));
    if found { Ok(()) } else { Err(Missing { name: "kcat", why: "not installed" }) }
}

/// The scenario of the other clients, as far as kcat can follow it.
pub(crate) fn survives_restarts() {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let data = dir.path().join("data");
    let stream = recipe(&[]).stream(0, RECORDS + RECORDS_MORE);
    let (first, more) = stream.split_at(usize::try_from(RECORDS).expect("few records"));

    let broker = Broker::start(&data);
    for codec in CODECS {
        create_topic(broker.address(), &topic(codec), PARTITIONS);
        produce(&broker, codec, first, dir.path());
    }
    broker.end(Signal::SIGTERM);

    let broker = Broker::start(&data);
    for codec in CODECS {
        verify(&broker, codec, first);
        produce(&broker, codec, more, dir.path());
    }
    broker.end(Signal::SIGKILL);

    let broker = Broker::start(&data);
    for codec in CODECS {
        let timestamps = verify(&broker, codec, &stream);
        look_up_times(&broker, codec, &timestamps);
    }
    reads_from_the_middle(&broker, &stream);
    creates_a_topic_by_writing_to_it(&broker, dir.path());
    lists_metadata(&broker);
    broker.end(Signal::SIGTERM);

    table::CLIENTS.record([
        "kcat",
        &version(),
        &CODECS.join(", "),
        "no",
        "produce, consume, offsets by time, clean restart, SIGKILL, auto-create topics, list metadata",
    ]);
}

fn produce(broker: &Broker, codec: &str, records: &[Record], dir: &Path) {
    for (partition, headers) in HEADERS.iter().enumerate() {
        let messages = messages(records, partition);
        let file = dir.join("messages");
        std::fs::write(&file, encode(&messages)).expect("the temporary directory is writable");
        let mut kcat = command(broker, "-P", &topic(codec));
        kcat.args(["-z", codec, "-p", &partition.to_string()])
            .args(["-K", KEY_END, "-D", MESSAGE_END, "-l"])
            .arg(&file);
        for header in *headers {
            kcat.args(["-H", header]);
        }
        if nulls(partition) {
            kcat.arg("-Z");
        }
        succeed(kcat, broker);
    }
}

/// Compares everything in the topic with `records`; returns the timestamps of each partition.
fn verify(broker: &Broker, codec: &str, records: &[Record]) -> Vec<Vec<i64>> {
    let mut kcat = command(broker, "-C", &topic(codec));
    kcat.args(["-o", "beginning", "-e", "-q", "-X", "check.crcs=true", "-f", FORMAT]);
    let mut got = decode(&succeed(kcat, broker).output);
    got.sort_by_key(|(partition, ..)| *partition); // stable: the order within a partition stays

    let mut all_timestamps = Vec::new();
    for partition in 0..PARTITIONS {
        let want = messages(records, partition);
        let mut timestamps = Vec::new();
        let read = got.iter().filter(|(of, ..)| *of == partition);
        for (position, (_, offset, timestamp, message)) in read.enumerate() {
            let place = format!("{}-{partition} offset {offset}", topic(codec));
            assert_eq!(*offset, position, "{place}: offsets have a gap");
            assert_eq!(Some(message), want.get(position), "{place}: read (left) is not written (right)");
            timestamps.push(*timestamp);
        }
        assert_eq!(timestamps.len(), want.len(), "records read of {}-{partition}", topic(codec));
        all_timestamps.push(timestamps);
    }
    all_timestamps
}

/// Asks for the first record at or after some of the times that the records really have.
fn look_up_times(broker: &Broker, codec: &str, timestamps: &[Vec<i64>]) {
    for step in 0..=4 {
        let mut kcat = Command::new("kcat");
        kcat.args(["-Q", "-b", &broker.address().to_string()]);
        let mut want = Vec::new();
        for (partition, times) in timestamps.iter().enumerate() {
            // The last step asks for a time after the last record.
            let latest = times.iter().max().expect("every partition has records") + 1;
            let target = times.get(times.len() * step / 4).copied().unwrap_or(latest);
            let first = times.iter().position(|time| *time >= target);
            let offset = first.map_or(-1, |at| i64::try_from(at).expect("few records"));
            kcat.args(["-t", &format!("{}:{partition}:{target}", topic(codec))]);
            want.push(format!("{} [{partition}] offset {offset}", topic(codec)));
        }
        let run = succeed(kcat, broker);
        let mut got: Vec<String> = String::from_utf8_lossy(&run.output).lines().map(str::to_owned).collect();
        got.sort();
        assert_eq!(got, want, "look-up by time\n{run}");
    }
}

/// Fetches that start inside a batch, and relative to the end.
fn reads_from_the_middle(broker: &Broker, records: &[Record]) {
    let end = messages(records, 1).len();
    for (option, first, count) in [("777", 777, 3), ("-5", end - 5, 5)] {
        let mut kcat = command(broker, "-C", &topic("zstd"));
        let count_text = count.to_string();
        kcat.args(["-p", "1", "-o", option, "-c", &count_text, "-e", "-q", "-f", FORMAT]);
        let offsets: Vec<usize> =
            decode(&succeed(kcat, broker).output).into_iter().map(|(_, offset, ..)| offset).collect();
        assert_eq!(offsets, (first..first + count).collect::<Vec<_>>(), "read with -o {option}");
    }
}

fn creates_a_topic_by_writing_to_it(broker: &Broker, dir: &Path) {
    let file = dir.join("line");
    std::fs::write(&file, "made by writing\n").expect("the temporary directory is writable");
    let mut kcat = command(broker, "-P", "kcat-auto");
    kcat.arg("-l").arg(&file);
    succeed(kcat, broker);
    let mut kcat = command(broker, "-C", "kcat-auto");
    kcat.args(["-o", "beginning", "-e", "-q", "-f", FORMAT]);
    let got = decode(&succeed(kcat, broker).output);
    let values: Vec<_> = got.into_iter().map(|(.., message)| message.value).collect();
    assert_eq!(values, [Some(b"made by writing".to_vec())]);
}

fn lists_metadata(broker: &Broker) {
    let mut kcat = Command::new("kcat");
    kcat.args(["-L", "-J", "-b", &broker.address().to_string()]);
    let run = succeed(kcat, broker);
    let found: Value = serde_json::from_slice(&run.output).unwrap_or_else(|error| panic!("{error}\n{run}"));
    assert_eq!(found["brokers"][0]["name"], broker.address().to_string(), "{run}");
    let topics = found["topics"].as_array().expect("a list of topics");
    for codec in CODECS {
        let topic = topics.iter().find(|each| each["topic"] == topic(codec)).expect("every topic is listed");
        assert_eq!(topic["partitions"].as_array().map(Vec::len), Some(PARTITIONS), "{run}");
    }
}

/// kcat cannot create a topic with several partitions, so this sends `CreateTopics` version 2, byte by byte.
pub(crate) fn create_topic(address: SocketAddr, name: &str, partitions: usize) {
    let mut request = vec![0, 19, 0, 2, 0, 0, 0, 7, 0xff, 0xff]; // key, version, correlation, no client id
    request.extend([0, 0, 0, 1]); // one topic
    request.extend(u16::try_from(name.len()).expect("a short name").to_be_bytes());
    request.extend(name.as_bytes());
    request.extend(u32::try_from(partitions).expect("few partitions").to_be_bytes());
    request.extend([0, 1]); // replication factor
    request.extend([0; 8]); // no assignments, no configs
    request.extend(30_000_u32.to_be_bytes()); // timeout
    request.push(0); // not only validated

    let mut stream = TcpStream::connect(address).expect("the broker is ready");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("not zero");
    let size = u32::try_from(request.len()).expect("a short request");
    stream.write_all(&[&size.to_be_bytes(), request.as_slice()].concat()).expect("the broker reads");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("the broker answers");
    let mut response = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut response).expect("the broker answers in full");
    // correlation id, throttle time, one topic, its name, then the error code.
    let at = 4 + 4 + 4 + 2 + name.len();
    assert_eq!(response.get(at..at + 2), Some([0, 0].as_slice()), "error code for {name}: {response:?}");
}

fn messages(records: &[Record], partition: usize) -> Vec<Message> {
    records.iter().filter(|record| record.partition == partition).map(|record| message(record, partition)).collect()
}

/// Cuts a record down to what kcat can send.
fn message(record: &Record, partition: usize) -> Message {
    let (mut key, mut value) = (record.key.clone(), record.value.clone());
    for field in [&mut key, &mut value].into_iter().flatten() {
        field.retain(|byte| !DELIMITERS.contains(byte));
    }
    if key.is_none() && value.as_ref().is_none_or(Vec::is_empty) {
        key = Some(b"an empty line is not sent".to_vec());
    }
    if nulls(partition) {
        // -Z makes a null of every empty field; without it there is no null value.
        key = key.filter(|key| !key.is_empty());
        value = value.filter(|value| !value.is_empty());
    } else {
        value.get_or_insert_default();
    }
    let mut headers = String::new();
    for header in HEADERS[partition] {
        let null = if header.contains('=') { "" } else { "=NULL" };
        let comma = if headers.is_empty() { "" } else { "," };
        let _ = write!(headers, "{comma}{header}{null}");
    }
    Message { key, value, headers }
}

/// The input file of `-l`.
fn encode(messages: &[Message]) -> Vec<u8> {
    let mut file = Vec::new();
    for message in messages {
        if let Some(key) = &message.key {
            file.extend(key);
            file.extend(KEY_END.as_bytes());
        } else if message.value.is_none() {
            file.extend(KEY_END.as_bytes()); // an empty key, which -Z makes null
        }
        file.extend(message.value.iter().flatten());
        file.extend(MESSAGE_END.as_bytes());
    }
    file
}

/// Takes the output of [`FORMAT`] apart: partition, offset, timestamp, message.
fn decode(mut output: &[u8]) -> Vec<(usize, usize, i64, Message)> {
    let mut messages = Vec::new();
    while let Some(end) = output.iter().position(|byte| *byte == b'\n') {
        let head = std::str::from_utf8(&output[..end]).expect("numbers and our own headers");
        let words: Vec<&str> = head.splitn(6, ' ').collect();
        let [partition, offset, timestamp, key_size, value_size, headers] = words[..] else {
            panic!("kcat printed {head:?}, which is not our format");
        };
        output = &output[end + 1..];
        let mut take = |size: &str| {
            let size: i64 = size.parse().expect("a size");
            let size = usize::try_from(size).ok()?; // -1 is null
            let (field, rest) = output.split_at(size);
            output = rest;
            Some(field.to_vec())
        };
        let message = Message { key: take(key_size), value: take(value_size), headers: headers.to_owned() };
        output = output.strip_prefix(b"\n").expect("our format ends with a new line");
        let number = |text: &str| text.parse().expect("a number");
        messages.push((number(partition), number(offset), timestamp.parse().expect("a time"), message));
    }
    messages
}

pub(crate) fn command(broker: &Broker, mode: &str, topic: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args([mode, "-b", &broker.address().to_string(), "-t", topic]);
    kcat
}

pub(crate) fn succeed(kcat: Command, broker: &Broker) -> Run {
    let run = run(kcat);
    assert!(run.is_success(), "{run}\n{}", broker.stderr_tail());
    run
}

fn topic(codec: &str) -> String {
    format!("kcat-{codec}")
}

/// In the first partition empty fields are sent as null, in the others they stay empty.
fn nulls(partition: usize) -> bool {
    partition == 0
}

/// The two versions in "Version 1.7.1 (JSON, ..., librdkafka 2.0.2 builtin...)".
pub(crate) fn version() -> String {
    let mut kcat = Command::new("kcat");
    kcat.arg("-V");
    let text = String::from_utf8_lossy(&run(kcat).output).into_owned();
    let after = |word: &str| {
        let rest = text.split(word).nth(1)?;
        rest.split_whitespace().next().map(|version| version.trim_end_matches(')').to_owned())
    };
    format!("{} (librdkafka {})", after("Version").unwrap_or_default(), after("librdkafka").unwrap_or_default())
}

const KEY_END: &str = "\u{1f}";
const MESSAGE_END: &str = "\u{1e}";
const DELIMITERS: [u8; 2] = [0x1f, 0x1e];
const FORMAT: &str = "%p %o %T %K %S %h\\n%k%s\\n";
const HEADERS: [&[&str]; PARTITIONS] =
    [&["trace-id=0a1b2c", "größe=12 cm"], &["k=first", "k=second", "empty="], &["null"]];
