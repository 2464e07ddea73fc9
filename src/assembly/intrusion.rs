//! Blocking of addresses, and the endpoint that lists and lifts blocks.

use std::rc::Rc;

use super::{Findings, Shared, Surroundings, access, networks, space};
use portcullis::checks::authorize::Authorize;
use portcullis::checks::intrusion::Intrusion;
use portcullis::table::TableError;
use portcullis::table::blocks::{BlockPolicy, Blocks};
use portcullis::table::rate::Rate;
use portcullis_config::{self as config, Authenticate, BlockFor, Config, MethodRef, Mode};

/// `None` where nobody is blocked, or where it cannot be compiled, which was reported.
pub(super) fn compile(
    config: &Config,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Rc<Intrusion>> {
    let intrusion = config.intrusion.as_ref()?;
    let failures = Rate::new(intrusion.failures.0, intrusion.within.0)
        .map_err(|error| findings.error("intrusion.within", error.to_string()))
        .ok()?;
    let block_for = match intrusion.block_for {
        BlockFor::Lasting(span) => Some(span.0),
        BlockFor::Forever => None,
    };
    let mode = intrusion.mode.unwrap_or(config.mode);
    let policy = BlockPolicy { failures, block_for };
    let blocks = open(config, mode, policy, surroundings)
        .map_err(|error| findings.error("tables.blocks", error.to_string()))
        .ok()?;
    let never_block = networks(&intrusion.never_block);
    Some(Rc::new(Intrusion { blocks, mode, counted: intrusion.count.clone(), never_block }))
}

fn open(
    config: &Config,
    mode: Mode,
    policy: BlockPolicy,
    surroundings: &Surroundings<'_>,
) -> Result<Blocks, TableError> {
    // What was blocked in monitor mode is not blocked from the moment on at which blocks are enforced.
    let space = space(config, if mode == Mode::Monitor { "/monitor" } else { "" }, surroundings)?;
    Blocks::open(&space, surroundings.store, policy, config.tables.blocks.0, config.tables.addresses.0)
}

/// Every method that is configured: any of them may prove the role.
pub(super) fn methods(config: &Config) -> Authenticate {
    let known = &config.authentication;
    let methods = [
        (!known.jwt.is_empty(), MethodRef::Jwt(None)),
        (!known.oauth2.is_empty(), MethodRef::Oauth2(None)),
        (known.service.is_some(), MethodRef::Service),
        (known.api_keys.is_some(), MethodRef::ApiKeys),
        (known.mtls.is_some(), MethodRef::Mtls),
    ];
    Authenticate::Any(methods.into_iter().filter(|(configured, _)| *configured).map(|(_, method)| method).collect())
}

/// Who may use the endpoint.
pub(super) fn access(admin: &config::Admin, shared: &Shared, findings: &mut Findings) -> Authorize {
    let allowed = config::Condition { roles: admin.roles.clone(), ..config::Condition::default() };
    access::compile((&[], ""), (&[allowed], "intrusion.admin.roles"), None, shared, findings)
}
