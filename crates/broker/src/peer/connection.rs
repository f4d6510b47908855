//! One connection to another node.

use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use highwater_types::ErrorCode;
use highwater_wire::frame::{RequestHeader, decode_response_header, encode_request};
use highwater_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use highwater_wire::{ApiKey, Message, Reader};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::PeerError;
use super::answer_buffer::AnswerBuffer;
use super::versions::Versions;

/// How other nodes are asked.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Name that this node gives itself, for the other's logs.
    pub client_id: String,
    /// How long connecting may take, for each address of a host.
    pub connect_timeout: Duration,
    /// Bytes that an answer may have.
    pub answer_bytes_max: usize,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            client_id: "highwater".to_owned(),
            connect_timeout: Duration::from_secs(10),
            answer_bytes_max: 100 * 1024 * 1024,
        }
    }
}

/// A connection to another node, for one request at a time. Blocks.
///
/// After an error other than [`PeerError::Version`] and [`PeerError::Encode`] it refuses to go on: what arrives late
/// would be taken for the answer to something else.
#[derive(Debug)]
pub struct PeerConnection {
    stream: TcpStream,
    address: String,
    client_id: String,
    versions: Versions,
    correlation_id: i32,
    out: Vec<u8>,
    input: AnswerBuffer,
    /// How long the socket waits for bytes, as it was told last.
    read_timeout: Option<Duration>,
    broken: bool,
}

/// Closes a connection from another thread, whoever waits on it.
#[derive(Debug)]
pub struct PeerHandle(TcpStream);

impl PeerHandle {
    /// Ends the connection; a call on it fails at once.
    pub fn close(&self) {
        // It may have been closed by the other side already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl PeerConnection {
    /// Connects to `host` and asks which versions it speaks.
    ///
    /// # Errors
    ///
    /// [`PeerError`], after all addresses of the host were tried in turn.
    pub fn connect(host: &str, port: u16, config: &PeerConfig) -> Result<Self, PeerError> {
        let address = format!("{host}:{port}");
        let stream = connect(host, port, config.connect_timeout)
            .map_err(|source| PeerError::Connect { address: address.clone(), source })?;
        let mut connection = Self {
            stream,
            address,
            client_id: config.client_id.clone(),
            versions: Versions::default(),
            correlation_id: 0,
            out: Vec::new(),
            input: AnswerBuffer::new(config.answer_bytes_max),
            read_timeout: None,
            broken: false,
        };
        connection.negotiate(config.connect_timeout)?;
        Ok(connection)
    }

    /// The other node's host and port, as they were given.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What lets another thread close it.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn handle(&self) -> io::Result<PeerHandle> {
        self.stream.try_clone().map(PeerHandle)
    }

    /// The version in which [`call`](Self::call) asks: the highest that both speak and that is not above `max`.
    ///
    /// # Errors
    ///
    /// [`PeerError::Version`] if there is none.
    pub fn version(&self, api: ApiKey, max: i16) -> Result<i16, PeerError> {
        let version = self.versions.common(api, max);
        version.ok_or_else(|| PeerError::Version { address: self.address.clone(), api })
    }

    /// Sends `request` in `version` and waits for the answer, which borrows the receive buffer.
    ///
    /// # Errors
    ///
    /// [`PeerError`]. If it is `Timeout`, no answer was there `timeout` after the call.
    ///
    /// # Panics
    ///
    /// If `request` and the answer belong to different APIs.
    pub fn call<'a, 'q, Q: Message<'q>, R: Message<'a>>(
        &'a mut self,
        version: i16,
        request: &Q,
        timeout: Duration,
    ) -> Result<R, PeerError> {
        assert_eq!(Q::KEY, R::KEY, "an answer is of the same API as its request");
        let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
        self.send(api, version, request)?;
        self.receive(api, timeout)?;
        let Self { input, address, broken, .. } = self;
        let expected = self.correlation_id;
        let decode = || {
            let mut reader = Reader::new(input.answer());
            let found = decode_response_header(&mut reader, api, version)?;
            if found == expected { R::decode(&mut reader, version).map(Ok) } else { Ok(Err(found)) }
        };
        let address = || address.clone();
        let answer = match decode() {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(found)) => Err(PeerError::Correlation { address: address(), expected, found }),
            Err(source) => Err(PeerError::Decode { address: address(), api, source }),
        };
        *broken = answer.is_err();
        answer
    }

    fn send<'q, Q: Message<'q>>(&mut self, api: ApiKey, version: i16, request: &Q) -> Result<(), PeerError> {
        self.check("use")?;
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        let header = RequestHeader {
            api_key: api.code(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some(self.client_id.as_str().into()),
            ..RequestHeader::default()
        };
        self.out.clear();
        encode_request(&mut self.out, &header, request).map_err(|source| PeerError::Encode { api, source })?;
        let sent = self.stream.write_all(&self.out);
        sent.map_err(|source| self.fail("send to", source))
    }

    /// Reads one answer into the receive buffer.
    ///
    /// A single wait may last for `timeout`, whatever is left until the deadline: the socket is told so once, not with
    /// every read, so that an answer in parts may take twice as long.
    fn receive(&mut self, api: ApiKey, timeout: Duration) -> Result<(), PeerError> {
        let deadline = Instant::now() + timeout;
        self.set_read_timeout(timeout).map_err(|source| self.fail("receive from", source))?;
        self.input.begin();
        loop {
            match self.input.is_complete() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(source) => {
                    self.broken = true;
                    return Err(PeerError::Frame { address: self.address.clone(), source });
                }
            }
            let (room, is_all_of_it) = self.input.room();
            // The rest of an answer is waited for as a whole.
            let flags = if is_all_of_it { MsgFlags::MSG_WAITALL } else { MsgFlags::empty() };
            let read = if deadline <= Instant::now() {
                Err(Errno::EAGAIN)
            } else {
                recv(self.stream.as_raw_fd(), room, flags)
            };
            match read {
                Ok(0) => return Err(self.fail("receive from", ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.input.fill(count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.broken = true;
                    let timeout_ms = timeout.as_millis();
                    return Err(PeerError::Timeout { address: self.address.clone(), api, timeout_ms });
                }
                Err(errno) => return Err(self.fail("receive from", errno.into())),
            }
        }
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        if self.read_timeout != Some(timeout) {
            self.stream.set_read_timeout(Some(timeout))?;
            self.read_timeout = Some(timeout);
        }
        Ok(())
    }

    fn check(&mut self, op: &'static str) -> Result<(), PeerError> {
        if self.broken { Err(self.fail(op, ErrorKind::NotConnected.into())) } else { Ok(()) }
    }

    fn fail(&mut self, op: &'static str, source: io::Error) -> PeerError {
        self.broken = true;
        PeerError::Io { op, address: self.address.clone(), source }
    }

    fn negotiate(&mut self, timeout: Duration) -> Result<(), PeerError> {
        let request = ApiVersionsRequest {
            client_software_name: env!("CARGO_PKG_NAME").into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..ApiVersionsRequest::default()
        };
        let response: ApiVersionsResponse<'_> = self.call(API_VERSIONS_VERSION, &request, timeout)?;
        let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        let versions = Versions::of(&response);
        if code != ErrorCode::None {
            self.broken = true;
            return Err(PeerError::Refused { address: self.address.clone(), code });
        }
        self.versions = versions;
        Ok(())
    }
}

/// Tries the addresses of a host in turn; the last failure counts.
fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                // Requests are small next to socket buffers: a node that takes none in has stopped.
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// In every Apache Kafka since 2.4.
const API_VERSIONS_VERSION: i16 = 3;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use highwater_wire::messages::{MetadataRequest, MetadataResponse};

    use super::*;
    use crate::{Broker, BrokerConfig};

    const SOON: Duration = Duration::from_secs(20);

    fn config() -> PeerConfig {
        PeerConfig { answer_bytes_max: 1 << 20, ..PeerConfig::default() }
    }

    fn metadata(connection: &mut PeerConnection, timeout: Duration) -> Result<usize, PeerError> {
        let version = connection.version(ApiKey::Metadata, i16::MAX)?;
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let response: MetadataResponse<'_> = connection.call(version, &request, timeout)?;
        Ok(response.brokers.iter().count())
    }

    /// Answers ApiVersions, then gives the next request to `answer`, which returns the bytes to send, and closes.
    fn fake(answer: impl FnOnce(i32) -> Vec<u8> + Send + 'static) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let receive = |stream: &mut TcpStream| {
                let mut size = [0; 4];
                stream.read_exact(&mut size).ok()?;
                let mut frame = vec![0; u32::from_be_bytes(size) as usize];
                stream.read_exact(&mut frame).ok()?;
                Some(i32::from_be_bytes(frame[4..8].try_into().unwrap()))
            };
            let correlation = receive(&mut stream).unwrap();
            let mut out = vec![0, 0, 0, 19];
            out.extend(correlation.to_be_bytes());
            // No error; Metadata 4 to 12, no tags; no throttle, no tags.
            out.extend([0, 0, 2, 0, 3, 0, 4, 0, 12, 0, 0, 0, 0, 0, 0]);
            stream.write_all(&out).unwrap();
            // The other side may close before it asks.
            let Some(correlation) = receive(&mut stream) else { return };
            stream.write_all(&answer(correlation)).unwrap();
            // Until the other side has gone.
            let _ = stream.read(&mut [0]);
        });
        (port, server)
    }

    /// Lets a fake node answer a Metadata request with `answer`; twice, as the second call finds out whether the
    /// connection is given up.
    fn asked(answer: impl FnOnce(i32) -> Vec<u8> + Send + 'static) -> PeerError {
        let (port, server) = fake(answer);
        let mut connection = PeerConnection::connect("127.0.0.1", port, &config()).unwrap();
        let error = metadata(&mut connection, Duration::from_millis(300)).unwrap_err();
        let again = metadata(&mut connection, SOON).unwrap_err();
        assert!(matches!(again, PeerError::Io { op: "use", .. }), "{again}");
        drop(connection);
        server.join().unwrap();
        error
    }

    #[test]
    fn a_broker_is_asked_in_the_version_that_both_speak() {
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::start(&BrokerConfig::embedded(directory.path())).unwrap();
        let port = broker.local_addr().port();
        let mut connection = PeerConnection::connect("localhost", port, &config()).unwrap();
        assert_eq!(connection.version(ApiKey::Fetch, 13).unwrap(), 13);
        let unknown = connection.version(ApiKey::ControlledShutdown, i16::MAX).unwrap_err();
        assert!(matches!(unknown, PeerError::Version { api: ApiKey::ControlledShutdown, .. }), "{unknown}");
        for _ in 0..3 {
            assert_eq!(metadata(&mut connection, SOON).unwrap(), 1);
        }
        broker.shutdown();
        let closed = metadata(&mut connection, SOON).unwrap_err();
        assert!(matches!(closed, PeerError::Io { .. }), "{closed}");
    }

    #[test]
    fn a_host_without_a_listener_is_a_failure_to_connect() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = PeerConnection::connect("127.0.0.1", port, &config()).unwrap_err();
        assert!(matches!(&error, PeerError::Connect { address, .. } if *address == format!("127.0.0.1:{port}")));
    }

    #[test]
    fn bad_answers_end_the_connection() {
        let closed = asked(|_| vec![0, 0, 0]);
        assert!(matches!(closed, PeerError::Timeout { api: ApiKey::Metadata, timeout_ms: 300, .. }), "{closed}");
        let partial = asked(|_| vec![0, 0, 0, 100, 1, 2, 3]);
        assert!(matches!(partial, PeerError::Timeout { .. }), "{partial}");
        let large = asked(|_| vec![0x7f, 0xff, 0xff, 0xff]);
        assert!(matches!(large, PeerError::Frame { .. }), "{large}");
        let negative = asked(|_| vec![0xff; 4]);
        assert!(matches!(negative, PeerError::Frame { .. }), "{negative}");
        let other = asked(|correlation| {
            let mut out = vec![0, 0, 0, 5];
            out.extend((correlation - 1).to_be_bytes());
            out.push(0);
            out
        });
        assert!(matches!(other, PeerError::Correlation { .. }), "{other}");
        let broken = asked(|correlation| {
            let mut out = vec![0, 0, 0, 6];
            out.extend(correlation.to_be_bytes());
            out.extend([0, 0xff]);
            out
        });
        assert!(matches!(broken, PeerError::Decode { api: ApiKey::Metadata, .. }), "{broken}");
    }

    #[test]
    fn another_thread_can_end_a_call() {
        let (port, server) = fake(|_| Vec::new());
        let mut connection = PeerConnection::connect("127.0.0.1", port, &config()).unwrap();
        let handle = connection.handle().unwrap();
        let waiting = thread::spawn(move || metadata(&mut connection, SOON));
        handle.close();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error, PeerError::Io { .. }), "{error}");
        server.join().unwrap();
    }
}
