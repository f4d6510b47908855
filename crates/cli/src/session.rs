//! A connection to a cluster for one command.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use highwater_client::{Admin, CLIENT_CONFIG_KEYS, Client, ClientConfig, ClientError, ErrorCode, NodeId, SendError};
use highwater_client::{PartitionIndex, TopicName, TopicPartition};

use crate::connection::{Connection, Origin, Target};
use crate::error::{CliError, Kind};
use crate::logging;
use crate::output::note;

/// A client, and what to ask it with.
#[derive(Debug)]
pub(crate) struct Session {
    /// The client.
    pub(crate) client: Client,
    /// What asks, and changes.
    pub(crate) admin: Admin,
}

impl Session {
    /// Connects. If no broker that is named takes a connection, that is told at once, not when the calls' patience ends.
    pub(crate) fn open(connection: &Connection) -> Result<Self, CliError> {
        let target = connection.resolve()?;
        if connection.is_debug() {
            logging::start_debug();
            note(&format!("debug: {} by {}", target.brokers.join(","), origin(&target.origin)));
        }
        let config = config(&target, connection.is_debug())?;
        reach(&target, config.connection_setup_timeout)?;
        let client = Client::with_config(config).map_err(|error| told("cannot connect", &error))?;
        Ok(Self { admin: client.admin(), client })
    }
}

fn config(target: &Target, debug: bool) -> Result<ClientConfig, CliError> {
    let mut config =
        ClientConfig { client_id: "highwater-cli".into(), default_api_timeout: PATIENCE, ..ClientConfig::default() };
    let wrong = |error| CliError::caused("the settings of the client cannot be used", &error);
    config.set("bootstrap.servers", &target.brokers.join(",")).map_err(wrong)?;
    for (key, value) in &target.settings {
        if CLIENT_CONFIG_KEYS.contains(&key.as_str()) {
            config.set(key, value).map_err(wrong)?;
        } else if debug {
            note(&format!("debug: {key} has no effect here"));
        }
    }
    Ok(config)
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Flag => "--brokers".into(),
        Origin::File(path) => path.display().to_string(),
        Origin::Context(name) => format!("context {name}"),
        Origin::Variable(name) => (*name).into(),
        Origin::Default => "default".into(),
    }
}

/// Whether some broker takes a connection.
fn reach(target: &Target, timeout: Duration) -> Result<(), CliError> {
    let mut last = None;
    for broker in &target.brokers {
        let addresses = match broker.to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(error) => {
                last = Some((broker, error));
                continue;
            }
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, timeout.min(REACH)) {
                Ok(_) => return Ok(()),
                Err(error) => last = Some((broker, error)),
            }
        }
    }
    let named = target.brokers.join(",");
    let why = last.map_or_else(|| "the name has no address".into(), |(broker, error)| format!("{broker}: {error}"));
    let hint = match target.origin {
        Origin::Default => "start one with `highwater dev`, or give its address with -b HOST:PORT".into(),
        ref other => format!("start the broker, or correct the address, which comes from {}", origin(other)),
    };
    Err(CliError::new(Kind::Unreachable, format!("cannot reach {named}"), why).hint(hint))
}

/// An error of the client as a user reads it.
pub(crate) fn told(what: impl Into<String>, error: &ClientError) -> CliError {
    match error {
        ClientError::Broker { code, message } => CliError::answered(what, *code, message.as_deref()),
        ClientError::Config(_) | ClientError::Invalid(_) => CliError::new(Kind::Usage, what, error.to_string()),
        // A timeout while a broker kept refusing is that refusal.
        ClientError::Timeout { last: Some(last), .. } if last.code().is_some_and(is_telling) => {
            let code = last.code().unwrap_or(ErrorCode::UnknownServerError);
            CliError::answered(what, code, None)
        }
        error if error.is_unreachable() => CliError::new(Kind::Unreachable, what, error.to_string()).hint(
            "see whether the brokers are up, and reachable under the addresses they advertise: `highwater doctor`",
        ),
        error => CliError::new(Kind::Failed, what, error.to_string()),
    }
}

/// Whether a code that clients repeat after says more than that it took too long.
fn is_telling(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::RequestTimedOut | ErrorCode::NetworkException)
}

/// An error of the producer as a user reads it.
pub(crate) fn not_sent(what: impl Into<String>, error: &SendError) -> CliError {
    match error.code() {
        Some(code) => CliError::answered(what, code, Some(&error.to_string())),
        None => CliError::new(Kind::Failed, what, error.to_string()),
    }
}

/// A topic's name as it was typed.
pub(crate) fn topic_name(text: &str) -> Result<TopicName, CliError> {
    TopicName::new(text)
        .map_err(|error| CliError::new(Kind::Usage, format!("no topic can be called {text:?}"), error.to_string()))
}

/// A partition of a topic.
pub(crate) fn partition(topic: &TopicName, partition: PartitionIndex) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition }
}

/// A number that names a node.
pub(crate) fn node_id(text: &str) -> Result<NodeId, String> {
    text.trim().parse().ok().and_then(NodeId::from_wire).ok_or_else(|| format!("{text:?} is no id of a node"))
}

/// How long a call may take unless default.api.timeout.ms says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one broker may take to accept the first connection.
const REACH: Duration = Duration::from_secs(5);
