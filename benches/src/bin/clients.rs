//! Measures what our client costs for each record, beside librdkafka on the same records. Run it without arguments for
//! the whole table:
//!
//! ```text
//! cargo run --release -p highwater-benches --bin clients
//! ```
//!
//! Both clients talk to a broker that only acknowledges. What is compared is the CPU time of the client's process, all
//! threads, from the first record to the last acknowledgement. librdkafka is the system's, or the one that
//! `--librdkafka` names, such as the one inside the wheel of confluent-kafka.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use highwater_benches::machine::Machine;
use highwater_benches::process::Server;
use highwater_benches::rdkafka::{self, RdKafka};
use highwater_benches::stub_broker::{self, PARTITIONS, StubBatch, TOPIC};
use highwater_client::{
    Client, Codec, Event, OffsetReset, PartitionIndex, SerializedRecord, TimestampMs, TopicName, TopicPartition,
};
use highwater_records::{BatchBuilder, BatchOptions, Compression};
use nix::time::{ClockId, clock_gettime};

/// Prints the CPU time of a client for each record, ours beside librdkafka's, as Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// The shared library of librdkafka.
    #[arg(long)]
    librdkafka: Option<String>,
    /// Pairs of samples for each case.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Times the usual number of records.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Measure only cases whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The parts of the program that it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The broker.
    #[command(hide = true)]
    Stub {
        #[arg(long)]
        codec: String,
        #[arg(long)]
        size: usize,
    },
    /// A client; prints the CPU time of its process in nanoseconds.
    #[command(hide = true)]
    Client {
        #[arg(long)]
        which: Which,
        #[arg(long)]
        work: Work,
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        codec: String,
        #[arg(long)]
        size: usize,
        #[arg(long)]
        count: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Highwater,
    Librdkafka,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    Produce,
    Consume,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Stub { codec, size }) => serve(codec, *size),
        Some(Role::Client { which, work, address, codec, size, count }) => {
            let library = arguments.librdkafka.as_deref();
            let cpu = match (which, work) {
                (Which::Highwater, Work::Produce) => produce(*address, codec, *size, *count)?,
                (Which::Highwater, Work::Consume) => consume(*address, *size, *count)?,
                (Which::Librdkafka, Work::Produce) => rd_produce(library, *address, codec, *size, *count)?,
                (Which::Librdkafka, Work::Consume) => rd_consume(library, *address, *size, *count)?,
            };
            writeln!(io::stdout(), "{}", cpu.as_nanos())?;
            Ok(())
        }
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let version = rdkafka::version(arguments.librdkafka.as_deref())?;
    writeln!(out, "{}; librdkafka {version}\n", Machine::describe(Path::new(".")))?;
    writeln!(out, "| case | highwater, ns/record | librdkafka, ns/record | ratio |\n| --- | --- | --- | --- |")?;
    for work in [Work::Produce, Work::Consume] {
        for size in [100, 1024] {
            for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
                let verb = if work == Work::Produce { "produce" } else { "consume" };
                let name = format!("{verb}-{size}-{codec}");
                if !arguments.only.is_empty() && !arguments.only.iter().any(|part| name.contains(part)) {
                    continue;
                }
                let records = if size == 100 { 2_000_000.0 } else { 500_000.0 };
                let count = (records * arguments.scale) as u64;
                let server = Server::start(this()?.args(["stub", "--codec", codec, "--size", &size.to_string()]))?;
                let mut samples: Vec<(f64, f64)> = Vec::new();
                for pair in 0..arguments.pairs {
                    let sample = |which| sample(arguments, which, work, server.address(), codec, size, count);
                    samples.push(if pair % 2 == 0 {
                        let ours = sample(Which::Highwater)?;
                        (ours, sample(Which::Librdkafka)?)
                    } else {
                        let theirs = sample(Which::Librdkafka)?;
                        (sample(Which::Highwater)?, theirs)
                    });
                }
                let ours = median(samples.iter().map(|(ours, _)| *ours));
                let theirs = median(samples.iter().map(|(_, theirs)| *theirs));
                let ratio = median(samples.iter().map(|(ours, theirs)| ours / theirs));
                writeln!(out, "| {name} | {ours:.0} | {theirs:.0} | {ratio:.2} |")?;
            }
        }
    }
    Ok(())
}

/// Nanoseconds of CPU time for each record.
fn sample(
    arguments: &Arguments,
    which: Which,
    work: Work,
    address: SocketAddr,
    codec: &str,
    size: usize,
    count: u64,
) -> Result<f64, Box<dyn Error>> {
    let mut command = this()?;
    if let Some(library) = &arguments.librdkafka {
        command.args(["--librdkafka", library]);
    }
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    command.arg("client");
    command.args(["--which", &name(which.to_possible_value()).unwrap_or_default()]);
    command.args(["--work", &name(work.to_possible_value()).unwrap_or_default()]);
    command.args(["--address", &address.to_string(), "--codec", codec]);
    command.args(["--size", &size.to_string(), "--count", &count.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let nanos: f64 = text.trim().parse().map_err(|_| format!("{which:?} said {text:?} ({})", output.status))?;
    Ok(nanos / count as f64)
}

fn this() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn serve(codec: &str, size: usize) -> Result<(), Box<dyn Error>> {
    let compression = Compression::new(codec_of(codec));
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    let payloads = Payloads::new(size);
    let records = (BATCH_BYTES / size) as u64;
    for index in 0..records {
        builder.append(1_700_000_000_000, None, Some(payloads.get(index)), &[])?;
    }
    let batch = StubBatch { bytes: builder.finish()?, records: records as i64 };
    let announce = |address| {
        let mut out = io::stdout();
        // Whoever has started this reads it.
        let _ = writeln!(out, "ready {address}").and_then(|()| out.flush());
    };
    Ok(stub_broker::serve(batch, FETCH_BYTES, announce)?)
}

fn produce(address: SocketAddr, codec: &str, size: usize, count: u64) -> Result<Duration, Box<dyn Error>> {
    let client = Client::new(&address.to_string())?;
    let producer =
        client.producer::<Vec<u8>, Vec<u8>>().compression(codec_of(codec)).config("batch.size", BATCH_SIZE).build()?;
    let (payloads, topic) = (Payloads::new(size), TopicName::new(TOPIC)?);
    let begin = cpu()?;
    for index in 0..count {
        producer.send_and_forget(&SerializedRecord {
            topic: &topic,
            partition: None,
            timestamp: TimestampMs(1_700_000_000_000),
            key: None,
            value: Some(payloads.get(index)),
            headers: &[],
        })?;
    }
    producer.flush().wait()?;
    Ok(cpu()? - begin)
}

fn codec_of(name: &str) -> Codec {
    match name {
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => Codec::None,
    }
}

fn consume(address: SocketAddr, size: usize, count: u64) -> Result<Duration, Box<dyn Error>> {
    let client = Client::new(&address.to_string())?;
    let topic = TopicName::new(TOPIC)?;
    let partitions = (0..PARTITIONS).filter_map(PartitionIndex::from_wire);
    let partitions = partitions.map(|partition| TopicPartition { topic: topic.clone(), partition });
    let consumer = client.reader().partitions(partitions).start_at(OffsetReset::Earliest).build()?;
    let begin = cpu()?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < count {
        match consumer.next().wait()? {
            Event::Records(records) => {
                for record in &records {
                    bytes += record.value().map_or(0, <[u8]>::len) as u64;
                    seen += 1;
                }
            }
            Event::Error(error) => return Err(error.into()),
            _ => {}
        }
    }
    if bytes < count * size as u64 {
        return Err(format!("only {bytes} bytes came").into());
    }
    Ok(cpu()? - begin)
}

fn rd_produce(
    library: Option<&str>,
    address: SocketAddr,
    codec: &str,
    size: usize,
    count: u64,
) -> Result<Duration, Box<dyn Error>> {
    let (address, payloads) = (address.to_string(), Payloads::new(size));
    let configs = [("bootstrap.servers", address.as_str()), ("compression.codec", codec), ("batch.size", BATCH_SIZE)];
    let producer = RdKafka::new(library, false, &configs, TOPIC)?;
    let begin = cpu()?;
    producer.produce(count, |index| payloads.get(index))?;
    Ok(cpu()? - begin)
}

fn rd_consume(library: Option<&str>, address: SocketAddr, size: usize, count: u64) -> Result<Duration, Box<dyn Error>> {
    let address = address.to_string();
    let consumer = RdKafka::new(library, true, &[("bootstrap.servers", address.as_str())], TOPIC)?;
    let begin = cpu()?;
    let bytes = consumer.consume(PARTITIONS, count)?;
    if bytes < count * size as u64 {
        return Err(format!("only {bytes} bytes came").into());
    }
    Ok(cpu()? - begin)
}

/// CPU time of this process, all threads.
fn cpu() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Values that look like events, and compress about as well as real ones.
struct Payloads(Vec<Vec<u8>>);

impl Payloads {
    fn new(size: usize) -> Self {
        let payload = |index: u64| {
            let mut text = String::new();
            let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            while text.len() < size {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let (user, kind) = (state % 100_000, ["view", "click", "order", "search"][(state >> 40) as usize % 4]);
                text += &format!("{{\"user\":{user},\"kind\":\"{kind}\",\"at\":17000{:08}}}", state >> 37);
            }
            text.truncate(size);
            text.into_bytes()
        };
        Self((0..1024).map(payload).collect())
    }

    fn get(&self, index: u64) -> &[u8] {
        &self.0[(index % 1024) as usize]
    }
}

/// `batch.size` of both producers: librdkafka's own is a million, ours and Kafka's 16384.
const BATCH_SIZE: &str = "65536";
/// Bytes of values in a batch that is fetched.
const BATCH_BYTES: usize = 16 * 1024;
/// Bytes of a partition in an answer to a fetch.
const FETCH_BYTES: usize = 1 << 20;
