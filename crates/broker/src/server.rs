//! A running server: its listening sockets and the threads of its event loops.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use parking_lot::Mutex;

use crate::net::{
    Acceptor, Admission, ConnectionLimits, EventLoop, NetStats, ReceiveBudget, Service, Shared, Stats, Wakers,
};

/// How a server listens and what its connections may use. Build with `..ServerConfig::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to listen on; port 0 lets the operating system choose, and `[::]` means every address, of IPv4 too. [`Peer::listener`](crate::net::Peer::listener)
    /// is an index into this list. Default empty.
    pub listeners: Vec<SocketAddr>,
    /// Largest request in bytes (`socket.request.max.bytes`). A connection that announces a larger one is closed.
    /// Default 104857600.
    pub request_bytes_max: u32,
    /// Receive memory that all connections together may hold between turns (`queued.max.request.bytes`). At the limit,
    /// sockets are not read until memory is free, but for one connection per loop. Default 256 MiB.
    pub receive_bytes_max: usize,
    /// How long nothing may happen on a connection before it is closed (`connections.max.idle.ms`). A request that waits
    /// counts as something. Default 10 minutes.
    pub idle_max: Duration,
    /// How many connections may be open and how fast new ones are accepted.
    pub connections: ConnectionLimits,
    /// Connections that may wait to be accepted (`socket.listen.backlog.size`). Default 1024, where Kafka has 50.
    pub backlog: u16,
    /// Size of the kernel's send buffer of each connection in bytes (`socket.send.buffer.bytes`). Default `None`, which
    /// lets the kernel adapt it; a fixed size is often slower.
    pub send_buffer_size: Option<usize>,
    /// Size of the kernel's receive buffer of each connection in bytes (`socket.receive.buffer.bytes`). Default `None`.
    pub receive_buffer_size: Option<usize>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            request_bytes_max: 100 << 20,
            receive_bytes_max: 256 << 20,
            idle_max: Duration::from_secs(600),
            connections: ConnectionLimits::default(),
            backlog: 1024,
            send_buffer_size: None,
            receive_buffer_size: None,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be listened on: it is in use, or not ours, or needs a privilege.
    #[error("listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused a thread or a descriptor.
    #[error("start event loop {index}")]
    Loop {
        /// Which loop.
        index: usize,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A running server. Stops when dropped, as by [`stop`](Self::stop) with a deadline of five seconds.
///
/// # Signals
///
/// The server installs no signal handlers. A program that ends on SIGTERM blocks the signal in all threads before it
/// starts the server (`nix::sys::signal::SigSet::thread_block`; threads inherit the mask), waits for it in its main
/// thread (`SigSet::wait` or a `signalfd`), and then calls [`stop`](Self::stop). SIGPIPE must be ignored, as Rust
/// programs do by default: `sendfile` has no flag to suppress it.
pub struct Server {
    shared: Arc<Shared>,
    wakers: Arc<Wakers>,
    stats: Vec<Arc<Stats>>,
    threads: Vec<JoinHandle<()>>,
    local_addrs: Vec<SocketAddr>,
}

/// Number of event loops for this machine: one for each core that the process may use, and at most `wanted`.
///
/// More loops than cores only cost wake-ups, so Kafka's `num.network.threads` is an upper bound and nothing else.
#[must_use]
pub fn loop_count(wanted: Option<usize>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    wanted.unwrap_or(cores).clamp(1, cores.min(crate::net::LOOPS_MAX))
}

/// Deadline of the stop when a server is dropped.
const DROP_STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl Server {
    /// Binds the listeners and starts one event loop thread for each mailbox of `wakers`.
    ///
    /// Returns when every loop is ready, so a connection made after that is served.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing is left running or bound then.
    pub fn start<S: Service>(
        config: &ServerConfig,
        service: &Arc<S>,
        wakers: &Arc<Wakers>,
    ) -> Result<Self, ServerError> {
        let listeners =
            config.listeners.iter().map(|&address| listen_on(address, config)).collect::<Result<Vec<_>, _>>()?;
        let local_addrs = listeners.iter().map(|(_, address)| *address).collect();
        let listeners = listeners.into_iter().map(|(listener, _)| listener).collect();
        let shared = Arc::new(Shared {
            request_bytes_max: config.request_bytes_max.min(i32::MAX as u32),
            idle_max: config.idle_max,
            budget: ReceiveBudget::new(config.receive_bytes_max),
            stopping: AtomicBool::new(false),
            stop_deadline: Mutex::new(None),
        });
        let mut server =
            Self { shared, wakers: Arc::clone(wakers), stats: Vec::new(), threads: Vec::new(), local_addrs };
        let admission = Admission::new(config.connections.clone(), wakers.loops());
        // Spreads connections over loops, nothing that an opponent could gain from.
        let seed = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut acceptor = Some(Acceptor::new(listeners, admission, Arc::clone(wakers), Instant::now(), seed));
        for index in 0..wakers.loops() {
            server.start_loop(index, Arc::clone(service), acceptor.take())?;
        }
        Ok(server)
    }

    /// The addresses listened on, with the real ports, in the order of the configuration.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What the loops have done so far. Reads a few words per loop; the loops are not disturbed.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        NetStats::sum(self.stats.iter().map(Arc::as_ref))
    }

    /// Whether an event loop panicked outside of the service, so that its connections are dead. The panic was reported
    /// by the panic hook; what the server still does is not worth keeping, so stop it.
    #[must_use]
    pub fn has_lost_a_loop(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops the server and waits for its threads.
    ///
    /// Listening sockets close at once. Parked requests are resumed with
    /// [`Wake::Stopping`](crate::net::Wake::Stopping), answers on their way are sent, requests not yet begun are dropped,
    /// and connections close. What is not done by then is dropped after `timeout`. Must not be called on a loop thread.
    pub fn stop(mut self, timeout: Duration) {
        self.stop_and_join(timeout);
    }

    fn start_loop<S: Service>(
        &mut self,
        index: usize,
        service: Arc<S>,
        acceptor: Option<Acceptor>,
    ) -> Result<(), ServerError> {
        let stats = Arc::new(Stats::default());
        self.stats.push(Arc::clone(&stats));
        let (shared, wakers) = (Arc::clone(&self.shared), Arc::clone(&self.wakers));
        let (started, start) = bounded(1);
        let run = move || match EventLoop::new(index, service, shared, wakers, stats, acceptor) {
            Ok(event_loop) => {
                report(&started, Ok(()));
                event_loop.run();
            }
            Err(error) => report(&started, Err(error)),
        };
        let refused = |source| ServerError::Loop { index, source };
        let thread = std::thread::Builder::new().name(format!("loop-{index}")).spawn(run).map_err(refused)?;
        self.threads.push(thread);
        let gone = |_| Err(io::Error::other("the event loop ended before it began"));
        start.recv().unwrap_or_else(gone).map_err(refused)
    }

    fn stop_and_join(&mut self, timeout: Duration) {
        *self.shared.stop_deadline.lock() = Some(Instant::now() + timeout);
        self.shared.stopping.store(true, Ordering::Release);
        self.wakers.ring_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an event loop had panicked");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_and_join(DROP_STOP_TIMEOUT);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("local_addrs", &self.local_addrs)
            .field("loops", &self.threads.len())
            .finish_non_exhaustive()
    }
}

fn report(started: &Sender<io::Result<()>>, result: io::Result<()>) {
    // The receiver waits for exactly this, so it is there.
    let _ = started.send(result);
}

fn listen_on(address: SocketAddr, config: &ServerConfig) -> Result<(TcpListener, SocketAddr), ServerError> {
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    match bind_and_listen(address, config) {
        // All addresses of a machine without IPv6.
        Err(error) if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) && is_all(address) => {
            bind_and_listen(everywhere, config)
        }
        result => result,
    }
    .map_err(|source| ServerError::Listen { address, source })
}

fn is_all(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

fn bind_and_listen(address: SocketAddr, config: &ServerConfig) -> io::Result<(TcpListener, SocketAddr)> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if is_all(address) {
        // All IPv6 addresses means all IPv4 addresses too, whatever the system's default is.
        setsockopt(&fd, sockopt::Ipv6V6Only, &false)?;
    }
    // Accepted sockets inherit both sizes, and the receive size must be set before the connection is made.
    if let Some(size) = config.send_buffer_size {
        setsockopt(&fd, sockopt::SndBuf, &size)?;
    }
    if let Some(size) = config.receive_buffer_size {
        setsockopt(&fd, sockopt::RcvBuf, &size)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(i32::from(config.backlog).min(nix::libc::SOMAXCONN))?)?;
    let listener = TcpListener::from(fd);
    let local_addr = listener.local_addr()?;
    Ok((listener, local_addr))
}
