//! `highwater completions`.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::env::Shells;

use crate::error::{CliError, Kind};
use crate::output::print;

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

/// How a shell says that it asks.
const VARIABLE: &str = "HIGHWATER_COMPLETE";
