//! The partitions of one session: what the client wants of each, and what it was told last.

use std::collections::HashMap;
use std::hash::Hash;

/// What reading one partition for a fetch has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// As it goes on the wire.
    pub high_watermark: i64,
    /// First offset of the log, as it goes on the wire.
    pub log_start: i64,
    /// Whether there are records to send.
    pub has_records: bool,
    /// Whether the partition is answered with an error.
    pub has_error: bool,
    /// Whether there is something else to tell: a preferred replica or a diverging epoch.
    pub has_news: bool,
}

/// Where a partition is kept; void once it was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    slot: u32,
    generation: u32,
}

pub(super) struct SessionPartitions<K, P> {
    slots: Vec<Slot<K, P>>,
    free: Vec<u32>,
    by_key: HashMap<K, u32>,
    /// Slots in use, in the order in which they are read.
    order: Vec<u32>,
}

struct Slot<K, P> {
    generation: u32,
    kept: Option<Kept<K, P>>,
}

struct Kept<K, P> {
    key: K,
    payload: P,
    told: Told,
}

/// What the client knows. Nothing is equal to `Nothing`, so the next report is told.
#[derive(Clone, Copy)]
enum Told {
    Nothing,
    Offsets { high_watermark: i64, log_start: i64 },
}

impl Told {
    fn by(report: &Report) -> Self {
        if report.has_error {
            // What comes after the error is new, even if it is what was there before.
            return Self::Nothing;
        }
        Self::Offsets { high_watermark: report.high_watermark, log_start: report.log_start }
    }

    fn covers(self, report: &Report) -> bool {
        match self {
            Self::Nothing => false,
            Self::Offsets { high_watermark, log_start } => {
                high_watermark == report.high_watermark && log_start == report.log_start
            }
        }
    }
}

impl<K: Clone + Eq + Hash, P: Clone> SessionPartitions<K, P> {
    /// The partitions of a first request, all of which are answered with `reports`.
    pub(super) fn new(wanted: Vec<(K, P)>, reports: &[Report]) -> Self {
        let mut partitions = Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            order: Vec::with_capacity(wanted.len()),
        };
        for ((key, payload), report) in wanted.into_iter().zip(reports) {
            partitions.put(key, payload, Told::by(report));
        }
        partitions
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds or changes the partitions wanted, then drops the forgotten ones.
    pub(super) fn update(&mut self, wanted: Vec<(K, P)>, forgotten: impl IntoIterator<Item = K>) {
        for (key, payload) in wanted {
            self.put(key, payload, Told::Nothing);
        }
        let mut removed = false;
        for key in forgotten {
            if let Some(slot) = self.by_key.remove(&key) {
                let place = &mut self.slots[slot as usize];
                place.kept = None;
                place.generation = place.generation.wrapping_add(1);
                self.free.push(slot);
                removed = true;
            }
        }
        if removed {
            let slots = &self.slots;
            self.order.retain(|&slot| slots[slot as usize].kept.is_some());
        }
    }

    /// Copies of everything wanted, and where it is kept.
    pub(super) fn in_order(&self) -> (Vec<(K, P)>, Vec<Place>) {
        let mut wanted = Vec::with_capacity(self.order.len());
        let mut places = Vec::with_capacity(self.order.len());
        for &slot in &self.order {
            let place = &self.slots[slot as usize];
            if let Some(kept) = &place.kept {
                wanted.push((kept.key.clone(), kept.payload.clone()));
                places.push(Place { slot, generation: place.generation });
            }
        }
        (wanted, places)
    }

    /// Says which of the partitions at `places` are told to the client, and remembers that they were.
    pub(super) fn report(&mut self, places: &[Place], reports: &[Report]) -> Vec<bool> {
        let mut with_records = Vec::new();
        let mut included = Vec::with_capacity(places.len());
        for (place, report) in places.iter().zip(reports) {
            let slot = &mut self.slots[place.slot as usize];
            let kept = slot.kept.as_mut().filter(|_| slot.generation == place.generation);
            let known = kept.as_ref().is_some_and(|kept| kept.told.covers(report));
            let include = report.has_records || report.has_error || report.has_news || !known;
            if let Some(kept) = kept
                && include
            {
                kept.told = Told::by(report);
                if report.has_records {
                    with_records.push(place.slot);
                }
            }
            included.push(include);
        }
        self.move_to_the_end(&with_records);
        included
    }

    fn move_to_the_end(&mut self, moving: &[u32]) {
        // With records everywhere the order does not change, and with none neither.
        if moving.is_empty() || moving.len() == self.order.len() {
            return;
        }
        let mut is_moving = vec![false; self.slots.len()];
        for &slot in moving {
            is_moving[slot as usize] = true;
        }
        self.order.retain(|&slot| !is_moving[slot as usize]);
        self.order.extend_from_slice(moving);
    }

    fn put(&mut self, key: K, payload: P, told: Told) {
        if let Some(&slot) = self.by_key.get(&key) {
            if let Some(kept) = &mut self.slots[slot as usize].kept {
                kept.payload = payload;
            }
            return;
        }
        let kept = Some(Kept { key: key.clone(), payload, told });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize].kept = kept;
                slot
            }
            None => {
                self.slots.push(Slot { generation: 0, kept });
                u32::try_from(self.slots.len() - 1).expect("a request has fewer partitions than 2^32")
            }
        };
        self.by_key.insert(key, slot);
        self.order.push(slot);
    }
}
