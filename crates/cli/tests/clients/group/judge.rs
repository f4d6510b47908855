//! Whether a group read every record, and none twice below a committed position.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a member said of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) member: String,
    /// `CLOCK_MONOTONIC` in nanoseconds: members on one machine share it.
    pub(crate) at_ns: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// The member owns these partitions too.
    Assigned(Vec<usize>),
    /// It gives these up; said before it does.
    Revoked(Vec<usize>),
    /// Records by partition and offset.
    Consumed(Vec<(usize, u64)>),
    /// Positions that are sent to the broker; said before they are.
    Committing(Vec<(usize, u64)>),
    /// Positions that the broker took; said after its answer.
    Committed(Vec<(usize, u64)>),
    /// Positions that it did not take.
    Refused(Vec<(usize, u64)>),
    /// The member is gone, whether it left or was killed.
    Gone,
}

impl What {
    /// Whether it changes who owns what.
    pub(crate) fn is_rebalance(&self) -> bool {
        match self {
            Self::Assigned(_) | Self::Revoked(_) | Self::Gone => true,
            Self::Consumed(_) | Self::Committing(_) | Self::Committed(_) | Self::Refused(_) => false,
        }
    }
}

impl Event {
    /// Reads a line of a member; `None` for other lines, and for one that a kill cut short.
    pub(crate) fn parse(member: &str, line: &Value) -> Option<Self> {
        let partitions = || numbers(&line["partitions"]);
        let positions = || pairs(&line["positions"]);
        let what = match line["event"].as_str()? {
            "assigned" => What::Assigned(partitions()?),
            "revoked" => What::Revoked(partitions()?),
            "consumed" => What::Consumed(pairs(&line["records"])?),
            "committing" => What::Committing(positions()?),
            "committed" => What::Committed(positions()?),
            "refused" => What::Refused(positions()?),
            _ => return None,
        };
        Some(Self { member: member.to_owned(), at_ns: line["at"].as_u64()?, what })
    }
}

/// Judges a history of a group whose members commit what they read, partition by partition.
///
/// The rules: one member at a time owns a partition; what it reads begins at the position that was
/// committed last, or at one whose commit was under way, and goes on without a gap; it commits nothing that
/// it did not read; in the end everything up to `end` was read and committed.
///
/// # Errors
///
/// The first rule that was broken, in words.
pub(crate) fn judge(events: &[Event], partitions: usize, end: u64) -> Result<(), String> {
    let mut in_order: Vec<&Event> = events.iter().collect();
    in_order.sort_by_key(|event| event.at_ns); // stable: what one member says keeps its order
    let mut history = vec![Partition::default(); partitions];
    for event in in_order {
        let member = event.member.as_str();
        match &event.what {
            What::Assigned(given) => each(&mut history, given, |partition| partition.assign(member))?,
            What::Revoked(taken) => each(&mut history, taken, |partition| partition.revoke(member))?,
            What::Consumed(records) => each_at(&mut history, records, |p, offset| p.consume(member, offset))?,
            What::Committing(positions) => each_at(&mut history, positions, |p, at| p.committing(member, at))?,
            What::Committed(positions) => each_at(&mut history, positions, Partition::committed)?,
            What::Refused(_) => {}
            What::Gone => history.iter_mut().for_each(|partition| partition.leave(member)),
        }
    }
    for (number, partition) in history.iter().enumerate() {
        partition.check_end(end).map_err(|broken| format!("partition {number}: {broken}"))?;
    }
    Ok(())
}

/// What is known of a partition at one point of the history.
#[derive(Clone, Debug, Default)]
struct Partition {
    owner: Option<String>,
    /// The offset that the owner reads next, once it has read.
    next: Option<u64>,
    committed: u64,
    /// Commits that were sent and whose answer did not come before the next owner began.
    under_way: BTreeSet<u64>,
    consumed: BTreeSet<u64>,
}

impl Partition {
    fn assign(&mut self, member: &str) -> Result<(), String> {
        if let Some(owner) = self.owner.as_deref().filter(|owner| *owner != member) {
            return Err(format!("assigned to {member} while {owner} owns it"));
        }
        self.owner = Some(member.to_owned());
        self.next = None;
        Ok(())
    }

    fn revoke(&mut self, member: &str) -> Result<(), String> {
        if self.owner.as_deref() != Some(member) {
            return Err(format!("revoked from {member}, which does not own it"));
        }
        self.leave(member);
        Ok(())
    }

    fn leave(&mut self, member: &str) {
        if self.owner.as_deref() == Some(member) {
            self.owner = None;
            self.next = None;
        }
    }

    fn consume(&mut self, member: &str, offset: u64) -> Result<(), String> {
        if self.owner.as_deref() != Some(member) {
            return Err(format!("{member} reads offset {offset} without owning it"));
        }
        let is_due = match self.next {
            Some(next) => offset == next,
            None => offset == self.committed || self.under_way.contains(&offset),
        };
        if !is_due {
            let due = self.next.unwrap_or(self.committed);
            let fault = if offset < due { "reads again" } else { "skips records up to" };
            return Err(format!("{member} {fault} offset {offset}, due is {due}"));
        }
        if self.next.is_none() {
            // The broker took the commit that was under way, or the member began before it.
            self.committed = self.committed.max(offset);
        }
        self.consumed.insert(offset);
        self.next = Some(offset + 1);
        Ok(())
    }

    fn committing(&mut self, member: &str, position: u64) -> Result<(), String> {
        if position.checked_sub(1).is_some_and(|last| !self.consumed.contains(&last)) {
            return Err(format!("{member} commits {position}, which nobody read up to"));
        }
        self.under_way.insert(position);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside the steps that can break a rule")]
    fn committed(&mut self, position: u64) -> Result<(), String> {
        self.committed = self.committed.max(position);
        self.under_way = self.under_way.split_off(&(self.committed + 1));
        Ok(())
    }

    fn check_end(&self, end: u64) -> Result<(), String> {
        if let Some(missing) = (0..end).find(|offset| !self.consumed.contains(offset)) {
            return Err(format!("nobody read offset {missing} of {end}"));
        }
        if self.committed != end {
            return Err(format!("committed is {}, not the end {end}", self.committed));
        }
        Ok(())
    }
}

fn each(
    history: &mut [Partition],
    partitions: &[usize],
    mut step: impl FnMut(&mut Partition) -> Result<(), String>,
) -> Result<(), String> {
    let places: Vec<(usize, u64)> = partitions.iter().map(|partition| (*partition, 0)).collect();
    each_at(history, &places, |partition, _| step(partition))
}

fn each_at(
    history: &mut [Partition],
    places: &[(usize, u64)],
    mut step: impl FnMut(&mut Partition, u64) -> Result<(), String>,
) -> Result<(), String> {
    for (number, at) in places {
        let partition = history.get_mut(*number).ok_or_else(|| format!("there is no partition {number}"))?;
        step(partition, *at).map_err(|broken| format!("partition {number}: {broken}"))?;
    }
    Ok(())
}

fn numbers(list: &Value) -> Option<Vec<usize>> {
    list.as_array()?.iter().map(|each| usize::try_from(each.as_u64()?).ok()).collect()
}

fn pairs(list: &Value) -> Option<Vec<(usize, u64)>> {
    let pair = |each: &Value| Some((usize::try_from(each[0].as_u64()?).ok()?, each[1].as_u64()?));
    list.as_array()?.iter().map(pair).collect()
}

/// Histories of one partition with three records, as lines of `member what offsets`.
#[cfg(test)]
mod tests {
    use super::*;

    fn judged(script: &str) -> Result<(), String> {
        let mut events = Vec::new();
        for (at, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let offsets = || words[2..].iter().map(|word| (0, word.parse().expect("an offset"))).collect();
            let what = match words[1] {
                "assigned" => What::Assigned(vec![0]),
                "revoked" => What::Revoked(vec![0]),
                "reads" => What::Consumed(offsets()),
                "commits" => What::Committing(offsets()),
                "committed" => What::Committed(offsets()),
                "gone" => What::Gone,
                word => panic!("{word} is no event"),
            };
            events.push(Event { member: words[0].to_owned(), at_ns: at as u64, what });
        }
        // The order in which they are collected says nothing, but for events of one member.
        events.sort_by(|a, b| b.member.cmp(&a.member));
        judge(&events, 1, 3)
    }

    fn refusal(script: &str) -> String {
        judged(script).expect_err("the history breaks a rule")
    }

    #[test]
    fn a_partition_that_is_handed_over_at_its_committed_position_is_fine() {
        let judged = judged(
            "a assigned
             a reads 0 1
             a commits 2
             a committed 2
             a revoked
             b assigned
             b reads 2
             b commits 3
             b committed 3",
        );
        assert_eq!(judged, Ok(()));
    }

    #[test]
    fn records_that_a_killed_member_did_not_commit_are_read_again() {
        let judged = judged(
            "a assigned
             a reads 0 1 2
             a gone
             b assigned
             b reads 0 1 2
             b commits 3
             b committed 3",
        );
        assert_eq!(judged, Ok(()));
    }

    #[test]
    fn a_commit_that_was_under_way_may_have_arrived() {
        for next in ["1 2", "2"] {
            let judged = judged(&format!(
                "a assigned
                 a reads 0
                 a commits 1
                 a committed 1
                 a reads 1
                 a commits 2
                 a gone
                 b assigned
                 b reads {next}
                 b commits 3
                 b committed 3"
            ));
            assert_eq!(judged, Ok(()), "b reads {next}");
        }
    }

    #[test]
    fn a_record_below_the_committed_position_is_not_read_again() {
        let refusal = refusal(
            "a assigned
             a reads 0 1
             a commits 2
             a committed 2
             a revoked
             b assigned
             b reads 1 2",
        );
        assert_eq!(refusal, "partition 0: b reads again offset 1, due is 2");
    }

    #[test]
    fn no_record_is_skipped_at_a_hand_over() {
        let refusal = refusal(
            "a assigned
             a reads 0 1
             a revoked
             b assigned
             b reads 2",
        );
        assert_eq!(refusal, "partition 0: b skips records up to offset 2, due is 0");
    }

    #[test]
    fn no_record_is_skipped_by_one_owner() {
        let refusal = refusal("a assigned\na reads 0 2");
        assert_eq!(refusal, "partition 0: a skips records up to offset 2, due is 1");
    }

    #[test]
    fn a_record_is_not_read_twice_by_one_owner() {
        let refusal = refusal("a assigned\na reads 0 1 1");
        assert_eq!(refusal, "partition 0: a reads again offset 1, due is 2");
    }

    #[test]
    fn two_members_do_not_own_a_partition() {
        let refusal = refusal("a assigned\nb assigned");
        assert_eq!(refusal, "partition 0: assigned to b while a owns it");
    }

    #[test]
    fn a_partition_that_was_taken_away_is_not_read() {
        let refusal = refusal("a assigned\na revoked\na reads 0");
        assert_eq!(refusal, "partition 0: a reads offset 0 without owning it");
    }

    #[test]
    fn everything_is_read_and_committed_in_the_end() {
        let read = "a assigned\na reads 0 1\na commits 2\na committed 2";
        assert_eq!(refusal(read), "partition 0: nobody read offset 2 of 3");
        let committed = format!("{read}\na reads 2");
        assert_eq!(refusal(&committed), "partition 0: committed is 2, not the end 3");
    }

    #[test]
    fn nothing_is_committed_that_was_not_read() {
        assert_eq!(refusal("a assigned\na reads 0\na commits 3"), "partition 0: a commits 3, which nobody read up to");
    }

    #[test]
    fn lines_of_members_are_read() {
        let line = serde_json::json!({"event": "consumed", "at": 7, "records": [[2, 5], [0, 1]]});
        let what = What::Consumed(vec![(2, 5), (0, 1)]);
        assert_eq!(Event::parse("a", &line), Some(Event { member: "a".into(), at_ns: 7, what }));
        assert_eq!(Event::parse("a", &serde_json::json!({"event": "fed", "rounds": 10})), None);
    }
}
