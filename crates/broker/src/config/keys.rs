//! What is to be said about a key that was set: unknown, without effect here, or not to be ignored.

use highwater_metadata::ResourceKind;
use highwater_metadata::config::{ValueType, definition, definitions};

/// What a key means to this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one of Kafka's broker configs and is read here.
    Known,
    /// It concerns the JVM, or how Kafka divides its work; nothing is lost by not reading it.
    NoEffect,
    /// Kafka 4 does not know it, and neither do we; perhaps it was meant to be another.
    Unknown { nearest: Option<&'static str> },
    /// Ignoring it would weaken what it asks for, so it is refused.
    Refused(&'static str),
}

/// Keys that ask for protection, or for a feature whose absence would be noticed too late.
const REFUSED: &[(&str, &str)] = &[
    ("authorizer.class.name", "authorization is not supported yet; every client would be allowed everything"),
    ("create.topic.policy.class.name", "Java policies cannot be loaded; topics would be created unchecked"),
    ("alter.config.policy.class.name", "Java policies cannot be loaded; configs would be altered unchecked"),
    ("config.providers", "config providers are not supported yet; values would be taken literally"),
];

const ZOOKEEPER: &str = "ZooKeeper is not supported, as in Kafka 4. Migrate the cluster to KRaft with Kafka 3.9 first \
     (kafka.apache.org/39/documentation/#kraft_zk_migration), then remove the zookeeper.* keys";

/// Keys about threads, queues and purges of Kafka's own making.
const NO_EFFECT: &[&str] = &[
    "num.io.threads",
    "num.replica.alter.log.dirs.threads",
    "background.threads",
    "queued.max.requests",
    "metric.reporters",
    "security.providers",
    "kafka.metrics.reporters",
    "kafka.metrics.polling.interval.secs",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "fetch.purgatory.purge.interval.requests",
    "producer.purgatory.purge.interval.requests",
    "delete.records.purgatory.purge.interval.requests",
    "share.fetch.purgatory.purge.interval.requests",
];

/// Keys that Kafka 4 removed.
const REMOVED: &[&str] = &[
    "inter.broker.protocol.version",
    "log.message.format.version",
    "log.message.downconversion.enable",
    "log.message.timestamp.difference.max.ms",
    "broker.id.generation.enable",
    "reserved.broker.max.id",
    "control.plane.listener.name",
    "delegation.token.master.key",
    "offsets.commit.required.acks",
    "replica.fetch.response.min.bytes",
];

/// Judges one key with the value it was given.
pub(super) fn judge(key: &str, value: &str) -> Verdict {
    let value = value.trim();
    if key.starts_with("zookeeper.") {
        return Verdict::Refused(ZOOKEEPER);
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == key)
        && !value.is_empty()
    {
        return Verdict::Refused(reason);
    }
    if key == "remote.log.storage.system.enable" && value.eq_ignore_ascii_case("true") {
        return Verdict::Refused("tiered storage is not supported yet");
    }
    if NO_EFFECT.contains(&key) || REMOVED.contains(&key) || key.starts_with("password.encoder.") {
        return Verdict::NoEffect;
    }
    match definition(ResourceKind::Broker, key) {
        Some(found) if found.value_type == ValueType::Class || is_security(found.name) => Verdict::NoEffect,
        Some(_) => Verdict::Known,
        None if is_security(key) => Verdict::NoEffect,
        None => Verdict::Unknown { nearest: nearest(key) },
    }
}

/// Security configs; whether security is asked for is decided by the listeners, where it is refused.
fn is_security(key: &str) -> bool {
    ["ssl.", "sasl.", "delegation.token.", "listener.name."].iter().any(|prefix| key.starts_with(prefix))
        || matches!(key, "super.users" | "allow.everyone.if.no.acl.found" | "connections.max.reauth.ms")
}

/// The key of Kafka that is most like `key`, if one is alike at all.
fn nearest(key: &str) -> Option<&'static str> {
    let tolerance = (key.len() / 4).clamp(1, 4);
    definitions(ResourceKind::Broker)
        .iter()
        .filter(|definition| definition.name.len().abs_diff(key.len()) <= tolerance)
        .map(|definition| (distance(key, definition.name), definition.name))
        .min()
        .filter(|(distance, _)| *distance <= tolerance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (left, right, expected) in
            [("", "", 0), ("abc", "abc", 0), ("kitten", "sitting", 3), ("", "abc", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn typing_errors_find_their_key() {
        let cases = [
            ("log.retention.hour", Some("log.retention.hours")),
            ("num.partition", Some("num.partitions")),
            ("advertised.listener", Some("advertised.listeners")),
            ("log.segment.byte", Some("log.segment.bytes")),
            ("confluent.license.topic", None),
            ("x", None),
        ];
        for (key, nearest) in cases {
            assert_eq!(judge(key, "1"), Verdict::Unknown { nearest }, "{key}");
        }
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(judge("num.partitions", "3"), Verdict::Known);
        for key in [
            "num.io.threads",
            "ssl.provider",
            "sasl.login.class",
            "principal.builder.class",
            "listener.name.a.ssl.key.password",
            "log.message.format.version",
            "password.encoder.secret",
        ] {
            assert_eq!(judge(key, "x"), Verdict::NoEffect, "{key}");
        }
        for key in ["zookeeper.connect", "zookeeper.anything", "authorizer.class.name", "config.providers"] {
            assert!(matches!(judge(key, "x"), Verdict::Refused(_)), "{key}");
        }
        assert_eq!(judge("config.providers", ""), Verdict::Known, "nothing is asked for");
        assert!(matches!(judge("remote.log.storage.system.enable", "true"), Verdict::Refused(_)));
        assert_eq!(judge("remote.log.storage.system.enable", "false"), Verdict::Known);
    }

    #[test]
    fn every_key_named_here_that_should_exist_does() {
        for key in NO_EFFECT.iter().chain(REFUSED.iter().map(|(key, _)| key)) {
            assert!(definition(ResourceKind::Broker, key).is_some(), "{key}");
        }
        for key in REMOVED {
            assert!(definition(ResourceKind::Broker, key).is_none(), "{key}");
        }
    }
}
