//! Bodies that are not what they are called: many servers do not ask, so what they could read is looked at all the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::gate::{Gate, Outcome, post};

const SCRIPT: &str = "<script>alert(1)</script>";
const SQL: &str = "1' UNION SELECT login, secret FROM staff-- ";
const FORM: &str = "application/x-www-form-urlencoded";

fn gate() -> Gate {
    Gate::new("routes: [{ match: { path: '/a/**' }, authenticate: none }]")
}

/// Status and reason of a refusal.
fn refusal(outcome: &Outcome) -> Option<(u16, String)> {
    let reason = || outcome.events[0]["details"]["reason"].as_str().unwrap().to_owned();
    outcome.status.map(|status| (status, reason()))
}

#[track_caller]
fn refused(gate: &mut Gate, content_type: &str, body: impl Into<Vec<u8>>, expected: (u16, &str)) {
    let body = body.into();
    let shown = body[..body.len().min(80)].escape_ascii().to_string();
    let outcome = gate.send(post("/a").body(content_type, body));
    assert_eq!(refusal(&outcome), Some((expected.0, expected.1.to_owned())), "{content_type}: {shown}");
}

#[track_caller]
fn passes(gate: &mut Gate, content_type: &str, body: impl Into<Vec<u8>>) {
    let body = body.into();
    let shown = body[..body.len().min(80)].escape_ascii().to_string();
    let outcome = gate.send(post("/a").body(content_type, body));
    assert_eq!((refusal(&outcome), outcome.events.len()), (None, 0), "{content_type}: {shown}");
}

const INJECTION: (u16, &str) = (403, "injection");

/// The text in every encoding of Unicode that servers tell by its first bytes.
fn in_unicode(text: &str) -> Vec<Vec<u8>> {
    let sixteen = |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
    let thirty_two =
        |text: &str, order: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(order).collect::<Vec<_>>();
    let marked = format!("\u{feff}{text}");
    [text, &marked]
        .into_iter()
        .flat_map(|text| {
            [
                sixteen(text, u16::to_be_bytes),
                sixteen(text, u16::to_le_bytes),
                thirty_two(text, u32::to_be_bytes),
                thirty_two(text, u32::to_le_bytes),
            ]
        })
        .collect()
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

const GRPC: [&str; 4] =
    ["application/grpc", "application/grpc+json", "application/grpc-web+proto", "application/connect+proto"];

#[test]
fn what_is_called_grpc_begins_like_its_messages() {
    let mut gate = gate();
    let json = format!("  {{\"a\":\"{SCRIPT}\"}}");
    for content_type in GRPC {
        for document in in_unicode(&json).into_iter().chain(in_unicode(json.trim_ascii())) {
            refused(&mut gate, content_type, document, (400, "grpc"));
        }
        for body in [
            &b"\0"[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x01",
            b"\0\0\0\0\x02\0\x01",
            b"\x02\0\0\0\x01a",
            b"\x01{\"a\":1}",
            b"\0\x04\0\0\x01a",
        ] {
            refused(&mut gate, content_type, body, (400, "grpc"));
        }
        for body in
            [&b""[..], b"\0\0\0\0\0", b"\x01\0\0\0\x02\x1f\x8b", b"\0\x04\0\0\0\x0a", b"\0\0\0\0\0\0\0\0\0\x01a"]
        {
            passes(&mut gate, content_type, body);
        }
    }
    // No name of gRPC.
    refused(&mut gate, "application/grpc-like", json.as_bytes(), INJECTION);
}

#[test]
fn a_charset_that_hides_the_bytes_is_refused_whatever_is_written_in_it() {
    let mut gate = gate();
    for charset in ["ibm037", "utf-16", "utf-7", "unknown"] {
        for media in
            ["text/plain", "text/csv", "application/octet-stream", "application/graphql", "text/event-stream", FORM]
        {
            refused(&mut gate, &format!("{media}; charset={charset}"), "hidden", (400, "charset"));
        }
        for part in ["text/plain", "application/json"] {
            let head = "--b\r\nContent-Disposition: form-data; name=f";
            let form = format!("{head}\r\nContent-Type: {part}; charset={charset}\r\n\r\nhidden\r\n--b--\r\n");
            refused(&mut gate, "multipart/form-data; boundary=b", form, (400, "charset"));
        }
    }
    for twice in
        ["text/plain; charset=utf-8; charset=ibm037", "text/plain; charset*=utf-8''ibm037", "text; Charset=a; b"]
    {
        let form =
            format!("--b\r\nContent-Disposition: form-data; name=f\r\nContent-Type: {twice}\r\n\r\nx\r\n--b--\r\n");
        refused(&mut gate, "multipart/form-data; boundary=b", form, (400, "charset"));
    }
}

/// Whoever reads such a sequence passes over what is no JSON in it (RFC 7464 section 2.1).
#[test]
fn a_sequence_of_json_texts_is_not_hidden_by_what_its_readers_pass_over() {
    let mut gate = gate();
    let filler = b"\x1e\n\x1e\xff\n".repeat(40);
    let sequence = |text: &str| [b"\x1e1\n", &*filler, b"\x1e", text.as_bytes(), b"\n"].concat();
    for kind in ["application/json-seq", "application/geo+json-seq"] {
        refused(&mut gate, kind, sequence(r#"{"q":"1' UNION SELECT secret FROM staff--"}"#), (403, "injection"));
        passes(&mut gate, kind, sequence(r#"{"q":"it's fine"}"#));
    }
}

#[test]
fn every_header_of_a_part_is_looked_at() {
    let mut gate = gate();
    let form = |disposition: &str, headers: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=f{disposition}\r\n{headers}\r\nx\r\n--b--\r\n")
    };
    let content_type = "multipart/form-data; boundary=b";
    let attack = "1' UNION SELECT secret FROM staff--";
    for hidden in [
        form("", &format!("X-Note: {attack}\r\n")),
        form("", &format!("Content-ID: 1\r\nContent-Description: {attack}\r\n")),
        form(&format!("; title=\"{attack}\""), ""),
    ] {
        refused(&mut gate, content_type, hidden, (403, "injection"));
    }
    for harmless in [
        form("", ""),
        form("; filename=a.pdf; size=17", "Content-Length: 17\r\nContent-Transfer-Encoding: binary\r\n"),
        form("", "Content-ID: <part1.06090408.01060107@example.com>\r\nX-Note: it's fine\r\n"),
    ] {
        passes(&mut gate, content_type, harmless);
    }
}

#[test]
fn a_field_that_names_the_charset_of_its_form_is_taken_at_its_word() {
    let mut gate = gate();
    let field =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n");
    let forms = |charset: &str| {
        let parts = [field("q", "x"), field("_charset_", charset), "--b--\r\n".to_owned()].concat();
        [(FORM, format!("q=x&_charset_={charset}")), ("multipart/form-data; boundary=b", parts)]
    };
    for hiding in ["ibm037", "UTF-16", "utf-7", "unknown"] {
        for (content_type, form) in forms(hiding) {
            refused(&mut gate, content_type, form, (400, "charset"));
        }
    }
    for harmless in ["", "UTF-8", "windows-1251", "Shift_JIS"] {
        for (content_type, form) in forms(harmless) {
            passes(&mut gate, content_type, form);
        }
    }
}

#[test]
fn a_charset_in_which_ascii_stands_for_itself_hides_nothing() {
    let mut gate = gate();
    for charset in [
        "utf-8",
        "US-ASCII",
        "iso-8859-1",
        "ISO-8859-15",
        "windows-1251",
        "cp1250",
        "koi8-r",
        "Shift_JIS",
        "gbk",
        "binary",
    ] {
        for media in ["text/plain", "text/csv", "application/octet-stream"] {
            let content_type = format!("{media}; charset={charset}");
            passes(&mut gate, &content_type, &b"caf\xe9, or two"[..]);
            refused(&mut gate, &content_type, [b"caf\xe9,", SCRIPT.as_bytes()].concat(), INJECTION);
        }
    }
    // Where a byte of a character may be a backslash, quotes of JSON are others than they seem.
    refused(&mut gate, "application/json; charset=shift_jis", "{}", (400, "charset"));
    for empty in ["", "\r\nContent-Type:", "\r\nContent-Type: csv", "\r\nContent-Type: text/plain; charset=koi8-r"] {
        let form = format!("--b\r\nContent-Disposition: form-data; name=f{empty}\r\n\r\nx\r\n--b--\r\n");
        passes(&mut gate, "multipart/form-data; boundary=b", form);
    }
}

fn parts(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(format!("--b\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

#[test]
fn every_multipart_body_is_read_by_its_parts() {
    let mut gate = gate();
    let picture = ("Content-Type: image/png\r\nContent-Transfer-Encoding: binary", PICTURE);
    let escaped = br#"{"q": "\u003cscript\u003ealert(1)"}"#;
    let apart = b"<a>&lt;scr<![CDATA[ipt>alert(1)]]></a>";
    let inner = [b"--c\r\nContent-Type: text/csv\r\n\r\n", SCRIPT.as_bytes(), b"\r\n--c--\r\n"].concat();
    let nested = ("Content-Type: multipart/mixed; boundary=c", &inner[..]);
    let encoded = STANDARD.encode(SCRIPT);
    let wide = in_unicode(SCRIPT);
    let folded = "Content-Type: application/json;\r\n charset=utf-8\r\nContent-ID: <a@example.com>";
    for kind in ["mixed", "related", "alternative", "x-own"] {
        let content_type = format!("multipart/{kind}; type=\"text/xml\"; boundary=b");
        for hidden in [
            ("Content-Disposition: form-data; name=\"a\"", SQL.as_bytes()),
            ("Content-Type: application/json", escaped),
            (folded, escaped),
            ("Content-Type: application/xop+xml", apart),
            ("Content-Type: application/octet-stream", &wide[0]),
            ("Content-Type: text/plain\r\nContent-Transfer-Encoding: BASE64", encoded.as_bytes()),
            ("Content-Location: ../../../../etc/passwd", b""),
            nested,
        ] {
            refused(&mut gate, &content_type, parts(&[picture, hidden]), INJECTION);
        }
        passes(&mut gate, &content_type, parts(&[(folded, b"{\"a\":\"fine\"}"), picture]));
        let blank = [b"\r\n", &parts(&[(folded, b"{}"), picture])[..], b"\r\n"].concat();
        passes(&mut gate, &content_type, blank);
        for (part, expected) in [
            ("Content-Type: text/plain; charset=ibm037", (400, "charset")),
            ("Content-Type: text/plain;\r\n\tcharset=ibm037", (400, "charset")),
            ("Content-Type: a/b\r\nContent-Type: c/d", (400, "multipart")),
            ("Content-Transfer-Encoding: quoted-printable", (400, "multipart")),
            ("Content-Transfer-Encoding: base64", (400, "multipart")),
        ] {
            refused(&mut gate, &content_type, parts(&[picture, (part, b"***")]), expected);
        }
        refused(&mut gate, &content_type, [SCRIPT.as_bytes(), b"\xff"].concat(), (400, "multipart"));
    }
    for deep in 1..8_usize {
        let mut body = b"fine".to_vec();
        for level in (0..deep).rev() {
            let head = format!("--{level}\r\nContent-Type: multipart/mixed; boundary={}\r\n\r\n", level + 1);
            let head = if level + 1 == deep { format!("--{level}\r\n\r\n") } else { head };
            body = [head.as_bytes(), &body, format!("\r\n--{level}--").as_bytes()].concat();
        }
        match deep {
            1..=3 => passes(&mut gate, "multipart/mixed; boundary=0", body),
            _ => refused(&mut gate, "multipart/mixed; boundary=0", body, (413, "multipart_limits")),
        }
    }
    refused(&mut gate, "multipart/mixed", "x", (400, "content_type"));
}

#[test]
fn what_a_part_of_a_form_says_it_is_is_read_as_well() {
    let mut gate = gate();
    let form = |content_type: &str| {
        let head = format!("Content-Disposition: form-data; name=f; filename=a.png\r\nContent-Type: {content_type}");
        parts(&[(&head, PICTURE)])
    };
    for attack in [SQL, SCRIPT, "image/png' OR 'a'='a"] {
        refused(&mut gate, "multipart/form-data; boundary=b", form(attack), INJECTION);
    }
    for honest in [
        "image/svg+xml",
        "text/plain; charset=utf-8",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "audio/ogg; codecs=\"opus, vorbis\"",
        "image/png; name=\"a b.png\"",
        "*/*",
    ] {
        passes(&mut gate, "multipart/form-data; boundary=b", form(honest));
    }
}

#[test]
fn a_document_is_read_in_whatever_unicode_it_is_written() {
    for text in [
        format!("{{\"q\": \"{SQL}\"}}"),
        "  [\"\\u003cscript\\u003ealert(1)\"]".to_owned(),
        format!("<?xml version='1.0'?><a>{SCRIPT}</a>"),
        format!("q={SCRIPT}"),
        format!("say {SCRIPT}"),
    ] {
        for written in in_unicode(&text) {
            // One that has seen few: of many events, some are dropped.
            let mut gate = gate();
            for content_type in ["application/octet-stream", "image/png", "text/plain", "", FORM] {
                refused(&mut gate, content_type, &written[..], INJECTION);
            }
        }
    }
    let mut gate = gate();
    for benign in in_unicode("{\"q\": \"select a seat or two\", \"name\": \"Zo\u{eb} O'Hara \u{1f600}\"}") {
        for content_type in ["application/octet-stream", "image/png", "text/plain", "", FORM] {
            passes(&mut gate, content_type, &benign[..]);
        }
    }
    let apart = "<?xml version='1.0'?><a>&lt;scr<![CDATA[ipt>alert(1)]]></a>";
    refused(&mut gate, "application/octet-stream", apart, INJECTION);
    refused(&mut gate, "text/plain", apart, INJECTION);
    // `<?xml` in EBCDIC, which parsers know by these bytes.
    refused(&mut gate, "application/octet-stream", &b"\x4c\x6f\xa7\x94\x93\x40"[..], (400, "xml_encoding"));
}

#[test]
fn a_byte_that_is_no_utf_8_makes_no_text_binary() {
    let mut gate = gate();
    for content_type in ["text/csv", "application/csv", "application/octet-stream", "image/png", "application/yaml", ""]
    {
        for attack in [SCRIPT, SQL] {
            refused(&mut gate, content_type, [b"caf\xe9,", attack.as_bytes()].concat(), INJECTION);
            refused(&mut gate, content_type, [attack.as_bytes(), b"\0\xff"].concat(), INJECTION);
            let form = [b"pad=\0\0\0\0\xff\0\0\0\0&q=", attack.as_bytes()].concat();
            refused(&mut gate, content_type, form, INJECTION);
            let page = [b"  <!-- \0\0\0\0\0\0\xff -->", attack.as_bytes()].concat();
            refused(&mut gate, content_type, page, INJECTION);
        }
        passes(&mut gate, content_type, &b"caf\xe9 & cr\xe8me, 2 or 3; fine"[..]);
    }
}

/// Files are not text: no server pastes them into a query, and what stands in them by chance alarms nobody.
#[test]
fn what_is_binary_passes_unread() {
    let mut gate = gate();
    let zipped = b"PK\x03\x04\x14\0\0\0\x08\0../../../../etc/passwd\xed\xc1\x01\x0d\0\0";
    let message = b"\x0a\x10<script>alert(1)\x10\x96\x01\x1a\x02\x08\x01\x22\x01\xff";
    for content_type in ["application/octet-stream", "image/png", "application/zip", "application/x-protobuf"] {
        for body in [&[PICTURE, SCRIPT.as_bytes()].concat(), &zipped[..], message] {
            passes(&mut gate, content_type, body);
        }
    }
    refused(&mut gate, "text/plain", [PICTURE, SCRIPT.as_bytes()].concat(), INJECTION);
}

#[test]
fn a_text_that_is_called_a_form_is_read_whole() {
    for text in [
        "<svg/onload=alert(1)>",
        "hello <svg/onload=alert(1)>",
        "see <a href=javascript:alert(1)>this</a>",
        "x' OR 'a'='a",
        "caf\u{e9} && cat /etc/passwd",
        "a=1&hello <svg/onload=alert(1)>&b=2",
    ] {
        let mut gate = gate();
        refused(&mut gate, FORM, text, INJECTION);
        for written in in_unicode(text) {
            refused(&mut gate, FORM, written, INJECTION);
        }
    }
}

#[test]
fn what_sloppy_clients_send_as_a_form_is_no_attack() {
    let mut gate = gate();
    for form in [
        &b"name=Zo\xc3\xab O'Hara&id=5&cat=rock&sort=desc"[..],
        b"name=Zo\xeb&id=5&whoami=me&ls=1",
        b"comment=fish & chips, 2 < 3&id=7",
        b"a={\"b\": 1}&c=[1, 2]&d=\"x\"",
        b"q=a = b&return=/x?a=1&ping=1",
        b"filter[name]=Ann Lee&filter[id]=7",
        b"note=I'd say so; ok&echo=on&cat=2",
        b"=&&a&b= &c",
        b"text=Dear all\r\nsee you at 7 -- or later&sleep=10",
        b"password=' OR 1=1 -- x&login=ann",
    ] {
        passes(&mut gate, FORM, form);
    }
}

#[test]
fn framed_json_is_read_in_its_frames() {
    let mut gate = gate();
    let stream = |documents: &[&str]| documents.iter().flat_map(|json| framed(0, json.as_bytes())).collect::<Vec<_>>();
    let connect = "application/connect+json";
    passes(&mut gate, connect, stream(&[r#"{"a":1}"#, "", r#"{"b":"fine"}"#]));
    refused(&mut gate, connect, stream(&[r#"{"a":1}"#, r#"{"q":"\u003cscript\u003ealert(1)"}"#]), INJECTION);
    refused(&mut gate, connect, stream(&[r#"{"a":1}"#, "{"]), (400, "json"));
    refused(&mut gate, connect, framed(1, b"\x1f\x8b"), (415, "body_encoded"));
    for broken in [&b"{\"a\":1}"[..], b"\0\0\0\0\x09{}", b"\0\0\0", b"\x02\0\0\0\x02{}"] {
        refused(&mut gate, connect, broken, (400, "grpc"));
    }
}

#[test]
fn grpc_in_base64_is_nothing_else() {
    let mut gate = gate();
    for content_type in ["application/grpc-web-text", "application/grpc-web-text+proto"] {
        for message in [&b"\x0a\x05hello"[..], b"", b"\x0a"] {
            passes(&mut gate, content_type, STANDARD.encode(framed(0, message)));
        }
        passes(&mut gate, content_type, "");
        for body in [
            STANDARD.encode("{\"a\":\"fine\"}"),
            STANDARD.encode(framed(0, b"\0x")),
            STANDARD.encode(framed(2, b"\x0a")),
            format!("{}{SCRIPT}", STANDARD.encode(framed(0, b"\x0aa"))),
            "AAAA".to_owned(),
            "{}".to_owned(),
        ] {
            refused(&mut gate, content_type, body, (400, "grpc"));
        }
    }
}
