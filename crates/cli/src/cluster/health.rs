//! `highwater cluster health`.

use clap::Args;
use highwater_client::admin::{ClusterDescription, ConfigResource};

use crate::config::entries;
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::session::{Session, told};
use crate::topic::describe::topics;

/// Arguments of `highwater cluster health`.
#[derive(Args, Debug)]
pub(crate) struct Health {
    /// Fail with code 1 unless all is well, for probes.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    output: Output,
}

/// How a cluster is.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many topics there are.
    pub(crate) topics: usize,
    /// How many partitions.
    pub(crate) partitions: usize,
    /// Partitions without a leader.
    pub(crate) offline: Vec<String>,
    /// Partitions with fewer replicas in sync than min.insync.replicas demands.
    pub(crate) under_minimum: Vec<String>,
    /// Partitions not all of whose replicas are in sync.
    pub(crate) under_replicated: Vec<String>,
    /// Brokers that are registered but not there.
    pub(crate) fenced: Vec<String>,
    /// Whether the quorum of controllers has a leader.
    pub(crate) has_controller: bool,
}

impl Health {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let cluster = super::describe(session)?;
        let verdict = Verdict::of(session, &cluster)?;
        let mut table =
            Table::new(vec![Column::new("check"), Column::new("state"), Column::new("count"), Column::new("which")]);
        let mut check = |name: &str, bad: Mood, which: &[String]| {
            let mood = if which.is_empty() { Mood::Good } else { bad };
            let word = match mood {
                Mood::Good => "ok",
                Mood::Fair => "degraded",
                Mood::Bad => "down",
            };
            let shown = which.iter().take(WHICH_MAX).cloned().collect();
            table.row(vec![name.into(), Cell::State(word.into(), mood), which.len().into(), Cell::List(shown)]);
        };
        let controller = if verdict.has_controller { vec![] } else { vec!["none".to_owned()] };
        check("controller", Mood::Bad, &controller);
        check("offline-partitions", Mood::Bad, &verdict.offline);
        check("under-minimum-isr", Mood::Bad, &verdict.under_minimum);
        check("under-replicated", Mood::Fair, &verdict.under_replicated);
        check("fenced-brokers", Mood::Fair, &verdict.fenced);
        self.output.print(&table)?;
        let mood = verdict.mood();
        if self.check && mood != Mood::Good {
            return Err(CliError::new(Kind::Failed, "the cluster is not well", "the table tells what is not"));
        }
        Ok(())
    }
}

impl Verdict {
    /// Looks at all partitions.
    pub(crate) fn of(session: &Session, cluster: &ClusterDescription) -> Result<Self, CliError> {
        let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
        let names: Vec<String> = listed.into_iter().map(|topic| topic.name).collect();
        let quorum = session.admin.describe_quorum().wait();
        let mut verdict = Self {
            topics: names.len(),
            has_controller: quorum.is_ok_and(|quorum| quorum.leader.is_some()),
            fenced: cluster
                .brokers
                .iter()
                .filter(|broker| broker.is_fenced)
                .map(|broker| broker.node.id.to_string())
                .collect(),
            ..Self::default()
        };
        for topic in topics(session, names)? {
            verdict.partitions += topic.partitions.len();
            let is_unwell = |isr: usize, replicas: usize| isr < replicas;
            let mut minimum = None;
            for partition in &topic.partitions {
                let name = format!("{}-{}", topic.name, partition.index);
                if partition.leader.is_none() {
                    verdict.offline.push(name.clone());
                }
                if is_unwell(partition.isr.len(), partition.replicas.len()) {
                    // Asked only where it can matter.
                    let minimum = match minimum {
                        Some(minimum) => minimum,
                        None => *minimum.insert(minimum_isr(session, &topic.name)?),
                    };
                    if partition.isr.len() < minimum {
                        verdict.under_minimum.push(name.clone());
                    }
                    verdict.under_replicated.push(name);
                }
            }
        }
        Ok(verdict)
    }

    /// The worst there is.
    pub(crate) fn mood(&self) -> Mood {
        if !self.has_controller || !self.offline.is_empty() || !self.under_minimum.is_empty() {
            Mood::Bad
        } else if !self.under_replicated.is_empty() || !self.fenced.is_empty() {
            Mood::Fair
        } else {
            Mood::Good
        }
    }

    /// The worst there is, in a word.
    pub(crate) fn state(&self) -> Cell {
        let word = match self.mood() {
            Mood::Good => "ok",
            Mood::Fair => "degraded",
            Mood::Bad => "down",
        };
        Cell::State(word.into(), self.mood())
    }
}

fn minimum_isr(session: &Session, topic: &str) -> Result<usize, CliError> {
    let entries = entries(session, ConfigResource::topic(topic), false)?;
    let value = entries.into_iter().find(|entry| entry.name == "min.insync.replicas").and_then(|entry| entry.value);
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(1))
}

/// Names that are shown; the count tells of the others.
const WHICH_MAX: usize = 10;
