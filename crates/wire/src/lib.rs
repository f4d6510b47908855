#![doc = include_str!("../README.md")]

mod api_key;
mod api_versions;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod generated;
pub mod metadata_frame;
pub mod records_schema;
mod runtime;

pub use api_key::ApiKey;
pub use api_versions::encode_api_versions_fallback;
pub use generated::messages;
pub use runtime::{
    Array, DecodeError, Element, EncodeError, ExternalRecords, Iter, Message, Nullable, Reader, Records, Sink, Size,
    TaggedFields, Version, VersionRange, Writer,
};
