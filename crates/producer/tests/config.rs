//! The configs: names, defaults and ranges are Kafka's, and what is wrong is named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_producer::{Acks, ConfigError, PRODUCER_CONFIG_KEYS, ProducerConfig};

fn set(pairs: &[(&str, &str)]) -> Result<ProducerConfig, ConfigError> {
    let mut config = ProducerConfig::default();
    pairs.iter().try_for_each(|(key, value)| config.set(key, value))?;
    Ok(config)
}

fn error(pairs: &[(&str, &str)]) -> String {
    set(pairs).and_then(ProducerConfig::check).unwrap_err().to_string()
}

#[test]
fn defaults_in_the_table_are_those_of_the_struct() {
    let mut config = ProducerConfig::default();
    for key in PRODUCER_CONFIG_KEYS {
        config.set(key.name, key.default.unwrap_or_default()).unwrap();
    }
    let spelled_out = ProducerConfig {
        delivery_timeout_ms: Some(120_000),
        enable_idempotence: Some(true),
        in_flight_requests_max: Some(5),
        ..ProducerConfig::default()
    };
    assert_eq!(config, spelled_out);
    let checked = ProducerConfig::default().check().unwrap();
    assert_eq!(checked, checked.clone());
    assert_eq!((checked.delivery_timeout_ms(), checked.is_idempotent(), checked.in_flight_max()), (120_000, true, 5));
}

/// Names, defaults and bounds as Kafka 4.3.0 lists them.
#[test]
fn names_defaults_and_ranges_are_kafkas() {
    let kafkas = [
        ("acks", "all", "2"),
        ("batch.size", "16384", "-1"),
        ("buffer.memory", "33554432", "-1"),
        ("compression.gzip.level", "-1", "10"),
        ("compression.lz4.level", "9", "0"),
        ("compression.type", "none", "GZIP"),
        ("compression.zstd.level", "3", "23"),
        ("delivery.timeout.ms", "120000", "-1"),
        ("enable.idempotence", "true", "maybe"),
        ("linger.ms", "5", "-1"),
        ("max.block.ms", "60000", "-1"),
        ("max.in.flight.requests.per.connection", "5", "0"),
        ("max.request.size", "1048576", "2147483648"),
        ("partitioner.adaptive.partitioning.enable", "true", "1"),
        ("partitioner.availability.timeout.ms", "0", "-1"),
        ("partitioner.ignore.keys", "false", ""),
        ("partitioner.rack.aware", "false", "no"),
        ("request.timeout.ms", "30000", "x"),
        ("retries", "2147483647", "2147483648"),
        ("retry.backoff.max.ms", "1000", "-1"),
        ("retry.backoff.ms", "100", "9223372036854775808"),
    ];
    for (name, default, refused) in kafkas {
        let key = PRODUCER_CONFIG_KEYS.iter().find(|key| key.name == name).unwrap();
        assert_eq!(key.default, Some(default), "{name}");
        let error = set(&[(name, refused)]).unwrap_err();
        let (value, allowed) = (refused.to_owned(), key.allowed.to_owned());
        assert_eq!(error, ConfigError::Invalid { key: name, value, allowed }, "{name}");
    }
}

#[test]
fn unknown_names_are_refused() {
    assert_eq!(error(&[("linger", "5")]), "unknown producer configuration linger");
}

#[test]
fn fields_are_held_to_the_same_ranges() {
    let config = ProducerConfig { batch_bytes: u32::MAX, ..ProducerConfig::default() };
    let said = "invalid value 4294967295 for configuration batch.size: allowed is from 0 to 2147483647";
    assert_eq!(config.check().unwrap_err().to_string(), said);
    let config = ProducerConfig { gzip_level: 0, codec: highwater_records::Codec::Gzip, ..ProducerConfig::default() };
    let said = "invalid value 0 for configuration compression.gzip.level: allowed is a level of the codec";
    assert_eq!(config.check().unwrap_err().to_string(), said);
}

#[test]
fn acks_and_retries_turn_idempotence_off_unless_it_is_asked_for() {
    for off in [("acks", "1"), ("acks", "0"), ("retries", "0")] {
        assert!(!set(&[off]).unwrap().check().unwrap().is_idempotent(), "{off:?}");
    }
    let on = ("enable.idempotence", "true");
    assert_eq!(
        error(&[on, ("acks", "1")]),
        "invalid value 1 for configuration acks: allowed is all for an idempotent producer"
    );
    assert_eq!(
        error(&[on, ("retries", "0")]),
        "invalid value 0 for configuration retries: allowed is not zero for an idempotent producer"
    );
}

#[test]
fn requests_in_flight_keep_the_order_by_default() {
    let in_flight = |pairs: &[(&str, &str)]| set(pairs).unwrap().check().unwrap().in_flight_max();
    assert_eq!(in_flight(&[]), 5);
    assert_eq!(in_flight(&[("acks", "1")]), 1);
    assert_eq!(in_flight(&[("acks", "1"), ("max.in.flight.requests.per.connection", "3")]), 3);
    let six = ("max.in.flight.requests.per.connection", "6");
    assert_eq!(in_flight(&[six, ("enable.idempotence", "false")]), 6);
    let said = "invalid value 6 for configuration max.in.flight.requests.per.connection: \
                allowed is at most 5 for an idempotent producer";
    // The last is Kafka's too, though acks=1 turns idempotence off.
    for pairs in [&[six][..], &[six, ("enable.idempotence", "true")], &[six, ("acks", "1")]] {
        assert_eq!(error(pairs), said);
    }
}

#[test]
fn the_delivery_timeout_holds_a_linger_and_a_request() {
    assert_eq!(
        error(&[("delivery.timeout.ms", "30004")]),
        "invalid value 30004 for configuration delivery.timeout.ms: \
         allowed is at least linger.ms + request.timeout.ms, which is 30005"
    );
    assert_eq!(set(&[("linger.ms", "200000")]).unwrap().check().unwrap().delivery_timeout_ms(), 230_000);
}

#[test]
fn texts_are_read_as_kafka_does() {
    let config = set(&[("acks", " -1 "), ("enable.idempotence", "FALSE"), ("client.rack", "r1")]).unwrap();
    assert_eq!((config.acks, config.enable_idempotence), (Acks::All, Some(false)));
    assert_eq!(config.client_rack.as_deref(), Some("r1"));
}
