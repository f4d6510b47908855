//! A broker inside a test, with a fault on demand: `cargo run -p highwater-examples --example embedded_broker`. Needs
//! nothing beside it.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;

use highwater_client::{Client, ErrorCode, ProducerRecord, TopicName};
use highwater_testkit::{EmbeddedBroker, On, Reply};
use highwater_wire::ApiKey;

fn main() -> Result<(), Box<dyn Error>> {
    let kafka = EmbeddedBroker::builder().topic("orders", 2).start()?;
    let client = Client::new(&kafka.bootstrap())?;
    let producer = client.producer::<String, String>().build()?;

    // Twice the broker says that it does not lead the partition. The producer does not give up because of that.
    let fault =
        kafka.fault(On::api(ApiKey::Produce).topic("orders").times(2), Reply::Error(ErrorCode::NotLeaderOrFollower))?;
    producer.send(ProducerRecord::new(TopicName::new("orders")?, "four apples".to_owned())).wait()?;
    println!("stored after {} refusals", fault.hits());

    // What is in the topic, without any client.
    for record in kafka.records("orders")? {
        println!("{:?}", record.value.as_deref().map(String::from_utf8_lossy));
    }
    Ok(())
}
