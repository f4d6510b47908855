//! One run from the first start to the verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_sim::Random;
use highwater_testsupport::history::Key;
use highwater_types::{ErrorCode, NodeId};

use crate::Args;
use crate::client::{PartitionState, Router, TopicSpec};
use crate::cluster::Cluster;
use crate::error::{HarnessError, run as run_program};
use crate::nemesis::{Means, Nemesis, Plan};
use crate::recorder::Recorder;
use crate::replicas;
use crate::report::Report;
use crate::sandbox::Sandbox;
use crate::server::Server;
use crate::stop::Stop;
use crate::workload::{self, Workload, expect_sane, read_all};

/// Runs the suite; whether nothing went wrong.
pub(crate) fn run(args: &Args, sandbox: &Sandbox) -> Result<bool, HarnessError> {
    let mut name = tempfile::Builder::new();
    let prefix = format!("highwater-faults-{}-", args.seed);
    let directory = name.prefix(&prefix).tempdir_in(&args.directory);
    let directory = directory.map_err(HarnessError::io(args.directory.display().to_string()))?;
    println!("seed {}, in {}", args.seed, directory.path().display());
    let server = Server::find(args.server, args.binary.as_deref())?;
    let mut cluster = Cluster::lay_out(args.nodes, server, sandbox, &args.set, directory.path())?;
    let report = play(args, sandbox, &mut cluster);
    let is_good = report.as_ref().is_ok_and(Report::is_good);
    if let Ok(report) = &report {
        print!("{}", report.summary());
    }
    if is_good && !args.keep {
        return Ok(true);
    }
    let kept = directory.keep();
    eprintln!("kept: {}", kept.display());
    if let Ok(report) = &report {
        write(&kept.join("report.txt"), &report.summary().to_string())?;
        write(&kept.join("history.txt"), &report.history())?;
    }
    // The disks of the nodes go when the mounts do.
    for (id, data) in cluster.data() {
        run_program(
            Command::new("cp").args(["-r", "--sparse=always"]).arg(&data).arg(kept.join(format!("data-{id}"))),
        )?;
    }
    report.map(|report| report.is_good())
}

fn write(path: &Path, text: &str) -> Result<(), HarnessError> {
    fs::write(path, text).map_err(HarnessError::io(path.display().to_string()))
}

fn play(args: &Args, sandbox: &Sandbox, cluster: &mut Cluster) -> Result<Report, HarnessError> {
    let ids = cluster.ids();
    let endpoints = cluster.endpoints();
    let topics = workload::topics(&ids, args.min_insync_replicas);
    let assigned: Vec<(Key, Vec<NodeId>)> =
        topics.iter().flat_map(TopicSpec::keys).map(|(key, replicas)| (key, replicas.to_vec())).collect();
    let recorder = Arc::new(Recorder::new());
    let mut router = Router::new(Arc::clone(&endpoints), 0);

    cluster.start_all()?;
    create(&topics, ids.len(), cluster, &mut router, &sandbox.stop)?;
    let full = || State { assigned: &assigned, topics: &topics };
    full().wait(&mut router, START_TIMEOUT, &sandbox.stop).map_err(HarnessError::NoCluster)?;
    println!("{} nodes serve after {:.1} s", ids.len(), recorder.now().as_secs_f64());
    let means = Means::find(sandbox, cluster, &args.only);
    if means.possible.is_empty() {
        return Err(HarnessError::Missing("none of the kinds of faults can be had here".to_owned()));
    }

    let mut random = Random::new(args.seed);
    let least = |key: &Key| if key.topic == workload::SAFE { 2 } else { 1 };
    let partitions: BTreeMap<Key, usize> = assigned.iter().map(|(key, _)| (key.clone(), least(key))).collect();
    let plan = Plan::new(random.bits(), ids, partitions, means.possible.clone());
    let mut workload = Workload::start(&topics, &endpoints, &recorder, &mut random);
    let mut nemesis = Nemesis::new(cluster, &recorder);
    nemesis.run(plan, Duration::from_secs_f64((args.minutes * 60.0).max(0.0)), &sandbox.stop)?;

    // The world is whole. Everything has to come back.
    let healed = Instant::now();
    let never = Stop::default();
    let mut restored = Err("it was not tried".to_owned());
    for attempt in 0.. {
        // A controller that has just been elected may refuse.
        nemesis.reassign(&assigned);
        restored = full().wait(&mut router, HEAL_TIMEOUT / HEAL_ATTEMPTS, &never);
        if restored.is_ok() || HEAL_ATTEMPTS <= attempt + 1 {
            break;
        }
    }
    nemesis.look();
    let took = healed.elapsed().as_secs_f64();
    match restored {
        Ok(()) => nemesis.event(format!("all replicas are in sync, {took:.1} s after healing")),
        Err(state) => recorder.problem(format!("not in sync {took:.1} s after healing: {state}")),
    }
    // Whoever still waits for an answer gets it, or has given up.
    std::thread::sleep(CALM);
    expect_progress(&assigned, &recorder, healed.elapsed());
    workload.end_producers();
    let ends = read_everything(&assigned, &mut workload, &mut router, &recorder, &endpoints);
    workload.end_readers();
    drop(workload);
    for topic in &topics {
        router.describe(topic.name).into_iter().flatten().for_each(|state| expect_sane(&state, &recorder));
    }

    nemesis.look();
    let events = std::mem::take(&mut nemesis.events);
    drop(nemesis);
    stop_in_order(cluster, &recorder);
    compare(cluster, &assigned, &ends, &recorder);
    for confession in cluster.confessions() {
        recorder.problem(confession);
    }
    let elections = recorder.elections();
    let recorder = Arc::into_inner(recorder).expect("all clients have ended");
    Ok(Report::new(command(args), args.seed, &means, events, elections, recorder.take()))
}

/// Makes the topics once all brokers know one another.
fn create(
    topics: &[TopicSpec],
    brokers: usize,
    cluster: &mut Cluster,
    router: &mut Router,
    stop: &Stop,
) -> Result<(), HarnessError> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut missing: Vec<&TopicSpec> = topics.iter().collect();
    let mut last = "no broker answers".to_owned();
    while !missing.is_empty() {
        let ended = cluster.ended();
        if !ended.is_empty() || deadline <= Instant::now() || stop.sleep(POLL) {
            return Err(HarnessError::NoCluster(format!("{last}\n{}", ended.join("\n"))));
        }
        let Some((_, known)) = router.on_any(|broker| broker.describe(topics[0].name)) else { continue };
        if known.len() < brokers {
            last = format!("only {known:?} are there");
            continue;
        }
        missing.retain(|spec| match router.on_any(|broker| broker.create(spec)) {
            Some(Ok(()) | Err(ErrorCode::TopicAlreadyExists)) => false,
            answer => {
                last = format!("CreateTopics {}: {answer:?}", spec.name);
                true
            }
        });
    }
    Ok(())
}

/// How all partitions should be.
struct State<'a> {
    assigned: &'a [(Key, Vec<NodeId>)],
    topics: &'a [TopicSpec],
}

impl State<'_> {
    /// Waits until every partition has the replicas that it was assigned, and all of them are in sync.
    fn wait(&self, router: &mut Router, timeout: Duration, stop: &Stop) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        loop {
            let states: Vec<PartitionState> =
                self.topics.iter().flat_map(|topic| router.describe(topic.name).unwrap_or_default()).collect();
            let wrong: Vec<String> =
                self.assigned.iter().filter_map(|(key, replicas)| wrong(key, replicas, &states)).collect();
            if wrong.is_empty() {
                return Ok(());
            }
            if deadline <= Instant::now() || stop.sleep(POLL) {
                return Err(wrong.join("; "));
            }
        }
    }
}

fn wrong(key: &Key, replicas: &[NodeId], states: &[PartitionState]) -> Option<String> {
    let Some(state) = states.iter().find(|state| state.key == *key) else {
        return Some(format!("{key} is not known"));
    };
    let is_right = state.leader.is_some()
        && state.replicas == replicas
        && state.isr.len() == replicas.len()
        && replicas.iter().all(|id| state.isr.contains(id));
    (!is_right).then(|| format!("{key}: {state:?}"))
}

/// Every partition has taken batches since the world was whole.
fn expect_progress(assigned: &[(Key, Vec<NodeId>)], recorder: &Recorder, since_healed: Duration) {
    let healed_at = recorder.now().saturating_sub(since_healed);
    for (key, _) in assigned.iter().filter(|(key, _)| key.topic == workload::SAFE) {
        if recorder.last_ack(key).is_none_or(|at| at < healed_at) {
            recorder.problem(format!("{key} has taken nothing since the healing at {:.3} s", healed_at.as_secs_f64()));
        }
    }
}

/// Reads every partition from its beginning; where each ends.
fn read_everything(
    assigned: &[(Key, Vec<NodeId>)],
    workload: &mut Workload,
    router: &mut Router,
    recorder: &Recorder,
    endpoints: &Arc<[crate::node::Endpoint]>,
) -> BTreeMap<Key, u64> {
    let (process, mut reader) = workload.client(endpoints);
    let mut ends = BTreeMap::new();
    for (key, _) in assigned {
        let deadline = Instant::now() + END_TIMEOUT;
        let end = loop {
            if let Some(end) = latest(key, router) {
                break Some(end);
            }
            if deadline <= Instant::now() {
                break None;
            }
            std::thread::sleep(POLL);
        };
        let Some(end) = end else {
            recorder.problem(format!("nobody says where {key} ends"));
            continue;
        };
        let read = read_all(process, key, end, &mut reader, recorder);
        if read < end {
            recorder.problem(format!("{key} can be read up to {read} only, and ends at {end}"));
        }
        ends.insert(key.clone(), end);
    }
    ends
}

fn latest(key: &Key, router: &mut Router) -> Option<u64> {
    let leader = router.leader(key)?;
    let end = router.on(leader.node, |broker| broker.latest(key, leader.epoch)).ok().and_then(Result::ok);
    if end.is_none() {
        router.forget(key);
    }
    end
}

fn stop_in_order(cluster: &mut Cluster, recorder: &Recorder) {
    // All at once, as the last ones would otherwise wait for a quorum that is gone.
    for (id, is_stopped) in cluster.stop_all() {
        if !is_stopped {
            recorder.problem(format!("node {id} does not stop in order"));
        }
    }
}

fn compare(cluster: &Cluster, assigned: &[(Key, Vec<NodeId>)], ends: &BTreeMap<Key, u64>, recorder: &Recorder) {
    let data: BTreeMap<NodeId, PathBuf> = cluster.data().into_iter().collect();
    for (key, ids) in assigned {
        let Some(end) = ends.get(key) else { continue };
        let replicas: Vec<(NodeId, PathBuf)> = ids.iter().map(|id| (*id, data[id].clone())).collect();
        for problem in replicas::compare(key, &replicas, *end) {
            recorder.problem(problem);
        }
    }
}

/// What runs the same plan again.
fn command(args: &Args) -> String {
    let mut words = vec!["cargo run --release -p highwater-faults --".to_owned()];
    words.push(format!("--nodes {} --seed {} --minutes {}", args.nodes, args.seed, args.minutes));
    if args.server != crate::server::Kind::Highwater {
        words.push("--server kafka".to_owned());
    }
    if !args.only.is_empty() {
        let only: Vec<String> = args.only.iter().map(ToString::to_string).collect();
        words.push(format!("--only {}", only.join(",")));
    }
    if args.min_insync_replicas != MIN_INSYNC_REPLICAS {
        words.push(format!("--min-insync-replicas {}", args.min_insync_replicas));
    }
    words.extend(args.set.iter().map(|setting| format!("--set {setting}")));
    words.join(" ")
}

/// Unless something else is asked for.
pub(crate) const MIN_INSYNC_REPLICAS: u32 = 2;
const START_TIMEOUT: Duration = Duration::from_secs(90);
const HEAL_TIMEOUT: Duration = Duration::from_secs(60);
const HEAL_ATTEMPTS: u32 = 6;
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the healthy cluster is used before the end.
const CALM: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(250);
