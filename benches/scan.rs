//! How fast the injection filter reads: everyday values, and values made to cost. `cargo bench --bench scan`
//!
//! Prints, for each kind, megabytes a second of a long value or the time for one short value; the best of several runs.

use portcullis::injection::{ClassSet, scan};
use std::hint::black_box;
use std::time::{Duration, Instant};

const LONG: usize = 256 << 10;

fn main() {
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

fn best_of(runs: usize, mut work: impl FnMut() -> bool) -> Duration {
    let timed = (0..runs).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    });
    timed.min().unwrap_or_default()
}
