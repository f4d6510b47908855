//! Topics and their configs: created, described, altered, grown, trimmed, deleted.

use highwater_client::admin::{ConfigChange, ConfigResource, NewTopic};
use highwater_client::{Client, ClientError, ErrorCode, Offset};
use serde_json::json;

use super::traffic::{Case, bounds, send};
use super::{Done, Failure, NAME, Options, at, expect, expect_code, until};
use crate::records::Recipe;

pub(super) fn run(client: &Client, options: &Options) -> Done {
    let topic = &format!("{NAME}-admin");
    let admin = Topic { client, name: topic };
    admin.create()?;
    admin.describe()?;
    admin.alter()?;
    admin.grow()?;
    let records = Recipe { partitions: 1, ..options.recipe() }.stream(0, 200);
    send(client, &Case::plain(topic), &records)?;
    admin.trim()?;
    admin.delete()?;
    let cluster = client.admin().describe_cluster().wait()?;
    expect("whether the cluster has an id", cluster.id.is_empty(), false)?;
    expect("nodes", cluster.brokers.len(), 1)?;
    Ok(json!({ "exercised": [
        "create", "describe configs", "alter configs", "add partitions", "delete records", "delete", "describe cluster",
    ] }))
}

struct Topic<'a> {
    client: &'a Client,
    name: &'a str,
}

impl Topic<'_> {
    fn create(&self) -> Result<(), Failure> {
        let admin = self.client.admin();
        let create = |topic: NewTopic| admin.create_topics([topic], false).wait()?.only();
        let topic = NewTopic::new(self.name).partitions(2);
        create(topic.clone().config("retention.ms", "86400000").config("cleanup.policy", "delete"))?;
        until("it has 2 partitions", || Ok(self.partitions()? == Some(2)))?;
        expect_code(ErrorCode::TopicAlreadyExists, create(topic))?;
        let bad = NewTopic::new(format!("{}-bad", self.name)).partitions(1).config("retention.ms", "soon");
        expect_code(ErrorCode::InvalidConfig, create(bad))
    }

    fn describe(&self) -> Result<(), Failure> {
        expect("retention.ms", self.config("retention.ms")?.as_deref(), Some("86400000"))?;
        expect("segment.bytes", self.config("segment.bytes")?.as_deref(), Some("1073741824"))
    }

    fn alter(&self) -> Result<(), Failure> {
        let alter = |changes: &[(&str, &str)]| {
            let changes =
                changes.iter().map(|(key, value)| ((*key).to_owned(), ConfigChange::Set((*value).to_owned())));
            let change = (ConfigResource::topic(self.name), changes.collect());
            self.client.admin().alter_configs([change], false).wait()?.only()
        };
        alter(&[("retention.ms", "43200000"), ("max.message.bytes", "2000000")])?;
        until("it is altered", || Ok(self.config("max.message.bytes")?.as_deref() == Some("2000000")))?;
        expect("retention.ms", self.config("retention.ms")?.as_deref(), Some("43200000"))?;
        expect_code(ErrorCode::InvalidConfig, alter(&[("max.message.bytes", "-7")]))
    }

    fn grow(&self) -> Result<(), Failure> {
        let grow = |count| self.client.admin().create_partitions([(self.name, count, None)], false).wait()?.only();
        grow(5)?;
        until("it has 5 partitions", || Ok(self.partitions()? == Some(5)))?;
        expect_code(ErrorCode::InvalidPartitions, grow(3))
    }

    fn trim(&self) -> Result<(), Failure> {
        let before = Some(Offset::new(120));
        let low = self.client.admin().delete_records([(at(self.name, 0), before)]).wait()?.only()?;
        expect("the low watermark", Some(low), before)?;
        expect("bounds", bounds(self.client, self.name, 1)?, vec![(before, Some(Offset::new(200)))])
    }

    fn delete(&self) -> Result<(), Failure> {
        self.client.admin().delete_topics([self.name]).wait()?.all_ok()?;
        until("it is gone", || Ok(self.partitions()?.is_none()))
    }

    fn partitions(&self) -> Result<Option<usize>, ClientError> {
        let topics = self.client.admin().list_topics().wait()?;
        Ok(topics.into_iter().find(|topic| topic.name == self.name).map(|topic| topic.partitions))
    }

    fn config(&self, key: &str) -> Result<Option<String>, ClientError> {
        let topic = ConfigResource::topic(self.name);
        let entries = self.client.admin().describe_configs([topic], false).wait()?.only()?;
        Ok(entries.into_iter().find(|entry| entry.name == key).and_then(|entry| entry.value))
    }
}
