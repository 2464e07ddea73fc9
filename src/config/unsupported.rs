//! What the contract names and this version does not do yet: refused by name, so that nobody believes it is on.

use super::{Authenticate, Body, Config, ConfigError, Response, SignatureVersion, Verdict};

/// Every use of a feature that is not supported yet, by the path of the field.
pub fn unsupported(config: &Config) -> Vec<ConfigError> {
    let uses = FEATURES.iter().flat_map(|uses| uses(config));
    uses.map(|path| ConfigError::new(path, "not yet supported")).collect()
}

type Uses = fn(&Config) -> Vec<String>;

/// One entry per feature. A feature that lands loses its entry.
const FEATURES: &[Uses] = &[
    |config| section("authentication.service.signatures", signs(config, SignatureVersion::V2)),
    |config| section("authentication.service.replay.v1", signs(config, SignatureVersion::V1) && refuses_replay(config)),
    |config| section("encryption", config.encryption.is_some()),
    |config| section("headers.csrf", config.headers.csrf.is_some()),
    |config| section("headers.cookies", config.headers.cookies.is_some()),
    |config| bodies(config, "schema", |body| body.schema.is_some()),
    |config| bodies(config, "sanitize_html", |body| body.sanitize_html.is_some()),
    |config| bodies(config, "encrypt", |body| !body.encrypt.is_empty()),
    |config| bodies(config, "encrypt_whole", |body| body.encrypt_whole),
    |config| responses(config, "fields", |response| response.fields.is_some()),
    |config| responses(config, "decrypt", |response| !response.decrypt.is_empty()),
    |config| responses(config, "decrypt_whole", |response| response.decrypt_whole),
    |config| responses(config, "owner", |response| response.owner.is_some()),
    |config| section("outbound", config.outbound.is_some()),
];

fn section(path: &str, used: bool) -> Vec<String> {
    used.then(|| path.to_owned()).into_iter().collect()
}

fn signs(config: &Config, version: SignatureVersion) -> bool {
    config.authentication.service.as_ref().is_some_and(|service| service.signatures.contains(&version))
}

/// The replay setting of v2 says nothing while v2 itself is refused.
fn refuses_replay(config: &Config) -> bool {
    config.authentication.service.as_ref().is_some_and(|service| service.replay.v1 == Verdict::Deny)
}

/// The step between `authenticate` and its list.
pub(super) fn form_of(authenticate: &Authenticate) -> &'static str {
    match authenticate {
        Authenticate::None | Authenticate::Any(_) => "",
        Authenticate::All(_) => ".all",
        Authenticate::Optional(_) => ".optional",
    }
}

fn bodies(config: &Config, field: &str, used: fn(&Body) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate().filter(|(_, route)| route.body.as_ref().is_some_and(used));
    routes.map(|(index, _)| format!("routes[{index}].body.{field}")).collect()
}

fn responses(config: &Config, field: &str, used: fn(&Response) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate().filter(|(_, route)| route.response.as_ref().is_some_and(used));
    routes.map(|(index, _)| format!("routes[{index}].response.{field}")).collect()
}
