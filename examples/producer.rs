//! Records, as they are and as JSON, and what becomes of them: `cargo run -p highwater-examples --example producer`, beside
//! `highwater dev`. Another address than `localhost:9092` is the first argument.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::time::Duration;

use highwater_client::{Client, Codec, Json, ProducerRecord, TopicName};

#[derive(serde::Serialize)]
struct Order {
    fruit: &'static str,
    count: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = TopicName::new("orders")?;
    let client = Client::new(&bootstrap)?;
    // Batches are compressed; nothing is stored twice, whatever is lost on the way: that is the default.
    let producer = client.producer().compression(Codec::Lz4).linger(Duration::from_millis(5)).build()?;

    // One record, and where it is.
    let order = Json(Order { fruit: "apple", count: 4 });
    let record = ProducerRecord::new(topic.clone(), order).key("customer 42".to_owned()).header("source", "web");
    let stored = producer.send(record).wait()?;
    println!("the apples are stored, {} bytes of them", stored.value_bytes.unwrap_or_default());

    // Many at once: each is taken at once, and acknowledged later.
    let mut deliveries = Vec::new();
    for count in 1..=1000 {
        let record = ProducerRecord::new(topic.clone(), Json(Order { fruit: "plum", count }));
        deliveries.push(producer.enqueue(record).wait()?);
    }
    let stored = deliveries.into_iter().filter_map(|delivery| delivery.wait().ok()).count();
    println!("{stored} plums are stored");

    // Waits for whatever is still on its way.
    producer.close(Duration::from_secs(30)).wait()?;
    Ok(())
}
