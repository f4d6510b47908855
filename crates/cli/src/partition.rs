//! `highwater partition`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use highwater_client::admin::{Election, ElectionKind, Reassignment};
use highwater_client::{NodeId, TopicPartition};

use crate::connection::Connection;
use crate::error::{CliError, Kind};
use crate::group::reset::chosen;
use crate::outcome::Outcomes;
use crate::output::{Cell, Column, Mood, Output, Table, note};
use crate::plan::{Decision, Question, Safety};
use crate::session::{Session, node_id, partition, told, topic_name};
use crate::topic::describe::{ids, state, topics};

/// See partitions, move their replicas, and elect their leaders.
#[derive(Debug, Subcommand)]
pub(crate) enum Partition {
    /// List partitions: of all topics, or of some.
    #[command(visible_alias = "list")]
    Ls(List),
    /// Move the replicas of partitions to other brokers.
    Move(Move),
    /// Show which partitions are on the move.
    MoveStatus(Status),
    /// Take back moves that are under way.
    MoveCancel(Cancel),
    /// Elect leaders.
    Elect(Elect),
}

/// Arguments of `highwater partition ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Topics; by default all.
    topics: Vec<String>,
    /// Only partitions with a replica on this broker.
    #[arg(long, value_name = "ID", value_parser = node_id)]
    broker: Option<NodeId>,
    /// Only partitions that are not well.
    #[arg(long)]
    unwell: bool,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater partition move`.
#[derive(Args, Debug)]
pub(crate) struct Move {
    /// Partitions: TOPIC, or TOPIC:0,1.
    #[arg(required = true, value_name = "TOPIC[:PARTITION,...]")]
    partitions: Vec<String>,
    /// The brokers that are to have the replicas, the preferred leader first. Partitions take turns in who is first.
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = node_id, required = true)]
    to: Vec<NodeId>,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater partition move-status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Fail with code 1 while anything is on the move, for scripts that wait.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater partition move-cancel`.
#[derive(Args, Debug)]
pub(crate) struct Cancel {
    /// Partitions: TOPIC, or TOPIC:0,1. Without any: all that are on the move.
    #[arg(value_name = "TOPIC[:PARTITION,...]")]
    partitions: Vec<String>,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater partition elect`.
#[derive(Args, Debug)]
pub(crate) struct Elect {
    /// Partitions: TOPIC, or TOPIC:0,1. Without any: all.
    #[arg(value_name = "TOPIC[:PARTITION,...]")]
    partitions: Vec<String>,
    /// Who may lead: the first replica if it is in sync, or, at the price of records, one that is not.
    #[arg(long, value_enum, default_value_t = Who::Preferred)]
    kind: Who,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

/// Who may be elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    Preferred,
    Unclean,
}

impl Partition {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Ls(list) => list.run(&session),
            Self::Move(moving) => moving.run(&session),
            Self::MoveStatus(status) => status.run(&session),
            Self::MoveCancel(cancel) => cancel.run(&session),
            Self::Elect(elect) => elect.run(&session),
        }
    }
}

fn name(at: &TopicPartition) -> String {
    format!("{}-{}", at.topic.as_str(), at.partition)
}

impl List {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let names = if self.topics.is_empty() {
            let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
            listed.into_iter().map(|topic| topic.name).collect()
        } else {
            self.topics
        };
        let mut table = Table::new(vec![
            Column::new("topic"),
            Column::new("partition"),
            Column::new("leader"),
            Column::new("replicas"),
            Column::new("isr"),
            Column::new("state"),
        ]);
        for topic in topics(session, names)? {
            for partition in &topic.partitions {
                let (word, mood) = state(partition);
                let is_there = self.broker.is_none_or(|broker| partition.replicas.contains(&broker));
                if is_there && !(self.unwell && mood == Mood::Good) {
                    table.row(vec![
                        topic.name.as_str().into(),
                        partition.index.to_wire().into(),
                        Cell::maybe(partition.leader.map(NodeId::to_wire)),
                        ids(&partition.replicas),
                        ids(&partition.isr),
                        Cell::State(word.into(), mood),
                    ]);
                }
            }
        }
        self.output.print(&table)
    }
}

impl Move {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let wanted = chosen(session, &self.partitions)?;
        let mut now: BTreeMap<TopicPartition, Vec<NodeId>> = BTreeMap::new();
        let names: Vec<String> = wanted.iter().map(|at| at.topic.as_str().to_owned()).collect();
        for topic in topics(session, names)? {
            for described in topic.partitions {
                now.insert(partition(&topic_name(&topic.name)?, described.index), described.replicas);
            }
        }
        let mut plan = Table::new(vec![
            Column::new("topic"),
            Column::new("partition"),
            Column::new("replicas"),
            Column::new("new_replicas"),
        ]);
        let mut moves = Vec::new();
        for (turn, at) in wanted.into_iter().enumerate() {
            let mut to = self.to.clone();
            let shift = turn % to.len();
            to.rotate_left(shift);
            let replicas = now.remove(&at).unwrap_or_default();
            plan.row(vec![at.topic.as_str().into(), at.partition.to_wire().into(), ids(&replicas), ids(&to)]);
            moves.push((at, Some(to)));
        }
        let ask = format!("Move {} partitions?", moves.len());
        if self.safety.decide(&plan, &self.output, Question::YesNo(&ask))? == Decision::Stop {
            return Ok(());
        }
        alter(session, moves, Outcomes::new("partition", "move", "started"), &self.output)?;
        note("the brokers go on with it by themselves; see `highwater partition move-status`");
        Ok(())
    }
}

fn alter(
    session: &Session,
    moves: Vec<(TopicPartition, Option<Vec<NodeId>>)>,
    mut outcomes: Outcomes,
    output: &Output,
) -> Result<(), CliError> {
    let results = session.admin.alter_reassignments(moves).wait();
    for (at, result) in results.map_err(|error| told("cannot move partitions", &error))? {
        outcomes.add(&name(&at), result, |what, error| told(what, &error));
    }
    outcomes.finish(output)
}

fn moves(session: &Session) -> Result<Vec<Reassignment>, CliError> {
    session.admin.list_reassignments().wait().map_err(|error| told("cannot list moves", &error))
}

fn moves_table(moves: &[Reassignment]) -> Table {
    let mut table = Table::new(vec![
        Column::new("topic"),
        Column::new("partition"),
        Column::new("replicas"),
        Column::new("adding"),
        Column::new("removing"),
    ]);
    for moving in moves {
        table.row(vec![
            moving.at.topic.as_str().into(),
            moving.at.partition.to_wire().into(),
            ids(&moving.replicas),
            ids(&moving.adding),
            ids(&moving.removing),
        ]);
    }
    table
}

impl Status {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let moves = moves(session)?;
        self.output.print(&moves_table(&moves))?;
        if self.check && !moves.is_empty() {
            let what = format!("{} partitions are on the move", moves.len());
            return Err(CliError::new(Kind::Failed, what, "the table tells which"));
        }
        Ok(())
    }
}

impl Cancel {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let mut moves = moves(session)?;
        if !self.partitions.is_empty() {
            let wanted = chosen(session, &self.partitions)?;
            let is_moving = |at: &TopicPartition| moves.iter().any(|moving| moving.at == *at);
            if let Some(still) = wanted.iter().find(|at| !is_moving(at)) {
                let why = "nobody moves it (NO_REASSIGNMENT_IN_PROGRESS)";
                return Err(CliError::new(Kind::NotFound, format!("cannot cancel the move of {}", name(still)), why));
            }
            moves.retain(|moving| wanted.contains(&moving.at));
        }
        let ask = format!("Take back {} moves?", moves.len());
        if !moves.is_empty()
            && self.safety.decide(&moves_table(&moves), &self.output, Question::YesNo(&ask))? == Decision::Stop
        {
            return Ok(());
        }
        let moves = moves.into_iter().map(|moving| (moving.at, None)).collect();
        alter(session, moves, Outcomes::new("move", "cancel", "cancelled"), &self.output)
    }
}

impl Elect {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let wanted = if self.partitions.is_empty() { None } else { Some(chosen(session, &self.partitions)?) };
        let kind = match self.kind {
            Who::Preferred => ElectionKind::Preferred,
            Who::Unclean => ElectionKind::Unclean,
        };
        let mut plan = Table::new(vec![Column::new("partition"), Column::new("action")]);
        let action = if self.kind == Who::Unclean { "elect, losing records" } else { "elect the preferred leader" };
        match &wanted {
            Some(wanted) => wanted.iter().for_each(|at| plan.row(vec![name(at).into(), action.into()])),
            None => plan.row(vec!["all".into(), action.into()]),
        }
        let question = match self.kind {
            Who::Preferred => Question::YesNo("Elect leaders?"),
            Who::Unclean => Question::Typed { ask: "This may lose records for good.", name: "unclean" },
        };
        if self.safety.decide(&plan, &self.output, question)? == Decision::Stop {
            return Ok(());
        }
        let results = session.admin.elect_leaders(kind, wanted).wait();
        let mut table = Table::new(vec![Column::new("partition"), Column::new("result"), Column::new("error")]);
        let mut failed: Vec<CliError> = Vec::new();
        for (at, result) in results.map_err(|error| told("cannot elect leaders", &error))? {
            let (word, mood, error) = match result {
                Ok(Election::Elected) => ("elected", Mood::Good, Cell::Absent),
                Ok(Election::NotNeeded) => ("not needed", Mood::Good, Cell::Absent),
                Err(error) => {
                    let error = told(format!("cannot elect a leader for {}", name(&at)), &error);
                    let why = Cell::text(error.why());
                    failed.push(error);
                    ("failed", Mood::Bad, why)
                }
            };
            table.row(vec![name(&at).into(), Cell::State(word.into(), mood), error]);
        }
        self.output.print(&table)?;
        match (failed.pop(), table.len()) {
            (None, _) => Ok(()),
            (Some(error), 1) => Err(error),
            (Some(_), all) => {
                let what = format!("cannot elect {} of {all} leaders", failed.len() + 1);
                Err(CliError::new(Kind::Partial, what, "the table tells why, one by one"))
            }
        }
    }
}
