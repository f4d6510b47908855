//! The file in which contexts are kept.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::{CliError, Kind};

/// All contexts, and which is in use.
#[derive(Debug, Default)]
pub(crate) struct Store {
    contexts: BTreeMap<String, Known>,
    current: Option<String>,
}

/// A cluster with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Addresses.
    pub(crate) brokers: Vec<String>,
    /// Settings with Kafka's names.
    pub(crate) settings: BTreeMap<String, String>,
}

impl Store {
    /// Reads `highwater/contexts.json` under `XDG_CONFIG_HOME`, or `~/.config`. Without the file there are none.
    pub(crate) fn load() -> Result<Self, CliError> {
        let Some(path) = path() else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|error| CliError::caused(format!("cannot read {}", path.display()), &error))?,
        };
        Self::parse(&text).ok_or_else(|| {
            CliError::new(Kind::Failed, format!("cannot use {}", path.display()), "it is no list of contexts")
                .hint("correct it, or remove it and add the contexts again")
        })
    }

    /// Writes the file, readable only for its owner since there may be passwords in it.
    pub(crate) fn save(&self) -> Result<(), CliError> {
        let path = path().ok_or_else(|| {
            CliError::new(Kind::Failed, "cannot keep contexts", "neither XDG_CONFIG_HOME nor HOME is set")
        })?;
        self.write(&path).map_err(|error| CliError::caused(format!("cannot write {}", path.display()), &error))
    }

    fn write(&self, path: &std::path::Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(std::path::Path::new("."));
        fs::create_dir_all(folder)?;
        // Beside it and then over it, so that no reader finds half of it.
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(format!("{:#}\n", self.json()).as_bytes());
        written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Adds a context or replaces it. The first is in use.
    pub(crate) fn add(&mut self, name: &str, brokers: Vec<String>, settings: BTreeMap<String, String>) {
        self.contexts.insert(name.to_owned(), Known { brokers, settings });
        self.current.get_or_insert_with(|| name.to_owned());
    }

    /// Puts a context in use.
    pub(crate) fn select(&mut self, name: &str) -> Result<(), CliError> {
        self.named(name)?;
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Forgets a context. If it was in use, none is.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), CliError> {
        self.named(name)?;
        self.contexts.remove(name);
        self.current.take_if(|current| current == name);
        Ok(())
    }

    /// The context of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&Known, CliError> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let why =
                if names.is_empty() { "there are none yet".into() } else { format!("there are {}", names.join(", ")) };
            CliError::new(Kind::NotFound, format!("no context {name}"), why)
                .hint(format!("highwater -b HOST:PORT context add {name}"))
        })
    }

    /// The context in use.
    pub(crate) fn current(&self) -> Option<(&str, &Known)> {
        let name = self.current.as_deref()?;
        Some((name, self.contexts.get(name)?))
    }

    /// All, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.contexts.iter().map(|(name, context)| (name.as_str(), context))
    }

    fn json(&self) -> Value {
        let contexts: serde_json::Map<_, _> = self
            .contexts
            .iter()
            .map(|(name, known)| (name.clone(), json!({ "brokers": known.brokers, "settings": known.settings })))
            .collect();
        json!({ "current": self.current, "contexts": contexts })
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let mut contexts = BTreeMap::new();
        for (name, context) in value.get("contexts")?.as_object()? {
            let brokers = context.get("brokers")?.as_array()?.iter();
            let brokers = brokers.map(|broker| broker.as_str().map(str::to_owned)).collect::<Option<_>>()?;
            let settings = match context.get("settings") {
                None => BTreeMap::new(),
                Some(settings) => settings
                    .as_object()?
                    .iter()
                    .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                    .collect::<Option<_>>()?,
            };
            contexts.insert(name.clone(), Known { brokers, settings });
        }
        Some(Self { contexts, current: value.get("current").and_then(Value::as_str).map(str::to_owned) })
    }
}

fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("highwater").join("contexts.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_come_back_as_they_were() {
        let mut store = Store::default();
        store.add("b", vec!["b:1".into(), "b:2".into()], BTreeMap::from([("client.id".into(), "x".into())]));
        store.add("a", vec!["a:1".into()], BTreeMap::new());
        assert_eq!(store.current().unwrap().0, "b");
        store.select("a").unwrap();
        let read = Store::parse(&store.json().to_string()).unwrap();
        assert_eq!((read.contexts, read.current), (store.contexts, store.current));
    }

    #[test]
    fn what_is_no_list_of_contexts_is_refused() {
        for text in ["", "[]", "{}", r#"{"contexts": []}"#, r#"{"contexts": {"a": {"brokers": [1]}}}"#] {
            assert!(Store::parse(text).is_none(), "{text}");
        }
    }
}
