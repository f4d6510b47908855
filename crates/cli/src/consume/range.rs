//! Where reading begins and ends.

use std::collections::BTreeMap;

use highwater_client::admin::OffsetSpec;
use highwater_client::{TimestampMs, TopicPartition};

use crate::error::CliError;
use crate::session::Session;
use crate::timestamp::now_ms;
use crate::topic::offsets::{instant, offsets};

/// A place in every partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first record.
    Start,
    /// Behind the last record.
    End,
    /// That many records before the end.
    Back(i64),
    /// An offset.
    Offset(i64),
    /// The first record at or after an instant, in milliseconds since 1970.
    Time(i64),
}

impl Place {
    /// Reads `start`, `end`, `-10`, `@2026-01-01T00:00Z`, `@-1h` or an offset.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of start, end, -COUNT, OFFSET, @TIME and @-AGO");
        match text {
            "start" | "beginning" | "earliest" => Ok(Self::Start),
            "end" | "latest" => Ok(Self::End),
            "@now" => Ok(Self::Time(now_ms())),
            _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
                (Some(time), _) => instant(time).map(Self::Time),
                (None, Some(back)) => back.parse().ok().filter(|back| 0 <= *back).map(Self::Back).ok_or_else(wrong),
                (None, None) => text.parse().ok().filter(|offset| 0 <= *offset).map(Self::Offset).ok_or_else(wrong),
            },
        }
    }

    /// The offset in each partition. Offsets outside a partition become its begin or end.
    pub(crate) fn offsets(
        self,
        session: &Session,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, CliError> {
        let begins = offsets(session, partitions, OffsetSpec::Earliest)?;
        let ends = offsets(session, partitions, OffsetSpec::Latest)?;
        let times = match self {
            Self::Time(at) => offsets(session, partitions, OffsetSpec::Timestamp(TimestampMs(at)))?,
            _ => BTreeMap::new(),
        };
        let found = partitions.iter().map(|at| {
            let of = |listed: &BTreeMap<TopicPartition, highwater_client::admin::ListedOffset>| {
                listed.get(at).and_then(|found| found.offset).map(highwater_client::Offset::to_wire)
            };
            let (begin, end) = (of(&begins).unwrap_or(0), of(&ends).unwrap_or(0));
            let offset = match self {
                Self::Start => begin,
                Self::End => end,
                Self::Back(count) => end.saturating_sub(count),
                Self::Offset(offset) => offset,
                Self::Time(_) => of(&times).unwrap_or(end),
            };
            (at.clone(), offset.clamp(begin, end.max(begin)))
        });
        Ok(found.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, place) in [
            ("start", Place::Start),
            ("end", Place::End),
            ("-10", Place::Back(10)),
            ("42", Place::Offset(42)),
            ("@2026-01-01", Place::Time(1_767_225_600_000)),
            ("@1767225600000", Place::Time(1_767_225_600_000)),
        ] {
            assert_eq!(Place::parse(text), Ok(place), "{text}");
        }
        assert!(matches!(Place::parse("@-1h"), Ok(Place::Time(at)) if at < now_ms()));
        for wrong in ["", "x", "--1", "-x", "@", "@x", "1.5"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
