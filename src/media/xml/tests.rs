//! Tables of constructs and tricks, and the promise that nothing is skipped.

use proptest::prelude::*;

use super::*;

fn read_with(document: &[u8], limits: &Limits) -> Result<Vec<String>, Error> {
    let mut nodes = Vec::new();
    let _ = scan(document, limits, |node| {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let flag = |irregular| if irregular { "!" } else { "" };
        nodes.push(match node {
            Node::Element(name) => format!("element {}", show(name)),
            Node::Attribute { name, value, irregular } => format!("@{}={}{}", show(name), show(value), flag(irregular)),
            Node::Text { element, value, irregular } => format!("{}:{}{}", show(element), show(value), flag(irregular)),
            Node::Comment(value) => format!("comment {}", show(value)),
            Node::Instruction(value) => format!("instruction {}", show(value)),
            Node::Declaration(value) => format!("declaration {}", show(value)),
            Node::Raw(value) => format!("raw {}", show(value)),
        });
        ControlFlow::<()>::Continue(())
    })?;
    Ok(nodes)
}

fn read(document: &str) -> Vec<String> {
    read_with(document.as_bytes(), &Limits::default()).unwrap()
}

#[test]
fn yields_what_a_document_carries() {
    let document = "\u{FEFF}<?xml version='1.0' encoding=\"utf-8\"?>\n<a:b x = '1 > 0' y=\"&lt;&#x41;\">\n <c/>t&amp;<d >\
        in</d >\n<!-- note --></a:b>";
    assert_eq!(
        read(document),
        [
            "instruction xml version='1.0' encoding=\"utf-8\"",
            "element a:b",
            "@x=1 > 0",
            "@y=<A",
            "element c",
            "a:b:t&",
            "element d",
            "d:in",
            "comment  note ",
        ]
    );
}

#[test]
fn joins_text_as_an_application_gets_it() {
    assert_eq!(
        read("<q>1 UNI<![CDATA[ON <SEL]]>E<!-- x --><?p?>CT</q>"),
        ["element q", "comment  x ", "instruction p", "q:1 UNION <SELECT"]
    );
    assert_eq!(read("<q><![CDATA[&lt;]]>&lt;</q>"), ["element q", "q:&lt;<"]);
}

#[test]
fn joins_the_text_around_elements_as_some_applications_get_it() {
    for (document, text) in [
        ("<q>1 UN<b/>ION</q>", &["q:1 UN", "q:ION", "q:1 UNION"][..]),
        ("<q>a<b>c</b> <b/>d&lt;<b><c/></b></q>", &["q:a", "b:c", "q:d<", "q:a d<"]),
        ("<q>a<b>c<d/>e</b>f</q>", &["q:a", "b:c", "b:e", "b:ce", "q:f", "q:af"]),
        ("<q>a&b;<b/>c", &["q:a&b;!", "q:c", "q:a&b;c!"]),
        ("<q>a<!B>c</q>", &["q:a", "q:c", "q:ac"]),
        ("<q><b>a</b>c</q>", &["b:a", "q:c"]),
        ("<q> <b>a</b> <b>c</b> </q>", &["b:a", "b:c"]),
    ] {
        let mut read = read(document);
        read.retain(|node| node.contains(':'));
        assert_eq!(read, text, "{document}");
    }
}

#[test]
fn tells_of_every_declaration() {
    assert_eq!(
        read("<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///a>b\"><!ENTITY % p '<!ENTITY y \"z\">'> %p;]><r>&x;</r>"),
        [
            "declaration DOCTYPE r ",
            "declaration ENTITY x SYSTEM \"file:///a>b\"",
            "declaration ENTITY % p '<!ENTITY y \"z\">'",
            ": %p;]>",
            "element r",
            "r:&x;!",
        ]
    );
    assert_eq!(read("<!doctype r SYSTEM 'x>y'><r/>"), ["declaration doctype r SYSTEM 'x>y'", "element r"]);
}

#[test]
fn yields_the_rest_raw_where_a_construct_never_ends() {
    for (document, last) in [
        ("<a><!-- b <c>d</c>", "raw <!-- b <c>d</c>"),
        ("<a><![CDATA[b</a>", "raw <![CDATA[b</a>"),
        ("<a><?b</a>", "raw <?b</a>"),
        ("<!DOCTYPE a", "raw <!DOCTYPE a"),
        ("<!ENTITY a \"b>", "raw <!ENTITY a \"b>"),
        ("<a></a", "raw </a"),
        ("<a b='c></a>", "@b=c></a>"),
        ("<a></b>", "raw b"),
        ("<a></a onload=x>", "raw a onload=x"),
        ("<a b", "@b="),
        ("<a b=c>", "@b=c"),
        ("<a \"b\">", "@=\""),
        ("<a / b>", "@b="),
        ("<a <b>c</b>", "b:c"),
        ("<a>1 < 2</a>", "a:1 < 2!"),
        ("<", ":<!"),
    ] {
        assert_eq!(read(document).last().map(String::as_str), Some(last), "{document}");
    }
}

#[test]
fn refuses_encodings_that_hide_what_is_read() {
    let refused = |document: &[u8], offset| {
        assert_eq!(
            read_with(document, &Limits::default()),
            Err(Error::Encoding { offset }),
            "{}",
            document.escape_ascii()
        );
    };
    refused(b"\xFF\xFE<\0a\0/\0>\0", 0);
    refused(b"<\0a\0/\0>\0", 1);
    refused(b"\x4C\x6F\xA7\x94", 0);
    refused(b" text", 1);
    refused(b"<a>\0</a>", 3);
    for name in ["utf-16", "UTF-7", "ibm037", "", "utf-8 "] {
        refused(format!("<?xml version=\"1.0\" encoding=\"{name}\"?><a/>").as_bytes(), 0);
        refused(format!("\n<?xml encoding = '{name}'?>").as_bytes(), 1);
    }
    refused(b"<?xml encoding=utf-8?>", 0);
    for fine in [&b"<?xml encoding='ISO-8859-1'?><a/>"[..], b"<?xml-stylesheet encoding='x'?><a/>", b"", b" "] {
        assert!(read_with(fine, &Limits::default()).is_ok());
    }
}

#[test]
fn holds_every_limit_exactly() {
    let limits = Limits { depth: 2, nodes: 4 };
    for (document, expected) in [
        ("<a><b><c/></b></a>", Ok(3)),
        ("<a><b><c></c></b></a>", Err(Error::TooDeep { offset: 6 })),
        ("<a><b></b><b></b></a>", Ok(3)),
        ("<a b='' c=''>d</a>", Ok(4)),
        ("<a b='' c=''>d</a><e/>", Err(Error::TooManyNodes { offset: 20 })),
    ] {
        assert_eq!(read_with(document.as_bytes(), &limits).map(|nodes| nodes.len()), expected, "{document}");
    }
}

#[test]
fn stops_where_the_visitor_breaks_off() {
    let mut seen = 0;
    let ended = scan(b"<a><b/><c/></a>", &Limits::default(), |node| {
        seen += 1;
        if node == Node::Element(b"b") { ControlFlow::Break("b") } else { ControlFlow::Continue(()) }
    });
    assert_eq!((ended, seen), (Ok(ControlFlow::Break("b")), 2));
}

proptest! {
    #[test]
    fn skips_no_letter_of_any_soup(pieces in proptest::collection::vec(prop::sample::select(vec![
        "<", ">", "/", "!", "?", "--", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<!DOCTYPE ", "[", "]", "\"", "'",
        "=", " ", "&", "&lt;", "<a", "</a>", "</"
    ]), 0..24)) {
        // A distinct number after every piece: each must come out somewhere, unless it closes the element it opened.
        let document: String = pieces.iter().enumerate().map(|(at, piece)| format!("{piece}{}", at + 100)).collect();
        let document = format!("<r>{document}");
        let limits = Limits { depth: 1000, nodes: 100_000 };
        let out = read_with(document.as_bytes(), &limits).unwrap().concat();
        for (at, _) in pieces.iter().enumerate() {
            let marker = (at + 100).to_string();
            prop_assert!(out.contains(&marker), "{marker} of {document} is not in {out}");
        }
    }

    #[test]
    fn never_panics(document in proptest::collection::vec(prop_oneof![
        3 => prop::sample::select(b"<>!?-[]&;/='\" a#x1".to_vec()), 1 => any::<u8>()
    ], 0..64)) {
        let _ = read_with(&document, &Limits::default());
    }
}
