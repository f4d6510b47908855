//! Replays recorded log scenarios: `log-scenario DIR...`.
//!
//! Each directory is a scenario, or holds scenarios. Prints every difference and a last line with counts; exits
//! with 1 if there are differences, with 2 if something could not be read.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use highwater_testsupport::log_scenario::{find_scenarios, replay};

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let dirs: Vec<String> = std::env::args().skip(1).collect();
    match run(&dirs, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "log-scenario: {error}");
            ExitCode::from(2)
        }
    }
}

/// Replays all; false if anything differs.
fn run(dirs: &[String], out: &mut impl Write) -> Result<bool, String> {
    if dirs.is_empty() {
        return Err("no directory given".to_owned());
    }
    let failed = |error: io::Error| error.to_string();
    let (mut scenarios, mut checks, mut decoded, mut differences, mut unsupported) = (0, 0, 0, 0, 0);
    for dir in dirs {
        let found = find_scenarios(Path::new(dir)).map_err(|error| format!("{dir}: {error}"))?;
        if found.is_empty() {
            return Err(format!("{dir}: no scenario.json at or below"));
        }
        for path in found {
            let report = replay(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            scenarios += 1;
            checks += report.checks;
            decoded += report.decoded;
            differences += report.differences.len();
            if let Some(why) = &report.unsupported {
                unsupported += 1;
                writeln!(out, "{}: {why}", path.display()).map_err(failed)?;
            }
            for difference in &report.differences {
                writeln!(out, "{}: {difference}", path.display()).map_err(failed)?;
            }
        }
    }
    let counts = format!(
        "{scenarios} scenarios, {checks} checks, {decoded} of them decoded, {differences} differences, \
         {unsupported} unsupported"
    );
    writeln!(out, "{counts}").map_err(failed)?;
    Ok(differences == 0)
}
