//! What the generated code is made of: cursors, sinks, and how each type is read and written.

mod array;
mod element;
mod error;
mod message;
mod reader;
mod records;
mod sink;
mod tagged;
mod version;

pub use array::{Array, Iter};
pub use element::{Element, Nullable};
pub(crate) use element::{not_in_version, read_tagged_struct, required};
pub use error::{DecodeError, EncodeError};
pub use message::Message;
pub(crate) use message::{decode, encode, encoded_size};
pub use reader::Reader;
pub use records::Records;
pub use sink::{ExternalRecords, Sink, Size, Writer};
pub use tagged::TaggedFields;
pub use version::{Version, VersionRange};
