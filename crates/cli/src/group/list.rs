//! `highwater group ls`, `describe` and `members`.

use std::collections::BTreeMap;

use clap::Args;
use highwater_client::ErrorCode;
use highwater_client::admin::GroupDescription;

use super::lag::{self, Row};
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::selection::{GroupNames, whole};
use crate::session::{Session, told};

/// Arguments of `highwater group ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only groups whose whole name matches this regular expression.
    pattern: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater group describe`.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    #[command(flatten)]
    names: GroupNames,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater group members`.
#[derive(Args, Debug)]
pub(crate) struct Members {
    #[command(flatten)]
    names: GroupNames,
    #[command(flatten)]
    output: Output,
}

impl List {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let pattern = self.pattern.as_deref().map(whole).transpose()?;
        let mut groups = session.admin.list_groups().wait().map_err(|error| told("cannot list groups", &error))?;
        groups.retain(|group| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&group.name)));
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("state"),
            Column::new("type"),
            Column::new("protocol").wide(),
        ]);
        for group in groups {
            let state = group.state.map_or(Cell::Absent, state);
            table.row(vec![group.name.into(), state, Cell::maybe(group.kind), group.protocol_type.into()]);
        }
        self.output.print(&table)
    }
}

impl Describe {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("state"),
            Column::new("type"),
            Column::new("members"),
            Column::new("assignor"),
            Column::new("coordinator"),
            Column::new("topics"),
            Column::new("lag"),
            Column::new("epoch").wide(),
        ]);
        for group in described(session, self.names.choose(session)?)? {
            let rows = lag::rows(session, &group)?;
            let topics: Vec<_> = rows.iter().map(|row| row.at.topic.as_str()).collect();
            let mut topics: Vec<String> = topics.into_iter().map(str::to_owned).collect();
            topics.dedup();
            let lag: u64 = rows.iter().filter_map(Row::lag).sum();
            table.row(vec![
                group.name.into(),
                state(group.state),
                group.kind.into(),
                group.members.len().into(),
                if group.assignor.is_empty() { Cell::Absent } else { group.assignor.into() },
                group.coordinator.to_wire().into(),
                Cell::List(topics),
                lag.into(),
                Cell::maybe(group.epoch),
            ]);
        }
        self.output.print(&table)
    }
}

impl Members {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let mut table = Table::new(vec![
            Column::new("group"),
            Column::new("member"),
            Column::new("instance"),
            Column::new("client"),
            Column::new("host"),
            Column::new("assignment"),
            Column::new("epoch").wide(),
        ]);
        for group in described(session, self.names.choose(session)?)? {
            for member in group.members {
                table.row(vec![
                    group.name.as_str().into(),
                    member.id.into(),
                    Cell::maybe(member.instance_id),
                    member.client_id.into(),
                    member.host.into(),
                    Cell::List(by_topic(&member.assignment)),
                    Cell::maybe(member.epoch),
                ]);
            }
        }
        self.output.print(&table)
    }
}

/// Groups, all of which have to exist.
pub(crate) fn described(session: &Session, names: Vec<String>) -> Result<Vec<GroupDescription>, CliError> {
    let described = session.admin.describe_groups(names).wait();
    let described = described.map_err(|error| told("cannot describe groups", &error))?;
    described
        .into_iter()
        .map(|(name, result)| {
            let what = format!("cannot describe group {name}");
            match result {
                Ok(group) if group.state == "Dead" => Err(CliError::answered(what, ErrorCode::GroupIdNotFound, None)),
                result => result.map_err(|error| told(what, &error)),
            }
        })
        .collect()
}

/// Why a group with members is left alone, naming them.
pub(crate) fn refuse_live(session: &Session, name: &str, what: String) -> CliError {
    let members = described(session, vec![name.to_owned()]).unwrap_or_default();
    let names: Vec<String> = members
        .iter()
        .flat_map(|group| &group.members)
        .map(|member| format!("{} on {}", member.client_id, member.host.trim_start_matches('/')))
        .collect();
    let names = if names.is_empty() { "somebody".to_owned() } else { names.join(", ") };
    CliError::new(Kind::Conflict, what, format!("it has members: {names} (NON_EMPTY_GROUP)"))
        .hint(format!("stop them first; see them with `highwater group members {name}`"))
}

fn state(state: String) -> Cell {
    let mood = match state.as_str() {
        "Stable" => Mood::Good,
        "Dead" => Mood::Bad,
        _ => Mood::Fair,
    };
    Cell::State(state, mood)
}

/// Partitions as `topic[0,1]`.
fn by_topic(assignment: &[highwater_client::TopicPartition]) -> Vec<String> {
    let mut topics: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for at in assignment {
        topics.entry(at.topic.as_str()).or_default().push(at.partition.value());
    }
    let texts = topics.into_iter().map(|(topic, mut partitions)| {
        partitions.sort_unstable();
        let numbers: Vec<String> = partitions.iter().map(u32::to_string).collect();
        format!("{topic}[{}]", numbers.join(","))
    });
    texts.collect()
}
