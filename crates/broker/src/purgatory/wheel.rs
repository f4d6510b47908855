//! A hierarchical timer wheel: constant time to set, to cancel and to fire.

/// Slots of one level; a power of two whose occupancy fits a word.
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// Levels: 64^7 milliseconds are 139 years.
const LEVELS: usize = 7;
/// Farthest deadline from now that is kept exactly; later ones fire and are set again by their owner.
const SPAN_TICKS: u64 = (SLOTS as u64 - 1) << (SLOT_BITS * (LEVELS as u32 - 1));
const NONE: u32 = u32::MAX;

/// Names a timer that was set; void once it fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

/// Timers with one tick's resolution, each carrying a value.
///
/// Timers live in a slab and are linked into the list of a slot, so setting and cancelling touch a few words and never
/// allocate once the slab has grown. A timer of level 0 is due at its slot's tick. A timer of a higher level moves down
/// when time reaches its slot, at most once per level.
///
/// Contract: `now` given to [`advance`](Self::advance) never goes backwards.
pub(crate) struct Wheel<T> {
    now: u64,
    /// Heads of the lists, level by level.
    heads: [[u32; SLOTS]; LEVELS],
    /// One bit per slot that is not empty.
    occupied: [u64; LEVELS],
    timers: Vec<Timer<T>>,
    free: u32,
    len: usize,
}

struct Timer<T> {
    deadline: u64,
    previous: u32,
    next: u32,
    generation: u32,
    /// Where the list starts that this timer is in.
    level: u8,
    slot: u8,
    value: Option<T>,
}

impl<T> Wheel<T> {
    /// An empty wheel at time `now`.
    pub(crate) fn new(now: u64) -> Self {
        Self { now, heads: [[NONE; SLOTS]; LEVELS], occupied: [0; LEVELS], timers: Vec::new(), free: NONE, len: 0 }
    }

    /// Number of timers set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Sets a timer for tick `deadline`; one that is not in the future fires at the next advance.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let deadline = deadline.clamp(self.now + 1, self.now + SPAN_TICKS);
        let index = self.allocate(deadline, value);
        self.link(index);
        self.len += 1;
        TimerKey { index, generation: self.timers[index as usize].generation }
    }

    /// Takes a timer off; `None` if it has fired or been cancelled.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let timer = self.timers.get(key.index as usize)?;
        if timer.generation != key.generation || timer.value.is_none() {
            return None;
        }
        self.unlink(key.index);
        self.release(key.index)
    }

    /// The tick at which [`advance`](Self::advance) next has something to do: never later than the next deadline,
    /// sometimes earlier. `None` if no timer is set.
    pub(crate) fn next_due(&self) -> Option<u64> {
        (0..LEVELS).filter_map(|level| self.level_due(level)).min()
    }

    /// Moves the time to `now` and gives every timer that is due to `fire`, in the order of their deadlines.
    pub(crate) fn advance(&mut self, now: u64, mut fire: impl FnMut(T)) {
        while let Some(due) = self.next_due() {
            if now < due {
                break;
            }
            self.now = due;
            // Down from the top, so that what moves down to this very tick is fired below.
            for level in (1..LEVELS).rev() {
                if self.level_due_at(level, due) {
                    self.move_down(level, slot_of(level, due));
                }
            }
            let slot = slot_of(0, due);
            while self.heads[0][slot] != NONE {
                let index = self.heads[0][slot];
                self.unlink(index);
                if let Some(value) = self.release(index) {
                    fire(value);
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// First tick after or at `now` whose slot in `level` holds timers, if time arrives there within a turn.
    fn level_due(&self, level: usize) -> Option<u64> {
        let occupied = self.occupied[level];
        if occupied == 0 {
            return None;
        }
        let shift = SLOT_BITS * level as u32;
        let position = self.now >> shift;
        let ahead = occupied.rotate_right((position % SLOTS as u64) as u32).trailing_zeros();
        Some(((position + u64::from(ahead)) << shift).max(self.now))
    }

    fn level_due_at(&self, level: usize, tick: u64) -> bool {
        let start_of_slot = tick.trailing_zeros() >= SLOT_BITS * level as u32;
        start_of_slot && self.occupied[level] & 1 << slot_of(level, tick) != 0
    }

    fn move_down(&mut self, level: usize, slot: usize) {
        let mut index = std::mem::replace(&mut self.heads[level][slot], NONE);
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let next = self.timers[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    /// Puts a timer into the list of the slot that its deadline belongs to.
    fn link(&mut self, index: u32) {
        let deadline = self.timers[index as usize].deadline;
        // The highest bit in which deadline and now differ says which level turns last before the deadline.
        let differing = u64::BITS - (deadline ^ self.now).leading_zeros();
        let level = (differing.saturating_sub(1) / SLOT_BITS) as usize;
        let level = level.min(LEVELS - 1);
        let slot = slot_of(level, deadline);
        let head = std::mem::replace(&mut self.heads[level][slot], index);
        self.occupied[level] |= 1 << slot;
        let timer = &mut self.timers[index as usize];
        timer.previous = NONE;
        timer.next = head;
        timer.level = level as u8;
        timer.slot = slot as u8;
        if head != NONE {
            self.timers[head as usize].previous = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let timer = &self.timers[index as usize];
        let (previous, next) = (timer.previous, timer.next);
        let (level, slot) = (usize::from(timer.level), usize::from(timer.slot));
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        if previous != NONE {
            self.timers[previous as usize].next = next;
        } else {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        }
    }

    fn allocate(&mut self, deadline: u64, value: T) -> u32 {
        if self.free == NONE {
            let index = u32::try_from(self.timers.len()).expect("fewer timers than 2^32, two per connection");
            let timer =
                Timer { deadline, previous: NONE, next: NONE, generation: 0, level: 0, slot: 0, value: Some(value) };
            self.timers.push(timer);
            return index;
        }
        let index = self.free;
        let timer = &mut self.timers[index as usize];
        self.free = timer.next;
        timer.deadline = deadline;
        timer.value = Some(value);
        index
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let timer = &mut self.timers[index as usize];
        let value = timer.value.take();
        timer.generation = timer.generation.wrapping_add(1);
        timer.next = self.free;
        self.free = index;
        self.len -= 1;
        value
    }
}

fn slot_of(level: usize, tick: u64) -> usize {
    (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timers_fire_once_at_their_tick() {
        let mut wheel = Wheel::new(1000);
        wheel.insert(1001, "next");
        wheel.insert(900, "past");
        wheel.insert(1064, "level 1");
        let cancelled = wheel.insert(1500, "cancelled");
        wheel.insert(1000 + 600_000, "ten minutes");
        assert_eq!(wheel.cancel(cancelled), Some("cancelled"));
        assert_eq!(wheel.cancel(cancelled), None);
        let mut fired = Vec::new();
        wheel.advance(1000, |value| fired.push(value));
        assert!(fired.is_empty());
        wheel.advance(1001, |value| fired.push(value));
        fired.sort_unstable();
        assert_eq!(fired, ["next", "past"]);
        fired.clear();
        wheel.advance(600_999, |value| fired.push(value));
        assert_eq!(fired, ["level 1"]);
        assert_eq!(wheel.len(), 1);
        wheel.advance(601_000, |value| fired.push(value));
        assert_eq!(fired, ["level 1", "ten minutes"]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_key_does_not_outlive_its_timer() {
        let mut wheel = Wheel::new(0);
        let first = wheel.insert(5, 1);
        wheel.advance(5, |_| ());
        let second = wheel.insert(9, 2);
        assert_eq!(first.index, second.index, "the slab reuses the place");
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(wheel.cancel(second), Some(2));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let distance = prop_oneof![0..5u64, 0..200u64, 0..20_000u64, 0..u64::MAX / 2, Just(SPAN_TICKS)];
        prop_oneof![
            4 => distance.clone().prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Cancel),
            3 => prop_oneof![0..5u64, 0..200u64, 0..20_000u64, 0..1_000_000_000u64].prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(start in 0..1u64 << 45, steps in prop::collection::vec(step(), 1..200)) {
            let mut now = start;
            let mut wheel = Wheel::new(now);
            let mut model: BTreeMap<(u64, usize), TimerKey> = BTreeMap::new();
            let mut given: Vec<(u64, usize, TimerKey)> = Vec::new();
            for (id, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(distance) => {
                        let deadline = now.saturating_add(distance);
                        let kept = deadline.clamp(now + 1, now + SPAN_TICKS);
                        let key = wheel.insert(deadline, (kept, id));
                        model.insert((kept, id), key);
                        given.push((kept, id, key));
                    }
                    Step::Cancel(pick) if !given.is_empty() => {
                        let (deadline, id, key) = given[pick % given.len()];
                        let expected = model.remove(&(deadline, id)).map(|_| (deadline, id));
                        prop_assert_eq!(wheel.cancel(key), expected);
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(distance) => {
                        now += distance;
                        let later = model.split_off(&(now + 1, 0));
                        let due: Vec<_> = std::mem::replace(&mut model, later).into_keys().collect();
                        let mut fired = Vec::new();
                        wheel.advance(now, |value| fired.push(value));
                        let deadlines: Vec<_> = fired.iter().map(|(deadline, _)| *deadline).collect();
                        prop_assert!(deadlines.is_sorted(), "{:?}", deadlines);
                        fired.sort_unstable();
                        prop_assert_eq!(fired, due);
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                let next = model.keys().next().map(|(deadline, _)| *deadline);
                prop_assert_eq!(wheel.next_due().is_some(), next.is_some());
                if let (Some(due), Some(next)) = (wheel.next_due(), next) {
                    prop_assert!(due <= next, "due {} after the next deadline {}", due, next);
                    prop_assert!(now < due || due <= now + 1, "a due time in the past");
                }
            }
        }
    }
}
