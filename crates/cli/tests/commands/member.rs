//! A member of a classic group of consumers, as bytes on a socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use highwater_wire::frame::{RequestHeader, decode_response_header, encode_request};
use highwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use highwater_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use highwater_wire::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use highwater_wire::{ApiKey, Message, Reader};

/// Belongs to its group until it is dropped, or its session ends.
pub(crate) struct Member {
    stream: TcpStream,
}

impl Member {
    /// Joins a group that nobody else is in, and takes the partitions 0 and 1 of the topic.
    pub(crate) fn join(address: SocketAddr, group: &str, topic: &str) -> Self {
        let mut member = Self { stream: TcpStream::connect(address).unwrap() };
        let mut subscription = vec![0, 0, 0, 0, 0, 1];
        string(&mut subscription, topic);
        subscription.extend([0xff; 4]);
        let mut id = String::new();
        // The first answer is the member id to join with; the broker may know no coordinator yet.
        let mut attempts = 0..10_000;
        let generation = loop {
            let protocol = JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: subscription.as_slice().into(),
                ..Default::default()
            };
            let request = JoinGroupRequest {
                group_id: group.into(),
                session_timeout_ms: 30_000,
                rebalance_timeout_ms: 30_000,
                member_id: id.as_str().into(),
                protocol_type: "consumer".into(),
                protocols: vec![protocol].into(),
                ..JoinGroupRequest::default()
            };
            let frame = member.ask(ApiKey::JoinGroup, &request);
            let response = body::<JoinGroupResponse<'_>>(&frame, ApiKey::JoinGroup);
            id = response.member_id.to_string();
            if response.error_code == 0 {
                break response.generation_id;
            }
            attempts.next().expect("the group takes a member");
        };
        let mut assignment = vec![0, 0, 0, 0, 0, 1];
        string(&mut assignment, topic);
        assignment.extend([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        let assignment = SyncGroupRequestAssignment {
            member_id: id.as_str().into(),
            assignment: assignment.as_slice().into(),
            ..Default::default()
        };
        let request = SyncGroupRequest {
            group_id: group.into(),
            generation_id: generation,
            member_id: id.as_str().into(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: vec![assignment].into(),
            ..SyncGroupRequest::default()
        };
        let frame = member.ask(ApiKey::SyncGroup, &request);
        assert_eq!(body::<SyncGroupResponse<'_>>(&frame, ApiKey::SyncGroup).error_code, 0);
        member
    }

    fn ask<'m>(&mut self, api: ApiKey, request: &impl Message<'m>) -> Vec<u8> {
        let header = RequestHeader {
            api_key: api.code(),
            api_version: VERSION,
            client_id: Some("the-client".into()),
            ..RequestHeader::default()
        };
        let mut bytes = Vec::new();
        encode_request(&mut bytes, &header, request).unwrap();
        self.stream.write_all(&bytes).unwrap();
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        frame
    }
}

fn body<'a, M: Message<'a>>(frame: &'a [u8], api: ApiKey) -> M {
    let mut reader = Reader::new(frame);
    decode_response_header(&mut reader, api, VERSION).unwrap();
    M::decode(&mut reader, VERSION).unwrap()
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend(text.as_bytes());
}

/// Of both requests.
const VERSION: i16 = 5;
