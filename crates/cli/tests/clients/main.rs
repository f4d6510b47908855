//! Unmodified Kafka clients against the real binary.
//!
//! Each client writes 10,000 records with every codec, the broker is stopped cleanly and started again,
//! the client reads everything back, writes more, the broker is killed and started again, and the client
//! reads everything back once more, looks offsets up by time, and administers topics.
//!
//! In groups its members share a topic, are killed, leave and return while a producer writes and the broker
//! is restarted; every record has to be read, and none again below a position that was committed.
//!
//! Members of two different clients share a group as well.
//!
//! On a cluster of three nodes a client writes with `acks=all` while each node in turn is killed and started
//! again, leaders and partitions move, and a fourth broker takes over from the first: every acknowledged
//! record has to be where it was acknowledged.
//!
//! highwater's own client goes through the same, as a process like the others, and is always there.
//!
//! A client that is not installed is skipped by name; with `HIGHWATER_REQUIRE_CLIENTS=1` its absence is a
//! failure. Where the clients are found:
//!
//! - `kcat` in the `PATH`;
//! - the Python clients through the interpreter `HIGHWATER_PYTHON`, else `python3`;
//! - the Java client through the class path `HIGHWATER_JAVA_CLASSPATH`, which holds kafka-clients and the
//!   compiled sources of `java/`.
//!
//! `HIGHWATER_BROKER_CMD` names another program that takes the arguments of `highwater dev`, and those of
//! `--set KEY=VALUE` beside them, so that the suite itself can be held against Apache Kafka. `HIGHWATER_UPDATE_README=1` writes what was exercised
//! into the table of the README; otherwise the table there has to agree with it.

mod broker;
mod cluster;
mod group;
mod kcat;
#[path = "../cluster/node.rs"]
#[expect(dead_code, reason = "the other tests of clusters need more of it")]
mod node;
mod own;
mod own_cluster;
mod program;
mod records;
mod scenario;
mod table;

use program::{Missing, Program};

#[test]
fn kcat() {
    match kcat::find() {
        Ok(()) => kcat::survives_restarts(),
        Err(missing) => missing.skip(),
    }
}

#[test]
fn highwater() {
    scenario::survives_restarts(&own::program());
}

#[test]
fn confluent_kafka() {
    survives_restarts(Program::confluent_kafka());
}

#[test]
fn kafka_python() {
    survives_restarts(Program::kafka_python());
}

#[test]
fn aiokafka() {
    survives_restarts(Program::aiokafka());
}

#[test]
fn java() {
    survives_restarts(Program::java());
}

#[test]
fn highwater_in_classic_groups() {
    group::works(&own::program(), "classic");
}

#[test]
fn highwater_in_consumer_groups() {
    group::works(&own::program(), "consumer");
}

#[test]
fn highwater_and_confluent_kafka_in_one_classic_group() {
    work_in_one_group("classic", &["--strategy", "range"]);
}

#[test]
fn highwater_and_confluent_kafka_in_one_cooperative_group() {
    work_in_one_group("classic", &["--strategy", "cooperative-sticky"]);
}

#[test]
fn highwater_and_confluent_kafka_in_one_consumer_group() {
    work_in_one_group("consumer", &[]);
}

#[test]
fn confluent_kafka_in_classic_groups() {
    works_in_groups(Program::confluent_kafka(), "classic");
}

#[test]
fn confluent_kafka_in_consumer_groups() {
    works_in_groups(Program::confluent_kafka(), "consumer");
}

#[test]
fn kafka_python_in_classic_groups() {
    works_in_groups(Program::kafka_python(), "classic");
}

#[test]
fn aiokafka_in_classic_groups() {
    works_in_groups(Program::aiokafka(), "classic");
}

#[test]
fn java_in_classic_groups() {
    works_in_groups(Program::java(), "classic");
}

#[test]
fn java_in_consumer_groups() {
    works_in_groups(Program::java(), "consumer");
}

#[test]
fn kcat_in_classic_groups() {
    match kcat::find() {
        Ok(()) => group::kcat::works(),
        Err(missing) => missing.skip(),
    }
}

#[test]
fn highwater_on_a_cluster() {
    own_cluster::delivers_each_record_once();
}

#[test]
fn confluent_kafka_on_a_cluster() {
    cluster::keeps_what_it_acknowledged(Program::confluent_kafka(), "confluent");
}

#[test]
fn kafka_python_on_a_cluster() {
    cluster::keeps_what_it_acknowledged(Program::kafka_python(), "kafka-python");
}

/// Those that are missing are reported by the tests above.
#[test]
fn clients_read_what_the_others_wrote() {
    let found = [Program::confluent_kafka(), Program::kafka_python(), Program::aiokafka(), Program::java()];
    let programs: Vec<Program> = found.into_iter().flatten().chain([own::program()]).collect();
    if programs.len() < 2 {
        Missing { name: "clients reading each other", why: "fewer than two are installed" }.skip();
        return;
    }
    scenario::clients_read_each_other(&programs);
}

fn survives_restarts(found: Result<Program, Missing>) {
    match found {
        Ok(program) => scenario::survives_restarts(&program),
        Err(missing) => missing.skip(),
    }
}

fn works_in_groups(found: Result<Program, Missing>, protocol: &str) {
    match found {
        Ok(program) => group::works(&program, protocol),
        Err(missing) => missing.skip(),
    }
}

fn work_in_one_group(protocol: &str, more: &[&str]) {
    match Program::confluent_kafka() {
        Ok(other) => group::mixed::works(&own::program(), &other, protocol, more),
        Err(missing) => missing.skip(),
    }
}
