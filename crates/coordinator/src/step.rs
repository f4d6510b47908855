//! What a shard wants done.

/// Names a request whose answer is owed. Chosen by the driver, unique among the requests that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// An answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<P> {
    /// Which request.
    pub token: Token,
    /// What to answer.
    pub response: P,
}

/// What one input makes a shard want: records to append, and answers that may go out once these, and all that
/// the shard had seen before them, are committed.
///
/// The records of a step are appended together. A crash may keep only the first of them, and then none is
/// acknowledged: they must be ordered so that every prefix is a state the shard can go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<R, P, F> {
    /// To be appended, then applied in this order. Empty for a pure read.
    pub records: Vec<R>,
    /// To be sent once everything the shard knows is committed. They may answer older requests than the one
    /// that is being handled, and need not answer that.
    pub replies: Vec<Reply<P>>,
    /// What the shard wants to be reminded of when the append is done or has failed.
    pub effect: Option<F>,
}

impl<R, P, F> Step<R, P, F> {
    /// Asks for `record` to be appended behind those of this step.
    pub fn record(&mut self, record: R) {
        self.records.push(record);
    }

    /// Answers the request `token`.
    pub fn reply(&mut self, token: Token, response: P) {
        self.replies.push(Reply { token, response });
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.replies.is_empty() && self.effect.is_none()
    }
}

impl<R, P, F> Default for Step<R, P, F> {
    fn default() -> Self {
        Self { records: Vec::new(), replies: Vec::new(), effect: None }
    }
}
