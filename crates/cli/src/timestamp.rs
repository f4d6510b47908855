//! Instants as text: RFC 3339 in UTC, and back.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 as RFC 3339 in UTC, such as `2026-01-31T12:00:00.250Z`.
///
/// Years outside 0 to 9999 are not representable there; such instants are given as the number.
pub(crate) fn rfc3339(millis: i64) -> String {
    let days = millis.div_euclid(DAY_MS);
    let in_day = millis.rem_euclid(DAY_MS);
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        return millis.to_string();
    }
    let (hour, minute) = (in_day / HOUR_MS, in_day / MINUTE_MS % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Milliseconds since 1970 of an instant such as `2026-01-31`, `2026-01-31T12:00`, `2026-01-31T12:00:00.25Z` or
/// `2026-01-31T12:00:00+02:00`. Without an offset it is UTC. `None` if it is none of these.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut fields = date.splitn(3, '-');
    let year = digits(fields.next()?, 4)?;
    let month = digits(fields.next()?, 2)?;
    let day = digits(fields.next()?, 2)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let in_day = time.map_or(Some(0), parse_time)?;
    Some(days * DAY_MS + in_day)
}

/// A length of time in milliseconds: `250ms`, `90s`, `5m`, `2h`, `7d`, `1w`, a bare number of milliseconds, or
/// ISO 8601 such as `PT1H30M` and `P7D`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    if let Some(iso) = text.strip_prefix('P') {
        return parse_iso_duration(iso);
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: i64 = number.parse().ok()?;
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "m" | "min" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        "w" => 7 * DAY_MS,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// Milliseconds since 1970, now.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn parse_iso_duration(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut total = 0_i64;
    for (part, units) in [(date, &[('W', 7 * DAY_MS), ('D', DAY_MS)][..]), (time, &ISO_TIME_UNITS)] {
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let unit = rest[end..].chars().next()?;
            let &(_, unit_ms) = units.iter().find(|(name, _)| *name == unit)?;
            let (whole, fraction) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
            total = total.checked_add(whole.parse::<i64>().ok()?.checked_mul(unit_ms)?)?;
            if !fraction.is_empty() {
                total = total.checked_add(fraction_ms(fraction)?.checked_mul(unit_ms / 1000)?)?;
            }
            rest = &rest[end + unit.len_utf8()..];
        }
    }
    (!text.is_empty() && text != "T").then_some(total)
}

fn parse_time(text: &str) -> Option<i64> {
    let (clock, offset_ms) = if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        (clock, 0)
    } else if let Some(at) = text.rfind(['+', '-']) {
        let offset = text[at + 1..].replace(':', "");
        let minutes = digits(offset.get(..2)?, 2)? * 60 + digits(offset.get(2..)?, 2).unwrap_or(0);
        (&text[..at], if text[at..].starts_with('-') { -minutes } else { minutes } * MINUTE_MS)
    } else {
        (text, 0)
    };
    let mut fields = clock.splitn(3, ':');
    let hour = digits(fields.next()?, 2)?;
    let minute = digits(fields.next()?, 2)?;
    let (second, milli) = match fields.next() {
        None => (0, 0),
        Some(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            (digits(whole, 2)?, fraction_ms(fraction)?)
        }
    };
    let valid = hour < 24 && minute < 60 && second < 61;
    valid.then_some(hour * HOUR_MS + minute * MINUTE_MS + second * 1000 + milli - offset_ms)
}

/// The digits behind a decimal point, in thousandths.
fn fraction_ms(digits: &str) -> Option<i64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let padded: String = digits.chars().chain("000".chars()).take(3).collect();
    valid.then(|| padded.parse().ok())?
}

/// A number of exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let valid = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().ok())?
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar without end.
///
/// Counts from the 1st of March, so that leap days end a year, in eras of 400 years, which all have the same length.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + DAYS_TO_MARCH_OF_YEAR_0;
    let (era, in_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let in_year = (153 * month_from_march + 2) / 5 + day - 1;
    let in_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + in_year;
    era * ERA_DAYS + in_era - DAYS_TO_MARCH_OF_YEAR_0
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const ERA_DAYS: i64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_TO_MARCH_OF_YEAR_0: i64 = 719_468;
const ISO_TIME_UNITS: [(char, i64); 3] = [('H', HOUR_MS), ('M', MINUTE_MS), ('S', 1000)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_become_text_and_text_becomes_instants() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
            assert_eq!(parse(text), Some(millis), "{text}");
        }
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
        assert_eq!(rfc3339(i64::MIN), i64::MIN.to_string());
    }

    #[test]
    fn shorter_forms_and_offsets_are_read() {
        assert_eq!(parse("2026-01-01"), Some(1_767_225_600_000));
        assert_eq!(parse("2026-01-01T00:30"), Some(1_767_227_400_000));
        assert_eq!(parse("2026-01-01 00:30:01.5"), Some(1_767_227_401_500));
        assert_eq!(parse("2026-01-01T02:00:00+02:00"), Some(1_767_225_600_000));
        assert_eq!(parse("2025-12-31T19:00:00-0500"), Some(1_767_225_600_000));
        for wrong in ["", "2026", "2026-13-01", "2026-02-29", "2026-01-01T25:00", "2026-01-01Tx", "2026-1-1", "é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lengths_of_time_are_read() {
        for (text, millis) in [
            ("1500", 1500),
            ("90s", 90_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("PT1H30M", 5_400_000),
            ("P1D", 86_400_000),
            ("PT0.5S", 500),
        ] {
            assert_eq!(parse_duration(text), Some(millis), "{text}");
        }
        for wrong in ["", "P", "PT", "h", "5x", "PT5", "P5H", "99999999999999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
