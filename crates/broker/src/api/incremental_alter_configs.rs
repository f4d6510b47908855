//! IncrementalAlterConfigs (44): sets, removes, appends to and subtracts from single configs.

use std::borrow::Cow;

use highwater_metadata::{AlterConfigsResult, ConfigEdit, IncrementalAlterConfigs, IncrementalResource};
use highwater_types::ErrorCode;
use highwater_wire::messages::IncrementalAlterConfigsRequest;
use highwater_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: IncrementalAlterConfigsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.resources.len())?;
    let resources: Vec<IncrementalResource> = body
        .resources
        .iter()
        .map(|resource| IncrementalResource {
            kind: resource.resource_type,
            name: resource.resource_name.into_owned(),
            changes: resource
                .configs
                .iter()
                .map(|config| ConfigEdit {
                    name: config.name.into_owned(),
                    operation: config.config_operation,
                    value: config.value.map(Cow::into_owned),
                })
                .collect(),
        })
        .collect();
    let asked: Vec<(i8, String)> = resources.iter().map(|resource| (resource.kind, resource.name.clone())).collect();
    let alter = IncrementalAlterConfigs { resources, validate_only: body.validate_only };
    let submitted =
        cx.node.quorum.decide(cx.peer.token(), move |controller| controller.incremental_alter_configs(&alter));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |altered, to, out| match altered {
            Ok(results) => to.send(out, &response(results)),
            Err(error) => to.send(out, &all_failed(&asked, error.to_code())),
        })),
        Err(busy) => request.to.send(out, &all_failed(&asked, busy.to_code())),
    }
}

fn response(results: Vec<AlterConfigsResult>) -> IncrementalAlterConfigsResponse<'static> {
    let responses = results
        .into_iter()
        .map(|AlterConfigsResult { kind, name, result }| match result {
            Ok(()) => one(kind, name, ErrorCode::None, None),
            Err(error) => one(kind, name, error.code, Some(error.message)),
        })
        .collect();
    IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
}

fn all_failed(asked: &[(i8, String)], code: ErrorCode) -> IncrementalAlterConfigsResponse<'static> {
    let responses = asked.iter().map(|(kind, name)| one(*kind, name.clone(), code, None)).collect();
    IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
}

fn one(kind: i8, name: String, code: ErrorCode, message: Option<String>) -> AlterConfigsResourceResponse<'static> {
    AlterConfigsResourceResponse {
        error_code: code as i16,
        error_message: message.map(Into::into),
        resource_type: kind,
        resource_name: name.into(),
        ..AlterConfigsResourceResponse::default()
    }
}
