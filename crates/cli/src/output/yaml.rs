//! JSON values as YAML, in block style.

use serde_json::Value;

/// A document that ends with a line break.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Writes a value whose first line begins where the text ends, and whose others are indented.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if 0 < at {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str("- ");
                block(item, indent + 2, text);
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            for (at, (key, value)) in fields.iter().enumerate() {
                if 0 < at {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar(key));
                text.push(':');
                match value {
                    Value::Array(items) if !items.is_empty() => {
                        text.push('\n');
                        text.push_str(&" ".repeat(indent));
                        block(value, indent, text);
                    }
                    Value::Object(fields) if !fields.is_empty() => {
                        text.push('\n');
                        text.push_str(&" ".repeat(indent + 2));
                        block(value, indent + 2, text);
                    }
                    _ => {
                        text.push(' ');
                        block(value, indent, text);
                    }
                }
            }
        }
        Value::Array(_) => text.push_str("[]\n"),
        Value::Object(_) => text.push_str("{}\n"),
        Value::String(words) => {
            text.push_str(&scalar(words));
            text.push('\n');
        }
        other => {
            text.push_str(&other.to_string());
            text.push('\n');
        }
    }
}

/// Text as it is where that is safe, else in quotes.
fn scalar(words: &str) -> String {
    if words.chars().any(char::is_control) {
        // JSON's quoted strings are YAML's.
        return Value::from(words).to_string();
    }
    let is_safe_character = |c: char| c.is_alphanumeric() || "_-./:+@() ".contains(c);
    let looks_like_something_else = words.parse::<f64>().is_ok()
        || ["true", "false", "null", "yes", "no", "on", "off", "~", ".inf", ".nan"]
            .contains(&words.to_ascii_lowercase().as_str());
    let begins_safely = words.chars().next().is_some_and(char::is_alphanumeric) || words.starts_with(['_', '/']);
    let is_plain = begins_safely
        && words.chars().all(is_safe_character)
        && !words.contains(": ")
        && !words.ends_with([':', ' '])
        && !looks_like_something_else;
    if is_plain { words.to_owned() } else { format!("'{}'", words.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_so_that_they_are_read_back_as_they_were() {
        let value = json!({
            "a": "1", "b": 1, "c": "it's: so", "d": {"x.y": [], "z": {}}, "e": ["-", "two\nlines"], "f": "", "g": null
        });
        assert_eq!(
            document(&value),
            "a: '1'\nb: 1\nc: 'it''s: so'\nd:\n  x.y: []\n  z: {}\ne:\n- '-'\n- \"two\\nlines\"\nf: ''\ng: null\n"
        );
        assert_eq!(document(&json!([])), "[]\n");
    }
}
