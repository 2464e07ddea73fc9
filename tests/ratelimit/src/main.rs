//! A rate limit service for the tests: counters behind `envoy.service.ratelimit.v3.RateLimitService`.
//!
//! `ratelimit PORT ANSWERS DOMAIN DESCRIPTOR=LIMIT/SECONDS ...`
//!
//! ANSWERS is `bare`, as Limitador's own server answers (a code and nothing
//! more), or `statuses`, as envoyproxy/ratelimit answers (what is left, and until when), both with Limitador's counters
//! in memory; or `redis:PORT`, as envoyproxy/ratelimit answers and counts, in that Redis. Whatever is not a POST is
//! answered with the number of calls and of hits so far.

mod protocol;
mod redis;

use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Method, Request, Response};
use limitador::limit::{Context, Expression, Limit, Namespace};
use limitador::{CheckResult, RateLimiter};
use prost::Message;
use protocol::{Code, CurrentLimit, DescriptorStatus, RateLimitRequest, RateLimitResponse};
use redis::{Counted, Redis, Window};
use tokio::net::TcpListener;

type Failed = Box<dyn Error>;

const OK: &str = "0";
const INVALID: &str = "3";
const UNAVAILABLE: &str = "14";

struct Service {
    counters: Counters,
    calls: AtomicU64,
    hits: AtomicU64,
}

enum Counters {
    /// In memory; with `statuses` it says what is left.
    Limitador {
        limiter: RateLimiter,
        statuses: bool,
    },
    Redis(Redis),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, answers, domain, limits @ ..] = arguments.as_slice() else {
        return Err("ratelimit PORT ANSWERS DOMAIN DESCRIPTOR=LIMIT/SECONDS ...".into());
    };
    let service = Rc::new(Service {
        counters: counters(answers, domain, limits)?,
        calls: AtomicU64::new(0),
        hits: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    let here = tokio::task::LocalSet::new();
    here.run_until(async move {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let service = service.clone();
            tokio::task::spawn_local(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::task::spawn_local(answer(service.clone(), request, respond));
                }
            });
        }
    })
    .await
}

fn counters(answers: &str, domain: &str, limits: &[String]) -> Result<Counters, Failed> {
    let windows = limits.iter().map(|text| window(domain, text));
    if let Some(port) = answers.strip_prefix("redis:") {
        return Ok(Counters::Redis(Redis::new(port.parse()?, windows.collect::<Result<_, _>>()?)));
    }
    let limiter = RateLimiter::new(10_000);
    for window in windows {
        let Window { domain, descriptor, limit, seconds } = window?;
        let variable = Expression::parse(format!("descriptors[0].{descriptor}")).map_err(|error| error.to_string())?;
        limiter.add_limit(Limit::new(domain, limit, seconds, [], [variable]));
    }
    Ok(Counters::Limitador { limiter, statuses: answers == "statuses" })
}

/// One limit per value of the descriptor.
fn window(domain: &str, text: &str) -> Result<Window, Failed> {
    let (descriptor, rate) = text.split_once('=').ok_or("DESCRIPTOR=LIMIT/SECONDS")?;
    let (limit, seconds) = rate.split_once('/').ok_or("LIMIT/SECONDS")?;
    let (domain, descriptor) = (domain.to_owned(), descriptor.to_owned());
    Ok(Window { domain, descriptor, limit: limit.parse()?, seconds: seconds.parse()? })
}

/// One call: a message of five bytes more than protobuf, and a status in the trailers.
async fn answer(service: Rc<Service>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    if request.method() != Method::POST {
        let (calls, hits) = (service.calls.load(Ordering::Relaxed), service.hits.load(Ordering::Relaxed));
        let body = Bytes::from(format!("{{\"calls\": {calls}, \"hits\": {hits}}}"));
        if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
            let _ = stream.send_data(body, true);
        }
        return;
    }
    let (message, status) = match body(request.into_body()).await {
        Ok(message) => service.decide(&message).await,
        Err(_) => (None, INVALID),
    };
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a valid head");
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    if let Some(message) = message {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap_or(0));
        framed.put_slice(&message);
        let _ = stream.send_data(framed.freeze(), false);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().expect("a number"));
    let _ = stream.send_trailers(trailers);
}

async fn body(mut stream: RecvStream) -> Result<Bytes, Failed> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        whole.put(chunk);
    }
    if whole.len() < 5 {
        return Err("no message".into());
    }
    whole.advance(5);
    Ok(whole.freeze())
}

impl Service {
    async fn decide(&self, message: &[u8]) -> (Option<Vec<u8>>, &'static str) {
        let Ok(request) = RateLimitRequest::decode(message) else { return (None, INVALID) };
        self.calls.fetch_add(1, Ordering::Relaxed);
        let hits = u64::from(request.hits_addend.max(1));
        let response = match &self.counters {
            Counters::Limitador { limiter, statuses } => in_memory(limiter, *statuses, &request, hits),
            Counters::Redis(redis) => in_redis(redis, &request, hits).await.ok(),
        };
        let Some(response) = response else { return (None, UNAVAILABLE) };
        if response.overall_code == Code::Ok as i32 {
            self.hits.fetch_add(hits, Ordering::Relaxed);
        }
        (Some(response.encode_to_vec()), OK)
    }
}

fn in_memory(
    limiter: &RateLimiter,
    with_statuses: bool,
    request: &RateLimitRequest,
    hits: u64,
) -> Option<RateLimitResponse> {
    let entries = |entries: &[protocol::Entry]| -> HashMap<String, String> {
        entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    };
    let descriptors = request.descriptors.iter().map(|descriptor| entries(&descriptor.entries)).collect();
    let mut context = Context::default();
    context.list_binding("descriptors".to_owned(), descriptors);
    let namespace = Namespace::from(request.domain.as_str());
    let result: CheckResult = limiter.check_rate_limited_and_update(&namespace, &context, hits).ok()?;
    let code = code(result.limited);
    let statuses = result.counters.iter().filter(|_| with_statuses).map(|counter| {
        let reset = counter.expires_in().unwrap_or_default();
        status(code, counter.max_value(), counter.remaining().unwrap_or_default(), reset)
    });
    Some(RateLimitResponse { overall_code: code as i32, statuses: statuses.collect() })
}

async fn in_redis(redis: &Redis, request: &RateLimitRequest, hits: u64) -> Result<RateLimitResponse, Failed> {
    let mut statuses = Vec::new();
    for entry in request.descriptors.iter().flat_map(|descriptor| &descriptor.entries) {
        let counted = redis.count(&request.domain, &entry.key, &entry.value, hits).await?;
        if let Some(Counted { limit, used, reset_after }) = counted {
            let left = limit.saturating_sub(used);
            statuses.push(status(code(used > limit), limit, left, Duration::from_secs(reset_after)));
        }
    }
    let limited = statuses.iter().any(|status| status.code == Code::OverLimit as i32);
    Ok(RateLimitResponse { overall_code: code(limited) as i32, statuses })
}

fn code(limited: bool) -> Code {
    if limited { Code::OverLimit } else { Code::Ok }
}

fn status(code: Code, limit: u64, left: u64, reset: Duration) -> DescriptorStatus {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    DescriptorStatus {
        code: code as i32,
        current_limit: Some(CurrentLimit { requests_per_unit: number(limit), unit: 0 }),
        limit_remaining: number(left),
        duration_until_reset: Some(protocol::Duration {
            seconds: i64::try_from(reset.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(reset.subsec_nanos()).unwrap_or(0),
        }),
    }
}
