//! Where an idempotent or transactional producer stands.

/// Where a producer stands with its identity, and with its transaction if it has one.
///
/// ```text
/// Uninitialized -> Initializing -> Ready -> InTransaction -> CommittingTransaction -> Ready
///                                                         -> AbortingTransaction   -> Ready
/// ```
///
/// An error in a transaction leads to `AbortableError` and from there to `AbortingTransaction`; a producer that is only
/// idempotent returns from `Ready` to `Uninitialized` when its epochs are used up. `FatalError` can come from anywhere
/// and is final. A producer without transactions never leaves the first three and the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionState {
    /// It has no producer id.
    #[default]
    Uninitialized,
    /// It has asked for one.
    Initializing,
    /// It has one.
    Ready,
    /// A transaction has begun.
    InTransaction,
    /// It is being committed.
    CommittingTransaction,
    /// It is being aborted.
    AbortingTransaction,
    /// It has to be aborted.
    AbortableError,
    /// Nothing can be sent any more.
    FatalError,
}

impl TransactionState {
    /// Every state, in the order above.
    pub const ALL: [Self; 8] = [
        Self::Uninitialized,
        Self::Initializing,
        Self::Ready,
        Self::InTransaction,
        Self::CommittingTransaction,
        Self::AbortingTransaction,
        Self::AbortableError,
        Self::FatalError,
    ];

    /// Whether `next` may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use TransactionState::{
            AbortableError, AbortingTransaction, CommittingTransaction, FatalError, InTransaction, Initializing, Ready,
            Uninitialized,
        };
        match next {
            Uninitialized => matches!(self, Ready | AbortableError | Initializing),
            Initializing => matches!(self, Uninitialized | CommittingTransaction | AbortingTransaction),
            Ready => matches!(self, Initializing | CommittingTransaction | AbortingTransaction),
            InTransaction => matches!(self, Ready),
            CommittingTransaction => matches!(self, InTransaction),
            AbortingTransaction => matches!(self, InTransaction | AbortableError),
            AbortableError => {
                matches!(self, InTransaction | CommittingTransaction | AbortableError | Initializing)
            }
            FatalError => true,
        }
    }

    /// The state after this one.
    ///
    /// # Panics
    ///
    /// If it may not follow.
    pub(crate) fn become_next(&mut self, next: Self) {
        assert!(self.may_become(next), "a producer does not go from {self:?} to {next:?}");
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionState::{self, *};

    #[test]
    fn what_may_follow_what() {
        let after = |state: TransactionState| -> Vec<TransactionState> {
            TransactionState::ALL.into_iter().filter(|next| state.may_become(*next)).collect()
        };
        assert_eq!(after(Uninitialized), [Initializing, FatalError]);
        assert_eq!(after(Initializing), [Uninitialized, Ready, AbortableError, FatalError]);
        assert_eq!(after(Ready), [Uninitialized, InTransaction, FatalError]);
        assert_eq!(after(InTransaction), [CommittingTransaction, AbortingTransaction, AbortableError, FatalError]);
        assert_eq!(after(CommittingTransaction), [Initializing, Ready, AbortableError, FatalError]);
        assert_eq!(after(AbortingTransaction), [Initializing, Ready, FatalError]);
        assert_eq!(after(AbortableError), [Uninitialized, AbortingTransaction, AbortableError, FatalError]);
        assert_eq!(after(FatalError), [FatalError]);
    }
}
