//! What the contract names and this version does not do yet: refused by name, so that nobody believes it is on.

use super::{Authenticate, Config, ConfigError};

/// Every use of a feature that is not supported yet, by the path of the field.
pub fn unsupported(config: &Config) -> Vec<ConfigError> {
    let uses = FEATURES.iter().flat_map(|uses| uses(config));
    uses.map(|path| ConfigError::new(path, "not yet supported")).collect()
}

type Uses = fn(&Config) -> Vec<String>;

/// One entry per feature. A feature that lands loses its entry.
const FEATURES: &[Uses] = &[
    |config| section("headers.csrf", config.headers.csrf.is_some()),
    |config| section("headers.cookies", config.headers.cookies.is_some()),
];

fn section(path: &str, used: bool) -> Vec<String> {
    used.then(|| path.to_owned()).into_iter().collect()
}

/// The step between `authenticate` and its list.
pub(super) fn form_of(authenticate: &Authenticate) -> &'static str {
    match authenticate {
        Authenticate::None | Authenticate::Any(_) => "",
        Authenticate::All(_) => ".all",
        Authenticate::Optional(_) => ".optional",
    }
}
