//! Groups and their offsets: listed, described, altered, deleted.

use highwater_client::{Client, ErrorCode, Offset, OffsetAndMetadata};
use serde_json::json;

use super::member::builder;
use super::positions::Position;
use super::traffic::{Case, create_topic, send};
use super::{Done, Failure, Options, at, expect, expect_code, number_of};
use crate::records::Recipe;

/// The committed positions, asked for without joining: a member of its own would make the group rebalance.
pub(super) fn committed(client: &Client, options: &Options) -> Done {
    let found = offsets(client, options.text("group"))?;
    let position = |partition| found.iter().find(|(at, _)| *at == partition).map(|(_, position)| *position);
    Ok(json!({ "positions": (0..options.partitions()).map(position).collect::<Vec<_>>() }))
}

pub(super) fn run(client: &Client, options: &Options) -> Done {
    let group = &format!("{}-admin", options.text("group"));
    create_topic(client, group, 2)?;
    send(client, &Case::plain(group), &Recipe { partitions: 1, ..options.recipe() }.stream(0, 9))?;
    let mut one = Position::new(group, builder(client, options, group, group)?)?;
    one.expect_next(0, "the start")?;
    let position = |partition, offset| (at(group, partition), OffsetAndMetadata::new(Offset::new(offset)));
    one.consumer.commit([position(0, 3), position(1, 0)].into_iter().collect()).wait()?;

    let admin = client.admin();
    expect("whether the group is listed", is_listed(client, group)?, true)?;
    expect("the group", describe(client, group)?, ("stable".to_owned(), 1))?;
    expect_code(ErrorCode::NonEmptyGroup, admin.delete_groups([group]).wait()?.only())?;
    one.close()?;
    expect("the group", describe(client, group)?, ("empty".to_owned(), 0))?;
    expect("offsets", offsets(client, group)?, vec![(0, 3), (1, 0)])?;
    admin.alter_group_offsets(group, [(at(group, 0), Offset::new(5))]).wait()?.all_ok()?;
    expect("altered offsets", offsets(client, group)?, vec![(0, 5), (1, 0)])?;
    admin.delete_group_offsets(group, [at(group, 1)]).wait()?.all_ok()?;
    expect("offsets left", offsets(client, group)?, vec![(0, 5)])?;
    admin.delete_groups([group]).wait()?.all_ok()?;
    expect("whether the group is listed", is_listed(client, group)?, false)?;
    let exercised =
        ["list groups", "describe groups", "list offsets", "alter offsets", "delete offsets", "delete groups"];
    Ok(json!({ "exercised": exercised }))
}

/// Partitions with their committed positions, in order.
fn offsets(client: &Client, group: &str) -> Result<Vec<(usize, u64)>, Failure> {
    let found = client.admin().group_offsets(group).wait()?;
    Ok(found.iter().map(|(at, committed)| (number_of(at), committed.offset.value())).collect())
}

fn is_listed(client: &Client, group: &str) -> Result<bool, Failure> {
    Ok(client.admin().list_groups().wait()?.iter().any(|listed| listed.name == group))
}

/// The state in small letters, and the number of members.
fn describe(client: &Client, group: &str) -> Result<(String, usize), Failure> {
    let described = client.admin().describe_groups([group]).wait()?.only()?;
    Ok((described.state.to_lowercase(), described.members.len()))
}
