//! Writes the generated code of `highwater-wire`, or checks it with `--check`.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use highwater_wire_gen::{load, render, stale, write};

fn main() -> ExitCode {
    match run(env::args().any(|a| a == "--check")) {
        Ok(code) => code,
        Err(error) => {
            report(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<ExitCode, Box<dyn Error>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let schema = load(&crates.join("wire/schema"))?;
    let scratch = env::temp_dir().join(format!("highwater-wire-gen-{}", std::process::id()));
    let files = render(&schema, &scratch, &crates.join("../.rustfmt.toml"));
    std::fs::remove_dir_all(&scratch)?;
    let files = files?;
    let folder = crates.join("wire/src/generated");
    if !check {
        write(&files, &folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stale = stale(&files, &folder)?;
    for path in &stale {
        report(&format!("out of date: {}", path.display()));
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stderr, reason = "a command line tool reports on standard error")]
fn report(line: &str) {
    eprintln!("{line}");
}
