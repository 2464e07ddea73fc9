//! Where a credential stands in a request: a header after a prefix (RFC 6750 section 2.1), a cookie, a query parameter.

use std::rc::Rc;

use crate::exchange::{Exchange, HeaderEdit};
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
    /// What.
    pub token: Vec<u8>,
}

/// What a request shows in some places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'f> {
    /// No credential.
    Nothing,
    /// One, wherever and however often.
    One(&'f [u8]),
    /// Several that differ: nobody can say which of them the upstream would take.
    Different,
}

/// The proxy bounds the head to some tens of kilobytes; this bounds the pairs in it all the same.
const MOST_PAIRS: usize = 10_000;

/// Every credential in `places`. Nothing is chosen: that two differ is for the caller to refuse.
pub fn find<'p>(places: &[&'p Place], exchange: &Exchange) -> Vec<Found<'p>> {
    let mut found = Vec::new();
    for place in places {
        let mut push = |token: &[u8]| found.push(Found { place, token: token.trim_ascii().to_vec() });
        match place {
            Place::Header { name, prefix } => {
                let values = exchange.head.all(name.as_bytes());
                values.filter_map(|value| after(value, prefix.as_bytes())).for_each(&mut push);
            }
            Place::Cookie(name) => {
                let pairs = cookie::pairs(exchange.head.all("cookie"), MOST_PAIRS).flatten();
                pairs.filter(|pair| pair.name == name.as_bytes()).for_each(|pair| push(&pair.value));
            }
            Place::Query(name) => {
                let pairs = query::pairs(exchange.target.query.as_deref().unwrap_or_default().as_bytes(), MOST_PAIRS);
                pairs.flatten().filter(|pair| *pair.name == *name.as_bytes()).for_each(|pair| push(&pair.value));
            }
        }
    }
    found
}

/// What was found, as one.
pub fn shown<'f>(found: &'f [Found<'_>]) -> Shown<'f> {
    match found.split_first() {
        None => Shown::Nothing,
        Some((first, rest)) if rest.iter().all(|other| other.token == first.token) => Shown::One(&first.token),
        Some(_) => Shown::Different,
    }
}

/// Whether a browser shows it by itself, whoever made the page: it stands in cookies only.
pub fn is_shown_by_cookie(found: &[Found<'_>]) -> bool {
    !found.is_empty() && found.iter().all(|found| matches!(found.place, Place::Cookie(_)))
}

/// Takes every credential that was found out of what the upstream receives.
pub fn strip_all(found: &[Found<'_>], exchange: &mut Exchange) {
    for found in found {
        strip(found.place, exchange);
    }
}

/// Takes the credential out of what the upstream receives.
pub fn strip(place: &Place, exchange: &mut Exchange) {
    match place {
        Place::Header { name, .. } => {
            exchange.request_edits.push(HeaderEdit::Remove(name.as_bytes().to_vec()));
        }
        Place::Cookie(name) => {
            let rest = other_cookies(exchange, name.as_bytes());
            exchange.request_edits.push(HeaderEdit::Remove(b"cookie".to_vec()));
            if !rest.is_empty() {
                exchange.request_edits.push(HeaderEdit::Set(Rc::from("cookie"), rest));
            }
        }
        Place::Query(name) => {
            let Some(query) = &exchange.target.query else { return };
            let names_it =
                |piece: &str| query::pairs(piece.as_bytes(), 1).flatten().any(|p| *p.name == *name.as_bytes());
            let rest: Vec<&str> = query.split('&').filter(|piece| !names_it(piece)).collect();
            exchange.target.query = Some(rest.join("&")).filter(|rest| !rest.is_empty());
            exchange.target.stripped = true;
        }
    }
}

/// What follows `prefix`, compared without regard to case: RFC 9110 section 11.1 says so of schemes.
///
/// A prefix that ends with a space is a scheme: whatever white space follows it, or none with nothing after, is one
/// too, because recipients that split at white space see it there.
fn after<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    let scheme = prefix.strip_suffix(b" ").unwrap_or(prefix);
    let (start, rest) = value.split_at_checked(scheme.len())?;
    let ends = scheme.len() == prefix.len() || rest.first().is_none_or(u8::is_ascii_whitespace);
    (ends && start.eq_ignore_ascii_case(scheme)).then_some(rest)
}

/// The cookies of the request, less what was taken out of them already, without those of this name.
fn other_cookies(exchange: &Exchange, name: &[u8]) -> Vec<u8> {
    let edited = exchange.request_edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set(name, value) if **name == *"cookie" => Some(vec![value.as_slice()]),
        HeaderEdit::Remove(name) if name == b"cookie" => Some(Vec::new()),
        _ => None,
    });
    let headers = edited.unwrap_or_else(|| exchange.head.all("cookie").collect());
    let pieces = headers.into_iter().flat_map(|header| header.split(|byte| *byte == b';'));
    let pieces = pieces.map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty());
    let others = pieces.filter(|piece| {
        let own = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        own.trim_ascii() != name
    });
    others.collect::<Vec<_>>().join(&b"; "[..])
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
        let tokens: Vec<&[u8]> = found.iter().map(|found| found.token.as_slice()).collect();
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
            after(value.as_bytes(), prefix.as_bytes())
                .map(|rest| String::from_utf8(rest.trim_ascii().to_vec()).unwrap())
        };
        for (value, prefix, expected) in [
            ("Bearer t", "Bearer ", Some("t")),
            ("BEARER\t t", "Bearer ", Some("t")),
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

    #[test]
    fn strips_only_the_credential() {
        let mut exchange = exchange("a=1&%74=x&b=2&t=y", &[("cookie", "a=1; t=c"), ("cookie", "b=2;t =d")]);
        strip(&Place::Query(Rc::from("t")), &mut exchange);
        assert_eq!(exchange.target.query.as_deref(), Some("a=1&b=2"));
        assert!(exchange.target.is_rewritten());
        strip(&Place::Cookie(Rc::from("t")), &mut exchange);
        let remove = HeaderEdit::Remove(b"cookie".to_vec());
        let set = HeaderEdit::Set(Rc::from("cookie"), b"a=1; b=2".to_vec());
        assert_eq!(exchange.request_edits, [remove, set]);
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
            (&[&cookie][..], true),
            (&[&cookie, &header], false),
            (&[&query, &cookie], false),
            (&[&header], false),
            (&[], false),
        ] {
            assert_eq!(is_shown_by_cookie(&find(places, &exchange)), shown, "{places:?}");
        }
    }

    #[test]
    fn a_query_of_nothing_but_the_credential_leaves_none() {
        let mut exchange = exchange("t=y", &[]);
        strip(&Place::Query(Rc::from("t")), &mut exchange);
        assert_eq!(exchange.target.query, None);
    }
}
