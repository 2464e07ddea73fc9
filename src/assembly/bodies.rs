//! What is made of bodies, for each route: fields that are encrypted, decrypted or left out.

use std::rc::Rc;

use super::access::own_claim;
use super::features::BUILT;
use super::secrets::Secrets;
use super::validation::told_apart;
use super::{Findings, Shared};
use portcullis::checks::body::KeyRing;
use portcullis::checks::body::decrypt::DecryptFields;
use portcullis::checks::body::encrypt::{EncryptFields, EncryptWhole};
use portcullis::checks::body::owner::OwnedByCaller;
use portcullis::checks::body::project::Projection;
use portcullis::checks::body::request::{BodyStep, TransformBody};
use portcullis::checks::body::response::TransformResponse;
use portcullis::document::{FieldPath, Limits, PathSet};
use portcullis::fernet::{Key, Keys, stored_length};
use portcullis::pipeline::{ResponseGuard, ResponseGuards};
use portcullis::policy::roles::RoleSet;
use portcullis::schema::Schema;
use portcullis::secrets::SecretSlot;
use portcullis_config::{self as config, Config, Mode, ResponseOwner};

/// What the bodies of every route are changed with.
pub(super) struct Bodies {
    /// `None`: there is no `encryption`, or something is wrong with it.
    keys: Option<Rc<KeyRing>>,
    document: Limits,
    /// Bytes of a body that can be held.
    limit: usize,
}

/// What is made of the requests of one route; the order is that of the fields.
#[derive(Default)]
pub(super) struct RequestBody {
    /// Fields are looked at or changed.
    pub(super) fields: Option<TransformBody>,
    /// All of it is encrypted.
    pub(super) whole: Option<EncryptWhole>,
}

impl RequestBody {
    /// The upstream may get another body than was sent.
    pub(super) fn rewrites(&self) -> bool {
        self.fields.as_ref().is_some_and(TransformBody::changes) || self.whole.is_some()
    }

    /// One step looks at its fields, and no other.
    pub(super) fn has_one_step(&self) -> bool {
        self.fields.as_ref().is_some_and(|fields| fields.steps.len() == 1)
    }
}

pub(super) fn compile(config: &Config, secrets: &Secrets, findings: &mut Findings) -> Bodies {
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let bodies = &config.bodies;
    Bodies {
        keys: keys(config, secrets, findings).map(Rc::new),
        document: Limits {
            depth: size(bodies.json_depth.0),
            entries: size(bodies.json_entries.0),
            string_length: size(bodies.string_length.0),
            unique_keys: true,
            ..Limits::default()
        },
        limit: size(config.inspection.body_limit.0),
    }
}

/// The keys of `encryption`, in their order; `None` where there are none.
fn keys(config: &Config, secrets: &Secrets, findings: &mut Findings) -> Option<KeyRing> {
    if !BUILT.encryption {
        return None;
    }
    let mut slots = Vec::new();
    for (at, reference) in config.encryption.iter().flat_map(|encryption| &encryption.keys).enumerate() {
        let Some(slot) = secrets.slot(reference) else { continue };
        slot.require(|value| Key::parse(value.reveal()).is_some());
        if !slot.is_fetched() && slot.current().is_some_and(|value| Key::parse(value.reveal()).is_none()) {
            findings.error(
                format!("encryption.keys[{at}]"),
                format!("the secret {} is no Fernet key: expected 32 bytes in base64url", reference.secret.as_str()),
            );
        }
        slots.push(slot);
    }
    (!slots.is_empty()).then(|| KeyRing::new(slots, key_ring))
}

/// The first secret encrypts; what else is accepted of any of them decrypts.
fn key_ring(slots: &[Rc<SecretSlot>]) -> Option<Keys> {
    let first = slots.first()?.signing()?;
    let accepted = slots.iter().flat_map(|slot| slot.accepted());
    let others = accepted.filter(|value| *value != first).filter_map(|value| Key::parse(value.reveal()));
    Keys::new(std::iter::once(Key::parse(first.reveal())?).chain(others))
}

impl Bodies {
    /// The keys, where something is asked of them.
    fn keys(&self, asked: bool) -> Option<Rc<KeyRing>> {
        if !BUILT.encryption {
            return None;
        }
        self.keys.clone().filter(|_| asked)
    }

    /// What is made of a route's requests, after `steps`, whose schema tells fields apart. Encryption is never off.
    pub(super) fn request(
        &self,
        body: Option<&config::Body>,
        (mut steps, schema): (Vec<Rc<dyn BodyStep>>, Option<&Schema>),
        path: &str,
        findings: &mut Findings,
    ) -> RequestBody {
        let Some(body) = body else { return RequestBody::default() };
        if let Some(keys) = self.keys(!body.encrypt.is_empty()) {
            let fields = list(&body.encrypt, &format!("{path}.body.encrypt"), findings).into_iter();
            let fields = PathSet::new(fields.map(|field| told_apart(schema, field)));
            steps.push(Rc::new(EncryptFields { fields, keys }));
        }
        let (limits, limit) = (self.document, self.limit);
        let whole = self.keys(body.encrypt_whole);
        RequestBody {
            fields: (!steps.is_empty()).then_some(TransformBody { steps, limits, limit }),
            whole: whole.map(|keys| EncryptWhole { keys, limit }),
        }
    }

    /// What decides about a route's responses; nobody gets what is `write_only`. Projection is never off; whose a response is, is a rule of access.
    pub(super) fn response(
        &self,
        response: Option<&config::Response>,
        write_only: Vec<FieldPath>,
        (path, mode): (&str, Mode),
        shared: &Shared,
        findings: &mut Findings,
    ) -> ResponseGuards {
        if !BUILT.responses() {
            return ResponseGuards::none();
        }
        let nothing = config::Response::default();
        let response = response.unwrap_or(&nothing);
        let path = format!("{path}.response");
        let owner = response.owner.as_ref().filter(|_| mode != Mode::Off);
        let decrypt = self.keys(!response.decrypt.is_empty());
        let whole = self.keys(response.decrypt_whole);
        let (mut limits, mut limit) = (self.document, self.limit);
        // What was sent to be encrypted comes back as its tokens.
        if decrypt.is_some() {
            limit = room_for_tokens(limit, limits.entries);
            limits.string_length = stored_length(limits.string_length);
        }
        if whole.is_some() {
            limit = stored_length(limit);
        }
        let check = TransformResponse {
            whole,
            owner: owner.and_then(|owner| owned_by_caller(owner, &format!("{path}.owner"), shared, findings)),
            fields: projection(response.fields.as_ref(), write_only, &path, shared, findings),
            decrypt: decrypt.map(|keys| DecryptFields {
                fields: paths(&response.decrypt, &format!("{path}.decrypt"), findings),
                keys,
            }),
            limits,
        };
        if check.whole.is_none() && check.owner.is_none() && check.fields.is_none() && check.decrypt.is_none() {
            return ResponseGuards::none();
        }
        let is_private = check.is_private();
        let guard = ResponseGuard { check: Rc::new(check), mode };
        ResponseGuards { guards: Rc::from([guard]), limit, is_private }
    }
}

/// Bytes of a document of `plain` bytes when each of its values, at most `entries`, became a token: each may be as short as a
/// digit and a comma, and grows by what a token has beside its text.
fn room_for_tokens(plain: usize, entries: usize) -> usize {
    const QUOTES: usize = 2;
    let values = entries.min(plain / 2).saturating_add(1);
    stored_length(plain).saturating_add(values.saturating_mul(stored_length(0) + QUOTES))
}

fn projection(
    fields: Option<&config::Fields>,
    mut deny: Vec<FieldPath>,
    path: &str,
    shared: &Shared,
    findings: &mut Findings,
) -> Option<Projection> {
    let Some(fields) = fields else {
        return (!deny.is_empty()).then(|| Projection {
            deny: PathSet::new(deny),
            allow: None,
            allow_all: RoleSet::default(),
        });
    };
    deny.extend(list(&fields.deny, &format!("{path}.fields.deny"), findings));
    let allow = fields.allow.as_ref().map(|allow| paths(allow, &format!("{path}.fields.allow"), findings));
    Some(Projection { deny: PathSet::new(deny), allow, allow_all: roles(fields.allow_all.as_ref(), shared) })
}

fn owned_by_caller(
    owner: &ResponseOwner,
    path: &str,
    shared: &Shared,
    findings: &mut Findings,
) -> Option<OwnedByCaller> {
    let field = self::path(&owner.field, &format!("{path}.field"), findings);
    let claim = own_claim(&owner.claim, shared);
    let unless = roles(owner.unless.as_ref(), shared);
    Some(OwnedByCaller { rule: Rc::from(path), field: field?, claim, unless })
}

fn roles(roles: Option<&config::Roles>, shared: &Shared) -> RoleSet {
    shared.roles.asked(roles.iter().flat_map(|roles| &roles.roles).map(String::as_str))
}

fn paths(fields: &[String], at: &str, findings: &mut Findings) -> PathSet {
    PathSet::new(list(fields, at, findings))
}

fn list(fields: &[String], at: &str, findings: &mut Findings) -> Vec<FieldPath> {
    let fields = fields.iter().enumerate();
    fields.filter_map(|(index, field)| path(field, &format!("{at}[{index}]"), findings)).collect()
}

fn path(field: &str, at: &str, findings: &mut Findings) -> Option<FieldPath> {
    FieldPath::parse(field).map_err(|error| findings.error(at, error.to_string())).ok()
}
