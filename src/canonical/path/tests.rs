use super::*;
use proptest::prelude::*;

fn parse(target: &str) -> Result<CanonicalPath<'_>, PathError> {
    CanonicalPath::parse(b"GET", target.as_bytes(), PathOptions::default())
}

fn canonical(target: &str) -> Result<String, PathError> {
    parse(target).map(|path| path.target().to_owned())
}

fn values(target: &str) -> Vec<String> {
    parse(target).unwrap().segments().map(|segment| segment.value().into_owned()).collect()
}

#[test]
fn borrows_what_is_canonical_already() {
    for target in
        ["/", "/api/v1/users/42", "/a.b/c~d/e_f-g/", "/a?x=/../%2e;//", "/p/%C3%A9", "/.well-known/x", "/a:b@c"]
    {
        let path = parse(target).unwrap();
        assert_eq!(path.target(), target);
        assert!(!path.is_rewritten() && matches!(path.target, Cow::Borrowed(_)), "{target}");
    }
}

#[test]
fn brings_equivalent_spellings_to_one_form() {
    for (sent, expected) in [
        ("/%61dmin", "/admin"),
        ("/%41%7e%2D%5f", "/A~-_"),
        ("/a%c3%a9%2c", "/a%C3%A9%2C"),
        ("//admin", "/admin"),
        ("/a///b//", "/a/b/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/..", "/"),
        ("/.", "/"),
        ("/a//../b", "/b"),
        ("/public/%2e%2e/admin", "/admin"),
        ("/public/.%2E/admin?a=../b", "/admin?a=../b"),
        ("/a/%2e/b/", "/a/b/"),
        ("/a|b\"<>^`{}[]", "/a%7Cb%22%3C%3E%5E%60%7B%7D%5B%5D"),
        ("/é", "/%C3%A9"),
        ("/...", "/..."),
        ("/..a/.b", "/..a/.b"),
        ("/100%25", "/100%25"),
        ("/100%25/%2b", "/100%25/%2B"),
        ("/a%3fb?c", "/a%3Fb?c"),
    ] {
        assert_eq!(canonical(sent).as_deref(), Ok(expected), "{sent}");
        assert_eq!(parse(sent).unwrap().is_rewritten(), sent != expected, "{sent}");
    }
}

#[test]
fn refuses_known_path_confusions() {
    use PathError::*;
    for (server, sent, expected) in [
        ("Envoy, Apache: escaped separator", "/public%2f..%2fadmin", EncodedSlash),
        ("Envoy: escaped separator in upper case", "/public/..%2Fadmin", EncodedSlash),
        ("IIS, .NET: backslash", "/public\\..\\admin", Backslash),
        ("IIS, .NET: escaped backslash", "/public/..%5cadmin", Backslash),
        ("Tomcat: dot segment with a parameter", "/public/..;/admin", Parameters),
        ("Tomcat: dot segment with a named parameter", "/public/..;x=y/admin", Parameters),
        ("Spring: parameter hides a suffix", "/admin;.css", Parameters),
        ("Spring: escaped parameter", "/admin%3b.css", Parameters),
        ("Jetty: escaped dots with a parameter", "/%2e%2e;/WEB-INF/web.xml", Parameters),
        ("Jetty: ambiguous dots", "/%2e%2e/WEB-INF/web.xml", AboveRoot),
        ("nginx alias: above the root", "/../etc/passwd", AboveRoot),
        ("nginx: more dots than segments", "/a/../../etc/passwd", AboveRoot),
        ("nginx behind Envoy: encoded twice", "/%252e%252e/admin", DoubleEncoding),
        ("encoded twice, slash", "/public/..%252fadmin", DoubleEncoding),
        ("encoded twice in pieces", "/%25%32%66admin", DoubleEncoding),
        ("encoded three times", "/%25252e", DoubleEncoding),
        ("Tomcat: overlong dot", "/%c0%ae%c0%ae/admin", InvalidUtf8),
        ("IIS: overlong slash", "/..%c0%afadmin", InvalidUtf8),
        ("overlong slash of three bytes", "/%e0%80%af", InvalidUtf8),
        ("surrogate", "/%ed%a0%80", InvalidUtf8),
        ("truncated character", "/%c3", InvalidUtf8),
        ("character cut by a slash", "/%c3/%a9", InvalidUtf8),
        ("PHP, C: NUL cuts the name", "/admin%00.css", Control),
        ("Node: line end splits a request", "/a%0d%0aHost:%20x", Control),
        ("Flask, Werkzeug: tab and DEL", "/admin%09", Control),
        ("next line, C1", "/admin%c2%85", Control),
        ("DEL", "/admin%7f", Control),
        ("nginx: fragment hides the rest", "/public#/../admin", Fragment),
        ("fragment in the query", "/public?x#y", Fragment),
        ("IIS: %u escapes", "/%u002e%u002e/", MalformedEscape),
        ("lenient decoders", "/%2", MalformedEscape),
        ("lenient decoders", "/%", MalformedEscape),
        ("lenient decoders", "/%zz", MalformedEscape),
        ("lenient decoders", "/%%32e", MalformedEscape),
        ("lenient decoders: sign", "/%+2e", MalformedEscape),
        ("request line", "/a b", Space),
        ("request line, query", "/a?b c", Space),
        ("request line, query", "/a?b\r\nc", Control),
        ("absolute form", "http://other/admin", AbsoluteForm),
        ("relative", "admin", Unrooted),
        ("relative dots", "../admin", Unrooted),
        ("query alone", "?a", Unrooted),
        ("empty", "", Empty),
        ("asterisk", "*", AsteriskForm),
    ] {
        assert_eq!(canonical(sent), Err(expected), "{server}: {sent}");
    }
    let raw = |target: &'static [u8]| CanonicalPath::parse(b"GET", target, PathOptions::default());
    assert_eq!(raw(b"/\xff"), Err(InvalidUtf8));
    assert_eq!(raw(b"/a?\xff"), Err(InvalidUtf8));
    assert_eq!(raw(b"/a\x00"), Err(Control));
}

#[test]
fn asterisk_is_for_options_alone() {
    let path = CanonicalPath::parse(b"OPTIONS", b"*", PathOptions::default()).unwrap();
    assert!(path.is_asterisk());
    assert_eq!((path.target(), path.segments().count()), ("*", 0));
    assert!(!parse("/*").unwrap().is_asterisk());
}

#[test]
fn rules_see_decoded_segments_without_trailing_slash() {
    assert_eq!(values("/"), [""; 0]);
    assert_eq!(values("/a/b"), ["a", "b"]);
    assert_eq!(values("/a/b/?q"), ["a", "b"]);
    assert_eq!(values("/users%3Adelete/caf%c3%a9/100%25"), ["users:delete", "café", "100%"]);
    let path = parse("/a/b%2C/").unwrap();
    assert!(path.segments().all(|segment| path.path().get(segment.range.clone()) == Some(segment.raw)));
    assert_eq!((path.path(), path.query()), ("/a/b%2C/", None));
    assert_eq!(parse("/a?").unwrap().query(), Some(""));
}

#[test]
fn allowed_parameters_go_upstream_but_hide_nothing_from_rules() {
    let options = PathOptions { allow_parameters: true };
    let parse = |target: &'static str| CanonicalPath::parse(b"GET", target.as_bytes(), options);
    let path = parse("/admin;v=1/users;a;b").unwrap();
    assert_eq!(path.target(), "/admin;v=1/users;a;b");
    assert_eq!(path.segments().map(|segment| segment.value()).collect::<Vec<_>>(), ["admin", "users"]);
    for target in ["/a/..;/b", "/a/.;x/b", "/;x/b", "/%2e%2e;/b", "/a%3bx", "/a/;"] {
        assert_eq!(parse(target), Err(PathError::Parameters), "{target}");
    }
}

/// A piece of a path as sent, and what it means; no piece joins with another to mean a third thing.
fn piece() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("a", "a"),
        ("B", "B"),
        ("%61", "a"),
        ("%42", "B"),
        (".", "."),
        ("%2e", "."),
        ("%2E", "."),
        ("/", "/"),
        ("/", "/"),
        ("/", "/"),
        ("%c3%A9", "é"),
        ("é", "é"),
        (",", ","),
        ("%2c", ","),
        ("|", "|"),
        ("%7C", "|"),
        ("%20", " "),
        ("%25", "%"),
    ])
}

/// The segments that a path means, by the book: split, drop empty ones, resolve dots.
fn oracle(meaning: &str) -> Option<Vec<String>> {
    let mut segments: Vec<String> = Vec::new();
    for segment in meaning.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            name => segments.push(name.to_owned()),
        }
    }
    Some(segments)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn means_what_the_oracle_reads(pieces in prop::collection::vec(piece(), 0..16)) {
        let sent: String = std::iter::once("/").chain(pieces.iter().map(|piece| piece.0)).collect();
        let meaning: String = std::iter::once("/").chain(pieces.iter().map(|piece| piece.1)).collect();
        let is_escape = |text: &[u8]| text[0] == b'%' && text[1].is_ascii_hexdigit() && text[2].is_ascii_hexdigit();
        match (oracle(&meaning), parse(&sent)) {
            (_, Err(PathError::DoubleEncoding)) => prop_assert!(meaning.as_bytes().windows(3).any(is_escape)),
            (None, parsed) => prop_assert_eq!(parsed, Err(PathError::AboveRoot)),
            (Some(expected), parsed) => {
                prop_assert!(parsed.is_ok(), "{} {:?}", sent, parsed);
                prop_assert_eq!(values(&sent), expected);
            }
        }
    }

    #[test]
    fn is_idempotent_and_the_fast_path_agrees_with_the_slow_one(
        sent in "/([a-cA-C0-3./%;?&#:|é\\\\ -]|%[2-7][0-9a-fA-F]|/\\.\\./|%2e|%25|%C3%A9){0,12}", allow in any::<bool>()
    ) {
        let options = PathOptions { allow_parameters: allow };
        let parsed = CanonicalPath::parse(b"GET", sent.as_bytes(), options);
        prop_assert_eq!(&parsed, &CanonicalPath::rewrite(sent.as_bytes(), options));
        if let Ok(once) = parsed {
            let twice = CanonicalPath::parse(b"GET", once.target().as_bytes(), options).unwrap();
            prop_assert!(!twice.is_rewritten());
            prop_assert_eq!(twice.target(), once.target());
            prop_assert!(once.path().is_ascii() && once.path().starts_with('/') && !once.path().contains("//"));
            prop_assert!(once.segments().all(|segment| !matches!(&*segment.value(), "" | "." | "..")));
        }
    }

    #[test]
    fn any_bytes_are_canonicalised_or_refused(sent in prop::collection::vec(any::<u8>(), 0..24)) {
        let target = [b"/", sent.as_slice()].concat();
        if let Ok(path) = CanonicalPath::parse(b"GET", &target, PathOptions::default()) {
            prop_assert!(path.target().len() <= 3 * target.len());
        }
    }
}
