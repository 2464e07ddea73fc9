//! One request and its response as the checks see them: head, identity, what is to be changed, what was decided.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use crate::canonical::path::CanonicalPath;
use crate::canonical::shown;
use crate::denial::{CertificateReason, HeaderLine};
use crate::event::Notice;
use crate::head::Head;
use crate::jose::claims::Claims;
use crate::media::joined::Joined;
use crate::media::json;
use crate::peer::Peer;
use crate::policy::roles::RoleSet;
use crate::revocation::Marks;
use crate::signature::digest::BodyDigest;
use crate::table::sketch::Fingerprint;
use crate::time::Timestamp;

/// One exchange from the head of its request to its log entry.
#[derive(Debug)]
pub struct Exchange {
    /// When the head arrived.
    pub received: Timestamp,
    /// The request's head as it arrived, bytes and duplicates kept.
    pub head: Head,
    /// The request has neither body nor trailers.
    pub ends_with_head: bool,
    /// What was decided on and what the upstream receives.
    pub target: Target,
    /// Where it comes from; `None` where nothing asked for it.
    pub origin: Option<Origin>,
    /// The connection comes from a trusted proxy, which may forward the certificates of its clients.
    pub forwarded: bool,
    /// Who holds the certificate that was validated; only looked at where something of the route needs it.
    pub peer: Result<Peer, CertificateReason>,
    /// SHA-256 of that certificate, even where its holder does not count; only looked at where a token needs it.
    pub peer_digest: Option<[u8; 32]>,
    /// Who is calling; nobody when anonymous.
    pub caller: Option<Rc<Identity>>,
    /// Who put the credentials there that were verified.
    pub shown_by: ShownBy,
    /// What its body must be, as its caller signed it.
    pub signed_body: Option<SignedBody>,
    /// How far its authentication has come.
    pub authentication: Progress,
    /// When a credential was charged that is not judged yet.
    pub charged: Option<Timestamp>,
    /// What a token endpoint waits for.
    pub issuance: Issuance,
    /// The quota that it waits for.
    pub leasing: Leasing,
    /// Changes to the request's head, in order.
    pub request_edits: Vec<HeaderEdit>,
    /// What its query left open of values that servers may join.
    pub joined: Joined,
    /// Its body is a JSON document within these limits that the schema of its route accepts, as was seen when it was inspected.
    pub accepted_within: Option<json::Limits>,
    /// The body that the upstream receives; `None`: the one that was sent.
    pub rewritten_body: Option<Vec<u8>>,
    /// Headers of the upstream's response that go no further.
    pub withheld_headers: Vec<&'static str>,
    /// Headers for the response, the upstream's or ours.
    pub response_headers: Vec<HeaderLine>,
    /// A part that could not do its work in full, to be told.
    pub degraded: Option<&'static str>,
    /// What was needed and could not be had, by the path of its settings: the next event tells it.
    pub lacking: Option<Rc<str>>,
    /// A failure of it was counted against its address.
    pub failed: bool,
    /// What is to be told beside what was decided.
    pub notices: Vec<Notice>,
    /// Event lines of this exchange, for the access log.
    pub lines: Vec<String>,
}

impl Exchange {
    /// An exchange of which nothing is known but the head.
    pub fn new(head: Head, received: Timestamp) -> Self {
        Self {
            received,
            head,
            ends_with_head: false,
            target: Target::default(),
            origin: None,
            forwarded: false,
            peer: Err(CertificateReason::Missing),
            peer_digest: None,
            caller: None,
            shown_by: ShownBy::Nobody,
            signed_body: None,
            authentication: Progress::default(),
            charged: None,
            issuance: Issuance::default(),
            leasing: Leasing::default(),
            request_edits: Vec::new(),
            joined: Joined::default(),
            accepted_within: None,
            rewritten_body: None,
            withheld_headers: Vec::new(),
            response_headers: Vec::new(),
            degraded: None,
            lacking: None,
            failed: false,
            notices: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The client's address after trusted proxies: for checks that ask for it ([`crate::check::Check::asks_for_client`]).
    pub fn client(&self) -> IpAddr {
        debug_assert!(self.origin.is_some(), "nothing asked for the client's address");
        self.origin.unwrap_or_default().client
    }

    /// A stream that ends when the connection does, whatever its method. The proxy lets `Upgrade` through only where it takes
    /// all that follows the head for the other protocol, and keeps that back until the upstream has switched to it.
    pub fn is_tunnel(&self) -> bool {
        self.head.method() == Some(b"CONNECT") || self.head.contains("upgrade")
    }

    /// Its head says that content follows.
    pub fn announces_content(&self) -> bool {
        let length = self.head.first("content-length");
        length.is_some_and(|length| length != b"0") || self.head.contains("transfer-encoding")
    }

    /// The path for events, as far as it may be told: the canonical one, or what was sent where that has no canonical form.
    pub fn shown_path(&self) -> Cow<'_, str> {
        match self.target.host.is_empty() {
            true => shown(self.head.path().unwrap_or_default()),
            false => shown(self.target.path().as_bytes()),
        }
    }

    /// Envoy's request id, for events and problem documents; empty when there is none.
    pub fn request_id(&self) -> Cow<'_, str> {
        self.head.first("x-request-id").map(String::from_utf8_lossy).unwrap_or_default()
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address after trusted proxies. Peers whose address is none, behind a Unix socket, count as one client.
    pub client: IpAddr,
    /// The connection itself comes from a trusted proxy.
    pub proxied: bool,
}

/// A peer whose address is none.
impl Default for Origin {
    fn default() -> Self {
        Self { client: IpAddr::V4(Ipv4Addr::UNSPECIFIED), proxied: false }
    }
}

/// Who put credentials into a request; of several, the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShownBy {
    /// None was verified, or none that says so: a page may show in the query what belongs to whoever made it.
    Nobody,
    /// It stood in cookies and nowhere else: the browser added it by itself.
    Browser,
    /// It stood in a header, which a browser sends for no page of another origin before it has asked (the Fetch standard,
    /// CORS-preflight).
    Maker,
}

/// What a caller signed of the body that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBody {
    /// There is none.
    Nothing,
    /// It has this digest.
    Digest(BodyDigest),
}

/// What credentials wait for; the kind that asked gets it back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The provider's keys.
    KeySet,
    /// The account of a token's subject.
    Account,
    /// What the provider says of an opaque token.
    Token,
    /// The secret with this number.
    Secret(u16),
}

/// How far the authentication of one exchange has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// The kind of credentials that decides next.
    pub at: usize,
    /// Who was verified so far, where every kind is needed.
    pub caller: Option<Rc<Identity>>,
    /// One of the kinds could not be judged in full and is allowed all the same: nobody is calling.
    pub anonymous: bool,
    /// What the answer that is awaited is about.
    pub errand: Option<Errand>,
    /// How often it waited.
    pub waits: u8,
}

/// What the answer is about that a token endpoint awaits.
#[derive(Debug, Default)]
pub enum Issuance {
    /// None is awaited.
    #[default]
    None,
    /// The secret with this number.
    Secret(u16),
    /// Username and password, by the flight that asks about them.
    Login(Rc<str>),
    /// The account of this login.
    Refresh(Box<Session>),
}

/// One login, by a refresh token of it.
#[derive(Debug)]
pub struct Session {
    /// The claim `user_id`, a text or a whole number.
    pub user: serde_json::Value,
    /// `sid`.
    pub id: Box<str>,
    /// What of it may be revoked.
    pub marks: Marks,
}

/// How one exchange waits for quota of a rate limit service.
#[derive(Debug, Default)]
pub struct Leasing {
    /// The service whose answer is awaited, by its place among all.
    pub asked: Option<usize>,
    /// When it began to wait.
    pub since: Option<Timestamp>,
    /// It waited in vain, and does not wait again.
    pub lost: bool,
}

/// The request's target in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Canonical path and query; the path is what was decided on.
    pub canonical: CanonicalPath<'static>,
    /// The query as it was sent, without `?`, less what was stripped.
    pub query: Option<String>,
    /// Canonical host, without the port.
    pub host: String,
    /// Path parameters of the route: name and decoded value.
    pub parameters: Vec<(Box<str>, String)>,
    /// A credential was taken out of the query.
    pub stripped: bool,
}

impl Default for Target {
    /// Of a request that has no canonical form: no path.
    fn default() -> Self {
        let canonical = CanonicalPath::root();
        Self { canonical, query: None, host: String::new(), parameters: Vec::new(), stripped: false }
    }
}

impl Target {
    /// The canonical path, without the query.
    pub fn path(&self) -> &str {
        self.canonical.path()
    }

    /// The `:path` that the upstream receives differs from what the client sent.
    pub fn is_rewritten(&self) -> bool {
        self.stripped || self.canonical.is_rewritten()
    }

    /// The `:path` that the upstream receives.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        }
    }

    /// The value of a path parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| &**n == name).map(|(_, value)| value.as_str())
    }
}

/// A change to a header block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Every header of this name goes; the name as the host knows it.
    Remove(Vec<u8>),
    /// The header has this one value.
    Set(Rc<str>, Vec<u8>),
}

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A JWT bearer token.
    Jwt,
    /// An opaque token of OAuth 2.0.
    Oauth2,
    /// A service signature.
    Service,
    /// An API key.
    ApiKey,
    /// A client certificate, where nothing else says who calls.
    Mtls,
}

impl Method {
    /// Whether its credentials stand in headers only, which no page fills without knowing them.
    pub const fn is_shown_in_headers(self) -> bool {
        matches!(self, Self::Oauth2 | Self::Service)
    }

    /// Whether its credentials are a bearer token (RFC 6750).
    pub const fn is_token(self) -> bool {
        matches!(self, Self::Jwt | Self::Oauth2)
    }

    /// The word for the identity header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Oauth2 => "oauth2",
            Self::Service => "service",
            Self::ApiKey => "api_key",
            Self::Mtls => "mtls",
        }
    }
}

/// A verified caller, complete: made once when credentials are verified, shared by every request that shows them.
#[derive(Clone, Debug)]
pub struct Identity {
    /// How.
    pub method: Method,
    /// By whose word: the provider's name for a token. Subjects of different providers are different callers.
    pub provider: Rc<str>,
    /// Who.
    pub subject: String,
    /// Roles that rules name, those they stand for included.
    pub roles: RoleSet,
    /// Scopes of a token.
    pub scopes: Vec<String>,
    /// Roles as the token names them, for the identity header.
    pub role_names: Vec<String>,
    /// Claims of a token.
    pub claims: Option<Claims>,
    /// What the upstream is told about this caller: identity headers, claims, payload.
    pub headers: Vec<(Rc<str>, String)>,
    /// What stands for this caller where callers are only counted.
    pub fingerprint: Fingerprint,
    /// The key under which this caller is counted: unlike that of any other provider's or method's subject.
    pub limit_key: Vec<u8>,
}

impl Identity {
    /// A caller with no roles, scopes or claims.
    pub fn new(method: Method, provider: Rc<str>, subject: String) -> Self {
        let limit_key = [method.as_str().as_bytes(), provider.as_bytes(), subject.as_bytes()].join(&0);
        Self {
            fingerprint: Fingerprint::of(&limit_key),
            method,
            provider,
            subject,
            roles: RoleSet::default(),
            scopes: Vec::new(),
            role_names: Vec::new(),
            claims: None,
            headers: Vec::new(),
            limit_key,
        }
    }

    /// About how many bytes it holds on the heap, for caches.
    pub fn heap_bytes(&self) -> usize {
        let texts = self.scopes.iter().chain(&self.role_names).map(|text| text.len() + 24);
        let headers = self.headers.iter().map(|(_, value)| value.len() + 48);
        // Claims are a parsed copy of the token's payload, which is counted with the token.
        2 * self.limit_key.len() + texts.chain(headers).sum::<usize>() + 256
    }
}
