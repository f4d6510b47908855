//! What happens in a run, line by line, for whoever replays one.

use std::fmt;

/// Receives one line per event. Silent unless a run is replayed.
pub struct Trace<'a> {
    print: Option<&'a mut dyn FnMut(String)>,
    with_calls: bool,
}

impl<'a> Trace<'a> {
    /// Says nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self { print: None, with_calls: false }
    }

    /// Gives each line to `print`.
    pub fn to(print: &'a mut dyn FnMut(String)) -> Self {
        Self { print: Some(print), with_calls: false }
    }

    /// Adds what the disk was asked to change.
    #[must_use]
    pub fn with_calls(self, with_calls: bool) -> Self {
        Self { with_calls, ..self }
    }

    /// Whether to [record](crate::SimDisk::record_calls) what the disk is asked for.
    pub(crate) fn wants_calls(&self) -> bool {
        self.with_calls && self.print.is_some()
    }

    /// One event; what it says is only put together if somebody listens.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(print) = &mut self.print {
            print(line());
        }
    }
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("is_silent", &self.print.is_none()).finish()
    }
}
