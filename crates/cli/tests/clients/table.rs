//! The table of clients known to work, as the README shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::broker::is_stand_in;

/// What one client was found to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) client: String,
    pub(crate) version: String,
    pub(crate) codecs: String,
    pub(crate) idempotence: String,
    pub(crate) exercised: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<String> = line.trim().trim_matches('|').split('|').map(|c| c.trim().into()).collect();
        let [client, version, codecs, idempotence, exercised] = cells.try_into().ok()?;
        Some(Self { client, version, codecs, idempotence, exercised })
    }

    fn render(&self) -> String {
        let Self { client, version, codecs, idempotence, exercised } = self;
        format!("| {client} | {version} | {codecs} | {idempotence} | {exercised} |")
    }

    /// The row without the version, which moves with the package registries.
    fn features(&self) -> Self {
        Self { version: String::new(), ..self.clone() }
    }
}

/// Notes a row in `target/`, and holds it against the README or writes it there.
///
/// # Panics
///
/// If the README says something else and is not to be updated.
pub(crate) fn record(row: &Row) {
    // The tests of one process take turns at the two files.
    static FILES: Mutex<()> = Mutex::new(());
    let _turn = FILES.lock().unwrap_or_else(PoisonError::into_inner);

    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients.md");
    let noted = fs::read_to_string(&report).unwrap_or_default();
    fs::write(&report, table(&replace(rows(&noted), row))).expect("target/ is writable");
    if is_stand_in() {
        return;
    }

    let path = readme();
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (before, rest) = text.split_once(BEGIN).expect("the README marks where the table begins");
    let (old, after) = rest.split_once(END).expect("the README marks where the table ends");
    if std::env::var("HIGHWATER_UPDATE_README").as_deref() == Ok("1") {
        let new = table(&replace(rows(old), row));
        fs::write(&path, format!("{before}{BEGIN}\n{new}{END}{after}")).expect("the README is writable");
        return;
    }
    let documented = rows(old).into_iter().find(|each| each.client == row.client);
    assert_eq!(
        documented.map(|each| each.features()),
        Some(row.features()),
        "the README's table of clients is out of date; run this test with HIGHWATER_UPDATE_README=1"
    );
}

fn rows(text: &str) -> Vec<Row> {
    // Two lines of heading come first.
    text.lines().filter(|line| line.starts_with('|')).skip(2).filter_map(Row::parse).collect()
}

fn replace(mut rows: Vec<Row>, row: &Row) -> Vec<Row> {
    rows.retain(|each| each.client != row.client);
    rows.push(row.clone());
    rows.sort_by(|a, b| a.client.cmp(&b.client));
    rows
}

fn table(rows: &[Row]) -> String {
    let lines: String = rows.iter().map(|row| row.render() + "\n").collect();
    format!("| client | tested version | codecs | idempotent | exercised |\n| --- | --- | --- | --- | --- |\n{lines}")
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

const BEGIN: &str = "<!-- clients:begin -->";
const END: &str = "<!-- clients:end -->";
