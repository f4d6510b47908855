//! What connections wait for.

use super::delete_records::ParkedDeletion;
use super::fetch::ParkedFetch;
use super::produce::ParkedProduce;
use super::request::{Outcome, Refused, ReplyTo, Request};
use crate::net::{Out, Wake};
use crate::purgatory::Job;

/// The one thing a connection waits for.
pub(crate) enum Parked {
    /// Records to arrive.
    Fetch(Box<ParkedFetch>),
    /// Replicas to catch up.
    Produce(Box<ParkedProduce>),
    /// Replicas to delete records.
    Deletion(Box<ParkedDeletion>),
    /// Work on another thread.
    Job(Box<dyn PendingReply>),
    /// The active controller's answer.
    Forwarded(Box<Forwarded>),
    /// The broker to be let into its cluster.
    Start,
    /// The end of a pause before the next request.
    Pause,
    /// Nothing: the connection is never answered again.
    Nothing,
}

/// A request that was handed to the active controller.
pub(crate) struct Forwarded {
    /// As it came, for who has to answer it here after all.
    pub(super) frame: Vec<u8>,
    pub(super) job: Job<Option<Vec<u8>>>,
}

/// A request whose answer is being made on another thread.
pub(crate) trait PendingReply {
    /// Writes the answer if it is there; `None` if it is not.
    fn answer(&mut self, out: &mut Out) -> Option<Result<Outcome, Refused>>;
}

/// Parks `request` until `job` has finished, and answers it with what `reply` makes of the result.
pub(super) fn park_for<R: 'static>(
    request: &Request<'_>,
    job: Job<R>,
    reply: impl FnOnce(R, ReplyTo, &mut Out) -> Result<Outcome, Refused> + 'static,
) -> Outcome {
    let parked = Parked::Job(Box::new(JobReply { job, to: request.to, reply: Some(reply) }));
    Outcome::Park { parked, deadline: None }
}

struct JobReply<R, F> {
    job: Job<R>,
    to: ReplyTo,
    reply: Option<F>,
}

impl<R, F: FnOnce(R, ReplyTo, &mut Out) -> Result<Outcome, Refused>> PendingReply for JobReply<R, F> {
    fn answer(&mut self, out: &mut Out) -> Option<Result<Outcome, Refused>> {
        let result = self.job.take()?;
        // The work panicked, which was logged there: the client sees its connection end and asks again.
        let (Ok(result), Some(reply)) = (result, self.reply.take()) else { return Some(Ok(Outcome::Close)) };
        Some(reply(result, self.to, out))
    }
}

/// Goes on with work on another thread.
pub(super) fn resume_job(mut pending: Box<dyn PendingReply>, why: Wake, out: &mut Out) -> Result<Outcome, Refused> {
    match pending.answer(out) {
        Some(outcome) => outcome,
        None if why == Wake::Stopping => Ok(Outcome::Close),
        None => Ok(Outcome::Park { parked: Parked::Job(pending), deadline: None }),
    }
}
