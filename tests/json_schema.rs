//! The public test suite of JSON Schema, draft 2020-12, against the schemas of bodies.
//!
//! `make test` fetches the suite (`.ci/json-schema-suite`) and says where it is in `JSON_SCHEMA_SUITE`; without that
//! there is nothing to play.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use portcullis::document::{Document, Limits};
use portcullis::schema::Schema;
use serde_json::Value;

const ELSEWHERE: &str = "the reference leads to another document, which is never fetched: refused";
const UNKNOWN_FORMAT: &str = "a format that is not supported: refused";
const ASSERTED: &str = "formats are asserted here, which the specification leaves to the implementation";
const CONTENT: &str = "contentEncoding, contentMediaType and contentSchema are not supported: refused";
const DIALECT: &str = "other dialects are not supported: refused";

/// Groups of the required tests that cannot be played, by file and description (`*`: the whole file; with ` / `: one
/// case), and why.
const SKIPPED: &[(&str, &str, &str)] = &[
    ("content", "*", CONTENT),
    ("defs", "validate definition against metaschema", ELSEWHERE),
    ("dynamicRef", "strict-tree schema, guards against misspelled properties", ELSEWHERE),
    ("dynamicRef", "tests for implementation dynamic anchor and reference link", ELSEWHERE),
    ("dynamicRef", "$ref and $dynamicAnchor are independent of order - $defs first", ELSEWHERE),
    ("dynamicRef", "$ref and $dynamicAnchor are independent of order - $ref first", ELSEWHERE),
    ("dynamicRef", "$ref to $dynamicRef finds detached $dynamicAnchor", ELSEWHERE),
    ("format", "email format / invalid email string is only an annotation by default", ASSERTED),
    ("format", "ipv4 format / invalid ipv4 string is only an annotation by default", ASSERTED),
    ("format", "ipv6 format / invalid ipv6 string is only an annotation by default", ASSERTED),
    ("format", "hostname format / invalid hostname string is only an annotation by default", ASSERTED),
    ("format", "date format / invalid date string is only an annotation by default", ASSERTED),
    ("format", "date-time format / invalid date-time string is only an annotation by default", ASSERTED),
    ("format", "time format / invalid time string is only an annotation by default", ASSERTED),
    ("format", "uri format / invalid uri string is only an annotation by default", ASSERTED),
    ("format", "uuid format / invalid uuid string is only an annotation by default", ASSERTED),
    ("format", "idn-email format", UNKNOWN_FORMAT),
    ("format", "regex format", UNKNOWN_FORMAT),
    ("format", "idn-hostname format", UNKNOWN_FORMAT),
    ("format", "json-pointer format", UNKNOWN_FORMAT),
    ("format", "relative-json-pointer format", UNKNOWN_FORMAT),
    ("format", "iri format", UNKNOWN_FORMAT),
    ("format", "iri-reference format", UNKNOWN_FORMAT),
    ("format", "uri-reference format", UNKNOWN_FORMAT),
    ("format", "uri-template format", UNKNOWN_FORMAT),
    ("format", "duration format", UNKNOWN_FORMAT),
    ("ref", "remote ref, containing refs itself", ELSEWHERE),
    ("refRemote", "remote ref", ELSEWHERE),
    ("refRemote", "fragment within remote ref", ELSEWHERE),
    ("refRemote", "anchor within remote ref", ELSEWHERE),
    ("refRemote", "ref within remote ref", ELSEWHERE),
    ("refRemote", "base URI change", ELSEWHERE),
    ("refRemote", "base URI change - change folder", ELSEWHERE),
    ("refRemote", "base URI change - change folder in subschema", ELSEWHERE),
    ("refRemote", "root ref in remote ref", ELSEWHERE),
    ("refRemote", "remote ref with ref to defs", ELSEWHERE),
    ("refRemote", "Location-independent identifier in remote ref", ELSEWHERE),
    ("refRemote", "retrieved nested refs resolve relative to their URI not $id", ELSEWHERE),
    ("refRemote", "remote HTTP ref with different $id", ELSEWHERE),
    ("refRemote", "remote HTTP ref with different URN $id", ELSEWHERE),
    ("refRemote", "remote HTTP ref with nested absolute ref", ELSEWHERE),
    ("refRemote", "$ref to $ref finds detached $anchor", ELSEWHERE),
    ("vocabulary", "schema that uses custom metaschema with with no validation vocabulary", DIALECT),
    ("vocabulary", "ignore unrecognized optional vocabulary", DIALECT),
];

/// The optional files that concern what is supported.
const OPTIONAL: &[&str] = &[
    "optional/bignum",
    "optional/float-overflow",
    "optional/no-schema",
    "optional/non-bmp-regex",
    "optional/format/date",
    "optional/format/date-time",
    "optional/format/email",
    "optional/format/hostname",
    "optional/format/ipv4",
    "optional/format/ipv6",
    "optional/format/time",
    "optional/format/uri",
    "optional/format/uuid",
];

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("JSON_SCHEMA_SUITE")?;
    Some(PathBuf::from(named).join("tests/draft2020-12"))
}

#[test]
fn every_required_case_of_the_public_suite_is_decided_as_it_says() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<String> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    files.sort();
    files.extend(OPTIONAL.iter().map(|&name| name.to_owned()));
    let (mut played, mut sooner, mut wrong, mut used) = (0, 0, Vec::new(), BTreeSet::new());
    for file in &files {
        let text = fs::read(folder.join(format!("{file}.json"))).unwrap();
        let groups: Vec<Value> = serde_json::from_slice(&text).unwrap();
        for group in groups {
            let description = group["description"].as_str().unwrap();
            let tests = group["tests"].as_array().unwrap();
            let skipped = |(of, what, _): &&(&str, &str, &str)| of == file && (*what == "*" || *what == description);
            if let Some(skipped) = SKIPPED.iter().find(skipped) {
                used.insert(skipped);
                continue;
            }
            let schema = match Schema::compile(&group["schema"]) {
                Ok(schema) => schema,
                Err(errors) => {
                    wrong.push(format!("{file}: {description}: {}", errors[0]));
                    continue;
                }
            };
            for test in tests {
                let case = test["description"].as_str().unwrap();
                let data = test["data"].to_string();
                let limits = Limits { number_length: 1024, ..Limits::default() };
                let document = Document::parse(data.as_bytes(), &limits).unwrap();
                let single = |(of, what, _): &&(&str, &str, &str)| {
                    of == file && what.split_once(" / ") == Some((description, case))
                };
                if let Some(skipped) = SKIPPED.iter().find(single) {
                    used.insert(skipped);
                    continue;
                }
                played += 1;
                let valid = test["valid"].as_bool().unwrap();
                let sure = schema.surely_accepts(data.as_bytes(), &limits);
                sooner += usize::from(sure);
                if sure && !valid {
                    wrong.push(format!("{file}: {description} / {case}: {data}: accepted while it was read"));
                }
                if schema.validate(&document).is_ok() != valid {
                    wrong.push(format!("{file}: {description} / {case}: {data}: {:?}", schema.validate(&document)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {played}:\n{}", wrong.len(), wrong.join("\n"));
    let unused: Vec<_> = SKIPPED.iter().filter(|skipped| !used.contains(skipped)).collect();
    assert!(unused.is_empty(), "nothing of the suite is skipped by {unused:?}");
    assert!(played > 1000 && sooner > 200, "{played}, {sooner}");
    println!("{played} cases, {sooner} of them accepted while they were read, {} groups skipped", SKIPPED.len());
}
