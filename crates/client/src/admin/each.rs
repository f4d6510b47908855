//! Results for each of several things.

use crate::ClientError;

/// What came of a call for each thing that it was about, in the order in which they were given.
#[derive(Clone, Debug)]
#[must_use = "some of the results may be errors"]
pub struct Each<K, T>(Vec<(K, Result<T, ClientError>)>);

impl<K, T> Each<K, T> {
    pub(super) const fn new(results: Vec<(K, Result<T, ClientError>)>) -> Self {
        Self(results)
    }

    /// Every thing with its result.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Result<&T, &ClientError>)> {
        self.0.iter().map(|(key, result)| (key, result.as_ref()))
    }

    /// How many things there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What came of every thing, if nothing went wrong.
    ///
    /// # Errors
    ///
    /// The first error; the other results are dropped.
    pub fn all_ok(self) -> Result<Vec<(K, T)>, ClientError> {
        self.0.into_iter().map(|(key, result)| Ok((key, result?))).collect()
    }

    /// What came of the only thing.
    ///
    /// # Errors
    ///
    /// Its error; [`ClientError::Invalid`] if there was not exactly one.
    pub fn only(self) -> Result<T, ClientError> {
        let count = self.0.len();
        let mut results = self.0.into_iter();
        match (results.next(), results.next()) {
            (Some((_, result)), None) => result,
            _ => Err(ClientError::Invalid(format!("a result for one thing was expected, there are {count}"))),
        }
    }
}

impl<K, T> IntoIterator for Each<K, T> {
    type Item = (K, Result<T, ClientError>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
