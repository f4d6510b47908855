//! The frame that all checkpoint files share: version, count, one line per entry.

use std::fmt::Write as _;

/// Parses a checkpoint's frame and hands each entry's line to `entry`.
///
/// A file without a byte is an empty table: that is what a crash between creation and write leaves.
pub(crate) fn parse_table<T>(bytes: &[u8], entry: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let text = str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let mut lines = text.lines();
    match lines.next().map(|line| line.trim().parse::<i32>()) {
        Some(Ok(0)) => {}
        Some(Ok(version)) => return Err(format!("version {version} where 0 is known")),
        _ => return Err("no version in the first line".to_owned()),
    }
    let count: usize = lines.next().and_then(|line| line.trim().parse().ok()).ok_or("no count in the second line")?;
    // Not reserved from the count, which is only a claim.
    let mut entries = Vec::new();
    for line in lines {
        entries.push(entry(line).ok_or_else(|| format!("line {:?}", line.chars().take(80).collect::<String>()))?);
    }
    if entries.len() != count {
        return Err(format!("{} entries where {count} are announced", entries.len()));
    }
    Ok(entries)
}

/// Writes the frame around `lines`, which come without line ends.
pub(crate) fn format_table(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("0\n{}\n", lines.len());
    for line in lines {
        writeln!(text, "{line}").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8]) -> Result<Vec<u32>, String> {
        parse_table(bytes, |line| line.parse().ok())
    }

    #[test]
    fn an_empty_file_is_an_empty_table() {
        assert_eq!(numbers(b""), Ok(vec![]));
        assert_eq!(numbers(b"0\n0\n"), Ok(vec![]));
    }

    #[test]
    fn wrong_frames_are_refused() {
        for bytes in [&b"1\n0\n"[..], b"0\n", b"0\n2\n5\n", b"0\n1\n5\n6\n", b"0\n1\nx\n", b"0\n\xff", b"x\n0\n", b"\n"]
        {
            assert!(numbers(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = format_table([3, 4].iter().map(ToString::to_string));
        assert_eq!(text, "0\n2\n3\n4\n");
        assert_eq!(numbers(text.as_bytes()), Ok(vec![3, 4]));
    }
}
