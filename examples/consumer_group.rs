//! A member of a group: run it twice, and the two share the topic. `cargo run -p highwater-examples --example
//! consumer_group`, beside `highwater dev`, ends when nothing has come for a while. Another address than `localhost:9092`
//! is the first argument.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::time::Duration;

use highwater_client::{Client, Event, GroupProtocol, OffsetReset, TopicName};

fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let client = Client::new(&bootstrap)?;
    let consumer = client
        .consumer("billing")
        .topics([TopicName::new("orders")?])
        // The newer protocol where the brokers have it.
        .protocol(GroupProtocol::Auto)
        .start_at(OffsetReset::Earliest)
        .auto_commit(false)
        .build()?;
    let mut read = 0;
    // Whoever asks for the next event is done with the one before.
    while let Some(event) = consumer.next().wait_for(Duration::from_secs(3))? {
        match event {
            Event::Assigned { partitions } => println!("{} partitions are ours", partitions.len()),
            Event::Records(records) => {
                read += records.len();
                // Records are owned: they could go to another thread, and so could the progress.
                consumer.commit(records.progress()).wait()?;
            }
            Event::Revoking(partitions) => {
                // The group waits while what is under way is finished.
                println!("{} partitions are given back", partitions.partitions.len());
                partitions.done();
            }
            Event::Error(error) => println!("{error}"),
            _ => {}
        }
    }
    println!("read {read} records");
    consumer.close(Duration::from_secs(30)).wait()?;
    Ok(())
}
