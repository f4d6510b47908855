//! The network between nodes: what it loses, delays and repeats, and who cannot reach whom.

use std::collections::BTreeSet;

use crate::Random;

/// How bad a network is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkRates {
    /// Messages in a hundred that never arrive.
    pub(crate) loss_percent: u64,
    /// Messages in a hundred that arrive twice, the second time later.
    pub(crate) repeat_percent: u64,
    /// Longest delay; each message has its own, so that they overtake one another.
    pub(crate) delay_ms_max: u64,
}

/// Directed links between nodes that are numbered from zero.
#[derive(Debug, Default)]
pub(crate) struct Links {
    rates: LinkRates,
    /// From and to.
    cut: BTreeSet<(usize, usize)>,
}

impl Links {
    pub(crate) fn new(rates: LinkRates) -> Self {
        Self { rates, cut: BTreeSet::new() }
    }

    /// When a message that is sent at `now_ms` arrives: never, once, or twice.
    pub(crate) fn arrivals(&self, random: &mut Random, now_ms: u64, from: usize, to: usize) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || random.chance(self.rates.loss_percent) {
            return Vec::new();
        }
        let first = now_ms + random.between(0, self.rates.delay_ms_max);
        let mut arrivals = vec![first];
        if random.chance(self.rates.repeat_percent) {
            arrivals.push(first + random.between(0, 10 * self.rates.delay_ms_max + 10));
        }
        arrivals
    }

    /// Whether a message on its way still arrives.
    pub(crate) fn is_up(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Cuts a link, one way, or mends it.
    pub(crate) fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        if is_cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Cuts some of the links between `nodes` nodes in one of the ways in which networks fail, and mends the others.
    /// Says which way.
    pub(crate) fn cut_somehow(&mut self, random: &mut Random, nodes: usize) -> &'static str {
        self.cut.clear();
        let one = random.index(nodes);
        let all = || (0..nodes).flat_map(move |from| (0..nodes).map(move |to| (from, to)));
        match random.below(5) {
            0 => "mended",
            1 => {
                self.cut.extend(all().filter(|(from, to)| (*from == one) != (*to == one)));
                "one node is alone"
            }
            2 => {
                self.cut.extend(all().filter(|(from, to)| *from == one && *to != one));
                "one node is not heard"
            }
            3 => {
                let side: Vec<bool> = (0..nodes).map(|_| random.chance(50)).collect();
                self.cut.extend(all().filter(|(from, to)| side[*from] != side[*to]));
                "two sides"
            }
            _ => {
                let cut: Vec<_> = all().filter(|(from, to)| from != to && random.chance(30)).collect();
                self.cut.extend(cut);
                "some links, one way"
            }
        }
    }

    /// Everything arrives soon, from now on.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.rates = LinkRates { loss_percent: 0, repeat_percent: 0, delay_ms_max: 5 };
    }
}
