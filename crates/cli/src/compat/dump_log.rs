//! `kafka-dump-log`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use highwater_records::{
    BatchView, ControlType, DecompressLimit, EndTxnMarker, Entry, LegacyMessage, RecordError, RecordView, TimestampType,
};

use super::{end, parse};
use crate::error::CliError;
use crate::log::dump::{Step, only_zeros, read_entry};
use crate::output::note;

/// Parse a log file and dump its contents to the console.
#[derive(Debug, Parser)]
#[command(name = "kafka-dump-log")]
struct DumpLog {
    /// The comma separated list of data and index log files to be dumped.
    #[arg(long, required = true, value_delimiter = ',', value_name = "file1, file2, ...")]
    files: Vec<PathBuf>,
    /// Print the messages content when dumping data logs.
    #[arg(long)]
    print_data_log: bool,
    /// Use deep instead of shallow iteration.
    #[arg(long)]
    deep_iteration: bool,
    /// Skip metadata when printing records. This flag also skips control records.
    #[arg(long)]
    skip_record_metadata: bool,
    /// Limit the amount of total batches read in bytes.
    #[arg(long, value_name = "size", default_value_t = i32::MAX as u64)]
    max_bytes: u64,
    /// Size of largest message.
    #[arg(long, value_name = "size")]
    max_message_size: Option<u64>,
    /// Verify an index without printing its content.
    #[arg(long)]
    verify_index_only: bool,
    /// Check that an index is sane without printing its content.
    #[arg(long)]
    index_sanity_check: bool,
}

/// Offsets of a file that do not follow each other.
#[derive(Default)]
struct Gaps(Vec<(i64, i64)>);

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let tool: DumpLog = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut code = ExitCode::SUCCESS;
    let mut reports = String::new();
    for path in &tool.files {
        // Kafka leaves no blank in the list behind the comma.
        let path = PathBuf::from(path.to_string_lossy().trim());
        match tool.dump(&path, &mut out, &mut reports) {
            Ok(()) => {}
            Err(DumpError::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => return code,
            Err(DumpError::Out(error)) => {
                return end(Err(CliError::caused(format!("cannot dump {}", path.display()), &error)));
            }
            Err(DumpError::Told(why)) => {
                let _ = out.flush();
                note(&why);
                code = ExitCode::FAILURE;
                break;
            }
        }
    }
    let _ = out.flush();
    if !reports.is_empty() {
        note(reports.trim_end());
    }
    code
}

enum DumpError {
    Out(io::Error),
    Told(String),
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

impl From<RecordError> for DumpError {
    fn from(error: RecordError) -> Self {
        Self::Told(format!("error: a batch cannot be read: {error}"))
    }
}

impl DumpLog {
    fn dump(&self, path: &Path, out: &mut impl Write, reports: &mut String) -> Result<(), DumpError> {
        writeln!(out, "Dumping {}", path.display())?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (stem, kind) = name.rsplit_once('.').unwrap_or((&name, ""));
        match kind {
            "log" => self.dump_log(path, stem, out, reports),
            "index" => self.dump_index(path, stem, out),
            "timeindex" => self.dump_time_index(path, stem, out),
            _ => {
                writeln!(out, "Ignoring unknown file {}", path.display())?;
                Ok(())
            }
        }
    }

    fn dump_log(&self, path: &Path, stem: &str, out: &mut impl Write, reports: &mut String) -> Result<(), DumpError> {
        let start: i64 = base(stem)?;
        writeln!(out, "Log starting offset: {start}")?;
        let told = |error: io::Error| DumpError::Told(format!("error: cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(told)?;
        let size = file.metadata().map_err(told)?.len();
        let mut reader = BufReader::with_capacity(256 << 10, file);
        let mut bytes = Vec::new();
        let mut position = 0_u64;
        let mut gaps = Gaps::default();
        let mut last = -1;
        while position < self.max_bytes {
            match read_entry(&mut reader, size.saturating_sub(position), &mut bytes).map_err(told)? {
                Step::Entry => {}
                Step::Broken(_) if bytes.iter().all(|&byte| byte == 0) && only_zeros(&mut reader).map_err(told)? => {
                    break;
                }
                Step::End | Step::Cut | Step::Broken(_) => break,
            }
            self.entry(&bytes, position, out, &mut last, &mut gaps)?;
            position += bytes.len() as u64;
        }
        if position < size && position < self.max_bytes {
            writeln!(out, "Found {} invalid bytes at the end of {}", size - position, file_name(path))?;
        }
        if !gaps.0.is_empty() {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let _ = writeln!(reports, "Non-consecutive offsets in {}", absolute.display());
            for (before, after) in gaps.0 {
                let _ = writeln!(reports, "  {before} is followed by {after}");
            }
        }
        Ok(())
    }

    fn entry(
        &self,
        bytes: &[u8],
        position: u64,
        out: &mut impl Write,
        last: &mut i64,
        gaps: &mut Gaps,
    ) -> Result<(), DumpError> {
        let deep = self.print_data_log || self.deep_iteration;
        let mut follow = |offset: i64| {
            if *last + 1 != offset && deep {
                gaps.0.push((*last, offset));
            }
            *last = offset;
        };
        match Entry::parse(bytes)? {
            Entry::Batch(batch) => {
                write_batch(&batch, position, out)?;
                if deep {
                    let mut records = batch.records(DecompressLimit::default())?;
                    while let Some(record) = records.next_record()? {
                        follow(record.offset);
                        self.record(&record, Some(&batch), batch.timestamp_type().name(), None, out)?;
                    }
                }
            }
            Entry::Legacy(message) => {
                write_message(&message, position, out)?;
                if !deep {
                    return Ok(());
                }
                if message.codec()?.is_compressed() {
                    for inner in message.inner(DecompressLimit::default())?.iter() {
                        let record = inner.record()?;
                        follow(record.offset);
                        self.legacy(&record, &inner.message, out)?;
                    }
                } else {
                    let mut records = message.records(DecompressLimit::default())?;
                    while let Some(record) = records.next_record()? {
                        follow(record.offset);
                        self.legacy(&record, &message, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn legacy(&self, record: &RecordView<'_>, message: &LegacyMessage<'_>, out: &mut impl Write) -> io::Result<()> {
        let kind = message.timestamp_type().map_or("NoTimestampType", TimestampType::name);
        self.record(record, None, kind, Some((message.check_crc().is_ok(), message.crc())), out)
    }

    fn record(
        &self,
        record: &RecordView<'_>,
        batch: Option<&BatchView<'_>>,
        kind: &str,
        crc: Option<(bool, u32)>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let is_control = batch.is_some_and(|batch| batch.is_control());
        if self.skip_record_metadata && is_control {
            // Kafka ends the line that it does not begin.
            return out.write_all(b"\n");
        }
        let mut prefix = "| ";
        if !self.skip_record_metadata {
            let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
            write!(
                out,
                "| offset: {} {kind}: {} keySize: {} valueSize: {}",
                record.offset,
                record.timestamp,
                size(record.key),
                size(record.value)
            )?;
            match crc {
                Some((is_valid, crc)) => write!(out, " isValid: {is_valid} crc: {crc}")?,
                None => {
                    let keys: Vec<_> = record.headers.iter().map(|header| header.key_text()).collect();
                    let sequence = record.sequence;
                    write!(out, " sequence: {sequence} headerKeys: [{}]", keys.join(","))?;
                }
            }
            if is_control {
                write_control(record, out)?;
            }
            prefix = " ";
        }
        if !is_control && self.print_data_log {
            if let Some(key) = record.key {
                write!(out, "{prefix}key: {}", String::from_utf8_lossy(key))?;
                prefix = " ";
            }
            if let Some(value) = record.value {
                write!(out, "{prefix}payload: {}", String::from_utf8_lossy(value))?;
            }
        }
        out.write_all(b"\n")
    }

    fn dump_index(&self, path: &Path, stem: &str, out: &mut impl Write) -> Result<(), DumpError> {
        let base = base(stem)?;
        for (at, entry) in read_all(path)?.as_chunks::<8>().0.iter().enumerate() {
            let [o0, o1, o2, o3, p0, p1, p2, p3] = *entry;
            let offset = base.saturating_add(i32::from_be_bytes([o0, o1, o2, o3]).into());
            let position = i32::from_be_bytes([p0, p1, p2, p3]);
            // What was preallocated is not in use.
            if 0 < at && offset == base && position == 0 {
                break;
            }
            if !self.verify_index_only && !self.index_sanity_check {
                writeln!(out, "offset: {offset} position: {position}")?;
            }
        }
        if self.index_sanity_check {
            writeln!(out, "{} passed sanity check.", file_name(path))?;
        }
        Ok(())
    }

    fn dump_time_index(&self, path: &Path, stem: &str, out: &mut impl Write) -> Result<(), DumpError> {
        let base = base(stem)?;
        for entry in read_all(path)?.as_chunks::<12>().0 {
            let [t0, t1, t2, t3, t4, t5, t6, t7, o0, o1, o2, o3] = *entry;
            let timestamp = i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
            let offset = base.saturating_add(i32::from_be_bytes([o0, o1, o2, o3]).into());
            if timestamp == 0 && offset == base {
                break;
            }
            if !self.verify_index_only && !self.index_sanity_check {
                writeln!(out, "timestamp: {timestamp} offset: {offset}")?;
            }
        }
        if self.index_sanity_check {
            writeln!(out, "{} passed sanity check.", file_name(path))?;
        }
        Ok(())
    }
}

fn write_batch(batch: &BatchView<'_>, position: u64, out: &mut impl Write) -> io::Result<()> {
    let horizon =
        batch.delete_horizon().map_or("OptionalLong.empty".into(), |millis| format!("OptionalLong[{millis}]"));
    writeln!(
        out,
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {position} \
         {}: {} size: {} magic: 2 compresscodec: {} crc: {} isvalid: {}",
        batch.base_offset(),
        batch.last_offset(),
        batch.count(),
        batch.base_sequence(),
        batch.last_sequence(),
        batch.producer_id(),
        batch.producer_epoch(),
        batch.leader_epoch(),
        batch.is_transactional(),
        batch.is_control(),
        batch.timestamp_type().name(),
        batch.max_timestamp(),
        batch.size(),
        batch.codec().map_or("unknown", |codec| codec.name()),
        batch.crc(),
        batch.check_crc().is_ok(),
    )
}

fn write_message(message: &LegacyMessage<'_>, position: u64, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "offset: {} position: {position} {}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
        message.offset(),
        message.timestamp_type().map_or("NoTimestampType", TimestampType::name),
        message.timestamp(),
        message.bytes().len(),
        message.magic(),
        message.codec().map_or("unknown", |codec| codec.name()),
        message.crc(),
        message.check_crc().is_ok(),
    )
}

fn write_control(record: &RecordView<'_>, out: &mut impl Write) -> io::Result<()> {
    let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
    match (ControlType::from_key(key), EndTxnMarker::from_record(key, value)) {
        (Some(kind), Some(marker)) => {
            write!(out, " endTxnMarker: {} coordinatorEpoch: {}", kind.name(), marker.coordinator_epoch)
        }
        (Some(kind), None) => write!(out, " controlType: {}", kind.name()),
        (None, _) => write!(out, " controlType: UNKNOWN"),
    }
}

/// The offset in a file's name.
fn base(stem: &str) -> Result<i64, DumpError> {
    stem.parse().map_err(|_| DumpError::Told(format!("error: {stem} is no offset, which the names of log files are")))
}

/// A whole index, which is small: at most what segment.index.bytes allows.
fn read_all(path: &Path) -> Result<Vec<u8>, DumpError> {
    let told = |why: String| DumpError::Told(format!("error: cannot read {}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| told(error.to_string()))?.len();
    if INDEX_BYTES_MAX < size {
        return Err(told(format!("{size} bytes are more than an index may have")));
    }
    fs::read(path).map_err(|error| told(error.to_string()))
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default()
}

const INDEX_BYTES_MAX: u64 = i32::MAX as u64;
