//! The configs: names, defaults and ranges are Kafka's, and what is wrong is named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_consumer::{
    AssignmentStrategy, CONSUMER_CONFIG_KEYS, ConfigError, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset,
};

fn set(pairs: &[(&str, &str)]) -> Result<ConsumerConfig, ConfigError> {
    let mut config = ConsumerConfig::default();
    pairs.iter().try_for_each(|(key, value)| config.set(key, value))?;
    Ok(config)
}

fn error(pairs: &[(&str, &str)]) -> String {
    set(pairs).and_then(ConsumerConfig::check).unwrap_err().to_string()
}

#[test]
fn defaults_in_the_table_are_those_of_the_struct() {
    let mut config = ConsumerConfig::default();
    for key in CONSUMER_CONFIG_KEYS {
        config.set(key.name, key.default.unwrap_or_default()).unwrap();
    }
    let spelled_out = ConsumerConfig { enable_auto_commit: Some(true), ..ConsumerConfig::default() };
    assert_eq!(config, spelled_out);
    let names: Vec<&str> = CONSUMER_CONFIG_KEYS.iter().map(|key| key.name).collect();
    assert!(names.is_sorted(), "in alphabetical order");
}

/// Names, defaults and bounds as Kafka 4.3.0 lists them.
#[test]
fn names_defaults_and_ranges_are_kafkas() {
    let kafkas = [
        ("auto.commit.interval.ms", Some("5000"), "-1"),
        ("auto.offset.reset", Some("latest"), "by_duration:1h"),
        ("check.crcs", Some("true"), "1"),
        ("default.api.timeout.ms", Some("60000"), "-1"),
        ("enable.auto.commit", Some("true"), "no"),
        ("exclude.internal.topics", Some("true"), ""),
        ("fetch.max.bytes", Some("52428800"), "-1"),
        ("fetch.max.wait.ms", Some("500"), "-1"),
        ("fetch.min.bytes", Some("1"), "2147483648"),
        ("group.protocol", Some("classic"), "streams"),
        ("heartbeat.interval.ms", Some("3000"), "x"),
        ("isolation.level", Some("read_uncommitted"), "serializable"),
        ("max.partition.fetch.bytes", Some("1048576"), "-1"),
        ("max.poll.interval.ms", Some("300000"), "0"),
        ("max.poll.records", Some("500"), "0"),
        ("metadata.max.age.ms", Some("300000"), "-1"),
        ("partition.assignment.strategy", Some("range,cooperative-sticky"), "range,none"),
        ("retry.backoff.max.ms", Some("1000"), "-1"),
        ("retry.backoff.ms", Some("100"), "-1"),
        ("session.timeout.ms", Some("45000"), "0"),
    ];
    for (name, default, refused) in kafkas {
        let key = CONSUMER_CONFIG_KEYS.iter().find(|key| key.name == name).unwrap();
        assert_eq!(key.default, default, "{name}");
        let error = set(&[(name, refused)]).unwrap_err();
        let (value, allowed) = (refused.to_owned(), key.allowed.to_owned());
        assert_eq!(error, ConfigError::Invalid { key: name, value, allowed }, "{name}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let said = "unknown consumer configuration auto.ofset.reset; the nearest is auto.offset.reset";
    assert_eq!(error(&[("auto.ofset.reset", "latest")]), said);
    let long = "x".repeat(1 << 20);
    assert!(set(&[(&long, "")]).is_err());
}

#[test]
fn fields_are_held_to_the_same_ranges() {
    let config = ConsumerConfig { poll_records_max: 0, ..ConsumerConfig::default() };
    let said = "invalid value 0 for configuration max.poll.records: allowed is from 1 to 2147483647";
    assert_eq!(config.check().unwrap_err().to_string(), said);
}

#[test]
fn what_does_not_agree_is_refused() {
    assert_eq!(
        error(&[("heartbeat.interval.ms", "45000")]),
        "invalid value 45000 for configuration heartbeat.interval.ms: \
         allowed is less than session.timeout.ms, which is 45000"
    );
    assert_eq!(
        error(&[("enable.auto.commit", "true")]),
        "invalid value true for configuration enable.auto.commit: allowed is false without a group.id"
    );
    let config = ConsumerConfig { assignment_strategies: Vec::new(), ..ConsumerConfig::default() };
    assert!(config.check().unwrap_err().to_string().contains("partition.assignment.strategy"));
    let config = ConsumerConfig { group_id: Some(String::new()), ..ConsumerConfig::default() };
    assert!(config.check().unwrap_err().to_string().contains("group.id"));
}

#[test]
fn commits_are_automatic_where_there_is_a_group() {
    let is_automatic = |pairs: &[(&str, &str)]| set(pairs).unwrap().check().unwrap().is_auto_committing();
    assert!(!is_automatic(&[]));
    assert!(is_automatic(&[("group.id", "g")]));
    assert!(!is_automatic(&[("group.id", "g"), ("enable.auto.commit", "false")]));
}

#[test]
fn texts_are_read_as_kafka_does() {
    let config = set(&[
        ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.StickyAssignor, roundrobin"),
        ("auto.offset.reset", "by_duration:PT1H"),
        ("isolation.level", " read_committed "),
        ("group.protocol", "CONSUMER"),
        ("client.rack", "r1"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.assignment_strategies, [AssignmentStrategy::Sticky, AssignmentStrategy::RoundRobin]);
    assert_eq!(config.auto_offset_reset, OffsetReset::ByDuration { ms: 3_600_000 });
    assert_eq!(config.isolation_level, IsolationLevel::ReadCommitted);
    assert_eq!(config.group_protocol, GroupProtocol::Consumer);
    assert_eq!(config.client_rack.as_deref(), Some("r1"));
}
