//! `highwater log dump`.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use highwater_records::json::describe_entry;
use highwater_records::{Codec, Entry, EntryHead, RecordError};
use serde_json::Value;

use crate::error::{CliError, Kind};

/// Arguments of `highwater log dump`.
#[derive(Args, Debug)]
pub(crate) struct Dump {
    /// A segment (`*.log`), any file of record batches, or a partition directory.
    path: PathBuf,
    /// How to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Leave out the records.
    #[arg(long)]
    no_records: bool,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns to read; no records.
    Table,
    /// One JSON object for each batch, one a line.
    Json,
}

impl Dump {
    /// Prints all batches.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let mut printer = Printer {
            out: BufWriter::with_capacity(OUT_BYTES, io::stdout().lock()),
            format: self.output,
            records: !self.no_records,
            headed: false,
        };
        let outcome = self.dump(&mut printer).and_then(|()| Ok(printer.out.flush()?));
        match outcome {
            Ok(()) => Ok(()),
            // The reader has seen enough, as in `highwater log dump … | head`.
            Err(DumpError::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(DumpError::Out(error)) => Err(CliError::caused("cannot print", &error)),
            Err(DumpError::Told(error)) => Err(error),
        }
    }

    fn dump(&self, printer: &mut Printer<impl Write>) -> Result<(), DumpError> {
        let metadata = fs::metadata(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        if !metadata.is_dir() {
            return dump_file(&self.path, None, printer);
        }
        let segments = segments(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        if segments.is_empty() {
            let what = format!("no segments in {}", self.path.display());
            return Err(CliError::new(Kind::NotFound, what, "there is no file whose name ends with .log")
                .hint("give a partition directory, such as DATA/my-topic-0")
                .into());
        }
        segments.iter().try_for_each(|segment| {
            let name = segment.file_name().map(|name| name.to_string_lossy().into_owned());
            dump_file(segment, name.as_deref(), printer)
        })
    }
}

/// The segments of a partition directory, in the order of their offsets.
fn segments(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    // Names are offsets of fixed width.
    segments.sort();
    Ok(segments)
}

/// Prints the batches of one file, holding one at a time.
fn dump_file(path: &Path, name: Option<&str>, printer: &mut Printer<impl Write>) -> Result<(), DumpError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let file_bytes = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    let mut reader = BufReader::with_capacity(IN_BYTES, file);
    let mut entry_bytes = Vec::new();
    let mut position = 0;
    loop {
        let left = file_bytes.saturating_sub(position);
        let step = read_entry(&mut reader, left, &mut entry_bytes).map_err(|error| unreadable(path, &error))?;
        match step {
            Step::Entry => {}
            Step::End => return Ok(()),
            Step::Cut => {
                // Usual where a write was interrupted or is under way, and in answers to fetches: worth a note only.
                let path = path.display();
                writeln!(
                    io::stderr(),
                    "note: {path} ends with {left} bytes that are no whole batch, at byte {position}"
                )?;
                return Ok(());
            }
            Step::Broken(error) => {
                let preallocated = position > 0
                    && entry_bytes.iter().all(|&byte| byte == 0)
                    && only_zeros(&mut reader).map_err(|error| unreadable(path, &error))?;
                return if preallocated { Ok(()) } else { Err(broken(path, position, &error).into()) };
            }
        }
        printer.print(&entry_bytes, position, name)?;
        position += entry_bytes.len() as u64;
    }
}

/// What comes next in a file.
pub(crate) enum Step {
    /// A whole entry, now in the buffer.
    Entry,
    /// Nothing.
    End,
    /// Bytes that are not a whole entry.
    Cut,
    /// Bytes that cannot be the start of an entry.
    Broken(RecordError),
}

/// Reads the next entry into `bytes`. Allocates no more than `left`, which is what the file still holds.
pub(crate) fn read_entry(reader: &mut impl Read, left: u64, bytes: &mut Vec<u8>) -> io::Result<Step> {
    bytes.clear();
    reader.take(left.min(EntryHead::SIZE as u64)).read_to_end(bytes)?;
    if bytes.is_empty() {
        return Ok(Step::End);
    }
    let head = match EntryHead::peek(bytes) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(Step::Cut),
        Err(error) => return Ok(Step::Broken(error)),
    };
    if u64::from(head.size()) > left {
        return Ok(Step::Cut);
    }
    let rest = u64::from(head.size()) - bytes.len() as u64;
    let read = reader.take(rest).read_to_end(bytes)?;
    // Shorter if the file was cut meanwhile.
    Ok(if read as u64 == rest { Step::Entry } else { Step::Cut })
}

/// Whether all that is left is zeros, as at the end of a segment that was preallocated.
pub(crate) fn only_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let length = bytes.len();
        reader.consume(length);
    }
}

struct Printer<W> {
    out: W,
    format: Format,
    records: bool,
    headed: bool,
}

impl<W: Write> Printer<W> {
    fn print(&mut self, entry: &[u8], position: u64, file: Option<&str>) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(entry, position, file),
            Format::Table => self.table(entry, position, file),
        }
    }

    fn json(&mut self, entry: &[u8], position: u64, file: Option<&str>) -> io::Result<()> {
        let mut object = describe_entry(position, entry);
        if let Value::Object(fields) = &mut object {
            if !self.records {
                fields.remove("records");
            }
            if let Some(file) = file {
                fields.insert("file".into(), file.into());
            }
        }
        serde_json::to_writer(&mut self.out, &object)?;
        self.out.write_all(b"\n")
    }

    fn table(&mut self, bytes: &[u8], position: u64, file: Option<&str>) -> io::Result<()> {
        if !self.headed {
            self.headed = true;
            writeln!(
                self.out,
                "{:<24} {:>12} {:>10} {:>5} {:>14} {:>14} {:>6} {:>6} {:>14}  CHECKSUM",
                "FILE", "POSITION", "SIZE", "MAGIC", "BASE-OFFSET", "LAST-OFFSET", "EPOCH", "CODEC", "MAX-TIMESTAMP"
            )?;
        }
        write!(self.out, "{:<24} {position:>12} {:>10} ", file.unwrap_or("-"), bytes.len())?;
        let entry = match Entry::parse(bytes) {
            Ok(entry) => entry,
            Err(error) => return writeln!(self.out, "broken: {error}"),
        };
        // The base offset of a compressed v0 or v1 entry is only known to the records inside.
        let base = match entry {
            Entry::Batch(batch) => batch.base_offset().to_string(),
            Entry::Legacy(_) => "-".into(),
        };
        writeln!(
            self.out,
            "{:>5} {base:>14} {:>14} {:>6} {:>6} {:>14}  {}",
            entry.magic(),
            entry.last_offset(),
            entry.leader_epoch(),
            entry.codec().map_or("?", Codec::name),
            entry.max_timestamp(),
            if entry.check_crc().is_ok() { "ok" } else { "wrong" },
        )
    }
}

/// Why dumping ended early.
enum DumpError {
    /// The output failed.
    Out(io::Error),
    /// Everything else.
    Told(CliError),
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

impl From<CliError> for DumpError {
    fn from(error: CliError) -> Self {
        Self::Told(error)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> DumpError {
    CliError::caused(format!("cannot read {}", path.display()), error)
        .hint("give a segment or a partition directory")
        .into()
}

fn broken(path: &Path, position: u64, error: &RecordError) -> CliError {
    let what = format!("{} is broken at byte {position}; the batches before it are printed", path.display());
    CliError::caused(what, error).hint("restore the file from another replica or a backup")
}

const IN_BYTES: usize = 256 << 10;
const OUT_BYTES: usize = 64 << 10;
