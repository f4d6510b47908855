//! The tables of clients known to work, as the README shows them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::broker::is_stand_in;

/// One of the tables.
#[derive(Debug)]
pub(crate) struct Table {
    /// Names it in the README's marks and in `target/`.
    name: &'static str,
    columns: &'static [&'static str],
    /// Leading columns that tell the rows apart.
    keys: usize,
}

/// What clients do without groups.
pub(crate) const CLIENTS: Table =
    Table { name: "clients", columns: &["client", "tested version", "codecs", "idempotent", "exercised"], keys: 1 };

/// What they do in groups.
pub(crate) const GROUPS: Table =
    Table { name: "groups", columns: &["client", "group protocol", "tested version", "exercised"], keys: 2 };

/// Moves with the package registries, so that it is written but not compared.
const VERSION: &str = "tested version";

/// Cells in the order of the columns.
type Row = Vec<String>;

impl Table {
    /// Notes a row in `target/`, and holds it against the README or writes it there.
    ///
    /// # Panics
    ///
    /// If the README says something else and is not to be updated.
    pub(crate) fn record<const N: usize>(&self, cells: [&str; N]) {
        // The tests of one process take turns at the files.
        static FILES: Mutex<()> = Mutex::new(());
        let _turn = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(N, self.columns.len(), "cells of a row of {self:?}");
        let row: Row = cells.map(str::to_owned).into();

        let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.md", self.name));
        let noted = fs::read_to_string(&report).unwrap_or_default();
        fs::write(&report, self.render(&self.replace(self.rows(&noted), &row))).expect("target/ is writable");
        if is_stand_in() {
            return;
        }

        let path = readme();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (begin, end) = (format!("<!-- {}:begin -->", self.name), format!("<!-- {}:end -->", self.name));
        let (before, rest) = text.split_once(&begin).expect("the README marks where the table begins");
        let (old, after) = rest.split_once(&end).expect("the README marks where the table ends");
        if std::env::var("HIGHWATER_UPDATE_README").as_deref() == Ok("1") {
            let new = self.render(&self.replace(self.rows(old), &row));
            fs::write(&path, format!("{before}{begin}\n{new}{end}{after}")).expect("the README is writable");
            return;
        }
        let documented = self.rows(old).into_iter().find(|each| self.key(each) == self.key(&row));
        assert_eq!(
            documented.map(|each| self.features(&each)),
            Some(self.features(&row)),
            "the README's table of {} is out of date; run this test with HIGHWATER_UPDATE_README=1",
            self.name
        );
    }

    fn key<'a>(&self, row: &'a Row) -> &'a [String] {
        &row[..self.keys]
    }

    /// The row without the version.
    fn features(&self, row: &Row) -> Row {
        let compared = row.iter().zip(self.columns).filter(|(_, column)| **column != VERSION);
        compared.map(|(cell, _)| cell.clone()).collect()
    }

    fn rows(&self, text: &str) -> Vec<Row> {
        // Two lines of heading come first.
        let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
        let cells = |line: &str| line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        lines.map(cells).filter(|row: &Row| row.len() == self.columns.len()).collect()
    }

    fn replace(&self, mut rows: Vec<Row>, row: &Row) -> Vec<Row> {
        rows.retain(|each| self.key(each) != self.key(row));
        rows.push(row.clone());
        rows.sort();
        rows
    }

    fn render(&self, rows: &[Row]) -> String {
        let heading = [self.columns.join(" | "), vec!["---"; self.columns.len()].join(" | ")];
        let lines = heading.into_iter().chain(rows.iter().map(|row| row.join(" | ")));
        lines.map(|line| format!("| {line} |\n")).collect()
    }
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}
