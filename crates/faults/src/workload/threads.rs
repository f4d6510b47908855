//! The threads of all clients.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use highwater_sim::Random;
use highwater_testsupport::history::{Key, Process};

use super::consumer::{follow, read_again};
use super::observer::observe;
use super::producer::{Acks, Producer};
use super::{LOOSE, SAFE};
use crate::client::{Router, TopicSpec};
use crate::node::Endpoint;
use crate::recorder::Recorder;
use crate::stop::Stop;

/// Clients that run, of two kinds, for producers are stopped first.
#[derive(Debug)]
pub(crate) struct Workload {
    producers: Group,
    readers: Group,
    next_process: Process,
}

#[derive(Debug, Default)]
struct Group {
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Group {
    /// What goes wrong inside is a fault of the suite or of the cluster, but never unnoticed.
    fn spawn(&mut self, recorder: &Arc<Recorder>, client: impl FnOnce(&Recorder, &Stop) + Send + 'static) {
        let (recorder, stop) = (Arc::clone(recorder), self.stop.clone());
        self.threads.push(thread::spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| client(&recorder, &stop))).is_err() {
                recorder.problem("a client has panicked, see above");
            }
        }));
    }

    fn end(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            // Panics were caught inside.
            let _ = thread.join();
        }
    }
}

impl Workload {
    /// Starts all clients.
    pub(crate) fn start(
        topics: &[TopicSpec],
        endpoints: &Arc<[Endpoint]>,
        recorder: &Arc<Recorder>,
        random: &mut Random,
    ) -> Self {
        let keys = |topic: &str| -> Vec<Key> {
            topics.iter().filter(|spec| spec.name == topic).flat_map(TopicSpec::keys).map(|(key, _)| key).collect()
        };
        let mut workload = Self { producers: Group::default(), readers: Group::default(), next_process: 0 };
        let kinds = [Acks::All, Acks::AllIdempotent, Acks::All, Acks::AllIdempotent, Acks::Leader];
        for acks in kinds {
            let keys = keys(if acks == Acks::Leader { LOOSE } else { SAFE });
            let (process, router) = workload.client(endpoints);
            let producer = Producer::new(process, acks, keys, router, random.fork());
            workload.producers.spawn(recorder, move |recorder, stop| producer.run(recorder, stop));
        }
        for topic in [SAFE, LOOSE] {
            let (process, router) = workload.client(endpoints);
            let all = keys(topic);
            workload.readers.spawn(recorder, move |recorder, stop| follow(process, all, router, recorder, stop));
            let (process, router) = workload.client(endpoints);
            let (all, random) = (keys(topic), random.fork());
            workload
                .readers
                .spawn(recorder, move |recorder, stop| read_again(process, &all, router, random, recorder, stop));
        }
        let all: Vec<Key> = [SAFE, LOOSE].into_iter().flat_map(keys).collect();
        let observed = Arc::clone(endpoints);
        workload.readers.spawn(recorder, move |recorder, stop| observe(&all, &observed, recorder, stop));
        workload
    }

    /// A client with a number and connections of its own.
    pub(crate) fn client(&mut self, endpoints: &Arc<[Endpoint]>) -> (Process, Router) {
        let process = self.next_process;
        self.next_process += 1;
        (process, Router::new(Arc::clone(endpoints), process as usize))
    }

    /// Ends the producers, once each knows how its last batch ended or has given up.
    pub(crate) fn end_producers(&mut self) {
        self.producers.end();
    }

    /// Ends everybody else.
    pub(crate) fn end_readers(&mut self) {
        self.readers.end();
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.producers.stop.set();
        self.readers.end();
        self.producers.end();
    }
}
