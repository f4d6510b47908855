//! Settings of other tools, with Kafka's names.

use std::collections::BTreeMap;

/// Settings with Kafka's names, under the name of a cluster.
pub(super) type Named = (String, BTreeMap<String, String>);

/// librdkafka's names, which kcat.conf has, become Kafka's. Kafka's own stay.
pub(super) fn librdkafka_names(mut settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (old, new) in [
        ("metadata.broker.list", "bootstrap.servers"),
        ("sasl.mechanisms", "sasl.mechanism"),
        ("ssl.ca.location", "ssl.truststore.location"),
        ("ssl.certificate.location", "ssl.keystore.location"),
    ] {
        if let Some(value) = settings.remove(old) {
            settings.entry(new.to_owned()).or_insert(value);
            if new.ends_with("store.location") {
                // librdkafka's files are PEM.
                settings.entry(new.replace("location", "type")).or_insert_with(|| "PEM".into());
            }
        }
    }
    if let Some(protocol) = settings.get_mut("security.protocol") {
        *protocol = protocol.to_ascii_uppercase();
    }
    let user = settings.remove("sasl.username");
    let password = settings.remove("sasl.password");
    if let (Some(user), Some(password)) = (user, password) {
        let mechanism = settings.get("sasl.mechanism").cloned().unwrap_or_default();
        settings.entry("sasl.jaas.config".into()).or_insert_with(|| jaas(&mechanism, &user, &password));
    }
    settings
}

/// Whether a file is a profile of rpk, or a list of them, rather than properties.
pub(super) fn is_rpk(text: &str) -> bool {
    text.lines().any(|line| line.trim_start_matches(['-', ' ']).trim_end() == "kafka_api:")
}

/// The profiles in a YAML file of rpk: of `rpk.yaml` with its list, or one alone. Only the parts of YAML that rpk itself
/// writes are read: block lists and maps, one value a line.
pub(super) fn rpk(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut profile = Profile::default();
    // Keys on the way to the present line, with their indentation.
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let item = bare.strip_prefix("- ").or_else(|| (bare == "-").then_some(""));
        let indent = line.len() - bare.len();
        let content = item.unwrap_or(bare);
        let content_indent = line.len() - content.trim_start().len();
        let content = content.trim();
        // A list may stand at the indentation of its key.
        path.retain(|(at, key)| *at < indent || (item.is_some() && *at == indent && !key.is_empty()));
        let keys: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
        if item.is_some() && matches!(keys[..], [] | ["profiles"]) {
            profile.finish(&mut found);
        }
        let Some((key, value)) = content.split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '))
        else {
            if keys.ends_with(&["kafka_api", "brokers"]) {
                profile.brokers.push(unquoted(content));
            }
            continue;
        };
        let value = unquoted(value);
        match (&keys[..], key) {
            ([] | ["profiles"], "name") => profile.name = value.clone(),
            ([.., "kafka_api"], "brokers") => profile.brokers.extend(flow_list(&value)),
            ([.., "kafka_api"], "tls") => profile.tls = true,
            ([.., "kafka_api", "tls"], "ca_file" | "truststore_file") => profile.ca = value.clone(),
            ([.., "sasl"], "user") => profile.user = value.clone(),
            ([.., "sasl"], "password") => profile.password = value.clone(),
            ([.., "sasl"], "mechanism") => profile.mechanism = value.clone(),
            _ => {}
        }
        path.push((content_indent, key.to_owned()));
    }
    profile.finish(&mut found);
    found
}

/// What is known of a profile so far.
#[derive(Debug, Default)]
struct Profile {
    name: String,
    brokers: Vec<String>,
    tls: bool,
    ca: String,
    user: String,
    password: String,
    mechanism: String,
}

impl Profile {
    /// Adds the profile to those found, if it has brokers, and begins the next.
    fn finish(&mut self, found: &mut Vec<Named>) {
        let profile = std::mem::take(self);
        if profile.brokers.is_empty() {
            self.name = profile.name;
            return;
        }
        let mut settings = BTreeMap::from([("bootstrap.servers".to_owned(), profile.brokers.join(","))]);
        let sasl = !profile.user.is_empty();
        let protocol = match (profile.tls, sasl) {
            (false, false) => "PLAINTEXT",
            (true, false) => "SSL",
            (false, true) => "SASL_PLAINTEXT",
            (true, true) => "SASL_SSL",
        };
        settings.insert("security.protocol".into(), protocol.into());
        if !profile.ca.is_empty() {
            settings.insert("ssl.truststore.location".into(), profile.ca);
            settings.insert("ssl.truststore.type".into(), "PEM".into());
        }
        if sasl {
            let mechanism = if profile.mechanism.is_empty() { "SCRAM-SHA-256".into() } else { profile.mechanism };
            settings.insert("sasl.jaas.config".into(), jaas(&mechanism, &profile.user, &profile.password));
            settings.insert("sasl.mechanism".into(), mechanism);
        }
        let name = if profile.name.is_empty() { "rpk".into() } else { profile.name };
        found.push((name, settings));
    }
}

fn jaas(mechanism: &str, user: &str, password: &str) -> String {
    let module = if mechanism.eq_ignore_ascii_case("PLAIN") { "plain.Plain" } else { "scram.Scram" };
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "org.apache.kafka.common.security.{module}LoginModule required username=\"{}\" password=\"{}\";",
        escaped(user),
        escaped(password)
    )
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value).to_owned()
}

/// `[a, b]`.
fn flow_list(value: &str) -> Vec<String> {
    let inner = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    inner.split(',').map(unquoted).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_librdkafka_become_kafkas() {
        let settings = BTreeMap::from(
            [
                ("metadata.broker.list", "a:1"),
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanisms", "PLAIN"),
                ("sasl.username", "u\"x"),
                ("sasl.password", "p"),
                ("ssl.ca.location", "/ca.pem"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let read: Vec<_> = librdkafka_names(settings).into_iter().collect();
        let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            read,
            [
                ("bootstrap.servers", "a:1"),
                (
                    "sasl.jaas.config",
                    "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\\\"x\" password=\"p\";"
                ),
                ("sasl.mechanism", "PLAIN"),
                ("security.protocol", "SASL_SSL"),
                ("ssl.truststore.location", "/ca.pem"),
                ("ssl.truststore.type", "PEM"),
            ]
        );
    }

    #[test]
    fn profiles_of_rpk_are_read() {
        let text = "version: 7\ncurrent_profile: b\nprofiles:\n    - name: a\n      description: x\n      kafka_api:\n        brokers:\n            - a1:9092\n            - a2:9092\n      admin_api:\n        addresses:\n            - a1:9644\n    - name: b\n      kafka_api:\n        brokers:\n        - \"b:9093\"\n        tls: {}\n        sasl:\n            user: me\n            password: secret\n            mechanism: SCRAM-SHA-512\n";
        assert!(is_rpk(text));
        let found = rpk(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].0.as_str(), found[0].1["bootstrap.servers"].as_str()), ("a", "a1:9092,a2:9092"));
        assert_eq!(found[0].1["security.protocol"], "PLAINTEXT");
        assert_eq!((found[1].0.as_str(), found[1].1["bootstrap.servers"].as_str()), ("b", "b:9093"));
        assert_eq!(found[1].1["security.protocol"], "SASL_SSL");
        assert_eq!(found[1].1["sasl.mechanism"], "SCRAM-SHA-512");
        assert!(found[1].1["sasl.jaas.config"].contains("username=\"me\" password=\"secret\""));

        let alone = "name: solo\nkafka_api:\n  brokers: [s:1, 't:2']\n";
        assert_eq!(rpk(alone)[0].1["bootstrap.servers"], "s:1,t:2");
        assert_eq!(rpk(alone)[0].0, "solo");
        assert!(!is_rpk("bootstrap.servers=a:1\n"));
    }
}
