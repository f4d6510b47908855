//! Records as they are read.

use std::io::{BufRead, Read};

use serde_json::Value;

use crate::error::{CliError, Kind};

/// A record as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// The key.
    pub(crate) key: Option<Vec<u8>>,
    /// The value.
    pub(crate) value: Option<Vec<u8>>,
    /// The headers.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// The partition.
    pub(crate) partition: Option<i64>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: Option<i64>,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A value.
    Value,
    /// A key, this, and a value; without this, a value alone.
    Delimited(Vec<u8>),
    /// A JSON object.
    Json,
}

/// Reads records line by line.
pub(crate) struct Lines<R> {
    source: R,
    shape: Shape,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads lines of that shape.
    pub(crate) fn new(source: R, shape: Shape) -> Self {
        Self { source, shape, number: 0 }
    }

    /// The next record, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Given>, CliError> {
        let mut line = Vec::new();
        let mut limited = Read::take(&mut self.source, LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).map_err(|error| CliError::caused("cannot read records", &error))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if LINE_BYTES_MAX <= line.len() as u64 {
            let why = format!("it has more than {LINE_BYTES_MAX} bytes");
            return Err(CliError::new(Kind::Failed, format!("line {} is too long", self.number), why));
        }
        match &self.shape {
            Shape::Value => Ok(Some(Given { value: Some(line), ..Given::default() })),
            Shape::Delimited(delim) => Ok(Some(delimited(&line, delim))),
            Shape::Json => json(&line).map(Some).map_err(|why| {
                CliError::new(Kind::Failed, format!("line {} is no record", self.number), why)
                    .hint(r#"write {"key": "k", "value": "v", "headers": {"a": "b"}}"#)
            }),
        }
    }
}

fn delimited(line: &[u8], delim: &[u8]) -> Given {
    let at = if delim.is_empty() { None } else { line.windows(delim.len()).position(|window| window == delim) };
    let (key, value) = match at {
        Some(at) => (Some(line[..at].to_vec()), &line[at + delim.len()..]),
        None => (None, line),
    };
    Given { key, value: Some(value.to_vec()), ..Given::default() }
}

fn json(line: &[u8]) -> Result<Given, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let object = value.as_object().ok_or("it is no JSON object")?;
    let number = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(format!("{name} is no whole number")),
    };
    let headers = match object.get("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(headers)) => headers.iter().map(|(name, value)| (name.clone(), bytes(value))).collect(),
        // kcat's are names and values in turn.
        Some(Value::Array(flat)) => flat
            .chunks(2)
            .map(|pair| {
                let name = pair.first().and_then(Value::as_str).ok_or("the name of a header is no text")?;
                Ok((name.to_owned(), pair.get(1).and_then(bytes)))
            })
            .collect::<Result<_, &str>>()?,
        Some(_) => return Err("headers are no object".into()),
    };
    Ok(Given {
        key: object.get("key").and_then(bytes),
        value: object.get("value").or_else(|| object.get("payload")).and_then(bytes),
        headers,
        partition: number("partition")?,
        timestamp: number("ts")?,
    })
}

/// Text as it is, other JSON as JSON.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

/// As large as an answer or a request may be.
const LINE_BYTES_MAX: u64 = 100 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, shape: Shape) -> Result<Vec<Given>, CliError> {
        let mut lines = Lines::new(text.as_bytes(), shape);
        std::iter::from_fn(|| lines.next().transpose()).collect()
    }

    fn pair(key: Option<&str>, value: &str) -> Given {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Given { key: key.map(bytes), value: Some(bytes(value)), ..Given::default() }
    }

    #[test]
    fn lines_are_values_or_keys_and_values() {
        assert_eq!(all("a\n\nb", Shape::Value).unwrap(), [pair(None, "a"), pair(None, ""), pair(None, "b")]);
        let delimited = all("k::v::w\nx\n::y\n", Shape::Delimited(b"::".to_vec())).unwrap();
        assert_eq!(delimited, [pair(Some("k"), "v::w"), pair(None, "x"), pair(Some(""), "y")]);
    }

    #[test]
    fn objects_are_ours_or_kcats() {
        let ours = r#"{"key":"k","value":{"a":1},"headers":{"h":"x","n":null},"partition":2,"ts":5}"#;
        let kcats =
            r#"{"topic":"t","key":"k","payload":"{\"a\":1}","headers":["h","x","n",null],"partition":2,"ts":5}"#;
        let read = all(&format!("{ours}\n{kcats}\n"), Shape::Json).unwrap();
        assert_eq!(read[0], read[1]);
        assert_eq!(read[0].headers, [("h".into(), Some(b"x".to_vec())), ("n".into(), None)]);
        assert_eq!((read[0].partition, read[0].timestamp), (Some(2), Some(5)));
        for wrong in ["x", "[]", r#"{"partition":"a"}"#, r#"{"headers":1}"#] {
            assert_eq!(all(wrong, Shape::Json).unwrap_err().kind(), Kind::Failed, "{wrong}");
        }
    }
}
