//! From the last join to a stable group.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::classic::{self, ClassicMember};
use super::consumer::{self, ConsumerMember};

/// A group of the classic protocol with `count` members: one more has joined, the others have noticed and asked to join
/// again; measured from the last of these requests until everyone has its assignment.
///
/// # Errors
///
/// If the coordinator refuses.
pub fn classic(address: SocketAddr, group: &str, count: usize, assignment: &[u8]) -> io::Result<Duration> {
    let mut members: Vec<_> = (1..count).map(|_| ClassicMember::connect(address)).collect::<io::Result<_>>()?;
    classic::rebalance(group, &mut members, assignment)?;
    let mut last = ClassicMember::connect(address)?;
    last.send_join(group)?;
    for member in &mut members {
        member.await_rebalance(group)?;
    }
    let (first, others) = members.split_at_mut(1);
    for member in others {
        member.send_join(group)?;
    }
    let started = Instant::now();
    first[0].send_join(group)?;
    members.push(last);
    classic::finish(group, &mut members, assignment)?;
    Ok(started.elapsed())
}

/// A group of the consumer protocol: the last member joins, and all heartbeat without pause until everyone owns what it
/// shall. The time, and the heartbeats it took.
///
/// # Errors
///
/// If the coordinator refuses.
pub fn consumer(address: SocketAddr, group: &str, count: usize, partitions: usize) -> io::Result<(Duration, usize)> {
    let mut members: Vec<_> = (0..count)
        .map(|index| ConsumerMember::connect(address, format!("member-{index:03}")))
        .collect::<io::Result<_>>()?;
    let last = members.pop().ok_or_else(|| io::Error::other("no members"))?;
    for member in &mut members {
        member.heartbeat(group)?;
    }
    consumer::settle(group, &mut members, partitions)?;
    members.push(last);
    let started = Instant::now();
    if let Some(last) = members.last_mut() {
        last.heartbeat(group)?;
    }
    let heartbeats = consumer::settle(group, &mut members, partitions)?;
    Ok((started.elapsed(), heartbeats))
}
