//! Member ids as scripts write them: `a-1` stands for `a-00000000-0000-0000-0000-000000000001`, and `a~1` for the same
//! in Kafka's own way of writing such numbers, as consumer groups have it.

use highwater_types::Uuid;

const ZEROES: &str = "00000000-0000-0000-0000-";

/// The id that a script means.
pub(crate) fn full(short: &str) -> String {
    if let Some((name, number)) = short.split_once('~') {
        return format!("{name}-{}", random(number.parse().unwrap()));
    }
    match short.rsplit_once('-') {
        Some((name, number)) => format!("{name}-{ZEROES}{:012x}", number.parse::<u64>().unwrap()),
        None => short.to_owned(),
    }
}

/// An id as scripts write it; `-` for none.
pub(crate) fn short(id: &str) -> String {
    let is_the_end = |number: &u64| id.ends_with(&random(*number).to_string());
    if let Some(number) = (1..100).find(|number| id.contains("AAAAAAAA") && is_the_end(number)) {
        return format!("{}~{number}", id.split_once("AAAAAAAA").unwrap().0.trim_end_matches('-'));
    }
    match id.split_once(ZEROES) {
        Some((name, number)) => format!("{name}{}", u64::from_str_radix(number, 16).unwrap()),
        None if id.is_empty() => "-".to_owned(),
        None => id.to_owned(),
    }
}

/// What is random in the member that is made for a request, if it is a new one.
pub(crate) fn random(number: u64) -> Uuid {
    Uuid::from_bytes(u128::from(number).to_be_bytes())
}
