//! Calls that go wrong on purpose.

use std::io;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Opening or creating a file.
    Open,
    /// Reading a file, a size, or a directory.
    Read,
    /// Writing a file, changing its size, or reserving space for it.
    Write,
    /// Syncing a file or directory.
    Sync,
    /// Creating a directory, renaming and removing.
    Name,
}

/// A call that is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of call; `None` for any but reads.
    pub call: Option<Call>,
    /// How many of them still succeed.
    pub after: u64,
    /// What happens then.
    pub effect: Effect,
}

/// How a call goes wrong.
///
/// A write that fails may have written any first part of its bytes. Whether a change of names, or a sync that the power
/// failed in, took place is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails once, with this error number.
    FailOnce(i32),
    /// It fails, and so do all further calls of its kind.
    Fail(i32),
    /// A sync fails once, and what it should have synced is dropped, as Linux does: the next sync succeeds without it.
    DropDirty,
    /// The power fails: this call and all others fail until the disk has [crashed](super::SimDisk::crash).
    PowerOff,
}

/// Input/output error.
pub const EIO: i32 = 5;
/// Too many open files.
pub const EMFILE: i32 = 24;
/// No space left on device.
pub const ENOSPC: i32 = 28;

/// How a checked call is to be carried out.
#[derive(Debug)]
pub(super) enum Verdict {
    Go,
    /// The error to return, and whether what is dirty is to be dropped.
    Fail(io::Error, DirtyPages),
}

/// What a failed sync does to what it should have synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirtyPages {
    Kept,
    Dropped,
    /// The power failed while they were on their way.
    Either,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Option<Fault>,
    /// A kind of call that fails from now on.
    failing: Option<(Option<Call>, i32)>,
    is_off: bool,
    hits: u64,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.waiting = Some(fault);
    }

    pub(super) fn heal(&mut self) {
        self.waiting = None;
        self.failing = None;
        self.hits = 0;
    }

    pub(super) fn power_on(&mut self) {
        self.is_off = false;
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits
    }

    /// Counts a failure that has another cause.
    pub(super) fn note(&mut self) {
        self.hits += 1;
    }

    pub(super) fn check(&mut self, call: Call) -> Verdict {
        if self.is_off {
            return Verdict::Fail(power_is_off(), DirtyPages::Kept);
        }
        if let Some((kind, errno)) = self.failing
            && applies(kind, call)
        {
            return Verdict::Fail(io::Error::from_raw_os_error(errno), DirtyPages::Kept);
        }
        let Some(fault) = self.waiting.as_mut().filter(|fault| applies(fault.call, call)) else { return Verdict::Go };
        if let Some(fewer) = fault.after.checked_sub(1) {
            fault.after = fewer;
            return Verdict::Go;
        }
        let Fault { call: kind, effect, .. } = *fault;
        self.waiting = None;
        self.hits += 1;
        match effect {
            Effect::FailOnce(errno) => Verdict::Fail(io::Error::from_raw_os_error(errno), DirtyPages::Kept),
            Effect::Fail(errno) => {
                self.failing = Some((kind, errno));
                Verdict::Fail(io::Error::from_raw_os_error(errno), DirtyPages::Kept)
            }
            Effect::DropDirty => Verdict::Fail(io::Error::from_raw_os_error(EIO), DirtyPages::Dropped),
            Effect::PowerOff => {
                self.is_off = true;
                Verdict::Fail(power_is_off(), DirtyPages::Either)
            }
        }
    }
}

fn applies(kind: Option<Call>, call: Call) -> bool {
    kind.map_or(call != Call::Read, |kind| kind == call)
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}
