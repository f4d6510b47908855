//! A member of a classic group.

use std::sync::Arc;

use highwater_coordinator::{Reply, Token};
use highwater_types::ErrorCode;

use crate::protocol::{ClassicProtocol, Subscription};
use crate::record::ClassicMemberValue;
use crate::request::JoinGroup;
use crate::response::{JoinGroupResponse, JoinedMember, Response, SyncGroupResponse};

/// A member of a classic group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In its order of preference.
    pub(super) protocols: Vec<ClassicProtocol>,
    pub(super) assignment: Arc<[u8]>,
    /// Its JoinGroup that waits.
    pub(super) joining: Option<Token>,
    /// Its SyncGroup that waits.
    pub(super) syncing: Option<Token>,
    /// It has not been in a generation yet.
    pub(super) is_new: bool,
    /// It has asked for its assignment of this generation.
    pub(super) has_synced: bool,
}

impl Member {
    pub(super) fn new(join: &JoinGroup<'_>) -> Self {
        Self {
            instance_id: join.instance_id.map(Arc::from),
            client_id: Arc::from(join.client.id),
            client_host: Arc::from(join.client.host),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: Arc::default(),
            joining: None,
            syncing: None,
            is_new: true,
            has_synced: false,
        }
    }

    /// As a record has it; it was in the generation that the record is of.
    pub(super) fn from_value(value: &ClassicMemberValue) -> Self {
        Self {
            instance_id: value.instance_id.clone(),
            client_id: Arc::clone(&value.client_id),
            client_host: Arc::clone(&value.client_host),
            rebalance_timeout_ms: value.rebalance_timeout_ms.unwrap_or(value.session_timeout_ms),
            session_timeout_ms: value.session_timeout_ms,
            protocols: vec![value.subscription.clone()],
            assignment: Arc::clone(&value.assignment),
            joining: None,
            syncing: None,
            is_new: false,
            has_synced: true,
        }
    }

    /// As a record shall have it, with the subscription for `protocol`.
    pub(super) fn value(&self, id: &Arc<str>, protocol: Option<&str>, assignment: Arc<[u8]>) -> ClassicMemberValue {
        let chosen = self.protocols.iter().find(|known| Some(&*known.name) == protocol);
        let none = || ClassicProtocol { name: Arc::default(), metadata: Arc::default(), subscription: None };
        ClassicMemberValue {
            id: Arc::clone(id),
            instance_id: self.instance_id.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            rebalance_timeout_ms: Some(self.rebalance_timeout_ms),
            session_timeout_ms: self.session_timeout_ms,
            subscription: chosen.or_else(|| self.protocols.first()).cloned().unwrap_or_else(none),
            assignment,
        }
    }

    /// Takes what a repeated join says.
    pub(super) fn update(&mut self, join: &JoinGroup<'_>) {
        self.client_id = Arc::from(join.client.id);
        self.client_host = Arc::from(join.client.host);
        self.rebalance_timeout_ms = join.rebalance_timeout_ms;
        self.session_timeout_ms = join.session_timeout_ms;
        self.protocols.clone_from(&join.protocols);
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| &*known.name == protocol)
    }

    /// What it said for `protocol`.
    pub(super) fn metadata(&self, protocol: &str) -> Arc<[u8]> {
        let chosen = self.protocols.iter().find(|known| &*known.name == protocol);
        chosen.map_or_else(Arc::default, |known| Arc::clone(&known.metadata))
    }

    /// What it subscribes to by `protocol`, if that could be decoded.
    pub(super) fn subscription(&self, protocol: &str) -> Option<&Subscription> {
        self.protocols.iter().find(|known| &*known.name == protocol)?.subscription.as_deref()
    }

    /// As the leader sees it.
    pub(super) fn joined(&self, id: &Arc<str>, protocol: &str) -> JoinedMember {
        JoinedMember { id: Arc::clone(id), instance_id: self.instance_id.clone(), metadata: self.metadata(protocol) }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// Answers what waits with an error.
    pub(super) fn interrupt(&mut self, id: &str, error: ErrorCode) -> impl Iterator<Item = Reply<Response>> {
        let joining = self.joining.take();
        let joining =
            joining.map(|token| Reply { token, response: Response::Join(JoinGroupResponse::refused(id, error)) });
        joining.into_iter().chain(self.interrupt_sync(error))
    }

    /// Answers a SyncGroup that waits with an error.
    pub(super) fn interrupt_sync(&mut self, error: ErrorCode) -> Option<Reply<Response>> {
        let token = self.syncing.take()?;
        Some(Reply { token, response: Response::Sync(SyncGroupResponse::refused(error)) })
    }
}
