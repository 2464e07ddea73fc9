//! What a request costs in the core, without Envoy: a whole pipeline over a host in this process. `cargo bench --bench
//! request [name]`; for a profile, run the binary under an instruction counter with a name and a number of requests.

use std::time::Instant;

use portcullis::check::Env;
use portcullis::head::Head;
use portcullis::jose::algorithm::Algorithm;
use portcullis::jose::key::Secret;
use portcullis::jose::sign::sign;
use portcullis::native::NativeHost;
use portcullis::pipeline::Next;
use portcullis::response::Author;
use portcullis::time::Timestamp;
use portcullis_assembly::{Surroundings, assemble};

const SECRET: &str = "jwt-secret-key-of-the-benchmark-0123456789-0123456789-0123456789";
const NOW: u64 = 1_800_000_000;

const CONFIGURATION: &str = include_str!("pipeline.json");

const BROWSER: [(&str, &str); 12] = [
    (":method", "GET"),
    (":authority", "api.example.com"),
    (":scheme", "http"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://app.example.com/users?page=2"),
    ("cookie", "theme=dark; _ga=GA1.2.1234567890.1700000000"),
    ("x-forwarded-for", "192.0.2.7"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", "6b9b4e64-8a3c-4b8e-9d0f-3c1e0d7c2a11"),
];

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let count = std::env::args().filter_map(|argument| argument.parse().ok()).next_back().unwrap_or(200_000);
    for (name, path, bearer) in [("full", "/api/v1/users?page=2&sort=name", true), ("public", "/public/a", false)] {
        if wanted.as_deref().is_none_or(|wanted| wanted == name || wanted.parse::<usize>().is_ok()) {
            run(name, path, bearer, count);
        }
    }
}

fn run(name: &str, path: &str, bearer: bool, count: usize) {
    let host = NativeHost { source_address: Some("192.0.2.7:40000".to_owned()), ..NativeHost::default() };
    let variable = |_: &str| Some(SECRET.to_owned());
    let surroundings = Surroundings { store: &host.store, variable: &variable, random: [1, 2, 3, 4] };
    let Ok(assembled) = assemble(CONFIGURATION.as_bytes(), &surroundings) else { return };
    let (pipeline, mut worker) = (assembled.pipeline, assembled.worker);
    let authorization = format!("Bearer {}", token());
    let mut pairs = BROWSER.to_vec();
    pairs.push((":path", path));
    if bearer {
        pairs.push(("authorization", &authorization));
    }
    let start = Instant::now();
    for at in 0..count {
        let mut env = Env { now: Timestamp::from_unix_seconds(NOW), host: &host, worker: &mut worker };
        let head = Head::from_pairs(pairs.iter().copied());
        let (mut passage, next) = pipeline.begin(head, true, &mut env);
        assert_eq!(next, Next::Continue, "request {at}");
        pipeline.response_head(&mut passage, 200, Author::Upstream, &mut env);
        pipeline.record(&mut passage, Some(200), &mut env);
    }
    println!("{name:<8} {:>8.0} ns a request", start.elapsed().as_secs_f64() * 1e9 / count as f64);
}

fn token() -> String {
    let claims = format!(
        r#"{{"iss":"https://auth.example.com","aud":"microservices-api","sub":"user-1","user_id":"user-1","iat":{NOW},"exp":{},"type":"access","roles":["user"]}}"#,
        NOW + 7200
    );
    let secret = Secret::new(SECRET.as_bytes());
    secret.ok().and_then(|secret| sign(Algorithm::Hs256, &secret, None, claims.as_bytes())).unwrap_or_default()
}
