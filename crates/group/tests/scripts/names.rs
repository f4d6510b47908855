//! Member ids as scripts write them: `a-1` stands for `a-00000000-0000-0000-0000-000000000001`.

use highwater_types::Uuid;

const ZEROES: &str = "00000000-0000-0000-0000-";

/// The id that a script means.
pub(crate) fn full(short: &str) -> String {
    match short.rsplit_once('-') {
        Some((name, number)) => format!("{name}-{ZEROES}{:012x}", number.parse::<u64>().unwrap()),
        None => short.to_owned(),
    }
}

/// An id as scripts write it; `-` for none.
pub(crate) fn short(id: &str) -> String {
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
