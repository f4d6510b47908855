//! A broker registers, sends heartbeats, and leaves.

use highwater_metadata::{BrokerHeartbeat, BrokerRegistration, Endpoint, FeatureRange, features};
use highwater_types::{ErrorCode, Offset};

use super::super::context::Context;
use super::super::message::{Call, Reply};
use super::super::node::Node;
use super::Pending;

impl Node {
    pub(super) fn drive_life(&mut self, ctx: &mut Context<'_, '_>) {
        let now = self.ticks(ctx.now_ms);
        let controller = self.controller();
        let id = self.id();
        let Some(process) = &mut self.process else { return };
        let Some(broker) = &mut process.broker else { return };
        if broker.is_calling || broker.may_end || now < broker.call_at {
            return;
        }
        let Some(controller) = controller else {
            broker.call_at = now.plus_ms(ctx.plan.timing.backoff_ms);
            return;
        };
        broker.is_calling = true;
        let (call, pending) = match broker.epoch {
            None => {
                let registration = BrokerRegistration {
                    node: id,
                    incarnation: broker.incarnation,
                    endpoints: vec![Endpoint {
                        name: "P".to_owned(),
                        host: "h".to_owned(),
                        port: 1,
                        security_protocol: 0,
                    }],
                    features: features::SUPPORTED
                        .iter()
                        .map(|known| FeatureRange { name: known.name.to_owned(), min: known.min, max: known.max })
                        .collect(),
                    rack: None,
                    log_dirs: Vec::new(),
                    previous_epoch: broker.previous_epoch,
                };
                (Call::Register(registration), Pending::Register)
            }
            Some(epoch) => {
                let applied = process.applied.value();
                let heartbeat = BrokerHeartbeat {
                    node: id,
                    epoch,
                    metadata_offset: Offset::new(applied.saturating_sub(1)),
                    want_fence: !broker.is_loaded,
                    want_shutdown: broker.is_leaving,
                    offline_log_dirs: Vec::new(),
                };
                (Call::Heartbeat(heartbeat), Pending::Heartbeat)
            }
        };
        self.call(ctx, controller, call, pending);
    }

    pub(super) fn registered(&mut self, ctx: &mut Context<'_, '_>, reply: Option<&Reply>) {
        let now = self.ticks(ctx.now_ms);
        let Some(broker) = self.broker_mut() else { return };
        broker.is_calling = false;
        match reply {
            Some(Reply::Registered(Ok(epoch))) => (broker.epoch, broker.call_at) = (Some(*epoch), now),
            _ => broker.call_at = now.plus_ms(ctx.plan.timing.backoff_ms),
        }
    }

    pub(super) fn heartbeat_answered(&mut self, ctx: &mut Context<'_, '_>, reply: Option<&Reply>) {
        let now = self.ticks(ctx.now_ms);
        let Some(broker) = self.broker_mut() else { return };
        broker.is_calling = false;
        let timing = &ctx.plan.timing;
        broker.call_at = match reply {
            Some(Reply::Heartbeat(Ok(answer))) => {
                broker.may_end = broker.is_leaving && answer.should_shut_down();
                // Who waits to be let in, or out, asks again soon.
                let is_waiting = answer.is_fenced() || broker.is_leaving;
                now.plus_ms(if is_waiting { timing.backoff_ms } else { timing.heartbeat_ms })
            }
            Some(Reply::Heartbeat(Err(ErrorCode::StaleBrokerEpoch))) => {
                broker.epoch = None;
                now.plus_ms(timing.backoff_ms)
            }
            _ => now.plus_ms(timing.backoff_ms),
        };
    }

    /// The broker ends as it should: everything is on its disk, and what says so too.
    pub(in super::super) fn end_cleanly(&mut self, ctx: &mut Context<'_, '_>) {
        let epoch = self.broker().and_then(|broker| broker.epoch);
        ctx.say(|| format!("{} ends cleanly as {epoch:?}", self.index));
        self.disk.logs.values_mut().for_each(super::super::log::Log::sync);
        self.write_checkpoint();
        self.disk.logs.values_mut().for_each(|log| log.restart(true));
        self.disk.clean_shutdown = epoch;
        self.die(ctx);
    }

    /// Writes the high watermarks down.
    pub(in super::super) fn write_checkpoint(&mut self) {
        let Some(broker) = self.process.as_ref().and_then(|process| process.broker.as_ref()) else { return };
        for (key, replica) in &broker.replicas {
            self.disk.checkpoint.insert(*key, replica.high_watermark);
        }
    }
}
