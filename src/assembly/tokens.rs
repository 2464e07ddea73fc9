//! The endpoints that log in, refresh and log out, and the feed of revocations.

use std::rc::Rc;
use std::time::Duration;

use super::authentication::algorithm;
use super::secrets::Secrets;
use super::{Findings, Shared, Surroundings, remote, space};
use portcullis::check::Background;
use portcullis::checks::authenticate::revocation_feed::{self, RevocationFeed};
use portcullis::checks::limit::AddressBudget;
use portcullis::checks::tokens::{Issuer, Keys, Login, Logout, PLACEHOLDER, Refresh, TokenEndpoint, TokenService};
use portcullis::jose::claims::ClaimPath;
use portcullis::jose::key::{Secret, VerifyingKey};
use portcullis::jose::key_set::KeySet;
use portcullis::jose::validate::DEFAULT_CLOCK_SKEW;
use portcullis::secrets::{Derived, SecretSlot};
use portcullis::table::Space;
use portcullis::table::published::Published;
use portcullis_config::{self as config, Config};

/// A feed that is read more often than this is a load, not news.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// One endpoint and where it is.
pub(super) struct Endpoint {
    /// What people call it.
    pub(super) name: &'static str,
    pub(super) path: String,
    pub(super) check: TokenEndpoint,
}

/// The endpoints, and what hears the answers to what they ask.
#[derive(Default)]
pub(super) struct Compiled {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) background: Vec<Rc<dyn Background>>,
}

/// The endpoints; none where no tokens are issued, or what is wrong was reported.
pub(super) fn compile(
    config: &Config,
    secrets: &Secrets,
    shared: &Shared,
    unverified: Option<&Rc<AddressBudget>>,
    findings: &mut Findings,
) -> Compiled {
    let Some(tokens) = &config.tokens else { return Compiled::default() };
    let Some(issuer) = issuer(config, tokens, secrets, shared, findings) else { return Compiled::default() };
    let (issuer, challenge) = (Rc::new(issuer), Rc::from(format!("Bearer realm=\"{}\"", config.service.as_str())));
    let endpoint = |name, path: &config::PathTemplate, service: Rc<dyn TokenService>| Endpoint {
        name,
        path: path.as_str().to_owned(),
        check: TokenEndpoint {
            issuer: issuer.clone(),
            service,
            unverified: unverified.cloned(),
            challenge: Rc::clone(&challenge),
        },
    };
    let asked = &tokens.login.verify;
    let verify = remote::endpoint(&asked.cluster, &asked.uri, asked.timeout.0, "tokens.login.verify", findings);
    let login = verify.map(|verify| Rc::new(Login { verify }));
    let background = login.iter().map(|login| login.clone() as Rc<dyn Background>).collect();
    let login = login.map(|login| endpoint("tokens.login", &tokens.login.path, login));
    let mut endpoints: Vec<_> = login.into_iter().collect();
    if let Some(refresh) = &tokens.refresh {
        let (asked, path) = (&refresh.lookup, "tokens.refresh.lookup");
        let address = (asked.cluster.as_str(), asked.uri.as_str());
        let lookup = remote::endpoint_of(address, PLACEHOLDER, asked.timeout.0, path, findings);
        endpoints.extend(lookup.map(|lookup| endpoint("tokens.refresh", &refresh.path, Rc::new(Refresh { lookup }))));
    }
    endpoints.extend(tokens.logout.as_ref().map(|logout| endpoint("tokens.logout", &logout.path, Rc::new(Logout))));
    Compiled { endpoints, background }
}

/// The feed of revocations; `None` where there is none, or what is wrong was reported.
pub(super) fn feed(
    config: &Config,
    shared: &Shared,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Rc<dyn Background>> {
    let feed = &config.authentication.revocation.as_ref()?.feed;
    let path = "authentication.revocation.feed";
    let endpoint = remote::endpoint(&feed.cluster, &feed.uri, revocation_feed::TIMEOUT, path, findings)?;
    let space = space(config, "", surroundings);
    let space = space.map_err(|error| findings.error("tables", error.to_string())).ok()?;
    let spans = (feed.interval.0.max(SHORTEST_INTERVAL), longest_skew(config.authentication.jwt.values()));
    Some(Rc::new(RevocationFeed::new(endpoint, spans, taken(config, &space)?, shared.revoked.clone())))
}

/// What was taken of the feed. What another address says, or a table of another size lacks, has to be read again, and so has
/// what is to be held for longer.
pub(super) fn taken(config: &Config, space: &Space) -> Option<Published> {
    let feed = &config.authentication.revocation.as_ref()?.feed;
    let (entries, skew) = (config.tables.revocations.0, longest_skew(config.authentication.jwt.values()).as_secs());
    Some(Published::new(space, &format!("revoked/{entries}/{skew}/{}/{}", feed.cluster, feed.uri)))
}

/// For how long after its end a token may still be taken by one of `providers`, or by an endpoint.
fn longest_skew<'c>(providers: impl Iterator<Item = &'c config::JwtProvider>) -> Duration {
    providers.map(|provider| provider.clock_skew.0).fold(DEFAULT_CLOCK_SKEW, Duration::max)
}

fn issuer(
    config: &Config,
    tokens: &config::Tokens,
    secrets: &Secrets,
    shared: &Shared,
    findings: &mut Findings,
) -> Option<Issuer> {
    let algorithm = algorithm(tokens.algorithm);
    for (at, reference) in tokens.keys.iter().enumerate() {
        let field = format!("tokens.keys[{at}].secret");
        let Some(value) = secrets.slot(reference).and_then(|slot| slot.current()) else { continue };
        match Secret::new(value.reveal()) {
            Ok(secret) if secret.is_short(algorithm.hash()) => {
                findings.warning(field, "the secret is shorter than the digest that signs with it (RFC 7518 3.2)");
            }
            Ok(_) => {}
            Err(error) => findings.error(field, error.to_string()),
        }
    }
    let takers = config.authentication.jwt.values().filter(|provider| provider.issuer == tokens.issuer);
    let clock_skew = longest_skew(takers);
    Some(Issuer {
        issuer: tokens.issuer.as_deref().map(Box::from),
        audience: tokens.audience.as_deref().map(Box::from),
        algorithm,
        keys: Derived::new(secrets.slots(&tokens.keys), keys),
        access_lifetime: tokens.access_lifetime.0,
        refresh_lifetime: tokens.refresh_lifetime.0,
        clock_skew,
        revoked: shared.revoked.clone(),
        subject: ClaimPath::new("user_id"),
        token_type: ClaimPath::new("type"),
    })
}

/// The first secret signs. The current values first: most tokens are of these.
fn keys(slots: &[Rc<SecretSlot>]) -> Keys {
    let secret = |value: portcullis::secrets::SecretValue| Secret::new(value.reveal()).ok();
    let current = slots.iter().filter_map(|slot| slot.current());
    let former = slots.iter().flat_map(|slot| slot.accepted().into_iter().skip(1));
    let verifying = current.chain(former).filter_map(secret).map(|secret| VerifyingKey::from_secret(None, secret));
    let signing = slots.first().and_then(|slot| slot.signing()).and_then(secret);
    Keys { signing, verifying: KeySet::new(verifying.collect()) }
}
