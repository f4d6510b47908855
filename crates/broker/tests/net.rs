//! The event loops over real loopback sockets, with a service that does what one byte of each request says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use highwater_broker::net::{
    ConnectionLimits, Context, Frames, NetStats, Out, SendFile, Served, Service, Wake, Wakers,
};
use highwater_broker::purgatory::{Job, Purgatory, Workers};
use highwater_broker::server::{Server, ServerConfig};

/// Every wait in these tests ends by this, and only if something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves requests whose first byte is a command.
struct Commands {
    wakers: Arc<Wakers>,
    purgatory: Purgatory<u8>,
    workers: Workers,
    file: Arc<dyn SendFile>,
    cancelled: AtomicU64,
    closed: AtomicU64,
    largest_group: AtomicU64,
}

/// Per connection: how many requests it has made.
type Seen = u64;

enum Parked {
    Key { data: Vec<u8> },
    Job(Job<u8>),
}

impl Service for Commands {
    type Loop = usize;
    type Conn = Seen;
    type Parked = Parked;

    fn new_loop(&self, index: usize) -> usize {
        index
    }

    fn serve(&self, cx: &mut Context<'_, Self>, frames: &mut Frames<'_>, out: &mut Out) -> Served<Parked> {
        let mut group = 0;
        while let Some(frame) = frames.next(out) {
            group += 1;
            *cx.conn += 1;
            let (command, data) = frame.split_first_mut().map_or((b'?', &mut [][..]), |(first, rest)| (*first, rest));
            match command {
                b'e' => answer(out, data),
                b'n' => {}
                b'a' => answer(out, cx.peer.local_addr().to_string().as_bytes()),
                b'l' => answer(out, &[u8::try_from(*cx.lp).unwrap()]),
                b'b' => answer(out, &vec![b'b'; number(data)]),
                b'f' => {
                    let (position, length) = (number(data), number(&data[4..]));
                    let at = out.buf().len() + 4;
                    let size = u32::try_from(length + 3).unwrap();
                    out.buf().extend_from_slice(&size.to_be_bytes());
                    out.buf().extend_from_slice(b"end");
                    out.file_at(at, Arc::clone(&self.file), position as u64, u32::try_from(length).unwrap());
                }
                b'w' => {
                    self.purgatory.ready(&data[0]);
                    answer(out, b"woke");
                }
                b'p' => {
                    self.purgatory.watch(cx.peer.token(), [data[0]]);
                    let wait_ms = number(&data[1..]);
                    let deadline = (wait_ms > 0).then(|| cx.now.instant + Duration::from_millis(wait_ms as u64));
                    return Served::Park { parked: Parked::Key { data: data.to_vec() }, deadline };
                }
                b'j' => {
                    let byte = data[0];
                    let job = self.workers.submit_for(cx.peer.token(), move || byte + 1).unwrap();
                    return Served::Park { parked: Parked::Job(job), deadline: None };
                }
                b'x' => panic!("asked to by the test"),
                _ => return Served::Close,
            }
        }
        self.largest_group.fetch_max(group, Ordering::Relaxed);
        Served::Done
    }

    fn resume(&self, cx: &mut Context<'_, Self>, parked: Parked, why: Wake, out: &mut Out) -> Served<Parked> {
        match (parked, why) {
            (Parked::Job(job), _) => match job.take() {
                Some(result) => answer(out, &[result.unwrap()]),
                None => return Served::Park { parked: Parked::Job(job), deadline: None },
            },
            // Data that starts with 'again' parks once more for each wake-up, until its time is up.
            (Parked::Key { data }, Wake::Ready) if data[5..].starts_with(b"again") => {
                self.purgatory.watch(cx.peer.token(), [data[0]]);
                let deadline = Some(cx.now.instant + Duration::from_millis(1));
                return Served::Park { parked: Parked::Key { data }, deadline };
            }
            (Parked::Key { data }, why) => answer(out, format!("{why:?} {}", data.len()).as_bytes()),
        }
        Served::Done
    }

    fn cancel(&self, _: &mut usize, _: Parked) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self, _: &mut usize, _: Seen) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

fn answer(out: &mut Out, body: &[u8]) {
    out.buf().extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    out.buf().extend_from_slice(body);
}

fn number(data: &[u8]) -> usize {
    u32::from_be_bytes(data[..4].try_into().unwrap()) as usize
}

struct Running {
    server: Server,
    service: Arc<Commands>,
}

const FILE_SIZE: usize = 3 << 20;

fn file_byte(position: usize) -> u8 {
    (position % 251) as u8
}

fn start_with(loops: usize, config: ServerConfig) -> Running {
    let wakers = Wakers::new(loops).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&(0..FILE_SIZE).map(file_byte).collect::<Vec<_>>()).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let service = Arc::new(Commands {
        purgatory: Purgatory::new(Arc::clone(&wakers)),
        workers: Workers::start(1, 16, Arc::clone(&wakers)).unwrap(),
        wakers,
        file: Arc::new(file),
        cancelled: AtomicU64::new(0),
        closed: AtomicU64::new(0),
        largest_group: AtomicU64::new(0),
    });
    let local = || vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let listeners = if config.listeners.is_empty() { local() } else { config.listeners.clone() };
    let config = ServerConfig { listeners, ..config };
    let server = Server::start(&config, &service, &service.wakers).unwrap();
    Running { server, service }
}

fn start() -> Running {
    start_with(2, ServerConfig::default())
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addrs()[0]).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Connections to two different loops.
    fn connect_apart(&self) -> (TcpStream, TcpStream) {
        let mut first = self.connect();
        let home = call(&mut first, b"l");
        let mut rejected = Vec::new();
        loop {
            let mut second = self.connect();
            if call(&mut second, b"l") != home {
                return (first, second);
            }
            rejected.push(second);
        }
    }

    fn await_stats(&self, what: &str, condition: impl Fn(NetStats) -> bool) {
        until(what, || condition(self.server.stats()));
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

fn call(stream: &mut TcpStream, body: &[u8]) -> Vec<u8> {
    stream.write_all(&frame(body)).unwrap();
    receive(stream)
}

fn park(key: u8, wait_ms: u32, data: &[u8]) -> Vec<u8> {
    let mut body = vec![b'p', key];
    body.extend_from_slice(&wait_ms.to_be_bytes());
    body.extend_from_slice(data);
    body
}

fn file_slice(position: usize, length: usize) -> Vec<u8> {
    let mut body = vec![b'f'];
    body.extend_from_slice(&u32::try_from(position).unwrap().to_be_bytes());
    body.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    body
}

fn big(size: usize) -> Vec<u8> {
    let mut body = vec![b'b'];
    body.extend_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
    body
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_and_served_together() {
    let running = start();
    let mut stream = running.connect();
    let requests: Vec<u8> = (0..500u32).flat_map(|index| frame(format!("e{index}").as_bytes())).collect();
    stream.write_all(&requests).unwrap();
    for index in 0..500u32 {
        assert_eq!(receive(&mut stream), index.to_string().as_bytes());
    }
    let stats = running.server.stats();
    assert_eq!(stats.requests, 500);
    assert!(running.service.largest_group.load(Ordering::Relaxed) > 1, "no two requests were served together");
    assert!(stats.sends < 250, "{} sends for 500 answers", stats.sends);
}

#[test]
fn one_request_costs_one_receive_and_one_send() {
    let running = start_with(1, ServerConfig::default());
    let mut stream = running.connect();
    call(&mut stream, b"e");
    // An answer may be read here before its send is counted there.
    running.await_stats("the first send", |now| now.sends == 1);
    let before = running.server.stats();
    for _ in 0..100 {
        assert_eq!(call(&mut stream, b"ehello"), b"hello");
    }
    running.await_stats("100 sends", |now| now.sends - before.sends == 100);
    let after = running.server.stats();
    assert_eq!(after.requests - before.requests, 100);
    assert_eq!(after.receives - before.receives, 100);
    assert!(after.turns - before.turns <= 101, "{} turns", after.turns - before.turns);
}

#[test]
fn requests_may_arrive_byte_by_byte() {
    let running = start();
    let mut stream = running.connect();
    for byte in [frame(b"eone"), frame(b"n"), frame(b"e"), frame(b"ethree")].concat() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!([receive(&mut stream), receive(&mut stream), receive(&mut stream)], [&b"one"[..], b"", b"three"]);
}

#[test]
fn large_requests_and_answers_pass_whole() {
    let running = start();
    let mut stream = running.connect();
    for size in [100_000, 300_000, 5 << 20, 20 << 20, 10] {
        let body: Vec<u8> = std::iter::once(b'e').chain((0..size).map(file_byte)).collect();
        let mut writer = stream.try_clone().unwrap();
        let request = frame(&body);
        let writing = std::thread::spawn(move || writer.write_all(&request).unwrap());
        assert!(receive(&mut stream) == body[1..], "{size}");
        writing.join().unwrap();
    }
}

#[test]
fn lengths_that_cannot_be_close_the_connection_without_an_answer() {
    let running = start_with(1, ServerConfig { request_bytes_max: 1000, ..ServerConfig::default() });
    let starts =
        [&(-1i32).to_be_bytes()[..], &1001u32.to_be_bytes(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[0x80, 0, 0, 0]];
    for start in starts {
        let mut stream = running.connect();
        stream.write_all(start).unwrap();
        assert!(is_closed(&mut stream), "{start:?}");
    }
    assert_eq!(running.server.stats().bad_frames, 4);
    // What came before the bad length is answered.
    let mut stream = running.connect();
    stream.write_all(&[frame(b"efine"), vec![0xff; 4]].concat()).unwrap();
    assert_eq!(receive(&mut stream), b"fine");
    assert!(is_closed(&mut stream));
    assert_eq!(call(&mut running.connect(), &[b'e'; 1000]).len(), 999);
}

#[test]
fn the_service_can_close_after_its_answers() {
    let running = start();
    let mut stream = running.connect();
    stream.write_all(&[frame(b"elast"), frame(b"?"), frame(b"enever")].concat()).unwrap();
    assert_eq!(receive(&mut stream), b"last");
    assert!(is_closed(&mut stream));
    until("the service hears of it", || running.service.closed.load(Ordering::Relaxed) == 1);
}

#[test]
fn a_panic_closes_its_connection_and_nothing_else() {
    let running = start_with(1, ServerConfig::default());
    let mut good = running.connect();
    call(&mut good, b"e");
    let mut bad = running.connect();
    bad.write_all(&frame(b"x")).unwrap();
    assert!(is_closed(&mut bad));
    assert_eq!(call(&mut good, b"estill here"), b"still here");
    assert_eq!(running.server.stats().panics, 1);
}

#[test]
fn a_parked_request_waits_for_its_time() {
    let running = start();
    let mut stream = running.connect();
    let before = Instant::now();
    assert_eq!(call(&mut stream, &park(1, 30, b"")), b"Timeout 5");
    let waited = before.elapsed();
    assert!(Duration::from_millis(30) <= waited, "{waited:?}");
    assert_eq!(call(&mut stream, b"enext"), b"next");
}

#[test]
fn a_parked_request_holds_back_those_behind_it() {
    let running = start();
    let (mut waiting, mut waking) = running.connect_apart();
    waiting.write_all(&[frame(b"ebefore"), frame(&park(7, 0, b"")), frame(b"eafter")].concat()).unwrap();
    assert_eq!(receive(&mut waiting), b"before", "answers before a park do not wait");
    running.await_stats("parked", |stats| stats.parks == 1);
    assert_eq!(call(&mut waking, b"w\x07"), b"woke");
    assert_eq!(receive(&mut waiting), b"Ready 5");
    assert_eq!(receive(&mut waiting), b"after");
}

#[test]
fn wake_ups_reach_other_loops_the_own_loop_and_come_from_workers() {
    for loops in [1, 2] {
        let running = start_with(loops, ServerConfig::default());
        let (mut waiting, mut waking) =
            if loops == 1 { (running.connect(), running.connect()) } else { running.connect_apart() };
        for round in 0..200u64 {
            let parks = running.server.stats().parks;
            waiting.write_all(&frame(&park(9, 0, b""))).unwrap();
            running.await_stats("parked", |stats| stats.parks > parks);
            assert_eq!(call(&mut waking, b"w\x09"), b"woke", "round {round}");
            assert_eq!(receive(&mut waiting), b"Ready 5");
            assert_eq!(call(&mut waiting, &[b'j', 41]), [42]);
        }
    }
}

#[test]
fn a_request_may_park_again_and_its_deadline_moves_with_it() {
    let running = start();
    let (mut waiting, mut waking) = running.connect_apart();
    waiting.write_all(&frame(&park(3, 0, b"again"))).unwrap();
    running.await_stats("parked", |stats| stats.parks == 1);
    call(&mut waking, b"w\x03");
    assert_eq!(receive(&mut waiting), b"Timeout 10");
}

#[test]
fn a_wake_up_for_an_ended_wait_does_nothing() {
    let running = start_with(1, ServerConfig::default());
    let (mut waiting, mut waking) = (running.connect(), running.connect());
    assert_eq!(call(&mut waiting, &park(1, 1, b"")), b"Timeout 5");
    // Still in the list of key 1, under the token of the wait that ended.
    waiting.write_all(&frame(&park(2, 0, b"new"))).unwrap();
    running.await_stats("parked again", |stats| stats.parks == 2);
    call(&mut waking, b"w\x01");
    call(&mut waking, b"e");
    assert_eq!(running.server.stats().wakes, 1, "only the timeout has woken anything");
    call(&mut waking, b"w\x02");
    assert_eq!(receive(&mut waiting), b"Ready 8");
}

#[test]
fn a_client_that_leaves_cancels_what_it_waited_for() {
    let running = start();
    let mut stream = running.connect();
    stream.write_all(&frame(&park(1, 0, b""))).unwrap();
    running.await_stats("parked", |stats| stats.parks == 1);
    drop(stream);
    until("cancelled", || running.service.cancelled.load(Ordering::Relaxed) == 1);
    running.await_stats("closed", |stats| stats.connections() == 0);
}

#[test]
fn file_slices_of_every_size_arrive_between_their_bytes() {
    let running = start();
    let mut stream = running.connect();
    let slices = [
        (0, 0),
        (5, 1),
        (1000, 65_535),
        (77, 65_536),
        (100, 200_000),
        (0, FILE_SIZE),
        (FILE_SIZE - 9, 9),
        (0, 30_000),
        (1, 30_000),
    ];
    let requests: Vec<u8> = slices
        .iter()
        .flat_map(|&(position, length)| [frame(&file_slice(position, length)), frame(b"ebetween")].concat())
        .collect();
    stream.write_all(&requests).unwrap();
    for (position, length) in slices {
        let body = receive(&mut stream);
        assert_eq!(body.len(), length + 3);
        let expected: Vec<u8> = (position..position + length).map(file_byte).collect();
        assert!(body[..length] == expected, "slice at {position}, length {length}");
        assert_eq!(&body[length..], b"end");
        assert_eq!(receive(&mut stream), b"between");
    }
    // More small slices than one system call takes.
    let requests: Vec<u8> = (0..300).flat_map(|index| frame(&file_slice(index, 1000 + index))).collect();
    stream.write_all(&requests).unwrap();
    for index in 0..300 {
        let body = receive(&mut stream);
        let expected: Vec<u8> = (index..index + 1000 + index).map(file_byte).chain(*b"end").collect();
        assert!(body == expected, "slice {index}");
    }
}

#[test]
fn a_slice_past_the_end_of_its_file_closes_the_connection() {
    let running = start();
    for length in [1000, 1 << 20] {
        let mut stream = running.connect();
        stream.write_all(&frame(&file_slice(FILE_SIZE - 10, length))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < length);
    }
}

#[test]
fn a_client_that_does_not_read_is_not_served_further() {
    let running = start();
    let mut stream = running.connect();
    // 400 MiB of answers are asked for; what the sockets do not hold must not be made.
    let requests: Vec<u8> = (0..400).flat_map(|_| frame(&big(1 << 20))).collect();
    stream.write_all(&requests).unwrap();
    call(&mut running.connect(), b"e");
    let served = || running.server.stats().requests;
    let mut last = 0;
    until("serving comes to rest", || {
        for _ in 0..20 {
            call(&mut running.connect(), b"e");
        }
        let connections = running.server.stats().connections_accepted;
        let requests = served() + 1 - connections;
        std::mem::replace(&mut last, requests) == requests
    });
    assert!(last < 100, "{last} answers of 1 MiB were made for a client that reads none");
    for _ in 0..400 {
        assert!(receive(&mut stream) == vec![b'b'; 1 << 20]);
    }
    let body = call(&mut stream, b"eagain");
    assert_eq!(body, b"again");
}

#[test]
fn slow_readers_of_files_get_every_byte() {
    let running = start();
    let mut stream = running.connect();
    let requests: Vec<u8> = (0..20)
        .flat_map(|_| [frame(&file_slice(3, FILE_SIZE - 3)), frame(&file_slice(0, 100)), frame(b"ex")].concat())
        .collect();
    stream.write_all(&requests).unwrap();
    for _ in 0..20 {
        let body = receive(&mut stream);
        assert!(body[..FILE_SIZE - 3].iter().enumerate().all(|(index, &byte)| byte == file_byte(index + 3)));
        assert_eq!(receive(&mut stream).len(), 103);
        assert_eq!(receive(&mut stream), b"x");
    }
}

#[test]
fn slow_readers_of_small_slices_get_every_byte() {
    let running = start();
    let mut stream = running.connect();
    // Enough that the socket fills many times, and then in the middle of a slice that is copied.
    let length = |index: usize| 50_000 + index;
    let requests: Vec<u8> = (0..600).flat_map(|index| frame(&file_slice(index, length(index)))).collect();
    stream.write_all(&requests).unwrap();
    for index in 0..600 {
        let body = receive(&mut stream);
        assert_eq!(body.len(), length(index) + 3, "slice {index}");
        assert!(
            body[..length(index)].iter().enumerate().all(|(at, &byte)| byte == file_byte(index + at)),
            "slice {index}"
        );
    }
}

#[test]
fn a_full_receive_budget_slows_clients_but_stops_none() {
    let config = ServerConfig { receive_bytes_max: 100_000, ..ServerConfig::default() };
    let running = start_with(1, config);
    // Each leaves a part of a request behind, more together than the budget allows.
    let body: Vec<u8> = std::iter::once(b'e').chain((0..900_000).map(file_byte)).collect();
    let request = frame(&body);
    let mut streams: Vec<TcpStream> = (0..8).map(|_| running.connect()).collect();
    for stream in &mut streams {
        stream.write_all(&request[..200_000]).unwrap();
    }
    std::thread::scope(|scope| {
        for stream in &mut streams {
            let (request, body) = (&request, &body);
            scope.spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let rest = request[200_000..].to_vec();
                let writing = std::thread::spawn(move || writer.write_all(&rest).unwrap());
                assert!(receive(stream) == body[1..]);
                writing.join().unwrap();
            });
        }
    });
}

#[test]
fn idle_connections_are_closed_and_waiting_ones_are_not() {
    let config = ServerConfig { idle_max: Duration::from_millis(60), ..ServerConfig::default() };
    let running = start_with(1, config);
    let mut waiting = running.connect();
    let mut half = running.connect();
    half.write_all(&[0, 0, 0, 9, b'e']).unwrap();
    let mut idle = running.connect();
    waiting.write_all(&frame(&park(1, 300, b""))).unwrap();
    assert!(is_closed(&mut idle));
    assert!(is_closed(&mut half), "a request that never ends is closed as well");
    assert_eq!(receive(&mut waiting), b"Timeout 5");
    assert_eq!(running.server.stats().idle_closed, 2);
}

#[test]
fn limits_on_connections_hold() {
    let connections = ConnectionLimits { per_ip_max: 2, ..ConnectionLimits::default() };
    let running = start_with(2, ServerConfig { connections, ..ServerConfig::default() });
    let (mut first, mut second) = (running.connect(), running.connect());
    call(&mut first, b"e");
    call(&mut second, b"e");
    assert!(is_closed(&mut running.connect()), "the third from one address is closed");
    drop(first);
    running.await_stats("room", |stats| stats.connections() == 1);
    assert_eq!(call(&mut running.connect(), b"eok"), b"ok");

    let connections = ConnectionLimits { total_max: 1, ..ConnectionLimits::default() };
    let running = start_with(2, ServerConfig { connections, ..ServerConfig::default() });
    let mut first = running.connect();
    call(&mut first, b"e");
    let mut second = running.connect();
    second.write_all(&frame(b"elater")).unwrap();
    assert_eq!(running.server.stats().connections_accepted, 1, "the second waits in the listen queue");
    drop(first);
    assert_eq!(receive(&mut second), b"later");
}

#[test]
fn a_stop_resumes_what_waits_and_sends_what_is_on_its_way() {
    let running = start();
    let mut waiting = running.connect();
    waiting.write_all(&[frame(&park(1, 0, b"")), frame(b"enever begun")].concat()).unwrap();
    let mut reading = running.connect();
    reading.write_all(&frame(&big(16 << 20))).unwrap();
    let mut idle = running.connect();
    call(&mut idle, b"e");
    running.await_stats("all served", |stats| stats.requests == 3 && stats.parks == 1);
    let address = running.server.local_addrs()[0];
    let Running { server, service } = running;
    let stopping = std::thread::spawn(move || server.stop(PATIENCE));
    assert_eq!(receive(&mut waiting), b"Stopping 5");
    assert!(is_closed(&mut waiting));
    assert!(is_closed(&mut idle));
    assert_eq!(receive(&mut reading).len(), 16 << 20);
    assert!(is_closed(&mut reading));
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
    assert_eq!(service.closed.load(Ordering::Relaxed), 3);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let running = start();
    let mut stuck = running.connect();
    stuck.write_all(&frame(&big(64 << 20))).unwrap();
    running.await_stats("served", |stats| stats.requests == 1);
    let before = Instant::now();
    running.server.stop(Duration::from_millis(50));
    let took = before.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn clients_learn_the_address_they_reached() {
    let running = start();
    let mut stream = running.connect();
    assert_eq!(call(&mut stream, b"a"), running.server.local_addrs()[0].to_string().as_bytes());

    let everywhere = ServerConfig { listeners: vec!["[::]:0".parse().unwrap()], ..ServerConfig::default() };
    let running = start_with(1, everywhere);
    let port = running.server.local_addrs()[0].port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(call(&mut stream, b"a"), format!("127.0.0.1:{port}").as_bytes());
}

#[test]
fn connections_that_hold_all_receive_memory_do_not_stop_others() {
    let config = ServerConfig { receive_bytes_max: 1_000_000, ..ServerConfig::default() };
    let running = start_with(1, config);
    let large = frame(&vec![b'e'; 900_000]);
    let mut holders: Vec<TcpStream> = (0..8).map(|_| running.connect()).collect();
    for stream in &mut holders {
        stream.write_all(&large[..200_000]).unwrap();
    }
    // Small requests pass at once, though none of the others ever ends.
    let mut client = running.connect();
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(call(&mut client, b"esmall"), b"small");
    }
    assert!(started.elapsed() < Duration::from_secs(4), "small requests waited {:?}", started.elapsed());
    // Large ones pass once those that hold the memory for nothing have been closed.
    let body = vec![b'e'; 50_000];
    for _ in 0..3 {
        assert_eq!(call(&mut client, &body), body[1..]);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "large requests waited {:?}", started.elapsed());
}

/// A connection's state that cannot be made.
struct Bomb;

impl Default for Bomb {
    fn default() -> Self {
        panic!("no state for this connection")
    }
}

/// Fails outside of every call that a loop guards.
struct Broken;

impl Service for Broken {
    type Loop = ();
    type Conn = Bomb;
    type Parked = ();

    fn new_loop(&self, _: usize) {}

    fn serve(&self, _: &mut Context<'_, Self>, _: &mut Frames<'_>, _: &mut Out) -> Served<()> {
        Served::Close
    }

    fn resume(&self, _: &mut Context<'_, Self>, (): (), _: Wake, _: &mut Out) -> Served<()> {
        Served::Close
    }
}

#[test]
fn a_loop_that_dies_is_noticed() {
    let wakers = Wakers::new(1).unwrap();
    let listeners = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = ServerConfig { listeners, ..ServerConfig::default() };
    let server = Server::start(&config, &Arc::new(Broken), &wakers).unwrap();
    assert!(!server.has_lost_a_loop());
    let _client = TcpStream::connect(server.local_addrs()[0]).unwrap();
    until("the loss of the loop", || server.has_lost_a_loop());
}
