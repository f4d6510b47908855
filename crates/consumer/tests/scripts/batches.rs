//! Record sets from short texts.

use bytes::Bytes;
use highwater_records::{
    BatchBuilder, BatchMut, BatchOptions, Codec, Compression, EndTxnMarker, LegacyBuilder, LegacyMagic, ProducerStamp,
};

use crate::bench::number;

/// Batches, separated by commas: `10+3` is three records at offset 10; behind that come `@5` for the leader's epoch, `p7`
/// for a transaction of producer 7, `z` for compression, `l` for a message of the old format, `!` for a bad checksum, `/`
/// for half of it. `c7@20` and `a7@20` are the markers that end a transaction of producer 7.
pub(crate) fn record_set(text: &str) -> Bytes {
    text.split(',').filter(|batch| !batch.is_empty()).flat_map(batch).collect()
}

fn batch(text: &str) -> Vec<u8> {
    if let Some((marker, at)) = text.split_once('@').filter(|(marker, _)| marker.starts_with(['a', 'c'])) {
        let marker_of = EndTxnMarker { committed: marker.starts_with('c'), coordinator_epoch: 0 };
        let mut bytes = marker_of.to_batch(number(&marker[1..]), 0, 0);
        BatchMut::parse(&mut bytes).unwrap().set_base_offset(number(at));
        return bytes;
    }
    let (base, rest) = text.split_once('+').unwrap();
    let base: i64 = number(base);
    let digits = |rest: &str| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (count, mut rest) = rest.split_at(digits(rest));
    let mut options = BatchOptions { base_offset: base, leader_epoch: 0, ..BatchOptions::default() };
    let (mut is_corrupt, mut is_cut, mut is_old) = (false, false, false);
    while let Some(mark) = rest.chars().next() {
        let value = &rest[1..1 + digits(&rest[1..])];
        rest = &rest[1 + value.len()..];
        match mark {
            '@' => options.leader_epoch = number(value),
            'p' => {
                options.transactional = true;
                options.producer = ProducerStamp { producer_id: number(value), producer_epoch: 0, base_sequence: 0 };
            }
            'z' => options.compression = Compression::new(Codec::Lz4),
            'l' => is_old = true,
            '!' => is_corrupt = true,
            '/' => is_cut = true,
            _ => panic!("unknown mark {mark} in {text}"),
        }
    }
    let offsets = base..base + number::<i64>(count);
    if is_old {
        let mut builder = LegacyBuilder::new(LegacyMagic::V1, options.compression, None);
        offsets.for_each(|offset| {
            builder.append(offset, 1_000 + offset, None, Some(format!("v{offset}").as_bytes())).unwrap();
        });
        return builder.finish().unwrap();
    }
    let mut builder = BatchBuilder::new(options);
    offsets.for_each(|offset| {
        builder.append_at(offset, 1_000 + offset, None, Some(format!("v{offset}").as_bytes()), &[]).unwrap();
    });
    let mut bytes = builder.finish().unwrap();
    if is_corrupt {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    }
    if is_cut {
        bytes.truncate(bytes.len() / 2);
    }
    bytes
}
