//! How parked connections are woken, from their own loop, from another, or from any thread.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;

/// Most loops that a server may have; the token keeps 8 bits for them.
pub const LOOPS_MAX: usize = 256;
/// Most connections of one loop; the token keeps 24 bits for them.
pub(super) const SLOTS_MAX: usize = 1 << 24;

/// Names one wait of one connection.
///
/// Becomes void when that wait ends, so that waking it late, or twice, does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WakeToken(u64);

impl WakeToken {
    pub(super) fn new(loop_index: usize, slot: usize, wait: u32) -> Self {
        assert!(loop_index < LOOPS_MAX, "loop {loop_index} does not fit a token");
        assert!(slot < SLOTS_MAX, "slot {slot} does not fit a token");
        Self((loop_index as u64) << 56 | (slot as u64) << 32 | u64::from(wait))
    }

    pub(super) fn loop_index(self) -> usize {
        (self.0 >> 56) as usize
    }

    pub(super) fn slot(self) -> usize {
        (self.0 >> 32) as usize & (SLOTS_MAX - 1)
    }

    /// The next wait of the same slot, be it of this connection or of the one that takes its place.
    pub(super) fn next_wait(self) -> Self {
        let wait = (self.0 as u32).wrapping_add(1);
        Self(self.0 & !u64::from(u32::MAX) | u64::from(wait))
    }

    /// Whether both tokens name waits of the same slot of the same loop.
    pub(crate) fn same_connection(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }

    /// A token for tests of structures that only store tokens.
    #[cfg(test)]
    pub(crate) fn for_test(loop_index: usize, slot: usize, wait: u32) -> Self {
        Self::new(loop_index, slot, wait)
    }
}

impl std::fmt::Debug for WakeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WakeToken(loop {}, slot {}, wait {})", self.loop_index(), self.slot(), self.0 as u32)
    }
}

/// The mailboxes of a server's event loops.
///
/// Made before the service and the server, which share it. On a loop's own thread a wake-up costs a push to a vector
/// and is handled in the same turn. To another loop, wake-ups are collected and delivered once per turn. From any
/// other thread they are delivered at once. Delivery makes a system call only if the receiving loop sleeps.
pub struct Wakers {
    mailboxes: Vec<Mailbox>,
}

/// What a loop finds in its mailbox.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) wakes: Vec<WakeToken>,
    pub(super) sockets: Vec<Accepted>,
}

/// A socket on its way from the acceptor to the loop that will own it.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer_addr: SocketAddr,
    pub(super) listener: usize,
    pub(super) admission: super::accept::Admitted,
}

struct Mailbox {
    mail: Mutex<Mail>,
    /// Set while `mail` holds something; lets a busy loop look without taking the lock.
    full: AtomicBool,
    /// Set by the loop before it sleeps, cleared by whoever rings the bell.
    sleeping: AtomicBool,
    bell: EventFd,
}

thread_local! {
    static CURRENT: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// The wake-ups that the loop on this thread has collected.
struct Local {
    wakers: *const Wakers,
    loop_index: usize,
    own: Vec<WakeToken>,
    foreign: Vec<Vec<WakeToken>>,
}

impl Wakers {
    /// Makes mailboxes for `loops` event loops.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the event descriptors, one per loop.
    ///
    /// # Panics
    ///
    /// If `loops` is 0 or more than [`LOOPS_MAX`].
    pub fn new(loops: usize) -> io::Result<Arc<Self>> {
        assert!((1..=LOOPS_MAX).contains(&loops), "{loops} loops, want 1 to {LOOPS_MAX}");
        let mailboxes = (0..loops).map(|_| Mailbox::new()).collect::<io::Result<_>>()?;
        Ok(Arc::new(Self { mailboxes }))
    }

    /// Number of loops.
    #[must_use]
    pub fn loops(&self) -> usize {
        self.mailboxes.len()
    }

    /// Resumes the wait that `token` names, if it still waits. From any thread; never blocks.
    pub fn wake(&self, token: WakeToken) {
        let local = CURRENT.with_borrow_mut(|current| match current {
            Some(local) if std::ptr::eq(local.wakers, self) => {
                local.push(token);
                true
            }
            _ => false,
        });
        if !local {
            self.deliver(token.loop_index(), |mail| mail.wakes.push(token));
        }
    }

    /// Hands a socket to a loop.
    pub(super) fn adopt(&self, loop_index: usize, accepted: Accepted) {
        self.deliver(loop_index, |mail| mail.sockets.push(accepted));
    }

    /// Makes every loop run a turn.
    pub(crate) fn ring_all(&self) {
        for index in 0..self.mailboxes.len() {
            self.deliver(index, |_| ());
        }
    }

    /// Makes this thread the thread of loop `loop_index`.
    pub(super) fn enter(&self, loop_index: usize) {
        let foreign = self.mailboxes.iter().map(|_| Vec::new()).collect();
        let local = Local { wakers: self, loop_index, own: Vec::new(), foreign };
        CURRENT.set(Some(local));
    }

    /// Undoes [`enter`](Self::enter).
    pub(super) fn leave(&self) {
        CURRENT.set(None);
    }

    /// Takes the wake-ups that this loop sent itself into `into`.
    pub(super) fn take_own(&self, into: &mut Vec<WakeToken>) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(local) = current {
                into.append(&mut local.own);
            }
        });
    }

    /// Delivers the wake-ups that this loop collected for others.
    pub(super) fn flush_foreign(&self) {
        CURRENT.with_borrow_mut(|current| {
            let Some(local) = current else { return };
            for (index, wakes) in local.foreign.iter_mut().enumerate() {
                if !wakes.is_empty() {
                    self.deliver(index, |mail| mail.wakes.append(wakes));
                }
            }
        });
    }

    /// Takes what other threads sent to loop `loop_index`, which costs one load when there is nothing.
    pub(super) fn take_mail(&self, loop_index: usize, into: &mut Mail) {
        let mailbox = &self.mailboxes[loop_index];
        if mailbox.full.load(Ordering::Acquire) {
            let mut mail = mailbox.mail.lock();
            mailbox.full.store(false, Ordering::Relaxed);
            into.wakes.append(&mut mail.wakes);
            into.sockets.append(&mut mail.sockets);
        }
    }

    /// Announces that loop `loop_index` is about to sleep; `false` if mail arrived meanwhile and it must not.
    pub(super) fn fall_asleep(&self, loop_index: usize) -> bool {
        let mailbox = &self.mailboxes[loop_index];
        mailbox.sleeping.store(true, Ordering::Relaxed);
        // Pairs with the fence in `deliver`: either we see the mail, or the sender sees us asleep.
        fence(Ordering::SeqCst);
        if mailbox.full.load(Ordering::Relaxed) {
            mailbox.sleeping.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Announces that loop `loop_index` is up.
    pub(super) fn wake_up(&self, loop_index: usize) {
        self.mailboxes[loop_index].sleeping.store(false, Ordering::Relaxed);
    }

    /// Readable (edge-triggered, never read) when loop `loop_index` has mail.
    pub(super) fn bell(&self, loop_index: usize) -> BorrowedFd<'_> {
        self.mailboxes[loop_index].bell.as_fd()
    }

    fn deliver(&self, loop_index: usize, put: impl FnOnce(&mut Mail)) {
        let mailbox = &self.mailboxes[loop_index];
        {
            let mut mail = mailbox.mail.lock();
            put(&mut mail);
            mailbox.full.store(true, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        if mailbox.sleeping.load(Ordering::Relaxed) && mailbox.sleeping.swap(false, Ordering::Relaxed) {
            // Fails only when 2^64-2 unread rings have piled up, and then the loop has been rung already.
            let _ = mailbox.bell.write(1);
        }
    }
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self {
            mail: Mutex::new(Mail::default()),
            full: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            bell,
        })
    }
}

impl Local {
    fn push(&mut self, token: WakeToken) {
        if token.loop_index() == self.loop_index {
            self.own.push(token);
        } else if let Some(wakes) = self.foreign.get_mut(token.loop_index()) {
            wakes.push(token);
        }
    }
}

impl std::fmt::Debug for Wakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wakers").field("loops", &self.loops()).finish_non_exhaustive()
    }
}
