//! Host names to addresses.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use crate::ClientError;
use crate::pending::Pending;

/// The addresses of a host. The system's resolver blocks, so it gets a thread for each name that is looked up.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ClientError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (completer, pending) = Pending::new();
    let name = host.to_owned();
    let error = move |source: io::Error, host: &str| {
        let address = format!("{host}:{port}");
        ClientError::Connect { address, source: Arc::new(source) }
    };
    let thread = thread::Builder::new().name("highwater-resolve".to_owned());
    let started = thread.spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().and_then(|found| {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(found) }
        });
        completer.complete(found.map_err(|source| error(source, &name)));
    });
    started.map_err(|source| error(source, host))?;
    pending.await
}
