//! Interleaved pairs of samples: the broker, and the raw loop with the same load.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::case::{Case, RawVariant};
use crate::client::Load;
use crate::process::Server;
use crate::stage::{RAW_TOPIC, Stage};
use crate::target::Target;

/// What a server used to answer a load.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its CPU time, user and system.
    pub cpu: Duration,
    /// The time it took.
    pub wall: Duration,
}

/// The samples of one case.
#[derive(Debug)]
pub struct Measured {
    /// Pairs of a broker's and a raw loop's sample, in the order of measurement.
    pub pairs: Vec<(Sample, Sample)>,
    /// How the raw loop worked, the cheapest way of those tried.
    pub raw: RawVariant,
    /// Requests in each sample.
    pub requests: u64,
    /// Bytes of records in one request or answer, as sent.
    pub request_bytes: usize,
    /// System calls of the broker for one request, if they could be counted.
    pub syscalls: Option<f64>,
}

/// Measures one case after the other on one running broker.
#[derive(Debug)]
pub struct Bench {
    broker: Server,
    target: Target,
    /// For the raw loop's files and the conditioning.
    scratch: PathBuf,
    raw_program: PathBuf,
}

impl Bench {
    /// Takes over a running broker.
    ///
    /// `raw_program` is this program, which the raw loop is a subcommand of.
    ///
    /// # Errors
    ///
    /// If the broker cannot be reached.
    pub fn new(broker: Server, broker_data: PathBuf, scratch: PathBuf, raw_program: PathBuf) -> io::Result<Self> {
        let target = Target::connect(broker.address(), broker_data)?;
        Ok(Self { broker, target, scratch, raw_program })
    }

    /// Measures `pairs` pairs, with `scale` times the case's usual number of requests.
    ///
    /// # Errors
    ///
    /// If a server fails, or answers anything but success.
    pub fn measure(&mut self, case: &Case, pairs: usize, scale: f64) -> io::Result<Measured> {
        // A multiple of the connections, so that each has the same number.
        let connections = case.connections as u64;
        let requests = ((case.requests as f64 * scale) as u64 / connections).max(1) * connections;
        let stage = Stage::prepare(&mut self.target, &self.scratch, case)?;

        // Each variant shows once, briefly, what it costs. That also warms up both sides.
        let brief = (requests / 5).max(connections) / connections * connections;
        self.broker_sample(case, &stage, brief)?;
        let mut raw = None;
        for variant in case.work.raw_variants(case.depth) {
            let sample = self.raw_sample(case, &stage, variant, brief)?;
            if raw.is_none_or(|(_, cpu)| sample.cpu < cpu) {
                raw = Some((variant, sample.cpu));
            }
        }
        let (raw, _) = raw.expect("every kind of work has a raw variant");

        let mut measured = Vec::with_capacity(pairs);
        for pair in 0..pairs {
            measured.push(if pair % 2 == 0 {
                let broker = self.broker_sample(case, &stage, requests)?;
                (broker, self.raw_sample(case, &stage, raw, requests)?)
            } else {
                let raw = self.raw_sample(case, &stage, raw, requests)?;
                (self.broker_sample(case, &stage, requests)?, raw)
            });
        }
        let syscalls = self.count_syscalls(case, &stage, brief)?;
        stage.tear_down(&mut self.target)?;
        Ok(Measured { pairs: measured, raw, requests, request_bytes: stage.request_bytes(), syscalls })
    }

    /// Stops the broker.
    ///
    /// # Errors
    ///
    /// If it cannot be stopped.
    pub fn finish(self) -> io::Result<()> {
        self.broker.stop().map(drop)
    }

    fn broker_sample(&mut self, case: &Case, stage: &Stage, requests: u64) -> io::Result<Sample> {
        stage.condition(&self.scratch, requests)?;
        let topic = stage.topic(&mut self.target)?;
        let (cpu, load) = (self.broker.cpu()?, self.load(case, requests));
        let wall = stage.run(&load, &topic)?;
        let cpu = self.broker.cpu()? - cpu;
        stage.release(&mut self.target, &topic)?;
        Ok(Sample { cpu, wall })
    }

    fn raw_sample(&self, case: &Case, stage: &Stage, variant: RawVariant, requests: u64) -> io::Result<Sample> {
        stage.condition(&self.scratch, requests)?;
        let mut command = Command::new(&self.raw_program);
        stage.raw_arguments(&mut command, &self.scratch, variant);
        command.arg("--connections").arg(case.connections.to_string());
        let server = Server::start(&mut command)?;
        let load = Load { address: server.address(), ..self.load(case, requests) };
        // The raw loop ends once all its connections are closed: its clock has to be read before that.
        let cpu = server.cpu()?;
        let wall = stage.run(&load, RAW_TOPIC)?;
        let cpu = server.cpu()? - cpu;
        drop(server);
        stage.remove_raw_output(&self.scratch)?;
        Ok(Sample { cpu, wall })
    }

    fn count_syscalls(&mut self, case: &Case, stage: &Stage, requests: u64) -> io::Result<Option<f64>> {
        let topic = stage.topic(&mut self.target)?;
        let load = self.load(case, requests);
        let calls = crate::syscalls::count(self.broker.id(), &self.scratch, || stage.run(&load, &topic).map(drop))?;
        stage.release(&mut self.target, &topic)?;
        Ok(calls.map(|calls| calls as f64 / requests as f64))
    }

    fn load(&self, case: &Case, requests: u64) -> Load {
        Load { address: self.broker.address(), connections: case.connections, depth: case.depth, requests }
    }
}
