//! Copies the lines of a file to a topic, each exactly once, however often it is stopped and started again: `cargo run -p
//! highwater-examples --example exactly_once_copy -- FILE`, beside `highwater dev`. Another address than `localhost:9092`
//! is the second argument.
//!
//! Within one run idempotence keeps a line from being stored twice. Between two runs the topic itself says how far the
//! last one came: every record carries the number of its line.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use highwater_client::admin::{NewTopic, OffsetSpec};
use highwater_client::{
    Client, ErrorCode, Event, Offset, PartitionIndex, ProducerRecord, SeekTo, TopicName, TopicPartition,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: exactly_once_copy FILE [HOST:PORT]")?;
    let bootstrap = arguments.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let client = Client::new(&bootstrap)?;
    let topic = TopicName::new("lines")?;
    // One partition keeps the lines in their order.
    match client.admin().create_topics([NewTopic::new("lines").partitions(1)], false).wait()?.only() {
        Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error.into()),
        _ => {}
    }
    let partition = TopicPartition { topic: topic.clone(), partition: PartitionIndex::ZERO };
    let begin = next_line(&client, &partition)?;

    let producer = client.producer::<String, String>().build()?;
    let mut deliveries = Vec::new();
    for (number, line) in (0..).zip(BufReader::new(File::open(path)?).lines()).skip(begin) {
        let record = ProducerRecord::new(topic.clone(), line?).header("line", number.to_string());
        deliveries.push(producer.enqueue(record).wait()?);
    }
    let count = deliveries.len();
    // One that was not stored ends the copy: what comes behind it fails as well, and the next run begins there.
    deliveries.into_iter().try_for_each(|delivery| delivery.wait().map(drop))?;
    producer.close(Duration::from_secs(30)).wait()?;
    println!("began at line {begin}, copied {count}");
    Ok(())
}

/// The number of the first line that is not in the topic.
fn next_line(client: &Client, partition: &TopicPartition) -> Result<usize, Box<dyn Error>> {
    let latest = client.admin().list_offsets([(partition.clone(), OffsetSpec::Latest)], false).wait()?.only()?;
    let Some(last) = latest.offset.and_then(|end| end.value().checked_sub(1)) else { return Ok(0) };
    let reader = client.reader().partitions([partition.clone()]).build()?;
    reader.seek(partition, SeekTo::Offset(Offset::new(last)))?;
    loop {
        match reader.next().wait()? {
            Event::Records(records) => {
                let record = records.iter().last().ok_or("an event of records has some")?;
                let header =
                    record.headers().iter().find(|header| header.key == b"line").and_then(|header| header.value);
                let number = std::str::from_utf8(header.ok_or("somebody else writes to this topic")?)?;
                return Ok(number.parse::<usize>()? + 1);
            }
            Event::Error(error) => return Err(error.into()),
            _ => {}
        }
    }
}
