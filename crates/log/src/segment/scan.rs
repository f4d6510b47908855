//! Walking the entries of a log file.

use std::path::Path;

use highwater_records::EntryHead;

use crate::disk::FileHandle;
use crate::entry::{EntryInfo, HEADER_MAX, check_crc};
use crate::error::LogError;

/// Bytes read at once while walking small entries: more than an index interval, so that one system call mostly
/// serves a whole search.
const WINDOW: usize = 6_144;
/// Bytes read at once while reading everything.
const CHUNK: usize = 256 * 1_024;

/// The entries of a file from a position on, headers only.
///
/// Ends at the first entry that is not there whole. Checks no checksum.
pub(crate) struct EntryScan<'a> {
    file: &'a FileHandle,
    path: &'a Path,
    position: u64,
    end: u64,
    window: [u8; WINDOW],
    window_start: u64,
    window_len: usize,
    /// Size of the entry before, by which the next one is guessed to be in the window or far behind it.
    last_size: u64,
    done: bool,
}

impl<'a> EntryScan<'a> {
    pub(crate) fn new(file: &'a FileHandle, path: &'a Path, position: u64, end: u64) -> Self {
        Self {
            file,
            path,
            position,
            end,
            window: [0; WINDOW],
            window_start: 0,
            window_len: 0,
            last_size: 0,
            done: false,
        }
    }

    /// Position after the last entry yielded.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    fn header(&mut self) -> Result<&[u8], LogError> {
        let wanted = HEADER_MAX.min(usize::try_from(self.end - self.position).unwrap_or(HEADER_MAX));
        let skip = self.position.checked_sub(self.window_start).and_then(|skip| usize::try_from(skip).ok());
        let at = match skip {
            Some(skip) if skip + wanted <= self.window_len => skip,
            _ => {
                let window = if WINDOW as u64 / 2 < self.last_size { HEADER_MAX } else { WINDOW };
                let length = usize::try_from(self.end - self.position).map_or(window, |left| left.min(window));
                let read = self.file.read_at(&mut self.window[..length], self.position);
                self.window_len = read.map_err(LogError::io("read", self.path))?;
                self.window_start = self.position;
                0
            }
        };
        Ok(&self.window[at..self.window_len])
    }

    fn step(&mut self) -> Result<Option<(u64, EntryInfo)>, LogError> {
        if self.end.saturating_sub(self.position) <= EntryHead::SIZE as u64 {
            return Ok(None);
        }
        let position = self.position;
        let end = self.end;
        let header = self.header()?;
        // The size first: the entry may be cut inside its header.
        let head = EntryHead::peek(header);
        let parsed = match head {
            Ok(Some(head)) if end - position < u64::from(head.size()) => return Ok(None),
            Ok(None) => return Ok(None),
            _ => EntryInfo::parse(header),
        };
        let info = parsed.map_err(|what| LogError::corrupt(what, self.path, position))?;
        let Some(info) = info else { return Ok(None) };
        self.position += info.size;
        self.last_size = info.size;
        Ok(Some((position, info)))
    }
}

impl Iterator for EntryScan<'_> {
    type Item = Result<(u64, EntryInfo), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// The entries of a file with all their bytes, read in large pieces.
pub(crate) struct WholeEntries<'a> {
    file: &'a FileHandle,
    path: &'a Path,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where in `buffer` the entry at `position` starts.
    start: usize,
}

/// Why [`WholeEntries`] ended before the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Fewer bytes than an entry are left.
    Cut,
    /// The next entry is not valid.
    Invalid(&'static str),
}

impl<'a> WholeEntries<'a> {
    pub(crate) fn new(file: &'a FileHandle, path: &'a Path, position: u64, end: u64) -> Self {
        Self { file, path, position, end, buffer: Vec::new(), start: 0 }
    }

    /// The next entry, its checksum checked.
    pub(crate) fn next_checked(&mut self) -> Result<Result<(EntryInfo, &[u8]), Stop>, LogError> {
        match self.next_raw()? {
            Ok(info) => {
                let range = self.start - info.size as usize..self.start;
                match check_crc(&self.buffer[range.clone()]) {
                    Ok(()) => Ok(Ok((info, &self.buffer[range]))),
                    Err(what) => {
                        self.position -= info.size;
                        self.start = range.start;
                        Ok(Err(Stop::Invalid(what)))
                    }
                }
            }
            Err(stop) => Ok(Err(stop)),
        }
    }

    /// The next entry as it is.
    pub(crate) fn next_unchecked(&mut self) -> Result<Option<(EntryInfo, &[u8])>, LogError> {
        match self.next_raw()? {
            Ok(info) => Ok(Some((info, &self.buffer[self.start - info.size as usize..self.start]))),
            Err(Stop::Cut) => Ok(None),
            Err(Stop::Invalid(what)) => Err(LogError::corrupt(what, self.path, self.position)),
        }
    }

    fn next_raw(&mut self) -> Result<Result<EntryInfo, Stop>, LogError> {
        let left = self.end.saturating_sub(self.position);
        if left <= EntryHead::SIZE as u64 {
            return Ok(Err(Stop::Cut));
        }
        self.fill(HEADER_MAX.min(usize::try_from(left).unwrap_or(HEADER_MAX)))?;
        let size = match EntryHead::peek(&self.buffer[self.start..]) {
            Ok(Some(head)) => u64::from(head.size()),
            Ok(None) => return Ok(Err(Stop::Cut)),
            Err(_) => return Ok(Err(Stop::Invalid("entry header"))),
        };
        if left < size {
            return Ok(Err(Stop::Cut));
        }
        let info = match EntryInfo::parse(&self.buffer[self.start..]) {
            Ok(Some(info)) => info,
            Ok(None) => return Ok(Err(Stop::Cut)),
            Err(what) => return Ok(Err(Stop::Invalid(what))),
        };
        let size = usize::try_from(size).map_err(|_| LogError::corrupt("entry size", self.path, self.position))?;
        if !self.fill(size)? {
            return Ok(Err(Stop::Cut));
        }
        self.start += size;
        self.position += size as u64;
        Ok(Ok(info))
    }

    /// Makes `wanted` bytes from `start` on available; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, LogError> {
        let have = self.buffer.len() - self.start;
        if wanted <= have {
            return Ok(true);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        self.buffer.resize(wanted.max(CHUNK).min(left), 0);
        let at = self.position + have as u64;
        let read = self.file.read_at(&mut self.buffer[have..], at).map_err(LogError::io("read", self.path))?;
        self.buffer.truncate(have + read);
        Ok(wanted <= self.buffer.len())
    }
}
