//! Multipart bodies of honest clients and of others, and how they are taken apart.

use proptest::prelude::*;

use super::*;

fn read<'a>(body: &'a [u8], limits: &Limits) -> Result<Vec<Part<'a>>, Error> {
    parts(body, &Boundary::new(Cow::Borrowed(b"b")).unwrap(), limits).collect()
}

fn with_headers(headers: &str) -> Vec<u8> {
    format!("--b\r\n{headers}\r\n\r\nx\r\n--b--\r\n").into_bytes()
}

#[test]
fn reads_fields_and_files() {
    let body = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1 -bx\r--\r\n\r\n\
            --b\r\ncontent-type: text/plain\r\n\
            CONTENT-DISPOSITION: Form-Data; name=f; filename=\"x.txt\"; filename*=UTF-8''%e2%82%ac.txt\r\n\
            X-Other: 1\r\n\r\n\r\n--b--\r\n";
    let read = read(body, &Limits::default()).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!((&*read[0].name, read[0].body, &read[0].filename), (&b"a"[..], &b"1 -bx\r--\r\n"[..], &None));
    assert_eq!((&*read[1].name, read[1].body), (&b"f"[..], &b""[..]));
    assert_eq!(read[1].filename.as_deref(), Some(&b"x.txt"[..]));
    assert_eq!(read[1].filename_extended.as_deref(), Some("\u{20AC}.txt".as_bytes()));
    assert_eq!(read[1].content_type, Some(&b"text/plain"[..]));
    assert_eq!(read[1].others, [&b"1"[..]]);
}

#[test]
fn keeps_names_as_written_but_for_quotes() {
    for (written, name) in [
        ("name=\"a%22b\"", "a%22b"),
        ("name=\"a\\\"b\"", "a\"b"),
        ("name=\"a;b\"", "a;b"),
        ("name=\"\"", ""),
        ("name=\"\u{e9}\"", "\u{e9}"),
        ("NAME=plain;", "plain"),
    ] {
        let body = with_headers(&format!("Content-Disposition: form-data; {written}"));
        assert_eq!(&*read(&body, &Limits::default()).unwrap()[0].name, name.as_bytes());
    }
}

#[test]
fn refuses_headers_recipients_read_differently() {
    let fine = "Content-Disposition: form-data; name=a";
    for headers in [
        "X-Other: 1".to_owned(),
        "Content-Disposition: form-data".to_owned(),
        "Content-Disposition: attachment; name=a".to_owned(),
        format!("{fine}\r\n{fine}"),
        format!("{fine}\r\ncontent-disposition: form-data; name=b"),
        format!("{fine}; name=b"),
        format!("{fine}; filename=x; filename=y"),
        format!("{fine}; name*=utf-8''b"),
        format!("{fine}; x-name=b"),
        format!("{fine}; title=\"; NAME=b\""),
        "Content-Disposition: form-data; filename=\"name=b\"; name=a".to_owned(),
        format!("X-Content-Disposition: form-data; name=b\r\n{fine}"),
        format!("X-Other: content-disposition: form-data; name=b\r\n{fine}"),
        format!("{fine}; filename*0=x; filename*1=y"),
        format!("{fine}; filename*=utf-16''x"),
        format!("{fine}; filename*=utf-8''%ff"),
        format!("{fine}; filename*=utf-8''%4"),
        format!("{fine}; filename=\"x"),
        format!("{fine};\r\n filename=x"),
        format!("{fine}\r\nContent-Type: a/b\r\nContent-Type: c/d"),
        format!("{fine}\r\nno colon"),
        format!("{fine}\r\nX : 1"),
        format!("{fine}\r\n: 1"),
        format!("{fine}\nX: 1"),
        format!("{fine}\rX: 1"),
        format!("{fine}\0"),
    ] {
        let body = with_headers(&headers);
        assert_eq!(read(&body, &Limits::default()), Err(Error::Header { offset: 5 }), "{headers:?}");
    }
    let body = b"--b\r\n\r\nx\r\n--b--";
    assert_eq!(read(body, &Limits::default()), Err(Error::Header { offset: 5 }));
}

#[test]
fn refuses_transfer_encodings_that_change_bytes() {
    for (encoding, refused) in [("7bit", false), ("Binary", false), ("base64", true), ("quoted-printable", true)] {
        let headers = format!("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: {encoding}");
        let body = with_headers(&headers);
        assert_eq!(read(&body, &Limits::default()).err(), refused.then_some(Error::TransferEncoding { offset: 5 }));
    }
}

#[test]
fn refuses_delimiters_recipients_read_differently() {
    const PART: &str = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    let content = PART.len();
    for (body, expected) in [
        (String::new(), Some(Error::Delimiter { offset: 0 })),
        ("--b--".into(), None),
        ("--b--\r\n".into(), None),
        ("--b".into(), Some(Error::Delimiter { offset: 3 })),
        ("--b\r\n".into(), Some(Error::Unterminated)),
        ("--b\r\nContent-Disposition: form-data".into(), Some(Error::Unterminated)),
        (format!("\r\n{PART}x\r\n--b--"), Some(Error::Delimiter { offset: 0 })),
        (format!("preamble\r\n{PART}x\r\n--b--"), Some(Error::Delimiter { offset: 0 })),
        (format!("{PART}x\r\n--b--epilogue"), Some(Error::Delimiter { offset: content + 8 })),
        (format!("{PART}x\r\n--b--\r\n{PART}y\r\n--b--"), Some(Error::Delimiter { offset: content + 8 })),
        (format!("{PART}x"), Some(Error::Unterminated)),
        (format!("{PART}x\r\n--"), Some(Error::Unterminated)),
        (format!("{PART}x--b--"), Some(Error::LineEnd { offset: content + 1 })),
        (format!("{PART}x\r\n--b"), Some(Error::Delimiter { offset: content + 6 })),
        (format!("{PART}x\r\n--b \r\n"), Some(Error::Delimiter { offset: content + 6 })),
        (format!("{PART}x\r\n--bb\r\ny\r\n--b--"), Some(Error::Delimiter { offset: content + 6 })),
        (format!("{PART}x\r\n--b-\r\n--b--"), Some(Error::Delimiter { offset: content + 6 })),
        (format!("{PART}x\n--b--\r\n--b--"), Some(Error::LineEnd { offset: content + 2 })),
        (format!("{PART}x\r--b--\r\n--b--"), Some(Error::LineEnd { offset: content + 2 })),
        (format!("{PART}--b--"), Some(Error::LineEnd { offset: content })),
        (format!("{PART}x--b\r\n--b--"), Some(Error::LineEnd { offset: content + 1 })),
        (PART.replace("\r\n", "\n") + "x\n--b--\n", Some(Error::Delimiter { offset: 3 })),
    ] {
        assert_eq!(read(body.as_bytes(), &Limits::default()).err(), expected, "{body:?}");
    }
}

#[test]
fn holds_every_limit_exactly() {
    let headers = "Content-Disposition: form-data; name=abcd; filename=efgh";
    let part = format!("--b\r\n{headers}\r\n\r\nx\r\n");
    let body = format!("{part}{part}--b--");
    let exact = Limits { parts: 2, header_length: headers.len(), name_length: 4 };
    assert_eq!(read(body.as_bytes(), &exact).map(|parts| parts.len()), Ok(2));
    for (limits, error) in [
        (Limits { parts: 1, ..exact }, Error::TooManyParts),
        (Limits { header_length: headers.len() - 1, ..exact }, Error::HeaderTooLong { offset: 5 }),
        (Limits { name_length: 3, ..exact }, Error::NameTooLong { offset: 5 }),
    ] {
        assert_eq!(read(body.as_bytes(), &limits), Err(error));
    }
}

proptest! {
    #[test]
    fn reads_back_what_was_written(fields in proptest::collection::vec(("[a-z;%]{0,6}", "[a-b \r\n-]{0,12}"), 0..5)) {
        let mut body = String::new();
        for (name, value) in &fields {
            prop_assume!(!value.contains("--b"));
            body += &format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += "--b--\r\n";
        let read = read(body.as_bytes(), &Limits::default()).unwrap();
        let read: Vec<_> = read.iter().map(|p| (p.name.to_vec(), p.body.to_vec())).collect();
        let written: Vec<_> = fields.into_iter().map(|(n, v)| (n.into_bytes(), v.into_bytes())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn never_panics(pieces in proptest::collection::vec(prop::sample::select(vec![
        "--b", "\r\n", "\n", "--", "Content-Disposition: form-data; name=", "a", "\"", ";", "filename*=utf-8''", "%4"
    ]), 0..24)) {
        let _ = read(pieces.concat().as_bytes(), &Limits::default());
    }
}
