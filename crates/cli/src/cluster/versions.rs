//! `highwater cluster features` and `highwater cluster api-versions`.

use clap::Args;
use highwater_client::NodeId;

use crate::error::CliError;
use crate::output::{Cell, Column, Output, Table};
use crate::session::{Session, node_id, told};

/// Arguments of `highwater cluster features`.
#[derive(Args, Debug)]
pub(crate) struct Features {
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater cluster api-versions`.
#[derive(Args, Debug)]
pub(crate) struct ApiVersions {
    /// The broker; by default whichever answers.
    #[arg(long, value_name = "ID", value_parser = node_id)]
    broker: Option<NodeId>,
    #[command(flatten)]
    output: Output,
}

impl Features {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let features = session.admin.describe_features().wait();
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("level"),
            Column::new("min"),
            Column::new("max"),
            Column::new("epoch").wide(),
        ]);
        for feature in features.map_err(|error| told("cannot describe features", &error))? {
            table.row(vec![
                feature.name.into(),
                i64::from(feature.finalized).into(),
                i64::from(feature.supported.0).into(),
                i64::from(feature.supported.1).into(),
                Cell::maybe(feature.epoch),
            ]);
        }
        self.output.print(&table)
    }
}

impl ApiVersions {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let ranges = session.admin.api_versions(self.broker).wait();
        let mut table = Table::new(vec![
            Column::new("api"),
            Column::new("code"),
            Column::new("min"),
            Column::new("max"),
            Column::new("usable"),
        ]);
        for range in ranges.map_err(|error| told("cannot ask for versions", &error))? {
            table.row(vec![
                range.api.map_or_else(|| format!("API-{}", range.code), |api| api.to_string()).into(),
                i64::from(range.code).into(),
                i64::from(range.versions.min).into(),
                i64::from(range.versions.max).into(),
                Cell::maybe(range.usable.map(i64::from)),
            ]);
        }
        self.output.print(&table)
    }
}
