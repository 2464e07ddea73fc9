//! References between schemas of one document: URI references resolved against a base (RFC 3986 section 5.2).

/// What `reference` means where `base` is in force; without a fragment.
///
/// `base` is a URI or empty. Only what schemas of one document need: the result is compared, never fetched.
pub(super) fn resolve(base: &str, reference: &str) -> String {
    let reference = without_fragment(reference);
    if reference.is_empty() {
        return base.to_owned();
    }
    if has_scheme(reference) {
        return reference.to_owned();
    }
    let (scheme, rest) = if has_scheme(base) { base.split_once(':').unwrap_or_default() } else { ("", base) };
    let prefix = if scheme.is_empty() { String::new() } else { format!("{scheme}:") };
    if reference.starts_with("//") {
        return prefix + reference;
    }
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) => rest.split_at_checked(2 + after.find('/').unwrap_or(after.len())).unwrap_or_default(),
        None => ("", rest),
    };
    let (reference, query) = match reference.split_once('?') {
        Some((reference, query)) => (reference, format!("?{query}")),
        None => (reference, String::new()),
    };
    let path = match path.rsplit_once('/') {
        _ if reference.is_empty() => path.to_owned(),
        _ if reference.starts_with('/') => without_dots(reference),
        Some((folder, _)) => without_dots(&format!("{folder}/{reference}")),
        None if authority.is_empty() => without_dots(reference),
        None => without_dots(&format!("/{reference}")),
    };
    format!("{prefix}{authority}{path}{query}")
}

/// The fragment, percent-decoded; empty where there is none. `None`: no UTF-8.
pub(super) fn fragment(reference: &str) -> Option<String> {
    let encoded = reference.split_once('#').map_or("", |(_, fragment)| fragment);
    String::from_utf8(crate::media::percent::decode(encoded.as_bytes()).bytes.into_owned()).ok()
}

fn without_fragment(reference: &str) -> &str {
    reference.split('#').next().unwrap_or_default()
}

fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?', '#']).unwrap_or(reference.len());
    reference.get(end..).is_some_and(|rest| rest.starts_with(':')) && end > 0
}

/// RFC 3986 section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." && kept.len() > 1 {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_as_rfc_3986_section_5_4_shows() {
        let base = "http://a/b/c/d;p?q";
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", base),
            ("", base),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
        ] {
            assert_eq!(resolve(base, reference), expected, "{reference}");
        }
        assert_eq!(resolve("http://a", "g"), "http://a/g");
        assert_eq!(resolve("", "item#x"), "item");
        assert_eq!(resolve("urn:uuid:1", "#x"), "urn:uuid:1");
    }

    #[test]
    fn fragments_are_percent_decoded() {
        assert_eq!(fragment("a#/x%22y"), Some("/x\"y".to_owned()));
        assert_eq!(fragment("a"), Some(String::new()));
        assert_eq!(fragment("a#%ff"), None);
    }
}
