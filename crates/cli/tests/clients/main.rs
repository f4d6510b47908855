//! Unmodified Kafka clients against the real binary.
//!
//! Each client writes 10,000 records with every codec, the broker is stopped cleanly and started again,
//! the client reads everything back, writes more, the broker is killed and started again, and the client
//! reads everything back once more, looks offsets up by time, and administers topics.
//!
//! A client that is not installed is skipped by name; with `HIGHWATER_REQUIRE_CLIENTS=1` its absence is a
//! failure. Where the clients are found:
//!
//! - `kcat` in the `PATH`;
//! - the Python clients through the interpreter `HIGHWATER_PYTHON`, else `python3`;
//! - the Java client through the class path `HIGHWATER_JAVA_CLASSPATH`, which holds kafka-clients and the
//!   compiled sources of `java/`.
//!
//! `HIGHWATER_BROKER_CMD` names another program that takes the arguments of `highwater dev`, so that the
//! suite itself can be held against Apache Kafka. `HIGHWATER_UPDATE_README=1` writes what was exercised
//! into the table of the README; otherwise the table there has to agree with it.

mod broker;
mod kcat;
mod program;
mod records;
mod scenario;
mod table;

use program::Program;

#[test]
fn kcat() {
    kcat::run_scenario();
}

#[test]
fn confluent_kafka() {
    if let Some(program) = Program::python("confluent-kafka", "client_confluent.py", "confluent_kafka") {
        scenario::survives_restarts(&program);
    }
}

#[test]
fn kafka_python() {
    if let Some(program) = Program::python("kafka-python", "client_kafka_python.py", "kafka") {
        scenario::survives_restarts(&program);
    }
}

#[test]
fn aiokafka() {
    if let Some(program) = Program::python("aiokafka", "client_aiokafka.py", "aiokafka") {
        scenario::survives_restarts(&program);
    }
}

#[test]
fn java() {
    if let Some(program) = Program::java() {
        scenario::survives_restarts(&program);
    }
}

#[test]
fn clients_read_what_the_others_wrote() {
    let programs: Vec<Program> = [
        Program::python("confluent-kafka", "client_confluent.py", "confluent_kafka"),
        Program::python("kafka-python", "client_kafka_python.py", "kafka"),
        Program::python("aiokafka", "client_aiokafka.py", "aiokafka"),
        Program::java(),
    ]
    .into_iter()
    .flatten()
    .collect();
    scenario::clients_read_each_other(&programs);
}
