//! A directory of logs with its checkpoint files and its clean marker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use highwater_log::{CheckedLogConfig, DirOptions, Log, LogCheckpoint, LogDir, LogError, OpenedDir};
use highwater_types::{PartitionIndex, TopicName, TopicPartition, Uuid};

use super::env::Env;
use super::partition::{Kind, Loaded, Partition, Saved};
use super::plan::Plan;
use super::trace::Trace;

const DIR: &str = "/logs";

/// Names that a directory's partitions get: one as simple as can be, one with everything that is allowed.
const TOPICS: [&str; 2] = ["t", "a-topic.with_all-1"];

/// Plays the history of one directory that belongs to `seed`.
///
/// # Panics
///
/// At the first thing that is not as it should be.
pub(crate) fn run(seed: u64, trace: &mut Trace<'_>) {
    let mut env = Env::new(seed, trace);
    let fault_percent = env.random.pick(&[0, 5, 15, 30]);
    let steps = env.random.between(20, 120);
    let mut world =
        World { dir: None, partitions: BTreeMap::new(), uncertain: BTreeSet::new(), fault_percent, closing: false };
    // A directory that could not be made is its owner's to make again: nothing goes wrong the first time.
    world.open(&mut env, 0);
    for step in 0..steps {
        env.say(|| format!("step {step}"));
        world.step(&mut env);
        if world.partitions.values().any(|partition| partition.is_unjudgeable) {
            env.say(|| "nobody can judge what follows".to_owned());
            return;
        }
    }
}

struct World {
    dir: Option<LogDir>,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Those that were being created or deleted when the process ended: they may be there.
    uncertain: BTreeSet<TopicPartition>,
    fault_percent: u64,
    /// The directory was being closed in order when the process ended.
    closing: bool,
}

impl World {
    fn step(&mut self, env: &mut Env<'_, '_>) {
        env.pass_time();
        env.maybe_inject(self.fault_percent);
        match env.random.below(100) {
            0..5 => self.create(env),
            5..7 => self.delete(env),
            7..12 => {
                let written = self.write_checkpoints(env);
                self.settle(env, Kind::Change, written);
            }
            12..16 => self.close(env),
            16..21 => {
                env.say(|| "  the process ends".to_owned());
                self.end(env);
            }
            21..23 => self.unlink(env),
            _ => self.use_one(env),
        }
    }

    fn dir(&mut self) -> &mut LogDir {
        self.dir.as_mut().expect("the directory is open")
    }

    fn use_one(&mut self, env: &mut Env<'_, '_>) {
        let index = env.random.index(self.partitions.len());
        let Some((name, partition)) = self.partitions.iter_mut().nth(index) else { return };
        env.say(|| format!(" {name}"));
        let (kind, result) = partition.step(env);
        let wants_checkpoint = result.is_ok() && partition.wants_checkpoint;
        if result.is_ok() && !env.disk.is_off() && !partition.is_unjudgeable {
            env.disk.heal();
            partition.check(env);
        }
        self.settle(env, kind, result);
        if wants_checkpoint && self.partitions.values().any(|partition| partition.wants_checkpoint) {
            let written = self.write_checkpoints(env);
            self.settle(env, Kind::Change, written);
        }
    }

    /// Goes on after a call, however it ended.
    fn settle(&mut self, env: &mut Env<'_, '_>, kind: Kind, result: Result<(), LogError>) {
        if let Err(error) = result {
            env.say(|| format!("  failed: {error}"));
            assert!(env.has_struck(), "failed for no reason: {error}");
            if kind == Kind::Change && !env.disk.is_off() {
                env.disk.heal();
                assert!(self.dir().is_offline(), "a failed change leaves its directory online");
                self.partitions.values_mut().for_each(|partition| partition.check_poisoned(env));
            }
            self.end(env);
        } else if env.disk.is_off() {
            self.end(env);
        } else {
            env.disk.heal();
        }
    }

    fn create(&mut self, env: &mut Env<'_, '_>) {
        let topic = TopicName::new(env.random.pick(&TOPICS)).expect("a topic's name");
        let name = TopicPartition::new(topic, PartitionIndex::new(u32::try_from(env.random.below(3)).unwrap_or(0)));
        if self.partitions.contains_key(&name) {
            return;
        }
        env.say(|| format!("  create {name}"));
        let mut plan = Plan::draw(&mut env.random);
        plan.config.file_delete_delay_ms = 1_000;
        let partition = Partition::new(&path_of(&name), plan);
        let (config, now) = (partition.config(), env.now());
        self.partitions.insert(name.clone(), partition);
        self.uncertain.insert(name.clone());
        match self.dir().create_log(&name, None, config, now) {
            Ok(log) => {
                self.uncertain.remove(&name);
                self.resume(&name, log, Loaded { clean: false, saved: Saved::default(), may_remember: true }, env);
                self.settle(env, Kind::Look, Ok(()));
            }
            Err(error) => {
                // The others go with it, and this one has no log to ask.
                env.say(|| format!("  failed: {error}"));
                assert!(env.has_struck(), "failed for no reason: {error}");
                self.end(env);
            }
        }
    }

    fn resume(&mut self, name: &TopicPartition, log: Log, loaded: Loaded, env: &mut Env<'_, '_>) {
        let partition = self.partitions.get_mut(name).expect("the model of an opened log");
        if env.disk.is_off() {
            return;
        }
        env.disk.heal();
        partition.resume(log, loaded, env);
    }

    fn delete(&mut self, env: &mut Env<'_, '_>) {
        let index = env.random.index(self.partitions.len());
        let Some(name) = self.partitions.keys().nth(index).cloned() else { return };
        env.say(|| format!("  delete {name}"));
        let log = self.partitions.get_mut(&name).and_then(Partition::take_log).expect("an open log");
        self.uncertain.insert(name.clone());
        let unique = Uuid::from_bytes(std::array::from_fn(|_| u8::try_from(env.random.below(256)).unwrap_or(0)));
        let now = env.now();
        match self.dir().delete_log(log, unique, now) {
            Ok(()) => {
                self.uncertain.remove(&name);
                self.partitions.remove(&name);
                self.settle(env, Kind::Look, Ok(()));
            }
            Err(error) => {
                env.say(|| format!("  failed: {error}"));
                assert!(env.has_struck(), "failed for no reason: {error}");
                assert!(self.dir().is_offline(), "a failed deletion leaves its directory online");
                self.end(env);
            }
        }
    }

    fn unlink(&mut self, env: &mut Env<'_, '_>) {
        let now = env.now();
        if let Some(task) = self.dir().due_deletions(now) {
            env.say(|| format!("  unlink {} logs", task.paths().len()));
            // What stays is found and removed after the next start.
            let _ = task.run();
        }
        self.settle(env, Kind::Look, Ok(()));
    }

    fn write_checkpoints(&mut self, env: &mut Env<'_, '_>) -> Result<(), LogError> {
        env.say(|| "  write checkpoints".to_owned());
        let states: Vec<LogCheckpoint> = self.partitions.values_mut().map(|one| one.log().checkpoint()).collect();
        self.dir().write_checkpoints(&states)?;
        self.partitions.values_mut().for_each(|partition| partition.wants_checkpoint = false);
        Ok(())
    }

    fn close(&mut self, env: &mut Env<'_, '_>) {
        env.say(|| "  close".to_owned());
        let logs = self.partitions.values_mut().map(|partition| partition.take_log().expect("an open log")).collect();
        let now = env.now();
        self.closing = true;
        let closed = self.dir.take().expect("the directory is open").close_clean(logs, None, now);
        if let Err(error) = &closed {
            env.say(|| format!("  failed: {error}"));
            assert!(env.has_struck(), "failed for no reason: {error}");
        }
        let is_marked = self.end_process(env);
        assert!(closed.is_err() || is_marked, "no clean marker after an orderly close");
        self.open(env, self.fault_percent);
    }

    /// Ends the process and opens the directory again.
    fn end(&mut self, env: &mut Env<'_, '_>) {
        self.end_process(env);
        self.open(env, self.fault_percent);
    }

    /// Returns whether there is a clean marker afterwards.
    fn end_process(&mut self, env: &mut Env<'_, '_>) -> bool {
        let is_cutting = self.partitions.values().any(Partition::is_cutting);
        self.partitions.values_mut().for_each(|partition| drop(partition.take_log()));
        self.dir = None;
        let end = env.end_process(is_cutting);
        env.say(|| format!("  {end:?}"));
        is_marked(env)
    }

    /// Opens the directory, again and again if something goes wrong meanwhile.
    fn open(&mut self, env: &mut Env<'_, '_>, fault_percent: u64) {
        loop {
            let clean = is_marked(env);
            assert!(!clean || self.closing, "a clean marker that nobody left");
            if clean {
                self.partitions.values_mut().for_each(Partition::note_closed);
            }
            let saved = read_checkpoints(env);
            if self.closing {
                // As far as closing got, the logs are synced, and the checkpoints say so.
                for (name, partition) in &mut self.partitions {
                    partition.note_synced(saved.get(name).map_or(0, |saved| saved.recovery_point));
                }
            }
            env.maybe_inject(fault_percent);
            let opened = self.try_open(env);
            match opened {
                Ok(opened) if !env.disk.is_off() => {
                    env.say(|| format!("  open, clean: {clean}"));
                    env.disk.heal();
                    assert_eq!(opened.dir.was_clean(), clean);
                    self.closing = false;
                    return self.resume_all(opened, clean, &saved, env);
                }
                Ok(_) => {}
                Err(error) => {
                    env.say(|| format!("  opening failed: {error}"));
                    assert!(env.has_struck(), "a directory cannot be opened: {error}");
                    assert!(matches!(error, LogError::Io { .. }), "a failing disk makes a directory {error}");
                }
            }
            self.end_process(env);
        }
    }

    fn try_open(&self, env: &Env<'_, '_>) -> Result<OpenedDir, LogError> {
        let options = DirOptions { recovery_threads: 1, now: env.now() };
        let config_of = |name: &TopicPartition| {
            let partition = self.partitions.get(name);
            partition.map_or_else(CheckedLogConfig::default, Partition::config)
        };
        let opened = LogDir::open(env.disk.shared(), Path::new(DIR), options, &config_of)?;
        let second = LogDir::open(env.disk.shared(), Path::new(DIR), options, &config_of);
        let is_kept_out = matches!(second, Err(LogError::Locked { .. } | LogError::Io { .. }));
        assert!(is_kept_out, "a directory is opened twice");
        Ok(opened)
    }

    fn resume_all(
        &mut self,
        opened: OpenedDir,
        clean: bool,
        saved: &BTreeMap<TopicPartition, Saved>,
        env: &mut Env<'_, '_>,
    ) {
        self.dir = Some(opened.dir);
        let mut missing: BTreeSet<TopicPartition> = self.partitions.keys().cloned().collect();
        for one in opened.logs {
            let name = one.topic_partition;
            assert!(missing.remove(&name), "{name} was deleted, or never created");
            env.say(|| format!(" {name}"));
            let saved = saved.get(&name).copied().unwrap_or_default();
            self.resume(&name, one.log, Loaded { clean, saved, may_remember: true }, env);
        }
        for name in missing {
            assert!(self.uncertain.contains(&name), "{name} is lost");
            self.partitions.remove(&name);
        }
        self.uncertain.clear();
        if self.partitions.values().any(|partition| partition.wants_checkpoint && !partition.is_unjudgeable) {
            self.write_checkpoints(env).expect("nothing goes wrong now");
        }
    }
}

fn path_of(name: &TopicPartition) -> PathBuf {
    Path::new(DIR).join(name.to_string())
}

fn is_marked(env: &Env<'_, '_>) -> bool {
    env.disk.read(&Path::new(DIR).join(".kafka_cleanshutdown")).is_some()
}

/// What the checkpoint files say, read without the help of the log.
fn read_checkpoints(env: &Env<'_, '_>) -> BTreeMap<TopicPartition, Saved> {
    let mut saved: BTreeMap<TopicPartition, Saved> = BTreeMap::new();
    let mut read = |file: &str, set: fn(&mut Saved, u64)| {
        let Some(bytes) = env.disk.read(&Path::new(DIR).join(file)) else { return };
        let text = String::from_utf8(bytes).expect("checkpoint files are text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.get(1).and_then(|count| count.parse().ok()), Some(lines.len() - 2), "{file} is damaged");
        for line in &lines[2..] {
            let words: Vec<&str> = line.split(' ').collect();
            let name = TopicPartition::from_dir_name(&format!("{}-{}", words[0], words[1])).expect("a partition");
            set(saved.entry(name).or_default(), words[2].parse().expect("an offset"));
        }
    };
    read("recovery-point-offset-checkpoint", |saved, offset| saved.recovery_point = offset);
    read("log-start-offset-checkpoint", |saved, offset| saved.log_start = offset);
    read("replication-offset-checkpoint", |saved, offset| saved.high_watermark = offset);
    saved
}
