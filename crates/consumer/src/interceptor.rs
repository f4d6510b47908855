//! Who looks on while records come in.

use core::fmt;

use crate::{Progress, Records};

/// Sees records before the application does, and what has been committed.
///
/// Takes `&self` since the two methods are called from different threads: one of the application's, and the one that
/// does the I/O.
pub trait Interceptor {
    /// Records are about to be given to the application. What this returns is given instead; records that it leaves out
    /// count as consumed all the same.
    fn on_consume(&self, records: Records) -> Records {
        records
    }

    /// Offsets have been stored.
    fn on_commit(&self, _progress: &Progress) {}
}

/// A chain of interceptors; each sees what those before it have left.
#[derive(Default)]
pub struct Interceptors(Vec<Box<dyn Interceptor + Send + Sync>>);

impl Interceptors {
    /// In this order.
    #[must_use]
    pub fn new(chain: Vec<Box<dyn Interceptor + Send + Sync>>) -> Self {
        Self(chain)
    }

    /// Has every interceptor see records.
    #[must_use]
    pub fn on_consume(&self, records: Records) -> Records {
        self.0.iter().fold(records, |records, interceptor| interceptor.on_consume(records))
    }

    /// Tells every interceptor what has been stored, in the same order.
    pub fn on_commit(&self, progress: &Progress) {
        self.0.iter().for_each(|interceptor| interceptor.on_commit(progress));
    }
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interceptors").field(&self.0.len()).finish()
    }
}
