//! Runs `testdata/coordinator.txt` over a shard of registers. `REWRITE=1` accepts new output.

#![expect(clippy::unwrap_used, reason = "a script that cannot be read fails the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use highwater_coordinator::{
    Append, Coordinator, CoordinatorConfig, Entry, Now, Output, Reply, Shard, Step, Ticks, Timers, Token,
};
use highwater_testsupport::{Runner, run_file};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};

/// Registers with names, and requests that wait for somebody to let them go.
#[derive(Debug, Default)]
struct Registers {
    values: BTreeMap<String, String>,
    /// Names that are about to be written.
    reserved: Vec<String>,
    waiting: Vec<Token>,
    /// When registers are to be cleared.
    timers: Timers<String>,
}

#[derive(Debug)]
enum Request<'a> {
    Set { name: &'a str, value: &'a str },
    Get { name: &'a str },
    Expire { name: &'a str, at: Ticks },
    Wait,
}

type RegisterStep = Step<(String, String), String, String>;

impl Shard for Registers {
    type Request<'a> = Request<'a>;
    type Response = String;
    type Record = (String, String);
    /// Lets go who waits.
    type Event = ();
    type Effect = String;
    type Corrupt = String;

    fn handle(&mut self, _now: Now, token: Token, request: Request<'_>, step: &mut RegisterStep) {
        match request {
            Request::Set { name, value } => {
                self.reserved.push(name.to_owned());
                step.record((name.to_owned(), value.to_owned()));
                step.reply(token, format!("set {name}"));
                step.effect = Some(name.to_owned());
            }
            Request::Get { name } => {
                let value = self.values.get(name).map_or("nothing", String::as_str);
                step.reply(token, format!("{name} is {value}, {} reserved", self.reserved.len()));
            }
            Request::Expire { name, at } => {
                self.timers.set(name.to_owned(), at);
                step.reply(token, "armed".to_owned());
            }
            Request::Wait => self.waiting.push(token),
        }
    }

    fn handle_event(&mut self, _now: Now, (): (), step: &mut RegisterStep) {
        for token in self.waiting.drain(..) {
            step.reply(token, "released".to_owned());
        }
    }

    fn handle_timeout(&mut self, now: Now, step: &mut RegisterStep) {
        if let Some(name) = self.timers.pop_due(now.ticks) {
            step.record((name, "expired".to_owned()));
        }
    }

    fn next_timeout(&self) -> Option<Ticks> {
        self.timers.next()
    }

    fn apply(&mut self, _now: Now, _offset: Offset, entry: Entry<(String, String)>) -> Result<(), String> {
        let Entry::Record((name, value)) = entry else { return Ok(()) };
        if value == "bad" {
            return Err(format!("{name} cannot be {value}"));
        }
        self.values.insert(name, value);
        Ok(())
    }

    fn loaded(&mut self, now: Now, step: &mut RegisterStep) {
        if self.values.contains_key("greet") {
            step.record(("greeted".to_owned(), now.ticks.0.to_string()));
        }
    }

    fn appended(&mut self, _now: Now, name: String) {
        self.reserved.retain(|reserved| *reserved != name);
    }

    fn append_failed(&mut self, _now: Now, name: String, _error: ErrorCode, step: &mut RegisterStep) {
        self.reserved.retain(|reserved| *reserved != name);
        for token in self.waiting.drain(..) {
            step.reply(token, format!("{name} was not set"));
        }
    }

    fn resign(&mut self, error: ErrorCode) -> Vec<Reply<String>> {
        let waiting = self.waiting.drain(..);
        waiting.map(|token| Reply { token, response: format!("waited: {}", error.name()) }).collect()
    }

    fn refuse(request: &Request<'_>, error: ErrorCode) -> String {
        format!("{request:?} refused: {}", error.name())
    }

    fn fail(response: String, error: ErrorCode) -> String {
        format!("not \"{response}\": {}", error.name())
    }
}

/// A coordinator with the append that it waits for.
struct Driver {
    coordinator: Coordinator<Registers>,
    append: Option<Append<(String, String)>>,
    now: u64,
}

impl Driver {
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = Now { ticks: Ticks(self.now), wall: TimestampMs(0) };
        let coordinator = &mut self.coordinator;
        let mut out = String::new();
        match words[..] {
            ["elect", term] => coordinator.elect(epoch(term), Registers::default()),
            ["resign", "gone"] => coordinator.resign(None),
            ["resign", term] => coordinator.resign(Some(epoch(term))),
            ["replay", term, at, name, value] => {
                let entry = Entry::Record((name.to_owned(), value.to_owned()));
                if let Err(error) = coordinator.replay(now, epoch(term), offset(at), entry) {
                    writeln!(out, "{error:?}").unwrap();
                }
            }
            ["loaded", term, end] => coordinator.loaded(now, epoch(term), offset(end)),
            ["unreadable", term] => coordinator.load_failed(epoch(term)),
            ["set", id, name, value] => coordinator.handle(now, token(id), Request::Set { name, value }),
            ["get", id, name] => coordinator.handle(now, token(id), Request::Get { name }),
            ["wait", id] => coordinator.handle(now, token(id), Request::Wait),
            ["expire", id, name, at] => {
                coordinator.handle(now, token(id), Request::Expire { name, at: Ticks(at.parse().unwrap()) });
            }
            ["release"] => coordinator.handle_event(now, ()),
            ["appended", at] => {
                let append = self.append.take().expect("an append is under way");
                coordinator.appended(now, append, Ok(offset(at)));
            }
            ["append-failed"] => {
                let append = self.append.take().expect("an append is under way");
                coordinator.appended(now, append, Err(ErrorCode::KafkaStorageError));
            }
            ["commit", term, end] => coordinator.commit(epoch(term), offset(end)),
            ["time", at] => {
                self.now = at.parse().unwrap();
                let now = Now { ticks: Ticks(self.now), ..now };
                coordinator.handle_timeout(now);
            }
            ["state"] => {
                let next = coordinator.next_timeout().map_or("never".to_owned(), |at| at.0.to_string());
                let term = coordinator.epoch().map_or("none".to_owned(), |epoch| epoch.value().to_string());
                let (active, parked, stats) = (coordinator.is_active(), coordinator.parked(), coordinator.stats());
                writeln!(out, "term {term}, active {active}, parked {parked}, next {next}, {stats:?}").unwrap();
            }
            _ => panic!("unknown command: {line}"),
        }
        while let Some(output) = coordinator.poll_output() {
            match output {
                Output::Load { epoch } => writeln!(out, "load in epoch {}", epoch.value()).unwrap(),
                Output::Append(append) => {
                    writeln!(out, "append in epoch {}: {:?}", append.epoch.value(), append.records).unwrap();
                    self.append = Some(append);
                }
                Output::Reply(Reply { token, response }) => writeln!(out, "{}: {response}", token.0).unwrap(),
            }
        }
        out
    }
}

fn epoch(word: &str) -> LeaderEpoch {
    LeaderEpoch::new(word.parse().unwrap())
}

fn offset(word: &str) -> Offset {
    Offset::new(word.parse().unwrap())
}

fn token(word: &str) -> Token {
    Token(word.parse().unwrap())
}

#[test]
fn coordinator_scripts() {
    run_file("testdata/coordinator.txt", || -> Runner {
        let config = CoordinatorConfig { commit_timeout_ms: 100 };
        let mut driver = Driver { coordinator: Coordinator::new(config), append: None, now: 0 };
        Box::new(move |line| driver.run(line))
    });
}

/// Feeds another input while an append is under way.
#[test]
#[should_panic(expected = "tell the outcome of the append before the next input")]
fn nothing_comes_between_an_append_and_its_outcome() {
    let config = CoordinatorConfig { commit_timeout_ms: 100 };
    let mut driver = Driver { coordinator: Coordinator::new(config), append: None, now: 0 };
    for line in ["elect 1", "loaded 1 0", "set 1 a x", "get 2 a"] {
        driver.run(line);
    }
}

#[test]
fn defaults_are_kafkas() {
    assert_eq!(CoordinatorConfig::default().commit_timeout_ms, 5000);
}
