//! One connection that sends frames as they are.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to the broker; one request at a time.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker is ready");
        stream.set_read_timeout(Some(TIMEOUT)).expect("not zero");
        Self(stream)
    }

    /// Sends a request without its size and returns the response without its size. An error means that
    /// the broker closed the connection.
    ///
    /// # Panics
    ///
    /// If the broker neither answers nor closes in time.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.exchange(request).inspect_err(|error| {
            let is_timeout = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!is_timeout, "neither an answer nor the end of the connection in {TIMEOUT:?}");
        })
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let size = u32::try_from(request.len()).expect("recorded requests are small");
        self.0.write_all(&[&size.to_be_bytes(), request].concat())?;
        let mut size = [0; 4];
        self.0.read_exact(&mut size)?;
        let mut response = vec![0; u32::from_be_bytes(size) as usize];
        self.0.read_exact(&mut response)?;
        Ok(response)
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);
