//! An enum over the record types of a log, chosen by the type number.

use crate::names::snake;
use crate::schema::{Kind, Message};

use super::message::borrows;

pub(super) fn module(kind: Kind) -> &'static str {
    match kind {
        Kind::Key => "any_key",
        Kind::Value => "any_value",
        _ => "any_record",
    }
}

/// Such as `OffsetsKey`; records of the metadata log are `MetadataLogRecord`.
pub(super) fn name(group: &str, kind: Kind) -> String {
    let mut chars = group.chars();
    let group: String = chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect());
    match kind {
        Kind::Key => format!("{group}Key"),
        Kind::Value => format!("{group}Value"),
        _ => format!("{group}LogRecord"),
    }
}

pub(super) fn file(group: &str, kind: Kind, messages: &[&Message]) -> String {
    let name = name(group, kind);
    let mut variants = String::new();
    let mut keys = String::new();
    let mut reads = String::new();
    let mut sizes = String::new();
    let mut writes = String::new();
    let mut ranges = String::new();
    for message in messages {
        let variant = message.name.trim_end_matches(match kind {
            Kind::Key => "Key",
            Kind::Value => "Value",
            _ => "Record",
        });
        let key = message.key.unwrap_or_default();
        let of = &message.name;
        let module = snake(of);
        let lifetime = if borrows(message, &message.structs[0]) { "<'a>" } else { "" };
        variants.push_str(&format!("/// Type {key}.\n{variant}(super::{module}::{of}{lifetime}),\n"));
        keys.push_str(&format!("Self::{variant}(_) => {key},\n"));
        ranges.push_str(&format!("{key} => super::{module}::{of}::VERSIONS,\n"));
        reads.push_str(&format!("{key} => Message::decode(r, version).map(Self::{variant})?,\n"));
        sizes.push_str(&format!("Self::{variant}(m) => m.encoded_size(version),\n"));
        writes.push_str(&format!("Self::{variant}(m) => m.encode(version, out),\n"));
    }
    format!(
        "//! [`{name}`]: any of the types, chosen by number.\n\n\
         use crate::runtime::{{DecodeError, EncodeError, Message, Reader, VersionRange, Writer}};\n\n\
         /// One of the types above.\n#[derive(Clone, Debug, PartialEq)]\n#[non_exhaustive]\n\
         pub enum {name}<'a> {{\n{variants}}}\n\n\
         impl<'a> {name}<'a> {{\n\
         /// The number of the type.\npub fn record_type(&self) -> i16 {{ match self {{ {keys} }} }}\n\n\
         /// The versions of a type; `None` when the type is unknown.\n\
         pub fn versions(record_type: i16) -> Option<VersionRange> {{ Some(match record_type {{ {ranges} _ => return None }}) }}\n\n\
         /// Decodes the body of a type; `Ok(None)` when the type is unknown.\n\
         ///\n/// # Errors\n///\n/// Those of [`Message::decode`].\n\
         pub fn decode(record_type: i16, version: i16, r: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {{\n\
         Ok(Some(match record_type {{ {reads} _ => return Ok(None) }}))\n}}\n\n\
         /// Size of the encoded body in bytes.\n///\n/// # Errors\n///\n/// Those of [`Message::encoded_size`].\n\
         pub fn encoded_size(&self, version: i16) -> Result<usize, EncodeError> {{ match self {{ {sizes} }} }}\n\n\
         /// Appends the encoded body.\n///\n/// # Errors\n///\n/// Those of [`Message::encode`].\n\
         pub fn encode(&self, version: i16, out: &mut Writer<'_>) -> Result<(), EncodeError> {{ match self {{ {writes} }} }}\n\
         }}\n"
    )
}
