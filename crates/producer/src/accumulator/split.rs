//! A batch that is too large for the broker becomes several.

use std::sync::Arc;

use highwater_records::{BatchBuilder, BatchHeader, BatchView, BuildError, DecompressLimit, RecordError};

use super::batch::{Batch, BatchId, Content, Stamp};
use super::{Accumulator, Outcome};
use crate::ProduceError;

impl<T> Accumulator<T> {
    /// Makes pieces of a sealed batch of several records, in its place: of at most `batch.size` bytes, or, if it was not
    /// larger than that or a piece itself, of at most half of its records. They are told, and count for flushes, as it
    /// would have been, and share what it was charged for. Says how many they are.
    pub(crate) fn split(&mut self, id: BatchId) -> usize {
        let batch = self.batches.at(id);
        let count = batch.record_count();
        let bytes = batch.bytes().map(Arc::clone).unwrap_or_default();
        let batch_bytes = self.config.batch_bytes as usize;
        let records_max = if batch.is_piece || bytes.len() <= batch_bytes { count.div_ceil(2).max(1) } else { count };
        let builders = match self.pieces(&bytes, batch_bytes, records_max) {
            Ok(builders) => builders,
            Err(reason) => {
                self.end(id, Outcome::Failed(ProduceError::Unwritable { reason }));
                return 0;
            }
        };
        self.replace(id, builders, bytes.len())
    }

    fn pieces(&self, bytes: &[u8], bytes_max: usize, records_max: u32) -> Result<Vec<BatchBuilder>, BuildError> {
        let unreadable = |error: RecordError| BuildError::from(error);
        let view = BatchView::parse(bytes).map_err(unreadable)?;
        // These are the application's own records, which were in memory before.
        let mut records = view.records(DecompressLimit::new(i32::MAX as usize)).map_err(unreadable)?;
        let mut builders: Vec<BatchBuilder> = Vec::new();
        while let Some(record) = records.next_record().map_err(unreadable)? {
            let headers: Vec<_> = record.headers.iter().collect();
            let size = BatchBuilder::record_size_max(record.key, record.value, &headers);
            let has_room = |builder: &&mut BatchBuilder| {
                builder.size_uncompressed().saturating_add(size) <= bytes_max && builder.count() < records_max
            };
            match builders.last_mut().filter(has_room) {
                Some(builder) => builder.append_record_next(&record)?,
                None => {
                    let mut builder = BatchBuilder::new(self.batches.options());
                    builder.append_record_next(&record)?;
                    builders.push(builder);
                }
            }
        }
        Ok(builders)
    }

    fn replace(&mut self, id: BatchId, builders: Vec<BatchBuilder>, compressed_bytes: usize) -> usize {
        let whole = self.batches.remove(id);
        let uncompressed_bytes: usize = builders.iter().map(BatchBuilder::size_uncompressed).sum();
        let topic = self.topics.partition(whole.partition).topic;
        self.topics.topic_mut(topic).ratio.reset(compressed_bytes, uncompressed_bytes);

        let (mut position, mut stamp) = (whole.position, whole.stamp);
        let mut slots = whole.slots.into_iter();
        let mut reserved_left = whole.reserved_bytes;
        let pieces = builders.len();
        let mut ids = Vec::with_capacity(pieces);
        for (number, builder) in builders.into_iter().enumerate() {
            let count = builder.count();
            let is_last = number + 1 == pieces;
            let reserved_bytes = if is_last { reserved_left } else { reserved_left / (pieces - number) as u64 };
            reserved_left -= reserved_bytes;
            let limit_bytes = builder.size_uncompressed().max(BatchHeader::SIZE);
            let piece = Batch {
                position,
                retry_at: whole.created,
                slots: slots.by_ref().take(count as usize).collect(),
                reserved_bytes,
                limit_bytes,
                is_piece: true,
                ..Batch::new(whole.partition, whole.number, whole.created, Content::Open(builder))
            };
            let piece = self.batches.insert(piece);
            self.seal(piece);
            if let Some(stamp) = &mut stamp {
                self.batches.at_mut(piece).set_stamp(*stamp);
                *stamp = Stamp { base_sequence: stamp.base_sequence.plus(count), ..*stamp };
            }
            position += u64::from(count);
            ids.push(piece);
        }
        self.count_split(whole.number, pieces as u64);
        self.batches.keep_content(whole.content);
        let untold = &mut self.topics.partition_mut(whole.partition).untold;
        let at = untold.iter().position(|other| *other == id).unwrap_or(untold.len());
        untold.remove(at);
        for (offset, piece) in ids.iter().enumerate() {
            untold.insert(at + offset, *piece);
        }
        ids.into_iter().for_each(|piece| self.requeue(piece));
        pieces
    }
}
