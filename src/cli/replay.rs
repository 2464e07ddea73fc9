//! `portcullis replay FILE --log ACCESS_LOG`: what a configuration would have refused of the requests in an access log.
//!
//! A log holds the line of a request and a few headers, and no credentials: what needs more is reported as not decided,
//! never as refused. One pass over the log; memory does not grow with it.

mod entry;
mod routes;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::rc::Rc;

use super::document;
use super::input::{self, Line};
use super::options::{Options, asks_for_help};
use portcullis::check::{Arrival, CalloutReply, Env, Step};
use portcullis::denial::Denial;
use portcullis::exchange::Exchange;
use portcullis::native::NativeHost;
use portcullis::pipeline::{Next, Pipeline};
use portcullis::time::Timestamp;
use portcullis::watch::Watcher;
use portcullis::worker::Worker;
use portcullis_assembly::{Assembled, Surroundings, assemble};
use portcullis_config::{Condition, Config, ConfigError, DenyEntry, LimitKey, Mode};

use entry::Entry;
use routes::Routes;

/// How the command is called.
pub const USAGE: &str = "usage: portcullis replay FILE --log ACCESS_LOG [--each]

Says what the configuration in FILE would have refused of the requests in ACCESS_LOG (- for the standard input, for one of
both): Envoy's default format, or JSON lines with its usual field names. Credentials, bodies and most headers are not in
a log: what needs them is not decided here. With --each, a line for each line of the log comes first: passed, refused
(step, reason, rule), undecided (step), unreadable. Exits 0, 2 when the command, the configuration or every line of the
log is wrong.";

/// Replays one log and returns the exit code; `args` are what follows `replay`.
///
/// # Errors
/// What the writers say.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        return writeln!(out, "{USAGE}").map(|()| 0);
    }
    let problem = match prepare(args) {
        Ok((replayed, mut log, each)) => match replayed.read(&mut log, each.then_some(&mut *out))? {
            Ok(tally) => {
                tally.print(out)?;
                if !tally.understood_nothing() {
                    return Ok(0);
                }
                format!("{}: expected lines of Envoy's default format, or of JSON", log.name)
            }
            Err(error) => format!("{}: {error}", log.name),
        },
        Err(problem) => problem,
    };
    writeln!(err, "portcullis replay: {problem}").map(|()| 2)
}

/// An open log.
struct Log<'a> {
    name: &'a str,
    lines: Box<dyn BufRead>,
}

/// What the command line asks for, and whether it is to be said of each line.
fn prepare(args: &[String]) -> Result<(Replayed, Log<'_>, bool), String> {
    let options = Options::parse(args, &["--log"], &["--each"]).map_err(|problem| format!("{problem}\n\n{USAGE}"))?;
    let [file] = options.rest.as_slice() else { return Err(format!("takes one file\n\n{USAGE}")) };
    let log = options.required("--log").map_err(|problem| format!("{problem}\n\n{USAGE}"))?;
    input::stdin_once([*file, log])?;
    let text = input::text(file).map_err(|error| format!("{file}: {error}"))?;
    let json = document::only(&text).map_err(|problem| format!("{file}: {problem}"))?;
    let replayed = Replayed::new(&json).map_err(|problem| format!("{file}: {problem}"))?;
    let lines = open(log).map_err(|error| format!("{log}: {error}"))?;
    Ok((replayed, Log { name: log, lines }, options.has("--each")))
}

/// `-` is the standard input.
fn open(log: &str) -> io::Result<Box<dyn BufRead>> {
    if log == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(log)?)))
}

/// What is longer is no line of a log.
const LONGEST_LINE: usize = 64 * 1024;

/// A configuration and what it said so far.
struct Replayed {
    pipeline: Pipeline,
    worker: Worker,
    host: NativeHost,
    words: Rc<Words>,
    routes: Option<Routes>,
    now: Timestamp,
    tally: Tally,
}

impl Replayed {
    fn new(json: &[u8]) -> Result<Self, String> {
        let host = NativeHost::default();
        // No secret is compared with anything here.
        let variable =
            |name: &str| Some(format!("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef{name}"));
        let surroundings = Surroundings { store: &host.store, variable: &variable, random: [1, 2, 3, 4] };
        let lines = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let config = Config::from_json(json).map_err(|error| error.to_string())?;
        let Assembled { mut pipeline, worker, .. } = assemble(json, &surroundings).map_err(lines)?;
        let by_caller = config.limits.iter().filter(|(_, limit)| limit.key.iter().any(needs_caller));
        let by_caller = by_caller.map(|(name, _)| name.as_str().to_owned()).collect();
        let words = Rc::new(Words { by_caller, by_address: denied_by_address(&config), said: RefCell::default() });
        // Every step is heard, whatever those before it said.
        pipeline.monitor_all();
        pipeline.watch(&(words.clone() as Rc<dyn Watcher>));
        let routes = Routes::new(&config);
        Ok(Self { pipeline, worker, host, words, routes, now: Timestamp::default(), tally: Tally::default() })
    }

    /// Reads the log to its end, and says of each line what becomes of it where that is asked for. The inner error is the log's.
    fn read(mut self, log: &mut Log<'_>, mut each: Option<&mut dyn Write>) -> io::Result<io::Result<Tally>> {
        let mut line = Vec::new();
        loop {
            let word = match input::read_line(&mut log.lines, &mut line, LONGEST_LINE) {
                Ok(Some(Line::Whole)) => self.take(&line),
                Ok(Some(Line::TooLong)) => self.not_understood(),
                Ok(None) => return Ok(Ok(self.tally)),
                Err(error) => return Ok(Err(error)),
            };
            if let Some(out) = &mut each {
                writeln!(out, "{word}")?;
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Word {
        let Some(entry) = Entry::parse(line) else {
            return if line.trim_ascii().is_empty() { Word::Unreadable } else { self.not_understood() };
        };
        self.tally.requests += 1;
        // Lines stand in the order in which exchanges ended: the clock does not go back.
        self.now = self.now.max(entry.started);
        self.host.source_address = Some(entry.source_address());
        self.words.said.take();
        let word = self.pass(&entry);
        self.host.lines.borrow_mut().clear();
        self.tally.add(&word, &entry);
        word
    }

    fn not_understood(&mut self) -> Word {
        self.tally.unreadable += 1;
        Word::Unreadable
    }

    /// What is said of one request.
    fn pass(&mut self, entry: &Entry) -> Word {
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        let (mut passage, mut next) = self.pipeline.begin(entry.head(), true, &mut env);
        // What another service would say is not known: nothing that depends on it is decided.
        let mut asked = 0;
        while let (Next::Call(_), true) = (&next, asked < MAX_CALLOUTS) {
            asked += 1;
            next = self.pipeline.resume(&mut passage, Arrival::Reply(&CalloutReply::Lost), &mut env);
        }
        let said = self.words.said.take();
        let exchange = &passage.exchange;
        let has_form = !exchange.target.host.is_empty();
        if has_form && self.routes.as_ref().is_some_and(|routes| routes.are_open(exchange, entry.names_a_host())) {
            return Word::Undecided("route");
        }
        if let Some(refused) = said.refused {
            return Word::Refused(refused);
        }
        match next {
            _ if said.undecided.is_some() => Word::Undecided(said.undecided.unwrap_or_default()),
            Next::Reply(reply) if said.heard == 0 => {
                Word::Refused(Rule { step: "request", reason: reply.details.to_owned(), rule: String::new() })
            }
            _ => Word::Passed { observed: said.observed },
        }
    }
}

/// Callouts of one request that are taken as lost.
const MAX_CALLOUTS: usize = 16;

fn needs_caller(key: &LimitKey) -> bool {
    !matches!(key, LimitKey::ClientIp)
}

fn denied_by_address(config: &Config) -> BTreeSet<String> {
    let routes = config.routes.iter().enumerate().map(|(at, route)| (format!("routes[{at}].deny"), &route.deny));
    let lists = routes.chain([("defaults.deny".to_owned(), &config.defaults.deny)]);
    let by_address = |(path, entries): (String, &Option<Vec<DenyEntry>>)| {
        let entries = entries.iter().flatten().enumerate().filter(|(_, entry)| looks_at_the_address_only(entry));
        entries.map(|(at, _)| format!("{path}[{at}]")).collect::<Vec<_>>()
    };
    lists.flat_map(by_address).collect()
}

fn looks_at_the_address_only(entry: &DenyEntry) -> bool {
    let DenyEntry { roles, scopes, claims, principals, client_ip: _, owner, except } = entry;
    let plain = roles.is_empty() && scopes.is_empty() && claims.is_empty() && principals.is_empty() && owner.is_none();
    plain
        && except.as_ref().is_none_or(|Condition { roles, scopes, claims, principals, client_ip: _, owner }| {
            roles.is_empty() && scopes.is_empty() && claims.is_empty() && principals.is_empty() && owner.is_none()
        })
}

/// What became of a request.
enum Word {
    Passed { observed: Option<Rule> },
    Refused(Rule),
    Undecided(&'static str),
    Unreadable,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { .. } => f.write_str("passed"),
            Self::Refused(Rule { step, reason, rule }) => {
                f.write_str(format!("refused {step} {reason} {rule}").trim_end())
            }
            Self::Undecided(step) => write!(f, "undecided {step}"),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

/// What refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    step: &'static str,
    reason: String,
    rule: String,
}

/// Listens to the steps of one request.
struct Words {
    /// Limits that count by what is not in a log.
    by_caller: Vec<String>,
    /// Entries of `deny` that look at nothing but the address.
    by_address: BTreeSet<String>,
    said: RefCell<Said>,
}

#[derive(Default)]
struct Said {
    heard: usize,
    refused: Option<Rule>,
    observed: Option<Rule>,
    undecided: Option<&'static str>,
}

impl Watcher for Words {
    fn said(&self, step: &'static str, mode: Mode, word: &Step, _exchange: &Exchange) {
        let mut said = self.said.borrow_mut();
        said.heard += 1;
        let (denial, enforced) = match word {
            Step::Deny(denial) => (denial, mode == Mode::Enforce),
            Step::Refuse(denial) => (denial, true),
            Step::Observe(denial) => (denial, false),
            Step::Await(_) | Step::Fail(_) => {
                said.undecided.get_or_insert(step);
                return;
            }
            Step::Pass | Step::Answer(_) => return,
        };
        if !enforced {
            let rule = || Rule { step, reason: denial.reason().to_owned(), rule: denial.rule().to_owned() };
            if !self.needs_more(step, denial, &said) {
                said.observed.get_or_insert_with(rule);
            }
            return;
        }
        if said.refused.is_some() {
            return;
        }
        if self.needs_more(step, denial, &said) {
            said.undecided.get_or_insert(step);
            return;
        }
        let (reason, rule) = match denial {
            Denial::RateLimited { limit, .. } => (denial.reason(), &**limit),
            _ => (denial.reason(), denial.rule()),
        };
        said.refused = Some(Rule { step, reason: reason.to_owned(), rule: rule.to_owned() });
    }
}

impl Words {
    /// Whether credentials, a certificate or a secret could turn this refusal.
    fn needs_more(&self, step: &str, denial: &Denial, said: &Said) -> bool {
        match denial {
            Denial::Unauthenticated { .. } | Denial::Certificate(_) | Denial::Unavailable { .. } => true,
            Denial::UnverifiedCredentials { .. } => true,
            // Who calls is not known, and a rule may ask for it even where nothing had to be shown.
            Denial::Forbidden { rule, .. } => !self.by_address.contains(&**rule),
            Denial::RateLimited { limit, .. } => {
                said.undecided.is_some() || self.by_caller.iter().any(|name| **name == **limit)
            }
            // The scheme is in no log.
            Denial::HttpsRequired { .. } => true,
            _ => step == "sign",
        }
    }
}

/// What was said of all requests.
#[derive(Default)]
struct Tally {
    requests: u64,
    unreadable: u64,
    passed: u64,
    undecided: BTreeMap<&'static str, u64>,
    refused: BTreeMap<Rule, Told>,
    observed: BTreeMap<Rule, Told>,
    /// Of rules beyond the bound.
    others: u64,
}

#[derive(Default)]
struct Told {
    times: u64,
    examples: Vec<String>,
}

/// Rules that are told apart, and examples of each.
const RULES: usize = 1000;
const EXAMPLES: usize = 3;

impl Tally {
    fn add(&mut self, word: &Word, entry: &Entry) {
        let (rules, rule) = match word {
            Word::Passed { observed } => {
                self.passed += 1;
                let Some(rule) = observed else { return };
                (&mut self.observed, rule)
            }
            Word::Undecided(step) => {
                *self.undecided.entry(step).or_default() += 1;
                return;
            }
            Word::Refused(rule) => (&mut self.refused, rule),
            Word::Unreadable => return,
        };
        if rules.len() >= RULES && !rules.contains_key(rule) {
            self.others += 1;
            return;
        }
        let told = rules.entry(rule.clone()).or_default();
        told.times += 1;
        if told.examples.len() < EXAMPLES {
            told.examples.push(entry.shown());
        }
    }

    fn understood_nothing(&self) -> bool {
        self.requests == 0 && self.unreadable > 0
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let refused = self.refused.values().map(|told| told.times).sum::<u64>();
        let undecided = self.undecided.values().sum::<u64>();
        writeln!(out, "{:<22}{:>10}", "requests", self.requests)?;
        if self.unreadable > 0 {
            writeln!(out, "{:<22}{:>10}", "lines not understood", self.unreadable)?;
        }
        writeln!(out, "{:<22}{:>10}", "would pass", self.passed)?;
        writeln!(out, "{:<22}{refused:>10}", "would be refused")?;
        writeln!(out, "{:<22}{undecided:>10}", "not decided")?;
        for (step, times) in &self.undecided {
            writeln!(out, "  {:<20}{times:>10}  needs what is not in a log", step)?;
        }
        rows(out, "refused", &self.refused)?;
        rows(out, "only reported", &self.observed)?;
        if self.others > 0 {
            writeln!(out, "and {} by further rules", self.others)?;
        }
        Ok(())
    }
}

/// The rules that spoke most often first.
fn rows(out: &mut dyn Write, title: &str, rules: &BTreeMap<Rule, Told>) -> io::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title:>14}  {:<16} {:<22} rule", "step", "reason")?;
    let mut rows: Vec<_> = rules.iter().collect();
    rows.sort_by_key(|(_, told)| std::cmp::Reverse(told.times));
    for (Rule { step, reason, rule }, told) in rows {
        writeln!(out, "{}", format!("{:>14}  {step:<16} {reason:<22} {rule}", told.times).trim_end())?;
        for example in &told.examples {
            writeln!(out, "                  {example}")?;
        }
    }
    Ok(())
}
