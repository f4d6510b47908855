//! Appends, as leader and as follower.

use highwater_log::{AppendError, AppendInfo, AppendOrigin, AppendSet, LogError};
use highwater_records::validate;
use highwater_types::{LeaderEpoch, TimestampMs};

use super::{Partition, offset};
use crate::fuzz::env::Env;
use crate::fuzz::model::{Batch, Model, Verdict, entries};
use crate::fuzz::traffic::{self, Sent};

/// What has to become of a record set.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Appended { first: u64, last: u64 },
    Duplicate { first: u64, last: u64 },
    Refused(&'static str),
}

impl Partition {
    pub(super) fn append(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        // Leaders do not go back.
        self.epoch = self.epoch.max(self.model.epochs.last().map_or(0, |last| last.0));
        if env.random.chance(5) {
            self.epoch += 1;
        }
        if env.random.chance(self.plan.follower_percent) {
            self.append_as_follower(env)
        } else {
            self.append_as_leader(env)
        }
    }

    fn append_as_leader(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        let mut next = self.model.clone();
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..env.random.pick(&[1, 1, 1, 2, 5]) {
            let set = traffic::leader_set(&mut env.random, &self.plan, &next, env.now);
            expected.push(self.stage(&mut next, &set, env.now()));
            sent.push(set);
        }
        env.say(|| format!("  append as leader of epoch {}: {expected:?}", self.epoch));
        self.next = Some(next);
        let mut sets: Vec<AppendSet<'_>> =
            sent.iter_mut().map(|sent| AppendSet::new(&mut sent.bytes, sent.origin)).collect();
        let (epoch, now) = (LeaderEpoch::new(self.epoch), env.now());
        let appended = self.log().append_as_leader(&mut sets, epoch, now);
        let results: Vec<_> = sets.iter_mut().map(AppendSet::take_result).collect();
        if appended.is_err() {
            let refused = |result: &Result<AppendInfo, AppendError>| matches!(result, Err(AppendError::Log(_)));
            assert!(results.iter().all(refused), "acknowledged although the call failed: {results:?}");
            return appended;
        }
        for (result, expected) in results.iter().zip(&expected) {
            assert_eq!(outcome(result), *expected);
        }
        self.done();
        self.acknowledge(env)
    }

    /// What a leader makes of one set, in the model.
    fn stage(&self, next: &mut Model, sent: &Sent, now: TimestampMs) -> Outcome {
        let mut bytes = sent.bytes.clone();
        let rules = self.config.leader_rules(sent.origin);
        let Ok(mut validated) = validate::validate(&mut bytes, &rules, now) else { return Outcome::Refused("invalid") };
        let stored = validated.bytes_mut(&mut bytes);
        validate::assign(stored, offset(next.log_end), LeaderEpoch::new(self.epoch))
            .expect("valid batches have offsets");
        let batch = Batch::parse(stored);
        next.assign_epoch(self.epoch, batch.first);
        if u64::from(self.config.segment_bytes_max) < batch.size() {
            return Outcome::Refused("larger than a segment");
        }
        match next.producers.judge(&batch, sent.origin == AppendOrigin::Client) {
            Verdict::Accepted => {
                let (first, last) = (batch.first, batch.last);
                next.append(batch);
                Outcome::Appended { first, last }
            }
            Verdict::Duplicate { first, last } => Outcome::Duplicate { first, last },
            Verdict::OldEpoch => Outcome::Refused("old epoch"),
            Verdict::OutOfOrder => Outcome::Refused("out of order"),
            Verdict::NotInTxn => Outcome::Refused("not in the transaction"),
            Verdict::StaleCoordinator => Outcome::Refused("stale coordinator"),
        }
    }

    fn append_as_follower(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        // Now and then the answer of a leader that this replica does not know yet.
        let ahead = u32::from(env.random.chance(3));
        let fetched = traffic::fetched(&mut env.random, &self.plan, &self.model, self.epoch + ahead, env.now);
        let known = env.random.chance(90).then_some(self.epoch);
        let batches: Vec<Batch> = match fetched.is_damaged {
            true => Vec::new(),
            false => entries(&fetched.bytes)
                .into_iter()
                .take_while(|batch| known.is_none() || batch.epoch <= known)
                .collect(),
        };
        let mut next = self.model.clone();
        for batch in &batches {
            match batch.epoch {
                Some(epoch) => next.assign_epoch(epoch, batch.first),
                None => next.epochs.clear(),
            }
            next.append(batch.clone());
        }
        let expected: Vec<(u64, u64)> = batches.iter().map(|batch| (batch.first, batch.last)).collect();
        env.say(|| format!("  append as follower: {expected:?}, damaged: {}", fetched.is_damaged));
        self.next = Some(next);
        let now = env.now();
        let appended = self.log().append_as_follower(&fetched.bytes, known.map(LeaderEpoch::new), now);
        let expected = batches.first().zip(batches.last()).map(|(first, last)| (first.first, last.last));
        match appended {
            Err(AppendError::Log(error)) => return Err(error),
            Err(AppendError::Corrupt { .. }) if fetched.is_damaged => {}
            Ok(None) if expected.is_none() => {}
            Ok(Some(info)) => {
                assert_eq!(Some((info.base_offset.value(), info.last_offset.value())), expected);
            }
            other => panic!("a follower's append is {other:?} where {expected:?} is expected"),
        }
        self.done();
        self.acknowledge(env)
    }
}

fn outcome(result: &Result<AppendInfo, AppendError>) -> Outcome {
    match result {
        Ok(info) => {
            let (first, last) = (info.base_offset.value(), info.last_offset.value());
            if info.duplicate { Outcome::Duplicate { first, last } } else { Outcome::Appended { first, last } }
        }
        Err(AppendError::Invalid(_) | AppendError::Nothing) => Outcome::Refused("invalid"),
        Err(AppendError::LargerThanSegment { .. }) => Outcome::Refused("larger than a segment"),
        Err(AppendError::InvalidProducerEpoch { .. }) => Outcome::Refused("old epoch"),
        Err(AppendError::OutOfOrderSequence { .. }) => Outcome::Refused("out of order"),
        Err(AppendError::InvalidTxnState { .. }) => Outcome::Refused("not in the transaction"),
        Err(AppendError::StaleCoordinator { .. }) => Outcome::Refused("stale coordinator"),
        Err(other) => panic!("no set is refused so: {other}"),
    }
}
