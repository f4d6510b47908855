//! Reads the text of Java properties files.

use std::collections::BTreeMap;

/// Text that is not a properties file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct PropertiesError {
    /// Line of the file, from 1, in which the faulty entry begins.
    pub line: usize,
}

/// Reads a properties file: `key=value`, `key: value` or `key value` a line, `#` and `!` comments, a backslash at the
/// end of a line to go on in the next, and the escapes `\t \n \r \f \uXXXX`; a backslash before any other character
/// stands for that character. The last of several values of a key counts.
///
/// # Errors
///
/// [`PropertiesError`] for a broken `\u` escape. Any other text is some properties file.
pub fn parse_properties(text: &str) -> Result<BTreeMap<String, String>, PropertiesError> {
    let mut properties = BTreeMap::new();
    let mut lines = natural_lines(text).enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut entry = first.to_owned();
        while ends_open(&entry) {
            entry.pop();
            let Some((_, more)) = lines.next() else { break };
            entry.push_str(more.trim_start_matches(is_blank));
        }
        let (key, value) = split(&entry);
        let unescape = |text| unescape(text).ok_or(PropertiesError { line: index + 1 });
        properties.insert(unescape(key)?, unescape(value)?);
    }
    Ok(properties)
}

/// Lines ended by `\n`, `\r` or `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else { return rest.take() };
        let after = &text[end..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&text[..end])
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Whether a line ends in a backslash that is not itself escaped.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Splits an entry at the first separator that is not escaped.
fn split(entry: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = entry.find(|c: char| {
        let ends = !escaped && (is_blank(c) || matches!(c, '=' | ':'));
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = entry.split_at(end.unwrap_or(entry.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(is_blank))
}

/// Replaces escapes; `None` if one is broken.
fn unescape(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    // UTF-16 in between, since two escapes may form one character.
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits =
                        chars.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    chars = chars.as_str()[4..].chars();
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse_properties(text).unwrap().into_iter().collect()
    }

    /// Text, and the one entry in it.
    #[test]
    fn entries_are_read_as_java_reads_them() {
        let cases = [
            ("a=b", "a", "b"),
            ("a = b", "a", "b"),
            ("a:b", "a", "b"),
            ("a : b", "a", "b"),
            ("a b", "a", "b"),
            ("\t \x0c a\tb", "a", "b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("=b", "", "b"),
            ("a==b", "a", "=b"),
            ("a= =b", "a", "=b"),
            ("a = b  ", "a", "b  "),
            ("a=b=c:d e", "a", "b=c:d e"),
            (r"a\=b\:c\ d=e", "a=b:c d", "e"),
            ("a=b#c!d", "a", "b#c!d"),
            ("a=1\na=2", "a", "2"),
            ("# x=1\n  ! y=2\n\n \t\na=b", "a", "b"),
            ("a=b\\\n   c\\\r\n\td", "a", "bcd"),
            ("a=b\\\n#c", "a", "b#c"),
            ("a=b\\\\\n#c", "a", "b\\"),
            ("a=b\\\\\\\nc", "a", "b\\c"),
            ("a=b\\", "a", "b"),
            ("a\\\nb=c", "ab", "c"),
            ("# comment \\\na=b", "a", "b"),
            (r"a=\t\n\r\f\\\q", "a", "\t\n\r\x0c\\q"),
            (r"a=\u0041\u00e9\ud83d\ude00", "a", "A\u{e9}\u{1f600}"),
            (r"a=\ud83d!", "a", "\u{fffd}!"),
            ("a=C:\\\\logs\\\\k", "a", "C:\\logs\\k"),
            ("a=b\r# c\rd", "a", "b"),
        ];
        for (text, key, value) in cases {
            assert!(parsed(text).contains(&(key.to_owned(), value.to_owned())), "{text:?} gives {:?}", parsed(text));
        }
        assert_eq!(parsed("a=b\rc=d\r\ne=f").len(), 3);
        assert_eq!(parsed("# only\n\n  \n"), []);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        for (text, line) in
            [("a=\\u12", 1), ("\n\nb=\\uzzzz", 3), ("a=b\nc=\\\n\\u", 2), ("a=\\u+123", 1), ("a=\\u12\u{e9}", 1)]
        {
            assert_eq!(parse_properties(text), Err(PropertiesError { line }), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z=: \\t\\n\\r\\\\u0-9#é]*") {
            let _ = parse_properties(&text);
        }
    }
}
