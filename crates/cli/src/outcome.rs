//! What came of an operation on several things.

use highwater_client::ClientError;

use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::session::told;

/// Results of one operation, thing by thing.
pub(crate) struct Outcomes {
    /// What is done, such as `created`.
    done: &'static str,
    /// What could not be done, such as `create`.
    verb: &'static str,
    noun: &'static str,
    results: Vec<(String, Result<(), CliError>)>,
}

impl Outcomes {
    /// Nothing yet. With `Outcomes::new("topic", "delete", "deleted")` a failure reads `cannot delete topic a`.
    pub(crate) const fn new(noun: &'static str, verb: &'static str, done: &'static str) -> Self {
        Self { done, verb, noun, results: Vec::new() }
    }

    /// The result for the only thing there is.
    pub(crate) fn one(
        noun: &'static str,
        verb: &'static str,
        done: &'static str,
        name: &str,
        result: Result<(), ClientError>,
    ) -> Self {
        let mut outcomes = Self::new(noun, verb, done);
        outcomes.add(name, result, |what, error| told(what, &error));
        outcomes
    }

    /// Adds the result for one thing. `tell` makes the error, given what could not be done.
    pub(crate) fn add<E>(&mut self, name: &str, result: Result<(), E>, tell: impl FnOnce(String, E) -> CliError) {
        let what = format!("cannot {} {} {name}", self.verb, self.noun);
        self.results.push((name.to_owned(), result.map_err(|error| tell(what, error))));
    }

    /// Prints what was done. One thing that failed is an error like any other; of several, the table tells which failed
    /// and why.
    pub(crate) fn finish(mut self, output: &Output) -> Result<(), CliError> {
        if self.results.len() == 1
            && let Some((_, Err(error))) = self.results.pop_if(|(_, result)| result.is_err())
        {
            return Err(error);
        }
        let mut table = Table::new(vec![Column::new(self.noun), Column::new("result"), Column::new("error")]);
        let mut failed = Vec::new();
        for (name, result) in &self.results {
            let (word, error) = match result {
                Ok(()) => (Cell::State(self.done.into(), Mood::Good), Cell::Absent),
                Err(error) => {
                    failed.push(error);
                    (Cell::State("failed".into(), Mood::Bad), Cell::text(error.why()))
                }
            };
            table.row(vec![name.as_str().into(), word, error]);
        }
        output.print(&table)?;
        let Some(first) = failed.first() else { return Ok(()) };
        let same = failed.len() == self.results.len() && failed.iter().all(|error| error.kind() == first.kind());
        let kind = if same { first.kind() } else { Kind::Partial };
        let what = format!("cannot {} {} of {} {}s", self.verb, failed.len(), self.results.len(), self.noun);
        Err(CliError::new(kind, what, "the table tells why, one by one"))
    }
}
