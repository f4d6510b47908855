//! Carrying out a plan.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use highwater_testsupport::history::Key;
use highwater_types::NodeId;

use super::{Fault, Kind, Plan};
use crate::client::{Broker, Router};
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::network::Host;
use crate::recorder::Recorder;
use crate::sandbox::Sandbox;
use crate::stop::Stop;

/// Which kinds of faults can be had here, and why not the others.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) possible: Vec<Kind>,
    pub(crate) skipped: Vec<(Kind, String)>,
}

impl Means {
    /// Tries what may not be there; `only` leaves out what was not asked for.
    pub(crate) fn find(sandbox: &Sandbox, cluster: &Cluster, only: &[Kind]) -> Self {
        let no_namespace = || sandbox.missing.as_ref().map(|why| format!("no namespaces: {why}"));
        let cannot_slow = || Some(cluster.network()?.can_slow().err()?.to_string());
        let mut means = Self { possible: Vec::new(), skipped: Vec::new() };
        for kind in Kind::value_variants() {
            if !only.is_empty() && !only.contains(kind) {
                continue;
            }
            let missing = match kind {
                Kind::OneWayCut | Kind::TwoWayCut | Kind::Isolate | Kind::ClientCut | Kind::FullDisk => no_namespace(),
                Kind::SlowLinks => no_namespace().or_else(cannot_slow),
                Kind::FailingSync => cluster.failing_sync_missing(),
                _ => None,
            };
            match missing {
                Some(why) => means.skipped.push((*kind, why)),
                None => means.possible.push(*kind),
            }
        }
        means
    }
}

/// Something that was done, and when.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) what: String,
}

/// What does the faults, and remembers.
#[derive(Debug)]
pub(crate) struct Nemesis<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) events: Vec<Event>,
    router: Router,
    recorder: Arc<Recorder>,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(cluster: &'a mut Cluster, recorder: &Arc<Recorder>) -> Self {
        let router = Router::new(cluster.endpoints(), 0);
        Self { cluster, events: Vec::new(), router, recorder: Arc::clone(recorder) }
    }

    /// Follows the plan for `time`, or until `stop`, and ends healed.
    pub(crate) fn run(&mut self, mut plan: Plan, time: Duration, stop: &Stop) -> Result<(), HarnessError> {
        let deadline = self.recorder.now() + time;
        let left = |recorder: &Recorder| deadline.saturating_sub(recorder.now());
        while !stop.is_set() && !left(&self.recorder).is_zero() {
            let round = plan.round();
            for (fault, hold) in round.faults {
                self.event(fault.to_string());
                self.strike(&fault)?;
                if stop.sleep(hold.min(left(&self.recorder))) {
                    break;
                }
                self.look();
            }
            self.heal()?;
            stop.sleep(round.rest.min(left(&self.recorder)));
        }
        Ok(())
    }

    /// Ends all faults.
    fn heal(&mut self) -> Result<(), HarnessError> {
        self.look();
        self.event("healed");
        self.cluster.heal()
    }

    /// Gives every partition its first replicas again.
    pub(crate) fn reassign(&mut self, moves: &[(Key, Vec<NodeId>)]) {
        self.each(moves, "AlterPartitionReassignments", Broker::reassign);
    }

    /// Notices nodes that have ended.
    pub(crate) fn look(&mut self) {
        for ended in self.cluster.ended() {
            self.recorder.problem(ended);
        }
    }

    pub(crate) fn event(&mut self, what: impl Into<String>) {
        self.events.push(Event { at: self.recorder.now(), what: what.into() });
    }

    fn strike(&mut self, fault: &Fault) -> Result<(), HarnessError> {
        match fault {
            Fault::Kill(id) => self.cluster.kill(*id),
            Fault::Bounce(id) => {
                self.cluster.kill(*id);
                self.cluster.start(*id)?;
            }
            Fault::KillAll => self.cluster.ids().into_iter().for_each(|id| self.cluster.kill(id)),
            Fault::Pause(id) => self.cluster.pause(*id),
            Fault::Cut(links) => self.cut(links)?,
            Fault::SlowLinks(id) => self.cluster.network().map_or(Ok(()), |network| network.slow(*id))?,
            Fault::Restart(id) => self.restart(*id)?,
            Fault::RollingRestart => {
                for id in self.cluster.ids() {
                    self.restart(id)?;
                }
            }
            Fault::FullDisk(id) => self.cluster.fill_disk(*id)?,
            Fault::FailingSync(id) => self.cluster.fail_syncs(*id)?,
            Fault::MoveLeaders(moves) => {
                self.reassign(moves);
                self.each(moves, "ElectLeaders", |broker, key, _| broker.elect_preferred(key));
            }
            Fault::Reassign(moves) => self.reassign(moves),
        }
        Ok(())
    }

    fn cut(&self, links: &[(Host, Host)]) -> Result<(), HarnessError> {
        let Some(network) = self.cluster.network() else { return Ok(()) };
        links.iter().try_for_each(|(from, to)| network.cut(*from, *to))
    }

    /// Under other faults a node may not get to its end, and is then killed.
    fn restart(&mut self, id: NodeId) -> Result<(), HarnessError> {
        if !self.cluster.stop(id) {
            self.event(format!("node {id} did not stop in time and is killed"));
        }
        self.cluster.start(id)
    }

    /// Asks some broker to do something to each partition. Under other faults it may well not.
    fn each<R: std::fmt::Debug>(
        &mut self,
        moves: &[(Key, Vec<NodeId>)],
        name: &str,
        ask: impl Fn(&mut Broker, &Key, &[NodeId]) -> Result<R, highwater_broker::peer::PeerError>,
    ) {
        let mut refused = String::new();
        for (key, replicas) in moves {
            let mut answer = None;
            for _ in 0..self.cluster.ids().len() {
                answer = answer.or_else(|| self.router.on_any(|broker| ask(broker, key, replicas)));
            }
            let _ = write!(refused, " {key}: {answer:?}");
        }
        self.event(format!("{name}:{refused}"));
    }
}
