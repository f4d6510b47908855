//! What an idle connection costs. In a process of its own, since it measures the memory of the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_broker::net::{Context, Frames, Out, Served, Service, Wake, Wakers};
use highwater_broker::server::{Server, ServerConfig};
use nix::sys::resource::{Resource, getrlimit};

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

fn call(stream: &mut TcpStream) {
    stream.write_all(b"\0\0\0\x05hello").unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\0\0\0\x05hello");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn an_idle_connection_costs_less_than_a_kilobyte_and_no_time() {
    // Both ends live in this process, and no connection is accepted on the last quarter of the descriptors.
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let count = ((soft - soft / 4).saturating_sub(200) / 2).min(10_000);
    let wakers = Wakers::new(2).unwrap();
    let listeners = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let server =
        Server::start(&ServerConfig { listeners, ..ServerConfig::default() }, &Arc::new(Echo), &wakers).unwrap();
    let address = server.local_addrs()[0];
    call(&mut TcpStream::connect(address).unwrap());

    let mut streams = Vec::with_capacity(count as usize);
    let before = resident_bytes();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        // A connection that was busy once gives its buffers back.
        call(&mut stream);
        streams.push(stream);
    }
    let each = resident_bytes().saturating_sub(before) / count;
    assert!(each < 1024, "{each} bytes for each of {count} idle connections");

    let turns = server.stats().turns;
    let started = Instant::now();
    for stream in &mut streams[..100] {
        call(stream);
    }
    let allowed = 220 + started.elapsed().as_millis() as u64;
    assert!(server.stats().turns - turns <= allowed, "the loops are awake without a reason");
    server.stop(Duration::from_secs(20));
}
