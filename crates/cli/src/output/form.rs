//! Tables, CSV and names.

use super::{Cell, Mood, Screen, Table};

/// Columns two spaces apart, each as wide as its longest cell. On a screen with a width the widest column gives way.
pub(super) fn columns(table: &Table, screen: Screen, wide: bool, headed: bool) -> String {
    let shown: Vec<usize> = (0..table.columns.len()).filter(|&at| wide || !table.columns[at].wide).collect();
    let cells: Vec<Vec<String>> =
        table.rows.iter().map(|row| shown.iter().map(|&at| one_line(&row[at].plain())).collect()).collect();
    let headings: Vec<String> = shown.iter().map(|&at| table.columns[at].heading()).collect();
    let mut widths: Vec<usize> = (0..shown.len())
        .map(|at| {
            let heading = if headed { headings[at].chars().count() } else { 0 };
            cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(heading)
        })
        .collect();
    fit(&mut widths, screen.width);
    let right: Vec<bool> = shown.iter().map(|&at| table.rows.iter().any(|row| row[at].is_number())).collect();

    let mut text = String::new();
    let mut line = |row: &[String], paint: &dyn Fn(usize) -> Option<&'static str>| {
        let start = text.len();
        for (at, cell) in row.iter().enumerate() {
            let cut = cut(cell, widths[at]);
            let padding = " ".repeat(widths[at] - cut.chars().count());
            let painted = match paint(at).filter(|_| screen.colour && !cut.is_empty()) {
                Some(colour) => format!("{colour}{cut}\x1b[0m"),
                None => cut,
            };
            if start < text.len() {
                text.push_str("  ");
            }
            match right[at] {
                true => text.extend([padding, painted]),
                false => text.extend([painted, padding]),
            }
        }
        text.truncate(text.trim_end_matches(' ').len().max(start));
        text.push('\n');
    };
    if headed {
        line(&headings, &|_| Some("\x1b[1m"));
    }
    for (row, texts) in table.rows.iter().zip(&cells) {
        line(texts, &|at| colour(&row[shown[at]]));
    }
    text
}

fn colour(cell: &Cell) -> Option<&'static str> {
    match cell {
        Cell::State(_, Mood::Good) | Cell::Alarm(_, Mood::Good) => Some("\x1b[32m"),
        Cell::State(_, Mood::Fair) | Cell::Alarm(_, Mood::Fair) => Some("\x1b[33m"),
        Cell::State(_, Mood::Bad) | Cell::Alarm(_, Mood::Bad) => Some("\x1b[31m"),
        _ => None,
    }
}

/// Takes from the widest column until all fit, but leaves each as much as can be read.
fn fit(widths: &mut [usize], screen: Option<usize>) {
    let Some(screen) = screen else { return };
    loop {
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > WIDTH_MIN) else { return };
        if total <= screen {
            return;
        }
        *widest = widest.saturating_sub(total - screen).max(WIDTH_MIN);
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// What comes from a broker may not move the cursor or change colours.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Values with commas between them; quoted where they have to be. Absent ones are empty.
pub(super) fn csv(table: &Table, headed: bool) -> String {
    let mut text = String::new();
    let mut line = |fields: &mut dyn Iterator<Item = String>| {
        let fields: Vec<String> = fields.map(|field| quoted(&field)).collect();
        text.push_str(&fields.join(","));
        text.push('\n');
    };
    if headed {
        line(&mut table.columns.iter().map(|column| column.key.to_owned()));
    }
    for row in &table.rows {
        line(&mut row.iter().map(|cell| match cell {
            Cell::Absent => String::new(),
            Cell::Flag(flag) => flag.to_string(),
            cell => cell.plain(),
        }));
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The first column, one a line.
pub(super) fn names(table: &Table) -> String {
    table.rows.iter().map(|row| format!("{}\n", row[0].plain())).collect()
}

/// No column is cut below this many characters.
const WIDTH_MIN: usize = 8;
