//! Members of different clients in one group.

use nix::sys::signal::Signal;

use super::{Client, Group, PARTITIONS, SESSION_MS, TOPIC, start};
use crate::kcat::create_topic;
use crate::program::Program;

/// Two members of one client and one of another share; one of each is killed or leaves, the others take over, and
/// another of the second client comes. Options `more` are for all members.
pub(crate) fn works(own: &Program, other: &Program, protocol: &str, more: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let broker = start(&dir.path().join("data"), 0, SESSION_MS);
    create_topic(broker.address(), TOPIC, PARTITIONS);
    let client = Client { program: own, protocol, bootstrap: broker.address().to_string() };

    let mut group = Group::new(&client, "mixed", dir.path());
    group.start_feed();
    group.join("a", more);
    group.join_with(other, "b", more);
    group.join("c", more);
    group.wait_until_shared_by(&["a", "b", "c"]);
    group.wait_until_committed_past(1);
    group.members.kill("c");
    group.wait_until_shared_by(&["a", "b"]);
    group.members.leave("b");
    group.wait_until_shared_by(&["a"]);
    group.join_with(other, "d", more);
    group.wait_until_shared_by(&["a", "d"]);
    // The other client may lead the group now, and the one that led it is gone.
    group.members.leave("a");
    group.wait_until_shared_by(&["d"]);
    group.join("e", more);
    group.wait_until_shared_by(&["d", "e"]);
    group.end_feed();
    group.end();
    broker.end(Signal::SIGTERM);
}
