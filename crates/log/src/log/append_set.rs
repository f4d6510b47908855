//! What is given to a leader to append, and what comes back.

use highwater_records::validate::{self, LeaderRules, Validated};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::append::check_replicated;
use crate::config::CheckedLogConfig;
use crate::error::{AppendError, LogError};
use crate::producer::Source;

/// Who offers a record set to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A coordinator of this broker: it may write control batches, and its sequences are not checked.
    Coordinator,
    /// The metadata quorum's leader: offsets and epoch are in the batches and must continue the log.
    RaftLeader,
}

/// One record set to append as leader, and what became of it.
#[derive(Debug)]
pub struct AppendSet<'a> {
    bytes: &'a mut [u8],
    origin: AppendOrigin,
    transaction_version: u16,
    validated: Option<Validated>,
    is_staged: bool,
    /// It broke a rule before it was offered to the log.
    is_refused: bool,
    result: Option<Result<AppendInfo, AppendError>>,
}

/// Where a record set lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record; for v0 and v1 from a leader, the last offset of the first message.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The time given to all records, on topics with log-append time; otherwise [`TimestampMs::NONE`].
    pub append_time: TimestampMs,
    /// The log start at the time of the append.
    pub log_start: Offset,
    /// Whether the set was in the log already, with these offsets, and nothing was written.
    pub duplicate: bool,
}

impl<'a> AppendSet<'a> {
    /// A record set to validate by the log's settings and to append. `bytes` is changed in place.
    #[must_use]
    pub fn new(bytes: &'a mut [u8], origin: AppendOrigin) -> Self {
        Self {
            bytes,
            origin,
            transaction_version: 0,
            validated: None,
            is_staged: false,
            is_refused: false,
            result: None,
        }
    }

    /// A record set that [`validate`](highwater_records::validate::validate) has been run on, with the log's
    /// [rules](CheckedLogConfig::leader_rules): that work then happens outside the log's lock.
    #[must_use]
    pub fn validated(bytes: &'a mut [u8], validated: Validated, origin: AppendOrigin) -> Self {
        Self { validated: Some(validated), ..Self::new(bytes, origin) }
    }

    /// Says of which version the transactions are whose markers a coordinator appends. Default 0.
    ///
    /// Since version 2 the epoch of a marker is above that of its transaction's records. One of the same epoch is
    /// refused, unless the producer has no transaction open: then it is a marker that is repeated.
    #[must_use]
    pub fn transaction_version(mut self, version: u16) -> Self {
        self.transaction_version = version;
        self
    }

    /// What became of the set; `None` before it was offered to a log.
    #[must_use]
    pub fn result(&self) -> Option<&Result<AppendInfo, AppendError>> {
        self.result.as_ref()
    }

    /// What became of the set.
    ///
    /// # Errors
    ///
    /// Why it was not appended. [`LogError::Closed`] if it was not offered to a log, or its result taken already.
    pub fn take_result(&mut self) -> Result<AppendInfo, AppendError> {
        self.result.take().unwrap_or(Err(AppendError::Log(LogError::Closed)))
    }

    /// Validates the set ahead of the append, where the log need not be locked.
    pub(crate) fn validate_ahead(&mut self, config: &CheckedLogConfig, now: TimestampMs) {
        if self.validated.is_some() || self.origin == AppendOrigin::RaftLeader {
            return;
        }
        match validate::validate(self.bytes, &config.leader_rules(self.origin), now) {
            Ok(validated) => self.validated = Some(validated),
            Err(error) => {
                self.is_refused = true;
                self.result = Some(Err(error.into()));
            }
        }
    }

    /// Whether the set broke a rule before it was offered to the log, so that it has its result.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Gives every set the result of an append that failed, whatever had been accepted before.
    pub(crate) fn refuse_all(sets: &mut [Self]) {
        for set in sets {
            set.set_result(Err(AppendError::Log(LogError::Poisoned)));
        }
    }

    pub(super) fn set_result(&mut self, result: Result<AppendInfo, AppendError>) {
        self.result = Some(result);
    }

    /// How its producers are checked.
    pub(super) fn source(&self) -> Source {
        match self.origin {
            AppendOrigin::Client => Source::Client,
            AppendOrigin::Coordinator => Source::Coordinator { transaction_version: self.transaction_version },
            AppendOrigin::RaftLeader => Source::Log,
        }
    }

    pub(super) fn is_staged(&self) -> bool {
        self.is_staged
    }

    /// Marks the set as part of the log that its bytes are still to be written for.
    pub(super) fn stage(&mut self) {
        self.is_staged = true;
    }

    /// The bytes that go into the log, once the set is prepared.
    pub(super) fn prepared(&self) -> &[u8] {
        match &self.validated {
            Some(Validated { rebuilt: Some(rebuilt), .. }) => rebuilt,
            Some(validated) => &self.bytes[..validated.input_size],
            None => &[],
        }
    }

    /// Validates the set unless that has been done, and puts offsets and epoch in. Returns the time it was given.
    pub(super) fn prepare(
        &mut self,
        config: &CheckedLogConfig,
        log_end: Offset,
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<TimestampMs, AppendError> {
        if self.origin == AppendOrigin::RaftLeader {
            return self.take_as_given(log_end, leader_epoch);
        }
        let validated = match self.validated.take() {
            Some(validated) => validated,
            None => validate::validate(self.bytes, &config.leader_rules(self.origin), now)?,
        };
        let validated = self.validated.insert(validated);
        if validated.records == 0 {
            return Err(AppendError::Nothing);
        }
        let append_time = validated.append_time.map_or(TimestampMs::NONE, TimestampMs);
        let batch = validated.bytes_mut(self.bytes);
        validate::assign(batch, log_end, leader_epoch).map_err(validate::ValidateError::from)?;
        Ok(append_time)
    }

    fn take_as_given(&mut self, log_end: Offset, epoch: LeaderEpoch) -> Result<TimestampMs, AppendError> {
        let input_size = check_replicated(self.bytes, log_end, None, Some(epoch))?.len();
        if input_size == 0 {
            return Err(AppendError::Nothing);
        }
        let (max_timestamp, append_time) = (TimestampMs::NONE.value(), None);
        self.validated = Some(Validated { rebuilt: None, input_size, max_timestamp, records: 0, append_time });
        Ok(TimestampMs::NONE)
    }
}

impl CheckedLogConfig {
    /// The rules by which a leader validates what `origin` sends.
    #[must_use]
    pub fn leader_rules(&self, origin: AppendOrigin) -> LeaderRules {
        let codec = self.compression.map_or(validate::TargetCodec::Producer, validate::TargetCodec::Fixed);
        let bounded = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        LeaderRules {
            codec,
            timestamp_type: self.timestamp_type,
            before_max_ms: bounded(self.timestamp_before_ms_max),
            after_max_ms: bounded(self.timestamp_after_ms_max),
            compacted: self.cleanup.compact,
            depth: self.record_validation,
            size_max: self.message_bytes_max as usize,
            origin: match origin {
                AppendOrigin::Client => validate::Origin::Client,
                AppendOrigin::Coordinator | AppendOrigin::RaftLeader => validate::Origin::Coordinator,
            },
            ..LeaderRules::default()
        }
    }
}
