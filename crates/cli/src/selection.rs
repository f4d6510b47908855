//! Which of the things there are is meant.

use clap::Args;
use regex::Regex;

use crate::error::{CliError, Kind};
use crate::output::note;
use crate::session::{Session, told};

/// Names, or patterns.
#[derive(Args, Clone, Debug)]
pub(crate) struct Names {
    /// Names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The names are regular expressions, each for all that it matches as a whole.
    #[arg(long)]
    regex: bool,
}

impl Names {
    /// The topics that are meant. Patterns leave out internal topics.
    pub(crate) fn topics(&self, session: &Session) -> Result<Vec<String>, CliError> {
        self.select("topics", || {
            let topics = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
            Ok(topics.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name).collect())
        })
    }

    /// The groups that are meant.
    pub(crate) fn groups(&self, session: &Session) -> Result<Vec<String>, CliError> {
        self.select("groups", || {
            let groups = session.admin.list_groups().wait().map_err(|error| told("cannot list groups", &error))?;
            Ok(groups.into_iter().map(|group| group.name).collect())
        })
    }

    fn select(
        &self,
        noun: &str,
        list: impl FnOnce() -> Result<Vec<String>, CliError>,
    ) -> Result<Vec<String>, CliError> {
        if !self.regex {
            let mut names = self.names.clone();
            names.sort();
            names.dedup();
            return Ok(names);
        }
        let patterns = self.names.iter().map(|pattern| whole(pattern)).collect::<Result<Vec<_>, _>>()?;
        let mut names = list()?;
        names.retain(|name| patterns.iter().any(|pattern| pattern.is_match(name)));
        names.sort();
        names.dedup();
        note(&format!("{} {noun} match {}", names.len(), self.names.join(" or ")));
        if names.is_empty() {
            return Err(CliError::new(
                Kind::NotFound,
                format!("no {noun} match"),
                "a pattern has to match a whole name",
            )
            .hint(".* before and after it matches part of a name"));
        }
        Ok(names)
    }
}

/// A regular expression that matches whole names only.
pub(crate) fn whole(pattern: &str) -> Result<Regex, CliError> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        CliError::new(Kind::Usage, format!("{pattern} is no regular expression"), why)
    })
}
