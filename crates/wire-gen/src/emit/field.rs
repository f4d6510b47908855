//! The pieces of code that one field contributes.

use crate::names;
use crate::schema::{Base, Field, Message, Versions};

use super::message::borrows;

/// A field, with the message it belongs to and the versions its structure occurs in.
pub(super) struct FieldCode<'s> {
    pub(super) message: &'s Message,
    pub(super) within: Versions,
    pub(super) owner: &'s str,
    pub(super) field: &'s Field,
}

impl FieldCode<'_> {
    /// Rust name.
    pub(super) fn name(&self) -> String {
        names::field(&self.field.name)
    }

    /// Rust type.
    pub(super) fn rust_type(&self) -> String {
        let element = element_type(self.message, &self.field.base);
        let plain = if self.field.array { format!("Array<'a, {element}>") } else { element };
        if self.is_option() { format!("Option<{plain}>") } else { plain }
    }

    /// Documentation: what the schema says, in words.
    pub(super) fn doc(&self) -> String {
        let f = self.field;
        let mut text = format!("`{}`: ", f.name);
        if f.array {
            text.push_str("array of ");
        }
        match &f.base {
            Base::Struct(name) => text.push_str(&format!("[`{name}`]")),
            base => text.push_str(&format!("{base:?}").to_lowercase()),
        }
        if f.versions != self.within {
            text.push_str(&format!(", versions {}", f.versions));
        }
        match f.nullable {
            Some(n) if n != f.versions => text.push_str(&format!(", nullable in versions {n}")),
            Some(_) => text.push_str(", nullable"),
            None => {}
        }
        if let Some(tag) = f.tag {
            text.push_str(&format!(", tag {tag}"));
        }
        if let Some(default) = &f.default {
            text.push_str(&format!(", default `{default}`"));
        }
        if f.ignorable {
            text.push_str(", ignorable");
        }
        text.push('.');
        text
    }

    /// Whether the derived `Default` gives the schema's default.
    pub(super) fn has_natural_default(&self) -> bool {
        match &self.field.default {
            Some(_) => self.field.null_by_default() || self.is_records(),
            None => !self.is_option() && !self.is_required_records(),
        }
    }

    /// The default value as an expression.
    pub(super) fn default(&self) -> String {
        let f = self.field;
        if self.is_records() {
            return if f.is_nullable() { "Records::Null" } else { "Records::EMPTY" }.to_owned();
        }
        if f.null_by_default() {
            return "None".to_owned();
        }
        let value = self.plain_default();
        if self.is_option() { format!("Some({value})") } else { value }
    }

    fn plain_default(&self) -> String {
        let f = self.field;
        if f.array {
            return "Array::new()".to_owned();
        }
        let text = f.default.as_deref();
        match &f.base {
            Base::Bool => text.unwrap_or("false").to_owned(),
            Base::Int8 | Base::Int16 | Base::Int32 | Base::Int64 | Base::Uint16 | Base::Uint32 => {
                integer(text.unwrap_or("0"))
            }
            Base::Float64 => "0.0".to_owned(),
            Base::Uuid => "Uuid::ZERO".to_owned(),
            Base::String => format!("Cow::Borrowed({:?})", text.unwrap_or("")),
            Base::Bytes => "Cow::Borrowed(&[][..])".to_owned(),
            Base::Records => "Records::EMPTY".to_owned(),
            Base::Struct(name) => format!("{name}::default()"),
        }
    }

    /// A condition that holds when the field of `self` is not its default.
    fn differs(&self) -> String {
        let f = self.field;
        let me = format!("self.{}", self.name());
        if self.is_records() {
            return if f.is_nullable() { format!("{me} != Records::Null") } else { format!("{me} != Records::EMPTY") };
        }
        if f.null_by_default() {
            return format!("{me}.is_some()");
        }
        let empty_by_default = f.array || matches!(f.base, Base::String | Base::Bytes) && f.default.is_none();
        match (&f.base, self.is_option()) {
            (_, true) if f.array => format!("!{me}.as_ref().is_some_and(Array::is_empty)"),
            (_, true) if empty_by_default => format!("!{me}.as_ref().is_some_and(|x| x.is_empty())"),
            (_, false) if empty_by_default => format!("!{me}.is_empty()"),
            (Base::Bool, _) => match f.default.as_deref() {
                Some("true") => format!("!{me}"),
                _ => me,
            },
            _ => format!("{me} != {}", self.default()),
        }
    }

    /// Statement that reads an untagged field into a variable of its name.
    pub(super) fn read(&self) -> String {
        let value = self.read_value();
        let value = match condition(self.field.versions, self.within) {
            Some(present) => format!("if {present} {{ {value} }} else {{ {} }}", self.default()),
            None => value,
        };
        format!("let {} = {value};\n", self.name())
    }

    fn read_value(&self) -> String {
        let f = self.field;
        if self.is_required_records() {
            return "Records::read_required(r, v)?".to_owned();
        }
        let Some(nullable) = f.nullable.filter(|_| self.is_option()) else {
            return "Element::read(r, v)?".to_owned();
        };
        match condition(nullable, f.versions) {
            Some(nullable) => {
                format!("if {nullable} {{ Element::read(r, v)? }} else {{ Some(Element::read(r, v)?) }}")
            }
            None if self.is_tagged_nullable_struct() => "read_tagged_struct(r, v)?".to_owned(),
            None => "Element::read(r, v)?".to_owned(),
        }
    }

    /// Assignment that reads a tagged field.
    pub(super) fn read_tag(&self) -> String {
        format!("{} = {}", self.name(), self.read_value())
    }

    /// The bits of the field's tag in the versions that know it.
    pub(super) fn tag_bit(&self, tag: u32) -> String {
        match condition(self.field.versions, self.flexible_within()) {
            Some(present) if tag == 0 => format!("u32::from({present})"),
            Some(present) => format!("u32::from({present}) << {tag}"),
            None => (1_u32 << tag).to_string(),
        }
    }

    /// The versions that code under `if v.flexible` sees.
    fn flexible_within(&self) -> Versions {
        let from = self.message.flexible.unwrap_or(i16::MAX);
        Versions { min: self.within.min.max(from), max: self.within.max }
    }

    /// Statements that write an untagged field, or refuse it where the version lacks it.
    pub(super) fn write(&self) -> String {
        let f = self.field;
        let me = format!("self.{}", self.name());
        let required = format!("required(&{me}, {:?})?.write(s, v)?;", self.path());
        let plain = format!("{me}.write(s, v)?;");
        let write = if self.is_required_records() {
            format!("{me}.write_required(s, v, {:?})?;", self.path())
        } else if let (Some(nullable), true) = (f.nullable, self.is_option()) {
            match condition(nullable, f.versions) {
                Some(nullable) => format!("if {nullable} {{ {plain} }} else {{ {required} }}"),
                None => plain,
            }
        } else {
            plain
        };
        match (condition(f.versions, self.within), f.ignorable) {
            (None, _) => format!("{write}\n"),
            (Some(present), true) => format!("if {present} {{ {write} }}\n"),
            (Some(present), false) => {
                format!("if {present} {{ {write} }} else if {} {{ {} }}\n", self.differs(), self.refuse())
            }
        }
    }

    fn refuse(&self) -> String {
        format!("return Err(not_in_version({:?}, v));", self.path())
    }

    fn path(&self) -> String {
        format!("{}.{}", self.owner, self.field.name)
    }

    /// Statement that sets `has_<field>`: whether the tagged field is to be written.
    pub(super) fn tag_presence(&self) -> String {
        let differs = self.differs();
        let name = names::snake(&self.field.name);
        match condition(self.field.versions, self.flexible_within()) {
            Some(present) => format!("let has_{name} = {present} && {differs};\n"),
            None => format!("let has_{name} = {differs};\n"),
        }
    }

    /// Statement that refuses a tagged field that the version lacks; empty when there is none.
    pub(super) fn refuse_tag(&self) -> String {
        match absence(self.field.versions, self.within) {
            Some(absent) if !self.field.ignorable => {
                format!("if {absent} && {} {{ {} }}\n", self.differs(), self.refuse())
            }
            _ => String::new(),
        }
    }

    /// Statement that writes the tagged field.
    pub(super) fn write_tag(&self, tag: u32) -> String {
        let name = names::snake(&self.field.name);
        let me = format!("self.{}", self.name());
        let method = if self.is_tagged_nullable_struct() { "write_struct" } else { "write" };
        format!("if has_{name} {{ tags.{method}(s, {tag}, &{me}, v)?; }}\n")
    }

    fn is_records(&self) -> bool {
        self.field.base == Base::Records
    }

    fn is_required_records(&self) -> bool {
        self.is_records() && !self.field.is_nullable()
    }

    /// Null records are a value of their own type, so they need no `Option`.
    fn is_option(&self) -> bool {
        self.field.is_nullable() && !self.is_records()
    }

    /// Such a field marks null with 0 instead of -1.
    fn is_tagged_nullable_struct(&self) -> bool {
        let f = self.field;
        f.tag.is_some() && self.is_option() && !f.array && matches!(f.base, Base::Struct(_))
    }
}

fn element_type(message: &Message, base: &Base) -> String {
    match base {
        Base::Bool => "bool",
        Base::Int8 => "i8",
        Base::Int16 => "i16",
        Base::Int32 => "i32",
        Base::Int64 => "i64",
        Base::Uint16 => "u16",
        Base::Uint32 => "u32",
        Base::Float64 => "f64",
        Base::Uuid => "Uuid",
        Base::String => "Cow<'a, str>",
        Base::Bytes => "Cow<'a, [u8]>",
        Base::Records => "Records<'a>",
        Base::Struct(name) => {
            let borrowed = message.find(name).is_some_and(|s| borrows(message, s));
            return if borrowed { format!("{name}<'a>") } else { name.clone() };
        }
    }
    .to_owned()
}

/// A decimal literal with separators; hexadecimal stays as it is.
fn integer(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if digits.starts_with("0x") || digits.len() < 5 {
        return text.to_owned();
    }
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if 0 < i && (digits.len() - i) % 3 == 0 {
            out.push('_');
        }
        out.push(c);
    }
    format!("{sign}{out}")
}

/// The test that tells `range` from the rest of `within`; `None` when it always holds.
pub(super) fn condition(range: Versions, within: Versions) -> Option<String> {
    let from = within.min < range.min;
    let to = range.max < within.max;
    match (from, to) {
        (false, false) => None,
        (true, false) => Some(format!("v.number >= {}", range.min)),
        (false, true) => Some(format!("v.number <= {}", range.max)),
        (true, true) if range.min == range.max => Some(format!("v.number == {}", range.min)),
        (true, true) => Some(format!("({}..={}).contains(&v.number)", range.min, range.max)),
    }
}

/// The test that tells the rest of `within` from `range`; `None` when there is no rest.
fn absence(range: Versions, within: Versions) -> Option<String> {
    match (within.min < range.min, range.max < within.max) {
        (false, false) => None,
        (true, false) => Some(format!("v.number < {}", range.min)),
        (false, true) => Some(format!("v.number > {}", range.max)),
        (true, true) => Some(format!("!({}..={}).contains(&v.number)", range.min, range.max)),
    }
}
