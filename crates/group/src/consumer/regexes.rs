//! Regular expressions that members subscribe with.

use std::sync::Arc;

use highwater_types::{ErrorCode, TimestampMs};
use regex::{Regex, RegexBuilder};

use crate::record::ResolvedRegex;
use crate::topics::Topics;

/// Compiles a pattern of the RE2 language. It must match whole names.
///
/// # Errors
///
/// [`InvalidRegularExpression`](ErrorCode::InvalidRegularExpression) with what is wrong, also for one that would take
/// more memory than a pattern may.
pub(super) fn compile(pattern: &str) -> Result<Regex, (ErrorCode, String)> {
    // The pattern by itself first: a closing bracket too many must not be matched by ours.
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    let compiled = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
    compiled.map_err(|error| {
        let reason = error.to_string().lines().last().unwrap_or_default().to_owned();
        (
            ErrorCode::InvalidRegularExpression,
            format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {reason}."),
        )
    })
}

/// Finds the topics whose names a pattern matches.
pub(super) fn resolve(pattern: &str, topics: &dyn Topics, now: TimestampMs) -> ResolvedRegex {
    let mut names: Vec<Arc<str>> = Vec::new();
    if let Ok(regex) = compile(pattern) {
        topics.for_each_name(&mut |name| {
            if regex.is_match(name) {
                names.push(Arc::from(name));
            }
        });
    }
    names.sort_unstable();
    ResolvedRegex { topics: names, version: topics.version(), timestamp: now }
}

/// Bytes that a compiled pattern may take; Kafka's RE2 has no limit of its own.
const COMPILED_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern).expect("the pattern is valid").is_match(name)
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("orders-.*", "orders-1"));
        assert!(!matches("orders", "orders-1") && !matches("rders-1", "orders-1"));
        assert!(matches("a|b", "a") && matches("a|b", "b") && !matches("a|b", "ab"));
        assert!(matches("(^orders-.*)", "orders-2"), "as librdkafka sends it");
        assert!(matches("(?i)ORDERS", "orders"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for pattern in ["(", "a)(b", "[", "*", "(?=a)", r"(a)\1", "a{1000}{1000}{1000}"] {
            let (error, message) = compile(pattern).expect_err(pattern);
            assert_eq!(error, ErrorCode::InvalidRegularExpression);
            assert!(message.contains(pattern), "{message}");
        }
    }
}
