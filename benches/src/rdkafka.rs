//! librdkafka, as far as it is measured: loaded when it is asked for, so that nothing here needs it to be built.

use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use libloading::{Library, Symbol};

type Handle = *mut c_void;

/// A client of librdkafka's, with one topic.
pub struct RdKafka {
    /// Never unloaded: its threads run until the process ends.
    library: &'static Library,
    handle: Handle,
    topic: Handle,
}

/// What librdkafka gives for a record: the beginning of its `rd_kafka_message_t`.
#[repr(C)]
struct RdMessage {
    error: c_int,
    topic: Handle,
    partition: i32,
    payload: *const c_void,
    length: usize,
}

impl RdKafka {
    /// A producer or a consumer with these configs. `path` is the shared library; by default the system's.
    ///
    /// # Errors
    ///
    /// If there is no such library, or it does not take a config.
    pub fn new(
        path: Option<&str>,
        is_consumer: bool,
        configs: &[(&str, &str)],
        topic: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let library = load(path)?;
        // SAFETY: the signatures are those of rdkafka.h, unchanged since its version 1.0, and all pointers that are given
        // live during the calls. `rd_kafka_new` takes the configuration over.
        let (handle, topic) = unsafe {
            let conf_new: Symbol<'_, extern "C" fn() -> Handle> = library.get(b"rd_kafka_conf_new")?;
            let conf_set: Symbol<'_, extern "C" fn(Handle, *const c_char, *const c_char, *mut c_char, usize) -> c_int> =
                library.get(b"rd_kafka_conf_set")?;
            let new: Symbol<'_, extern "C" fn(c_int, Handle, *mut c_char, usize) -> Handle> =
                library.get(b"rd_kafka_new")?;
            let topic_new: Symbol<'_, extern "C" fn(Handle, *const c_char, Handle) -> Handle> =
                library.get(b"rd_kafka_topic_new")?;
            let mut reason = [0 as c_char; 512];
            let conf = conf_new();
            for (key, value) in configs {
                let (key, value) = (CString::new(*key)?, CString::new(*value)?);
                if conf_set(conf, key.as_ptr(), value.as_ptr(), reason.as_mut_ptr(), reason.len()) != 0 {
                    return Err(CStr::from_ptr(reason.as_ptr()).to_string_lossy().into_owned().into());
                }
            }
            let handle = new(c_int::from(is_consumer), conf, reason.as_mut_ptr(), reason.len());
            if handle.is_null() {
                return Err(CStr::from_ptr(reason.as_ptr()).to_string_lossy().into_owned().into());
            }
            let name = CString::new(topic)?;
            (handle, topic_new(handle, name.as_ptr(), ptr::null_mut()))
        };
        Ok(Self { library, handle, topic })
    }

    /// Sends `count` copies of what `payload` gives, to partitions of librdkafka's choice, and waits for all of them.
    ///
    /// # Errors
    ///
    /// If one is not taken for another reason than a full queue, or not delivered within a minute.
    pub fn produce<'p>(&self, count: u64, mut payload: impl FnMut(u64) -> &'p [u8]) -> Result<(), Box<dyn Error>> {
        type Produce =
            extern "C" fn(Handle, i32, c_int, *const c_void, usize, *const c_void, usize, *const c_void) -> c_int;
        // SAFETY: as in `new`; librdkafka copies the payload during the call.
        unsafe {
            let produce: Symbol<'_, Produce> = self.library.get(b"rd_kafka_produce")?;
            let poll: Symbol<'_, extern "C" fn(Handle, c_int) -> c_int> = self.library.get(b"rd_kafka_poll")?;
            let flush: Symbol<'_, extern "C" fn(Handle, c_int) -> c_int> = self.library.get(b"rd_kafka_flush")?;
            let last_error: Symbol<'_, extern "C" fn() -> c_int> = self.library.get(b"rd_kafka_last_error")?;
            for index in 0..count {
                let bytes = payload(index);
                let (data, nothing) = (bytes.as_ptr().cast(), ptr::null());
                while produce(self.topic, UNASSIGNED, COPY, data, bytes.len(), nothing, 0, nothing) != 0 {
                    let code = last_error();
                    if code != QUEUE_FULL {
                        return Err(format!("librdkafka refuses a record: {code}").into());
                    }
                    poll(self.handle, 1);
                }
                if index % 1024 == 0 {
                    poll(self.handle, 0);
                }
            }
            match flush(self.handle, 60_000) {
                0 => Ok(()),
                code => Err(format!("librdkafka has not sent everything: {code}").into()),
            }
        }
    }

    /// Reads at least `count` records of one partition from its beginning, and gives their total size.
    ///
    /// # Errors
    ///
    /// If reading fails.
    pub fn consume(&self, partitions: i32, count: u64) -> Result<u64, Box<dyn Error>> {
        // SAFETY: as in `new`; the messages are read before they are destroyed, once each.
        unsafe {
            let queue_new: Symbol<'_, extern "C" fn(Handle) -> Handle> = self.library.get(b"rd_kafka_queue_new")?;
            let start: Symbol<'_, extern "C" fn(Handle, i32, i64, Handle) -> c_int> =
                self.library.get(b"rd_kafka_consume_start_queue")?;
            let batch: Symbol<'_, extern "C" fn(Handle, c_int, *mut *mut RdMessage, usize) -> isize> =
                self.library.get(b"rd_kafka_consume_batch_queue")?;
            let destroy: Symbol<'_, extern "C" fn(*mut RdMessage)> = self.library.get(b"rd_kafka_message_destroy")?;
            let queue = queue_new(self.handle);
            for partition in 0..partitions {
                if start(self.topic, partition, BEGINNING, queue) != 0 {
                    return Err("librdkafka does not begin to read".into());
                }
            }
            let mut messages = [ptr::null_mut(); 500];
            let (mut seen, mut bytes) = (0, 0);
            while seen < count {
                let got = batch(queue, 1000, messages.as_mut_ptr(), messages.len());
                let got = usize::try_from(got).map_err(|_| "librdkafka cannot read")?;
                for message in &messages[..got] {
                    let found = &**message;
                    if found.error == 0 {
                        seen += 1;
                        bytes += found.length as u64;
                    }
                    destroy(*message);
                }
            }
            Ok(bytes)
        }
    }
}

/// The version of the library.
///
/// # Errors
///
/// If there is no such library.
pub fn version(path: Option<&str>) -> Result<String, Box<dyn Error>> {
    let library = load(path)?;
    // SAFETY: as in `RdKafka::new`; the text is static.
    unsafe {
        let version: Symbol<'_, extern "C" fn() -> *const c_char> = library.get(b"rd_kafka_version_str")?;
        Ok(CStr::from_ptr(version()).to_string_lossy().into_owned())
    }
}

fn load(path: Option<&str>) -> Result<&'static Library, libloading::Error> {
    // SAFETY: librdkafka's initializers do nothing but set up its own memory.
    let library = unsafe { Library::new(path.unwrap_or("librdkafka.so.1")) }?;
    Ok(Box::leak(Box::new(library)))
}

/// `RD_KAFKA_PARTITION_UA`.
const UNASSIGNED: i32 = -1;
/// `RD_KAFKA_MSG_F_COPY`.
const COPY: c_int = 2;
/// `RD_KAFKA_RESP_ERR__QUEUE_FULL`.
const QUEUE_FULL: c_int = -184;
/// `RD_KAFKA_OFFSET_BEGINNING`.
const BEGINNING: i64 = -2;
