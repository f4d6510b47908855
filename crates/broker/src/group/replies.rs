//! Answers of coordinators on their way to the connections that wait for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_coordinator::Token;
use highwater_group::Response;
use parking_lot::Mutex;

use crate::net::{WakeToken, Wakers};

/// The requests that wait in coordinators. A connection waits for one request at a time, so there are never more than
/// its connections have asked for in one.
pub(super) struct Replies {
    next: AtomicU64,
    waiting: Mutex<HashMap<Token, Waiting>>,
    wakers: Arc<Wakers>,
}

struct Waiting {
    wake: WakeToken,
    response: Option<Response>,
}

/// An answer that is to come. Dropping it forgets the request, whose answer is then thrown away.
pub(crate) struct PendingResponse {
    replies: Arc<Replies>,
    token: Token,
}

impl Replies {
    pub(super) fn new(wakers: Arc<Wakers>) -> Self {
        Self { next: AtomicU64::new(0), waiting: Mutex::default(), wakers }
    }

    /// A name for a request.
    pub(super) fn token(&self) -> Token {
        Token(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets `wake` wait for the answer. Called under the lock of the coordinator that has the request, so that the
    /// answer cannot come before.
    pub(super) fn expect(self: &Arc<Self>, token: Token, wake: WakeToken) -> PendingResponse {
        self.waiting.lock().insert(token, Waiting { wake, response: None });
        PendingResponse { replies: Arc::clone(self), token }
    }

    /// Gives an answer to whoever waits for it, if anybody still does.
    pub(super) fn deliver(&self, token: Token, response: Response) {
        let wake = self.waiting.lock().get_mut(&token).map(|waiting| {
            waiting.response = Some(response);
            waiting.wake
        });
        if let Some(wake) = wake {
            self.wakers.wake(wake);
        }
    }
}

impl PendingResponse {
    /// The answer, once it is there.
    pub(crate) fn take(&self) -> Option<Response> {
        self.replies.waiting.lock().get_mut(&self.token)?.response.take()
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.replies.waiting.lock().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::ErrorCode;

    #[test]
    fn an_answer_that_nobody_waits_for_leaves_nothing_behind() {
        let replies = Arc::new(Replies::new(Wakers::new(1).unwrap()));
        let wake = WakeToken::for_test(0, 1, 0);
        let (first, second) = (replies.token(), replies.token());
        assert_ne!(first, second);
        let pending = replies.expect(first, wake);
        assert!(pending.take().is_none());
        replies.deliver(second, Response::Heartbeat(ErrorCode::None));
        replies.deliver(first, Response::Heartbeat(ErrorCode::NotCoordinator));
        assert_eq!(pending.take(), Some(Response::Heartbeat(ErrorCode::NotCoordinator)));
        assert_eq!(replies.waiting.lock().len(), 1);
        drop(pending);
        replies.deliver(first, Response::Heartbeat(ErrorCode::None));
        assert!(replies.waiting.lock().is_empty());
    }
}
