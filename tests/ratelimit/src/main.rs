//! A rate limit service for the tests: Limitador's counters behind `envoy.service.ratelimit.v3.RateLimitService`.
//!
//! `ratelimit PORT ANSWERS DOMAIN DESCRIPTOR=LIMIT/SECONDS ...`
//!
//! ANSWERS is `bare`, as Limitador's own server answers (a code and nothing
//! more), or `statuses`, as envoyproxy/ratelimit answers (what is left, and until when). Whatever is not a POST is
//! answered with the number of calls and of hits so far.

mod protocol;

use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Method, Request, Response};
use limitador::limit::{Context, Expression, Limit, Namespace};
use limitador::{CheckResult, RateLimiter};
use prost::Message;
use protocol::{Code, CurrentLimit, DescriptorStatus, RateLimitRequest, RateLimitResponse};
use tokio::net::TcpListener;

type Failed = Box<dyn Error>;

const OK: &str = "0";
const INVALID: &str = "3";
const UNAVAILABLE: &str = "14";

struct Service {
    limiter: RateLimiter,
    statuses: bool,
    calls: AtomicU64,
    hits: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, answers, domain, limits @ ..] = arguments.as_slice() else {
        return Err("ratelimit PORT ANSWERS DOMAIN DESCRIPTOR=LIMIT/SECONDS ...".into());
    };
    let limiter = RateLimiter::new(10_000);
    for text in limits {
        limiter.add_limit(limit(domain, text)?);
    }
    let service = Rc::new(Service {
        limiter,
        statuses: answers == "statuses",
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

/// One limit per value of the descriptor.
fn limit(domain: &str, text: &str) -> Result<Limit, Failed> {
    let (descriptor, rate) = text.split_once('=').ok_or("DESCRIPTOR=LIMIT/SECONDS")?;
    let (most, seconds) = rate.split_once('/').ok_or("LIMIT/SECONDS")?;
    let variable = Expression::parse(format!("descriptors[0].{descriptor}")).map_err(|error| error.to_string())?;
    Ok(Limit::new(domain, most.parse()?, seconds.parse()?, [], [variable]))
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
        Ok(message) => service.decide(&message),
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
    fn decide(&self, message: &[u8]) -> (Option<Vec<u8>>, &'static str) {
        let Ok(request) = RateLimitRequest::decode(message) else { return (None, INVALID) };
        self.calls.fetch_add(1, Ordering::Relaxed);
        let hits = u64::from(request.hits_addend.max(1));
        let entries = |entries: &[protocol::Entry]| -> HashMap<String, String> {
            entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
        };
        let descriptors = request.descriptors.iter().map(|descriptor| entries(&descriptor.entries)).collect();
        let mut context = Context::default();
        context.list_binding("descriptors".to_owned(), descriptors);
        let namespace = Namespace::from(request.domain.as_str());
        let result = self.limiter.check_rate_limited_and_update(&namespace, &context, hits);
        let Ok(result) = result else { return (None, UNAVAILABLE) };
        if !result.limited {
            self.hits.fetch_add(hits, Ordering::Relaxed);
        }
        (Some(self.response(&result).encode_to_vec()), OK)
    }

    fn response(&self, result: &CheckResult) -> RateLimitResponse {
        let code = if result.limited { Code::OverLimit } else { Code::Ok } as i32;
        let statuses = result.counters.iter().filter(|_| self.statuses).map(|counter| DescriptorStatus {
            code,
            current_limit: Some(CurrentLimit {
                requests_per_unit: u32::try_from(counter.max_value()).unwrap_or(u32::MAX),
                unit: 0,
            }),
            limit_remaining: u32::try_from(counter.remaining().unwrap_or_default()).unwrap_or(u32::MAX),
            duration_until_reset: counter.expires_in().map(|left| protocol::Duration {
                seconds: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(left.subsec_nanos()).unwrap_or(0),
            }),
        });
        RateLimitResponse { overall_code: code, statuses: statuses.collect() }
    }
}
