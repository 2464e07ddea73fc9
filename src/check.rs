//! The one small trait that every check implements, and the whole outside world it sees.
//!
//! A check decides about one exchange. It passes, denies (a rule speaks), fails (we or a dependency could not decide),
//! or waits for the body or for the answer to a callout and goes on when that arrives. It does not know whether it is in
//! monitor mode: the pipeline applies that, once.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroize;

use crate::denial::{Denial, LocalReply, ResponseRejection};
use crate::event::Severity;
use crate::exchange::Exchange;
use crate::head::Head;
use crate::jose::verify::HostVerifier;
use crate::metrics::{Counter, Gauge};
use crate::response::Response;
use crate::store::SharedStore;
use crate::time::Timestamp;
use crate::worker::Worker;

/// One decision about an exchange.
pub trait Check {
    /// Decides, or says what it has to wait for.
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step;

    /// Goes on with what it waited for. A check that never waits keeps the default.
    fn resume(&self, _exchange: &mut Exchange, _arrival: Arrival<'_>, _env: &mut Env<'_>) -> Step {
        Step::Fail(Failure::UnexpectedArrival)
    }

    /// Decides about the request's trailers, which come behind its body, if at all. [`Step::Await`] and [`Step::Answer`] are
    /// no words for them.
    fn trailers(&self, _trailers: &Head, _env: &mut Env<'_>) -> Step {
        Step::Pass
    }

    /// Whether it may want to know the client's address. To read it costs more than many a check, so that one which never
    /// asks says so.
    fn asks_for_client(&self) -> bool {
        true
    }

    /// Whether it may wait for the body of `exchange`, before which others still wait for something else. A check that never
    /// does keeps the default; one that says no and does is refused.
    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        false
    }
}

/// One decision about the upstream's response, with its whole body.
pub trait ResponseCheck {
    /// Decides, and may rewrite the body, which also holds where its refusal is only reported. [`Step::Await`] and
    /// [`Step::Answer`] are no words for a response.
    fn decide(&self, response: &mut Response, exchange: &mut Exchange, env: &mut Env<'_>) -> Step;

    /// What it does, for people.
    fn steps(&self) -> Vec<&'static str>;

    /// It shows nothing but documents, so that a stream of events need not end to be refused.
    fn withholds_streams(&self) -> bool {
        false
    }

    /// Decides about a response whose body it will not see.
    fn unreadable(&self, why: ResponseRejection) -> Step {
        Step::Refuse(Denial::Response(why))
    }
}

/// What a check says.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing against it: the next check.
    Pass,
    /// A rule refuses the exchange.
    Deny(Denial),
    /// The exchange would lose its protection: it is refused whatever the mode.
    Refuse(Denial),
    /// A rule would refuse the exchange, but is itself only in monitor mode: report, and pass.
    Observe(Denial),
    /// The exchange is answered here: a CORS preflight.
    Answer(LocalReply),
    /// Nothing can be said before this has arrived.
    Await(Await),
    /// The check could not do its work: refused as [`Denial::Unavailable`].
    Fail(Failure),
}

/// What a check waits for.
#[derive(Debug, PartialEq)]
pub enum Await {
    /// The whole request body, at most `limit` bytes of it.
    Body {
        /// Bytes beyond which [`BodyArrival::OverLimit`] arrives instead.
        limit: usize,
    },
    /// The answer to a request to another cluster.
    Callout(Callout),
}

/// A request to another cluster. Its headers and body may hold credentials: it prints neither.
#[derive(Clone, PartialEq)]
pub struct Callout {
    /// Envoy cluster, which must exist.
    pub cluster: Rc<str>,
    /// How it is asked.
    pub call: Call,
    /// Body or message, often empty.
    pub body: Vec<u8>,
    /// After which it counts as unanswered.
    pub timeout: Duration,
    /// Exchanges of one worker that ask for the same thing at the same time share one call, and all get its answer.
    /// `None`: for this exchange alone.
    pub flight: Option<Rc<str>>,
}

impl Callout {
    /// Overwrites what may be a credential: for whoever has sent it.
    pub fn wipe(&mut self) {
        self.body.zeroize();
        if let Call::Http { headers } = &mut self.call {
            headers.iter_mut().for_each(|(_, value)| value.zeroize());
        }
    }
}

impl fmt::Debug for Callout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = f.debug_struct("Callout").field("cluster", &self.cluster).field("call", &self.call).finish();
        call.and_then(|()| write!(f, " with {} bytes", self.body.len()))
    }
}

/// The protocol of a callout.
#[derive(Clone, PartialEq)]
pub enum Call {
    /// An HTTP request.
    Http {
        /// Pseudo headers (`:method`, `:path`, `:authority`, `:scheme`) and headers.
        headers: Vec<(String, String)>,
    },
    /// A unary gRPC call.
    Grpc {
        /// Full name of the service.
        service: &'static str,
        /// Name of the method.
        method: &'static str,
    },
}

/// Names only: values may be credentials.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { headers } => f.debug_list().entries(headers.iter().map(|(name, _)| name)).finish(),
            Self::Grpc { service, method } => write!(f, "{service}/{method}"),
        }
    }
}

/// What a waiting check gets.
#[derive(Debug)]
pub enum Arrival<'a> {
    /// The request body.
    Body(BodyArrival<'a>),
    /// The answer to its callout.
    Reply(&'a CalloutReply),
}

/// The request body as it arrived.
#[derive(Clone, Copy, Debug)]
pub enum BodyArrival<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// More than the limit that was asked for; this is its beginning, one byte longer than the limit.
    OverLimit(&'a [u8]),
}

/// The answer to a callout. Its body may hold secrets: it does not print it.
#[derive(Clone, PartialEq)]
pub enum CalloutReply {
    /// An HTTP response with its whole body.
    Answered {
        /// HTTP status.
        status: u16,
        /// Whole body, bounded by the adapter.
        body: Vec<u8>,
    },
    /// A gRPC call's status, and its message where it is OK.
    Grpc {
        /// gRPC status.
        status: GrpcStatus,
        /// The bare message.
        message: Vec<u8>,
    },
    /// Refused, reset, timed out, too large, or the cluster does not exist.
    Lost,
}

impl CalloutReply {
    /// The other side could not do its work, or was not reached.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Answered { status, .. } => *status >= 500,
            Self::Grpc { status, .. } => *status != GrpcStatus::OK,
            Self::Lost => true,
        }
    }

    /// Overwrites what was answered: for whoever has handed it to all that waited.
    pub fn wipe(&mut self) {
        match self {
            Self::Answered { body: bytes, .. } | Self::Grpc { message: bytes, .. } => bytes.zeroize(),
            Self::Lost => {}
        }
    }
}

impl fmt::Debug for CalloutReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, body } => write!(f, "Answered({status}, {} bytes)", body.len()),
            Self::Grpc { status, message } => write!(f, "Grpc({}, {} bytes)", status.0, message.len()),
            Self::Lost => f.write_str("Lost"),
        }
    }
}

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(pub u32);

impl GrpcStatus {
    /// Answered.
    pub const OK: Self = Self(0);
}

/// Work beside the requests: key sets, secrets, feeds. One call at a time for each. What only hears what exchanges asked for
/// keeps the other defaults.
pub trait Background {
    /// What is to be asked now. Called at the start and about once a second while nothing is on its way.
    fn due(&self, _env: &mut Env<'_>) -> Option<Callout> {
        None
    }

    /// What is to be asked without waiting for the next second. Called after a request that set
    /// [`Worker::stirred`], while nothing is on its way.
    fn urgent(&self, _env: &mut Env<'_>) -> Option<Callout> {
        None
    }

    /// Takes the answer. Another callout may follow at once.
    fn arrived(&self, _reply: &CalloutReply, _env: &mut Env<'_>) -> Option<Callout> {
        None
    }

    /// Hears the answer to what exchanges asked for together, once and before any of them, even when none of them waits
    /// any more.
    fn heard(&self, _flight: &str, _reply: &CalloutReply, _env: &mut Env<'_>) {}
}

/// Why it cannot be told whether a signature was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFault {
    /// The table has no room: what is not recorded would be good again.
    Full,
    /// The table could not be read or written.
    Unavailable,
}

/// Our own inability, or a dependency's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The shared tables could not be read or written.
    Store,
    /// A dependency did not answer in time or answered nonsense.
    Dependency(&'static str),
    /// A secret that the decision needs has not arrived.
    Secret,
    /// Whether a signature was seen before cannot be told.
    Replay(ReplayFault),
    /// The host has no random bytes.
    Random,
    /// A signature that the host does not verify, in a build that cannot either.
    NoVerifier,
    /// Something arrived for which nobody waited.
    UnexpectedArrival,
    /// A check asked more often than it may.
    TooManyCallouts,
    /// A check of responses or trailers said what is no word for them.
    NoWord,
    /// The head was changed after it had gone on.
    LateEdit,
}

impl Failure {
    /// The reason code, out of a closed list.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "shared_data_unavailable",
            Self::Dependency(what) => what,
            Self::Secret => "unavailable",
            Self::Replay(ReplayFault::Full) => "replay_table_full",
            Self::Replay(ReplayFault::Unavailable) => "replay_table_unavailable",
            Self::Random => "no_randomness",
            Self::NoVerifier => "no_verifier",
            Self::UnexpectedArrival | Self::TooManyCallouts | Self::NoWord | Self::LateEdit => "internal",
        }
    }
}

/// The outside world, taken once per callback.
pub struct Env<'a> {
    /// The host's clock at the start of the callback.
    pub now: Timestamp,
    /// What the host can do.
    pub host: &'a dyn Host,
    /// What this VM keeps between exchanges.
    pub worker: &'a mut Worker,
}

/// What the host can do: shared data, signatures, randomness, the connection, logging and counting.
pub trait Host: Connection + Telemetry {
    /// The shared data.
    fn store(&self) -> &dyn SharedStore;
    /// Signature verification.
    fn verifier(&self) -> &dyn HostVerifier;
    /// Random bytes fit for cryptography. `None` where the host has none.
    fn random_block(&self) -> Option<[u8; 16]>;
}

/// What is known of the connection. Each read is a host call: ask only when the answer is needed.
pub trait Connection {
    /// Envoy's own view of the client's address, `ip:port`.
    fn source_address(&self) -> Option<Vec<u8>>;

    /// What its TLS session says of the peer's certificate. `None` where the host does not say.
    fn peer_certificate(&self, attribute: CertificateAttribute) -> Option<Vec<u8>>;
}

/// What may be asked of the peer's certificate. Truth values are one byte, 1 for true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateAttribute {
    /// The listener verified it. Older hosts cannot say so.
    Validated,
    /// There is one, verified or not.
    Presented,
    /// The first URI of its subject alternative names.
    Uri,
    /// Its subject (RFC 2253).
    Subject,
    /// Its SHA-256 in hexadecimal.
    Digest,
}

/// Where events and counts go.
pub trait Telemetry {
    /// Adds `n` to a counter.
    fn count(&self, counter: Counter, n: u64);
    /// Says where a measure stands.
    fn gauge(&self, gauge: Gauge, value: u64);
    /// Writes one line of the host's log.
    fn log(&self, severity: Severity, line: &str);
}
