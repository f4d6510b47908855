//! `highwater consume`.

pub(crate) mod range;
pub(crate) mod reader;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use highwater_client::{NodeId, OffsetReset, TopicPartition};
use highwater_records::HeaderView;
use regex::bytes::Regex;

use crate::completions;
use crate::connection::Connection;
use crate::error::{CliError, Kind};
use crate::session::{Session, topic_name};
use crate::template::{Shown, Template, envelope};
use crate::timestamp::rfc3339;
use crate::topic::offsets::partitions;
use range::Place;
use reader::{Flow, Found, Membership, Reader};

/// Arguments of `highwater consume`.
#[derive(Args, Debug)]
pub(crate) struct Consume {
    /// Topics.
    #[arg(required = true, add = ArgValueCompleter::new(completions::topics))]
    topics: Vec<String>,
    /// Only these partitions.
    #[arg(short, long, value_delimiter = ',', conflicts_with = "group")]
    partitions: Vec<u32>,
    /// Read as a member of this group, which shares the partitions among its members and remembers how far it is.
    #[arg(short, long, add = ArgValueCompleter::new(completions::groups))]
    group: Option<String>,
    /// Where to begin: start, end, -10 for the last ten of each partition, an offset, @2026-01-31T12:00Z, @-1h.
    /// Default end; of a group, where it begins if it has committed nothing.
    #[arg(long, value_parser = Place::parse, allow_hyphen_values = true)]
    from: Option<Place>,
    /// Where to end, written like --from: end is where the partitions end now. Without it, wait for more.
    #[arg(long, value_parser = Place::parse, allow_hyphen_values = true, conflicts_with = "group")]
    until: Option<Place>,
    /// End after so many records.
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Only records whose key or value match this regular expression.
    #[arg(long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// How to write a record: fields in braces such as '{ts:rfc3339} {key} {value:json}\n', or kcat's %t %p %o %k %s %T %h.
    #[arg(short, long, conflicts_with = "output", value_parser = Template::parse)]
    format: Option<Template>,
    /// How to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Form::Value)]
    output: Form,
    /// Leave out records of transactions that are open or were given up.
    #[arg(long)]
    read_committed: bool,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The value and a line break.
    Value,
    /// One JSON object a line, with the fields that kcat -J has.
    Json,
    /// When, where, key and value, a record a line.
    Wide,
}

impl Consume {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        let mut printer = Printer {
            out: BufWriter::with_capacity(OUT_BYTES, io::stdout().lock()),
            left: self.count,
            line: Vec::new(),
        };
        if let Some(group) = &self.group {
            return self.run_as_member(&session, group, &mut printer);
        }
        let chosen = self.chosen(&session)?;
        let from = self.from.unwrap_or(Place::End).offsets(&session, &chosen)?;
        let until = self.until.map(|until| until.offsets(&session, &chosen)).transpose()?;
        let mut reader = Reader::new(&session, from, self.read_committed)?;
        loop {
            if let Some(until) = &until {
                finish_reached(&mut reader, until)?;
            }
            if reader.positions().is_empty() {
                break;
            }
            let flow = reader.poll(WAIT, &mut |found| self.take(found, until.as_ref(), &mut printer))?;
            if !printer.flush()? || flow == Flow::Stop {
                break;
            }
        }
        reader.close()
    }

    fn run_as_member(&self, session: &Session, group: &str, printer: &mut Printer<impl Write>) -> Result<(), CliError> {
        let start = match self.from {
            None | Some(Place::End) => OffsetReset::Latest,
            Some(Place::Start) => OffsetReset::Earliest,
            Some(_) => {
                let why = "a group goes on where it is, and where it has not been only start and end can be said";
                return Err(CliError::new(Kind::Usage, "--from does not go with --group", why)
                    .hint(format!("move the group first: highwater group reset {group} --help")));
            }
        };
        // Said now, not when nothing comes.
        let names: Vec<String> = self.chosen(session)?.iter().map(|at| at.topic.as_str().to_owned()).collect();
        let mut topics = names.iter().map(|name| topic_name(name)).collect::<Result<Vec<_>, _>>()?;
        topics.dedup();
        let membership = Membership { group, topics, start };
        let mut reader = Reader::of_group(&session.client, membership, self.read_committed, &[])?;
        loop {
            let flow = reader.poll(WAIT, &mut |found| self.take(found, None, printer))?;
            if !printer.flush()? || flow == Flow::Stop {
                break;
            }
        }
        reader.close()
    }

    fn chosen(&self, session: &Session) -> Result<Vec<TopicPartition>, CliError> {
        let mut names = self.topics.clone();
        names.sort();
        names.dedup();
        let mut all = partitions(session, names)?;
        let has = |wanted: &u32| all.iter().any(|at| at.partition.value() == *wanted);
        if let Some(missing) = self.partitions.iter().find(|wanted| !has(wanted)) {
            let what = format!("{} has no partition {missing}", self.topics.join(", "));
            return Err(CliError::new(Kind::NotFound, what, format!("there are {} partitions", all.len())));
        }
        all.retain(|at| self.partitions.is_empty() || self.partitions.contains(&at.partition.value()));
        Ok(all)
    }

    fn take(
        &self,
        found: &Found<'_>,
        until: Option<&BTreeMap<TopicPartition, i64>>,
        printer: &mut Printer<impl Write>,
    ) -> Result<Flow, CliError> {
        if until.and_then(|until| until.get(found.at)).is_some_and(|until| *until <= found.offset) {
            return Ok(Flow::Done);
        }
        let matches = |grep: &Regex| [found.key, found.value].into_iter().flatten().any(|bytes| grep.is_match(bytes));
        if !self.grep.as_ref().is_none_or(matches) {
            return Ok(Flow::On);
        }
        printer.line.clear();
        with_shown(found, |shown| match (&self.format, self.output) {
            (Some(template), _) => template.render(shown, &mut printer.line),
            (None, Form::Value) => {
                printer.line.extend_from_slice(shown.value.unwrap_or_default());
                printer.line.push(b'\n');
            }
            (None, Form::Json) => {
                printer.line.extend_from_slice(envelope(shown).to_string().as_bytes());
                printer.line.push(b'\n');
            }
            (None, Form::Wide) => {
                let (millis, at) = (shown.timestamp.map_or(0, |(_, millis)| millis), found.at);
                let place = format!("{} {}[{}]@{}", rfc3339(millis), at.topic.as_str(), at.partition, shown.offset);
                for part in [Some(place.as_bytes()), Some(b" "), shown.key, Some(b" "), shown.value, Some(b"\n")] {
                    printer.line.extend_from_slice(part.unwrap_or_default());
                }
            }
        });
        printer.print()
    }
}

/// Partitions that have been read up to where reading ends.
fn finish_reached(reader: &mut Reader, until: &BTreeMap<TopicPartition, i64>) -> Result<(), CliError> {
    let done: Vec<TopicPartition> = reader
        .positions()
        .iter()
        .filter(|(at, position)| until.get(at).is_none_or(|until| until <= position))
        .map(|(at, _)| at.clone())
        .collect();
    done.iter().try_for_each(|at| reader.drop_partition(at))
}

/// Lends a record as it is printed.
pub(crate) fn with_shown<R>(found: &Found<'_>, use_it: impl FnOnce(&Shown<'_>) -> R) -> R {
    let headers: Vec<HeaderView<'_>> = found.record.headers().iter().collect();
    let names: Vec<_> = headers.iter().map(HeaderView::key_text).collect();
    let headers = names.iter().zip(&headers).map(|(name, header)| (&**name, header.value)).collect();
    use_it(&Shown {
        topic: found.at.topic.as_str(),
        partition: found.at.partition.to_wire(),
        offset: found.offset,
        timestamp: found.timestamp,
        key: found.key,
        value: found.value,
        headers,
        broker: found.broker.map(NodeId::to_wire),
    })
}

struct Printer<W> {
    out: W,
    left: Option<u64>,
    line: Vec<u8>,
}

impl<W: Write> Printer<W> {
    fn print(&mut self) -> Result<Flow, CliError> {
        match self.out.write_all(&self.line) {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Flow::Stop),
            written => written.map_err(|error| CliError::caused("cannot print", &error))?,
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    /// Whether anybody still reads.
    fn flush(&mut self) -> Result<bool, CliError> {
        match self.out.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            flushed => flushed.map(|()| true).map_err(|error| CliError::caused("cannot print", &error)),
        }
    }
}

/// How long to wait before looking whether anybody still reads.
const WAIT: Duration = Duration::from_millis(500);
const OUT_BYTES: usize = 64 << 10;
