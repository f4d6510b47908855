//! `highwater group lag`.

use std::collections::BTreeMap;

use clap::Args;
use highwater_client::TopicPartition;
use highwater_client::admin::{GroupDescription, GroupMember, OffsetSpec};

use super::list::described;
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::selection::GroupNames;
use crate::session::{Session, told};

/// Arguments of `highwater group lag`.
#[derive(Args, Debug)]
pub(crate) struct Lag {
    #[command(flatten)]
    names: GroupNames,
    /// Fail with code 1 if a partition is further behind than this, for probes.
    #[arg(long, value_name = "RECORDS")]
    max: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// How far a group is in a partition.
#[derive(Debug)]
pub(crate) struct Row {
    /// The partition.
    pub(crate) at: TopicPartition,
    /// What is committed.
    pub(crate) committed: Option<i64>,
    /// Where the partition ends.
    pub(crate) end: Option<i64>,
    /// Who reads it.
    pub(crate) member: Option<GroupMember>,
}

impl Row {
    /// Records that are not done.
    pub(crate) fn lag(&self) -> Option<u64> {
        let (committed, end) = (self.committed?, self.end?);
        Some(u64::try_from(end.saturating_sub(committed)).unwrap_or(0))
    }
}

impl Lag {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let mut table = Table::new(vec![
            Column::new("group"),
            Column::new("topic"),
            Column::new("partition"),
            Column::new("committed"),
            Column::new("end"),
            Column::new("lag"),
            Column::new("client"),
            Column::new("host").wide(),
            Column::new("member").wide(),
        ]);
        let mut worst: Option<(u64, String)> = None;
        for group in described(session, self.names.choose(session)?)? {
            for row in rows(session, &group)? {
                let lag = row.lag();
                if lag > worst.as_ref().map(|(lag, _)| *lag) {
                    let place = format!(
                        "{} is {} behind in {}-{}",
                        group.name,
                        lag.unwrap_or(0),
                        row.at.topic.as_str(),
                        row.at.partition
                    );
                    worst = lag.map(|lag| (lag, place));
                }
                let is_over = self.max.is_some_and(|max| lag.is_some_and(|lag| max < lag));
                let member = row.member.as_ref();
                table.row(vec![
                    group.name.as_str().into(),
                    row.at.topic.as_str().into(),
                    row.at.partition.to_wire().into(),
                    Cell::maybe(row.committed),
                    Cell::maybe(row.end),
                    match lag {
                        Some(lag) if is_over => Cell::Alarm(i64::try_from(lag).unwrap_or(i64::MAX), Mood::Bad),
                        lag => Cell::maybe(lag),
                    },
                    Cell::maybe(member.map(|member| member.client_id.as_str())),
                    Cell::maybe(member.map(|member| member.host.as_str())),
                    Cell::maybe(member.map(|member| member.id.as_str())),
                ]);
            }
        }
        self.output.print(&table)?;
        match (self.max, worst) {
            (Some(max), Some((lag, place))) if max < lag => {
                Err(CliError::new(Kind::Failed, "a group is too far behind", format!("{place}, more than {max}")))
            }
            _ => Ok(()),
        }
    }
}

/// How far a group is in every partition that it has committed for or that a member reads, by topic and number.
pub(crate) fn rows(session: &Session, group: &GroupDescription) -> Result<Vec<Row>, CliError> {
    let committed = session.admin.group_offsets(group.name.as_str()).wait();
    let committed = committed.map_err(|error| told(format!("cannot see offsets of {}", group.name), &error))?;
    let mut rows: BTreeMap<TopicPartition, Row> = BTreeMap::new();
    let empty = |at: &TopicPartition| Row { at: at.clone(), committed: None, end: None, member: None };
    for (at, found) in &committed {
        rows.entry(at.clone()).or_insert_with(|| empty(at)).committed = Some(found.offset.to_wire());
    }
    for member in &group.members {
        for at in &member.assignment {
            rows.entry(at.clone()).or_insert_with(|| empty(at)).member = Some(member.clone());
        }
    }
    let wanted = rows.keys().map(|at| (at.clone(), OffsetSpec::Latest));
    let ends = session.admin.list_offsets(wanted, false).wait();
    for (at, found) in ends.map_err(|error| told("cannot list offsets", &error))? {
        // A topic that was deleted has no end, which is no reason not to show the rest.
        if let (Ok(found), Some(row)) = (found, rows.get_mut(&at)) {
            row.end = found.offset.map(highwater_client::Offset::to_wire);
        }
    }
    Ok(rows.into_values().collect())
}
