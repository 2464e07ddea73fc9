//! Where a credential stands in a request: a header after a prefix (RFC 6750 section 2.1), a cookie, a query parameter.
//!
//! What is not found here goes on to the upstream, so it is looked for as leniently as any recipient may: after every kind
//! of white space, in every part of a header that was joined out of several, within other cookies, between `;` of a query, and
//! however far behind.

use std::borrow::Cow;
use std::rc::Rc;

use memchr::{memchr, memchr2_iter};

use crate::canonical::strip::is_same_folded;
use crate::exchange::{Exchange, HeaderEdit, ShownBy};
use crate::media::space::{trim, trim_start};
use crate::media::{cookie, query};

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header, with what stands before the credential, compared without regard to case.
    Header {
        /// Lower-case name.
        name: Rc<str>,
        /// Such as `Bearer `; may be empty.
        prefix: Rc<str>,
    },
    /// A cookie.
    Cookie(Rc<str>),
    /// A query parameter.
    Query(Rc<str>),
}

/// A credential and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'p> {
    /// Where.
    pub place: &'p Place,
    /// What; `None`: the header is a list, and nobody can say what of it the upstream would take.
    pub token: Option<Vec<u8>>,
}

/// What a request shows in some places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'f> {
    /// No credential.
    Nothing,
    /// One, wherever and however often.
    One(&'f [u8]),
    /// Several that differ, or a list: nobody can say which of them the upstream would take.
    Different,
}

/// Every place that holds a credential, with the credential; twice where it holds several that differ. Nothing is chosen:
/// that two differ is for the caller to refuse.
pub fn find<'p>(places: &[&'p Place], exchange: &Exchange) -> Vec<Found<'p>> {
    let mut found = Vec::new();
    for place in places {
        match place {
            Place::Header { name, prefix } => {
                let values = exchange.head.all(name.as_bytes());
                let shown = values.filter_map(|value| credential(value, prefix.as_bytes()));
                note(&mut found, place, &mut shown.map(|token| token.map(Cow::Borrowed)));
            }
            Place::Cookie(name) => {
                let pairs = cookie::pairs(exchange.head.all("cookie"), usize::MAX).flatten();
                let named = pairs.filter(|pair| is_cookie(pair.name, name)).map(|pair| pair.value);
                let headers = exchange.head.all("cookie");
                let hidden = headers.flat_map(|header| cookie::hidden(header, name.as_bytes())).map(Cow::Borrowed);
                note(&mut found, place, &mut named.chain(hidden).map(Some));
            }
            Place::Query(name) => {
                let query = exchange.target.query.as_deref().unwrap_or_default();
                note(&mut found, place, &mut pieces(query).filter_map(|piece| parameter(piece, name)).map(Some));
            }
        }
    }
    found
}

/// What is shown in one place, one after the other.
type Tokens<'t, 'v> = &'t mut dyn Iterator<Item = Option<Cow<'v, [u8]>>>;

/// Notes the first, and of the others one that differs: more would say no more, and a client can send thousands.
fn note<'p>(found: &mut Vec<Found<'p>>, place: &'p Place, mut tokens: Tokens<'_, '_>) {
    let Some(first) = tokens.next() else { return };
    let first = first.as_deref().map(trim);
    let other = Iterator::find(&mut tokens, |token| token.as_deref().map(trim) != first);
    let other = other.as_ref().map(|token| token.as_deref().map(trim));
    let both = [Some(first), other].into_iter().flatten();
    found.extend(both.map(|token| Found { place, token: token.map(<[u8]>::to_vec) }));
}

/// What was found, as one.
pub fn shown<'f>(found: &'f [Found<'_>]) -> Shown<'f> {
    let Some((first, rest)) = found.split_first() else { return Shown::Nothing };
    match &first.token {
        Some(token) if rest.iter().all(|other| other.token == first.token) => Shown::One(token),
        _ => Shown::Different,
    }
}

/// Who put it there: a browser by itself, whoever made the page, where it stands in cookies only.
pub fn shown_by(found: &[Found<'_>]) -> ShownBy {
    let in_place = |is: fn(&Place) -> bool| found.iter().filter(|found| is(found.place)).count();
    if in_place(|place| matches!(place, Place::Header { .. })) > 0 {
        return ShownBy::Maker;
    }
    let cookies = in_place(|place| matches!(place, Place::Cookie(_)));
    if cookies > 0 && cookies == found.len() { ShownBy::Browser } else { ShownBy::Nobody }
}

/// Takes every credential that was found out of what the upstream receives.
pub fn strip_all(found: &[Found<'_>], exchange: &mut Exchange) {
    for place in places(found) {
        strip(place, exchange);
    }
}

/// Where something was found, each place once: to strip one is a pass over all that the request shows there.
fn places<'p>(found: &[Found<'p>]) -> Vec<&'p Place> {
    let mut places: Vec<&Place> = Vec::new();
    for found in found {
        if !places.contains(&found.place) {
            places.push(found.place);
        }
    }
    places
}

/// Takes the credential out of what the upstream receives.
pub fn strip(place: &Place, exchange: &mut Exchange) {
    match place {
        Place::Header { name, .. } => {
            exchange.request_edits.push(HeaderEdit::Remove(name.as_bytes().to_vec()));
        }
        Place::Cookie(name) => {
            let rest = other_cookies(exchange, name);
            exchange.request_edits.push(HeaderEdit::Remove(b"cookie".to_vec()));
            if !rest.is_empty() {
                exchange.request_edits.push(HeaderEdit::Set(Rc::from("cookie"), rest));
            }
        }
        Place::Query(name) => {
            let Some(query) = &exchange.target.query else { return };
            let names_it = |piece: &str| pieces(piece).any(|piece| parameter(piece, name).is_some());
            let rest: Vec<&str> = query.split('&').filter(|piece| !names_it(piece)).collect();
            exchange.target.query = Some(rest.join("&")).filter(|rest| !rest.is_empty());
            exchange.target.stripped = true;
        }
    }
}

/// What a header shows after `prefix`, if anything. Proxies join headers of one name with commas, and recipients take
/// them apart again: of a list only that a credential is in it can be said, and of a scheme within another value as well, which
/// those find that look for it anywhere.
fn credential<'v>(value: &'v [u8], prefix: &[u8]) -> Option<Option<&'v [u8]>> {
    if prefix.is_empty() {
        return Some(Some(trim_start(value)));
    }
    let is_list = memchr(b',', value).is_some();
    if let (false, Some(token)) = (is_list, after(value, prefix)) {
        return Some(Some(token));
    }
    let listed = is_list && value.split(|byte| *byte == b',').any(|element| after(element, prefix).is_some());
    (listed || is_within(value, prefix)).then_some(None)
}

/// Whether a scheme stands somewhere in a value, with white space after it.
fn is_within(value: &[u8], prefix: &[u8]) -> bool {
    let Some((&first, scheme)) = prefix.strip_suffix(b" ").and_then(<[u8]>::split_first) else { return false };
    memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), value).any(|at| {
        let rest = value.get(at + 1..).and_then(|rest| rest.split_at_checked(scheme.len()));
        rest.is_some_and(|(start, rest)| start.eq_ignore_ascii_case(scheme) && trim_start(rest).len() < rest.len())
    })
}

/// What follows `prefix`, compared without regard to case: RFC 9110 section 11.1 says so of schemes.
///
/// A prefix that ends with a space is a scheme: whatever white space follows it, or none with nothing after, is one
/// too, because recipients that split at white space see it there.
fn after<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    let scheme = prefix.strip_suffix(b" ").unwrap_or(prefix);
    let (start, rest) = trim_start(value).split_at_checked(scheme.len())?;
    let ends = scheme.len() == prefix.len() || rest.is_empty() || trim_start(rest).len() < rest.len();
    (ends && start.eq_ignore_ascii_case(scheme)).then_some(rest)
}

/// The cookies of the request, less what was taken out of them already, without those of this name.
fn other_cookies(exchange: &Exchange, name: &str) -> Vec<u8> {
    let edited = exchange.request_edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set(name, value) if **name == *"cookie" => Some(vec![value.as_slice()]),
        HeaderEdit::Remove(name) if name == b"cookie" => Some(Vec::new()),
        _ => None,
    });
    let headers = edited.unwrap_or_else(|| exchange.head.all("cookie").collect());
    let pieces = headers.into_iter().flat_map(|header| header.split(|byte| *byte == b';'));
    let pieces = pieces.map(trim).filter(|piece| !piece.is_empty());
    let others = pieces.filter(|piece| {
        let own = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        !is_cookie(trim(own), name) && cookie::hidden(piece, name.as_bytes()).next().is_none()
    });
    others.collect::<Vec<_>>().join(&b"; "[..])
}

/// Whether a cookie of this name is read as the one that is looked for: PHP writes `_` for what its variables cannot hold.
fn is_cookie(shown: &[u8], name: &str) -> bool {
    let reads = |shown: u8, name: u8| shown == name || name == b'_' && matches!(shown, b'.' | b' ' | b'[');
    shown.len() == name.len() && shown.iter().zip(name.bytes()).all(|(shown, name)| reads(*shown, name))
}

/// The pieces of a query as most take it apart, and those of servers that do so at `;` as well (HTML 4.01, B.2.2).
fn pieces(query: &str) -> impl Iterator<Item = &str> {
    let also = query.contains(';').then(|| query.split(['&', ';']));
    query.split('&').chain(also.into_iter().flatten())
}

/// The value of a piece that is read as this parameter. Servers differ in case, in separators, in white space around the name
/// and in whether a NUL ends it.
fn parameter<'q>(piece: &'q str, name: &str) -> Option<Cow<'q, [u8]>> {
    let pair = query::pairs(piece.as_bytes(), 1).flatten().next()?;
    let shown = pair.name.split(|byte| *byte == 0).next().unwrap_or_default();
    is_same_folded(trim(shown), trim(name.as_bytes())).then_some(pair.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Head;
    use crate::time::Timestamp;

    fn exchange(query: &str, headers: &[(&str, &str)]) -> Exchange {
        let mut exchange = Exchange::new(Head::from_pairs(headers.iter().copied()), Timestamp::default());
        exchange.target.query = Some(query.to_owned());
        exchange
    }

    fn bearer() -> Place {
        Place::Header { name: Rc::from("authorization"), prefix: Rc::from("Bearer ") }
    }

    #[test]
    fn finds_a_credential_in_every_place() {
        let exchange = exchange("a=1&t=q%2Eq", &[("authorization", "bearer  h "), ("cookie", "x=1; t=c")]);
        let places = [bearer(), Place::Cookie(Rc::from("t")), Place::Query(Rc::from("t"))];
        let found = find(&places.iter().collect::<Vec<_>>(), &exchange);
        let tokens: Vec<&[u8]> = found.iter().filter_map(|found| found.token.as_deref()).collect();
        assert_eq!(tokens, [&b"h"[..], b"c", b"q.q"]);
    }

    #[test]
    fn another_scheme_is_no_credential_of_this_one() {
        let exchange = exchange("", &[("authorization", "Basic dTpw")]);
        assert!(find(&[&bearer()], &exchange).is_empty());
    }

    /// Recipients that split at white space see a token after any of it, and an empty one at the end.
    #[test]
    fn a_scheme_ends_at_white_space_and_a_plain_prefix_anywhere() {
        let token = |value: &str, prefix: &str| {
            after(value.as_bytes(), prefix.as_bytes()).map(|rest| String::from_utf8(trim(rest).to_vec()).unwrap())
        };
        for (value, prefix, expected) in [
            ("Bearer t", "Bearer ", Some("t")),
            ("BEARER\t t", "Bearer ", Some("t")),
            ("\u{a0}Bearer\u{85}t\u{2003}", "Bearer ", Some("t")),
            ("Bearer", "Bearer ", Some("")),
            ("Bearert", "Bearer ", None),
            ("Beare", "Bearer ", None),
            ("key=t", "key=", Some("t")),
            ("t", "", Some("t")),
        ] {
            assert_eq!(token(value, prefix).as_deref(), expected, "{value:?} {prefix:?}");
        }
    }

    #[test]
    fn finds_both_of_two_headers_of_one_name() {
        let exchange = exchange("", &[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(find(&[&bearer()], &exchange).len(), 2);
    }

    /// Of a header that proxies joined out of several nobody can say which part the upstream takes.
    #[test]
    fn a_credential_in_a_list_is_ambiguous_wherever_in_it() {
        for value in ["Basic x,Bearer t", ",Bearer t", "Bearer t,", "Bearer t, Bearer t", "Basic x , bearer\u{a0}t"] {
            let exchange = exchange("", &[("authorization", value)]);
            assert_eq!(shown(&find(&[&bearer()], &exchange)), Shown::Different, "{value}");
        }
        // Laravel, and whoever looks with an expression that has no beginning.
        for value in ["Basic Bearer t", "xBearer\tt", "Basic x; bearer\u{a0}t", "a,b; Bearer t", "Token tBearer  x"] {
            let exchange = exchange("", &[("authorization", value)]);
            assert_eq!(shown(&find(&[&bearer()], &exchange)), Shown::Different, "{value}");
        }
        for value in ["Basic x,y", "Digest realm=\"Bearer\", nonce=\"a\"", "Basic BearerBearer", "Basic b Beare", ""] {
            assert!(find(&[&bearer()], &exchange("", &[("authorization", value)])).is_empty(), "{value}");
        }
        let whole = Place::Header { name: Rc::from("authorization"), prefix: Rc::from("") };
        assert_eq!(shown(&find(&[&whole], &exchange("", &[("authorization", "a,b")]))), Shown::One(b"a,b"));
    }

    #[test]
    fn finds_a_credential_behind_any_number_of_others() {
        let (pairs, cookies) = ("a&".repeat(20_000) + "t=q", "a;".repeat(20_000) + "t=c");
        let exchange = exchange(&pairs, &[("cookie", &cookies)]);
        let (query, cookie) = (Place::Query(Rc::from("t")), Place::Cookie(Rc::from("t")));
        assert_eq!(shown(&find(&[&query], &exchange)), Shown::One(b"q"));
        assert_eq!(shown(&find(&[&cookie], &exchange)), Shown::One(b"c"));
    }

    /// To strip a place is a pass over all that stands there: once for each of thousands would be quadratic.
    #[test]
    fn what_a_client_repeats_is_kept_once_and_stripped_once() {
        let (pairs, cookies) = ("t=a&".repeat(5_000) + "t=b&a&t=c", "t=a;".repeat(5_000) + "t=b;a=1;t=c");
        let mut exchange = exchange(&pairs, &[("cookie", &cookies)]);
        let (query, cookie) = (Place::Query(Rc::from("t")), Place::Cookie(Rc::from("t")));
        let found = find(&[&query, &cookie], &exchange);
        let tokens: Vec<&[u8]> = found.iter().filter_map(|found| found.token.as_deref()).collect();
        assert_eq!(tokens, [b"a", b"b", b"a", b"b"]);
        assert_eq!(places(&found), [&query, &cookie]);
        strip_all(&found, &mut exchange);
        assert_eq!(exchange.target.query.as_deref(), Some("a"));
        let remove = HeaderEdit::Remove(b"cookie".to_vec());
        assert_eq!(exchange.request_edits, [remove, HeaderEdit::Set(Rc::from("cookie"), b"a=1".to_vec())]);
    }

    #[test]
    fn strips_only_the_credential() {
        let mut exchange = exchange("a=1&%74=x&b=2&t=y", &[("cookie", "a=1; t=c"), ("cookie", "b=2;t =d;\u{a0}t=e")]);
        strip(&Place::Query(Rc::from("t")), &mut exchange);
        assert_eq!(exchange.target.query.as_deref(), Some("a=1&b=2"));
        assert!(exchange.target.is_rewritten());
        strip(&Place::Cookie(Rc::from("t")), &mut exchange);
        let remove = HeaderEdit::Remove(b"cookie".to_vec());
        let set = HeaderEdit::Set(Rc::from("cookie"), b"a=1; b=2".to_vec());
        assert_eq!(exchange.request_edits, [remove, set]);
    }

    /// Python's `http.cookies` ends an unquoted value at white space, servers of RFC 2965 at a comma.
    #[test]
    fn a_cookie_within_another_is_found_and_goes_with_it() {
        let place = Place::Cookie(Rc::from("a_t"));
        for cookies in ["k=1; a=b a_t=x", "a=b\ta_t = x;k=1", "a=b,a_t=x; k=1", "k=1;a=b;secure a_t=\"x\"", "a.t=x;k=1"]
        {
            let mut exchange = exchange("", &[("cookie", cookies)]);
            let found = find(&[&place], &exchange);
            assert_eq!(shown(&found), Shown::One(b"x"), "{cookies}");
            strip_all(&found, &mut exchange);
            let last = exchange.request_edits.last();
            let rest = if cookies.contains("secure") { "k=1; a=b" } else { "k=1" };
            assert_eq!(last, Some(&HeaderEdit::Set(Rc::from("cookie"), rest.into())), "{cookies}");
        }
        let two = exchange("", &[("cookie", "a_t=x a_t=y")]);
        assert_eq!(shown(&find(&[&place], &two)), Shown::Different);
        let none = exchange("", &[("cookie", "a=b; xa_t=1; A_T=2; a-t=3; b=a_t")]);
        assert_eq!(shown(&find(&[&place], &none)), Shown::Nothing);
    }

    #[test]
    fn a_parameter_is_found_in_every_spelling_that_a_server_takes_for_it() {
        let place = Place::Query(Rc::from("a_t"));
        for query in ["a_t=x", "b=1;a_t=x", "a.t=x", "+a_t=x", "%20a%5ft=x", "A_T=x", "a-t=x", "a_t%00z=x", "a_t+=x"] {
            let mut exchange = exchange(&format!("k=1&{query}"), &[]);
            let found = find(&[&place], &exchange);
            assert_eq!(shown(&found), Shown::One(b"x"), "{query}");
            strip_all(&found, &mut exchange);
            assert_eq!(exchange.target.query.as_deref(), Some("k=1"), "{query}");
        }
        for query in ["a_t=x;b=1", "a_t=x&b;A.T=y", "a_t=x&a-t=y"] {
            assert_eq!(shown(&find(&[&place], &exchange(query, &[]))), Shown::Different, "{query}");
        }
        assert!(find(&[&place], &exchange("at=1&a_tt=1&b=a_t;c&a%3Bb=1;", &[])).is_empty());
    }

    #[test]
    fn what_was_stripped_once_does_not_come_back_with_the_next() {
        let mut exchange = exchange("", &[("cookie", "a=1; t=c; k=d")]);
        for (name, rest) in [("t", Some("a=1; k=d")), ("k", Some("a=1")), ("a", None), ("x", None)] {
            strip(&Place::Cookie(Rc::from(name)), &mut exchange);
            let last = exchange.request_edits.last();
            match rest {
                Some(rest) => assert_eq!(last, Some(&HeaderEdit::Set(Rc::from("cookie"), rest.into())), "{name}"),
                None => assert_eq!(last, Some(&HeaderEdit::Remove(b"cookie".to_vec())), "{name}"),
            }
        }
    }

    #[test]
    fn the_same_credential_twice_is_one_and_two_are_none() {
        let exchange = exchange("t=a", &[("authorization", "Bearer a"), ("cookie", "t=b")]);
        let (header, query, cookie) = (bearer(), Place::Query(Rc::from("t")), Place::Cookie(Rc::from("t")));
        assert_eq!(shown(&find(&[&header, &query], &exchange)), Shown::One(b"a"));
        assert_eq!(shown(&find(&[&header, &cookie], &exchange)), Shown::Different);
        assert_eq!(shown(&find(&[], &exchange)), Shown::Nothing);
    }

    #[test]
    fn a_browser_shows_by_itself_what_stands_in_cookies_only() {
        let (header, query, cookie) = (bearer(), Place::Query(Rc::from("t")), Place::Cookie(Rc::from("t")));
        let exchange = exchange("t=a", &[("authorization", "Bearer a"), ("cookie", "t=a")]);
        for (places, shown) in [
            (&[&cookie][..], ShownBy::Browser),
            (&[&cookie, &header], ShownBy::Maker),
            (&[&query, &cookie], ShownBy::Nobody),
            (&[&header], ShownBy::Maker),
            (&[&query], ShownBy::Nobody),
            (&[], ShownBy::Nobody),
        ] {
            assert_eq!(shown_by(&find(places, &exchange)), shown, "{places:?}");
        }
    }

    #[test]
    fn a_query_of_nothing_but_the_credential_leaves_none() {
        let mut exchange = exchange("t=y", &[]);
        strip(&Place::Query(Rc::from("t")), &mut exchange);
        assert_eq!(exchange.target.query, None);
    }
}
