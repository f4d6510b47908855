//! Runs a file of validator cases: `validator-cases FILE`.
//!
//! Prints each difference, and the counts on the last line. Exits with 1 if there is any difference and with 2
//! if the file cannot be used.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

use std::process::ExitCode;

use highwater_testsupport::validator_cases;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: validator-cases FILE");
        return ExitCode::from(2);
    };
    let cases = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    match cases.and_then(|cases| validator_cases::run(&cases)) {
        Ok(report) => {
            for difference in &report.differences {
                println!("{difference}");
            }
            println!("{} cases, {} differences", report.cases, report.differences.len());
            ExitCode::from(u8::from(!report.differences.is_empty()))
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::from(2)
        }
    }
}
