//! How fast the injection filter reads: everyday values, and values made to cost. `cargo bench --bench scan`
//!
//! Prints, for each kind, megabytes a second of a long value or the time for one short value; the best of several runs.
//! `cargo bench --bench scan -- worst 60` searches for a minute for what costs most: from random pieces uphill, as long as a
//! change makes the value dearer, of several lengths and with several ends. What it finds belongs to the decoys of
//! `src/injection/work.rs` and to the kinds of `benches/bench.py`.

use portcullis::injection::{ClassSet, scan};
use std::hint::black_box;
use std::time::{Duration, Instant};

const LONG: usize = 256 << 10;

fn main() {
    let given: Vec<String> = std::env::args().collect();
    if let Some(at) = given.iter().position(|word| word == "worst") {
        let seconds = given.get(at + 1).and_then(|word| word.parse().ok()).unwrap_or(60);
        return worst(Duration::from_secs(seconds));
    }
    println!("{:<28} {:>10}", "a long value of", "MB/s");
    for (name, piece) in [
        ("plain text", "The quick brown fox jumps over the lazy dog. "),
        ("prose with marks", "It's a long story, and then (so they say) it went on; R&B. "),
        ("JSON", "{\"a\":1,\"b\":[true,false,null],\"c\":{\"d\":\"e's\"}},"),
        ("markup", "<p class=\"a\">text &amp; more</p>\n"),
        ("quotes that compare", "='"),
        ("quotes and brackets", "'+(((((((((1)))))))))"),
        ("names after ampersands", "&l"),
        ("references in references", "&amp;amp;amp;"),
        ("every encoding", "%2525252525&amp;amp;amp;\\u005cu005c\u{ff05}41"),
        ("steps upwards", "../a"),
        ("arguments without an end", ";ls+a"),
        ("PHP tags", "<?php "),
        ("script URLs", "javascript:a "),
    ] {
        let value = piece.repeat(LONG / piece.len());
        let best = best_of(5, || scan(value.as_bytes(), ClassSet::USUAL).is_some());
        println!("{name:<28} {:>10.1}", value.len() as f64 / best.as_secs_f64() / 1e6);
    }
    println!("\n{:<28} {:>10}", "one short value", "ns");
    for (name, value) in [
        ("a word", "hello"),
        ("a sentence", "Where is the fuse box of a 2003 model?"),
        (
            "a User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        ),
        ("an Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
        ("an Accept-Language", "en-US,en;q=0.9,de;q=0.8"),
        ("a Cookie", "session=abc123; theme=dark; id=42"),
        (
            "an attack",
            "x' union select login, secret, 7 from staff where name like '%a%' order by 4 limit 1 offset 7 -- ",
        ),
    ] {
        const TIMES: u32 = 2000;
        let best = best_of(20, || {
            (0..TIMES).filter(|_| scan(black_box(value.as_bytes()), ClassSet::USUAL).is_some()).count() > 0
        });
        println!("{name:<28} {:>10.0}", best.as_secs_f64() * 1e9 / f64::from(TIMES));
    }
}

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "'", "\"", "`", "=", "<", ">", "(", ")", "[", "]", "{", "}", "|", "&", ";", ",", ".", "/", "\\", "+", "-", "*", "%", "#", "@", "$", ":", "!", "?",
    " ", "\t", "\n", "a", "1", "0x", "or ", "and ", "select ", "union ", "from ", "case when ", "if(", "sleep(", "null", "like ", "--", "/*", "*/",
    "@@", "id", "ls ", "cat ", "who ", "$(", "${", "{{", "}}", "<%", "<?php ", "<a ", "<a href=", "<style ", "<!--", "<!doctype ", "on=", " onclick=",
    "javascript:", "data:", "alert(", "document.", "exec(", "socket.socket(", "../", "..;", ".0x", "/bin/", "%25", "%27", "%2541", "&amp;", "&lt", "&#39;",
    "\\x27", "\\u0027", "+ADw-", "\u{2018}", "\u{ff05}41", "\0",
];

/// What a value ends with: what comments out the rest, so that every quote may lead there, or a line more.
const ENDS: &[&str] = &["' -- ", "", "\n", "*/"];
const LENGTHS: &[usize] = &[1 << 10, 16 << 10, 128 << 10];

/// Climbs from random pieces, again and again, and prints what is dearest.
fn worst(time: Duration) {
    let begun = Instant::now();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |count: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % count
    };
    let any = |place: usize| PIECES.get(place).copied().unwrap_or_default();
    let cost = |pieces: &[&str], len: usize, end: &str| {
        let piece = pieces.concat();
        let value = piece.repeat(len / piece.len().max(1)) + end;
        best_of(4, || scan(value.as_bytes(), ClassSet::USUAL).is_some()).as_secs_f64() / value.len() as f64
    };
    let mut found = Vec::new();
    while begun.elapsed() < time {
        let mut pieces: Vec<&str> = (0..1 + below(4)).map(|_| any(below(PIECES.len()))).collect();
        let len = LENGTHS.get(below(LENGTHS.len())).copied().unwrap_or_default();
        let end = ENDS.get(below(ENDS.len())).copied().unwrap_or_default();
        let mut dearest = cost(&pieces, len, end);
        let mut stale = 0;
        while stale < 100 && begun.elapsed() < time {
            let mut other = pieces.clone();
            let place = below(other.len());
            match below(4) {
                0 if other.len() > 1 => other.truncate(other.len() - 1),
                1 if other.len() < 10 => other.insert(place, any(below(PIECES.len()))),
                2 => other.rotate_left(place),
                _ => other.iter_mut().skip(place).take(1).for_each(|piece| *piece = any(below(PIECES.len()))),
            }
            let price = cost(&other, len, end);
            stale += 1;
            if price > dearest * 1.02 {
                (pieces, dearest, stale) = (other, price, 0);
            }
        }
        found.push((cost(&pieces, len, end), len, pieces.concat(), end));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (seconds, len, piece, end) in found.iter().take(12) {
        println!("{:>10.1} MB/s, {len} bytes of {piece:?}, then {end:?}", 1e-6 / seconds);
    }
}

fn best_of(runs: usize, mut work: impl FnMut() -> bool) -> Duration {
    let timed = (0..runs).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    });
    timed.min().unwrap_or_default()
}
