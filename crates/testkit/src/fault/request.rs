//! What a request names.

use highwater_broker::Intercepted;
use highwater_types::Uuid;
use highwater_wire::frame::decode_request_header;
use highwater_wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest, ProduceRequest,
};
use highwater_wire::{ApiKey, Message, Reader};

use crate::admin::CLIENT_ID;

/// A request whose header has been read.
pub(super) struct Request<'a> {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    client_id: String,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads the header; `None` if it is malformed, which is the broker's to refuse.
    pub(super) fn read(intercepted: &Intercepted<'a>) -> Option<Self> {
        let mut reader = Reader::new(intercepted.frame());
        let header = decode_request_header(&mut reader).ok()?;
        Some(Self {
            key: ApiKey::from_code(header.api_key)?,
            version: header.api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.unwrap_or_default().into_owned(),
            body: reader.rest(),
        })
    }

    /// Reads the body; `None` if it is malformed.
    pub(super) fn decode<M: Message<'a>>(&self) -> Option<M> {
        M::decode(&mut Reader::new(self.body), self.version).ok()
    }

    /// Whether it comes from the kit or from another broker, whom faults do not concern.
    pub(super) fn is_of_the_cluster(&self) -> bool {
        let from_replica = |fetch: FetchRequest<'_>| 0 <= fetch.replica_id.max(fetch.replica_state.replica_id);
        self.client_id == CLIENT_ID
            || match self.key {
                ApiKey::Fetch => self.decode().is_some_and(from_replica),
                ApiKey::ApiVersions => self
                    .decode()
                    .is_some_and(|versions: ApiVersionsRequest<'_>| versions.client_software_name == BROKER_SOFTWARE),
                _ => false,
            }
    }

    /// The topics that it names, as far as the broker knows their names.
    pub(super) fn topics(&self, intercepted: &Intercepted<'_>) -> Vec<String> {
        self.named_topics(intercepted).unwrap_or_default()
    }

    fn named_topics(&self, intercepted: &Intercepted<'_>) -> Option<Vec<String>> {
        let name_of = |name: &str, id: Uuid| {
            let name = if name.is_empty() { intercepted.topic_name(id) } else { Some(name) };
            name.map(str::to_owned)
        };
        Some(match self.key {
            ApiKey::Produce => {
                let request: ProduceRequest<'_> = self.decode()?;
                request.topic_data.iter().filter_map(|topic| name_of(&topic.name, topic.topic_id)).collect()
            }
            ApiKey::Fetch => {
                let request: FetchRequest<'_> = self.decode()?;
                request.topics.iter().filter_map(|topic| name_of(&topic.topic, topic.topic_id)).collect()
            }
            ApiKey::Metadata => {
                let request: MetadataRequest<'_> = self.decode()?;
                let topics = request.topics?;
                topics
                    .iter()
                    .filter_map(|topic| name_of(topic.name.as_deref().unwrap_or_default(), topic.topic_id))
                    .collect()
            }
            ApiKey::ListOffsets => {
                let request: ListOffsetsRequest<'_> = self.decode()?;
                request.topics.iter().map(|topic| topic.name.into_owned()).collect()
            }
            ApiKey::OffsetCommit => {
                let request: OffsetCommitRequest<'_> = self.decode()?;
                request.topics.iter().filter_map(|topic| name_of(&topic.name, topic.topic_id)).collect()
            }
            ApiKey::OffsetFetch => {
                let request: OffsetFetchRequest<'_> = self.decode()?;
                let old = request.topics.iter().flat_map(|topics| topics.iter());
                let old = old.map(|topic| topic.name.into_owned());
                let new = request.groups.iter().filter_map(|group| group.topics);
                let new = new.flat_map(|topics| {
                    let named = topics.iter().filter_map(|topic| name_of(&topic.name, topic.topic_id));
                    named.collect::<Vec<_>>()
                });
                old.chain(new).collect()
            }
            ApiKey::CreateTopics => {
                let request: CreateTopicsRequest<'_> = self.decode()?;
                request.topics.iter().map(|topic| topic.name.into_owned()).collect()
            }
            ApiKey::DeleteTopics => {
                let request: DeleteTopicsRequest<'_> = self.decode()?;
                let by_name = request.topic_names.iter().map(std::borrow::Cow::into_owned);
                let new = request.topics.iter();
                let new = new.filter_map(|topic| name_of(topic.name.as_deref().unwrap_or_default(), topic.topic_id));
                by_name.chain(new).collect()
            }
            _ => return None,
        })
    }
}

/// Requests that are told apart by topic.
pub(super) const WITH_TOPICS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::Metadata,
    ApiKey::ListOffsets,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
];

/// What brokers call themselves where they ask for versions.
const BROKER_SOFTWARE: &str = "highwater-broker";
