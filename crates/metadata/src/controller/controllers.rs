//! Controllers that say where they are reached (KIP-919).

use super::{Controller, Decision};
use crate::{
    ApiError,
    record::{MetadataRecord, RegisterController},
};
use highwater_types::ErrorCode;

impl Controller {
    /// Decides on the registration of a controller process, which takes the place of an earlier one of the same node.
    /// Nothing is written if it says nothing new.
    ///
    /// # Errors
    ///
    /// `INVALID_REGISTRATION` if it has no endpoint.
    pub fn register_controller(&self, registration: &RegisterController) -> Result<Decision<()>, ApiError> {
        if registration.endpoints.is_empty() {
            let why = format!("Controller {} has no endpoint.", registration.node);
            return Err(ApiError::new(ErrorCode::InvalidRegistration, why));
        }
        let is_known = self.image.controllers().any(|known| **known == *registration);
        let records =
            if is_known { Vec::new() } else { vec![MetadataRecord::RegisterController(registration.clone())] };
        Ok(Decision::new(records, ()))
    }
}
