//! Durations as ISO 8601 writes them.

/// The milliseconds of `PnDTnHnMn.nS`, rounded down; `None` unless it is one, and not negative.
pub(super) fn parse_duration_ms(text: &str) -> Option<u64> {
    let text = text.strip_prefix(['P', 'p'])?;
    let (days, time) = match text.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = 0u64;
    let mut rest = days;
    if !rest.is_empty() {
        total = total.checked_add(take(&mut rest, ['D', 'd'])?.checked_mul(86_400_000)?)?;
    }
    if !rest.is_empty() {
        return None;
    }
    rest = time;
    for (unit, ms) in [(['H', 'h'], 3_600_000), (['M', 'm'], 60_000)] {
        if rest.contains(unit) {
            total = total.checked_add(take(&mut rest, unit)?.checked_mul(ms)?)?;
        }
    }
    if !rest.is_empty() {
        total = total.checked_add(seconds_ms(rest.strip_suffix(['S', 's'])?)?)?;
    }
    Some(total)
}

/// The whole number up to `unit`, which is taken off the front.
fn take(rest: &mut &str, unit: [char; 2]) -> Option<u64> {
    let (number, after) = rest.split_once(unit)?;
    *rest = after;
    digits(number)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn seconds_ms(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(fraction)?;
    let thousandths: String = fraction.chars().chain("00".chars()).take(3).collect();
    digits(whole)?.checked_mul(1_000)?.checked_add(digits(&thousandths)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_reads_them() {
        let cases = [
            ("P1D", Some(86_400_000)),
            ("PT1H", Some(3_600_000)),
            ("P2DT3H4M5.6S", Some(2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5_600)),
            ("PT0.0019S", Some(1)),
            ("pt10s", Some(10_000)),
            ("PT1M", Some(60_000)),
            ("P", None),
            ("PT", None),
            ("P1DT", None),
            ("1D", None),
            ("P1H", None),
            ("PT-1H", None),
            ("PT1S2M", None),
            ("PT1", None),
            ("PT.S", None),
            ("P99999999999999999D", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse_duration_ms(text), ms, "{text}");
        }
    }
}
