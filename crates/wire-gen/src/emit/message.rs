//! One file per top-level structure: the types, their defaults, how they are read and written.

use crate::parse::min_size;
use crate::schema::{Base, Kind, Message, Struct};

use super::field::FieldCode;

/// Whether the Rust type of `s` has a lifetime.
pub(super) fn borrows(message: &Message, s: &Struct) -> bool {
    has_tags(message, s)
        || s.fields.iter().any(|f| {
            f.array
                || match &f.base {
                    Base::String | Base::Bytes | Base::Records => true,
                    Base::Struct(name) => message.find(name).is_some_and(|s| borrows(message, s)),
                    _ => false,
                }
        })
}

/// Whether `s` is flexible, and so may carry tagged fields, in some version.
fn has_tags(message: &Message, s: &Struct) -> bool {
    message.is_flexible(s.versions.max)
}

/// Whether some field holds `s` or null.
fn is_nullable(message: &Message, s: &Struct) -> bool {
    let mut fields = message.structs.iter().flat_map(|s| &s.fields);
    fields.any(|f| f.is_nullable() && !f.array && f.base == Base::Struct(s.name.clone()))
}

/// The text of a message's module.
pub(super) fn file(message: &Message) -> String {
    let root = &message.structs[0];
    let mut body = String::new();
    for s in &message.structs {
        body.push_str(&definition(message, s));
    }
    body.push_str(&message_impl(message, root));
    let mut text = format!("//! [`{}`]: {}.\n\n", message.name, summary(message));
    text.push_str(&imports(&body));
    text.push_str(&body);
    text
}

/// Imports exactly what the text uses, so that no lint has to be silenced.
fn imports(body: &str) -> String {
    let mut text = String::new();
    if body.contains("Cow<") {
        text.push_str("use std::borrow::Cow;\n\n");
    }
    if body.contains("Uuid") {
        text.push_str("use highwater_types::Uuid;\n\n");
    }
    let names = [
        "Array<",
        "DecodeError",
        "Element<",
        "EncodeError",
        "Message<",
        "Nullable<",
        "Reader<",
        "Records",
        "Sink",
        "TaggedFields",
        "VersionRange",
        "Writer<",
        "not_in_version(",
        "read_tagged_struct(",
        "required(",
    ];
    let used = names.iter().filter(|n| contains_word(body, n)).map(|n| n.trim_end_matches(['<', '(', ',']));
    text.push_str(&format!("use crate::runtime::{{{}, Version}};\n\n", used.collect::<Vec<_>>().join(", ")));
    text
}

/// Whether `word` starts at a word boundary somewhere in `text`.
fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn summary(message: &Message) -> String {
    let what = match (message.kind, message.key) {
        (Kind::Request, Some(key)) => format!("request body of API key {key}"),
        (Kind::Response, Some(key)) => format!("response body of API key {key}"),
        (Kind::Record, Some(key)) => format!("metadata record type {key}"),
        (Kind::Key, Some(key)) => format!("key of record type {key}"),
        (Kind::Value, Some(key)) => format!("value of record type {key}"),
        _ => "embedded structure".to_owned(),
    };
    let flexible = match message.flexible {
        Some(from) if from <= message.versions.min => ", flexible".to_owned(),
        Some(from) => format!(", flexible from {from}"),
        None => String::new(),
    };
    let plural = if message.versions.min == message.versions.max { "" } else { "s" };
    format!("{what}, version{plural} {}{flexible}", message.versions)
}

fn definition(message: &Message, s: &Struct) -> String {
    let lifetime = if borrows(message, s) { "<'a>" } else { "" };
    let fields: Vec<FieldCode<'_>> =
        s.fields.iter().map(|field| FieldCode { message, within: s.versions, owner: &s.name, field }).collect();
    let natural = fields.iter().all(FieldCode::has_natural_default);
    let derives = if natural { "Clone, Debug, Default, PartialEq" } else { "Clone, Debug, PartialEq" };
    let doc = if s.name == message.name {
        capitalised(&summary(message))
    } else {
        format!("`{}` of `{}`, versions {}", s.name, message.name, s.versions)
    };

    let mut text = format!("/// {doc}.\n#[derive({derives})]\npub struct {}{lifetime} {{\n", s.name);
    for f in &fields {
        text.push_str(&format!("/// {}\npub {}: {},\n", f.doc(), f.name(), f.rust_type()));
    }
    if has_tags(message, s) {
        text.push_str(
            "/// Tagged fields that the schema does not know.\npub unknown_tagged_fields: TaggedFields<'a>,\n",
        );
    }
    text.push_str("}\n\n");
    if !natural {
        text.push_str(&default_impl(message, s, &fields, lifetime));
    }
    text.push_str(&element_impl(message, s, &fields, lifetime));
    text
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn default_impl(message: &Message, s: &Struct, fields: &[FieldCode<'_>], lifetime: &str) -> String {
    let elided = if lifetime.is_empty() { "" } else { "<'_>" };
    let mut text = format!("impl Default for {}{elided} {{ fn default() -> Self {{ Self {{\n", s.name);
    for f in fields {
        text.push_str(&format!("{}: {},\n", f.name(), f.default()));
    }
    if has_tags(message, s) {
        text.push_str("unknown_tagged_fields: TaggedFields::new(),\n");
    }
    text.push_str("} } }\n\n");
    text
}

fn element_impl(message: &Message, s: &Struct, fields: &[FieldCode<'_>], lifetime: &str) -> String {
    let sizes = s.versions.iter().map(|v| min_size(message, s, v, 0).unwrap_or_default());
    let min = sizes.min().unwrap_or_default();
    let (read, write) = (read_body(message, s, fields), write_body(message, s, fields));
    let name = |name: &'static str, body: &str| if uses(body, name) { name } else { "_" };
    let (r, read_v) = (name("r", &read), name("v", &read));
    let (sink, write_v) = (name("s", &write), name("v", &write));
    format!(
        "impl<'a> Element<'a> for {}{lifetime} {{\n\
         const MIN_SIZE: usize = {min};\n\n\
         fn read({r}: &mut Reader<'a>, {read_v}: Version) -> Result<Self, DecodeError> {{\n{read}}}\n\n\
         fn write<S: Sink>(&self, {sink}: &mut S, {write_v}: Version) -> Result<(), EncodeError> {{\n{write}Ok(())\n}}\n}}\n\n\
         {}",
        s.name,
        if is_nullable(message, s) {
            format!("impl<'a> Nullable<'a> for {}{lifetime} {{}}\n\n", s.name)
        } else {
            String::new()
        },
    )
}

/// Whether `name` occurs in `body` as a whole word.
fn uses(body: &str, name: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

/// The tagged fields in the order of their tags.
fn tagged<'f, 's>(fields: &'f [FieldCode<'s>]) -> Vec<(u32, &'f FieldCode<'s>)> {
    let mut tagged: Vec<_> = fields.iter().filter_map(|f| f.field.tag.map(|tag| (tag, f))).collect();
    tagged.sort_by_key(|(tag, _)| *tag);
    tagged
}

fn read_body(message: &Message, s: &Struct, fields: &[FieldCode<'_>]) -> String {
    let mut text = String::new();
    for f in fields.iter().filter(|f| f.field.tag.is_none()) {
        text.push_str(&f.read());
    }
    let tags = tagged(fields);
    for (_, f) in &tags {
        text.push_str(&format!("let mut {} = {};\n", f.name(), f.default()));
    }
    if has_tags(message, s) {
        let read = if tags.is_empty() {
            "TaggedFields::read(r)?".to_owned()
        } else {
            let bits: Vec<String> = tags.iter().map(|(tag, f)| f.tag_bit(*tag)).collect();
            let known = merged_bits(&bits);
            if let [(_, only)] = tags[..] {
                format!("TaggedFields::read_known(r, {known}, |_, r| {{ {}; Ok(()) }})?", only.read_tag())
            } else {
                let arms = tags.iter().map(|(tag, f)| format!("{tag} => {},\n", f.read_tag()));
                let arms: String = arms.collect();
                format!("TaggedFields::read_known(r, {known}, |tag, r| {{ match tag {{ {arms} _ => {{}} }} Ok(()) }})?")
            }
        };
        let read = if message.is_flexible(s.versions.min) {
            read
        } else {
            format!("if v.flexible {{ {read} }} else {{ TaggedFields::new() }}")
        };
        text.push_str(&format!("let unknown_tagged_fields = {read};\n"));
    }
    text.push_str("Ok(Self {");
    for f in fields {
        text.push_str(&format!("{}, ", f.name()));
    }
    if has_tags(message, s) {
        text.push_str("unknown_tagged_fields ");
    }
    text.push_str("})\n");
    text
}

/// Sums the constant bits; conditional ones are added as expressions.
fn merged_bits(bits: &[String]) -> String {
    let constant: u32 = bits.iter().filter_map(|b| b.parse::<u32>().ok()).sum();
    let mut terms: Vec<String> = bits.iter().filter(|b| b.parse::<u32>().is_err()).cloned().collect();
    if constant != 0 || terms.is_empty() {
        terms.insert(0, format!("{constant:#b}"));
    }
    terms.join(" | ")
}

fn write_body(message: &Message, s: &Struct, fields: &[FieldCode<'_>]) -> String {
    let mut text = String::new();
    for f in fields.iter().filter(|f| f.field.tag.is_none()) {
        text.push_str(&f.write());
    }
    let tags = tagged(fields);
    for (_, f) in &tags {
        text.push_str(&f.refuse_tag());
    }
    if !has_tags(message, s) {
        return text;
    }
    let write = if tags.is_empty() {
        "self.unknown_tagged_fields.write(s)?;\n".to_owned()
    } else {
        let mut write: String = tags.iter().map(|(_, f)| f.tag_presence()).collect();
        let names = tags.iter().map(|(_, f)| format!("usize::from(has_{})", crate::names::snake(&f.field.name)));
        let known = names.collect::<Vec<_>>().join(" + ");
        write.push_str(&format!("let mut tags = self.unknown_tagged_fields.start(s, {known})?;\n"));
        for (tag, f) in &tags {
            write.push_str(&f.write_tag(*tag));
        }
        write.push_str("tags.finish(s)?;\n");
        write
    };
    if message.is_flexible(s.versions.min) {
        text.push_str(&write);
    } else {
        text.push_str(&format!(
            "if v.flexible {{ {write} }} else {{ self.unknown_tagged_fields.refuse({:?}, v)?; }}\n",
            s.name
        ));
    }
    text
}

fn message_impl(message: &Message, root: &Struct) -> String {
    let lifetime = if borrows(message, root) { "<'a>" } else { "" };
    let key = message.key.map_or("None".to_owned(), |key| format!("Some({key})"));
    let flexible = message.flexible.map_or("None".to_owned(), |from| format!("Some({from})"));
    let name = &message.name;
    let (min, max) = (message.versions.min, message.versions.max);
    format!(
        "impl<'a> Message<'a> for {name}{lifetime} {{\n\
         const NAME: &'static str = {name:?};\n\
         const KEY: Option<i16> = {key};\n\
         const VERSIONS: VersionRange = VersionRange {{ min: {min}, max: {max} }};\n\
         const FLEXIBLE_FROM: Option<i16> = {flexible};\n\n\
         fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{\n\
         crate::runtime::decode(r, version)\n}}\n\n\
         fn encoded_size(&self, version: i16) -> Result<usize, EncodeError> {{\n\
         crate::runtime::encoded_size(self, version)\n}}\n\n\
         fn encode(&self, version: i16, out: &mut Writer<'_>) -> Result<(), EncodeError> {{\n\
         crate::runtime::encode(self, version, out)\n}}\n}}\n"
    )
}
