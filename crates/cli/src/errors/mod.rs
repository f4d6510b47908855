//! `highwater errors`: what the codes of Kafka's protocol mean, and what to do about them.

use clap::Args;
use highwater_types::ErrorCode;

use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Output, Table};

/// Arguments of `highwater errors`.
#[derive(Args, Debug)]
pub(crate) struct Errors {
    /// Numbers or names, such as 6 or NOT_LEADER_OR_FOLLOWER; part of a name finds all that have it. Without any: all.
    #[arg(value_name = "CODE|NAME", allow_negative_numbers = true)]
    codes: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// What a user should know about an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// Who has to act: `application`, `operator`, `developer` of the client, or `nobody`.
    pub(crate) actor: &'static str,
    /// What it means, in a sentence.
    pub(crate) meaning: &'static str,
    /// What to do about it, in a sentence.
    pub(crate) advice: &'static str,
}

impl Errors {
    pub(crate) fn run(self) -> Result<(), CliError> {
        let mut codes = Vec::new();
        for given in &self.codes {
            let found = find(given);
            if found.is_empty() {
                return Err(CliError::new(
                    Kind::NotFound,
                    format!("no error code {given}"),
                    "no release of Kafka up to 4.3 uses it",
                )
                .hint("`highwater errors` without arguments lists them all"));
            }
            codes.extend(found);
        }
        if self.codes.is_empty() {
            codes.extend(ErrorCode::ALL);
        }
        if self.output.is_table() && codes.len() == 1 {
            return self.output.text(&page(codes[0]));
        }
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("code"),
            Column::new("retriable"),
            Column::new("actor"),
            Column::new("meaning"),
            Column::new("advice").wide(),
        ]);
        for code in codes {
            let explanation = explain(code);
            table.row(vec![
                Cell::text(code.name()),
                Cell::from(i64::from(code.code())),
                Cell::from(code.is_retriable()),
                Cell::text(explanation.actor),
                Cell::text(explanation.meaning),
                Cell::text(explanation.advice),
            ]);
        }
        self.output.print(&table)
    }
}

/// What `code` means.
pub(crate) fn explain(code: ErrorCode) -> Explanation {
    CODES
        .lines()
        .filter_map(parse)
        .find_map(|(name, explanation)| (name == code.name()).then_some(explanation))
        .unwrap_or(UNEXPLAINED)
}

fn parse(line: &'static str) -> Option<(&'static str, Explanation)> {
    let mut fields = line.split('|').map(str::trim);
    let name = fields.next()?;
    Some((name, Explanation { actor: fields.next()?, meaning: fields.next()?, advice: fields.next()? }))
}

/// The codes meant by a number, by a name, or by a part of a name.
fn find(given: &str) -> Vec<ErrorCode> {
    if let Ok(number) = given.parse() {
        return ErrorCode::from_code(number).into_iter().collect();
    }
    let name = given.to_ascii_uppercase().replace([' ', '-', '.'], "_");
    let exact = ErrorCode::ALL.iter().find(|code| code.name() == name || squeeze(code.name()) == squeeze(&name));
    match exact {
        Some(&code) => vec![code],
        None => ErrorCode::ALL.iter().copied().filter(|code| code.name().contains(&name)).collect(),
    }
}

/// Java's classes spell them `NotLeaderOrFollowerException`.
fn squeeze(name: &str) -> String {
    let name = name.replace('_', "");
    name.strip_suffix("EXCEPTION").unwrap_or(&name).to_owned()
}

fn page(code: ErrorCode) -> String {
    let explanation = explain(code);
    let retriable = if code.is_retriable() { "yes" } else { "no" };
    let actor = match explanation.actor {
        "application" => "whoever runs the application",
        "operator" => "whoever runs the cluster",
        "developer" => "whoever wrote the client",
        _ => "nobody, unless it lasts",
    };
    format!(
        "{code} ({})\n  meaning:    {}\n  retriable:  {retriable}\n  who acts:   {actor}\n  what to do: {}\n",
        code.code(),
        explanation.meaning,
        explanation.advice
    )
}

/// One line for each code: name, who has to act, meaning, advice.
const CODES: &str = include_str!("codes.txt");
const UNEXPLAINED: Explanation = Explanation {
    actor: "operator",
    meaning: "This release knows no more than the name.",
    advice: "Look at the log of the broker that answered.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_once_and_in_order() {
        let names: Vec<_> = CODES.lines().filter_map(parse).map(|(name, _)| name).collect();
        let expected: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names, expected);
        for &code in ErrorCode::ALL {
            let Explanation { actor, meaning, advice } = explain(code);
            assert!(["application", "operator", "developer", "nobody"].contains(&actor), "{code}");
            assert!(meaning.ends_with('.') && advice.ends_with('.'), "{code}");
        }
    }

    #[test]
    fn codes_are_found_by_number_name_and_class() {
        assert_eq!(find("6"), [ErrorCode::NotLeaderOrFollower]);
        assert_eq!(find("-1"), [ErrorCode::UnknownServerError]);
        assert_eq!(find("not_leader_or_follower"), [ErrorCode::NotLeaderOrFollower]);
        assert_eq!(find("NotLeaderOrFollowerException"), [ErrorCode::NotLeaderOrFollower]);
        assert_eq!(find("invalid-topic-exception"), [ErrorCode::InvalidTopicException]);
        assert_eq!(find("VOTER").len(), 4);
        assert_eq!(find("9999"), []);
    }
}
