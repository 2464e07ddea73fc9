//! What is added to the cookies that the upstream sets (RFC 6265bis section 4.1): each attribute that the upstream did
//! not set itself.

use crate::config::SameSite;

/// The attributes that every cookie gets.
#[derive(Clone, Copy, Debug)]
pub struct CookieAttributes {
    /// `Secure`: it goes over HTTPS only.
    pub secure: bool,
    /// `HttpOnly`: no script reads it.
    pub http_only: bool,
    /// With which requests of other sites it goes along.
    pub same_site: SameSite,
}

impl CookieAttributes {
    /// The value of a `Set-Cookie` header with what it lacks; `None`: it lacks nothing.
    pub fn added_to(self, set_cookie: &[u8]) -> Option<Vec<u8>> {
        let has = |wanted: &[u8]| attributes(set_cookie).any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let same_site = attributes(set_cookie).filter(|(name, _)| name.eq_ignore_ascii_case(b"samesite")).last();
        let mut missing = String::new();
        if self.secure && !has(b"secure") {
            missing.push_str("; Secure");
        }
        if self.http_only && !has(b"httponly") {
            missing.push_str("; HttpOnly");
        }
        // Of two the last counts, and one that is not known counts as none.
        if !same_site.is_some_and(|(_, value)| is_same_site(value)) {
            missing.push_str(match self.same_site {
                SameSite::Lax => "; SameSite=Lax",
                SameSite::Strict => "; SameSite=Strict",
                SameSite::None => "; SameSite=None",
            });
        }
        (!missing.is_empty()).then(|| [set_cookie, missing.as_bytes()].concat())
    }
}

/// Name and value of each attribute, as browsers read them: a `;` ends one, even between quotes.
fn attributes(set_cookie: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let attributes = set_cookie.split(|byte| *byte == b';').skip(1);
    attributes.map(|attribute| {
        let mut parts = attribute.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        (name.trim_ascii(), parts.next().unwrap_or_default().trim_ascii())
    })
}

fn is_same_site(value: &[u8]) -> bool {
    [&b"lax"[..], b"strict", b"none"].iter().any(|known| value.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: CookieAttributes = CookieAttributes { secure: true, http_only: true, same_site: SameSite::Lax };

    #[test]
    fn a_cookie_gets_what_it_lacks_and_keeps_what_it_has() {
        for (set, expected) in [
            ("a=b", Some("a=b; Secure; HttpOnly; SameSite=Lax")),
            ("a=b; Path=/; Max-Age=0", Some("a=b; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")),
            ("a=b; secure ;HTTPONLY; samesite = strict", None),
            ("a=b; Secure; HttpOnly; SameSite=None", None),
            ("a=b; SameSite=Lax", Some("a=b; SameSite=Lax; Secure; HttpOnly")),
            ("a=b; Secure=1; HttpOnly", Some("a=b; Secure=1; HttpOnly; SameSite=Lax")),
            (
                "a=b; Secure; HttpOnly; SameSite=Sideways",
                Some("a=b; Secure; HttpOnly; SameSite=Sideways; SameSite=Lax"),
            ),
            (
                "a=b; Secure; HttpOnly; SameSite=Lax; SameSite",
                Some("a=b; Secure; HttpOnly; SameSite=Lax; SameSite; SameSite=Lax"),
            ),
            // Browsers know no quotes: the second half is an attribute called `Secure"`.
            ("a=\"x; Secure\"", Some("a=\"x; Secure\"; Secure; HttpOnly; SameSite=Lax")),
            ("Secure; HttpOnly", Some("Secure; HttpOnly; Secure; SameSite=Lax")),
            ("secure=HttpOnly", Some("secure=HttpOnly; Secure; HttpOnly; SameSite=Lax")),
            ("", Some("; Secure; HttpOnly; SameSite=Lax")),
        ] {
            let added = ALL.added_to(set.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(added.as_deref(), expected, "{set}");
        }
        assert_eq!(ALL.added_to(b"a=\xff;Secure;HttpOnly;SameSite=lax"), None);
    }

    #[test]
    fn only_what_is_asked_for_is_added() {
        let added = |attributes: CookieAttributes| attributes.added_to(b"a=b").unwrap();
        let bare = CookieAttributes { secure: false, http_only: false, ..ALL };
        assert_eq!(added(bare), b"a=b; SameSite=Lax");
        assert_eq!(
            added(CookieAttributes { secure: true, same_site: SameSite::None, ..bare }),
            b"a=b; Secure; SameSite=None"
        );
        assert_eq!(added(CookieAttributes { same_site: SameSite::Strict, ..bare }), b"a=b; SameSite=Strict");
    }

    #[test]
    fn what_was_hardened_stays_as_it_is() {
        for set in ["a=b", "", ";;;", "a=b; samesite=\"lax\"", "x"] {
            assert_eq!(ALL.added_to(&ALL.added_to(set.as_bytes()).unwrap()), None, "{set}");
        }
    }
}
