//! What there is to know about one config: its type, default and bounds.

use core::fmt;

/// One config: its name, type, default and bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// Kafka's name.
    pub name: &'static str,
    /// How its text is read.
    pub value_type: ValueType,
    /// The value where none is set, in Kafka's text form; `None` if there is no default.
    pub default: Option<&'static str>,
    /// How many users care.
    pub importance: Importance,
    /// What its values are held to, besides the type.
    pub validator: Validator,
    /// Whether and where it can be altered at run time.
    pub scope: Scope,
}

impl Definition {
    /// Whether the value is secret and never described.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.value_type == ValueType::Password
    }

    /// Checks a value against the type and the bounds. White space around it does not count.
    ///
    /// # Errors
    ///
    /// Says what the value should have been.
    pub fn check(&self, value: &str) -> Result<(), InvalidValue> {
        self.parse(value).map(drop)
    }

    /// Reads a value.
    pub(crate) fn parse<'a>(&self, value: &'a str) -> Result<Value<'a>, InvalidValue> {
        let trimmed = value.trim();
        let parsed = match self.value_type {
            ValueType::Boolean if trimmed.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            ValueType::Boolean if trimmed.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            ValueType::Boolean => None,
            ValueType::Short => trimmed.parse::<i16>().ok().map(|n| Value::Integer(n.into())),
            ValueType::Int => trimmed.parse::<i32>().ok().map(|n| Value::Integer(n.into())),
            ValueType::Long => trimmed.parse::<i64>().ok().map(Value::Integer),
            ValueType::Double => trimmed.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Double),
            ValueType::String | ValueType::Class => Some(Value::Text(trimmed)),
            ValueType::Password => Some(Value::Text(value)),
            ValueType::List => Some(Value::List(trimmed)),
        };
        let parsed = parsed.ok_or_else(|| self.invalid(value, self.value_type.expectation()))?;
        match self.validator.objection(&parsed) {
            None => Ok(parsed),
            Some(expectation) => Err(self.invalid(value, expectation)),
        }
    }

    fn invalid(&self, value: &str, expectation: impl Into<String>) -> InvalidValue {
        let value = if self.is_sensitive() { "[hidden]".to_owned() } else { shortened(value) };
        InvalidValue { name: self.name, value, expectation: expectation.into() }
    }
}

/// A value that its config does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {name}: {expectation}")]
pub struct InvalidValue {
    /// Name of the config.
    pub name: &'static str,
    /// The value, shortened if long, hidden if secret.
    pub value: String,
    /// What it should have been.
    pub expectation: String,
}

/// How the text of a config is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// A signed 32-bit number.
    Int,
    /// A signed 16-bit number.
    Short,
    /// A signed 64-bit number.
    Long,
    /// A 64-bit float.
    Double,
    /// Items separated by commas.
    List,
    /// The name of a Java class; kept, not used.
    Class,
    /// Secret text.
    Password,
}

impl ValueType {
    /// Number in DescribeConfigs responses.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    fn expectation(self) -> &'static str {
        match self {
            Self::Boolean => "Expected value to be either true or false",
            Self::Int => "Not a number of type INT",
            Self::Short => "Not a number of type SHORT",
            Self::Long => "Not a number of type LONG",
            Self::Double => "Not a number of type DOUBLE",
            Self::String | Self::List | Self::Class | Self::Password => "Not a text",
        }
    }
}

/// How many users care about a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Most.
    High,
    /// Some.
    Medium,
    /// Few.
    Low,
}

/// Whether and where a config can be altered while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Not at all: it is read once, from the file.
    ReadOnly,
    /// On one broker at a time.
    PerBroker,
    /// On one broker or for all; also every config that is not a broker's.
    Cluster,
}

/// What the values of a config are held to, besides their type.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Validator {
    /// Nothing.
    Any,
    /// A least number.
    AtLeast(i64),
    /// A least and a greatest number.
    Range(i64, i64),
    /// A least and a greatest number.
    DoubleRange(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, in any case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// Each item one of these words.
    ListOf(&'static [&'static str]),
    /// At least one character.
    NonEmptyString,
    /// At least one item.
    NonEmptyList,
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// `*`, or items of the form `partition:broker`.
    ThrottledReplicas,
    /// `latest`, `earliest` or `by_duration:` and an ISO 8601 duration.
    ShareOffsetReset,
}

impl Validator {
    /// Says what is wrong with a value; `None` if nothing is.
    fn objection(self, value: &Value<'_>) -> Option<String> {
        match (self, value) {
            (Self::AtLeast(min), &Value::Integer(n)) => number_objection(n, min, i64::MAX),
            (Self::Range(min, max), &Value::Integer(n)) => number_objection(n, min, max),
            (Self::GzipLevel, &Value::Integer(n)) => {
                (n != -1 && !(1..=9).contains(&n)).then(|| "Value must be between 1 and 9 or equal to -1".to_owned())
            }
            (Self::DoubleRange(min, _), &Value::Double(n)) if n < min => Some(format!("Value must be at least {min}")),
            (Self::DoubleRange(_, max), &Value::Double(n)) if max < n => {
                Some(format!("Value must be no more than {max}"))
            }
            (Self::OneOf(words), Value::Text(text)) if !words.contains(text) => {
                Some(format!("String must be one of: {}", words.join(", ")))
            }
            (Self::OneOfIgnoringCase(words), Value::Text(text)) => {
                let known = words.iter().any(|word| word.eq_ignore_ascii_case(text));
                (!known).then(|| format!("String must be one of (case insensitive): {}", words.join(", ")))
            }
            (Self::NonEmptyString, Value::Text("")) => Some("String must be non-empty".to_owned()),
            (Self::ListOf(words), Value::List(list)) => {
                let known = items(list).all(|item| words.contains(&item));
                (!known).then(|| format!("each item must be one of: {}", words.join(", ")))
            }
            (Self::NonEmptyList, Value::List(list)) => {
                items(list).next().is_none().then(|| "List must have at least one item".to_owned())
            }
            (Self::ThrottledReplicas, Value::List(list)) => {
                let well_formed = *list == "*" || items(list).all(is_throttled_replica);
                (!well_formed).then(|| "must be * or a list of partition:broker pairs such as 0:1,1:2".to_owned())
            }
            (Self::ShareOffsetReset, Value::Text(text)) => (!is_share_offset_reset(text))
                .then(|| "must be latest, earliest or by_duration:PnDTnHnMn.nS".to_owned()),
            _ => None,
        }
    }
}

/// A value that was read and checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(&'a str),
    /// Still joined by commas; see [`items`].
    List(&'a str),
}

/// The items of a list in text form, without white space around them; an empty text has none.
pub(crate) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub(super) const fn define(
    name: &'static str,
    value_type: ValueType,
    default: Option<&'static str>,
    importance: Importance,
    validator: Validator,
    scope: Scope,
) -> Definition {
    Definition { name, value_type, default, importance, validator, scope }
}

fn number_objection(n: i64, min: i64, max: i64) -> Option<String> {
    if n < min {
        Some(format!("Value must be at least {min}"))
    } else if max < n {
        Some(format!("Value must be no more than {max}"))
    } else {
        None
    }
}

fn is_throttled_replica(item: &str) -> bool {
    let number = |text: &str| text.parse::<i32>().is_ok_and(|n| 0 <= n);
    item.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

fn is_share_offset_reset(text: &str) -> bool {
    text == "latest" || text == "earliest" || text.strip_prefix("by_duration:").is_some_and(is_positive_duration)
}

/// Whether `text` is an ISO 8601 duration as Java reads it (`PnDTnHnMn.nS`), and longer than zero.
fn is_positive_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let mut positive = false;
    let mut parts = |mut text: &str, units: &str| {
        let mut order = units.chars();
        while let Some(end) = text.find(|c: char| c.is_ascii_alphabetic()) {
            let unit = text[end..].chars().next().unwrap_or_default();
            let fraction_allowed = unit == 'S';
            match text[..end].parse::<f64>() {
                Ok(n) if 0.0 <= n && n.is_finite() && (fraction_allowed || n.fract() == 0.0) => positive |= 0.0 < n,
                _ => return false,
            }
            if !order.any(|known| known == unit) {
                return false;
            }
            text = &text[end + 1..];
        }
        text.is_empty()
    };
    parts(days, "D") && time.is_none_or(|time| !time.is_empty() && parts(time, "HMS")) && positive
}

/// Long values are cut in error messages, which clients log.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

const VALUE_CHARACTERS_MAX: usize = 200;

impl fmt::Display for Importance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        })
    }
}
