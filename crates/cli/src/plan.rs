//! What a command is about to change, and whether it may.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use crate::error::{CliError, Kind};
use crate::output::{Output, Screen, Table, note};

/// Arguments of commands that only add or change what can be changed back.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Rehearsal {
    /// Check everything, print what would be done, and change nothing.
    #[arg(long, help_heading = "Safety")]
    pub(crate) dry_run: bool,
}

/// Arguments of commands whose effect cannot be taken back.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Safety {
    /// Print what would be done, and change nothing.
    #[arg(long, help_heading = "Safety", conflicts_with = "yes")]
    dry_run: bool,
    /// Do it without asking.
    #[arg(short = 'y', long, help_heading = "Safety")]
    yes: bool,
}

/// What was decided about a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Carry it out.
    Go,
    /// It was for show.
    Stop,
}

/// What the user has to type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question<'a> {
    /// `y`.
    YesNo(&'a str),
    /// A name, so that nobody deletes by habit.
    Typed {
        /// The question.
        ask: &'a str,
        /// What to type.
        name: &'a str,
    },
}

impl Safety {
    /// Shows what would be done and asks whether to do it.
    ///
    /// With `--yes` nothing is shown. With `--dry-run` the plan is the output. On a terminal the user is asked. Else
    /// the plan is printed and the command fails as wrongly used: it neither changes anything unasked nor seems to.
    pub(crate) fn decide(&self, plan: &Table, output: &Output, question: Question<'_>) -> Result<Decision, CliError> {
        if self.yes {
            return Ok(Decision::Go);
        }
        if self.dry_run {
            output.print(plan)?;
            return Ok(Decision::Stop);
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            output.print(plan)?;
            return Err(CliError::new(Kind::Usage, "nothing was changed", "there is no terminal to ask on")
                .hint("add --yes to do it, or --dry-run to only see it"));
        }
        note(plan.to_text(Screen::PLAIN).trim_end());
        let agreed = ask(question, &mut io::stdin().lock(), &mut io::stderr())
            .map_err(|error| CliError::caused("cannot ask", &error))?;
        if agreed {
            return Ok(Decision::Go);
        }
        Err(CliError::new(Kind::Failed, "nothing was changed", "it was not agreed to"))
    }
}

fn ask(question: Question<'_>, input: &mut impl BufRead, out: &mut impl Write) -> io::Result<bool> {
    match question {
        Question::YesNo(ask) => write!(out, "{ask} [y/N] ")?,
        Question::Typed { ask, name } => write!(out, "{ask} Type {name} to go on: ")?,
    }
    out.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let answer = line.trim();
    Ok(match question {
        Question::YesNo(_) => ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()),
        Question::Typed { name, .. } => answer == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(question: Question<'_>, answer: &str) -> (bool, String) {
        let mut out = Vec::new();
        let agreed = ask(question, &mut answer.as_bytes(), &mut out).unwrap();
        (agreed, String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_yes_is_yes() {
        for (answer, agreed) in [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("n\n", false)] {
            let (given, asked) = answered(Question::YesNo("Reset 3 partitions?"), answer);
            assert_eq!((given, asked.as_str()), (agreed, "Reset 3 partitions? [y/N] "), "{answer:?}");
        }
    }

    #[test]
    fn a_name_has_to_be_typed_in_full() {
        let question = Question::Typed { ask: "This deletes orders.", name: "orders" };
        assert!(answered(question, "orders\n").0);
        for answer in ["y\n", "Orders\n", "order\n", ""] {
            assert!(!answered(question, answer).0, "{answer:?}");
        }
    }
}
