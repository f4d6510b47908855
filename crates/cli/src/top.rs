//! `highwater top`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::Args;
use console::Term;
use highwater_client::admin::OffsetSpec;

use crate::cluster::{Verdict, describe};
use crate::connection::Connection;
use crate::disk::directories;
use crate::error::{CliError, Kind};
use crate::group::lag::{Row, rows};
use crate::output::{Mood, print};
use crate::session::{Session, told};
use crate::signals::EndSignals;
use crate::timestamp::{now_ms, rfc3339};
use crate::topic::offsets::{offsets, partitions};

/// Arguments of `highwater top`.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// Print one frame, without waiting for rates, and end.
    #[arg(long)]
    once: bool,
    /// Seconds between frames.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// What a frame shows.
struct Sample {
    at: Instant,
    cluster: String,
    state: (&'static str, Mood),
    brokers: usize,
    fenced: usize,
    controller: String,
    partitions: usize,
    offline: usize,
    under_replicated: usize,
    /// Where each topic ends, summed over its partitions.
    ends: BTreeMap<String, u64>,
    /// Bytes of each topic on all brokers.
    bytes: BTreeMap<String, u64>,
    /// State, members and lag of each group.
    groups: Vec<(String, String, usize, u64)>,
}

impl Top {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        if self.once {
            let session = Session::open(connection)?;
            return print(&frame(&take(&session)?, None, None, false));
        }
        if !io::stdout().is_terminal() {
            return Err(CliError::new(Kind::Usage, "nothing to draw on", "standard output is no terminal")
                .hint("highwater top --once prints one frame"));
        }
        // Before the client starts its thread, which inherits what is blocked.
        let signals = EndSignals::block().map_err(|errno| CliError::caused("cannot prepare for signals", &errno))?;
        let session = Session::open(connection)?;
        print(ENTER)?;
        let outcome = self.draw(&session, &signals);
        print(LEAVE)?;
        outcome
    }

    fn draw(&self, session: &Session, signals: &EndSignals) -> Result<(), CliError> {
        let mut last: Option<Sample> = None;
        loop {
            let sample = take(session)?;
            let (height, width) = Term::stdout().size();
            let text = frame(&sample, last.as_ref(), Some((usize::from(height), usize::from(width))), true);
            print(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\r\n")))?;
            last = Some(sample);
            let signal = signals
                .wait_at_most(Duration::from_secs(self.interval))
                .map_err(|errno| CliError::caused("cannot wait for signals", &errno))?;
            if signal.is_some() {
                return Ok(());
            }
        }
    }
}

fn take(session: &Session) -> Result<Sample, CliError> {
    let cluster = describe(session)?;
    let verdict = Verdict::of(session, &cluster)?;
    let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
    let names: Vec<String> = listed.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name).collect();
    let mut ends: BTreeMap<String, u64> = names.iter().map(|name| (name.clone(), 0)).collect();
    let all = partitions(session, names)?;
    for (at, found) in offsets(session, &all, OffsetSpec::Latest)? {
        let end = found.offset.map_or(0, highwater_client::Offset::value);
        *ends.entry(at.topic.as_str().to_owned()).or_default() += end;
    }
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for (_, found) in directories(session, &[])? {
        for (at, log) in found.iter().flat_map(|directory| &directory.replicas) {
            *bytes.entry(at.topic.as_str().to_owned()).or_default() += log.size_bytes;
        }
    }
    let names = session.admin.list_groups().wait().map_err(|error| told("cannot list groups", &error))?;
    let described = session.admin.describe_groups(names.into_iter().map(|group| group.name)).wait();
    let mut groups = Vec::new();
    for (name, group) in described.map_err(|error| told("cannot describe groups", &error))? {
        // One that goes away meanwhile is no reason to stop looking.
        let Ok(group) = group else { continue };
        let lag = rows(session, &group)?.iter().filter_map(Row::lag).sum();
        groups.push((name, group.state.clone(), group.members.len(), lag));
    }
    let word = match verdict.mood() {
        Mood::Good => "ok",
        Mood::Fair => "degraded",
        Mood::Bad => "down",
    };
    Ok(Sample {
        at: Instant::now(),
        state: (word, verdict.mood()),
        brokers: cluster.brokers.iter().filter(|broker| !broker.is_fenced).count(),
        fenced: verdict.fenced.len(),
        controller: cluster.controller.map_or_else(|| "none".into(), |id| id.to_string()),
        cluster: cluster.id,
        partitions: verdict.partitions,
        offline: verdict.offline.len(),
        under_replicated: verdict.under_replicated.len(),
        ends,
        bytes,
        groups,
    })
}

/// The text of a frame: what fits into `size` lines and columns, or all.
fn frame(sample: &Sample, last: Option<&Sample>, size: Option<(usize, usize)>, colour: bool) -> String {
    let (height, width) = size.unwrap_or((usize::MAX, usize::MAX));
    let state = match (colour, sample.state.1) {
        (false, _) => sample.state.0.to_owned(),
        (true, Mood::Good) => format!("\x1b[32m{}\x1b[0m", sample.state.0),
        (true, Mood::Fair) => format!("\x1b[33m{}\x1b[0m", sample.state.0),
        (true, Mood::Bad) => format!("\x1b[31m{}\x1b[0m", sample.state.0),
    };
    let mut head = String::new();
    let _ = writeln!(head, "highwater top  {}  cluster {}  {state}", rfc3339(now_ms()), sample.cluster);
    let _ = writeln!(
        head,
        "brokers {} up, {} fenced  controller {}  partitions {}, {} offline, {} under-replicated",
        sample.brokers, sample.fenced, sample.controller, sample.partitions, sample.offline, sample.under_replicated
    );
    let seconds = last.map(|last| sample.at.duration_since(last.at).as_secs_f64().max(0.001));
    let rate = |now: u64, before: Option<u64>| match (seconds, before) {
        (Some(seconds), Some(before)) => format!("{:.0}", now.saturating_sub(before) as f64 / seconds),
        _ => "-".to_owned(),
    };
    let mut topics: Vec<(&String, u64, u64)> = sample
        .ends
        .iter()
        .map(|(name, end)| {
            let before = last.and_then(|last| last.ends.get(name)).copied();
            (name, end.saturating_sub(before.unwrap_or(*end)), *end)
        })
        .collect();
    // The busiest first, then the largest.
    topics.sort_by(|one, other| other.1.cmp(&one.1).then(other.2.cmp(&one.2)).then(one.0.cmp(other.0)));
    let mut lines = vec![format!("\n{:<40} {:>12} {:>16} {:>16}", "TOPIC", "RECORDS/S", "RECORDS", "BYTES")];
    for (name, _, end) in topics {
        let before = last.and_then(|last| last.ends.get(name)).copied();
        let bytes = sample.bytes.get(name).copied().unwrap_or(0);
        lines.push(format!("{:<40} {:>12} {end:>16} {bytes:>16}", cut(name, 40), rate(end, before)));
    }
    lines.push(format!("\n{:<40} {:>12} {:>16} {:>16}", "GROUP", "MEMBERS", "LAG", "STATE"));
    let mut groups: Vec<_> = sample.groups.iter().collect();
    groups.sort_by(|one, other| other.3.cmp(&one.3).then(one.0.cmp(&other.0)));
    for (name, state, members, lag) in groups {
        lines.push(format!("{:<40} {members:>12} {lag:>16} {state:>16}", cut(name, 40)));
    }
    let mut text = head;
    for line in lines.iter().flat_map(|line| line.split('\n')) {
        if height.saturating_sub(1) <= text.matches('\n').count() {
            break;
        }
        text.push_str(&cut(line, width));
        text.push('\n');
    }
    text
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// To a screen of its own, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// And back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(end: u64, at: Instant) -> Sample {
        Sample {
            at,
            cluster: "c".into(),
            state: ("ok", Mood::Good),
            brokers: 1,
            fenced: 0,
            controller: "1".into(),
            partitions: 1,
            offline: 0,
            under_replicated: 0,
            ends: BTreeMap::from([("quiet".into(), 900), ("t".into(), end)]),
            bytes: BTreeMap::from([("t".into(), 70)]),
            groups: vec![("g".into(), "Stable".into(), 2, 5)],
        }
    }

    #[test]
    fn a_frame_has_rates_and_fits_its_screen() {
        let begin = Instant::now();
        let (first, second) = (sample(10, begin), sample(30, begin + Duration::from_secs(2)));
        let text = frame(&second, Some(&first), None, false);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[4], ["t", "10", "30", "70"], "the busiest first: {text}");
        assert_eq!(lines[5], ["quiet", "0", "900", "0"]);
        assert_eq!(lines[8], ["g", "2", "5", "Stable"]);
        let small = frame(&second, Some(&first), Some((5, 20)), false);
        assert_eq!(small.lines().count(), 4, "{small}");
        assert!(small.lines().skip(2).all(|line| line.chars().count() <= 20), "{small}");
    }
}
