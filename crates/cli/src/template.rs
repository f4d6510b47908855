//! How a record is written for people and for programs: format strings, kcat's `%` escapes, kcat's JSON envelope.

use std::borrow::Cow;

use highwater_records::TimestampType;
use serde_json::{Map, Value};

use crate::timestamp::rfc3339;

/// A record as it is printed.
#[derive(Clone, Debug)]
pub(crate) struct Shown<'a> {
    /// The topic.
    pub(crate) topic: &'a str,
    /// The partition.
    pub(crate) partition: i32,
    /// The offset.
    pub(crate) offset: i64,
    /// Milliseconds since 1970, if it has a timestamp.
    pub(crate) timestamp: Option<(TimestampType, i64)>,
    /// The key.
    pub(crate) key: Option<&'a [u8]>,
    /// The value.
    pub(crate) value: Option<&'a [u8]>,
    /// The headers.
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// The node it was read from.
    pub(crate) broker: Option<i32>,
}

/// A format string that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Field(Field),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Topic,
    Partition,
    Offset,
    Timestamp(Clock),
    Key(Text),
    Value(Text),
    KeySize,
    /// Size of the value, with -1 for none.
    ValueSize,
    /// Size of the value as four bytes, most significant first.
    ValueSizeBytes,
    Headers,
    HeadersJson,
    Header(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Millis,
    Rfc3339,
    Kind,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// As they are; nothing for none.
    Raw,
    /// As a JSON value: JSON as it is, other text as a string, null for none.
    Json,
    /// As a JSON string, null for none.
    Quoted,
    Hex,
    Base64,
}

/// Why a format string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    /// Where, counted in characters from zero.
    at: usize,
    what: String,
}

impl std::error::Error for TemplateError {}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at character {}", self.what, self.at)
    }
}

impl Template {
    /// Reads a format string: kcat's if it has a `%` escape in it, else ours with fields in braces.
    ///
    /// `\n`, `\t`, `\r`, `\0`, `\\` and `\xHH` are what they are everywhere.
    pub(crate) fn parse(format: &str) -> Result<Self, TemplateError> {
        let chars: Vec<char> = format.chars().collect();
        let is_kcat = chars.windows(2).any(|pair| pair[0] == '%' && KCAT.contains(pair[1]));
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let field = match c {
                '\\' => {
                    at = escape(&chars, at, &mut literal)?;
                    continue;
                }
                '%' if is_kcat => {
                    let field = kcat(chars.get(at + 1), at)?;
                    at += 2;
                    field
                }
                '{' if !is_kcat && chars.get(at + 1) == Some(&'{') => {
                    at += 2;
                    literal.push(b'{');
                    continue;
                }
                '}' if !is_kcat && chars.get(at + 1) == Some(&'}') => {
                    at += 2;
                    literal.push(b'}');
                    continue;
                }
                '{' if !is_kcat => {
                    let length = chars[at..].iter().position(|&c| c == '}');
                    let length = length.ok_or(TemplateError { at, what: "a brace that is not closed".into() })?;
                    let name: String = chars[at + 1..at + length].iter().collect();
                    let field = braced(&name).ok_or_else(|| TemplateError { at, what: unknown(&name) })?;
                    at += length + 1;
                    Some(field)
                }
                c => {
                    literal.extend(c.encode_utf8(&mut [0; 4]).bytes());
                    at += 1;
                    continue;
                }
            };
            match field {
                None => literal.push(b'%'),
                Some(field) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Field(field));
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    /// Appends a record to `out`.
    pub(crate) fn render(&self, record: &Shown<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Field(field) => write_field(field, record, out),
            }
        }
    }
}

/// The record as `kcat -J` prints it, so that scripts made for it carry over.
pub(crate) fn envelope(record: &Shown<'_>) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), record.topic.into());
    object.insert("partition".into(), record.partition.into());
    object.insert("offset".into(), record.offset.into());
    if let Some((kind, millis)) = record.timestamp {
        object.insert("tstype".into(), kind_name(kind).into());
        object.insert("ts".into(), millis.into());
    }
    if let Some(broker) = record.broker {
        object.insert("broker".into(), broker.into());
    }
    if !record.headers.is_empty() {
        let flat = record.headers.iter().flat_map(|(name, value)| [Value::from(*name), quoted(*value)]);
        object.insert("headers".into(), flat.collect());
    }
    object.insert("key".into(), quoted(record.key));
    object.insert("payload".into(), quoted(record.value));
    Value::Object(object)
}

fn kind_name(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "logappend",
    }
}

fn write_field(field: &Field, record: &Shown<'_>, out: &mut Vec<u8>) {
    let text: Cow<'_, str> = match field {
        Field::Topic => record.topic.into(),
        Field::Partition => record.partition.to_string().into(),
        Field::Offset => record.offset.to_string().into(),
        Field::Timestamp(clock) => match (clock, record.timestamp) {
            (Clock::Millis, timestamp) => timestamp.map_or(-1, |(_, millis)| millis).to_string().into(),
            (Clock::Rfc3339, Some((_, millis))) => rfc3339(millis).into(),
            (Clock::Kind, Some((kind, _))) => kind_name(kind).into(),
            (_, None) => "".into(),
        },
        Field::Key(text) => return write_bytes(*text, record.key, out),
        Field::Value(text) => return write_bytes(*text, record.value, out),
        Field::KeySize => size(record.key).to_string().into(),
        Field::ValueSize => size(record.value).to_string().into(),
        Field::ValueSizeBytes => {
            let size = i32::try_from(size(record.value)).unwrap_or(i32::MAX);
            out.extend_from_slice(&size.to_be_bytes());
            return;
        }
        Field::Headers => {
            for (at, (name, value)) in record.headers.iter().enumerate() {
                if 0 < at {
                    out.push(b',');
                }
                out.extend_from_slice(name.as_bytes());
                out.push(b'=');
                out.extend_from_slice(value.unwrap_or(b"NULL"));
            }
            return;
        }
        Field::HeadersJson => {
            let object: Map<_, _> =
                record.headers.iter().map(|(name, value)| ((*name).to_owned(), quoted(*value))).collect();
            Value::Object(object).to_string().into()
        }
        Field::Header(wanted) => {
            let found = record.headers.iter().rev().find(|(name, _)| name == wanted);
            return write_bytes(Text::Raw, found.and_then(|(_, value)| *value), out);
        }
    };
    out.extend_from_slice(text.as_bytes());
}

fn write_bytes(text: Text, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match (text, bytes) {
        (Text::Raw, bytes) => out.extend_from_slice(bytes.unwrap_or_default()),
        (Text::Json, Some(bytes)) => {
            let value = serde_json::from_slice(bytes).unwrap_or_else(|_| quoted(Some(bytes)));
            out.extend_from_slice(value.to_string().as_bytes());
        }
        (Text::Json | Text::Quoted, bytes) => out.extend_from_slice(quoted(bytes).to_string().as_bytes()),
        (Text::Hex, bytes) => {
            for byte in bytes.unwrap_or_default() {
                out.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
        }
        (Text::Base64, bytes) => base64(bytes.unwrap_or_default(), out),
    }
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at)) & 63;
            out.push(if at <= chunk.len() { ALPHABET[six as usize] } else { b'=' });
        }
    }
}

/// Bytes as a JSON string; what is not UTF-8 becomes replacement characters. Null for none.
fn quoted(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into())
}

fn size(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

/// Reads the escape at `at` and returns where it ends.
fn escape(chars: &[char], at: usize, literal: &mut Vec<u8>) -> Result<usize, TemplateError> {
    let byte = match chars.get(at + 1) {
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('r') => b'\r',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits: String = chars[at + 2..].iter().take(2).collect();
            let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2 && !digits.starts_with('+'));
            let byte = byte.ok_or(TemplateError { at, what: "\\x without two hexadecimal digits".into() })?;
            literal.push(byte);
            return Ok(at + 4);
        }
        _ => {
            literal.push(b'\\');
            return Ok(at + 1);
        }
    };
    literal.push(byte);
    Ok(at + 2)
}

/// A `%` escape; `None` stands for `%` itself.
fn kcat(letter: Option<&char>, at: usize) -> Result<Option<Field>, TemplateError> {
    Ok(Some(match letter {
        Some('%') => return Ok(None),
        Some('t') => Field::Topic,
        Some('p') => Field::Partition,
        Some('o') => Field::Offset,
        Some('k') => Field::Key(Text::Raw),
        Some('s') => Field::Value(Text::Raw),
        Some('S') => Field::ValueSize,
        Some('R') => Field::ValueSizeBytes,
        Some('K') => Field::KeySize,
        Some('T') => Field::Timestamp(Clock::Millis),
        Some('h') => Field::Headers,
        Some(other) => return Err(TemplateError { at, what: format!("no escape %{other}") }),
        None => return Err(TemplateError { at, what: "a % at the end".into() }),
    }))
}

fn braced(name: &str) -> Option<Field> {
    let (field, how) = name.split_once(':').map_or((name, None), |(field, how)| (field, Some(how)));
    let text = match how {
        None | Some("raw") => Some(Text::Raw),
        Some("json") => Some(Text::Json),
        Some("string") => Some(Text::Quoted),
        Some("hex") => Some(Text::Hex),
        Some("base64") => Some(Text::Base64),
        Some(_) => None,
    };
    match (field, how) {
        ("topic", None) => Some(Field::Topic),
        ("partition", None) => Some(Field::Partition),
        ("offset", None) => Some(Field::Offset),
        ("ts", None | Some("ms")) => Some(Field::Timestamp(Clock::Millis)),
        ("ts", Some("rfc3339")) => Some(Field::Timestamp(Clock::Rfc3339)),
        ("tstype", None) => Some(Field::Timestamp(Clock::Kind)),
        ("key", Some("size")) => Some(Field::KeySize),
        ("value", Some("size")) => Some(Field::ValueSize),
        ("key", _) => text.map(Field::Key),
        ("value", _) => text.map(Field::Value),
        ("headers", None) => Some(Field::Headers),
        ("headers", Some("json")) => Some(Field::HeadersJson),
        ("header", Some(name)) => Some(Field::Header(name.to_owned())),
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    format!(
        "no field {{{name}}}; there are {{topic}}, {{partition}}, {{offset}}, {{ts}}, {{tstype}}, {{key}}, {{value}}, \
         {{headers}} and {{header:NAME}}"
    )
}

/// The letters behind kcat's `%`.
const KCAT: &str = "tpoksSRKTh";

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Shown<'static> {
        Shown {
            topic: "orders",
            partition: 3,
            offset: 42,
            timestamp: Some((TimestampType::CreateTime, 1_767_225_600_250)),
            key: Some(b"k"),
            value: Some(b"{\"a\": 1}"),
            headers: vec![("src", Some(b"web")), ("none", None)],
            broker: Some(1),
        }
    }

    fn rendered(format: &str, record: &Shown<'_>) -> String {
        let mut out = Vec::new();
        Template::parse(format).unwrap().render(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn braces_name_fields() {
        let record = record();
        for (format, expected) in [
            (
                r"{ts:rfc3339} {topic}[{partition}]@{offset} {key} {value:json}\n",
                "2026-01-01T00:00:00.250Z orders[3]@42 k {\"a\":1}\n",
            ),
            ("{ts} {tstype}", "1767225600250 create"),
            ("{key:hex} {key:base64} {value:size} {key:string}", "6b aw== 8 \"k\""),
            ("{headers} {headers:json}", r#"src=web,none=NULL {"src":"web","none":null}"#),
            ("{header:src}/{header:none}/{header:x}", "web//"),
            (r"{{}}\t\\\x41\q", "{}\t\\A\\q"),
            ("100%", "100%"),
        ] {
            assert_eq!(rendered(format, &record), expected, "{format}");
        }
    }

    #[test]
    fn percent_escapes_are_kcats() {
        let record = record();
        assert_eq!(
            rendered(r"%t %p %o %k %s %S %K %T %h %%{}\n", &record),
            "orders 3 42 k {\"a\": 1} 8 1 1767225600250 src=web,none=NULL %{}\n"
        );
        let bare = Shown { key: None, value: None, headers: vec![], timestamp: None, ..record };
        assert_eq!(rendered("%k,%s,%S,%K,%T,%h", &bare), ",,-1,-1,-1,");
        assert_eq!(rendered("%R|%t", &Shown { value: Some(b"ab"), ..bare }), "\0\0\0\u{2}|orders");
    }

    #[test]
    fn nothing_and_what_is_no_json_are_told_apart() {
        let record = Shown { key: None, value: Some(b"caf\xc3\xa9 \"x\""), ..record() };
        assert_eq!(rendered("{key:json} {value:json}", &record), "null \"café \\\"x\\\"\"");
    }

    #[test]
    fn bytes_in_base64() {
        for (bytes, text) in [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            let mut out = Vec::new();
            base64(bytes, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (format, told) in [
            ("{topic", "a brace that is not closed at character 0"),
            ("%t %z", "no escape %z at character 3"),
            ("%t %", "a % at the end at character 3"),
            (r"a\x4", "\\x without two hexadecimal digits at character 1"),
        ] {
            assert_eq!(Template::parse(format).unwrap_err().to_string(), told);
        }
        assert!(Template::parse("{nope}").unwrap_err().to_string().starts_with("no field {nope}; there are"));
    }

    #[test]
    fn the_envelope_has_kcats_fields_in_kcats_order() {
        assert_eq!(
            envelope(&record()).to_string(),
            r#"{"topic":"orders","partition":3,"offset":42,"tstype":"create","ts":1767225600250,"broker":1,"headers":["src","web","none",null],"key":"k","payload":"{\"a\": 1}"}"#
        );
        let bare = Shown { key: None, value: None, headers: vec![], timestamp: None, broker: None, ..record() };
        let expected = r#"{"topic":"orders","partition":3,"offset":42,"key":null,"payload":null}"#;
        assert_eq!(envelope(&bare).to_string(), expected);
    }
}
