//! The same objects under tokio, of which the client knows nothing: `cargo run -p highwater-examples --example
//! async_tokio`, beside `highwater dev`. Another address than `localhost:9092` is the first argument.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::time::Duration;

use highwater_client::{Client, Event, OffsetReset, ProducerRecord, TopicName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let client = Client::new(&bootstrap)?;
    let topic = TopicName::new("pings")?;

    let (producer, to) = (client.producer::<String, String>().build()?, topic.clone());
    let sender = tokio::spawn(async move {
        for number in 1..=10 {
            producer.send(ProducerRecord::new(to.clone(), format!("ping {number}"))).await?;
        }
        producer.close(Duration::from_secs(30)).await?;
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    });

    let consumer = client.consumer("listeners").topics([topic]).start_at(OffsetReset::Earliest).build()?;
    let mut heard = 0;
    while heard < 10 {
        // Nothing is lost when a task gives up waiting.
        match tokio::time::timeout(Duration::from_secs(60), consumer.next()).await?? {
            Event::Records(records) => {
                heard += records.len();
                consumer.commit(records.progress()).await?;
            }
            Event::Error(error) => return Err(error.into()),
            _ => {}
        }
    }
    println!("heard {heard} pings");
    consumer.close(Duration::from_secs(30)).await?;
    sender.await?.map_err(|error| error as Box<dyn Error>)?;
    Ok(())
}
