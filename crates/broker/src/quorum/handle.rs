//! The way to the quorum's thread.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use highwater_metadata::{ApiError, Controller, Decision, UpdateFeatures};
use highwater_raft::{QuorumView, Request};
use highwater_types::NodeId;
use parking_lot::Mutex;

use super::active::{ControllerError, Deciding, Done};
use super::messages::Address;
use super::state::SharedState;
use super::thread::{Event, Fatal, QuorumThread, RaftReply};
use crate::net::{WakeToken, Wakers};
use crate::purgatory::{Job, Promise, WorkersBusy};

/// What another node asks the quorum.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// Bytes of records, or of a snapshot, that are wanted at most.
    pub(crate) bytes_max: u32,
    /// Where the leader is that asks.
    pub(crate) leader_at: Option<Address>,
}

impl From<Request> for Asked {
    fn from(request: Request) -> Self {
        Self { request, bytes_max: 0, leader_at: None }
    }
}

/// The way to the quorum's thread.
pub(crate) struct QuorumHandle {
    pub(super) events: Sender<Event>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) shared: Arc<SharedState>,
    pub(super) wakers: Arc<Wakers>,
    pub(super) node: NodeId,
    /// Whether this node was the only voter at its start.
    pub(super) is_alone: bool,
}

impl QuorumHandle {
    pub(crate) fn state(&self) -> &Arc<SharedState> {
        &self.shared
    }

    /// Whether this node was the only voter at its start, so that nobody else is waited for.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Carries out a request of a client, and wakes `token` when the broker on this node has applied what came of it.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn decide<R: Send + 'static>(
        &self,
        token: WakeToken,
        decide: impl FnOnce(&Controller) -> Decision<R> + Send + 'static,
    ) -> Result<Job<Result<R, ControllerError>>, WorkersBusy> {
        self.try_decide(token, |controller| Ok(decide(controller)))
    }

    /// As [`decide`](Self::decide), for requests that may be refused as a whole.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn try_decide<R: Send + 'static>(
        &self,
        token: WakeToken,
        decide: impl FnOnce(&Controller) -> Result<Decision<R>, ApiError> + Send + 'static,
    ) -> Result<Job<Result<R, ControllerError>>, WorkersBusy> {
        self.try_decide_and_tell(token, decide, |_, _| ())
    }

    /// As [`try_decide`](Self::try_decide), for requests that the controller's soft state must hear of: `committed` is
    /// told as soon as the decision is committed, before this node's broker applies it.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn try_decide_and_tell<R: Send + 'static>(
        &self,
        token: WakeToken,
        decide: impl FnOnce(&Controller) -> Result<Decision<R>, ApiError> + Send + 'static,
        committed: impl FnOnce(&mut Done<'_>, &R) + Send + 'static,
    ) -> Result<Job<Result<R, ControllerError>>, WorkersBusy> {
        let (promise, job) = Promise::new(&self.wakers, token);
        self.submit(
            move |deciding: &mut Deciding<'_>| decide(deciding.controller),
            move |done: &mut Done<'_>, result| {
                if let Ok(response) = &result {
                    committed(done, response);
                }
                done.when_applied(move || promise.keep(result));
            },
        )?;
        Ok(job)
    }

    /// Changes the levels of features; that of `kraft.version`, which is not in the metadata, is `kraft_version`.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn update_features(
        &self,
        token: WakeToken,
        update: UpdateFeatures,
        kraft_version: Option<i16>,
    ) -> Result<Job<Result<(), ControllerError>>, WorkersBusy> {
        let (promise, job) = Promise::new(&self.wakers, token);
        let work = move |thread: &mut QuorumThread| -> Result<(), Fatal> {
            // All or nothing: nothing is changed before everything is checked.
            let raise = |thread: &mut QuorumThread, checked| {
                kraft_version.map_or(Ok(()), |level| thread.raise_kraft_version(level, checked))
            };
            let checked =
                raise(thread, true).and_then(|()| thread.check(|controller| controller.update_features(&update)));
            let raised = checked.and_then(|()| raise(thread, update.validate_only));
            match raised {
                Ok(()) => thread.decide(
                    move |deciding| deciding.controller.update_features(&update),
                    move |done, result| done.when_applied(move || promise.keep(result)),
                )?,
                Err(error) => promise.keep(Err(error)),
            }
            thread.flush_completions();
            Ok(())
        };
        self.events.try_send(Event::Work(Box::new(work))).map_err(|_| WorkersBusy)?;
        Ok(job)
    }

    /// Carries out a request of another node, and wakes `token` when it is committed, after `committed` was told.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn decide_for_node<R: Send + 'static>(
        &self,
        token: WakeToken,
        decide: impl FnOnce(&mut Deciding<'_>) -> Result<Decision<R>, ApiError> + Send + 'static,
        committed: impl FnOnce(&mut Done<'_>, &R) + Send + 'static,
    ) -> Result<Job<Result<R, ControllerError>>, WorkersBusy> {
        let (promise, job) = Promise::new(&self.wakers, token);
        self.submit(decide, move |done: &mut Done<'_>, result| {
            if let Ok(response) = &result {
                committed(done, response);
            }
            promise.keep(result);
        })?;
        Ok(job)
    }

    /// Carries out a request of this node itself and waits until it is committed.
    ///
    /// # Errors
    ///
    /// [`ControllerError`] if it is refused, or not committed within `timeout`.
    pub(crate) fn decide_here<R: Send + 'static>(
        &self,
        timeout: Duration,
        decide: impl FnOnce(&mut Deciding<'_>) -> Result<Decision<R>, ApiError> + Send + 'static,
        committed: impl FnOnce(&mut Done<'_>, &R) + Send + 'static,
    ) -> Result<R, ControllerError> {
        let (sender, answer) = bounded(1);
        let done = move |done: &mut Done<'_>, result: Result<R, ControllerError>| {
            if let Ok(response) = &result {
                committed(done, response);
            }
            // Who has stopped waiting does not want it.
            let _ = sender.send(result);
        };
        self.submit(decide, done).map_err(|WorkersBusy| ControllerError::TimedOut)?;
        answer.recv_timeout(timeout).unwrap_or(Err(ControllerError::TimedOut))
    }

    /// Asks the quorum on behalf of another node.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn ask(&self, token: WakeToken, asked: Asked) -> Result<Job<RaftReply>, WorkersBusy> {
        let (promise, job) = Promise::new(&self.wakers, token);
        let Asked { request, bytes_max, leader_at } = asked;
        self.events.try_send(Event::Asked { request, bytes_max, leader_at, promise }).map_err(|_| WorkersBusy)?;
        Ok(job)
    }

    /// How the quorum stands, and how long ago this was in milliseconds for each time in it.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn view(&self, token: WakeToken) -> Result<Job<QuorumView>, WorkersBusy> {
        let (promise, job) = Promise::new(&self.wakers, token);
        let work = move |thread: &mut QuorumThread| {
            promise.keep(thread.view());
            Ok(())
        };
        self.events.try_send(Event::Work(Box::new(work))).map_err(|_| WorkersBusy)?;
        Ok(job)
    }

    /// Ends the thread and closes the log. Nothing is decided any more.
    pub(crate) fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        let _ = self.events.send(Event::Stop);
        if thread.join().is_err() {
            tracing::error!("the quorum's thread had panicked");
        }
    }

    fn submit<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Deciding<'_>) -> Result<Decision<R>, ApiError> + Send + 'static,
        done: impl FnOnce(&mut Done<'_>, Result<R, ControllerError>) + Send + 'static,
    ) -> Result<(), WorkersBusy> {
        let work = move |thread: &mut QuorumThread| -> Result<(), Fatal> {
            thread.decide(decide, done)?;
            thread.flush_completions();
            Ok(())
        };
        self.events.try_send(Event::Work(Box::new(work))).map_err(|_| WorkersBusy)
    }
}

impl Drop for QuorumHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
