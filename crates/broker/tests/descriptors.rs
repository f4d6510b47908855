//! What happens when descriptors run out. In a process of its own, since the limit holds for the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_broker::net::{Context, Frames, Out, Served, Service, Wake, Wakers};
use highwater_broker::server::{Server, ServerConfig};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

struct Echo;

impl Service for Echo {
    type Loop = ();
    type Conn = ();
    type Parked = ();

    fn new_loop(&self, _: usize) {}

    fn serve(&self, _: &mut Context<'_, Self>, frames: &mut Frames<'_>, out: &mut Out) -> Served<()> {
        while let Some(frame) = frames.next(out) {
            out.buf().extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
            out.buf().extend_from_slice(frame);
        }
        Served::Done
    }

    fn resume(&self, _: &mut Context<'_, Self>, (): (), _: Wake, _: &mut Out) -> Served<()> {
        Served::Done
    }
}

#[test]
fn accepting_pauses_without_spinning_and_goes_on() {
    let wakers = Wakers::new(1).unwrap();
    let listeners = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = ServerConfig { listeners, ..ServerConfig::default() };
    let server = Server::start(&config, &Arc::new(Echo), &wakers).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 60, hard).unwrap();

    // Clients in this process take descriptors too, until neither side gets any.
    let mut clients = Vec::new();
    let mut last = loop {
        match TcpStream::connect(server.local_addrs()[0]) {
            Ok(client) => clients.push(client),
            Err(_) => break clients.pop().unwrap(),
        }
    };
    last.write_all(b"\0\0\0\x02ok").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.stats().accept_errors == 0 {
        assert!(Instant::now() < deadline, "accepting never failed");
        std::thread::yield_now();
    }
    let (errors, turns) = (server.stats().accept_errors, server.stats().turns);
    let started = Instant::now();
    while server.stats().accept_errors < errors + 3 {
        assert!(Instant::now() < deadline, "accepting was not tried again");
        std::thread::yield_now();
    }
    let pauses = started.elapsed().as_millis() as u64 / 50 + 1;
    let turned = server.stats().turns - turns;
    assert!(turned <= 4 * pauses + 10, "{turned} turns in {pauses} pauses");

    drop(clients);
    last.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0; 6];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\0\0\0\x02ok");
}
