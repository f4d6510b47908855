//! `kafka-consumer-groups`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use highwater_client::ErrorCode;
use highwater_client::admin::GroupDescription;

use super::{Failure, java_name, parse, said};
use crate::connection::Connection;
use crate::group::lag::{Row, rows};
use crate::group::reset::{Step, Target, chosen, commit, csv_line, plan};
use crate::output::{note, print};
use crate::session::{Session, told};

/// List all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets.
#[derive(Debug, Parser)]
#[command(name = "kafka-consumer-groups")]
#[command(group = ArgGroup::new("action").args(["list", "describe", "delete", "reset_offsets", "delete_offsets"]).required(true))]
struct Groups {
    /// The server(s) to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// The consumer group we wish to act on.
    #[arg(long)]
    group: Vec<String>,
    /// Apply to all consumer groups.
    #[arg(long)]
    all_groups: bool,
    /// List all consumer groups.
    #[arg(long)]
    list: bool,
    /// Describe consumer group and list offset lag.
    #[arg(long)]
    describe: bool,
    /// Delete group's topic partition offsets and ownership information.
    #[arg(long)]
    delete: bool,
    /// Reset offsets of consumer group.
    #[arg(long)]
    reset_offsets: bool,
    /// Delete offsets of consumer group.
    #[arg(long)]
    delete_offsets: bool,
    /// The topic whose offset should be reset or deleted: topic1:0,1,2 for some partitions.
    #[arg(long)]
    topic: Vec<String>,
    /// Consider all topics assigned to a group in the `reset-offsets` process.
    #[arg(long)]
    all_topics: bool,
    /// Describe members of the group.
    #[arg(long)]
    members: bool,
    /// Describe the group's state, or list the states of groups.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// Describe the group and list all topic partitions with their offset lag: the default.
    #[arg(long)]
    offsets: bool,
    /// Provide additional information, if any, when describing the group.
    #[arg(long)]
    verbose: bool,
    /// The timeout that can be set for some use cases, in milliseconds.
    #[arg(long)]
    timeout: Option<u64>,
    /// Only show results without executing changes on consumer groups.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Execute operation.
    #[arg(long)]
    execute: bool,
    /// Export operation execution to a CSV file.
    #[arg(long)]
    export: bool,
    /// Reset offsets to earliest offset.
    #[arg(long)]
    to_earliest: bool,
    /// Reset offsets to latest offset.
    #[arg(long)]
    to_latest: bool,
    /// Reset offsets to current offset.
    #[arg(long)]
    to_current: bool,
    /// Reset offsets to a specific offset.
    #[arg(long)]
    to_offset: Option<i64>,
    /// Reset offsets shifting current offset by 'n', where 'n' can be positive or negative.
    #[arg(long, allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// Reset offsets to offset from datetime. Format: 'YYYY-MM-DDThh:mm:ss.sss'.
    #[arg(long, value_parser = crate::topic::offsets::instant)]
    to_datetime: Option<i64>,
    /// Reset offsets to offset by duration from current timestamp. Format: 'PnDTnHnMnS'.
    #[arg(long)]
    by_duration: Option<String>,
    /// Reset offsets to values defined in CSV file.
    #[arg(long)]
    from_file: Option<PathBuf>,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let tool: Groups = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    if let Err(failure) = tool.run() {
        let _ = print(&format!("\nError: Executing consumer group command failed due to {failure}\n"));
    }
    // Kafka's tool ends like this whatever has happened, and scripts look at what it prints.
    ExitCode::SUCCESS
}

impl Groups {
    fn run(&self) -> Result<(), Failure> {
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        if self.list {
            return self.show_list(&session);
        }
        let groups = if self.all_groups { all(&session)? } else { self.group.clone() };
        if groups.is_empty() && !self.all_groups {
            return Err(Failure::new("one of these options is required: [group], [all-groups]"));
        }
        if self.describe {
            self.show(&session, &groups)
        } else if self.delete {
            delete(&session, &groups)
        } else if self.delete_offsets {
            groups.iter().try_for_each(|group| self.delete_offsets(&session, group))
        } else {
            groups.iter().try_for_each(|group| self.reset(&session, group))
        }
    }

    fn show_list(&self, session: &Session) -> Result<(), Failure> {
        let mut groups = session.admin.list_groups().wait().map_err(|error| said(&error))?;
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        let mut text = String::new();
        match &self.state {
            None => groups.iter().for_each(|group| text.extend([&group.name, "\n"])),
            Some(wanted) => {
                let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
                let state = |group: &highwater_client::admin::GroupListing| group.state.clone().unwrap_or_default();
                groups.retain(|group| {
                    wanted.is_empty() || wanted.iter().any(|word| word.eq_ignore_ascii_case(&state(group)))
                });
                let width = groups.iter().map(|group| group.name.len()).max().unwrap_or(0).max(25);
                let _ = writeln!(text, "{:<width$} {:<20}", "GROUP", "STATE");
                for group in &groups {
                    let _ = writeln!(text, "{:<width$} {:<20}", group.name, state(group));
                }
            }
        }
        Ok(print(&text)?)
    }

    fn show(&self, session: &Session, names: &[String]) -> Result<(), Failure> {
        let described = session.admin.describe_groups(names.iter().map(String::as_str)).wait();
        for (name, result) in described.map_err(|error| said(&error))? {
            let group = match result {
                Ok(group) if group.state == "Dead" => return Err(not_found(&name)),
                Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return Err(not_found(&name)),
                result => result.map_err(|error| said(&error))?,
            };
            let rows = if self.members || self.state.is_some() { Vec::new() } else { rows(session, &group)? };
            print("\n")?;
            match group.state.as_str() {
                "Empty" => note(&format!("\nConsumer group '{name}' has no active members.")),
                "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
                    note(&format!("\nWarning: Consumer group '{name}' is rebalancing."));
                }
                _ => {}
            }
            let text = if self.members {
                members(&group)
            } else if self.state.is_some() {
                state(session, &group)?
            } else {
                offsets(&group, &rows, self.verbose)
            };
            print(&text)?;
        }
        Ok(())
    }

    fn reset(&self, session: &Session, group: &str) -> Result<(), Failure> {
        let by_duration = self.by_duration.as_deref().map(|text| {
            crate::timestamp::parse_duration(text).ok_or_else(|| Failure::new(format!("{text} is no duration")))
        });
        let to = Target {
            to_earliest: self.to_earliest,
            to_latest: self.to_latest,
            to_current: self.to_current,
            to_offset: self.to_offset,
            shift_by: self.shift_by,
            to_datetime: self.to_datetime,
            by_duration: by_duration.transpose()?,
            to_group: None,
            from_file: self.from_file.clone(),
        };
        let ways = [to.to_earliest, to.to_latest, to.to_current, to.to_offset.is_some(), to.shift_by.is_some()];
        let more = [to.to_datetime.is_some(), to.by_duration.is_some(), to.from_file.is_some()];
        if ways.iter().chain(&more).filter(|given| **given).count() != 1 {
            return Err(Failure::new("exactly one of the options that say where to reset to is required"));
        }
        if self.topic.is_empty() && !self.all_topics && to.from_file.is_none() {
            return Err(Failure::new("One of the reset scopes should be defined: --all-topics, --topic."));
        }
        let state = session.admin.describe_groups([group]).wait().and_then(highwater_client::admin::Each::only);
        if let Ok(described) = state
            && !described.members.is_empty()
        {
            print(&format!(
                "\nError: Assignments can only be reset if the group '{group}' is inactive, but the current state is {}.\n",
                described.state
            ))?;
            return Ok(());
        }
        let topics = if self.topic.is_empty() { None } else { Some(&self.topic[..]) };
        let steps = plan(session, group, topics, &to)?;
        if !self.execute && !self.dry_run {
            note(
                "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will \
                 require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if \
                 you are scripting this command and want to keep the current default behavior without prompting.",
            );
        }
        if self.execute {
            let results = commit(session, group, &steps).map_err(|error| said(&error))?;
            for (_, result) in results {
                result.map_err(|error| said(&error))?;
            }
        }
        if self.export {
            let lines: String = steps.iter().map(csv_line).collect();
            return Ok(print(&format!("{lines}\n"))?);
        }
        Ok(print(&reset_table(group, &steps))?)
    }

    fn delete_offsets(&self, session: &Session, group: &str) -> Result<(), Failure> {
        let wanted = chosen(session, &self.topic)?;
        let results = session.admin.delete_group_offsets(group, wanted).wait().map_err(|error| said(&error))?;
        let mut text = format!("Request succeeded for deleting offsets from group {group}.\n");
        if results.iter().any(|(_, result)| result.is_err()) {
            text = "Encountered some partition-level error, see the follow-up details:\n".to_string();
        }
        let _ = writeln!(text, "\n{:<15} {:<10} {:<15}", "TOPIC", "PARTITION", "STATUS");
        for (at, result) in results {
            let status = match result {
                Ok(()) => "Successful".to_owned(),
                Err(error) => format!("Error: {}", said(&error)),
            };
            let _ = writeln!(text, "{:<15} {:<10} {status:<15}", at.topic.as_str(), at.partition);
        }
        Ok(print(&text)?)
    }
}

fn not_found(name: &str) -> Failure {
    Failure::new(format!(
        "org.apache.kafka.common.errors.GroupIdNotFoundException: Group {name} is not a consumer group."
    ))
}

fn all(session: &Session) -> Result<Vec<String>, Failure> {
    let groups = session.admin.list_groups().wait().map_err(|error| told("cannot list groups", &error))?;
    Ok(groups.into_iter().map(|group| group.name).collect())
}

fn delete(session: &Session, groups: &[String]) -> Result<(), Failure> {
    let results =
        session.admin.delete_groups(groups.iter().map(String::as_str)).wait().map_err(|error| said(&error))?;
    let mut done = Vec::new();
    let mut failed = String::new();
    for (name, result) in results {
        match result {
            Ok(()) => done.push(format!("'{name}'")),
            Err(error) => {
                let _ = writeln!(failed, "* Group '{name}' could not be deleted due to: {}", java_name(&error));
            }
        }
    }
    if failed.is_empty() {
        return Ok(print(&format!("Deletion of requested consumer groups ({}) was successful.\n", done.join(", ")))?);
    }
    print(&format!("\nError: Deletion of some consumer groups failed:\n{failed}"))?;
    if !done.is_empty() {
        print(&format!("\nThese consumer groups were deleted successfully: {}\n", done.join(", ")))?;
    }
    Ok(())
}

fn reset_table(group: &str, steps: &[Step]) -> String {
    let group_width = group.len().max(15);
    let topic_width = steps.iter().map(|step| step.at.topic.as_str().len()).max().unwrap_or(0).max(15);
    let mut text =
        format!("\n{:<group_width$} {:<topic_width$} {:<10} {}\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    for step in steps {
        let (topic, partition) = (step.at.topic.as_str(), step.at.partition);
        let _ = writeln!(text, "{group:<group_width$} {topic:<topic_width$} {partition:<10} {}", step.new);
    }
    text
}

fn offsets(group: &GroupDescription, rows: &[Row], verbose: bool) -> String {
    let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let mut lines = vec![["GROUP", "TOPIC", "CONSUMER-ID", "HOST", "CLIENT-ID"].map(str::to_owned)];
    for row in rows {
        let member = |pick: fn(&highwater_client::admin::GroupMember) -> &str| {
            row.member.as_ref().map_or_else(|| "-".to_owned(), |member| pick(member).to_owned())
        };
        lines.push([
            group.name.clone(),
            row.at.topic.as_str().to_owned(),
            member(|member| &member.id),
            member(|member| &member.host),
            member(|member| &member.client_id),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0).max(15);
    let [group_width, topic_width, id_width, host_width] = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    let mut write = |line: &[String; 5], numbers: [&str; 5]| {
        let [partition, epoch, current, end, lag] = numbers;
        let epoch = if verbose { format!("{epoch:<15} ") } else { String::new() };
        let _ = writeln!(
            text,
            "{:<group_width$} {:<topic_width$} {partition:<10} {epoch}{current:<15} {end:<15} {lag:<15} \
             {:<id_width$} {:<host_width$} {}",
            line[0], line[1], line[2], line[3], line[4]
        );
    };
    write(&lines[0], ["PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"]);
    for (line, row) in lines[1..].iter().zip(rows) {
        let lag = number(row.lag().map(|lag| i64::try_from(lag).unwrap_or(i64::MAX)));
        let partition = row.at.partition.to_string();
        write(line, [&partition, "-", &number(row.committed), &number(row.end), &lag]);
    }
    text
}

fn members(group: &GroupDescription) -> String {
    let member = |member: &highwater_client::admin::GroupMember| {
        [
            group.name.clone(),
            member.id.clone(),
            member.host.clone(),
            member.client_id.clone(),
            member.assignment.len().to_string(),
        ]
    };
    let head = ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(group.members.iter().map(member)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0).max(15);
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "{cell:<width$} ");
        }
        text.push('\n');
    }
    text
}

fn state(session: &Session, group: &GroupDescription) -> Result<String, Failure> {
    let cluster = crate::cluster::describe(session)?;
    let node = cluster.brokers.iter().find(|broker| broker.node.id == group.coordinator);
    let address = node.map_or_else(|| "-".into(), |broker| format!("{}:{}", broker.node.host, broker.node.port));
    let coordinator = format!("{address}  ({})", group.coordinator);
    let assignor = if group.assignor.is_empty() { "-" } else { &group.assignor };
    let (wide, wider) = (group.name.len().max(15), coordinator.len().max(25));
    let line = |name: &str, coordinator: &str, assignor: &str, state: &str, members: &str| {
        format!("{name:<wide$} {coordinator:<wider$} {assignor:<20} {state:<20} {members}\n")
    };
    let head = line("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS");
    Ok(head + &line(&group.name, &coordinator, assignor, &group.state, &group.members.len().to_string()))
}
