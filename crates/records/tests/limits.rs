//! A payload that expands past the limit is refused, and costs no more memory than the limit.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_records::{
    BatchBuilder, BatchOptions, BatchView, Codec, DecompressLimit, LegacyBuilder, LegacyMagic, RecordError, RecordSet,
};

const LIMIT: usize = 64 << 10;

fn bomb(codec: Codec, size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression: codec.into(), ..BatchOptions::default() });
    builder.append(0, None, Some(&vec![0; size]), &[]).unwrap();
    builder.finish().unwrap()
}

/// Puts `payload` behind a header that declares one record under `codec`.
fn batch(codec: Codec, payload: &[u8]) -> Vec<u8> {
    let mut bytes = bomb(codec, 1);
    bytes.truncate(61);
    bytes.extend_from_slice(payload);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn first_error(bytes: &[u8], limit: usize) -> Option<RecordError> {
    let batch = BatchView::parse(bytes).unwrap();
    let limit = DecompressLimit::new(limit);
    let mut out = Vec::new();
    let whole = batch.decompress(limit, &mut out).err();
    let streamed = batch.records(limit).and_then(|mut records| records.next_record().map(drop)).err();
    assert_eq!(whole.is_some(), streamed.is_some(), "both ways fail alike: {whole:?}, {streamed:?}");
    assert!(out.capacity() <= 4 * limit.bytes() + (512 << 10), "{} bytes held", out.capacity());
    streamed
}

#[test]
fn bombs_are_refused_under_every_codec() {
    for codec in Codec::ALL {
        let bytes = bomb(codec, 16 << 20);
        let expected = Some(RecordError::LimitExceeded { limit: LIMIT as u64 });
        if codec == Codec::None {
            // What is not compressed is there already and needs no limit to be read.
            let batch = BatchView::parse(&bytes).unwrap();
            let mut records = batch.records(DecompressLimit::new(LIMIT)).unwrap();
            assert!(records.next_record().unwrap().is_some());
        } else {
            assert_eq!(first_error(&bytes, LIMIT), expected, "{codec}");
            assert_eq!(first_error(&bytes, 32 << 20), None, "{codec}");
        }
    }
}

#[test]
fn the_limit_itself_is_allowed() {
    // One record of 1000 bytes: 2 for its length, 4 in front of the value's length of 2, 1 behind.
    let size = 1000 + 2 + 4 + 2 + 1;
    for codec in &Codec::ALL[1..] {
        let bytes = bomb(*codec, 1000);
        assert_eq!(first_error(&bytes, size), None, "{codec}");
        let expected = RecordError::LimitExceeded { limit: size as u64 - 1 };
        assert_eq!(first_error(&bytes, size - 1), Some(expected), "{codec}");
    }
}

#[test]
fn bombs_in_old_wrappers_are_refused() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let mut builder = LegacyBuilder::new(LegacyMagic::V1, codec.into(), None);
        builder.append(0, 0, None, Some(&vec![0; 16 << 20])).unwrap();
        let bytes = builder.finish().unwrap();
        let entry = RecordSet::new(&bytes).entries().next().unwrap().unwrap();
        let error = entry.records(DecompressLimit::new(LIMIT)).err();
        assert_eq!(error, Some(RecordError::LimitExceeded { limit: LIMIT as u64 }), "{codec}");
        assert!(entry.records(DecompressLimit::new(32 << 20)).is_ok(), "{codec}");
    }
}

/// Eleven bytes of snappy may claim 4 GiB.
#[test]
fn a_snappy_head_is_not_believed() {
    let head = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0, 0];
    let bytes = batch(Codec::Snappy, &head);
    assert_eq!(first_error(&bytes, LIMIT), Some(RecordError::LimitExceeded { limit: LIMIT as u64 }));
    // Within the limit, but more than so few bytes can hold.
    let bytes = batch(Codec::Snappy, &[0xff, 0xff, 0x7f, 0, 0]);
    let error = first_error(&bytes, 256 << 20);
    assert_eq!(error, Some(RecordError::Decompress { codec: Codec::Snappy, what: "not a snappy block" }));
}

/// A zstd frame may ask for a window of 2 GiB and more, which the decoder would have to hold.
#[test]
fn a_huge_zstd_window_is_refused() {
    // Magic, descriptor (no size, no checksum), window of 2^31 bytes, one last raw block of one byte.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 0x09, 0, 0, 7];
    let error = first_error(&batch(Codec::Zstd, &frame), LIMIT);
    let what = "not a zstd stream, or its window is too large";
    assert_eq!(error, Some(RecordError::Decompress { codec: Codec::Zstd, what }));
}

#[test]
fn counts_that_cannot_be_are_refused_before_anything_is_read() {
    for codec in Codec::ALL {
        let mut bytes = bomb(codec, 100);
        bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let batch = BatchView::parse(&bytes).unwrap();
        let error = batch.records(DecompressLimit::new(LIMIT)).err();
        let expected_payload = if codec == Codec::None { batch.payload().len() } else { LIMIT };
        let expected = RecordError::RecordCount { count: i32::MAX, payload: expected_payload as u64 };
        assert_eq!(error, Some(expected), "{codec}");
    }
}

#[test]
fn streams_of_several_parts_are_read_through() {
    let whole = {
        let mut out = Vec::new();
        let bytes = bomb(Codec::Gzip, 5000);
        BatchView::parse(&bytes).unwrap().decompress(DecompressLimit::default(), &mut out).unwrap();
        out
    };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Zstd] {
        let bytes = bomb(codec, 5000);
        let payload = BatchView::parse(&bytes).unwrap().payload().to_vec();
        let twice = batch(codec, &[payload.clone(), payload].concat());
        let mut out = Vec::new();
        BatchView::parse(&twice).unwrap().decompress(DecompressLimit::default(), &mut out).unwrap();
        assert!(out == [whole.clone(), whole.clone()].concat(), "{codec}");
    }
}

#[test]
fn cut_streams_are_refused_wherever_they_are_cut() {
    for codec in &Codec::ALL[1..] {
        let bytes = bomb(*codec, 5000);
        let payload = &bytes[61..];
        for cut in 0..payload.len() {
            let cut_batch = batch(*codec, &payload[..cut]);
            let batch = BatchView::parse(&cut_batch).unwrap();
            let mut records = batch.records(DecompressLimit::default()).unwrap();
            assert!(records.next_record().is_err(), "{codec} cut at {cut}");
            assert_eq!(records.next_record(), Ok(None), "an error is final");
        }
    }
}
