//! The pages under `docs` and the README say what the code does: every name that is published stands in them, every
//! setting with whether it is supported, and every configuration and event line in them is a good one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::check::{Failure, ReplayFault};
use portcullis::denial::{AuthReason, BlockReason, Denial};
use portcullis::event::{self, Details, EventType, Severity};
use portcullis::metrics::{self, Counter, Gauge, Table};
use portcullis::secrets::refresh::RECOVERED;
use portcullis::secrets::source::Fault;
use portcullis::time::Timestamp;
use portcullis_cli::{check, document};
use serde_json::Value;

#[path = "docs/settings.rs"]
mod settings;

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn page(name: &str) -> String {
    fs::read_to_string(PathBuf::from(ROOT).join(name)).unwrap()
}

/// Every page, by its path in the repository.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(PathBuf::from(ROOT).join("docs")).unwrap();
    let names = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let others =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benches/README.md"].map(str::to_owned);
    let names = names.filter(|name| name.ends_with(".md")).chain(others);
    names.map(|name| (name.clone(), page(&name))).collect()
}

/// The text of every fenced block of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match (open, line) {
            (false, line) if line == opening => {
                open = true;
                found.push(String::new());
            }
            (true, "```") => open = false,
            (true, line) => *found.last_mut().unwrap() += &format!("{line}\n"),
            (false, _) => {}
        }
    }
    found
}

/// The cells of each row of the tables between headings: `(heading, cells)`.
fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let (mut heading, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        if line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        } else if let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            found.push((heading.clone(), cells.split('|').map(|cell| cell.trim().to_owned()).collect()));
        }
    }
    found
}

/// What stands between backquotes.
fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_published_name_stands_in_the_page_of_events() {
    let page = page("docs/events.md");
    let codes: BTreeSet<&str> = page.lines().flat_map(codes).collect();
    let types = EventType::ALL.iter().map(|event| event.as_str());
    let names = types.chain(AuthReason::all().map(AuthReason::as_str));
    let names = names.chain(BlockReason::ALL.iter().map(|reason| reason.as_str()));
    let failures = [
        Failure::Store,
        Failure::UnexpectedArrival,
        Failure::Secret,
        Failure::Replay(ReplayFault::Full),
        Failure::Replay(ReplayFault::Unavailable),
        Failure::Random,
        Failure::NoVerifier,
    ];
    let names = names.chain(failures.map(Failure::as_str));
    let names = names.chain(Fault::ALL.map(Fault::as_str)).chain([RECOVERED]);
    for name in names {
        assert!(codes.contains(name), "{name}");
    }
    for reason in AuthReason::all().filter(|reason| *reason != AuthReason::Upstream) {
        let denial = Denial::Unauthenticated { reason, challenge: "".into() };
        let row = format!("| `{}` | ", reason.as_str());
        let row = page.lines().find(|line| line.starts_with(&row)).unwrap();
        assert!(row.ends_with(&format!("| {} |", denial.detail())), "{row}");
    }
    let gauges = [Gauge::ActiveSessions, Gauge::KeySetAge(0), Gauge::SecretAge(0), Gauge::SecretFailures(0)];
    let gauges = gauges.into_iter().chain(Table::ALL.map(Gauge::TableUse)).map(|gauge| gauge.name("s", "part"));
    let others = [metrics::decision_time("s"), metrics::callout_failures("s", "cluster")];
    for metric in Counter::all().map(|counter| counter.name("s")).chain(gauges).chain(others) {
        assert!(codes.contains(metric.split('~').next().unwrap()), "{metric}");
    }
    for table in Table::ALL {
        assert!(codes.contains(table.as_str()), "{table:?}");
    }
}

/// The text of a file, or of every file below a folder.
fn sources(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap();
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"));
    entries.map(|path| sources(&path)).collect()
}

/// Codes that have no list of their own are read from the sources: a list here would miss the next one.
#[test]
fn every_reason_code_of_the_sources_stands_in_the_page_of_events() {
    let page = page("docs/events.md");
    let codes: BTreeSet<&str> = page.lines().flat_map(codes).collect();
    for (source, markers, least) in [
        ("src/canonical/rejection.rs", &["=> \""][..], 20),
        ("src/denial", &["=> \""], 20),
        ("src/checks/inspect/body.rs", &["Malformed(\"", "TooComplex(\"", "malformed(\""], 9),
        (
            "src",
            &[
                "degraded = Some(\"",
                "Notice::new(EventType::Degraded, \"",
                "Unavailable { what: \"",
                "left_out), reason: \"",
            ],
            4,
        ),
    ] {
        let text = sources(&PathBuf::from(ROOT).join(source));
        let texts = markers.iter().flat_map(|marker| text.split(marker).skip(1));
        let is_code =
            |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let found: BTreeSet<&str> = texts.filter_map(|rest| rest.split('"').next()).filter(is_code).collect();
        assert!(found.len() >= least, "{source}: only {found:?}");
        assert_eq!(found.difference(&codes).collect::<Vec<_>>(), Vec::<&&str>::new(), "{source}");
    }
}

#[test]
fn every_type_of_event_has_its_level_and_a_good_example() {
    let page = page("docs/events.md");
    let schema: Value = serde_json::from_str(&self::page("docs/event.schema.json")).unwrap();
    let lines = blocks(&page, "json").concat();
    let lines = lines.lines().filter(|line| line.starts_with("{\"timestamp\""));
    let mut shown = BTreeSet::new();
    for line in lines {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(problem(&schema, &event), None, "{line}");
        shown.insert(event["event_type"].as_str().unwrap().to_owned());
    }
    for event in EventType::ALL {
        assert!(shown.contains(event.as_str()), "{}", event.as_str());
        let level = match event.severity() {
            Severity::Info => "info",
            Severity::Warn => "warning",
            Severity::Critical => "critical",
        };
        assert!(page.contains(&format!("| `{}` | {level} |", event.as_str())), "{}", event.as_str());
    }
}

#[test]
fn the_schema_of_an_event_describes_what_the_code_writes() {
    let schema: Value = serde_json::from_str(&page("docs/event.schema.json")).unwrap();
    let details = Details {
        path: "/x",
        method: "GET",
        ip_address: "203.0.113.7",
        user_agent: "a",
        user: "42",
        request_id: "id",
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
        reason: "injection",
        rule: "sql-comment",
        class: "sqli",
        score: Some(10),
        parameter: "q",
        place: "query",
        excerpt: "x",
        limit: "per_user",
        status: Some(403),
        response_time: Some(0.25),
        mode: "monitor",
        failed_attempts: Some(5),
        dependency: "secrets.a",
        network: "203.0.113.0/24",
        until: Some(1_700_000_000),
        left_out: Some(1),
    };
    for event in EventType::ALL {
        let line = event::line(*event, "user-service", Timestamp::from_unix_millis(1_500), &details);
        assert_eq!(problem(&schema, &serde_json::from_str(&line).unwrap()), None, "{line}");
    }
    let line = event::line(EventType::Replay, "s", Timestamp::default(), &details);
    let written: Value = serde_json::from_str(&line).unwrap();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let described = members(&schema["properties"]["details"]["properties"]);
    assert_eq!(described, members(&written["details"]));
    let events = page("docs/events.md");
    let explained = rows(&events).into_iter().filter(|(heading, _)| heading == "`details`");
    let explained = explained.filter_map(|(_, cells)| Some(cells[0].strip_prefix('`')?.strip_suffix('`')?.to_owned()));
    assert_eq!(explained.collect::<BTreeSet<_>>(), described);
    let types = schema["properties"]["event_type"]["enum"].as_array().unwrap();
    assert!(types.iter().map(|name| name.as_str().unwrap()).eq(EventType::ALL.iter().map(|event| event.as_str())));
    for bad in [r#"{"timestamp":1,"event_type":"REPLAY","service":"s"}"#, &line.replace("REPLAY", "OTHER")] {
        assert!(problem(&schema, &serde_json::from_str(bad).unwrap()).is_some(), "{bad}");
    }
}

/// As much of JSON Schema as the schema of an event uses; a keyword that is not known here fails the test.
fn problem(schema: &Value, value: &Value) -> Option<String> {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let number = |holds: fn(f64, f64) -> bool| value.as_f64().is_none_or(|n| holds(n, wanted.as_f64().unwrap()));
        let length = |holds: fn(u64, u64) -> bool| {
            value.as_str().is_none_or(|text| holds(text.chars().count() as u64, wanted.as_u64().unwrap()))
        };
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match wanted.as_str().unwrap() {
                "object" => value.is_object(),
                "string" => value.is_string(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                other => panic!("the type {other} is not known here"),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => number(|n, least| n >= least),
            "maximum" => number(|n, most| n <= most),
            "minLength" => length(|n, least| n >= least),
            "maxLength" => length(|n, most| n <= most),
            "required" => wanted.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                let inner = |(name, schema): (&String, &Value)| problem(schema, value.get(name)?);
                if let Some(problem) = wanted.as_object().unwrap().iter().find_map(inner) {
                    return Some(problem);
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false));
                value.as_object().unwrap().keys().all(|name| schema["properties"].get(name).is_some())
            }
            other => panic!("the keyword {other} is not known here"),
        };
        if !holds {
            return Some(format!("{keyword} {wanted}: {value}"));
        }
    }
    None
}

#[test]
fn every_yaml_block_reads_and_every_complete_configuration_is_good() {
    let mut complete = 0;
    for (name, text) in pages() {
        for block in blocks(&text, "yaml") {
            let value: Value =
                serde_saphyr::from_str(&block).unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            // A fragment of a configuration has no routes, and a fragment of a bootstrap no plugin.
            let carried = document::configurations(&block).is_ok_and(|found| !found[0].place.is_empty());
            if carried || value.get("routes").is_some() {
                let (mut out, mut err) = (Vec::new(), Vec::new());
                let code = check::check(&name, &block, &mut out, &mut err).unwrap();
                assert_eq!((code, String::from_utf8(err).unwrap().as_str()), (0, ""), "{block}");
                complete += 1;
            }
        }
    }
    assert!(complete >= 4, "only {complete} complete configurations");
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let root = PathBuf::from(ROOT);
    let mut seen = 0;
    for (name, text) in pages() {
        let folder = root.join(&name).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root.join(&name) } else { folder.join(file) };
            assert!(file.exists(), "{name}: {target}");
            if !heading.is_empty() {
                let linked = fs::read_to_string(&file).unwrap();
                let mut headings = linked.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|anchor| anchor == heading), "{name}: {target}");
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} links");
}

#[test]
fn every_path_of_the_repository_that_a_page_names_is_there() {
    let root = PathBuf::from(ROOT);
    let places = ["src/", "tests/", "docs/", "envoy/", "benches/", ".ci/", ".github/"];
    let mut seen = 0;
    for (name, text) in pages() {
        let paths = text.lines().flat_map(codes).filter(|code| places.iter().any(|place| code.starts_with(place)));
        for path in paths.filter(|path| !path.contains(['*', ' '])) {
            assert!(root.join(path).exists(), "{name}: {path}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} paths");
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|character| character.is_alphanumeric() || ['-', '_'].contains(character)).collect()
}

/// What the page of alerts says is made of names that other pages and files publish.
#[test]
fn the_page_of_alerts_names_nothing_that_is_not_there() {
    let [page, rules] = ["docs/monitoring.md", "envoy/monitoring/rules.yaml"].map(page);
    let known: BTreeSet<String> = ["docs/events.md", "docs/configuration.md", "docs/injection.md"]
        .iter()
        .flat_map(|name| self::page(name).lines().flat_map(codes).map(str::to_owned).collect::<Vec<_>>())
        .flat_map(|code| code.split(['.', ':', '=', ' ', '{', '}']).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let is_name =
        |code: &&str| code.contains('_') && code.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let invented: Vec<&str> = page
        .lines()
        .flat_map(codes)
        .filter(is_name)
        .filter(|code| !known.contains(*code) && !rules.contains(*code) && !code.starts_with("envoy_"))
        .collect();
    assert_eq!(invented, Vec::<&str>::new());
    let fired: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let rows = rows(&page).into_iter().filter(|(heading, _)| heading == "The alerts");
    let rows: Vec<String> = rows.map(|(_, cells)| cells[0].clone()).collect();
    let told: BTreeSet<&str> = rows.iter().flat_map(|cell| codes(cell)).collect();
    assert_eq!(told, fired);
}
