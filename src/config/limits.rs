//! How often: windows per key, and the room for counters.

use crate::dictionary::Dictionary;

use serde_json::Value;

use crate::setting::{self, Setting};
use crate::tree::Fault;

use super::claim::ClaimValue;
use super::scalar::{Count, DurationText, HeaderName, Mode, RateText, Share};

/// One limit: what it counts by, and how many.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is counted together; every part must be the same.
    pub key: Vec<LimitKey>,
    /// The sustained rate; either this or `tiers`.
    #[serde(default)]
    pub rate: Option<RateText>,
    /// Rates by role or claim; the first that fits.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// A second, shorter window. Default: none.
    #[serde(default)]
    pub burst: Option<RateText>,
    /// For callers without a subject.
    #[serde(default)]
    pub anonymous: Option<Anonymous>,
    /// The service that counts for the whole fleet.
    #[serde(default)]
    pub rate_limit_service: Option<RateLimitService>,
    /// What happens beyond the limit. Default: the route's mode.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// What a limit counts by: client_ip, subject, service, or `{ header: NAME }`.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitKey {
    /// The client's address: IPv4 whole, IPv6 by /64.
    ClientIp,
    /// The caller, with its provider.
    Subject,
    /// The calling service.
    Service,
    /// The value of a header.
    Header(HeaderName),
}

/// A rate for some callers.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Callers with this role.
    #[serde(default)]
    pub role: Option<String>,
    /// Callers whose claims have these values.
    #[serde(default)]
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    pub claim: Dictionary<String, ClaimValue>,
    /// Their rate.
    pub rate: RateText,
}

/// The rate for callers without a subject.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Anonymous {
    /// What is counted together.
    pub key: Vec<LimitKey>,
    /// Their rate.
    pub rate: RateText,
}

/// Envoy's rate limit service (`envoy.service.ratelimit.v3`).
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLimitService {
    /// Its Envoy cluster.
    pub cluster: String,
    /// The domain that is asked about. Default: portcullis.
    #[serde(default = "domain")]
    pub domain: String,
    /// The key of the descriptor.
    pub descriptor: String,
    /// How many admissions are taken at once. Default: 100.
    #[serde(default = "lease")]
    pub lease: Count<1, 1_000_000>,
    /// How long one question may take. Default: 20ms.
    #[serde(default = "timeout")]
    pub timeout: DurationText,
    /// The share of the rate that this proxy admits while the service is away. Default: 0.25.
    #[serde(default = "local_share")]
    pub local_share: Share,
}

/// Entries of the shared tables; memory is fixed.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Tables {
    /// Counters by subject, service and header. Default: 65536.
    pub limits: Entries,
    /// Counters by address. Default: 65536.
    pub addresses: Entries,
    /// Blocked addresses. Default: 4096.
    pub blocks: Entries,
    /// Signatures seen. Default: 65536.
    pub replay: Entries,
    /// Revoked sessions. Default: 65536.
    pub revocations: Entries,
}

/// A number of entries.
pub type Entries = Count<64, 16_777_216>;

impl Default for Tables {
    fn default() -> Self {
        Self {
            limits: Count(65_536),
            addresses: Count(65_536),
            blocks: Count(4_096),
            replay: Count(65_536),
            revocations: Count(65_536),
        }
    }
}

impl Setting for LimitKey {
    fn read(value: &Value) -> Result<Self, Fault> {
        const FORM: &str = "client_ip, subject, service or { header: NAME }";
        match value {
            Value::String(text) => match text.as_str() {
                "client_ip" => Ok(Self::ClientIp),
                "subject" => Ok(Self::Subject),
                "service" => Ok(Self::Service),
                _ => Err(Fault::new(format!("expected {FORM}"))),
            },
            Value::Object(_) => HeaderField::read(value).map(|fields| Self::Header(fields.header)),
            other => Err(setting::refused(other, FORM)),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for LimitKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LimitKey".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "oneOf": [
            { "enum": ["client_ip", "subject", "service"] },
            generator.subschema_for::<HeaderField>(),
        ]})
    }
}

/// A limit by header.
#[derive(Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct HeaderField {
    /// The header.
    header: HeaderName,
}

fn domain() -> String {
    "portcullis".to_owned()
}

fn lease() -> Count<1, 1_000_000> {
    Count(100)
}

fn timeout() -> DurationText {
    DurationText(std::time::Duration::from_millis(20))
}

fn local_share() -> Share {
    Share(0.25)
}
