//! Reads the schema's text format, which `crates/wire/schema/README.md` describes.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::schema::{Api, Base, Field, Group, Kind, Message, Schema, Struct, Versions};

/// A mistake in a schema file, with its place.
#[derive(Debug)]
pub struct SchemaError {
    /// File that holds the mistake.
    pub path: PathBuf,
    /// Line, counted from one; zero when it concerns the whole file.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.reason)
    }
}

impl std::error::Error for SchemaError {}

/// A reason with the line it belongs to; the file is added by the caller.
type Mistake = (usize, String);

/// Reads every file of the schema folder `root`.
///
/// # Errors
///
/// The first file that cannot be read, and the first line that does not fit the format.
pub fn load(root: &Path) -> Result<Schema, SchemaError> {
    let mut schema = Schema::default();
    for path in files(&root.join("api"))? {
        schema.apis.push(with_path(&path, parse_api)?);
    }
    schema.apis.sort_by_key(|api| api.key);
    for path in files(&root.join("records"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (doc, messages) = with_path(&path, parse_group)?;
        schema.groups.push(Group { name, doc, messages });
    }
    Ok(schema)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, SchemaError> {
    let fail = |e: std::io::Error| SchemaError { path: folder.to_owned(), line: 0, reason: e.to_string() };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|e| e == "schema") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn with_path<T>(path: &Path, parse: impl Fn(&str) -> Result<T, Mistake>) -> Result<T, SchemaError> {
    let fail = |line, reason| SchemaError { path: path.to_owned(), line, reason };
    let text = fs::read_to_string(path).map_err(|e| fail(0, e.to_string()))?;
    parse(&text).map_err(|(line, reason)| fail(line, reason))
}

/// One significant line: its number, its depth in steps of two spaces, its words.
struct Line<'a> {
    number: usize,
    depth: usize,
    words: Vec<&'a str>,
}

fn lines(text: &str) -> Result<Vec<Line<'_>>, Mistake> {
    let mut out = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let body = raw.trim_start_matches(' ');
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let indent = raw.len() - body.len();
        if indent % 2 != 0 {
            return Err((index + 1, "indentation is not a multiple of two".to_owned()));
        }
        out.push(Line { number: index + 1, depth: indent / 2, words: body.split_whitespace().collect() });
    }
    Ok(out)
}

fn parse_api(text: &str) -> Result<Api, Mistake> {
    let lines = lines(text)?;
    let (head, rest) = lines.split_first().ok_or((0, "empty file".to_owned()))?;
    let (key, name) = match head.words[..] {
        ["api", key, name] => (number(key, head.number)?, name.to_owned()),
        _ => return Err((head.number, "expected `api <key> <name>`".to_owned())),
    };
    let (second, rest) = rest.split_first().ok_or((0, "expected `removed` or `listeners`".to_owned()))?;
    if second.words == ["removed"] {
        return Ok(Api { key, name, listeners: Vec::new(), messages: None });
    }
    let listeners = match second.words.split_first() {
        Some((&"listeners", names)) => names.iter().map(|&n| n.to_owned()).collect(),
        _ => return Err((second.number, "expected `removed` or `listeners`".to_owned())),
    };
    let mut blocks = blocks(rest)?.into_iter();
    let mut next = |kind, suffix: &str| {
        let block = blocks.next().ok_or((0, format!("no {suffix} block")))?;
        let message = parse_message(block, Some((key, format!("{name}{suffix}"))))?;
        if message.kind == kind { Ok(message) } else { Err((block[0].number, format!("expected the {suffix} block"))) }
    };
    let messages = Some((next(Kind::Request, "Request")?, next(Kind::Response, "Response")?));
    Ok(Api { key, name, listeners, messages })
}

fn parse_group(text: &str) -> Result<(String, Vec<Message>), Mistake> {
    let doc = text.lines().next().and_then(|l| l.strip_prefix("# ")).ok_or((1, "no leading comment".to_owned()))?;
    let lines = lines(text)?;
    let messages: Result<_, _> = blocks(&lines)?.into_iter().map(|block| parse_message(block, None)).collect();
    Ok((doc.to_owned(), messages?))
}

/// Splits at the lines that are not indented.
fn blocks<'l, 't>(mut rest: &'l [Line<'t>]) -> Result<Vec<&'l [Line<'t>]>, Mistake> {
    let mut out = Vec::new();
    while let Some(first) = rest.first() {
        if first.depth != 0 {
            return Err((first.number, "unexpected indentation".to_owned()));
        }
        let len = 1 + rest[1..].iter().take_while(|l| l.depth != 0).count();
        let (block, tail) = rest.split_at(len);
        out.push(block);
        rest = tail;
    }
    Ok(out)
}

/// Parses a block: a head line and its fields. `api` is the key and the name that an API file gives.
fn parse_message(block: &[Line<'_>], api: Option<(i16, String)>) -> Result<Message, Mistake> {
    let (head, body) = block.split_first().ok_or((0, "empty block".to_owned()))?;
    let at = head.number;
    let mut words = head.words.iter().copied();
    let kind = match words.next() {
        Some("request") => Kind::Request,
        Some("response") => Kind::Response,
        Some("record") => Kind::Record,
        Some("key") => Kind::Key,
        Some("value") => Kind::Value,
        Some("data") => Kind::Data,
        other => return Err((at, format!("unknown block {other:?}"))),
    };
    let mut word = || words.next().ok_or((at, "head line is too short".to_owned()));
    let (key, name) = match (kind, api) {
        (Kind::Request | Kind::Response, Some((key, name))) => (Some(key), name),
        (Kind::Record | Kind::Key | Kind::Value, None) => (Some(number(word()?, at)?), word()?.to_owned()),
        (Kind::Data, None) => (None, word()?.to_owned()),
        _ => return Err((at, "this block does not belong in this file".to_owned())),
    };
    let versions = parse_versions(word()?, i16::MAX, at)?;
    let mut flexible = None;
    let mut unstable = false;
    while let Some(word) = words.next() {
        match word {
            "flexible" => {
                let range = words.next().ok_or((at, "no version after `flexible`".to_owned()))?;
                flexible = Some(parse_versions(range, versions.max, at)?.min);
            }
            "unstable" => unstable = true,
            other => return Err((at, format!("unknown word {other}"))),
        }
    }
    let mut message = Message { kind, name: name.clone(), key, versions, flexible, unstable, structs: Vec::new() };
    message.structs.push(Struct { name, versions, fields: Vec::new() });
    let rest = parse_fields(body, 1, 0, &mut message)?;
    if let Some(line) = rest.first() {
        return Err((line.number, "unexpected indentation".to_owned()));
    }
    span_shared_structs(&mut message);
    check(&message).map_err(|reason| (at, reason))?;
    Ok(message)
}

/// Parses the fields at `depth` into the structure at `owner`, and what is nested in them.
fn parse_fields<'l, 't>(
    mut lines: &'l [Line<'t>],
    depth: usize,
    owner: usize,
    message: &mut Message,
) -> Result<&'l [Line<'t>], Mistake> {
    while let Some((line, rest)) = lines.split_first().filter(|(line, _)| line.depth == depth) {
        lines = rest;
        let nested = lines.first().is_some_and(|next| next.depth == depth + 1);
        let (name, versions) = if let ["struct", name] = line.words[..] {
            // Narrowed to its uses once the whole message is known.
            ((name.to_owned()), message.versions)
        } else {
            let field = parse_field(line, message.structs[owner].versions, message.versions.max)?;
            let of = if let Base::Struct(name) = &field.base { name.clone() } else { String::new() };
            let versions = field.versions;
            message.structs[owner].fields.push(field);
            (of, versions)
        };
        if !nested {
            continue;
        }
        if name.is_empty() {
            return Err((line.number, "only a structure has nested fields".to_owned()));
        }
        if message.find(&name).is_some() {
            return Err((line.number, format!("{name} is defined twice")));
        }
        message.structs.push(Struct { name, versions, fields: Vec::new() });
        lines = parse_fields(lines, depth + 1, message.structs.len() - 1, message)?;
    }
    Ok(lines)
}

fn parse_field(line: &Line<'_>, parent: Versions, top: i16) -> Result<Field, Mistake> {
    let at = line.number;
    let mut words = line.words.iter().copied().peekable();
    let name = words.next().unwrap_or_default().to_owned();
    let text = words.next().ok_or((at, "no type".to_owned()))?;
    let (text, array) = text.strip_prefix("[]").map_or((text, false), |rest| (rest, true));
    let (text, null) = text.split_once('?').map_or((text, None), |(text, range)| (text, Some(range)));
    let base = Base::parse(text).ok_or((at, format!("unknown type {text}")))?;
    let mut versions = parent;
    if let Some(range) = words.next_if(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
        versions = parse_versions(range, top, at)?;
        if !parent.covers(versions) {
            return Err((at, format!("{versions} is outside the parent's versions {parent}")));
        }
    }
    let nullable = match null {
        None => None,
        Some("") => Some(versions),
        Some(range) => Some(parse_versions(range, versions.max, at)?),
    };
    let mut field = Field { name, base, array, nullable, versions, tag: None, ignorable: false, default: None };
    while let Some(word) = words.next() {
        match word {
            "ignorable" => field.ignorable = true,
            "tag" => {
                let tag = words.next().and_then(|w| w.parse().ok());
                field.tag = Some(tag.ok_or((at, "no number after `tag`".to_owned()))?);
            }
            "=" => {
                let value = words.next().ok_or((at, "no value after `=`".to_owned()))?;
                field.default = Some(value.to_owned());
            }
            other => return Err((at, format!("unknown word {other}"))),
        }
    }
    Ok(field)
}

/// Gives each `struct` block the versions of the fields that use it.
fn span_shared_structs(message: &mut Message) {
    for index in 1..message.structs.len() {
        let name = message.structs[index].name.clone();
        let uses = message.structs.iter().flat_map(|s| &s.fields);
        let uses = uses.filter(|f| matches!(&f.base, Base::Struct(of) if *of == name)).map(|f| f.versions);
        let span = uses.reduce(|a, b| Versions { min: a.min.min(b.min), max: a.max.max(b.max) });
        let Some(span) = span else { continue };
        message.structs[index].versions = span;
        for field in &mut message.structs[index].fields {
            field.versions.min = field.versions.min.max(span.min);
            field.versions.max = field.versions.max.min(span.max);
        }
    }
}

/// What the generated code relies on and the syntax does not guarantee.
fn check(message: &Message) -> Result<(), String> {
    for (index, s) in message.structs.iter().enumerate() {
        let mut tags = BTreeSet::new();
        for field in &s.fields {
            let place = format!("{}.{}", s.name, field.name);
            if let Base::Struct(of) = &field.base
                && message.find(of).is_none()
            {
                return Err(format!("{place}: no structure {of}"));
            }
            if let Some(nullable) = field.nullable
                && !field.versions.covers(nullable)
            {
                return Err(format!("{place}: nullable in {nullable}, which is not in {}", field.versions));
            }
            let Some(tag) = field.tag else { continue };
            if !message.is_flexible(field.versions.min) {
                return Err(format!("{place}: tagged in a version that is not flexible"));
            }
            if 32 <= tag || !tags.insert(tag) {
                return Err(format!("{place}: tag {tag} is taken or above 31"));
            }
            if field.nullable.is_some_and(|n| n != field.versions) {
                return Err(format!("{place}: a tagged field is nullable in all of its versions or in none"));
            }
        }
        for version in s.versions.iter() {
            if min_size(message, s, version, 0)? == 0 && 0 < index {
                return Err(format!("{}: version {version} takes no bytes", s.name));
            }
        }
    }
    Ok(())
}

/// Least number of bytes that `s` takes in `version`.
///
/// # Errors
///
/// A structure that contains itself, which the decoder's bounded depth excludes.
pub(crate) fn min_size(message: &Message, s: &Struct, version: i16, depth: usize) -> Result<usize, String> {
    if 16 < depth {
        return Err(format!("{} contains itself", s.name));
    }
    let flexible = message.is_flexible(version);
    let mut size = usize::from(flexible);
    for field in s.fields.iter().filter(|f| f.versions.contains(version) && f.tag.is_none()) {
        let nullable = field.nullable.is_some_and(|n| n.contains(version));
        let nested = match &field.base {
            Base::Struct(of) => message.find(of).map_or(Ok(0), |s| min_size(message, s, version, depth + 1))?,
            _ => 0,
        };
        size += match &field.base {
            _ if field.array => {
                if flexible {
                    1
                } else {
                    4
                }
            }
            Base::Struct(_) if nullable => 1,
            Base::Struct(_) => nested,
            Base::String => {
                if flexible {
                    1
                } else {
                    2
                }
            }
            Base::Bytes | Base::Records => {
                if flexible {
                    1
                } else {
                    4
                }
            }
            base => base.fixed_size().unwrap_or_default(),
        };
    }
    Ok(size)
}

/// `3`, `3-7`, or `3+` up to `top`.
fn parse_versions(text: &str, top: i16, at: usize) -> Result<Versions, Mistake> {
    let (min, max) = if let Some(min) = text.strip_suffix('+') {
        (number(min, at)?, top)
    } else if let Some((min, max)) = text.split_once('-') {
        (number(min, at)?, number(max, at)?)
    } else {
        let only = number(text, at)?;
        (only, only)
    };
    if min <= max { Ok(Versions { min, max }) } else { Err((at, format!("{text} is empty"))) }
}

fn number(text: &str, at: usize) -> Result<i16, Mistake> {
    text.parse().map_err(|_| (at, format!("{text} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "api 9 Nine\nlisteners broker\n";

    fn api(request: &str) -> Result<Api, Mistake> {
        parse_api(&format!("{API}{request}response 0-2\n  A int8\n"))
    }

    #[test]
    fn a_field_has_type_versions_tag_and_default() {
        let api = api(
            "# comment\nrequest 0-2 flexible 1+ unstable\n  Name []int32?1+ 0-1\n  T string 2+ tag 3 ignorable = x\n",
        )
        .unwrap();
        let (request, _) = api.messages.unwrap();
        assert_eq!((request.name.as_str(), request.flexible, request.unstable), ("NineRequest", Some(1), true));
        let [name, tagged] = &request.structs[0].fields[..] else { panic!("two fields") };
        assert_eq!((name.array, &name.base, name.versions), (true, &Base::Int32, Versions { min: 0, max: 1 }));
        assert_eq!(name.nullable, Some(Versions { min: 1, max: 1 }));
        assert_eq!((tagged.tag, tagged.ignorable, tagged.default.as_deref()), (Some(3), true, Some("x")));
        assert_eq!(tagged.versions, Versions { min: 2, max: 2 });
    }

    #[test]
    fn nested_structures_inherit_the_versions_of_their_field() {
        let api = api("request 0-2\n  Topics []Topic 1+\n    Name string\n    Parts []int32 2+\n").unwrap();
        let (request, _) = api.messages.unwrap();
        let topic = request.find("Topic").unwrap();
        assert_eq!(topic.versions, Versions { min: 1, max: 2 });
        assert_eq!(topic.fields[0].versions, topic.versions);
        assert_eq!(min_size(&request, topic, 1, 0), Ok(2));
        assert_eq!(min_size(&request, topic, 2, 0), Ok(6));
    }

    #[test]
    fn a_shared_structure_has_the_versions_of_its_uses() {
        let fields = "request 0-2\n  A P 1+\n  B []P 2+\n  struct P\n    X int8\n";
        let (request, _) = api(fields).unwrap().messages.unwrap();
        assert_eq!(request.find("P").unwrap().versions, Versions { min: 1, max: 2 });
    }

    #[test]
    fn mistakes_have_a_line_and_a_reason() {
        for (request, line, reason) in [
            ("request 0-2\n  A int7\n", 4, "unknown type int7"),
            ("request 0-2\n  A int8 1-3\n    B int8\n", 4, "1-3 is outside the parent's versions 0-2"),
            ("request 0-2\n A int8\n", 4, "indentation is not a multiple of two"),
            ("request 0-2\n  A int8 = 1 maybe\n", 4, "unknown word maybe"),
            ("request 0-2\n  A int8\n    B int8\n", 4, "only a structure has nested fields"),
            ("request 0-2\n  A S\n", 3, "NineRequest.A: no structure S"),
            ("request 0-2\n  A []S\n    B []S\n", 3, "S contains itself"),
            (
                "request 0-2 flexible 1+\n  A int8 0+ tag 0\n",
                3,
                "NineRequest.A: tagged in a version that is not flexible",
            ),
            ("request 2-1\n  A int8\n", 3, "2-1 is empty"),
        ] {
            let (at, why) = api(request).unwrap_err();
            assert_eq!((at, why.as_str()), (line, reason), "{request}");
        }
    }
}
