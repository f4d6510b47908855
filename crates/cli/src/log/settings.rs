//! Arguments that say how a log is to be understood.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use highwater_log::{CheckedLogConfig, LogConfig};
use highwater_types::TimestampMs;

use crate::error::{CliError, Kind};

/// Settings and time.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// A topic setting, such as `retention.ms=1000`; may be given several times. The others have Kafka's defaults.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// The time at which it is done, in milliseconds since 1970; the present by default.
    #[arg(long, value_name = "MS")]
    now: Option<i64>,
}

impl Settings {
    /// The settings, checked, on top of `config`.
    pub(super) fn config(&self, mut config: LogConfig) -> Result<CheckedLogConfig, CliError> {
        for (name, value) in &self.settings {
            config.set(name, value).map_err(|error| {
                let names = LogConfig::setting_names().collect::<Vec<_>>().join(", ");
                CliError::new(Kind::Failed, format!("cannot set {name}"), error.to_string())
                    .hint(format!("one of {names}"))
            })?;
        }
        config.checked().map_err(|error| CliError::caused("the settings are out of range", &error))
    }

    /// The time.
    pub(super) fn now(&self) -> TimestampMs {
        TimestampMs(self.now.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }
}

fn pair(argument: &str) -> Result<(String, String), String> {
    let (name, value) = argument.split_once('=').ok_or("it has to be NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
