//! What the body of a request must be: held against the route's schema, without the fields that no request can set.

use super::request::BodyStep;
use crate::check::{Env, Step};
use crate::denial::{BodyRejection, Denial};
use crate::document::{Document, Limits};
use crate::exchange::Exchange;
use crate::schema::{Refusal, Schema};

/// Drops `readOnly` fields, then refuses what violates the schema.
pub struct ValidateBody {
    /// What it must be.
    pub schema: Schema,
}

impl BodyStep for ValidateBody {
    fn apply(&self, document: &mut Document<'_>, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        for place in self.schema.read_only().places(document) {
            document.remove(place);
        }
        match self.schema.validate(document) {
            Ok(()) => Step::Pass,
            Err(Refusal::Invalid(violations)) => Step::Deny(Denial::Invalid(violations.into())),
            Err(Refusal::TooComplex) => Step::Deny(Denial::Body(BodyRejection::TooComplex("schema_limits"))),
        }
    }

    fn surely_passes(&self, document: &[u8], limits: &Limits) -> bool {
        self.schema.surely_accepts(document, limits)
    }

    fn requires_json(&self) -> bool {
        true
    }
}
