//! Which cluster a command talks to, and how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use highwater_broker::config::parse_properties;

use crate::completions;
use crate::context::Store;
use crate::error::{CliError, Kind};

/// Arguments about the cluster, which every command takes. Their ids are like no others', which would get their values.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Connection {
    /// Brokers to ask first; the others are learnt from them.
    #[arg(
        id = "connection.brokers",
        short = 'b',
        long = "brokers",
        visible_alias = "bootstrap-server",
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        global = true,
        help_heading = "Connection"
    )]
    brokers: Vec<String>,
    /// A context made with `highwater context add`.
    #[arg(
        id = "connection.context",
        long = "context",
        value_name = "NAME",
        global = true,
        help_heading = "Connection",
        add = ArgValueCompleter::new(completions::contexts)
    )]
    context: Option<String>,
    /// Settings of a client, as in Kafka's client.properties.
    #[arg(
        id = "connection.config",
        long = "command-config",
        value_name = "FILE",
        global = true,
        help_heading = "Connection"
    )]
    command_config: Option<PathBuf>,
    /// Tell on standard error what is done.
    #[arg(id = "connection.debug", long = "debug", global = true, help_heading = "Connection")]
    debug: bool,
}

/// Where to connect and with which settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Addresses, at least one.
    pub(crate) brokers: Vec<String>,
    /// Settings with Kafka's names, but for bootstrap.servers.
    pub(crate) settings: BTreeMap<String, String>,
    /// What decided on the addresses.
    pub(crate) origin: Origin,
}

/// What decided on the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--brokers`.
    Flag,
    /// `--command-config`.
    File(PathBuf),
    /// A context.
    Context(String),
    /// An environment variable.
    Variable(&'static str),
    /// Nothing.
    Default,
}

impl Connection {
    /// Whether `--debug` was given.
    pub(crate) const fn is_debug(&self) -> bool {
        self.debug
    }

    /// The same as with `--brokers` and `--command-config`, which Kafka's own tools have under other names.
    pub(crate) fn of_shim(brokers: Vec<String>, command_config: Option<PathBuf>) -> Self {
        Self { brokers, command_config, ..Self::default() }
    }

    /// What the words of a command that is being typed say of it.
    pub(crate) fn of_words(mut words: impl Iterator<Item = String>) -> Self {
        let mut connection = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-b" | "--brokers" | "--bootstrap-server" => {
                    let servers = words.next().unwrap_or_default();
                    connection.brokers = servers.split(',').map(str::to_owned).collect();
                }
                "--context" => connection.context = words.next(),
                "--command-config" => connection.command_config = words.next().map(PathBuf::from),
                _ => {}
            }
        }
        connection
    }

    /// Finds out where to connect.
    pub(crate) fn resolve(&self) -> Result<Target, CliError> {
        self.resolve_with(&|name| std::env::var(name).ok(), Store::load)
    }

    /// The first of these that names brokers decides: flags, the file of `--command-config`, the context of
    /// `HIGHWATER_CONTEXT`, `HIGHWATER_BROKERS`, `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_BROKERS`, the context in use,
    /// `localhost:9092`.
    ///
    /// The settings are those of the context that decides, overridden by the file's.
    fn resolve_with(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
        load: impl FnOnce() -> Result<Store, CliError>,
    ) -> Result<Target, CliError> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let file = self.command_config.as_deref().map(read_settings).transpose()?.unwrap_or_default();
        let with = |brokers: Vec<String>, origin| {
            let mut settings = file.clone();
            settings.remove(BOOTSTRAP);
            Target { brokers, settings, origin }
        };
        if self.context.is_none() {
            if !self.brokers.is_empty() {
                return Ok(with(addresses(self.brokers.iter())?, Origin::Flag));
            }
            if let (Some(servers), Some(path)) = (file.get(BOOTSTRAP), &self.command_config) {
                return Ok(with(split(servers)?, Origin::File(path.clone())));
            }
        }
        let named = self.context.clone().or_else(|| variable("HIGHWATER_CONTEXT"));
        if named.is_none() {
            for name in ["HIGHWATER_BROKERS", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS"] {
                if let Some(servers) = variable(name) {
                    return Ok(with(split(&servers)?, Origin::Variable(name)));
                }
            }
        }
        let store = load()?;
        let (name, context) = match (&named, store.current()) {
            (Some(name), _) => (name.as_str(), store.named(name)?),
            (None, Some(current)) => current,
            (None, None) => return Ok(with(vec![DEFAULT.to_owned()], Origin::Default)),
        };
        let mut target = with(addresses(context.brokers.iter())?, Origin::Context(name.to_owned()));
        for (key, value) in &context.settings {
            target.settings.entry(key.clone()).or_insert_with(|| value.clone());
        }
        if !self.brokers.is_empty() {
            target.brokers = addresses(self.brokers.iter())?;
            target.origin = Origin::Flag;
        }
        Ok(target)
    }
}

/// Reads a file of settings such as client.properties.
pub(crate) fn read_settings(path: &Path) -> Result<BTreeMap<String, String>, CliError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| CliError::caused(format!("cannot read {shown}"), &error))?;
    parse_properties(&text).map_err(|error| CliError::caused(format!("{shown} is no properties file"), &error))
}

/// A setting as it is typed.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("not of the form KEY=VALUE".into()),
    }
}

/// Addresses with commas between them.
pub(crate) fn split(servers: &str) -> Result<Vec<String>, CliError> {
    addresses(servers.split(',').map(str::trim).filter(|server| !server.is_empty()))
}

/// Checks addresses; without a port they get Kafka's, 9092.
fn addresses(given: impl Iterator<Item = impl AsRef<str>>) -> Result<Vec<String>, CliError> {
    let checked: Vec<String> = given.map(|address| address_of(address.as_ref())).collect::<Result<_, _>>()?;
    if checked.is_empty() {
        return Err(CliError::new(Kind::Usage, "no broker is named", "the list of addresses is empty")
            .hint("give them as -b HOST:PORT,HOST:PORT"));
    }
    Ok(checked)
}

fn address_of(given: &str) -> Result<String, CliError> {
    // As in listeners, which people copy: PLAINTEXT://host:9092.
    let bare = given.split_once("://").map_or(given, |(_, rest)| rest).trim();
    let bad = |why: &str| {
        CliError::new(Kind::Usage, format!("{given} is no address of a broker"), why).hint("write HOST:PORT")
    };
    // The last colon is the port's, unless it is inside the brackets of an IPv6 address or there are several.
    let (host, port) = match bare.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => (host, port),
        _ => (bare, "9092"),
    };
    if host.is_empty() || host.contains([' ', '/']) {
        return Err(bad("there is no host in it"));
    }
    match port.parse::<u16>() {
        Ok(1..) if host.contains(':') && !host.starts_with('[') => Ok(format!("[{host}]:{port}")),
        Ok(1..) => Ok(format!("{host}:{port}")),
        _ => Err(bad("the port is no number between 1 and 65535")),
    }
}

const BOOTSTRAP: &str = "bootstrap.servers";
const DEFAULT: &str = "localhost:9092";

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Result<Store, CliError> {
        let mut store = Store::default();
        let settings = BTreeMap::from([("security.protocol".to_owned(), "SSL".to_owned())]);
        store.add("prod", vec!["prod:9092".into()], settings);
        store.add("test", vec!["test:9092".into()], BTreeMap::new());
        store.select("test")?;
        Ok(store)
    }

    fn resolved(connection: &Connection, variables: &[(&str, &str)]) -> (Vec<String>, Origin) {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let target = connection.resolve_with(&variable, store).unwrap();
        (target.brokers, target.origin)
    }

    #[test]
    fn the_first_that_names_brokers_decides() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.properties");
        fs::write(&path, "bootstrap.servers=file:1,file:2\nclient.id=x\n").unwrap();
        let all = [
            ("HIGHWATER_CONTEXT", "prod"),
            ("HIGHWATER_BROKERS", "own:1"),
            ("KAFKA_BOOTSTRAP_SERVERS", "bootstrap:1"),
            ("KAFKA_BROKERS", "brokers:1"),
        ];
        let flag = Connection::of_shim(vec!["flag".into()], Some(path.clone()));
        assert_eq!(resolved(&flag, &all), (vec!["flag:9092".into()], Origin::Flag));
        let file = Connection::of_shim(vec![], Some(path.clone()));
        assert_eq!(resolved(&file, &all), (vec!["file:1".into(), "file:2".into()], Origin::File(path)));
        let none = Connection::default();
        assert_eq!(resolved(&none, &all), (vec!["prod:9092".into()], Origin::Context("prod".into())));
        assert_eq!(resolved(&none, &all[1..]), (vec!["own:1".into()], Origin::Variable("HIGHWATER_BROKERS")));
        let (brokers, origin) = resolved(&none, &all[2..]);
        assert_eq!((brokers, origin), (vec!["bootstrap:1".into()], Origin::Variable("KAFKA_BOOTSTRAP_SERVERS")));
        assert_eq!(resolved(&none, &all[3..]), (vec!["brokers:1".into()], Origin::Variable("KAFKA_BROKERS")));
        assert_eq!(resolved(&none, &[]), (vec!["test:9092".into()], Origin::Context("test".into())));
        let nothing = none.resolve_with(&|_| None, || Ok(Store::default())).unwrap();
        assert_eq!((nothing.brokers, nothing.origin), (vec!["localhost:9092".into()], Origin::Default));
    }

    #[test]
    fn a_flag_names_a_context_whose_settings_the_file_overrides() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.properties");
        fs::write(&path, "security.protocol=PLAINTEXT\nclient.id=x\n").unwrap();
        let connection =
            Connection { context: Some("prod".into()), command_config: Some(path), ..Connection::default() };
        let target = connection.resolve_with(&|_| None, store).unwrap();
        assert_eq!(target.origin, Origin::Context("prod".into()));
        assert_eq!(target.settings["security.protocol"], "PLAINTEXT");
        assert_eq!(target.settings["client.id"], "x");
        let unknown = Connection { context: Some("nope".into()), ..Connection::default() };
        assert_eq!(unknown.resolve_with(&|_| None, store).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn addresses_are_checked() {
        for (given, read) in [
            ("a", "a:9092"),
            ("a:1", "a:1"),
            ("PLAINTEXT://a:1", "a:1"),
            ("[::1]:9093", "[::1]:9093"),
            ("[::1]", "[::1]:9092"),
            ("::1", "[::1]:9092"),
        ] {
            assert_eq!(address_of(given).unwrap(), read);
        }
        for wrong in ["", ":9092", "a:0", "a:x", "a:70000", "a b:1"] {
            assert_eq!(address_of(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
        assert_eq!(split(" a , b:2 ,").unwrap(), ["a:9092", "b:2"]);
        assert!(split(",").is_err());
    }
}
