//! The bytes of one file: what is seen, what is durable, and what lies between.

use highwater_types::TimestampMs;

use super::crash::DataLoss;
use crate::random::Random;

/// A disk writes whole sectors; a sector can be torn only where the power fails while it is written.
const SECTOR: usize = 512;

/// States of a file that a crash mixes, at most. Sectors written back at more moments than these are not more
/// interesting, and each state is a copy of the file.
const STATES_MAX: u64 = 4;

/// A change that has not been synced.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: written } => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(written);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// The same change, cut off after some of its bytes.
    fn torn(&self, random: &mut Random) -> Self {
        match self {
            Self::Write { at, bytes } => {
                Self::Write { at: *at, bytes: bytes[..random.index(bytes.len() + 1)].to_vec() }
            }
            Self::Length(_) => self.clone(),
        }
    }
}

/// Bytes and size of a file.
#[derive(Debug)]
pub(super) struct Content {
    /// As the process sees it.
    bytes: Vec<u8>,
    /// As of the last sync.
    durable: Vec<u8>,
    /// What happened since.
    pending: Vec<Change>,
    /// A failed sync has dropped changes that `bytes` still shows.
    has_dropped: bool,
    pub(super) modified: TimestampMs,
    /// As of the last sync.
    durable_modified: TimestampMs,
}

impl Content {
    pub(super) fn new(modified: TimestampMs) -> Self {
        Self {
            bytes: Vec::new(),
            durable: Vec::new(),
            pending: Vec::new(),
            has_dropped: false,
            modified,
            durable_modified: modified,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(self.bytes.len());
        let count = buffer.len().min(self.bytes.len() - start);
        buffer[..count].copy_from_slice(&self.bytes[start..start + count]);
        count
    }

    pub(super) fn write(&mut self, at: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.change(Change::Write { at, bytes });
        }
    }

    pub(super) fn set_length(&mut self, length: usize) {
        if length != self.bytes.len() {
            self.change(Change::Length(length));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable_modified = self.modified;
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What Linux does with pages it could not write: they count as clean, and are never written.
    pub(super) fn drop_dirty(&mut self) {
        if !self.pending.is_empty() {
            self.pending.clear();
            self.has_dropped = true;
        }
    }

    /// The process has ended. Pages that a failed sync dropped are gone from memory too.
    pub(super) fn forget_dropped(&mut self) {
        if std::mem::take(&mut self.has_dropped) {
            self.bytes = self.state_after(self.pending.len());
        }
    }

    /// Takes the power away. What is left is durable.
    pub(super) fn crash(&mut self, loss: DataLoss, random: &mut Random) {
        let left = match loss {
            DataLoss::Nothing => self.state_after(self.pending.len()),
            DataLoss::Everything => self.durable.clone(),
            DataLoss::Prefix => self.prefix(random),
            DataLoss::Sectors => self.sectors(random),
            DataLoss::SizeFirst => self.size_first(random),
        };
        if loss != DataLoss::Nothing && random.chance(50) {
            self.modified = self.durable_modified;
        }
        self.durable_modified = self.modified;
        self.bytes.clone_from(&left);
        self.durable = left;
        self.pending.clear();
        self.has_dropped = false;
    }

    fn state_after(&self, changes: usize) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending[..changes].iter().for_each(|change| change.apply(&mut bytes));
        bytes
    }

    /// The first changes, and some of the bytes of the next one.
    fn prefix(&self, random: &mut Random) -> Vec<u8> {
        let whole = random.index(self.pending.len() + 1);
        let mut bytes = self.state_after(whole);
        if let Some(next) = self.pending.get(whole) {
            next.torn(random).apply(&mut bytes);
        }
        bytes
    }

    /// Each sector as it was at some moment, whatever the others are like; the size as at another.
    fn sectors(&self, random: &mut Random) -> Vec<u8> {
        let mut moments = vec![0, self.pending.len()];
        for _ in 0..random.below(STATES_MAX - 1) {
            moments.push(random.index(self.pending.len() + 1));
        }
        let states: Vec<Vec<u8>> = moments.iter().map(|&moment| self.state_after(moment)).collect();
        let size = states[random.index(states.len())].len();
        let mut bytes = vec![0; size];
        for start in (0..size).step_by(SECTOR) {
            let end = size.min(start + SECTOR);
            let torn_at = if random.chance(10) { start + random.index(end - start) } else { end };
            copy_known(&states[random.index(states.len())], start..torn_at, &mut bytes);
            copy_known(&states[random.index(states.len())], torn_at..end, &mut bytes);
        }
        bytes
    }

    /// The newest size, but the bytes of an earlier moment: a tail of zeros.
    fn size_first(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.prefix(random);
        bytes.resize(self.state_after(self.pending.len()).len(), 0);
        bytes
    }
}

/// Copies a range, as far as the state reaches; what was never written reads as zeros.
fn copy_known(state: &[u8], range: std::ops::Range<usize>, out: &mut [u8]) {
    let end = range.end.min(state.len());
    if range.start < end {
        out[range.start..end].copy_from_slice(&state[range.start..end]);
    }
}
