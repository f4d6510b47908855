//! How results are printed: one table of rows, in the form that was asked for.

mod form;
mod yaml;

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::{Args, ValueEnum};
use console::Term;
use serde_json::{Map, Value};

use crate::error::CliError;
use crate::timestamp::rfc3339;

/// Arguments about output.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Output {
    /// How to print.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// Leave out the line of headings in tables and CSV.
    #[arg(long, help_heading = "Output")]
    no_headers: bool,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns to read, no wider than the terminal.
    #[default]
    Table,
    /// The same with more columns, as wide as they need to be.
    Wide,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// A YAML list.
    Yaml,
    /// Comma-separated values as in RFC 4180.
    Csv,
    /// The first column alone.
    Name,
}

/// Rows that can be printed in every form.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column: its key in JSON, from which its heading is made.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    key: &'static str,
    wide: bool,
}

/// What a row holds in a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Nothing known; `-` in tables, null in JSON.
    Absent,
    /// Words.
    Text(String),
    /// Words that say whether something is well.
    State(String, Mood),
    /// A number.
    Number(i64),
    /// A number that says whether something is well.
    Alarm(i64, Mood),
    /// Yes or no.
    Flag(bool),
    /// An instant, in milliseconds since 1970. JSON has it as RFC 3339 and, with `_ms` behind the key, as a number.
    Instant(i64),
    /// Several words.
    List(Vec<String>),
    /// Numbers such as node ids.
    Numbers(Vec<i64>),
}

/// How a state is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Green.
    Good,
    /// Yellow.
    Fair,
    /// Red.
    Bad,
}

impl Output {
    /// Whether the output is for people.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Prints to standard output. A reader who has seen enough is no error, as in `… | head`.
    pub(crate) fn print(&self, table: &Table) -> Result<(), CliError> {
        self.text(&self.render(table, Screen::of_stdout()))
    }

    /// Prints text that is for people alone.
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        print(text)
    }

    fn render(&self, table: &Table, screen: Screen) -> String {
        let headed = !self.no_headers;
        match self.format {
            Format::Table => form::columns(table, screen, false, headed),
            Format::Wide => form::columns(table, Screen { width: None, ..screen }, true, headed),
            Format::Json => format!("{:#}\n", table.json()),
            Format::Jsonl => table.objects().map(|object| format!("{object}\n")).collect(),
            Format::Yaml => yaml::document(&table.json()),
            Format::Csv => form::csv(table, headed),
            Format::Name => form::names(table),
        }
    }
}

/// Prints to standard output. A reader who has seen enough is no error.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = BufWriter::new(io::stdout().lock());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::caused("cannot print", &error)),
        _ => Ok(()),
    }
}

/// Prints to standard error, which nobody has to read.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Where a table is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// Its width in characters, where there is one.
    width: Option<usize>,
    colour: bool,
}

impl Screen {
    /// Standard output: a terminal has a width and colours, unless NO_COLOR or CLICOLOR_FORCE say otherwise.
    pub(crate) fn of_stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            width: is_terminal.then(|| usize::from(Term::stdout().size().1)),
            colour: has_colour(is_terminal, |name| std::env::var(name).ok()),
        }
    }

    /// A screen that is neither narrow nor coloured.
    pub(crate) const PLAIN: Self = Self { width: None, colour: false };
}

fn has_colour(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") {
        return true;
    }
    is_terminal && variable("CLICOLOR").as_deref() != Some("0") && variable("TERM").as_deref() != Some("dumb")
}

impl Table {
    /// A table without rows yet.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row(&mut self, row: Vec<Cell>) {
        assert!(row.len() == self.columns.len(), "a row has a cell for each column");
        self.rows.push(row);
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// As columns to read, as they are shown on `screen`.
    pub(crate) fn to_text(&self, screen: Screen) -> String {
        form::columns(self, screen, false, true)
    }

    fn json(&self) -> Value {
        self.objects().collect()
    }

    fn objects(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().map(|row| {
            let mut object = Map::new();
            for (column, cell) in self.columns.iter().zip(row) {
                object.insert(column.key.into(), cell.json());
                if let Cell::Instant(millis) = cell {
                    object.insert(format!("{}_ms", column.key), (*millis).into());
                }
            }
            Value::Object(object)
        })
    }
}

impl Column {
    /// A column that every form has. `key` is in snake_case.
    pub(crate) fn new(key: &'static str) -> Self {
        Self { key, wide: false }
    }

    /// Leaves it out of tables that are not wide.
    #[must_use]
    pub(crate) fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    fn heading(&self) -> String {
        self.key.to_ascii_uppercase().replace('_', "-")
    }
}

impl Cell {
    /// Words.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// What there is, or nothing.
    pub(crate) fn maybe<T: Into<Self>>(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }

    fn json(&self) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Text(text) | Self::State(text, _) => text.as_str().into(),
            Self::Number(number) | Self::Alarm(number, _) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Instant(millis) => rfc3339(*millis).into(),
            Self::List(words) => words.clone().into(),
            Self::Numbers(numbers) => numbers.clone().into(),
        }
    }

    /// As a person reads it.
    fn plain(&self) -> String {
        match self {
            Self::Absent => "-".into(),
            Self::Text(text) | Self::State(text, _) => text.clone(),
            Self::Number(number) | Self::Alarm(number, _) => number.to_string(),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.into(),
            Self::Instant(millis) => rfc3339(*millis),
            Self::List(words) => words.join(","),
            Self::Numbers(numbers) => numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(","),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Alarm(..))
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Table {
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("partition_count"),
            Column::new("created"),
            Column::new("state"),
            Column::new("replicas").wide(),
        ]);
        table.row(vec![
            "orders".into(),
            12.into(),
            Cell::Instant(0),
            Cell::State("ok".into(), Mood::Good),
            Cell::Numbers(vec![1, 2]),
        ]);
        table.row(vec!["a, \"b\"".into(), 3.into(), Cell::Absent, Cell::text("true"), Cell::Numbers(vec![])]);
        table
    }

    fn rendered(format: Format, no_headers: bool) -> String {
        Output { format, no_headers }.render(&topics(), Screen::PLAIN)
    }

    #[test]
    fn tables_fit_their_content() {
        assert_eq!(
            rendered(Format::Table, false),
            "NAME    PARTITION-COUNT  CREATED                   STATE\n\
             orders               12  1970-01-01T00:00:00.000Z  ok\n\
             a, \"b\"                3  -                         true\n"
        );
        assert_eq!(
            rendered(Format::Wide, true),
            "orders  12  1970-01-01T00:00:00.000Z  ok    1,2\n\
             a, \"b\"   3  -                         true\n"
        );
        assert_eq!(rendered(Format::Name, false), "orders\na, \"b\"\n");
    }

    #[test]
    fn programs_get_stable_names_and_types() {
        let first = r#"{"name":"orders","partition_count":12,"created":"1970-01-01T00:00:00.000Z","created_ms":0,"state":"ok","replicas":[1,2]}"#;
        let second = r#"{"name":"a, \"b\"","partition_count":3,"created":null,"state":"true","replicas":[]}"#;
        assert_eq!(rendered(Format::Jsonl, false), format!("{first}\n{second}\n"));
        let array: Value = serde_json::from_str(&rendered(Format::Json, false)).unwrap();
        assert_eq!(array, serde_json::from_str::<Value>(&format!("[{first},{second}]")).unwrap());
        assert_eq!(
            rendered(Format::Csv, false),
            "name,partition_count,created,state,replicas\n\
             orders,12,1970-01-01T00:00:00.000Z,ok,\"1,2\"\n\
             \"a, \"\"b\"\"\",3,,true,\n"
        );
        assert_eq!(
            rendered(Format::Yaml, false),
            "- name: orders\n  partition_count: 12\n  created: 1970-01-01T00:00:00.000Z\n  created_ms: 0\n  state: ok\n\
             \x20 replicas:\n  - 1\n  - 2\n\
             - name: 'a, \"b\"'\n  partition_count: 3\n  created: null\n  state: 'true'\n  replicas: []\n"
        );
    }

    #[test]
    fn narrow_terminals_cut_the_longest_column() {
        let mut table = Table::new(vec![Column::new("code"), Column::new("meaning")]);
        table.row(vec![7.into(), "what was asked did not finish".into()]);
        assert_eq!(
            form::columns(&table, Screen { width: Some(20), colour: false }, false, true),
            "CODE  MEANING\n   7  what was aske…\n"
        );
    }

    #[test]
    fn colour_is_for_terminals_unless_a_variable_says_otherwise() {
        let with = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        assert!(has_colour(true, with(&[])));
        assert!(!has_colour(false, with(&[])));
        assert!(!has_colour(true, with(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")])));
        assert!(has_colour(false, with(&[("CLICOLOR_FORCE", "1")])));
        assert!(!has_colour(false, with(&[("CLICOLOR_FORCE", "0")])));
        assert!(!has_colour(true, with(&[("TERM", "dumb")])));
        let mut table = Table::new(vec![Column::new("state")]);
        table.row(vec![Cell::State("down".into(), Mood::Bad)]);
        let coloured = form::columns(&table, Screen { width: None, colour: true }, false, true);
        assert_eq!(coloured, "\x1b[1mSTATE\x1b[0m\n\x1b[31mdown\x1b[0m\n");
    }
}
