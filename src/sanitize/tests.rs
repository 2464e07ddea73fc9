use super::*;

use html5ever::tendril::TendrilSink;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;

const DEFAULT: [&str; 7] = ["p", "br", "strong", "em", "ul", "ol", "li"];

fn sanitizer(tags: &[&str]) -> Sanitizer {
    Sanitizer::new(&tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>()).unwrap()
}

fn cleaned(html: &str) -> String {
    sanitizer(&DEFAULT).clean(html)
}

/// What a browser makes of `html`: its elements, and its text.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    elements: Vec<String>,
    text: String,
}

/// Reads `html` by the standard's own algorithm, as the content of a document's body or as a fragment in `context`.
fn seen(html: &str, context: Option<&str>, scripting: bool) -> Seen {
    let mut options = html5ever::ParseOpts::default();
    options.tree_builder.scripting_enabled = scripting;
    let dom: RcDom = match context {
        None => html5ever::parse_document(RcDom::default(), options).one(format!("<!doctype html><body>{html}")),
        Some(context) => {
            let name = html5ever::QualName::new(None, html5ever::ns!(html), html5ever::LocalName::from(context));
            html5ever::parse_fragment(RcDom::default(), options, name, Vec::new(), false).one(html)
        }
    };
    let mut seen = Seen::default();
    let mut next: Vec<Handle> = vec![dom.document.clone()];
    while let Some(node) = next.pop() {
        match &node.data {
            NodeData::Element { name, attrs, .. } => {
                assert!(attrs.borrow().is_empty(), "{html:?} has attributes");
                assert_eq!(name.ns, html5ever::ns!(html), "{html:?} has foreign content");
                if !matches!(&*name.local, "html" | "head" | "body") {
                    seen.elements.push(name.local.to_string());
                }
            }
            NodeData::Text { contents } => seen.text.push_str(&contents.borrow()),
            NodeData::Document | NodeData::Doctype { .. } => {}
            other => panic!("{html:?} has {other:?}"),
        }
        next.extend(node.children.borrow().iter().rev().cloned());
    }
    seen
}

/// Nothing but allowed elements, wherever and however it is read, and what the tags of the text say.
fn assert_harmless(input: &str, allowed: &[&str]) {
    let output = sanitizer(allowed).clean(input);
    assert_eq!(sanitizer(allowed).clean(&output), output, "of {input:?}");
    assert!(output.len() <= 5 * input.len() + 16 * DEEPEST, "of {input:?}");
    for context in [None, Some("div"), Some("td"), Some("p"), Some("svg"), Some("textarea")] {
        for scripting in [true, false] {
            let seen = seen(&output, context, scripting);
            let foreign = seen.elements.iter().find(|name| !allowed.contains(&name.as_str()));
            assert_eq!(foreign, None, "{output:?} of {input:?} in {context:?}");
        }
    }
    let mut written: Vec<String> = output
        .split('<')
        .skip(1)
        .filter(|tag| !tag.starts_with('/'))
        .map(|tag| tag.split('>').next().unwrap_or_default().to_owned())
        .collect();
    let mut read = seen(&output, None, true).elements;
    written.sort();
    read.sort();
    // A browser may end an element early and begin it again; it never leaves one out.
    assert!(written.iter().all(|name| read.contains(name)), "{output:?} of {input:?}: {read:?}");
}

#[test]
fn allowed_tags_stay_without_attributes_and_all_others_go() {
    for (input, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("<p>a</p>", "<p>a</p>"),
        ("<P CLASS=x onclick='a>b'>a</P >", "<p>a</p>"),
        ("<strong>a<em>b</strong>c</em>", "<strong>a<em>b</em></strong>c"),
        ("a<br/>b<br></br>", "a<br>b<br>"),
        ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
        ("<ul><li><ul><li>a</ul><li>b</ul>", "<ul><li><ul><li>a</li></ul></li><li>b</li></ul>"),
        ("<p>a<p>b<ul>", "<p>a</p><p>b</p><ul></ul>"),
        ("a</p></em>", "a"),
        ("<b>a</b><a href=javascript:x>b</a>", "ab"),
        ("<script>alert(1)</script>a", "a"),
        ("<script>a</scripty></script >b", "b"),
        ("<style>p{}</style>a<STYLE>", "a"),
        ("<script>a", ""),
        ("a<!-- <p>x</p> -->b", "ab"),
        ("a<!-->b<!--->c<!--x--!>d", "abcd"),
        ("a<!-- b", "a"),
        ("a<?php x ?>b<!doctype html>c</ x>d</>e", "abcde"),
        ("<![CDATA[<p>x]]>y", "x]]&gt;y"),
        ("1 < 2 > 0 & AT&T", "1 &lt; 2 &gt; 0 &amp; AT&amp;T"),
        ("&lt;script&gt; &amp; &#60; &#x3c; &nbsp;", "&lt;script&gt; &amp; &#60; &#x3c; &nbsp;"),
        ("&lt &; &#; &#xg; &a b;", "&amp;lt &amp;; &amp;#; &amp;#xg; &amp;a b;"),
        ("O'Brien \"x\" ü🐲", "O'Brien \"x\" ü🐲"),
        ("<p", ""),
        ("a<", "a&lt;"),
        ("a</", "a&lt;/"),
        ("<p a=\"x>y", ""),
        ("<p =a=\">\">b", "<p>b</p>"),
        ("<p a = '>' b>c", "<p>c</p>"),
        ("<p a=b/>c", "<p>c</p>"),
        ("<\0p>a\0b", "&lt;p&gt;ab"),
    ] {
        assert_eq!(cleaned(input), expected, "{input:?}");
    }
}

#[test]
fn text_reads_as_it_was_written() {
    let text = seen(&cleaned("1 < 2 && 3 > 2 &lt;b&gt; &ampx <em>&copy;</em> AT&T"), None, true).text;
    assert_eq!(text, "1 < 2 && 3 > 2 <b> &ampx © AT&T");
}

#[test]
fn what_is_known_to_get_through_sanitizers_is_inert() {
    for input in [
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<svg><![CDATA[><img src=x onerror=alert(1)>]]></svg>",
        "<template><p id=x></template><script>alert(1)</script>",
        "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">",
        "<!--><img src=x onerror=alert(1)>-->",
        "<!--a--!><img src=x onerror=alert(1)>",
        "<![CDATA[<!--]]><img src=x onerror=alert(1)>-->",
        "<iframe><p title=\"</iframe><img src=x onerror=alert(1)>\">",
        "<xmp><p title='</xmp><img src=x onerror=alert(1)>'>",
        "<plaintext><script>alert(1)</script>",
        "<select><style></select><img src=x onerror=alert(1)></style>",
        "<p/onclick=alert(1)><p\u{b}onclick=alert(1)><p\nonclick\n=\nalert(1)>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "<<script>script>alert(1)</script>",
        "<p <script>alert(1)</script>>",
        "<svg/onload=alert(1)//",
        "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
        "&lt;img src=x onerror=alert(1)&gt;",
        "&amp;lt;script&amp;gt;",
        "\u{0}<\u{0}script\u{0}>alert(1)<\u{0}/script>",
        "<isindex><image src=x onerror=alert(1)><listing>&lt;img onerror=x&gt;</listing>",
        "</br></p><p></br><frameset><col><td>x",
    ] {
        assert_harmless(input, &DEFAULT);
        let all: Vec<&str> = ELEMENTS.iter().map(|element| element.name).collect();
        assert_harmless(input, &all);
    }
}

#[test]
fn a_tag_that_means_more_than_itself_cannot_be_allowed() {
    for tag in
        ["script", "style", "svg", "math", "table", "td", "a", "img", "iframe", "template", "noscript", "form", ""]
    {
        assert_eq!(Sanitizer::new(&["p".to_owned(), tag.to_owned()]), Err(vec![(1, TagError)]), "{tag}");
    }
    let several = ["a", "p", "img"].map(str::to_owned);
    assert_eq!(Sanitizer::new(&several), Err(vec![(0, TagError), (2, TagError)]));
    assert_eq!(sanitizer(&["P", "Br"]).clean("<p><br>"), "<p><br></p>");
}

#[test]
fn hostile_length_takes_linear_time_and_depth_is_bounded() {
    for unit in [
        "<",
        "<p>",
        "<ul><li>",
        "</p>",
        "<!--",
        "<script",
        "<script>",
        "<script></script",
        "&",
        "<p a='",
        "<em></strong>",
    ] {
        let input = unit.repeat(200_000 / unit.len());
        let output = cleaned(&input);
        assert!(output.len() <= 6 * input.len(), "{unit}");
    }
    assert_eq!(cleaned(&"<em>".repeat(1000)).matches("<em>").count(), DEEPEST);
}

/// Pieces that mean something to a tokenizer, in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "<", ">", "</", "/>", "<!--", "-->", "--!>", "<!", "<?", "]]>", "<![CDATA[", "=", "\"", "'", "&", ";", "#", "&lt;", "&#x3c",
            "\0", " ", "\n", "/", "-", "a", "onerror=x",
        ][..]).prop_map(str::to_owned),
        4 => prop::sample::select(&[
            "p", "br", "strong", "em", "ul", "li", "script", "style", "svg", "math", "table", "tr", "noscript", "template",
            "textarea", "title", "select", "mtext", "annotation-xml", "plaintext", "img", "a", "h1", "h2", "pre", "b", "hr", "div",
        ][..]).prop_flat_map(|name| prop::sample::select(vec![
            format!("<{name}>"), format!("</{name}>"), format!("<{name} x='>'>"), format!("<{name}"), format!("<{name}/>"),
        ])),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_comes_in_only_allowed_tags_come_out(input in soup()) {
        assert_harmless(&input, &DEFAULT);
    }

    #[test]
    fn whatever_is_allowed_nothing_else_comes_out(input in soup(), first in 0..45_usize, step in 1..9_usize) {
        let allowed: Vec<&str> = ELEMENTS.iter().skip(first).step_by(step).map(|element| element.name).collect();
        assert_harmless(&input, &allowed);
    }
}
