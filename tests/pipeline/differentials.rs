//! What parsers of others were seen to read in another way than RFCs say: nothing is hidden from the inspection by it.

use crate::gate::{Gate, Outcome, Request, get, post};

const SQL: &str = "1' UNION SELECT secret FROM staff--";
const ENCODED: &str = "1%27+UNION+SELECT+secret+FROM+staff--";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=b";

fn gate() -> Gate {
    Gate::new("routes: [{ match: { path: '/a/**' }, authenticate: none }]")
}

/// Reason of a refusal.
#[track_caller]
fn reason(request: Request) -> Option<String> {
    let Outcome { status, events, .. } = gate().send(request);
    status.map(|_| events[0]["details"]["reason"].as_str().unwrap().to_owned())
}

#[track_caller]
fn refused(request: Request, expected: &str) {
    assert_eq!(reason(request).as_deref(), Some(expected));
}

#[track_caller]
fn passes(request: Request) {
    assert_eq!(reason(request), None);
}

/// A part of a form, with `--b` before and the line end behind.
fn part(headers: &str, content: &str) -> String {
    format!("--b\r\n{headers}\r\n\r\n{content}\r\n")
}

fn form(headers: &str, content: &str) -> String {
    part(headers, content) + "--b--\r\n"
}

const PASSWORD: &str = "Content-Disposition: form-data; name=password";

/// PHP, CGI.pm, formidable and multiparty take the first boundary that they find in the header, Rack the last.
#[test]
fn a_boundary_that_only_some_find_is_refused() {
    let hidden = format!("\r\n--a\r\nContent-Disposition: form-data; name=q\r\n\r\n{SQL}\r\n--a--\r\n");
    for content_type in [
        "multipart/form-data; xboundary=a; boundary=b",
        "multipart/form-data; Boundary2=a; boundary=b",
        "multipart/form-data; x=\"; boundary=a; \"; boundary=b",
        "multipart/form-data; boundary=b; x=\"; boundary=a\"",
        "image/png; x=multipart; boundary=a",
        "application/x-multipart; boundary=a",
    ] {
        refused(post("/a").body(content_type, form(PASSWORD, &hidden)), "content_type");
    }
    let browser = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
    let sent = format!("--{browser}\r\n{PASSWORD}\r\n\r\nx\r\n--{browser}--\r\n");
    passes(post("/a").body(&format!("multipart/form-data; boundary={browser}"), sent));
}

/// formidable, Tornado and CGI.pm look for a part of the name only.
#[test]
fn a_form_by_another_name_is_no_binary() {
    let padded = [b"\xff\0\0\0 =&q=".as_slice(), ENCODED.as_bytes()].concat();
    for content_type in ["application/x-www-form-urlencoded2", "image/urlencoded"] {
        refused(post("/a").body(content_type, &padded), "injection");
    }
    passes(post("/a").body("image/png", &padded));
}

/// Django finds a boundary in the middle of a line; Werkzeug reads one without quotes up to the first byte that is of no token.
#[test]
fn a_form_holds_its_boundary_at_the_beginnings_of_its_parts_only() {
    let inner = form("Content-Disposition: form-data; name=q", SQL);
    for before in ["x", "x\u{b}", "x\r\nx"] {
        refused(post("/a").body(MULTIPART, form(PASSWORD, &format!("{before}{inner}"))), "multipart");
    }
    let token = |content: &str| format!("--b=c\r\n{PASSWORD}\r\n\r\n{content}\r\n--b=c--\r\n");
    for hidden in [inner, "x\r\n--b \r\ny".to_owned(), "x\n--b".to_owned()] {
        refused(post("/a").body("multipart/form-data; boundary=b=c", token(&hidden)), "multipart");
    }
    for harmless in ["x--b", "x\r\n--bar", "x\r\n--b: y", "--b-"] {
        passes(post("/a").body("multipart/form-data; boundary=b=c", token(harmless)));
    }
}

/// Werkzeug reads a boundary in quotes whole, as mail libraries write it.
#[test]
fn a_line_of_a_form_may_begin_as_a_boundary_in_quotes_does() {
    let content = "x\r\n------\r\ny";
    let body = format!("------=_Part_7\r\n{PASSWORD}\r\n\r\n{content}\r\n------=_Part_7--\r\n");
    passes(post("/a").body("multipart/form-data; boundary=\"----=_Part_7\"", &body));
    refused(post("/a").body("multipart/form-data; boundary=----=_Part_7", &body), "multipart");
}

/// formidable, multiparty, CGI.pm and Rack look for the name in the whole header, or in the whole head.
#[test]
fn a_part_has_one_name_for_everybody() {
    for headers in [
        "Content-Disposition: form-data; x-name=q; name=password",
        "Content-Disposition: form-data; title=\"x; name=q\"; name=password",
        "Content-Disposition: form-data; filename=\" name=q \"; name=password",
        "Content-Disposition: form-data; size=\" name=q \"; name=password",
        "Content-Disposition: form-data; name=password; filename=\"; NAME=q\"",
        "X-Content-Disposition: form-data; name=q\r\nContent-Disposition: form-data; name=password",
        "X: Content-Disposition: form-data; name=q\r\nContent-Disposition: form-data; name=password",
        "Content-Type: text/plain; x=\"Content-Disposition: a; name=q\"\r\nContent-Disposition: form-data; name=password",
    ] {
        refused(post("/a").body(MULTIPART, form(headers, SQL)), "multipart");
    }
    for headers in [
        "Content-Disposition: form-data; name=f; filename=\"a?name=b.pdf\"",
        "Content-Disposition: form-data; name=\"name=b\"; filename=\"a;b.pdf\"",
        "Content-Disposition: form-data; name=f; filename=\"a.pdf\"; filename*=UTF-8''a.pdf; size=7",
    ] {
        passes(post("/a").body(MULTIPART, form(headers, "x")));
    }
}

#[test]
fn a_file_is_no_password() {
    for headers in [
        format!("{PASSWORD}; filename=\"{SQL}\""),
        format!("{PASSWORD}\r\nContent-Description: {SQL}"),
        format!("{PASSWORD}; title=\"{SQL}\""),
    ] {
        refused(post("/a").body(MULTIPART, form(&headers, "x")), "injection");
    }
    refused(post("/a").body(MULTIPART, form(&format!("{PASSWORD}; filename=x"), SQL)), "injection");
    passes(post("/a").body(MULTIPART, form(PASSWORD, SQL)));
}

/// CGI.pm, and for a query Rack and WebOb.
#[test]
fn a_semicolon_that_begins_a_pair_for_some_ends_what_is_left_out() {
    let divided = format!("password=x;q={ENCODED}");
    refused(get(&format!("/a?{divided}")), "injection");
    refused(post("/a").body(FORM, &divided), "injection");
    let encoded = "password=x%3B1'--";
    passes(get(&format!("/a?{encoded}")));
    passes(post("/a").body(FORM, encoded));
}

/// Python's http.cookies at white space, CGI.pm at a comma, WebOb at quotes and brackets as well.
#[test]
fn what_begins_a_cookie_for_some_ends_what_is_left_out() {
    for between in [" ", "\t", ", ", ",", " Path=/ ", "[x]", "\u{b}", "& "] {
        refused(get("/a").header("cookie", format!("password=x{between}q=1'--")), "injection");
    }
    for whole in [format!("\"x\" q={SQL}"), format!("\"x, q={SQL}\""), format!("'x q={SQL}'"), format!("\u{85}q={SQL}")]
    {
        refused(get("/a").header("cookie", format!("password={whole}")), "injection");
    }
    for one in ["1'--", "a=1'--", "\"1'--\""] {
        passes(get("/a").header("cookie", format!("password={one}")));
    }
}

/// Bottle takes every body for a form, Rack, WebOb and CGI.pm one without a type.
#[test]
fn a_password_in_which_others_find_a_field_is_looked_at() {
    let document = format!(r#"{{"password":"&q={ENCODED}&"}}"#);
    for content_type in ["", "application/json"] {
        refused(post("/a").body(content_type, &document), "injection");
        passes(post("/a").body(content_type, r#"{"password":"a&b'--"}"#));
    }
}
