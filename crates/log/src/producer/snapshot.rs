//! `<offset>.snapshot`: the producers as of an offset (storage format, section 6).

use std::io;
use std::path::Path;

use highwater_records::crc32c;
use highwater_types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::entry::{BatchFacts, ProducerEntry};
use crate::disk::Disk;
use crate::error::LogError;
use crate::files::read_file;

const VERSION: i16 = 1;
const HEADER_SIZE: usize = 10;
const CRC_END: usize = 6;
const ENTRY_SIZE: usize = 46;
/// Larger files than this are not what they claim to be: it is enough for 20 million producers.
const SIZE_MAX: u64 = 1 << 30;
const _: () = assert!(20_000_000 * ENTRY_SIZE as u64 + HEADER_SIZE as u64 <= SIZE_MAX);

/// Reads a snapshot file.
pub(crate) fn read_snapshot(disk: &dyn Disk, path: &Path) -> Result<Vec<(ProducerId, ProducerEntry)>, LogError> {
    read_snapshot_up_to(disk, path, SIZE_MAX)
}

fn read_snapshot_up_to(
    disk: &dyn Disk,
    path: &Path,
    size_max: u64,
) -> Result<Vec<(ProducerId, ProducerEntry)>, LogError> {
    let bytes = match read_file(disk, path, size_max) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(LogError::corrupt("producer snapshot (missing)", path, 0)),
        // Like any other damage, so that the log is opened without it.
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
            return Err(LogError::corrupt("producer snapshot (size)", path, size_max));
        }
        Err(other) => return Err(other),
    };
    parse_snapshot(&bytes).map_err(|what| LogError::corrupt(what, path, 0))
}

/// Writes a snapshot's bytes, in the order given.
pub(crate) fn format_snapshot<'a>(entries: impl ExactSizeIterator<Item = (ProducerId, &'a ProducerEntry)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_SIZE + entries.len() * ENTRY_SIZE);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let count = i32::try_from(entries.len()).expect("fewer producers than fit a snapshot");
    bytes.extend_from_slice(&count.to_be_bytes());
    for (id, entry) in entries {
        let last = entry.last_batch();
        let coordinator = entry.coordinator_epoch.and_then(|epoch| i32::try_from(epoch).ok());
        bytes.extend_from_slice(&id.to_wire().to_be_bytes());
        bytes.extend_from_slice(&entry.epoch.to_wire().to_be_bytes());
        bytes.extend_from_slice(&last.map_or(-1, |batch| batch.last_sequence.to_wire()).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset.to_wire()).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
        bytes.extend_from_slice(&entry.last_timestamp.value().to_be_bytes());
        bytes.extend_from_slice(&coordinator.unwrap_or(-1).to_be_bytes());
        bytes.extend_from_slice(&entry.txn_first.map_or(-1, Offset::to_wire).to_be_bytes());
    }
    let crc = crc32c(&bytes[CRC_END..]);
    bytes[2..CRC_END].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Parses a snapshot's bytes.
pub(crate) fn parse_snapshot(bytes: &[u8]) -> Result<Vec<(ProducerId, ProducerEntry)>, &'static str> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
        return Err("producer snapshot (cut)");
    };
    if i16::from_be_bytes([header[0], header[1]]) != VERSION {
        return Err("producer snapshot (version)");
    }
    if u32::from_be_bytes([header[2], header[3], header[4], header[5]]) != crc32c(&bytes[CRC_END..]) {
        return Err("producer snapshot (checksum)");
    }
    let count = i32::from_be_bytes([header[6], header[7], header[8], header[9]]);
    let count = usize::try_from(count).map_err(|_| "producer snapshot (count)")?;
    let size = count.checked_mul(ENTRY_SIZE).filter(|&size| size <= body.len());
    let body = &body[..size.ok_or("producer snapshot (count)")?];
    body.chunks_exact(ENTRY_SIZE).map(|entry| parse_entry(entry).ok_or("producer snapshot (entry)")).collect()
}

fn parse_entry(bytes: &[u8]) -> Option<(ProducerId, ProducerEntry)> {
    let mut fields = Fields(bytes);
    let id = ProducerId::from_wire(i64::from_be_bytes(fields.take()?))?;
    let mut entry = ProducerEntry::new(ProducerEpoch::from_wire(i16::from_be_bytes(fields.take()?))?);
    let last_sequence = Sequence::from_wire(i32::from_be_bytes(fields.take()?));
    let last_offset = Offset::from_wire(i64::from_be_bytes(fields.take()?));
    let offset_delta = u32::try_from(i32::from_be_bytes(fields.take()?)).unwrap_or(0);
    let timestamp = TimestampMs(i64::from_be_bytes(fields.take()?));
    entry.last_timestamp = timestamp;
    entry.coordinator_epoch = u32::try_from(i32::from_be_bytes(fields.take()?)).ok();
    entry.txn_first = Offset::from_wire(i64::from_be_bytes(fields.take()?));
    if let Some((last_sequence, last_offset)) = last_sequence.zip(last_offset) {
        entry.push_batch(BatchFacts { last_sequence, last_offset, offset_delta, timestamp });
    }
    Some((id, entry))
}

/// Cuts fixed-size fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_snapshot_has_kafkas_ten_bytes() {
        let bytes = format_snapshot([].into_iter());
        assert_eq!(bytes, [0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0]);
        assert_eq!(parse_snapshot(&bytes), Ok(vec![]));
    }

    #[test]
    fn a_file_that_is_too_large_is_damaged_like_any_other() {
        let disk = crate::disk::MemDisk::new();
        let path = Path::new("/s.snapshot");
        let bytes = format_snapshot([].into_iter());
        disk.write(path, &bytes);
        assert_eq!(read_snapshot_up_to(&disk, path, 10).unwrap(), []);
        let error = read_snapshot_up_to(&disk, path, 9).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { what: "producer snapshot (size)", .. }), "{error}");
    }

    #[test]
    fn bytes_behind_the_entries_are_covered_by_the_checksum_and_ignored() {
        let entry = ProducerEntry::new(ProducerEpoch::new(3));
        let mut bytes = format_snapshot([(ProducerId::new(7), &entry)].into_iter());
        bytes.extend_from_slice(b"more");
        parse_snapshot(&bytes).unwrap_err();
        let crc = crc32c(&bytes[CRC_END..]);
        bytes[2..CRC_END].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(parse_snapshot(&bytes), Ok(vec![(ProducerId::new(7), entry)]));
    }

    #[test]
    fn any_damage_is_noticed() {
        let mut entry = ProducerEntry::new(ProducerEpoch::new(3));
        entry.txn_first = Some(Offset::new(90));
        entry.push_batch(BatchFacts {
            last_sequence: Sequence::new(9),
            last_offset: Offset::new(99),
            offset_delta: 2,
            timestamp: TimestampMs(5),
        });
        entry.last_timestamp = TimestampMs(5);
        let bytes = format_snapshot([(ProducerId::new(7), &entry)].into_iter());
        assert_eq!(parse_snapshot(&bytes), Ok(vec![(ProducerId::new(7), entry)]));
        for at in 0..bytes.len() {
            assert!(parse_snapshot(&bytes[..at]).is_err(), "cut at {at}");
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(parse_snapshot(&damaged).is_err(), "flipped at {at}");
        }
    }
}
