//! `.kafka_cleanshutdown`: proof that every log was closed in order.

use std::path::Path;

use highwater_types::BrokerEpoch;

use super::{read_small_file, replace_file};
use crate::disk::Disk;
use crate::error::LogError;

const NAME: &str = ".kafka_cleanshutdown";

/// A found marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanMarker {
    /// Epoch of the broker that left it; releases before 3.7 leave an empty file.
    pub(crate) broker_epoch: Option<BrokerEpoch>,
}

impl CleanMarker {
    /// Reads the marker and removes it at once, so that a crash while loading is not taken for a clean stop.
    pub(crate) fn take(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = dir.join(NAME);
        let Some(bytes) = read_small_file(disk, &path)? else { return Ok(None) };
        disk.remove_file(&path).map_err(LogError::io("remove", &path))?;
        disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
        // Its existence is what counts; an epoch that cannot be read is an unknown one.
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(Self { broker_epoch: parse_epoch(&text) }))
    }

    /// Leaves the marker, durably.
    pub(crate) fn leave(self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        replace_file(disk, &dir.join(NAME), self.format().as_bytes())
    }

    fn format(self) -> String {
        let epoch = self.broker_epoch.map_or(-1, BrokerEpoch::to_wire);
        format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}")
    }
}

fn parse_epoch(text: &str) -> Option<BrokerEpoch> {
    let after = text.split_once("\"brokerEpoch\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    let end = after.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(after.len());
    BrokerEpoch::from_wire(after[..end].parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[test]
    fn a_marker_is_found_once() {
        let disk = MemDisk::new();
        let dir = Path::new("/d");
        assert_eq!(CleanMarker::take(&disk, dir).unwrap(), None);
        let left = CleanMarker { broker_epoch: Some(BrokerEpoch(17)) };
        left.leave(&disk, dir).unwrap();
        assert_eq!(disk.read(&dir.join(NAME)).unwrap(), b"{\"version\":0,\"brokerEpoch\":17}");
        assert_eq!(CleanMarker::take(&disk, dir).unwrap(), Some(left));
        assert_eq!(CleanMarker::take(&disk, dir).unwrap(), None);
    }

    #[test]
    fn any_content_counts_as_a_marker() {
        for (text, epoch) in [
            ("", None),
            ("{\"version\":0,\"brokerEpoch\":-1}", None),
            ("{ \"brokerEpoch\" : 9 , \"version\": 0 }", Some(BrokerEpoch(9))),
            ("garbage", None),
        ] {
            let disk = MemDisk::new();
            disk.write(&Path::new("/d").join(NAME), text.as_bytes());
            let found = CleanMarker::take(&disk, Path::new("/d")).unwrap();
            assert_eq!(found, Some(CleanMarker { broker_epoch: epoch }), "{text}");
        }
    }
}
