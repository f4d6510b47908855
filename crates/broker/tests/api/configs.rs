//! Describing and altering configs, and that altered configs take effect.

use std::borrow::Cow;
use std::collections::BTreeMap;

use highwater_types::ErrorCode;
use highwater_wire::messages::describe_configs_request::DescribeConfigsResource;
use highwater_wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use highwater_wire::messages::*;

use crate::common::{Client, TestBroker, batch, code};

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;

/// Value, source, whether it is read-only, and the sources of its synonyms.
type Described = (Option<String>, i8, bool, Vec<i8>);

fn describe_all(
    client: &mut Client,
    kind: i8,
    name: &str,
    keys: Option<&[&'static str]>,
) -> Result<BTreeMap<String, Described>, ErrorCode> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned().into(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
            ..Default::default()
        }]
        .into(),
        include_synonyms: true,
        ..Default::default()
    };
    let answer = client.call(4, &request);
    let response: DescribeConfigsResponse<'_> = answer.body();
    let result = response.results.iter().next().unwrap();
    if result.error_code != 0 {
        return Err(code(result.error_code));
    }
    let entry = |config: DescribeConfigsResourceResult<'_>| {
        let synonyms = config.synonyms.iter().map(|synonym| synonym.source).collect();
        let value = config.value.map(Cow::into_owned);
        (config.name.into_owned(), (value, config.config_source, config.read_only, synonyms))
    };
    Ok(result.configs.iter().map(entry).collect())
}

pub(crate) fn incremental(client: &mut Client, kind: i8, name: &str, edits: &[(&str, i8, Option<&str>)]) -> ErrorCode {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs_request::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned().into(),
            configs: edits
                .iter()
                .map(|(name, operation, value)| incremental_alter_configs_request::AlterableConfig {
                    name: (*name).into(),
                    config_operation: *operation,
                    value: value.map(Into::into),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    };
    let answer = client.call(1, &request);
    let response: IncrementalAlterConfigsResponse<'_> = answer.body();
    code(response.responses.iter().next().unwrap().error_code)
}

#[test]
fn every_topic_config_is_described_with_its_source() {
    let broker = TestBroker::start_with(&[("log.retention.hours", "1")]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("segment.bytes", "2000000")]);
    let configs = describe_all(&mut client, TOPIC, "t", None).unwrap();
    assert!(configs.len() >= 36, "{}", configs.len());
    let (value, source, read_only, synonyms) = &configs["segment.bytes"];
    assert_eq!((value.as_deref(), *source, *read_only), (Some("2000000"), 1, false));
    assert_eq!(synonyms, &[1, 5], "dynamic topic config, default config");
    let (value, source, _, _) = &configs["retention.ms"];
    assert_eq!((value.as_deref(), *source), (Some("3600000"), 4), "from the broker's file");
    let (value, source, _, _) = &configs["cleanup.policy"];
    assert_eq!((value.as_deref(), *source), (Some("delete"), 5));
    let some = describe_all(&mut client, TOPIC, "t", Some(&["retention.ms", "nope"])).unwrap();
    assert_eq!(some.keys().collect::<Vec<_>>(), ["retention.ms"]);
    let all = describe_all(&mut client, TOPIC, "t", Some(&[])).unwrap();
    assert_eq!(all.len(), configs.len(), "an empty list of keys is no list");
}

#[test]
fn resources_that_are_not_there() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let mut error = |kind, name: &str| describe_all(&mut client, kind, name, None).unwrap_err();
    assert_eq!(error(TOPIC, "nope"), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(error(TOPIC, "bad/name"), ErrorCode::InvalidTopicException);
    assert_eq!(error(BROKER, "7"), ErrorCode::InvalidRequest);
    assert_eq!(error(99, "x"), ErrorCode::InvalidRequest);
}

#[test]
fn the_broker_describes_itself_with_read_only_marks() {
    let broker = TestBroker::start_with(&[("num.partitions", "7")]);
    let mut client = broker.client();
    let configs = describe_all(&mut client, BROKER, "1", None).unwrap();
    assert!(configs.len() > 150, "{}", configs.len());
    let (value, source, read_only, _) = &configs["num.partitions"];
    assert_eq!((value.as_deref(), *source, *read_only), (Some("7"), 4, true));
    assert!(!configs["message.max.bytes"].2, "message.max.bytes can be altered at run time");
}

#[test]
fn altered_topic_configs_take_effect_at_once_and_survive() {
    let mut broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let records = batch(&["x".repeat(300).as_str()]);
    assert_eq!(client.produce("t", &records).0, ErrorCode::None);
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("max.message.bytes", 0, Some("100"))]), ErrorCode::None);
    assert_eq!(client.produce("t", &records).0, ErrorCode::MessageTooLarge);
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.produce("t", &records).0, ErrorCode::MessageTooLarge);
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("max.message.bytes", 1, None)]), ErrorCode::None);
    assert_eq!(client.produce("t", &records).0, ErrorCode::None);
}

#[test]
fn altered_broker_configs_take_effect_on_topics_without_their_own() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("plain", 1, &[]);
    client.create_topic("own", 1, &[("max.message.bytes", "10000")]);
    let records = batch(&["x".repeat(300).as_str()]);
    assert_eq!(incremental(&mut client, BROKER, "", &[("message.max.bytes", 0, Some("100"))]), ErrorCode::None);
    assert_eq!(client.produce("plain", &records).0, ErrorCode::MessageTooLarge);
    assert_eq!(client.produce("own", &records).0, ErrorCode::None);
    let (value, source, _, _) = &describe_all(&mut client, TOPIC, "plain", None).unwrap()["max.message.bytes"];
    assert_eq!((value.as_deref(), *source), (Some("100"), 3), "dynamic default broker config");
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let policy = |client: &mut Client| {
        describe_all(client, TOPIC, "t", Some(&["cleanup.policy"])).unwrap()["cleanup.policy"].0.clone().unwrap()
    };
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("cleanup.policy", 2, Some("compact"))]), ErrorCode::None);
    assert_eq!(policy(&mut client), "delete,compact");
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("cleanup.policy", 3, Some("delete"))]), ErrorCode::None);
    assert_eq!(policy(&mut client), "compact");
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("retention.ms", 2, Some("1"))]), ErrorCode::InvalidConfig);
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("retention.ms", 0, Some("x"))]), ErrorCode::InvalidConfig);
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("no.such", 0, Some("x"))]), ErrorCode::InvalidConfig);
    assert_eq!(
        incremental(&mut client, TOPIC, "nope", &[("retention.ms", 0, Some("1"))]),
        ErrorCode::UnknownTopicOrPartition
    );
}

#[test]
fn alter_configs_replaces_everything() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("retention.ms", "5"), ("segment.bytes", "2000000")]);
    let mut replace = |value: &'static str| {
        let request = AlterConfigsRequest {
            resources: vec![alter_configs_request::AlterConfigsResource {
                resource_type: TOPIC,
                resource_name: "t".into(),
                configs: vec![alter_configs_request::AlterableConfig {
                    name: "retention.ms".into(),
                    value: Some(value.into()),
                    ..Default::default()
                }]
                .into(),
                ..Default::default()
            }]
            .into(),
            ..Default::default()
        };
        let answer = client.call(2, &request);
        let response: AlterConfigsResponse<'_> = answer.body();
        code(response.responses.iter().next().unwrap().error_code)
    };
    assert_eq!(replace("bad"), ErrorCode::InvalidConfig);
    assert_eq!(replace("9"), ErrorCode::None);
    let configs = describe_all(&mut client, TOPIC, "t", None).unwrap();
    assert_eq!(configs["retention.ms"].0.as_deref(), Some("9"));
    assert_eq!(configs["segment.bytes"].1, 5, "back to the default");
}

#[test]
fn what_is_described_can_be_written_back() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let configs = describe_all(&mut client, TOPIC, "t", None).unwrap();
    for (name, (value, ..)) in &configs {
        let edit = [(name.as_str(), 0, value.as_deref())];
        assert_eq!(incremental(&mut client, TOPIC, "t", &edit), ErrorCode::None, "{name} = {value:?}");
    }
}

#[test]
fn resources_with_configs_are_listed() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut list = |version, kinds: Vec<i8>| {
        let request = ListConfigResourcesRequest { resource_types: kinds.into(), ..Default::default() };
        let answer = client.call(version, &request);
        let response: ListConfigResourcesResponse<'_> = answer.body();
        let names: Vec<_> =
            response.config_resources.iter().map(|r| (r.resource_type, r.resource_name.into_owned())).collect();
        (code(response.error_code), names)
    };
    assert_eq!(list(0, vec![]), (ErrorCode::None, vec![]), "client metrics only");
    let (error, names) = list(1, vec![]);
    assert_eq!(error, ErrorCode::None);
    assert!(names.contains(&(TOPIC, "t".to_owned())) && names.contains(&(BROKER, "1".to_owned())), "{names:?}");
    assert_eq!(list(1, vec![TOPIC]).1, [(TOPIC, "t".to_owned())]);
    assert_eq!(list(1, vec![77]), (ErrorCode::UnsupportedVersion, vec![]));
}
