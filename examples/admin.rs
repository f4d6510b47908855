//! Topics, configs, offsets and groups: `cargo run -p highwater-examples --example admin`, beside `highwater dev`. Another
//! address than `localhost:9092` is the first argument.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;

use highwater_client::admin::{ConfigChange, ConfigResource, NewTopic, OffsetSpec};
use highwater_client::{Client, ErrorCode, Offset, PartitionIndex, TopicName, TopicPartition};

fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let client = Client::new(&bootstrap)?;
    let admin = client.admin();
    let cluster = admin.describe_cluster().wait()?;
    println!("{} broker", cluster.brokers.len());

    // Every call answers for each thing that it was about.
    let topics = [NewTopic::new("payments").partitions(3).config("retention.ms", "3600000"), NewTopic::new("no good!")];
    for (name, result) in admin.create_topics(topics, false).wait()? {
        match result {
            Ok(_) => println!("{name} is made"),
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => println!("{name} is there"),
            Err(error) => println!("{name}: {}", error.code().map_or("no answer", ErrorCode::name)),
        }
    }

    let topic = ConfigResource::topic("payments");
    let changes = vec![("cleanup.policy".to_owned(), ConfigChange::Append("compact".to_owned()))];
    admin.alter_configs([(topic.clone(), changes)], false).wait()?.all_ok()?;
    let configs = admin.describe_configs([topic], false).wait()?.only()?;
    for config in configs.iter().filter(|config| ["retention.ms", "cleanup.policy"].contains(&config.name.as_str())) {
        println!("{} = {} ({})", config.name, config.value.as_deref().unwrap_or("none"), config.source.name());
    }

    let partition = TopicPartition { topic: TopicName::new("payments")?, partition: PartitionIndex::ZERO };
    let end = admin.list_offsets([(partition.clone(), OffsetSpec::Latest)], false).wait()?.only()?;
    println!("{partition} ends at {}", end.offset.unwrap_or(Offset::ZERO));
    admin.alter_group_offsets("auditors", [(partition, Offset::ZERO)]).wait()?.all_ok()?;
    for (at, committed) in admin.group_offsets("auditors").wait()? {
        println!("auditors are at {} of {at}", committed.offset);
    }
    admin.delete_topics(["payments"]).wait()?.all_ok()?;
    Ok(())
}
