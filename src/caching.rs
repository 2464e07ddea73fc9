//! Responses that no shared cache keeps (RFC 9111 section 5.2.2.7), whatever the upstream permits.

use std::rc::Rc;

use crate::exchange::HeaderEdit;
use crate::head::Head;

/// What is changed in the head of a response so that only caches of its one client keep it. What the upstream says of their
/// time stays.
pub fn for_one_client(head: &Head) -> Vec<HeaderEdit> {
    let told = head.iter().map(|(name, _)| name).filter(|name| speaks_to_shared_caches(name));
    let mut edits: Vec<_> = told.map(|name| HeaderEdit::Remove(name.to_vec())).collect();
    // The first, so that no quotation mark left open swallows it.
    let mut value = b"private".to_vec();
    for directive in head.all(NAME).flat_map(directives).filter(|directive| !concerns_sharing(directive)) {
        value.extend_from_slice(b", ");
        value.extend_from_slice(directive);
    }
    edits.extend([HeaderEdit::Remove(NAME.as_bytes().to_vec()), HeaderEdit::Set(Rc::from(NAME), value)]);
    edits
}

const NAME: &str = "cache-control";

/// Headers that overrule `Cache-Control` for one kind of shared cache: `CDN-Cache-Control` and its like (RFC 9213), and what
/// was there before it.
fn speaks_to_shared_caches(name: &[u8]) -> bool {
    matches!(name, b"surrogate-control" | b"x-accel-expires") || name.ends_with(b"-cache-control")
}

/// What permits sharing, and `private`, which may be about some fields alone.
fn concerns_sharing(directive: &[u8]) -> bool {
    let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    [&b"public"[..], b"s-maxage", b"private"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The parts of a list, in which commas between quotation marks separate nothing.
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |byte| {
        let was_escaped = std::mem::replace(&mut escaped, false);
        match byte {
            b'"' if !was_escaped => quoted = !quoted,
            b'\\' if quoted && !was_escaped => escaped = true,
            _ => {}
        }
        *byte == b',' && !quoted
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(head: &[(&str, &str)]) -> (Vec<String>, String) {
        let mut edits = for_one_client(&Head::from_pairs(head.iter().copied()));
        let Some(HeaderEdit::Set(name, value)) = edits.pop() else { panic!("{edits:?}") };
        assert_eq!(&*name, "cache-control");
        let removed = edits.into_iter().map(|edit| match edit {
            HeaderEdit::Remove(name) => String::from_utf8(name).unwrap(),
            HeaderEdit::Set(..) => panic!("{edit:?}"),
        });
        (removed.collect(), String::from_utf8(value).unwrap())
    }

    #[test]
    fn what_permits_sharing_goes_and_the_rest_stays() {
        for (sent, expected) in [
            (&[][..], "private"),
            (&["public, max-age=600"], "private, max-age=600"),
            (&["Public,S-MaxAge = 5 , no-transform", "no-store"], "private, no-transform, no-store"),
            (&["private"], "private"),
            (&["private=\"set-cookie, x\", max-age=1"], "private, max-age=1"),
            (&["no-cache=\"a, public\", must-revalidate"], "private, no-cache=\"a, public\", must-revalidate"),
            (&["x=\"\\\", public\", public"], "private, x=\"\\\", public\""),
            (&["x=\"open, public"], "private, x=\"open, public"),
            (&[",, ,"], "private"),
        ] {
            let head: Vec<_> = sent.iter().map(|value| ("cache-control", *value)).collect();
            assert_eq!(said(&head).1, expected, "{sent:?}");
        }
    }

    #[test]
    fn nothing_is_left_that_overrules_it() {
        let head =
            [("cdn-cache-control", "max-age=9"), ("surrogate-control", "x"), ("x-accel-expires", "9"), ("age", "1")];
        let expected = ["cdn-cache-control", "surrogate-control", "x-accel-expires", "cache-control"];
        assert_eq!(said(&head).0, expected);
    }
}
