//! Kafka's names turned into Rust's.

/// `TopicId` to `topic_id`; `KRaft` counts as one word.
pub(crate) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.replace("KRaft", "Kraft").chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let after_lower = 0 < i && !chars[i - 1].is_ascii_uppercase();
        let before_lower = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && 0 < i && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The name of a struct field; a keyword becomes a raw identifier.
pub(crate) fn field(name: &str) -> String {
    let name = snake(name);
    if matches!(name.as_str(), "type" | "match" | "ref" | "use" | "in") { format!("r#{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_capitals() {
        for (camel, expected) in [
            ("TopicId", "topic_id"),
            ("KRaftVersionRecord", "kraft_version_record"),
            ("IsKRaftController", "is_kraft_controller"),
            ("ThrottleTimeMs", "throttle_time_ms"),
        ] {
            assert_eq!(snake(camel), expected);
        }
        assert_eq!(field("Type"), "r#type");
    }
}
