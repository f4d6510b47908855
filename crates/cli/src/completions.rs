//! `highwater completions`.

use std::ffi::OsStr;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;

use crate::connection::Connection;
use crate::context::Store;
use crate::error::{CliError, Kind};
use crate::output::print;
use crate::session::Session;

/// Arguments of `highwater completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Shells that can complete arguments.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
}

impl Completions {
    /// Prints a script for the shell, which asks this program what may come next.
    pub(crate) fn run(&self) -> Result<(), CliError> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
            Shell::Elvish => "elvish",
        };
        let unknown = || CliError::new(Kind::Failed, format!("cannot complete in {name}"), "nobody knows how");
        let shells = Shells::builtins();
        let shell = shells.completer(name).ok_or_else(unknown)?;
        let program = crate::Cli::command().get_name().to_owned();
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, &program, &program, &program, &mut script)
            .map_err(|error| CliError::caused(format!("cannot write the script for {name}"), &error))?;
        print(&String::from_utf8_lossy(&script))
    }
}

/// Answers a shell that asks what may come next, and ends the process then. Else does nothing, at the cost of looking
/// for an environment variable.
pub(crate) fn answer() {
    clap_complete::CompleteEnv::with_factory(crate::Cli::command).var(VARIABLE).complete();
}

/// Topics whose names begin so.
pub(crate) fn topics(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, |session| {
        let listed = session.admin.list_topics().wait().ok()?;
        Some(listed.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name).collect())
    })
}

/// Groups whose names begin so.
pub(crate) fn groups(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, |session| {
        Some(session.admin.list_groups().wait().ok()?.into_iter().map(|group| group.name).collect())
    })
}

/// Contexts whose names begin so.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let store = Store::load().unwrap_or_default();
    beginning(current, store.all().map(|(name, _)| name.to_owned()).collect())
}

/// Asks the cluster, for as long as somebody who has pressed a key may be kept waiting. Whatever goes wrong, there is
/// nothing to offer then, and nobody to tell.
fn candidates(
    current: &OsStr,
    list: impl FnOnce(&Session) -> Option<Vec<String>> + Send + 'static,
) -> Vec<CompletionCandidate> {
    let connection = Connection::of_words(std::env::args().skip_while(|word| word != "--"));
    let (answer, answers) = mpsc::channel();
    std::thread::spawn(move || {
        let names = Session::open(&connection).ok().and_then(|session| list(&session));
        // Too late if nobody listens any more.
        let _ = answer.send(names.unwrap_or_default());
    });
    beginning(current, answers.recv_timeout(BUDGET).unwrap_or_default())
}

fn beginning(current: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    names.into_iter().filter(|name| name.starts_with(current)).map(CompletionCandidate::new).collect()
}

/// How long a shell may be kept waiting.
const BUDGET: Duration = Duration::from_millis(300);
/// How a shell says that it asks.
const VARIABLE: &str = "HIGHWATER_COMPLETE";
