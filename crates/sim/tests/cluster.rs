//! Single rules of replication, the controller and the quorum, each by a script that brings a whole cluster where it matters.
//!
//! The judge of the simulation looks on after every event, so what it holds to is not asserted here again: what is
//! acknowledged is in every replica that could lead, what could be read never changes, epochs do not go back.

use highwater_metadata::Election;
use highwater_replication::leader::Acks;
use highwater_sim::{Cluster, ClusterSetup, Trace};
use highwater_types::ErrorCode;

const LAG_MS: u64 = Cluster::LAG_MS;
const SESSION_MS: u64 = Cluster::SESSION_MS;
const CONTROLLERS: [usize; 3] = [0, 1, 2];

fn play(setup: ClusterSetup, script: impl FnOnce(&mut Cluster<'_, '_>)) {
    let mut trace = Trace::silent();
    let mut cluster = Cluster::new(setup, &mut trace);
    script(&mut cluster);
    cluster.converge();
}

fn default() -> ClusterSetup {
    ClusterSetup::default()
}

fn leader(cluster: &Cluster<'_, '_>) -> usize {
    cluster.leader().expect("somebody leads")
}

/// Produces to the leader until it has acknowledged it everywhere.
fn write(cluster: &mut Cluster<'_, '_>) -> u64 {
    let value = cluster.produce(leader(cluster), Acks::All);
    cluster.wait(2_000, |cluster| told(cluster, value, ErrorCode::None));
    value
}

fn told(cluster: &Cluster<'_, '_>, value: u64, code: ErrorCode) -> Option<String> {
    let outcome = cluster.outcome(value);
    (outcome != Some(code)).then(|| format!("{value} has the outcome {outcome:?}, not {code:?}"))
}

fn in_sync(cluster: &Cluster<'_, '_>, expected: &[usize]) -> Option<String> {
    (cluster.isr() != expected).then(|| format!("{:?} are in sync, not {expected:?}", cluster.isr()))
}

fn led_by_another(cluster: &Cluster<'_, '_>, old: usize) -> Option<String> {
    let leader = cluster.leader().filter(|leader| *leader != old && cluster.leads(*leader));
    leader.is_none().then(|| "nobody else leads".to_owned())
}

/// All of `nodes` but `without`, in order.
fn without(nodes: &[usize], without: usize) -> Vec<usize> {
    let mut nodes: Vec<usize> = nodes.iter().copied().filter(|node| *node != without).collect();
    nodes.sort_unstable();
    nodes
}

/// Takes a follower out of the in-sync set: it does not hear of records for a while. Gives it back, with the leader.
fn follower_out_of_sync(cluster: &mut Cluster<'_, '_>) -> (usize, usize) {
    let (leader, follower) = (leader(cluster), cluster.followers()[0]);
    cluster.cut(leader, follower);
    write_without(cluster, follower);
    (leader, follower)
}

fn write_without(cluster: &mut Cluster<'_, '_>, follower: usize) {
    let value = cluster.produce(leader(cluster), Acks::All);
    let rest = without(&cluster.replicas(), follower);
    cluster.wait(3 * LAG_MS, |cluster| in_sync(cluster, &rest));
    cluster.wait(LAG_MS, |cluster| told(cluster, value, ErrorCode::None));
}

// Who is in sync, and what is committed.

#[test]
fn a_joining_replica_counts_before_the_leader_hears_that_it_is_in_sync() {
    play(default(), |cluster| {
        let (leader, follower) = follower_out_of_sync(cluster);
        // What the controller answers, and what it commits, does not reach the leader any more.
        CONTROLLERS.iter().for_each(|controller| cluster.cut(*controller, leader));
        cluster.mend(leader, follower);
        let all = cluster.replicas().len();
        cluster.wait(LAG_MS, |cluster| (cluster.isr().len() != all).then(|| "it does not join".to_owned()));
        assert!(cluster.maximal_isr(leader).contains(&follower), "the leader reckons with whom it has proposed");
        cluster.pause(follower, LAG_MS);
        let value = cluster.produce(leader, Acks::All);
        cluster.run_ms(LAG_MS / 2);
        assert_eq!(cluster.outcome(value), None, "the replica that is in sync does not have it");
        CONTROLLERS.iter().for_each(|controller| cluster.mend(*controller, leader));
    });
}

#[test]
fn an_unknown_outcome_of_a_proposal_is_not_taken_back() {
    play(default(), |cluster| {
        let (leader, follower) = follower_out_of_sync(cluster);
        CONTROLLERS.iter().for_each(|controller| cluster.cut(*controller, leader));
        cluster.mend(leader, follower);
        cluster.wait(LAG_MS, |cluster| (!cluster.isr().contains(&follower)).then(|| "it does not join".to_owned()));
        // The request times out, and is sent again and again.
        cluster.run_ms(SESSION_MS / 2);
        assert!(cluster.maximal_isr(leader).contains(&follower));
        CONTROLLERS.iter().for_each(|controller| cluster.mend(*controller, leader));
    });
}

#[test]
fn a_leaving_replica_counts_until_the_leader_hears_that_it_has_left() {
    play(default(), |cluster| {
        let (leader, follower) = (leader(cluster), cluster.followers()[0]);
        CONTROLLERS.iter().for_each(|controller| cluster.cut(*controller, leader));
        cluster.cut(leader, follower);
        let value = cluster.produce(leader, Acks::All);
        cluster.run_ms(2 * LAG_MS);
        assert!(!cluster.isr().contains(&follower));
        assert_eq!(cluster.outcome(value), None, "the leader has not heard of the smaller set");
        CONTROLLERS.iter().for_each(|controller| cluster.mend(*controller, leader));
        cluster.wait(3 * LAG_MS, |cluster| told(cluster, value, ErrorCode::None));
    });
}

#[test]
fn a_follower_that_lags_leaves_and_comes_back() {
    play(default(), |cluster| {
        let (leader, follower) = follower_out_of_sync(cluster);
        cluster.mend(leader, follower);
        let all = without(&cluster.replicas(), usize::MAX);
        cluster.wait(LAG_MS, |cluster| in_sync(cluster, &all));
    });
}

#[test]
fn lag_is_a_matter_of_time_and_not_of_records() {
    let setup = ClusterSetup { delay_ms_max: 60, ..default() };
    play(setup, |cluster| {
        let leader = leader(cluster);
        let before = cluster.isr();
        for _ in 0..400 {
            cluster.produce(leader, Acks::Leader);
            cluster.run_ms(10);
            let ends = cluster.followers().iter().map(|node| cluster.values(*node).len()).max();
            assert!(ends <= Some(cluster.values(leader).len()));
            assert_eq!(cluster.isr(), before, "who always fetches is in sync, though always some records behind");
        }
    });
}

#[test]
fn nothing_is_committed_while_too_few_are_in_sync() {
    play(default(), |cluster| {
        let leader = leader(cluster);
        write(cluster);
        let committed = cluster.high_watermark(leader);
        let followers = cluster.followers();
        followers.iter().for_each(|follower| cluster.cut(leader, *follower));
        let value = cluster.produce(leader, Acks::Leader);
        cluster.wait(4 * LAG_MS, |cluster| in_sync(cluster, &[leader]));
        cluster.run_ms(LAG_MS);
        assert!(cluster.values(leader).contains(&value));
        assert_eq!(cluster.high_watermark(leader), committed, "not for acks=1 either");
        followers.iter().for_each(|follower| cluster.mend(leader, *follower));
        cluster.wait(4 * LAG_MS, |cluster| {
            (cluster.high_watermark(leader) <= committed).then(|| "nothing is committed".to_owned())
        });
    });
}

#[test]
fn acks_all_is_refused_while_too_few_are_in_sync() {
    play(default(), |cluster| {
        let leader = leader(cluster);
        // Nor does the leader hear from them: who has what is committed would come back at once.
        cluster.isolate(leader, &cluster.followers(), true);
        cluster.produce(leader, Acks::Leader);
        cluster.wait(4 * LAG_MS, |cluster| in_sync(cluster, &[leader]));
        cluster.run_ms(100);
        let value = cluster.produce(leader, Acks::All);
        cluster.run_ms(100);
        assert_eq!(cluster.outcome(value), Some(ErrorCode::NotEnoughReplicas));
        assert!(!cluster.values(leader).contains(&value), "a definite error");
    });
}

#[test]
fn a_smaller_min_isr_commits_what_waits() {
    play(default(), |cluster| {
        let leader = leader(cluster);
        cluster.followers().iter().for_each(|follower| cluster.cut(leader, *follower));
        let value = cluster.produce(leader, Acks::All);
        cluster.wait(4 * LAG_MS, |cluster| in_sync(cluster, &[leader]));
        cluster.run_ms(LAG_MS);
        assert_eq!(cluster.outcome(value), None);
        cluster.set_min_insync_replicas(1);
        cluster.wait(LAG_MS, |cluster| told(cluster, value, ErrorCode::None));
    });
}

#[test]
fn a_replica_that_catches_up_is_waited_for() {
    play(default(), |cluster| {
        let (leader, follower) = follower_out_of_sync(cluster);
        // It fetches again, but the controllers do not hear that it is in sync.
        cluster.isolate(leader, &CONTROLLERS, true);
        cluster.mend(leader, follower);
        cluster.run_ms(200);
        cluster.pause(follower, LAG_MS / 2);
        let value = cluster.produce(leader, Acks::All);
        cluster.run_ms(LAG_MS / 4);
        assert_eq!(cluster.outcome(value), None, "the high watermark waits for who is about to join");
        cluster.isolate(leader, &CONTROLLERS, false);
        cluster.wait(3 * LAG_MS, |cluster| told(cluster, value, ErrorCode::None));
    });
}

// Leaders that come and go.

#[test]
fn a_zombie_leader_does_not_acknowledge() {
    play(default(), |cluster| {
        let zombie = leader(cluster);
        let others = cluster.nodes();
        cluster.isolate(zombie, &others, true);
        let lost = cluster.produce(zombie, Acks::All);
        cluster.wait(5 * SESSION_MS, |cluster| led_by_another(cluster, zombie));
        let kept = write(cluster);
        assert!(cluster.leads(zombie), "it knows of nothing");
        let late = cluster.produce(zombie, Acks::All);
        cluster.run_ms(LAG_MS);
        assert_eq!((cluster.outcome(lost), cluster.outcome(late)), (None, None));
        cluster.isolate(zombie, &others, false);
        cluster.wait(5 * SESSION_MS, |cluster| {
            (!cluster.values(zombie).contains(&kept)).then(|| "it does not follow".to_owned())
        });
        assert!(!cluster.values(zombie).contains(&lost) && !cluster.values(zombie).contains(&late));
    });
}

#[test]
fn who_returns_gives_up_what_the_new_leader_lacks() {
    play(default(), |cluster| {
        let old = leader(cluster);
        write(cluster);
        cluster.followers().iter().for_each(|follower| cluster.cut(old, *follower));
        let uncommitted = cluster.produce(old, Acks::Leader);
        cluster.run_ms(100);
        cluster.kill(old);
        cluster.wait(5 * SESSION_MS, |cluster| led_by_another(cluster, old));
        let kept = write(cluster);
        cluster.replicas().iter().for_each(|follower| cluster.mend(old, *follower));
        cluster.start(old);
        cluster.wait(5 * SESSION_MS, |cluster| {
            (!cluster.values(old).contains(&kept)).then(|| "it does not follow".to_owned())
        });
        assert!(!cluster.values(old).contains(&uncommitted));
    });
}

#[test]
fn fast_failovers_end_with_one_log() {
    // KAFKA-6361: each leader appends something that nobody else has, and is gone.
    let setup = ClusterSetup { min_insync_replicas: 1, ..default() };
    play(setup, |cluster| {
        for _ in 0..3 {
            let old = leader(cluster);
            let others = cluster.nodes();
            cluster.isolate(old, &others, true);
            for _ in 0..3 {
                cluster.produce(old, Acks::Leader);
            }
            cluster.wait(5 * SESSION_MS, |cluster| led_by_another(cluster, old));
            let new = leader(cluster);
            cluster.produce(new, Acks::Leader);
            cluster.run_ms(5);
            cluster.isolate(old, &others, false);
            cluster.wait(5 * SESSION_MS, |cluster| (!cluster.is_active(old)).then(|| "it is fenced".to_owned()));
        }
    });
}

#[test]
fn a_preferred_leader_takes_over_with_everything() {
    play(default(), |cluster| {
        let preferred = leader(cluster);
        cluster.kill(preferred);
        cluster.wait(5 * SESSION_MS, |cluster| led_by_another(cluster, preferred));
        let value = write(cluster);
        cluster.start(preferred);
        let all = without(&cluster.replicas(), usize::MAX);
        cluster.wait(5 * SESSION_MS, |cluster| in_sync(cluster, &all));
        let epoch = cluster.leader_epoch();
        cluster.elect(Election::Preferred);
        cluster.wait(LAG_MS, |cluster| (!cluster.leads(preferred)).then(|| "it does not lead".to_owned()));
        assert!(epoch < cluster.leader_epoch());
        assert!(cluster.values(preferred).contains(&value));
    });
}

#[test]
fn nobody_out_of_sync_is_elected() {
    let setup = ClusterSetup { min_insync_replicas: 1, ..default() };
    play(setup, |cluster| {
        let old = leader(cluster);
        let followers = cluster.followers();
        followers.iter().for_each(|follower| cluster.cut(old, *follower));
        cluster.produce(old, Acks::Leader);
        cluster.wait(4 * LAG_MS, |cluster| in_sync(cluster, &[old]));
        let value = write(cluster);
        cluster.kill(old);
        cluster.wait(3 * SESSION_MS, |cluster| cluster.leader().map(|leader| format!("{leader} leads")));
        cluster.run_ms(3 * SESSION_MS);
        assert_eq!(cluster.leader(), None, "the others lack {value}");
        followers.iter().for_each(|follower| cluster.mend(old, *follower));
        cluster.start(old);
        cluster.wait(3 * SESSION_MS, |cluster| (!cluster.leads(old)).then(|| "it does not lead".to_owned()));
    });
}

#[test]
fn an_unclean_election_loses_only_where_it_is_allowed() {
    let setup = ClusterSetup { min_insync_replicas: 1, may_be_unclean: true, ..default() };
    play(setup, |cluster| {
        let old = leader(cluster);
        let followers = cluster.followers();
        followers.iter().for_each(|follower| cluster.cut(old, *follower));
        cluster.produce(old, Acks::Leader);
        cluster.wait(4 * LAG_MS, |cluster| in_sync(cluster, &[old]));
        let lost = write(cluster);
        cluster.kill(old);
        cluster.wait(5 * SESSION_MS, |cluster| led_by_another(cluster, old));
        assert!(!cluster.values(leader(cluster)).contains(&lost));
        // The leader says that it has recovered, and only then others are in sync.
        cluster.wait(5 * SESSION_MS, |cluster| (cluster.isr().len() < 2).then(|| "it is alone".to_owned()));
        followers.iter().for_each(|follower| cluster.mend(old, *follower));
    });
}

// Brokers that restart.

#[test]
fn a_broker_that_ends_cleanly_hands_its_leadership_over_first() {
    play(default(), |cluster| {
        let old = leader(cluster);
        write(cluster);
        cluster.leave(old);
        cluster.wait(SESSION_MS, |cluster| led_by_another(cluster, old));
        assert!(cluster.is_running(old), "it serves until the others know");
        cluster.wait(SESSION_MS, |cluster| cluster.is_running(old).then(|| "it does not end".to_owned()));
        write(cluster);
    });
}

#[test]
fn another_process_waits_for_the_session_of_the_last_one() {
    play(default(), |cluster| {
        let node = cluster.followers()[0];
        let epoch = cluster.broker_epoch(node);
        cluster.kill(node);
        cluster.start(node);
        cluster.run_ms(SESSION_MS / 2);
        assert_eq!(cluster.broker_epoch(node), epoch, "the last process may still be there");
        cluster.wait(2 * SESSION_MS, |cluster| (cluster.broker_epoch(node) == epoch).then(|| "it waits".to_owned()));
    });
}

#[test]
fn a_broker_that_has_lost_records_is_not_in_sync_until_it_has_them_again() {
    play(default(), |cluster| {
        let node = cluster.followers()[0];
        cluster.sync(node);
        let values: Vec<u64> = (0..20).map(|_| write(cluster)).collect();
        let epoch = cluster.leader_epoch();
        cluster.lose_power(node);
        assert!(cluster.values(node).len() < values.len(), "it has lost some");
        let leader = leader(cluster);
        cluster.cut(leader, node);
        let registered = cluster.broker_epoch(node);
        cluster.start(node);
        cluster.wait(2 * SESSION_MS, |cluster| {
            (cluster.broker_epoch(node) == registered).then(|| "it is not registered".to_owned())
        });
        cluster.wait(5 * SESSION_MS, |cluster| (!cluster.is_active(node)).then(|| "it is fenced".to_owned()));
        cluster.run_ms(LAG_MS);
        assert!(!cluster.isr().contains(&node));
        cluster.mend(leader, node);
        cluster.wait(LAG_MS, |cluster| (!cluster.isr().contains(&node)).then(|| "it is out of sync".to_owned()));
        assert!(epoch <= cluster.leader_epoch());
        assert!(values.iter().all(|value| cluster.values(node).contains(value)));
    });
}

#[test]
fn a_leader_that_has_lost_records_does_not_lead_again_before_it_has_them() {
    play(default(), |cluster| {
        let old = leader(cluster);
        cluster.sync(old);
        let values: Vec<u64> = (0..20).map(|_| write(cluster)).collect();
        cluster.lose_power(old);
        cluster.start(old);
        cluster.wait(5 * SESSION_MS, |cluster| led_by_another(cluster, old));
        cluster.wait(5 * SESSION_MS, |cluster| (!cluster.isr().contains(&old)).then(|| "it is out of sync".to_owned()));
        assert!(values.iter().all(|value| cluster.values(old).contains(value)));
    });
}

#[test]
fn a_broker_with_an_empty_disk_gets_everything_again() {
    play(default(), |cluster| {
        let node = cluster.followers()[0];
        let value = write(cluster);
        cluster.wipe(node);
        cluster.start(node);
        cluster
            .wait(5 * SESSION_MS, |cluster| (!cluster.values(node).contains(&value)).then(|| "it lacks it".to_owned()));
    });
}

#[test]
fn an_eligible_leader_comes_back_though_the_last_leader_has_lost_everything() {
    // Two brokers end, and the last one is killed: with the first two everything is there (KIP-966).
    let setup = ClusterSetup { has_elr: true, ..default() };
    play(setup, |cluster| {
        let last = leader(cluster);
        let values: Vec<u64> = (0..5).map(|_| write(cluster)).collect();
        let others = cluster.followers();
        for other in &others {
            cluster.sync(*other);
            cluster.kill(*other);
        }
        cluster.wait(5 * SESSION_MS, |cluster| in_sync(cluster, &[last]));
        assert_eq!(cluster.elr().len(), 1, "one is enough in addition to who is in sync");
        let eligible = cluster.elr()[0];
        cluster.wipe(last);
        cluster.wait(5 * SESSION_MS, |cluster| cluster.leader().map(|leader| format!("{leader} leads")));
        cluster.start(last);
        cluster.run_ms(3 * SESSION_MS);
        assert_ne!(cluster.leader(), Some(last), "it has lost what is committed");
        assert!(values.iter().all(|value| cluster.values(eligible).contains(value)));
    });
}

// Reassignments.

#[test]
fn the_leader_epoch_rises_when_a_replica_is_dropped_though_the_leader_stays() {
    play(ClusterSetup { brokers: 4, ..default() }, |cluster| {
        let (leader, dropped) = (leader(cluster), cluster.followers()[0]);
        let epoch = cluster.leader_epoch();
        let rest = without(&cluster.replicas(), dropped);
        let mut target = vec![leader];
        target.extend(without(&rest, leader));
        cluster.reassign(Some(&target));
        cluster.wait(LAG_MS, |cluster| (cluster.replicas() != target).then(|| "it is not dropped".to_owned()));
        assert_eq!((cluster.leader(), epoch + 1), (Some(leader), cluster.leader_epoch()));
        cluster.run_ms(100);
        assert!(cluster.values(dropped).is_empty(), "its log is gone");
    });
}

#[test]
fn a_replica_that_is_taken_away_and_given_back_starts_from_nothing() {
    play(default(), |cluster| {
        let (leader, moved) = (leader(cluster), cluster.followers()[0]);
        write(cluster);
        let all = cluster.replicas();
        let rest: Vec<usize> = all.iter().copied().filter(|node| *node != moved).collect();
        // The broker hears of both at once.
        cluster.pause(moved, 300);
        cluster.reassign(Some(&rest));
        cluster.run_ms(20);
        cluster.reassign(Some(&all));
        cluster.run_ms(100);
        assert!(!cluster.isr().contains(&moved), "it has not fetched since");
        assert!(cluster.leads(leader));
        cluster.wait(3 * LAG_MS, |cluster| (!cluster.isr().contains(&moved)).then(|| "it is out of sync".to_owned()));
    });
}

#[test]
fn a_partition_moves_to_other_brokers_with_everything() {
    play(ClusterSetup { brokers: 5, replication_factor: 2, ..default() }, |cluster| {
        let value = write(cluster);
        let old = cluster.replicas();
        let target: Vec<usize> = (3..8).filter(|node| !old.contains(node)).take(2).collect();
        cluster.reassign(Some(&target));
        cluster.wait(5 * LAG_MS, |cluster| (cluster.replicas() != target).then(|| "it does not move".to_owned()));
        cluster.wait(LAG_MS, |cluster| led_by_another(cluster, old[0]));
        assert!(target.iter().all(|node| cluster.values(*node).contains(&value)));
    });
}

#[test]
fn a_reassignment_that_cannot_end_can_be_cancelled() {
    play(ClusterSetup { brokers: 4, ..default() }, |cluster| {
        write(cluster);
        let old = cluster.replicas();
        let new = (3..7).find(|node| !old.contains(node)).expect("there is another broker");
        cluster.cut(leader(cluster), new);
        cluster.reassign(Some(&[old[0], old[1], new]));
        cluster.run_ms(LAG_MS);
        assert_eq!(cluster.replicas().len(), 4, "it waits for who is new");
        cluster.reassign(None);
        cluster.wait(LAG_MS, |cluster| (cluster.replicas().len() != 3).then(|| "it is not cancelled".to_owned()));
        cluster.mend(old[0], new);
        cluster.run_ms(100);
        assert!(cluster.values(new).is_empty());
    });
}

// Controllers.

#[test]
fn another_controller_knows_everything_that_was_committed() {
    play(default(), |cluster| {
        let (leader, follower) = follower_out_of_sync(cluster);
        let isr = cluster.isr();
        let controller = cluster.controllers()[0];
        cluster.kill(controller);
        cluster.wait(20_000, |cluster| cluster.controllers().is_empty().then(|| "nobody is active".to_owned()));
        assert_eq!(cluster.isr(), isr);
        cluster.mend(leader, follower);
        cluster.wait(5 * LAG_MS, |cluster| (cluster.isr().len() < 3).then(|| "nobody decides".to_owned()));
    });
}

#[test]
fn a_controller_without_a_majority_decides_nothing() {
    play(default(), |cluster| {
        let old = cluster.controllers()[0];
        let others = without(&CONTROLLERS, old);
        cluster.isolate(old, &others, true);
        let (leader, follower) = (leader(cluster), cluster.followers()[0]);
        let isr = cluster.isr();
        cluster.cut(leader, follower);
        let value = cluster.produce(leader, Acks::All);
        cluster.run_ms(LAG_MS + LAG_MS / 2);
        // The brokers still ask the old one, who appends, and cannot commit.
        assert_eq!((cluster.isr(), cluster.outcome(value)), (isr, None));
        cluster.wait(20_000, |cluster| told(cluster, value, ErrorCode::None));
        cluster.mend(leader, follower);
        cluster.isolate(old, &others, false);
    });
}

#[test]
fn a_new_controller_fences_who_died_with_the_last_one() {
    play(default(), |cluster| {
        let (controller, broker) = (cluster.controllers()[0], leader(cluster));
        cluster.kill(controller);
        cluster.kill(broker);
        cluster.wait(30_000, |cluster| cluster.is_active(broker).then(|| "it is taken for alive".to_owned()));
        cluster.wait(SESSION_MS, |cluster| led_by_another(cluster, broker));
        write(cluster);
    });
}

#[test]
fn brokers_are_fenced_one_after_the_other() {
    play(default(), |cluster| {
        let brokers = cluster.replicas();
        brokers.iter().for_each(|broker| cluster.kill(*broker));
        cluster.wait(5 * SESSION_MS, |cluster| {
            brokers.iter().any(|broker| cluster.is_active(*broker)).then(|| "somebody is not fenced".to_owned())
        });
        assert_eq!((cluster.leader(), cluster.isr().len()), (None, 1), "the last one is remembered");
    });
}
