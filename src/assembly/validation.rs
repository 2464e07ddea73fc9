//! What the bodies of a route's requests must be: its schema, and the fields that are sanitised.

use std::rc::Rc;

use super::Findings;
use super::features::BUILT;
use portcullis::checks::body::request::BodyStep;
use portcullis::checks::body::sanitize::SanitizeFields;
use portcullis::checks::body::validate::{ValidateBeside, ValidateBody};
use portcullis::checks::inspect::body::ReadBeside;
use portcullis::document::{FieldPath, PathSet};
use portcullis::sanitize::Sanitizer;
use portcullis::schema::Schema;
use portcullis_config as config;

/// What is made of a route's `body` before its fields are encrypted.
#[derive(Default)]
pub(super) struct Validation {
    /// In the order in which they look at a body.
    pub(super) steps: Vec<Rc<dyn BodyStep>>,
    /// Who holds a body against the schema while it is inspected; pointless where other steps look at it all the same.
    pub(super) beside: Option<Rc<dyn ReadBeside>>,
    /// What the sanitised fields are called: script in them is no matter for the inspection.
    pub(super) sanitized: Vec<Box<str>>,
    /// What no response of the route may show.
    pub(super) write_only: Vec<FieldPath>,
    /// What the body must be.
    pub(super) schema: Option<Rc<Schema>>,
}

pub(super) fn compile(body: Option<&config::Body>, path: &str, findings: &mut Findings) -> Validation {
    let mut validation = Validation::default();
    let Some(body) = body else { return validation };
    if let Some(schema) = self::schema(body, path, findings) {
        validation.write_only = schema.write_only().to_vec();
        let schema = Rc::new(schema);
        validation.beside = Some(Rc::new(ValidateBeside(schema.clone())));
        validation.steps.push(Rc::new(ValidateBody { schema: schema.clone() }));
        validation.schema = Some(schema);
    }
    if let Some(sanitize) = &body.sanitize_html
        && let Some(step) =
            self::sanitize(sanitize, validation.schema.as_deref(), &format!("{path}.body.sanitize_html"), findings)
    {
        validation.sanitized.clone_from(&step.names);
        validation.steps.push(Rc::new(step));
    }
    validation
}

/// The field, told apart from others that the schema lists.
pub(super) fn told_apart(schema: Option<&Schema>, field: FieldPath) -> FieldPath {
    match schema {
        Some(schema) => schema.told_apart(field),
        None => field,
    }
}

fn schema(body: &config::Body, path: &str, findings: &mut Findings) -> Option<Schema> {
    if !BUILT.schema {
        return None;
    }
    let schema = Schema::compile(&serde_json::Value::Object(body.schema.clone()?));
    let refuse = |errors: Vec<portcullis::schema::SchemaError>| {
        for error in errors {
            findings.error(format!("{path}.body.schema"), error.to_string());
        }
    };
    schema.map_err(refuse).ok()
}

fn sanitize(
    sanitize: &config::SanitizeHtml,
    schema: Option<&Schema>,
    path: &str,
    findings: &mut Findings,
) -> Option<SanitizeFields> {
    if !BUILT.sanitize {
        return None;
    }
    let mut fields = Vec::new();
    for (at, field) in sanitize.fields.iter().enumerate() {
        match FieldPath::parse(field) {
            Ok(field) => fields.push(told_apart(schema, field)),
            Err(error) => findings.error(format!("{path}.fields[{at}]"), error.to_string()),
        }
    }
    let names = fields.iter().filter_map(|field| field.name().map(Box::from)).collect();
    match Sanitizer::new(&sanitize.tags) {
        Ok(sanitizer) => Some(SanitizeFields { fields: PathSet::new(fields), names, sanitizer }),
        Err(errors) => {
            for (at, error) in errors {
                findings.error(format!("{path}.tags[{at}]"), error.to_string());
            }
            None
        }
    }
}
