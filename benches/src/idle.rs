//! What the broker costs before anybody uses it.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Server;
use crate::request::Control;

/// Start-up and idle figures; medians of several starts.
#[derive(Debug)]
pub struct Idle {
    /// From starting the process to the first answered Metadata request.
    pub start: Duration,
    /// CPU time used until then.
    pub start_cpu: Duration,
    /// Memory held after that and a while of idling.
    pub resident_bytes: u64,
    /// CPU time used per second of idling.
    pub cpu_share: f64,
}

impl Idle {
    /// Starts the broker `starts` times, one after the other, and lets the last one idle for `idle`.
    ///
    /// `command` gets the number of the start, so that each can have a data directory of its own.
    ///
    /// # Errors
    ///
    /// If the broker does not start or does not answer.
    ///
    /// # Panics
    ///
    /// If `starts` is zero.
    pub fn measure(command: impl Fn(usize) -> Command, starts: usize, idle: Duration) -> io::Result<Self> {
        let (mut walls, mut cpus) = (Vec::new(), Vec::new());
        let mut last = None;
        for number in 0..starts {
            if let Some(previous) = last.take() {
                Server::stop(previous)?;
            }
            let began = Instant::now();
            let server = Server::start(&mut command(number))?;
            Control::connect(server.address())?.metadata()?;
            walls.push(began.elapsed());
            cpus.push(server.cpu()?);
            last = Some(server);
        }
        let server = last.expect("at least one start was asked for");
        let (cpu, began) = (server.cpu()?, Instant::now());
        std::thread::sleep(idle);
        let cpu_share = (server.cpu()? - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        let resident_bytes = server.resident_bytes()?;
        server.stop()?;
        Ok(Self { start: median(&mut walls), start_cpu: median(&mut cpus), resident_bytes, cpu_share })
    }
}

fn median(values: &mut [Duration]) -> Duration {
    values.sort();
    values[values.len() / 2]
}
