//! Directories of highwater served by Apache Kafka, and directories of Apache Kafka served by highwater.
//!
//! A directory passes from broker to broker. Before one is stopped, an unmodified client describes all that it sees of
//! its topics: offsets, records with their timestamps, headers and leader epochs, committed records, look-ups by time,
//! producers, configurations; the next broker has to be described by the same text. What was written is also compared
//! record by record with what is read. Every file of a stopped broker is read by Kafka's `DumpLogSegments` and by
//! `highwater log dump`, which have to agree.
//!
//! The topics: one for each codec, written by idempotent producers; one that retention and DeleteRecords have cut; one
//! of overlapping transactions, committed, aborted and open; a compacted one with tombstones and transactions; one of a
//! producer that goes on from broker to broker; one that has just been deleted. Where highwater's broker has no requests
//! for it yet, transactions and compaction are done by the library that it is made of.
//!
//! Groups pass too: their states and offsets, as Kafka's own tool tells of them, and the records of the offsets topic as
//! it decodes them.
//!
//! Needs the class path `HIGHWATER_KAFKA_CLASSPATH` with the jars that `pom.xml` brings, and
//! `HIGHWATER_JAVA_CLASSPATH` as the tests of the clients do. Without them the tests are skipped by name; with
//! `HIGHWATER_REQUIRE_CLIENTS=1` that is a failure. A failed run keeps its directory with the logs of all brokers.

#[expect(dead_code, reason = "`highwater dev` takes no settings")]
#[path = "../clients/broker.rs"]
mod broker;
#[path = "../wire_replay/connection.rs"]
mod connection;
mod dump;
mod exchange;
mod groups;
mod kafka;
mod offline;
#[expect(dead_code, reason = "only the Java client has phases for this")]
#[path = "../clients/program.rs"]
mod program;
mod protocol;
#[path = "../clients/records.rs"]
mod records;
mod startup;

use std::fs;

use nix::sys::signal::Signal;

use exchange::Exchange;

#[test]
fn kafka_serves_what_highwater_wrote() {
    let mut exchange = match Exchange::new() {
        Ok(exchange) => exchange,
        Err(missing) => return missing.skip(),
    };
    let highwater = exchange.start_highwater();
    exchange.produce(highwater.address());
    exchange.histories(highwater.address(), "retained");
    let mut sequences = exchange.begin_sequences(highwater.address());
    exchange.create(highwater.address(), "transactions");
    exchange.histories(highwater.address(), "create-compacted");
    exchange.await_retention();
    highwater.end(Signal::SIGTERM);
    offline::write(&exchange.data(), &exchange.recipe, exchange.now);

    // A second leader epoch.
    let highwater = exchange.start_highwater();
    exchange.produce(highwater.address());
    exchange.create(highwater.address(), "doomed");
    exchange.delete(highwater.address(), "doomed");
    let seen = exchange.observe(highwater.address());
    highwater.end(Signal::SIGTERM);
    exchange.inspect();

    let kafka = exchange.start_kafka();
    startup::expect_clean(&kafka, &exchange.partitions());
    exchange.expect_same(kafka.address(), &seen);
    exchange.verify(kafka.address());
    exchange.histories(kafka.address(), "verify-retained,verify-transactions,verify-compacted");
    sequences.go_on(kafka.address());
    exchange.produce(kafka.address());
    let seen = exchange.observe(kafka.address());
    kafka.end(Signal::SIGTERM);
    exchange.inspect();

    // Back again, and killed.
    let highwater = exchange.start_highwater();
    exchange.expect_same(highwater.address(), &seen);
    exchange.verify(highwater.address());
    sequences.go_on(highwater.address());
    exchange.produce(highwater.address());
    let seen = exchange.observe(highwater.address());
    highwater.end(Signal::SIGKILL);

    let kafka = exchange.start_kafka();
    startup::expect_lossless(&kafka, &exchange.partitions());
    exchange.expect_same(kafka.address(), &seen);
    exchange.verify(kafka.address());
    exchange.histories(kafka.address(), "verify-retained,verify-transactions,verify-compacted");
    sequences.go_on(kafka.address());
    kafka.end(Signal::SIGTERM);
    exchange.inspect();
    exchange.expect_no_warnings();
}

#[test]
fn highwater_serves_what_kafka_wrote() {
    let mut exchange = match Exchange::new() {
        Ok(exchange) => exchange,
        Err(missing) => return missing.skip(),
    };
    exchange.format();
    let kafka = exchange.start_kafka();
    exchange.produce(kafka.address());
    let mut sequences = exchange.begin_sequences(kafka.address());
    kafka.end(Signal::SIGTERM);

    // A second leader epoch.
    let kafka = exchange.start_kafka();
    exchange.produce(kafka.address());
    exchange.create(kafka.address(), "transactions");
    exchange.histories(kafka.address(), "retained,transactions,create-compacted,compacted,group");
    exchange.await_retention();
    exchange.await_compaction();
    exchange.create(kafka.address(), "doomed");
    exchange.delete(kafka.address(), "doomed");
    let seen = exchange.observe(kafka.address());
    kafka.end(Signal::SIGTERM);
    exchange.inspect();

    let highwater = exchange.start_highwater();
    exchange.expect_same(highwater.address(), &seen);
    exchange.verify(highwater.address());
    exchange.histories(highwater.address(), "verify-retained,verify-transactions,verify-compacted");
    sequences.go_on(highwater.address());
    exchange.produce(highwater.address());
    let seen = exchange.observe(highwater.address());
    highwater.end(Signal::SIGTERM);
    exchange.inspect();

    // Back again, and killed.
    let kafka = exchange.start_kafka();
    startup::expect_clean(&kafka, &exchange.partitions());
    exchange.expect_same(kafka.address(), &seen);
    exchange.verify(kafka.address());
    exchange.histories(kafka.address(), "verify-transactions,end-transactions,verify-transactions-ended");
    sequences.go_on(kafka.address());
    exchange.produce(kafka.address());
    let seen = exchange.observe(kafka.address());
    kafka.end(Signal::SIGKILL);

    let highwater = exchange.start_highwater();
    exchange.expect_same(highwater.address(), &seen);
    exchange.verify(highwater.address());
    exchange.histories(highwater.address(), "verify-retained,verify-transactions-ended,verify-compacted");
    sequences.go_on(highwater.address());
    highwater.end(Signal::SIGTERM);
    exchange.inspect();
    exchange.expect_no_warnings();
}

#[test]
fn groups_pass_from_broker_to_broker() {
    let mut exchange = match Exchange::new() {
        Ok(exchange) => exchange,
        Err(missing) => return missing.skip(),
    };
    let highwater = exchange.start_highwater();
    exchange.create(highwater.address(), "grouped");
    groups::produce(&exchange.kafka, highwater.address(), "grouped");
    groups::consume(&exchange.kafka, highwater.address(), "grouped", "joined", 5);
    groups::reset(&exchange.kafka, highwater.address(), "grouped", "simple", 7);
    let told = groups::describe(&exchange.kafka, highwater.address());
    assert!(told.contains("joined Classic Empty") && told.contains("simple Classic Empty"), "{told:?}");
    assert!(told.contains("joined grouped 0 - 5 20 15 - - -"), "{told:?}");
    assert!(told.contains("simple grouped 0 - 7 20 13 - - -"), "{told:?}");
    highwater.end(Signal::SIGTERM);
    exchange.inspect();
    let records = groups::dump(&exchange.kafka, &exchange.data().join("__consumer_offsets-0"));
    for group in ["joined", "simple"] {
        let key = format!(r#"{{"type":"1","data":{{"group":"{group}","topic":"grouped","partition":0}}}}"#);
        assert!(records.iter().any(|record| record.starts_with(&key)), "no {key} in {records:#?}");
    }
    let key = r#"{"type":"2","data":{"group":"joined"}} payload: {"version":"3""#;
    assert!(records.iter().any(|record| record.starts_with(key)), "no {key} in {records:#?}");

    let kafka = exchange.start_kafka();
    startup::expect_clean(&kafka, &exchange.partitions());
    assert_eq!(groups::describe(&exchange.kafka, kafka.address()), told);
    groups::consume(&exchange.kafka, kafka.address(), "grouped", "joined", 4);
    groups::consume(&exchange.kafka, kafka.address(), "grouped", "of-kafka", 3);
    groups::reset(&exchange.kafka, kafka.address(), "grouped", "simple", 2);
    let told = groups::describe(&exchange.kafka, kafka.address());
    kafka.end(Signal::SIGTERM);

    let highwater = exchange.start_highwater();
    assert_eq!(groups::describe(&exchange.kafka, highwater.address()), told);
    groups::consume(&exchange.kafka, highwater.address(), "grouped", "of-kafka", 2);
    highwater.end(Signal::SIGTERM);
    exchange.inspect();
}

/// The inspection above can fail.
#[test]
fn damage_is_found_by_kafkas_tool() {
    let mut exchange = match Exchange::new() {
        Ok(exchange) => exchange,
        Err(missing) => return missing.skip(),
    };
    let highwater = exchange.start_highwater();
    exchange.produce(highwater.address());
    highwater.end(Signal::SIGTERM);
    let partitions = [exchange.data().join("java-none-0")];
    let segment = |extension: &str| partitions[0].join(format!("{:020}.{extension}", 0));
    // A position, a timestamp, and a byte of a record.
    for (extension, at) in [("index", 6), ("timeindex", 6), ("log", 70)] {
        let whole = fs::read(segment(extension)).expect("the segment has the file");
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(segment(extension), damaged).expect("the directory is writable");
        let complaints = dump::complaints(&exchange.kafka, &partitions);
        assert!(!complaints.is_empty(), "nobody complains about the damaged .{extension}");
        fs::write(segment(extension), whole).expect("the directory is writable");
    }
    assert_eq!(dump::complaints(&exchange.kafka, &partitions), Vec::<String>::new());
}
