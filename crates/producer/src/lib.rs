#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod encode;
mod interceptor;
mod record;
mod result;

pub use encode::{Encode, EncodeContext, EncodeError, PrepareError, RecordEncoder, RecordPart};
pub use interceptor::{Interceptor, Interceptors};
pub use record::{Header, ProducerRecord, SerializedRecord};
pub use result::{ProduceError, RecordMetadata};
