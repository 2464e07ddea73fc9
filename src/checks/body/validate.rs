//! What the body of a request must be: held against the route's schema, without the fields that no request can set.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::request::BodyStep;
use crate::check::{Env, Step};
use crate::checks::inspect::body::{Judge, ReadBeside};
use crate::denial::{BodyRejection, Denial};
use crate::document::{Document, Limits};
use crate::exchange::Exchange;
use crate::media::body::Fields;
use crate::media::json::{self, Beside};
use crate::schema::{Refusal, Schema};

/// Drops `readOnly` fields, then refuses what violates the schema.
pub struct ValidateBody {
    /// What it must be.
    pub schema: Rc<Schema>,
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

    fn surely_passes(&self, document: &[u8], limits: &Limits, exchange: &Exchange) -> bool {
        // That no key occurs twice was seen as well.
        let accepted = exchange.accepted_within.is_some_and(|within| Limits { unique_keys: true, ..within } == *limits);
        accepted || self.schema.surely_accepts(document, limits)
    }

    fn requires_json(&self) -> bool {
        true
    }

    fn changes(&self) -> bool {
        !self.schema.read_only().is_empty()
    }
}

/// Holds a document against the schema in the same walk in which it is inspected.
pub struct ValidateBeside(pub Rc<Schema>);

impl ReadBeside for ValidateBeside {
    fn read(
        &self,
        document: &[u8],
        limits: &Limits,
        judge: &mut Judge<'_>,
    ) -> Result<(ControlFlow<()>, bool), json::Error> {
        let mut reading = self.0.reading();
        let ended = json::build(document, limits, Beside(Fields(judge), &mut reading))?;
        Ok((ended, reading.accepts()))
    }
}
