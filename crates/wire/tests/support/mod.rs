//! Random message bodies, written straight from the schema.
//!
//! This is an encoder of its own: it walks the schema's text instead of using the generated code,
//! so that a mistake in the generated code cannot hide in the bytes it is tested with.

use std::path::Path;

use highwater_wire_gen::{Base, Field, Message, Schema, Struct};

/// The schema of the crate.
pub(crate) fn schema() -> Schema {
    highwater_wire_gen::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).unwrap()
}

/// SplitMix64: small, seeded, good enough to choose values.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Where the values of a body come from.
enum Values<'r> {
    /// Random, with unknown tagged fields when the flag is set.
    Random(&'r mut Rng, bool),
    /// The schema's defaults.
    Defaults,
}

/// A random body of `message` in `version`. With `unknown_tags` some structures carry tagged fields
/// whose tags are above those of the schema.
pub(crate) fn random_body(message: &Message, version: i16, rng: &mut Rng, unknown_tags: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let body = Body { message, version, flexible: message.is_flexible(version) };
    body.put_struct(&message.structs[0], &mut Values::Random(rng, unknown_tags), &mut out);
    out
}

/// A body of `message` in `version` that has the default in every field.
pub(crate) fn default_body(message: &Message, version: i16) -> Vec<u8> {
    let mut out = Vec::new();
    let body = Body { message, version, flexible: message.is_flexible(version) };
    body.put_struct(&message.structs[0], &mut Values::Defaults, &mut out);
    out
}

struct Body<'m> {
    message: &'m Message,
    version: i16,
    flexible: bool,
}

impl Body<'_> {
    fn put_struct(&self, s: &Struct, values: &mut Values<'_>, out: &mut Vec<u8>) {
        let present = || s.fields.iter().filter(|f| f.versions.contains(self.version));
        for field in present().filter(|f| f.tag.is_none()) {
            self.put_field(field, values, out);
        }
        if !self.flexible {
            return;
        }
        let mut tags = Vec::new();
        if let Values::Random(rng, unknown) = values {
            for field in present().filter(|f| f.tag.is_some()) {
                let mut value = Vec::new();
                self.put_field(field, &mut Values::Random(rng, *unknown), &mut value);
                let mut default = Vec::new();
                self.put_field(field, &mut Values::Defaults, &mut default);
                // A default is never written in a tagged field.
                if value != default && rng.one_in(2) {
                    tags.push((field.tag.unwrap(), value));
                }
            }
            tags.sort();
            if *unknown && rng.one_in(4) {
                for tag in [100, 1 << 20] {
                    tags.push((tag, bytes(rng)));
                }
            }
        }
        put_uvarint(tags.len(), out);
        for (tag, value) in tags {
            put_uvarint(tag as usize, out);
            put_uvarint(value.len(), out);
            out.extend(value);
        }
    }

    fn put_field(&self, field: &Field, values: &mut Values<'_>, out: &mut Vec<u8>) {
        let nullable = field.nullable.is_some_and(|n| n.contains(self.version));
        let is_null = match values {
            Values::Random(rng, _) => nullable && rng.one_in(3),
            // Records have no default in the schema; Kafka's is null where null is allowed.
            Values::Defaults => nullable && (field.null_by_default() || field.base == Base::Records),
        };
        let of = |name: &str| self.message.find(name).unwrap();
        match &field.base {
            _ if field.array => {
                let count = match values {
                    _ if is_null => None,
                    Values::Random(rng, _) => Some(rng.below(4) as usize),
                    Values::Defaults => Some(0),
                };
                self.put_length(count, 4, out);
                for _ in 0..count.unwrap_or(0) {
                    match &field.base {
                        Base::Struct(name) => self.put_struct(of(name), values, out),
                        base => self.put_scalar(base, None, values, out),
                    }
                }
            }
            Base::Struct(name) => {
                if nullable {
                    let null = if field.tag.is_some() { 0 } else { 0xff };
                    out.push(if is_null { null } else { 1 });
                }
                if !is_null {
                    self.put_struct(of(name), values, out);
                }
            }
            Base::String if is_null => self.put_length(None, 2, out),
            Base::Bytes | Base::Records if is_null => self.put_length(None, 4, out),
            base => self.put_scalar(base, field.default.as_deref(), values, out),
        }
    }

    fn put_scalar(&self, base: &Base, default: Option<&str>, values: &mut Values<'_>, out: &mut Vec<u8>) {
        match base {
            Base::String => {
                let text = match values {
                    Values::Random(rng, _) => string(rng),
                    Values::Defaults => default.filter(|d| *d != "null").unwrap_or_default().to_owned(),
                };
                self.put_length(Some(text.len()), 2, out);
                out.extend(text.bytes());
            }
            Base::Bytes | Base::Records => {
                let data = if let Values::Random(rng, _) = values { bytes(rng) } else { Vec::new() };
                self.put_length(Some(data.len()), 4, out);
                out.extend(data);
            }
            Base::Struct(_) => unreachable!("structures are not scalars"),
            fixed => {
                let size = fixed.fixed_size().unwrap();
                let value = match values {
                    Values::Random(rng, _) => scalar(fixed, rng),
                    Values::Defaults => default.map_or(0, parse_default),
                };
                out.extend(&value.to_be_bytes()[16 - size..]);
            }
        }
    }

    /// A length of `old_size` bytes in old versions, a compact one in flexible versions.
    fn put_length(&self, length: Option<usize>, old_size: usize, out: &mut Vec<u8>) {
        if self.flexible {
            put_uvarint(length.map_or(0, |n| n + 1), out);
        } else {
            let length = length.map_or(-1, |n| n as i64);
            out.extend(&length.to_be_bytes()[8 - old_size..]);
        }
    }
}

fn parse_default(text: &str) -> i128 {
    match text.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).unwrap(),
        None if text == "true" => 1,
        None => text.parse().unwrap(),
    }
}

/// Edge values are as likely as all others together.
fn scalar(base: &Base, rng: &mut Rng) -> i128 {
    let random = i128::from(rng.next()) << 64 | i128::from(rng.next());
    match base {
        Base::Bool => random & 1,
        // A pattern that is not a number would not compare equal to itself.
        Base::Float64 => i128::from((rng.below(1000) as f64 / 8.0).to_bits()),
        _ => match rng.below(8) {
            0 => 0,
            1 => -1,
            2 => 1,
            3 => i128::MAX,
            _ => random,
        },
    }
}

fn string(rng: &mut Rng) -> String {
    let length = [0, 1, 7, 126, 127, 200][rng.below(6) as usize];
    (0..length).map(|_| ['a', 'z', '-', 'é', '水'][rng.below(5) as usize]).collect()
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    let length = [0, 1, 127, 128][rng.below(4) as usize];
    (0..length).map(|_| rng.next() as u8).collect()
}

fn put_uvarint(mut value: usize, out: &mut Vec<u8>) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
