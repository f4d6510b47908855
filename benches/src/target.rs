//! A broker to load: its address, a connection for requests around a measurement, and its files.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::request::{Control, Produce};

/// See the module.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    control: Control,
    /// The broker's data directory, to see when a deleted topic is gone.
    data: PathBuf,
    topics: u32,
}

impl Target {
    /// Connects to a broker.
    pub(crate) fn connect(address: SocketAddr, data: PathBuf) -> io::Result<Self> {
        Ok(Self { address, control: Control::connect(address)?, data, topics: 0 })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends one batch until the topic is served.
    pub(crate) fn wait_until_served(&mut self, produce: &Produce) -> io::Result<()> {
        self.control.wait_until_served(produce)
    }

    /// Creates a topic with a new name.
    pub(crate) fn create_topic(&mut self) -> io::Result<String> {
        self.topics += 1;
        // Fixed width, as the raw loop's topic, so that all requests have the same length.
        let topic = format!("load-{:04}", self.topics);
        self.control.create_topic(&topic, &[("file.delete.delay.ms", "1")])?;
        Ok(topic)
    }

    /// Deletes a topic and waits until its files are gone, so that unlinking does not fall into the next sample.
    pub(crate) fn delete_topic(&mut self, topic: &str) -> io::Result<()> {
        self.control.delete_topic(topic)?;
        let deadline = Instant::now() + DELETION_TIME_MAX;
        while Instant::now() < deadline {
            let left = fs::read_dir(&self.data)?
                .filter_map(Result::ok)
                .any(|entry| entry.file_name().to_string_lossy().starts_with(topic));
            if !left {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

const DELETION_TIME_MAX: Duration = Duration::from_secs(5);
