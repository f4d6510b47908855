//! What a coordinator coordinates.

use std::fmt::Debug;

use highwater_types::{ErrorCode, Offset};

use crate::{Entry, Now, Reply, Step, Ticks, Token};

/// The step of a shard `S`.
pub(crate) type StepOf<S> = Step<<S as Shard>::Record, <S as Shard>::Response, <S as Shard>::Effect>;

/// The state kept in one partition of a state topic, and the rules by which it changes.
///
/// *Durable* state changes in [`apply`](Self::apply) alone, so that replaying the partition rebuilds it. *Soft* state
/// (who waits for an answer, deadlines) may change anywhere and is lost with the leadership.
///
/// After a [`handle`](Self::handle) or [`handle_timeout`](Self::handle_timeout) whose step has records, the next call
/// is either [`apply`](Self::apply) for each of them and [`appended`](Self::appended), or
/// [`append_failed`](Self::append_failed). Nothing comes in between.
pub trait Shard {
    /// A request of a client, borrowed from its frame.
    type Request<'a>;
    /// The answer to one.
    type Response: Debug;
    /// What is written to the state topic.
    type Record: Debug;
    /// What else happens to the shard: topics come and go, settings change.
    type Event;
    /// What the shard wants to be reminded of once a step's records are appended, or could not be.
    type Effect: Debug;
    /// Why a record cannot be applied.
    type Corrupt: Debug;

    /// Decides on a request.
    fn handle(&mut self, now: Now, token: Token, request: Self::Request<'_>, step: &mut StepOf<Self>);

    /// Takes note of something that is no request.
    fn handle_event(&mut self, now: Now, event: Self::Event, step: &mut StepOf<Self>);

    /// Does a bounded part of what is due. Called again as long as [`next_timeout`](Self::next_timeout) is not in the
    /// future.
    fn handle_timeout(&mut self, now: Now, step: &mut StepOf<Self>);

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` for never.
    fn next_timeout(&self) -> Option<Ticks>;

    /// Applies one entry of the partition: at replay, and on the leader after it has been appended.
    ///
    /// # Errors
    ///
    /// The record contradicts the state that those before it have made. The shard is not used any more.
    fn apply(&mut self, now: Now, offset: Offset, entry: Entry<Self::Record>) -> Result<(), Self::Corrupt>;

    /// All entries have been replayed; requests come next. The place to arm timers.
    fn loaded(&mut self, now: Now, step: &mut StepOf<Self>);

    /// The records of the step have been appended and applied.
    fn appended(&mut self, now: Now, effect: Self::Effect);

    /// The records of the step could not be appended: takes back what soft state has changed with them. The step's
    /// answers have become errors already; `step` takes further answers, and no records.
    fn append_failed(&mut self, now: Now, effect: Self::Effect, error: ErrorCode, step: &mut StepOf<Self>);

    /// The leadership ends: answers every request that still waits in the shard with `error`.
    fn resign(&mut self, error: ErrorCode) -> Vec<Reply<Self::Response>>;

    /// The answer that says `error` to a request that is not handled.
    fn refuse(request: &Self::Request<'_>, error: ErrorCode) -> Self::Response;

    /// The answer that says `error` instead of `response`, which was to be given but cannot.
    fn fail(response: Self::Response, error: ErrorCode) -> Self::Response;
}
