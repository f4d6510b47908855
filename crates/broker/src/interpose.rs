//! A seam for tests of clients: somebody between the listeners and the handlers.

use std::time::Duration;

use highwater_types::{NodeId, TopicId, Uuid};

use crate::view::View;

/// Decides about each request before it is served, so that a test can make a broker answer what a healthy one does not.
///
/// A broker without one, which is every broker but those of tests, pays one comparison a request for it. With one,
/// produce requests are appended one by one. It is called on an event loop and must not block.
pub trait Interposer: Send + Sync + 'static {
    /// Decides about a request whose API and version the broker serves. Called once for each.
    fn intercept(&self, request: &Intercepted<'_>) -> Verdict;
}

/// A request that has not been served yet.
pub struct Intercepted<'a> {
    pub(crate) frame: &'a [u8],
    pub(crate) node: NodeId,
    pub(crate) is_for_controllers: bool,
    pub(crate) view: &'a View,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    #[default]
    Serve,
    /// It is not served; these bytes are the answer, a whole frame with its size.
    Answer(Vec<u8>),
    /// It is served after a pause, in which later requests of the connection wait.
    Delay(Duration),
    /// It is not served and the connection ends.
    Close,
    /// It is served, and the connection ends instead of an answer.
    ServeAndClose,
    /// It is not served and never answered; nor are later requests of the connection, which stays open.
    Ignore,
}

impl<'a> Intercepted<'a> {
    /// The request's bytes from its header on, without the size in front.
    #[must_use]
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// The node that was asked.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whether it came in on a listener of controllers, where only nodes of the cluster speak.
    #[must_use]
    pub fn is_for_controllers(&self) -> bool {
        self.is_for_controllers
    }

    /// The name of the topic with this id, as far as the node knows.
    #[must_use]
    pub fn topic_name(&self, id: Uuid) -> Option<&'a str> {
        self.view.image.topic_by_id(TopicId(id)).map(|topic| topic.name().as_str())
    }
}

impl std::fmt::Debug for Intercepted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intercepted").field("node", &self.node).field("bytes", &self.frame.len()).finish()
    }
}
