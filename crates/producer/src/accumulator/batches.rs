//! All batches, and the memory of former ones.

use std::sync::Arc;

use highwater_records::{BatchBuilder, BatchOptions};

use super::batch::{Batch, BatchId, Content, Slot};

/// The batches, by id, and what is left of former ones to be used again: nothing is allocated per record, and nothing per
/// batch either once there have been a few.
#[derive(Debug)]
pub(crate) struct Batches<T> {
    batches: Vec<Option<Batch<T>>>,
    free_ids: Vec<usize>,
    options: BatchOptions,
    /// What a buffer that is kept may have, in bytes.
    kept_bytes_max: usize,
    builders: Vec<BatchBuilder>,
    buffers: Vec<Arc<Vec<u8>>>,
    slots: Vec<Vec<Slot<T>>>,
}

impl<T> Batches<T> {
    /// Spare buffers of each kind.
    const SPARE_MAX: usize = 64;

    pub(crate) const fn new(options: BatchOptions, kept_bytes_max: usize) -> Self {
        Self {
            batches: Vec::new(),
            free_ids: Vec::new(),
            options,
            kept_bytes_max,
            builders: Vec::new(),
            buffers: Vec::new(),
            slots: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, batch: Batch<T>) -> BatchId {
        match self.free_ids.pop() {
            Some(id) => {
                self.batches[id] = Some(batch);
                BatchId(id)
            }
            None => {
                self.batches.push(Some(batch));
                BatchId(self.batches.len() - 1)
            }
        }
    }

    /// The batch of this id, which must not have been removed.
    pub(crate) fn at(&self, id: BatchId) -> &Batch<T> {
        self.batches[id.0].as_ref().expect("an id is dropped with its batch")
    }

    /// The same, to be changed.
    pub(crate) fn at_mut(&mut self, id: BatchId) -> &mut Batch<T> {
        self.batches[id.0].as_mut().expect("an id is dropped with its batch")
    }

    pub(crate) fn remove(&mut self, id: BatchId) -> Batch<T> {
        let batch = self.batches[id.0].take().expect("an id is dropped with its batch");
        self.free_ids.push(id.0);
        batch
    }

    /// How batches are made.
    pub(crate) const fn options(&self) -> BatchOptions {
        self.options
    }

    /// A builder with room for `bytes`.
    pub(crate) fn builder(&mut self, bytes: usize) -> BatchBuilder {
        self.builders.pop().unwrap_or_else(|| BatchBuilder::with_capacity(self.options, bytes))
    }

    /// Room for what is known of the records of a batch.
    pub(crate) fn slots(&mut self) -> Vec<Slot<T>> {
        self.slots.pop().unwrap_or_default()
    }

    /// An empty buffer that nobody else has.
    pub(crate) fn buffer(&mut self) -> Arc<Vec<u8>> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(crate) fn keep_builder(&mut self, mut builder: BatchBuilder) {
        if self.builders.len() < Self::SPARE_MAX && builder.size_uncompressed() <= self.kept_bytes_max {
            builder.clear(self.options);
            self.builders.push(builder);
        }
    }

    pub(crate) fn keep_slots(&mut self, mut slots: Vec<Slot<T>>) {
        slots.clear();
        if self.slots.len() < Self::SPARE_MAX {
            self.slots.push(slots);
        }
    }

    /// Keeps what a batch has, unless somebody is still sending it.
    pub(crate) fn keep_content(&mut self, content: Content) {
        match content {
            Content::Open(builder) => self.keep_builder(builder),
            Content::Sealed(mut bytes) => {
                let is_alone = Arc::get_mut(&mut bytes).map(Vec::clear).is_some();
                if is_alone && self.buffers.len() < Self::SPARE_MAX && bytes.capacity() <= self.kept_bytes_max {
                    self.buffers.push(bytes);
                }
            }
            Content::Gone => {}
        }
    }
}
