//! A broker for one test.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_broker::{Broker, BrokerConfig};
use highwater_client::{Client, ClientConfig};

pub(crate) struct TestBroker {
    broker: Broker,
    _directory: tempfile::TempDir,
}

impl TestBroker {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(properties: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut all = BTreeMap::from([
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
            ("log.dirs".to_owned(), directory.path().to_str().unwrap().to_owned()),
            ("group.initial.rebalance.delay.ms".to_owned(), "0".to_owned()),
            ("offsets.topic.num.partitions".to_owned(), "1".to_owned()),
        ]);
        all.extend(properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let broker = Broker::start(&BrokerConfig::new(all).unwrap()).unwrap();
        Self { broker, _directory: directory }
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.broker.bootstrap().to_string()
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = ClientConfig { default_api_timeout: Duration::from_secs(20), ..ClientConfig::default() };
        config.set("bootstrap.servers", &self.bootstrap()).unwrap();
        Client::with_config(config).unwrap()
    }
}
