//! `portcullis explain FILE --request 'METHOD URL'`: what each step says of one request and why, on the pipeline that
//! serves.

mod claimed;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::SystemTime;

use super::document;
use super::input;
use super::options::{asks_for_help, is_option};
use portcullis::check::{Arrival, Await, BodyArrival, Env, Step};
use portcullis::denial::{AuthReason, Denial};
use portcullis::exchange::{Exchange, HeaderEdit};
use portcullis::head::Head;
use portcullis::native::NativeHost;
use portcullis::pipeline::{Next, Passage, Pipeline, ResponseArrival, ResponseNext};
use portcullis::response::{Author, Response};
use portcullis::time::Timestamp;
use portcullis::watch::Watcher;
use portcullis_assembly::{Assembled, Surroundings, assemble};
use portcullis_config::Mode;

/// How the command is called.
pub const USAGE: &str =
    "usage: portcullis explain FILE --request 'METHOD URL' [--header 'NAME: VALUE']... [--body BODY_FILE] \
                         [--client ADDRESS] [--response BODY_FILE] [--status STATUS]

Says what every step makes of one request, now, and why; with --response also what becomes of the upstream's response,
200 unless --status says otherwise. Secrets come from this process's environment. No other service is asked: what hangs on key
sets, accounts, stores of secrets or a feed of revocations ends at the question, or is decided as where none has answered.
One of the files may be -, the standard input.
Exits 0 when the request reaches the upstream, 1 when it does not, 2 when the command or the configuration is wrong.";

/// The request reaches the upstream.
const REACHES: u8 = 0;
/// The client is answered before.
const ANSWERED: u8 = 1;
/// The command or the configuration is wrong.
const WRONG: u8 = 2;

/// Explains one request and returns the exit code; `args` are what follows `explain`.
///
/// # Errors
/// What the writers say.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        writeln!(out, "{USAGE}")?;
        return Ok(REACHES);
    }
    let explained = Request::parse(args).and_then(|request| explain(&request));
    match explained {
        Ok((code, text)) => out.write_all(text.as_bytes()).map(|()| code),
        Err(problem) => writeln!(err, "{problem}").map(|()| WRONG),
    }
}

/// What the command line asks.
struct Request {
    file: String,
    pairs: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    client: String,
    response: Option<Vec<u8>>,
    status: u16,
}

impl Request {
    fn parse(args: &[String]) -> Result<Self, String> {
        let (mut file, mut line, mut body, mut response) = (None, None, None, None);
        let (mut status, mut client) = (None, None);
        let mut headers = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
            match arg.as_str() {
                "--header" => headers.push(header(value()?)?),
                "--request" => once(arg, &mut line, value()?)?,
                "--body" => once(arg, &mut body, value()?)?,
                "--response" => once(arg, &mut response, value()?)?,
                "--status" => once(arg, &mut status, self::status(value()?)?)?,
                "--client" => once(arg, &mut client, value()?.clone())?,
                option if is_option(option) => return Err(format!("unknown option {option}\n\n{USAGE}")),
                _ if file.is_none() => file = Some(arg.clone()),
                _ => return Err(format!("explain takes one file\n\n{USAGE}")),
            }
        }
        let Some(file) = file else { return Err(format!("explain takes a file\n\n{USAGE}")) };
        let Some(line) = line else { return Err(format!("--request is missing\n\n{USAGE}")) };
        let client = client.unwrap_or_else(|| "127.0.0.1".to_owned());
        if client.parse::<std::net::IpAddr>().is_err() {
            return Err(format!("--client: expected an IP address, found {client}"));
        }
        input::stdin_once([Some(&file), body, response].into_iter().flatten().map(String::as_str))?;
        let read = |path: &String| input::bytes(path).map_err(|error| format!("{path}: {error}"));
        let (body, response) = (body.map(read).transpose()?, response.map(read).transpose()?);
        let mut pairs = pseudo_headers(line, &mut headers)?;
        pairs.extend(headers);
        Ok(Self { file, pairs, body, client, response, status: status.unwrap_or(200) })
    }
}

fn once<T>(option: &str, held: &mut Option<T>, value: T) -> Result<(), String> {
    match held.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{option} is given twice")),
    }
}

fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (100..600).contains(status));
    status.ok_or_else(|| format!("--status: expected a number from 100 to 599, found {text:?}"))
}

/// A header as one can arrive: a token (RFC 9110 section 5.1), and a value without control characters.
fn header(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    let is_sound = |(name, value): &(String, String)| {
        let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_value = !value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
        !name.is_empty() && name.bytes().all(tchar) && is_value
    };
    pair.filter(is_sound).ok_or_else(|| format!("--header: expected 'NAME: VALUE', found {text:?}"))
}

/// `GET https://host/path?query`; without scheme and host, `https` and what `Host` says, else `localhost`.
fn pseudo_headers(line: &str, headers: &mut Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    let (method, url) =
        line.split_once(' ').ok_or_else(|| format!("--request: expected 'METHOD URL', found {line:?}"))?;
    // In a target that is a path the address of another may stand in the query.
    let absolute = url.split_once("://").filter(|_| !url.starts_with('/'));
    let (scheme, host, path) = match absolute {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (scheme, host.to_owned(), path)
        }
        None => ("https", only_host(headers).unwrap_or_else(|| "localhost".to_owned()), url),
    };
    let root = if path.is_empty() || absolute.is_some() && path.starts_with('?') { "/" } else { "" };
    let path = &format!("{root}{path}");
    let pairs = [(":method", method), (":scheme", scheme), (":authority", &host), (":path", path)];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

/// Takes the one `Host` out, as Envoy does: it is the authority.
fn only_host(headers: &mut Vec<(String, String)>) -> Option<String> {
    let is_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    let at =
        headers.iter().position(is_host).filter(|_| headers.iter().filter(|&header| is_host(header)).count() == 1)?;
    Some(headers.remove(at).1)
}

fn explain(request: &Request) -> Result<(u8, String), String> {
    let text = input::text(&request.file).map_err(|error| format!("{}: {error}", request.file))?;
    let json = document::only(&text).map_err(|problem| format!("{}: {problem}", request.file))?;
    let host = NativeHost { source_address: Some(with_port(&request.client)), ..NativeHost::default() };
    let variable = |name: &str| std::env::var(name).ok();
    let surroundings = Surroundings { store: &host.store, variable: &variable, random: [1, 2, 3, 4] };
    let assembled = assemble(&json, &surroundings).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("{}: {error}", request.file)).collect();
        lines.join("\n")
    })?;
    Ok(walk(assembled, request, &host))
}

fn walk(assembled: Assembled, request: &Request, host: &NativeHost) -> (u8, String) {
    let Assembled { mut pipeline, mut worker, .. } = assembled;
    let notes = Rc::new(Notes::default());
    pipeline.watch(&(notes.clone() as Rc<dyn Watcher>));
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::default().after(since_epoch);
    let mut env = Env { now, host, worker: &mut worker };
    let head = Head::from_pairs(request.pairs.iter().map(|(name, value)| (name, value)));
    let (mut passage, mut next) = pipeline.begin(head, request.body.is_none(), &mut env);
    while let Next::AwaitBody { limit } = next {
        let body = request.body.as_deref().unwrap_or_default();
        let arrival = match body.get(..=limit) {
            Some(start) => BodyArrival::OverLimit(start),
            None => BodyArrival::Whole(body),
        };
        next = pipeline.resume(&mut passage, Arrival::Body(arrival), &mut env);
    }
    let mut lines = vec![line("request", &taken(&pipeline, &passage))];
    lines.append(&mut notes.0.borrow_mut());
    let code = match &next {
        Next::Continue => {
            lines.push(line("upstream", &format!("receives {}", passage.exchange.target.path_and_query())));
            lines.extend(edits(&passage.exchange).map(|edit| line("", &edit)));
            let body = passage.exchange.rewritten_body.as_deref().map(String::from_utf8_lossy);
            lines.extend(body.map(|body| line("", &format!("with another body: {body}"))));
            lines.extend(response(&pipeline, &mut passage, request, &mut env));
            REACHES
        }
        Next::Reply(reply) => {
            lines.push(line("client", &format!("is answered {} ({})", reply.status, reply.details)));
            ANSWERED
        }
        Next::Call(callout) => {
            lines.push(line("callout", &format!("to {}, which is not asked here", callout.cluster)));
            ANSWERED
        }
        Next::AwaitBody { .. } => ANSWERED,
    };
    (code, lines.concat())
}

/// What is done with the response and, where there is one, what becomes of it.
fn response(pipeline: &Pipeline, passage: &mut Passage, request: &Request, env: &mut Env<'_>) -> Vec<String> {
    let monitored = |mode| if mode == Mode::Monitor { " (monitor: only reports)" } else { "" };
    let steps: Vec<_> = passage.response_steps().map(|(step, mode)| format!("{step}{}", monitored(mode))).collect();
    let mut lines = Vec::new();
    if !steps.is_empty() {
        lines.push(line("response", &format!("is held for: {}", steps.join(", "))));
    }
    let Some(body) = &request.response else { return lines };
    let mut next = pipeline.response_head(passage, request.status, Author::Upstream, env);
    if let ResponseNext::AwaitBody { limit } = next {
        let whole = Response::new(request.status, Head::default(), body.clone());
        let arrival = if body.len() > limit { ResponseArrival::OverLimit } else { ResponseArrival::Whole(whole) };
        next = pipeline.response_body(passage, arrival, env);
    }
    lines.push(match next {
        ResponseNext::Continue | ResponseNext::AwaitBody { .. } => {
            line("client", &format!("receives {} as it came", request.status))
        }
        ResponseNext::Rewrite(body) => line(
            "client",
            &format!("receives {} with another body: {}", request.status, String::from_utf8_lossy(&body)),
        ),
        ResponseNext::Replace(reply) => {
            line("client", &format!("is answered {} ({}) instead", reply.status, reply.details))
        }
    });
    lines
}

fn with_port(client: &str) -> String {
    if client.contains(':') { format!("[{client}]:1") } else { format!("{client}:1") }
}

fn taken(pipeline: &Pipeline, passage: &Passage) -> String {
    let exchange = &passage.exchange;
    if exchange.target.host.is_empty() {
        return "has no canonical form".to_owned();
    }
    let route = pipeline.route_name(exchange);
    let lot = if passage.monitored() { ", by lot in monitor mode: what refuses only reports" } else { "" };
    let client = exchange.origin.map(|origin| format!(" from {}", origin.client)).unwrap_or_default();
    format!("{}{}{client}: {route}{lot}", exchange.target.host, exchange.target.path())
}

fn edits(exchange: &Exchange) -> impl Iterator<Item = String> {
    let edits = exchange.request_edits.iter().map(|edit| match edit {
        HeaderEdit::Remove(name) => format!("without {}", String::from_utf8_lossy(name)),
        HeaderEdit::Set(name, _) => format!("with another {name}"),
    });
    let told = exchange.caller.iter().flat_map(|caller| &caller.headers);
    edits.chain(told.map(|(name, value)| format!("with {name}: {value}")))
}

fn line(step: &str, text: &str) -> String {
    format!("{step:<18}{text}\n")
}

/// A line for each step.
#[derive(Default)]
struct Notes(RefCell<Vec<String>>);

impl Watcher for Notes {
    fn said(&self, step: &'static str, mode: Mode, word: &Step, exchange: &Exchange) {
        let monitored = if mode == Mode::Monitor { " (monitor: goes on all the same)" } else { "" };
        let text = match word {
            Step::Pass => match exchange.caller.as_ref().filter(|_| step == "authenticate") {
                Some(caller) => format!("passes: {} {} by {}", caller.method.as_str(), caller.subject, caller.provider),
                None => "passes".to_owned(),
            },
            Step::Deny(denial) => format!("refuses: {}{monitored}", why(denial)),
            Step::Refuse(denial) => format!("refuses: {}", why(denial)),
            Step::Observe(denial) => format!("only reports: {}", why(denial)),
            Step::Answer(reply) => format!("answers {}", reply.status),
            Step::Await(Await::Body { .. }) => "waits for the body".to_owned(),
            Step::Await(Await::Callout(callout)) => format!("asks {}", callout.cluster),
            Step::Fail(failure) => format!("cannot decide: {}{monitored}", failure.as_str()),
        };
        let lacking = exchange.lacking.as_deref().map(|lacking| format!("{lacking} is not to be had"));
        let claimed = match word {
            Step::Deny(Denial::Unauthenticated { reason: AuthReason::Token(_), .. }) => {
                claimed::lines(&exchange.head, exchange.received.unix_seconds())
            }
            _ => Vec::new(),
        };
        let more = lacking.into_iter().chain(claimed).map(|more| line("", &more));
        self.0.borrow_mut().extend(std::iter::once(line(step, &text)).chain(more));
    }
}

fn why(denial: &Denial) -> String {
    let mut why = format!("{} {}", denial.status(), denial.reason());
    let rule = denial.rule();
    if !rule.is_empty() {
        why.push_str(&format!(", by {rule}"));
    }
    match denial {
        Denial::RateLimited { limit, retry_after } => why.push_str(&format!(", by {limit}, for {retry_after} s")),
        Denial::Injection(found) => why.push_str(&format!(", in {} {:?}", found.place.as_str(), found.parameter)),
        _ => {}
    }
    why
}
