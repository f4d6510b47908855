//! A connection that asks one thing at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use highwater_types::ErrorCode;
use highwater_wire::frame::{RequestHeader, decode_response_header, encode_request};
use highwater_wire::messages::create_topics_request::CreatableTopic;
use highwater_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest,
    HeartbeatResponse,
};
use highwater_wire::{ApiKey, Message, Reader};

/// One connection to a broker. Requests are sent and answered one by one, or sent now and answered later.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    frame: Vec<u8>,
}

/// The bytes of an answer, behind its length.
#[derive(Debug)]
pub struct Answer {
    bytes: Vec<u8>,
    key: ApiKey,
    version: i16,
}

impl Answer {
    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// If it is none of the API that was asked.
    pub fn read<'a, M: Message<'a>>(&'a self) -> io::Result<M> {
        let mut reader = Reader::new(&self.bytes);
        decode_response_header(&mut reader, self.key, self.version).map_err(io::Error::other)?;
        M::decode(&mut reader, self.version).map_err(io::Error::other)
    }
}

impl Peer {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Whatever connecting fails with.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        Ok(Self { stream, frame: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// If the connection fails, or nothing is answered for long.
    pub fn call<'m, M: Message<'m>>(&mut self, version: i16, request: &M) -> io::Result<Answer> {
        self.send(version, request)?;
        self.receive::<M>(version)
    }

    /// Sends a request whose answer is received later.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn send<'m, M: Message<'m>>(&mut self, version: i16, request: &M) -> io::Result<()> {
        self.frame.clear();
        encode(&mut self.frame, version, request)?;
        self.stream.write_all(&self.frame)
    }

    /// Receives the answer to a request of type `M`.
    ///
    /// # Errors
    ///
    /// If the connection fails, or nothing is answered for long.
    pub fn receive<'m, M: Message<'m>>(&mut self, version: i16) -> io::Result<Answer> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut bytes)?;
        Ok(Answer { bytes, key: key::<M>(), version })
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// If the broker refuses.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> io::Result<()> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 30_000, ..CreateTopicsRequest::default() };
        let answer = self.call(5, &request)?;
        let results = answer.read::<CreateTopicsResponse<'_>>()?;
        results.topics.iter().try_for_each(|topic| no_error(topic.error_code, "create topic"))
    }

    /// Asks for the coordinator until there is one, which creates the offsets topic, and then for members that do not
    /// exist until every partition of it has said so.
    ///
    /// # Errors
    ///
    /// If there is none after a while.
    pub fn await_coordinator(&mut self, group: &str) -> io::Result<()> {
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        loop {
            let request = FindCoordinatorRequest { key: group.into(), ..FindCoordinatorRequest::default() };
            let answer = self.call(3, &request)?;
            let error = answer.read::<FindCoordinatorResponse<'_>>()?.error_code;
            if error == 0 {
                break;
            }
            if deadline < Instant::now() {
                return no_error(error, "find the coordinator");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (0..GROUPS_TRIED).try_for_each(|index| self.await_group(&format!("{group}-{index}"), deadline))
    }

    fn await_group(&mut self, group: &str, deadline: Instant) -> io::Result<()> {
        loop {
            let request =
                HeartbeatRequest { group_id: group.into(), member_id: "nobody".into(), ..HeartbeatRequest::default() };
            let answer = self.call(3, &request)?;
            let error = answer.read::<HeartbeatResponse<'_>>()?.error_code;
            if error == ErrorCode::UnknownMemberId as i16 {
                return Ok(());
            }
            if deadline < Instant::now() {
                return Err(io::Error::other(format!("the coordinator of {group} answers error {error}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Appends a whole request.
///
/// # Errors
///
/// If the version cannot say it.
pub fn encode<'m, M: Message<'m>>(frame: &mut Vec<u8>, version: i16, request: &M) -> io::Result<()> {
    let header = RequestHeader {
        api_key: key::<M>() as i16,
        api_version: version,
        correlation_id: 1,
        client_id: Some("groups".into()),
        ..RequestHeader::default()
    };
    encode_request(frame, &header, request).map_err(io::Error::other)?;
    Ok(())
}

/// Makes an error of an error code.
///
/// # Errors
///
/// If the code says one.
pub fn no_error(code: i16, what: &str) -> io::Result<()> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(error) => Err(io::Error::other(format!("{what}: {}", error.name()))),
        None => Err(io::Error::other(format!("{what}: error {code}"))),
    }
}

fn key<'m, M: Message<'m>>() -> ApiKey {
    M::KEY.and_then(ApiKey::from_code).expect("requests have keys")
}

/// Enough for each of fifty partitions to have some.
const GROUPS_TRIED: usize = 1000;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
