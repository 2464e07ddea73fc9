//! `X-Forwarded-Client-Cert`: the certificates of the hops before this one, as proxies write them.
//! Source: Envoy, "HTTP header manipulation", `x-forwarded-client-cert`.
//!
//! Elements are separated by commas, one per hop, the nearest last. An element is pairs of `Key=value` separated by
//! semicolons; a value with `,`, `;` or `=` in it stands in double quotes, and `\"` is a quote within.

use super::{Names, digest};
use crate::head::Head;

/// The header.
pub const HEADER: &str = "x-forwarded-client-cert";

/// The header cannot be read, or read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The certificate that the nearest proxy vouches for: the last element that is not about `own`, which this proxy
/// appends about its own connection when it is told to. `None` when there is none.
///
/// The whole header is read from its beginning, so that no quote that a client left open makes a value out of what a
/// proxy appended, or the other way round: such a header is refused. One pass, no allocation.
///
/// # Errors
/// [`Malformed`].
pub fn nearest<'h>(head: &'h Head, own: Option<&[u8; 32]>) -> Result<Option<Names<'h>>, Malformed> {
    let (mut last, mut before) = (None, None);
    for field in head.all(HEADER) {
        let mut rest = field;
        loop {
            let (element, after) = element(rest)?;
            before = last.replace(element);
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
    }
    let is_own = last.is_some_and(|element: Names<'_>| own.is_some() && element.digest.as_ref() == own);
    Ok(if is_own { before } else { last })
}

/// The first element and what follows its comma.
fn element(text: &[u8]) -> Result<(Names<'_>, Option<&[u8]>), Malformed> {
    let (mut hash, mut subject, mut uri, mut several_uris) = (None, None, None, false);
    let mut rest = text.trim_ascii_start();
    loop {
        let end = rest.iter().position(|byte| b"=,;\"".contains(byte)).ok_or(Malformed)?;
        let (key, after) = rest.split_at_checked(end).ok_or(Malformed)?;
        let after = after.strip_prefix(b"=").ok_or(Malformed)?;
        let (value, separator, after) = value(after)?;
        // Others, such as By, Cert, Chain and DNS, decide nothing here.
        let known = match key.to_ascii_lowercase().as_slice() {
            b"hash" => Some(&mut hash),
            b"subject" => Some(&mut subject),
            // One for each URI of the certificate.
            b"uri" if uri.is_some() => {
                several_uris = true;
                None
            }
            b"uri" => Some(&mut uri),
            b"" => return Err(Malformed),
            _ => None,
        };
        // A certificate has one digest and one subject.
        if known.is_some_and(|known| known.replace(value).is_some()) {
            return Err(Malformed);
        }
        match separator {
            Some(b';') => rest = after,
            other => {
                let digest = hash.map(|hash| digest(hash).ok_or(Malformed)).transpose()?;
                if digest.is_none() && subject.is_none() && uri.is_none() {
                    return Err(Malformed);
                }
                let (uri, subject) = (uri.unwrap_or_default(), subject.unwrap_or_default());
                return Ok((Names { uri, several_uris, subject, digest }, other.map(|_| after)));
            }
        }
    }
}

/// A value, the separator after it, and the rest.
type Value<'t> = (&'t [u8], Option<u8>, &'t [u8]);

/// A value without its quotes, the separator after it, and what follows that. Escapes stay as they are: a subject is
/// escaped already (RFC 2253) and is then the same text as on a connection of its own; nothing else needs them.
fn value(text: &[u8]) -> Result<Value<'_>, Malformed> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| b",;".contains(byte)).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).ok_or(Malformed)?;
        // Only spaces at the end of an element may be left over: they separate list elements (RFC 9110 section 5.6.1).
        let value = value.trim_ascii_end();
        let plain = !value.iter().any(|byte| b"\"= ".contains(byte));
        let (separator, rest) = separator(rest);
        return if plain { Ok((value, separator, rest)) } else { Err(Malformed) };
    };
    let mut escaped = false;
    let end = quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (value, rest) = quoted.split_at_checked(end.ok_or(Malformed)?).ok_or(Malformed)?;
    let rest = rest.strip_prefix(b"\"").ok_or(Malformed)?.trim_ascii_start();
    match separator(rest) {
        (None, []) => Ok((value, None, rest)),
        (Some(separator @ (b',' | b';')), rest) => Ok((value, Some(separator), rest)),
        _ => Err(Malformed),
    }
}

fn separator(text: &[u8]) -> (Option<u8>, &[u8]) {
    match text.split_first() {
        Some((separator, rest)) => (Some(*separator), rest),
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";
    const OTHER: &str = "9ba61d6425303443c0748a02dd8de688468ed33be74eee6556d90c0149c1309e";

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// URI and subject of the element that counts.
    fn read(fields: &[&str], own: Option<&str>) -> Result<Option<(String, String)>, Malformed> {
        let head = Head::from_pairs(fields.iter().map(|value| (HEADER, value)));
        let own = own.map(|own| digest(own.as_bytes()).unwrap());
        Ok(nearest(&head, own.as_ref())?.map(|names| (text(names.uri), text(names.subject))))
    }

    fn good(uri: &str, subject: &str) -> Result<Option<(String, String)>, Malformed> {
        Ok(Some((uri.to_owned(), subject.to_owned())))
    }

    /// The forms of the examples in Envoy's documentation.
    #[test]
    fn reads_what_envoy_writes() {
        let by = "By=http://frontend.lyft.com";
        let subject = r#"Subject="/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client""#;
        for (value, uri, named) in [
            (format!("{by};Hash={HASH};{subject};URI=http://testclient.lyft.com"), "http://testclient.lyft.com", true),
            (format!("{by};Hash={HASH};URI=spiffe://a/b"), "spiffe://a/b", false),
            (
                format!("{by};Hash={HASH};{subject};URI=spiffe://a/b;DNS=lyft.com;DNS=www.lyft.com"),
                "spiffe://a/b",
                true,
            ),
            (format!("Hash={HASH};Cert=\"-----BEGIN%20CERTIFICATE-----%0A%3D%3D\";{subject};URI="), "", true),
            (format!("{by};hash={HASH};uri=\"spiffe://a/b\""), "spiffe://a/b", false),
            (format!("{by};Hash={OTHER};URI=spiffe://z/z,{by};Hash={HASH};URI=spiffe://a/b"), "spiffe://a/b", false),
            (format!("{by};Hash={OTHER};URI=spiffe://z/z , {by};Hash={HASH};URI=spiffe://a/b "), "spiffe://a/b", false),
        ] {
            let subject = if named { "/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client" } else { "" };
            assert_eq!(read(&[&value], None), good(uri, subject), "{value}");
        }
        assert_eq!(read(&[], None), Ok(None));
    }

    #[test]
    fn a_quoted_value_ends_at_a_quote_that_is_not_escaped() {
        for (subject, expected) in [
            (r#""CN=a\\,b,O=\"c\"""#, r#"CN=a\\,b,O=\"c\""#),
            (r#""CN=a;URI=spiffe://x/y""#, "CN=a;URI=spiffe://x/y"),
            (r#""CN=a\\""#, r"CN=a\\"),
            (r#""CN=\",Hash=1;URI=spiffe://x/y""#, r#"CN=\",Hash=1;URI=spiffe://x/y"#),
            (r#""""#, ""),
        ] {
            let value = format!("Subject={subject};URI=spiffe://a/b");
            assert_eq!(read(&[&value], None), good("spiffe://a/b", expected), "{subject}");
        }
    }

    #[test]
    fn the_last_hop_counts_unless_it_is_our_own() {
        let fields = [&format!("Hash={OTHER};URI=spiffe://client/a")[..], &format!("Hash={HASH};URI=spiffe://proxy/b")];
        assert_eq!(read(&fields, None), good("spiffe://proxy/b", ""));
        assert_eq!(read(&fields, Some(OTHER)), good("spiffe://proxy/b", ""));
        assert_eq!(read(&fields, Some(HASH)), good("spiffe://client/a", ""));
        assert_eq!(read(&fields[1..], Some(HASH)), Ok(None));
        assert_eq!(read(&["URI=spiffe://a/b"], Some(HASH)), good("spiffe://a/b", ""));
    }

    #[test]
    fn several_uris_are_said_to_be_several() {
        for (value, several) in [("URI=a;URI=spiffe://a/b", true), ("URI=a;DNS=b;DNS=c", false), ("URI=a;URI=a", true)]
        {
            let head = Head::from_pairs([(HEADER, value)]);
            let names = nearest(&head, None).unwrap().unwrap();
            assert_eq!((text(names.uri).as_str(), names.several_uris), ("a", several), "{value}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for value in [
            "",
            ",",
            ";",
            "=",
            "x",
            "Hash",
            "URI=spiffe://a/b,",
            ",URI=spiffe://a/b",
            "URI=spiffe://a/b;",
            "URI=spiffe://a/b,,URI=spiffe://c/d",
            "Hash=;Hash=",
            "Subject=\"CN=a\";subject=\"CN=b\"",
            "By=spiffe://a/b",
            "Hash=abc",
            "Hash=;URI=spiffe://a/b",
            "URI=\"spiffe://a/b",
            "URI=spiffe://a/b\"",
            "URI=\"spiffe://a/b\"c",
            "URI=\"spiffe://a/b\" c",
            "URI=spiffe://a/b c",
            "URI=a=b",
            "Subject=CN=a;URI=spiffe://a/b",
            "=spiffe://a/b",
            "Subject=\"CN=a\\\"",
        ] {
            assert_eq!(read(&[value], None), Err(Malformed), "{value}");
        }
        assert_eq!(read(&["URI=spiffe://a/b", ""], None), Err(Malformed));
    }

    /// What a client sends, a proxy appends to: whatever it is, it never becomes the last element.
    #[test]
    fn an_open_quote_of_a_clients_does_not_swallow_what_a_proxy_appends() {
        let appended = format!(r#"By=spiffe://a/p;Hash={HASH};Subject="CN=client";URI=spiffe://a/client"#);
        for sent in ["By=\"", "Subject=\"", "URI=spiffe://evil;Subject=\"", "Hash=1;Subject=\"\\", "x=\"y\";z=\""] {
            let value = format!("{sent},{appended}");
            assert_eq!(read(&[&value], None), Err(Malformed), "{sent}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn nothing_in_front_changes_the_last_element(sent in "[A-Za-z=,;\"\\\\ :/]{0,40}") {
            let value = format!(r#"{sent},Hash={HASH};Subject="CN=client";URI=spiffe://a/client"#);
            let found = read(&[&value], None);
            prop_assert!(found == Err(Malformed) || found == good("spiffe://a/client", "CN=client"), "{:?}", found);
        }

        #[test]
        fn hostile_bytes_do_no_harm(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let head = Head::from_pairs([(HEADER, value)]);
            let _ = nearest(&head, None);
        }
    }
}
