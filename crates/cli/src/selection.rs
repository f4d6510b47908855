//! Which of the things there are is meant.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use regex::Regex;

use crate::completions;
use crate::error::{CliError, Kind};
use crate::output::note;
use crate::session::{Session, told};

/// Names of topics, or patterns.
#[derive(Args, Clone, Debug)]
pub(crate) struct TopicNames {
    /// Topics.
    #[arg(required = true, value_name = "TOPIC", add = ArgValueCompleter::new(completions::topics))]
    names: Vec<String>,
    /// The names are regular expressions, each for all topics that it matches as a whole, but for internal ones.
    #[arg(long)]
    regex: bool,
}

/// Names of groups, or patterns.
#[derive(Args, Clone, Debug)]
pub(crate) struct GroupNames {
    /// Groups.
    #[arg(required = true, value_name = "GROUP", add = ArgValueCompleter::new(completions::groups))]
    names: Vec<String>,
    /// The names are regular expressions, each for all groups that it matches as a whole.
    #[arg(long)]
    regex: bool,
}

impl TopicNames {
    /// The topics that are meant, each once. With patterns it is told first how many they are.
    pub(crate) fn choose(&self, session: &Session) -> Result<Vec<String>, CliError> {
        select(&self.names, self.regex, "topics", || {
            let topics = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
            Ok(topics.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name).collect())
        })
    }
}

impl GroupNames {
    /// The groups that are meant, each once. With patterns it is told first how many they are.
    pub(crate) fn choose(&self, session: &Session) -> Result<Vec<String>, CliError> {
        select(&self.names, self.regex, "groups", || {
            let groups = session.admin.list_groups().wait().map_err(|error| told("cannot list groups", &error))?;
            Ok(groups.into_iter().map(|group| group.name).collect())
        })
    }
}

fn select(
    given: &[String],
    are_patterns: bool,
    noun: &str,
    list: impl FnOnce() -> Result<Vec<String>, CliError>,
) -> Result<Vec<String>, CliError> {
    let mut names = if are_patterns {
        let patterns = given.iter().map(|pattern| whole(pattern)).collect::<Result<Vec<_>, _>>()?;
        let mut names = list()?;
        names.retain(|name| patterns.iter().any(|pattern| pattern.is_match(name)));
        note(&format!("{} {noun} match {}", names.len(), given.join(" or ")));
        names
    } else {
        given.to_vec()
    };
    if names.is_empty() {
        return Err(CliError::new(Kind::NotFound, format!("no {noun} match"), "a pattern has to match a whole name")
            .hint(".* before and after it matches part of a name"));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A regular expression that matches whole names only.
pub(crate) fn whole(pattern: &str) -> Result<Regex, CliError> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        CliError::new(Kind::Usage, format!("{pattern} is no regular expression"), why)
    })
}
