//! The schema in memory: what the text files under `crates/wire/schema` say.

use std::fmt;

/// An inclusive range of message versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// First version of the range.
    pub min: i16,
    /// Last version of the range.
    pub max: i16,
}

impl Versions {
    /// Whether `version` is in the range.
    pub fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether all of `other` is in the range.
    pub fn covers(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    /// Every version of the range in order.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

/// Everything the schema folder describes.
#[derive(Debug, Default)]
pub struct Schema {
    /// The request and response pairs, in the order of their keys.
    pub apis: Vec<Api>,
    /// The groups of record and embedded structures, in the order of their file names.
    pub groups: Vec<Group>,
}

/// One API: a key, a name, and the layout of its request and response.
#[derive(Debug)]
pub struct Api {
    /// The number in the request header.
    pub key: i16,
    /// Kafka's name, such as `Produce`.
    pub name: String,
    /// Who serves it: `broker`, `controller` or both. Empty for a removed API.
    pub listeners: Vec<String>,
    /// Request and response; `None` for an API that Kafka 4.0 removed.
    pub messages: Option<(Message, Message)>,
}

/// Structures of one file under `records/`.
#[derive(Debug)]
pub struct Group {
    /// Module name, from the file name.
    pub name: String,
    /// First comment line of the file, used as the module's documentation.
    pub doc: String,
    /// The structures in file order.
    pub messages: Vec<Message>,
}

/// What a top-level structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Body of a request.
    Request,
    /// Body of a response.
    Response,
    /// Body of a metadata record.
    Record,
    /// Key of a coordinator record.
    Key,
    /// Value of a coordinator record.
    Value,
    /// A structure that is framed by its context.
    Data,
}

/// One versioned top-level structure with everything nested in it.
#[derive(Debug)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Kafka's name, such as `ProduceRequest`.
    pub name: String,
    /// API key or record type.
    pub key: Option<i16>,
    /// Versions with a known layout.
    pub versions: Versions,
    /// First flexible version.
    pub flexible: Option<i16>,
    /// Whether Kafka has not yet declared the last version stable.
    pub unstable: bool,
    /// The root first, then nested structures in the order of their first use.
    pub structs: Vec<Struct>,
}

impl Message {
    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        self.flexible.is_some_and(|from| from <= version)
    }

    /// The nested structure called `name`.
    pub fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|s| s.name == name)
    }
}

/// A structure: the message itself or one nested in it.
#[derive(Debug)]
pub struct Struct {
    /// Kafka's name.
    pub name: String,
    /// Versions of the message in which it occurs.
    pub versions: Versions,
    /// Fields in wire order.
    pub fields: Vec<Field>,
}

/// One field of a structure.
#[derive(Debug)]
pub struct Field {
    /// Kafka's name, in camel case.
    pub name: String,
    /// Element type.
    pub base: Base,
    /// Whether it is an array of `base`.
    pub array: bool,
    /// Versions in which null may stand for it.
    pub nullable: Option<Versions>,
    /// Versions in which it is on the wire.
    pub versions: Versions,
    /// Tag, when it is a tagged field.
    pub tag: Option<u32>,
    /// Whether a value may be dropped silently in versions without the field.
    pub ignorable: bool,
    /// Default when it is neither zero nor empty; `null` for null.
    pub default: Option<String>,
}

impl Field {
    /// Whether null is a value of the field in some version.
    pub fn is_nullable(&self) -> bool {
        self.nullable.is_some()
    }

    /// Whether its default is null.
    pub fn null_by_default(&self) -> bool {
        self.default.as_deref() == Some("null")
    }
}

/// Type of a field, or of the elements of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub enum Base {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint16,
    Uint32,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
}

impl Base {
    /// Parses a type name; anything that starts in upper case is a structure.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint16" => Self::Uint16,
            "uint32" => Self::Uint32,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Self::Struct(name.to_owned()),
            _ => return None,
        })
    }

    /// Encoded size in bytes, when it does not depend on the value.
    pub fn fixed_size(&self) -> Option<usize> {
        match self {
            Self::Bool | Self::Int8 => Some(1),
            Self::Int16 | Self::Uint16 => Some(2),
            Self::Int32 | Self::Uint32 => Some(4),
            Self::Int64 | Self::Float64 => Some(8),
            Self::Uuid => Some(16),
            Self::String | Self::Bytes | Self::Records | Self::Struct(_) => None,
        }
    }
}
