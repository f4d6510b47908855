//! How many files and sockets the process may have open, and who may use the last of them.
//!
//! A broker without descriptors cannot roll a segment, and a log that cannot be written takes its directory offline. So
//! neither clients that connect nor clients that create topics may use up what the logs need:
//!
//! | what | may use |
//! | --- | --- |
//! | connections | 3/4 of the limit |
//! | files of new partitions | 7/8 of the limit, with everything else that is open |
//! | everything else | all of it |

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

/// Whether `count` more files can be opened for new partitions.
///
/// Lists the open descriptors, which costs about 0.3 us for each: not for every request.
pub(crate) fn have_room_for(count: usize) -> bool {
    let limit = limit();
    // Where the list cannot be read there is no telling, and files may well be opened.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let wanted = u64::try_from(open.saturating_add(count)).unwrap_or(u64::MAX);
    wanted <= limit - limit / 8
}

fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_files_and_not_for_any_number() {
        assert!(have_room_for(1));
        let all = usize::try_from(limit()).unwrap_or(usize::MAX);
        assert!(!have_room_for(all - all / 8));
        assert!(!have_room_for(usize::MAX));
        assert!(connections_end() > 0);
    }
}
