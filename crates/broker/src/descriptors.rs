//! How many files and sockets the process may have open, and who may use the last of them.
//!
//! A broker without descriptors cannot roll a segment, and a log that cannot be written takes its directory offline. So
//! neither clients that connect nor partitions, however many, may use up what everything else needs:
//!
//! | what | may use |
//! | --- | --- |
//! | connections | 3/4 of the limit |
//! | files of logs, which are closed while nobody uses them | 3/16 of the limit |
//! | everything else | the rest |

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, as the JVM does for Kafka: shells hand out 1024.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

/// The first descriptor number that no connection may have. Numbers are given out from the lowest free one, so a
/// connection gets this number only when all below it are in use.
pub(crate) fn connections_end() -> i32 {
    let limit = limit();
    i32::try_from(limit - limit / 4).unwrap_or(i32::MAX)
}

/// How many files of logs are kept open.
pub(crate) fn log_files_max() -> usize {
    usize::try_from(limit() / 16 * 3).unwrap_or(usize::MAX)
}

fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_logs_leave_something_for_the_rest() {
        let connections = u64::try_from(connections_end()).unwrap();
        let logs = u64::try_from(log_files_max()).unwrap();
        assert!(0 < connections && 0 < logs);
        assert!(connections + logs <= limit() - limit() / 16);
    }
}
