//! The smallest complete broker: `cargo run -p highwater-examples --example broker -- DIRECTORY [PORT]`.
//!
//! Any Kafka client can use it, for example `echo hello | kcat -b 127.0.0.1:9092 -t greetings -P`.

use std::collections::BTreeMap;
use std::error::Error;

use highwater_broker::{Broker, BrokerConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: broker DIRECTORY [PORT]")?;
    let port = arguments.next().unwrap_or_else(|| "9092".to_owned());
    // Everything that Kafka's server.properties can say is a key here.
    let properties = BTreeMap::from([
        ("listeners".to_owned(), format!("PLAINTEXT://127.0.0.1:{port}")),
        ("log.dirs".to_owned(), directory),
    ]);
    let broker = Broker::start(&BrokerConfig::new(properties)?)?;
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("ready {}", broker.bootstrap());
    }
    // Serves until the process is ended or its disk fails. Dropping the broker closes its logs in order; a process
    // that is killed finds them again too, and checks what it wrote last.
    broker.wait()?;
    Ok(())
}
