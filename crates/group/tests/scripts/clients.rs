//! Clients that do what consumers do, with everything that can go wrong, and then nothing does.

use highwater_group::{JoinGroupResponse, MemberAssignment, Response};
use highwater_types::ErrorCode;
use proptest::prelude::*;

use crate::commands::run;
use crate::names::short;
use crate::world::World;

/// One consumer of group `g`.
#[derive(Debug, Default)]
struct Client {
    name: &'static str,
    instance: Option<&'static str>,
    version: i16,
    /// Its member id, as scripts write it; empty for none.
    id: String,
    generation: i32,
    stage: Stage,
    /// The request that it waits for.
    waits_for: Option<u64>,
    /// What a leader gives to everybody.
    assigns: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Out,
    Joined,
    Synced,
}

#[derive(Clone, Debug)]
enum Op {
    /// A client does the next thing, if it does not wait.
    Act(usize),
    /// It gives up what it waits for and asks anew, on another connection.
    Repeat(usize),
    /// It is started again, and knows nothing.
    Restart(usize),
    Leave(usize),
    Pass(u64),
    Line(&'static str),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..CLIENTS).prop_map(Op::Act),
        1 => (0..CLIENTS).prop_map(Op::Repeat),
        1 => (0..CLIENTS).prop_map(Op::Restart),
        1 => (0..CLIENTS).prop_map(Op::Leave),
        3 => prop::sample::select(vec![1, 100, 3000, 9000, 30_000]).prop_map(Op::Pass),
        2 => prop::sample::select(vec!["fail", "hold", "release", "reload", "config size=3", "config size=9"])
            .prop_map(Op::Line),
    ]
}

impl Client {
    /// Does the next thing.
    fn act(&mut self, world: &mut World) {
        let instance = self.instance.map(|instance| format!(" instance={instance}")).unwrap_or_default();
        let Self { name, id, generation, version, .. } = self;
        let line = match self.stage {
            Stage::Out if id.is_empty() => format!("join g {name} version={version} rebalance=20000{instance}"),
            Stage::Out => format!("join g {name} version={version} rebalance=20000 member={id}{instance}"),
            Stage::Joined => format!("sync g {generation} {id}{} {instance}", self.assigns.concat()),
            Stage::Synced => format!("heartbeat g {generation} {id}{instance}"),
        };
        self.waits_for = Some(world.next_token());
        run(world, &line);
    }

    fn take(&mut self, response: &Response) {
        self.waits_for = None;
        match response {
            Response::Join(join) => self.take_join(join),
            Response::Sync(sync) if sync.error == ErrorCode::None => {
                let expected = share(&self.id, self.generation);
                assert_eq!(sync.assignment, MemberAssignment::Opaque(expected.as_bytes().into()));
                self.stage = Stage::Synced;
            }
            Response::Heartbeat(ErrorCode::None) => {}
            Response::Sync(sync) => self.take_error(sync.error),
            Response::Heartbeat(error) => self.take_error(*error),
            other => panic!("{other:?}"),
        }
    }

    fn take_join(&mut self, join: &JoinGroupResponse) {
        match join.error {
            ErrorCode::MemberIdRequired => self.id = short(&join.member),
            ErrorCode::None => {
                (self.id, self.generation, self.stage) = (short(&join.member), join.generation, Stage::Joined);
                let members = join.members.iter().map(|member| short(&member.id));
                self.assigns = members.map(|id| format!(" {id}:{}", share(&id, join.generation))).collect();
                if join.skip_assignment {
                    self.assigns.clear();
                }
            }
            error => self.take_error(error),
        }
    }

    fn take_error(&mut self, error: ErrorCode) {
        self.stage = Stage::Out;
        match error {
            ErrorCode::RebalanceInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {}
            ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::FencedInstanceId
            | ErrorCode::GroupMaxSizeReached => self.id.clear(),
            other => panic!("{other:?}"),
        }
    }
}

/// What a leader gives to a member. A static one keeps it when it gets a new id.
fn share(id: &str, generation: i32) -> String {
    let (name, _) = id.rsplit_once('-').unwrap();
    format!("{name}/{generation}")
}

/// Gives the clients their answers.
fn deliver(world: &mut World, clients: &mut [Client]) {
    for (token, response) in std::mem::take(&mut world.answers) {
        if let Some(client) = clients.iter_mut().find(|client| client.waits_for == Some(token)) {
            client.take(&response);
        }
    }
}

fn perform(world: &mut World, clients: &mut [Client], op: &Op) {
    match op {
        Op::Act(at) => {
            if clients[*at].waits_for.is_none() {
                clients[*at].act(world);
            }
        }
        Op::Repeat(at) => clients[*at].act(world),
        Op::Restart(at) => {
            let client = &mut clients[*at];
            (client.id, client.stage, client.waits_for) = (String::new(), Stage::Out, None);
        }
        Op::Leave(at) => {
            let client = &mut clients[*at];
            if !client.id.is_empty() {
                run(world, &format!("leave g {}", client.id));
                (client.id, client.stage, client.waits_for) = (String::new(), Stage::Out, None);
            }
        }
        Op::Pass(ms) => {
            run(world, &format!("pass {ms}"));
        }
        Op::Line(line) => {
            run(world, line);
        }
    }
    deliver(world, clients);
}

fn clients() -> Vec<Client> {
    let client = |name, instance, version| Client { name, instance, version, ..Client::default() };
    vec![
        client("a", None, 9),
        client("b", None, 3),
        client("c", Some("i"), 9),
        client("d", Some("j"), 8),
        client("e", None, 5),
    ]
}

/// Once nothing goes wrong any more, all are in one generation before long.
fn converge(world: &mut World, clients: &mut [Client]) {
    world.fails = false;
    for line in ["release", "config size=9"] {
        run(world, line);
        deliver(world, clients);
    }
    for _ in 0..60 {
        for at in 0..clients.len() {
            perform(world, clients, &Op::Act(at));
        }
        perform(world, clients, &Op::Pass(2000));
    }
    for client in clients.iter() {
        assert_eq!((client.stage, client.generation), (Stage::Synced, clients[0].generation), "{clients:?}");
    }
    for at in 0..clients.len() {
        perform(world, clients, &Op::Leave(at));
    }
    // Those that were given up by their clients go too, and then nobody waits.
    perform(world, clients, &Op::Pass(1_000_000));
    run(world, "reload");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// `World` looks after the rest: no request is answered twice, none is forgotten, and the log tells what was told.
    #[test]
    fn clients_come_together(ops in prop::collection::vec(op(), 0..120)) {
        let (mut world, mut clients) = (World::new(), clients());
        for op in &ops {
            perform(&mut world, &mut clients, op);
        }
        converge(&mut world, &mut clients);
    }
}

const CLIENTS: usize = 5;
