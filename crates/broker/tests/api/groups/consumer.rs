//! The consumer protocol (KIP-848) over sockets.

use highwater_types::ErrorCode;
use highwater_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};

use super::broker_with;
use crate::common::code;

#[test]
fn the_protocol_can_be_left_out() {
    let (_broker, mut client) = broker_with(&[("group.coordinator.rebalance.protocols", "classic")]);
    for version in 0..=1 {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 1000,
            subscribed_topic_names: Some(vec!["t".into()].into()),
            topic_partitions: Some(Vec::new().into()),
            ..Default::default()
        };
        let answer = client.call(version, &request);
        let response: ConsumerGroupHeartbeatResponse<'_> = answer.body();
        assert_eq!(code(response.error_code), ErrorCode::UnsupportedVersion);
        let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".into()].into(), ..Default::default() };
        let answer = client.call(version, &request);
        let response: ConsumerGroupDescribeResponse<'_> = answer.body();
        let group = response.groups.iter().next().unwrap();
        assert_eq!((code(group.error_code), &*group.group_id), (ErrorCode::UnsupportedVersion, "g"));
    }
}
