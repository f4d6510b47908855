//! Replays recorded log scenarios and compares what comes out, byte for byte.
//!
//! A scenario is a folder with `scenario.json`: settings and steps, each step with its input bytes, time and
//! epoch. Beside it lie what Apache Kafka's storage classes made of them: directories of files and
//! `*.state.json` tables, one per stage, and tables of reads and look-ups. [`replay`] runs the steps against
//! `highwater-log` and lists every difference.

mod clean;
mod compare;
mod scenario;
mod tables;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

pub use scenario::Scenario;

use world::World;

/// What a replay found.
#[derive(Debug, Default)]
pub struct Report {
    /// Things compared: files, state tables, rows of other tables, results of steps.
    pub checks: usize,
    /// Log files among them whose bytes differ, but not what they decode to: batches that were compressed again.
    pub decoded: usize,
    /// What differs, each with its place.
    pub differences: Vec<String>,
    /// Why the scenario cannot be replayed, if it cannot.
    pub unsupported: Option<String>,
}

impl Report {
    /// Counts one check.
    pub fn check(&mut self, place: &str, difference: Option<String>) {
        self.checks += 1;
        if let Some(difference) = difference {
            self.differences.push(format!("{place}: {difference}"));
        }
    }

    /// Counts one check of two values.
    pub fn check_equal<T: PartialEq + std::fmt::Debug>(&mut self, place: &str, actual: &T, expected: &T) {
        let differs = actual != expected;
        self.check(place, differs.then(|| format!("{actual:?} where {expected:?} is expected")));
    }
}

/// All scenario folders at or below `dir`, sorted.
///
/// # Errors
///
/// What the file system says.
pub fn find_scenarios(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    if dir.join("scenario.json").is_file() {
        return Ok(vec![dir.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find_scenarios(&path)?);
        }
    }
    found.sort();
    Ok(found)
}

/// Replays the scenario in `dir`.
///
/// # Errors
///
/// A text if the folder's own files cannot be read; differences are no errors.
pub fn replay(dir: &Path) -> Result<Report, String> {
    let scenario = Scenario::read(dir)?;
    if let Some(why) = scenario.unsupported() {
        return Ok(Report { unsupported: Some(why), ..Report::default() });
    }
    let mut world = World::new(scenario)?;
    world.run()?;
    Ok(world.into_report())
}
