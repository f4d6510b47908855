//! Positions in a group: sought, committed in every way, read back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use highwater_client::{
    Client, Consumer, ConsumerBuilder, ConsumerRecord, Event, Offset, OffsetAndMetadata, Progress, SeekTo, TimestampMs,
};
use serde_json::json;

use super::member::builder;
use super::traffic::{Case, create_topic, send};
use super::{DEADLINE, Done, Failure, Options, at, expect, until};
use crate::records::Recipe;

pub(super) fn run(client: &Client, options: &Options) -> Done {
    let topic = &format!("{}-positions", options.text("group"));
    let records = Recipe { partitions: 1, ..options.recipe() }.stream(0, 200);
    create_topic(client, topic, 1)?;
    send(client, &Case::plain(topic), &records)?;
    let times: Vec<i64> = records.iter().map(|record| record.timestamp_ms).collect();
    let build = || builder(client, options, topic, topic);

    let mut one = Position::new(topic, build()?)?;
    one.expect_next(0, "the start without a committed position")?;
    one.seek(SeekTo::Offset(Offset::new(77)))?;
    one.expect_next(77, "seek by offset")?;
    one.seek(SeekTo::Timestamp(TimestampMs(times[120])))?;
    let first = times.iter().position(|time| times[120] <= *time).expect("at least record 120");
    one.expect_next(first as u64, "seek by time")?;
    commits(&mut one)?;
    one.close()?;

    let mut one = Position::new(topic, build()?)?;
    one.expect_next(42, "the return to the group")?;
    one.close()?;
    commits_by_itself(topic, build()?, build()?)?;
    let exercised =
        ["seek by offset", "seek by time", "synchronous commit", "asynchronous commit", "auto-commit every 5 s"];
    Ok(json!({ "exercised": exercised }))
}

fn commits(one: &mut Position<'_>) -> Result<(), Failure> {
    let to = |offset, metadata: Option<&str>| -> Progress {
        let metadata = metadata.map(Into::into);
        let position = OffsetAndMetadata { metadata, ..OffsetAndMetadata::new(Offset::new(offset)) };
        [(at(one.topic, 0), position)].into_iter().collect()
    };
    let (with_metadata, without) = (to(31, Some("müsli")), to(42, None));
    one.consumer.commit(with_metadata).wait()?;
    expect("committed synchronously", one.committed()?, (31, "müsli".to_owned()))?;
    let pending = one.consumer.commit(without);
    until("an asynchronous commit ends", || {
        one.poll(Duration::from_millis(50))?;
        Ok(pending.is_ready())
    })?;
    pending.wait()?;
    expect("committed asynchronously", one.committed()?, (42, String::new()))
}

fn commits_by_itself(topic: &str, usual: ConsumerBuilder, often: ConsumerBuilder) -> Result<(), Failure> {
    let started = Instant::now();
    let mut one = Position::new(topic, usual.auto_commit(true))?;
    for offset in 42..200 {
        one.expect_next(offset, "the return to the group")?;
    }
    one.wait_until_committed(|position| position == 200)?;
    expect("whether it waited 5 s", Duration::from_millis(4_900) <= started.elapsed(), true)?;
    one.close()?;

    let often = often.auto_commit(true).config("auto.commit.interval.ms", "100");
    let mut one = Position::new(topic, often)?;
    until("the member has its partition", || {
        one.poll(Duration::from_millis(50))?;
        Ok(!one.consumer.assignment()?.is_empty())
    })?;
    one.seek(SeekTo::Offset(Offset::new(150)))?;
    for offset in 150..160 {
        one.expect_next(offset, "seek")?;
    }
    one.seek(SeekTo::Offset(Offset::new(160)))?;
    one.expect_next(160, "seek")?;
    one.wait_until_committed(|position| 160 <= position)?;
    one.close()
}

/// A consumer with one partition, whose records are taken one by one.
pub(super) struct Position<'a> {
    topic: &'a str,
    pub(super) consumer: Consumer,
    queue: VecDeque<ConsumerRecord>,
}

impl<'a> Position<'a> {
    pub(super) fn new(topic: &'a str, builder: ConsumerBuilder) -> Result<Self, Failure> {
        Ok(Self { topic, consumer: builder.build()?, queue: VecDeque::new() })
    }

    pub(super) fn expect_next(&mut self, want: u64, after: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        while self.queue.is_empty() {
            if deadline < Instant::now() {
                return Err(Failure(format!("no record came after {after}")));
            }
            self.poll(Duration::from_millis(200))?;
        }
        let record = self.queue.pop_front().map(|record| record.offset().value());
        expect(&format!("the record after {after}"), record, Some(want))
    }

    fn poll(&mut self, time: Duration) -> Result<(), Failure> {
        match self.consumer.next().wait_for(time)? {
            Some(Event::Records(records)) => self.queue.extend(&records),
            Some(Event::Error(error)) => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    fn seek(&mut self, to: SeekTo) -> Result<(), Failure> {
        self.consumer.seek(&at(self.topic, 0), to)?;
        self.queue.clear();
        Ok(())
    }

    fn committed(&self) -> Result<(u64, String), Failure> {
        let mut all = self.consumer.committed([at(self.topic, 0)]).wait()?;
        let found =
            all.remove(&at(self.topic, 0)).flatten().ok_or_else(|| Failure("nothing is committed".to_owned()))?;
        Ok((found.offset.value(), found.metadata.as_deref().unwrap_or_default().to_owned()))
    }

    fn wait_until_committed(&mut self, holds: impl Fn(u64) -> bool) -> Result<(), Failure> {
        until("the client commits by itself", || {
            self.poll(Duration::from_millis(50))?;
            Ok(holds(self.committed()?.0))
        })
    }

    pub(super) fn close(self) -> Result<(), Failure> {
        Ok(self.consumer.close(DEADLINE).wait()?)
    }
}
