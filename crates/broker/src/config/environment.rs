//! Settings from the environment, by the rules of the apache/kafka container image.

use std::collections::BTreeMap;

/// What the environment says about a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Properties, to be laid over those of the file.
    pub properties: BTreeMap<String, String>,
    /// `CLUSTER_ID`: the id that a new log directory is given, for
    /// [`BrokerConfig::cluster_id`](super::BrokerConfig::cluster_id).
    pub cluster_id: Option<String>,
}

/// Variables that configure the JVM or the image's scripts, and not the broker.
const EXCLUDED: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
];

/// Reads `KAFKA_*` variables and `CLUSTER_ID` from the environment given.
///
/// `KAFKA_` and a key in capitals, with `_` for `.`, `__` for `_` and `___` for `-`, sets that key: for instance
/// `KAFKA_LOG_RETENTION_HOURS`. Variables for the JVM are left out. As in the image, advertised listeners without
/// listeners make the broker listen on all addresses at the advertised ports.
#[must_use]
pub fn kafka_environment(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
    let mut environment = Environment::default();
    for (name, value) in variables {
        if name == "CLUSTER_ID" && !value.is_empty() {
            environment.cluster_id = Some(value);
        } else if let Some(rest) = name.strip_prefix("KAFKA_")
            && !rest.is_empty()
            && !EXCLUDED.contains(&name.as_str())
        {
            environment.properties.insert(key_of(rest), value);
        }
    }
    let properties = &mut environment.properties;
    if let Some(advertised) = properties.get("advertised.listeners")
        && !properties.contains_key("listeners")
        && properties.get("process.roles").is_none_or(|roles| roles != "controller")
    {
        let listeners = advertised.split(',').map(on_all_addresses).collect::<Vec<_>>().join(",");
        properties.insert("listeners".to_owned(), listeners);
    }
    environment
}

fn key_of(name: &str) -> String {
    // Longest first; the placeholders are no characters of a variable's name.
    let marked = name.replace("___", "\u{1}").replace("__", "\u{2}").replace('_', ".");
    marked.replace('\u{1}', "-").replace('\u{2}', "_").to_ascii_lowercase()
}

fn on_all_addresses(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once(':')) {
        (Some((name, _)), Some((_, port))) => format!("{name}://0.0.0.0:{port}"),
        _ => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        kafka_environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn properties(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        environment(variables).properties.into_iter().collect()
    }

    #[test]
    fn names_become_keys() {
        let cases = [
            ("KAFKA_LOG_RETENTION_HOURS", "log.retention.hours"),
            ("KAFKA_NODE_ID", "node.id"),
            ("KAFKA_A__B", "a_b"),
            ("KAFKA_A___B", "a-b"),
            ("KAFKA_A____B", "a-.b"),
            ("KAFKA_LISTENER_NAME_MY___SSL_SASL_ENABLED_MECHANISMS", "listener.name.my-ssl.sasl.enabled.mechanisms"),
        ];
        for (name, key) in cases {
            assert_eq!(properties(&[(name, "x")]), [(key.to_owned(), "x".to_owned())], "{name}");
        }
    }

    #[test]
    fn variables_for_others_are_left_out() {
        for name in EXCLUDED.iter().copied().chain(["PATH", "KAFKA_", "KAFKA", "MY_KAFKA_NODE_ID", "kafka_node_id"]) {
            assert_eq!(environment(&[(name, "x")]), Environment::default(), "{name}");
        }
    }

    #[test]
    fn the_cluster_id_is_no_property() {
        let environment = environment(&[("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw")]);
        assert_eq!(environment.cluster_id.as_deref(), Some("5L6g3nShT-eMCtK--X86sw"));
        assert!(environment.properties.is_empty());
    }

    #[test]
    fn listeners_follow_advertised_listeners() {
        let advertised = ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://broker:19092,IN://[::1]:9093");
        let listeners = |variables: &[(&str, &str)]| environment(variables).properties.get("listeners").cloned();
        assert_eq!(listeners(&[advertised]).as_deref(), Some("PLAINTEXT://0.0.0.0:19092,IN://0.0.0.0:9093"));
        assert_eq!(listeners(&[advertised, ("KAFKA_LISTENERS", "PLAINTEXT://:1")]).as_deref(), Some("PLAINTEXT://:1"));
        assert_eq!(listeners(&[advertised, ("KAFKA_PROCESS_ROLES", "controller")]), None);
        assert_eq!(listeners(&[("KAFKA_NODE_ID", "1")]), None);
    }
}
