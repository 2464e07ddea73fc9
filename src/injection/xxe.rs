//! External entities of XML: declarations and inclusions that make a parser open files or URLs.

use super::bytes::{at, contains, cut, from, skip_space, starts_at};
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};

/// Where a declaration or an inclusion begins.
pub(super) const TRIGGERS: [Trigger; 1] = [Trigger::new(Bytes::ANY, b"<", Bytes::of(b"!xX"))];

/// How far a declaration is read.
const REACH: usize = 256;

/// Reports what the `<` at `i` of `view` would make a parser open.
#[inline(never)]
pub(super) fn read(view: &[u8], i: usize, findings: &mut Findings) {
    if starts_at(view, i, b"<!entity") {
        entity(cut(view, i + 8, i + REACH), findings);
    } else if starts_at(view, i, b"<!doctype") {
        doctype(cut(view, i + 9, i + REACH), findings);
    } else if starts_at(view, i, b"<xi:include") || starts_at(view, i, b"<xinclude:include") {
        findings.report(Rule::XxeInclusion);
    }
}

/// `<!ENTITY name SYSTEM "url">`, and `<!ENTITY % name ...>`, which rewrites declarations.
fn entity(rest: &[u8], findings: &mut Findings) {
    let start = skip_space(rest, 0);
    let declared = cut(rest, 0, end_of(rest));
    let external =
        start > 0 && (external_id(declared).is_some() || at(rest, start) == b'%' && at(rest, start + 1) <= b' ');
    if external {
        findings.report(Rule::XxeEntity);
    }
}

/// `<!DOCTYPE name SYSTEM "url">`, but for those that every browser knows.
fn doctype(rest: &[u8], findings: &mut Findings) {
    let declared = cut(rest, 0, end_of(rest));
    let Some(id) = external_id(declared) else { return };
    let known = contains(id, b"about:legacy-compat") || contains(id, b"-//w3c//dtd") || contains(id, b"www.w3.org/");
    if !known {
        findings.report(Rule::XxeDoctype);
    }
}

/// What follows `SYSTEM` or `PUBLIC` and begins a quoted identifier.
fn external_id(declared: &[u8]) -> Option<&[u8]> {
    let name = skip_space(declared, 0);
    let parted = from(declared, name).iter().position(|&byte| byte <= b' ')? + name;
    let keyword = skip_space(declared, parted);
    let after =
        [&b"system"[..], b"public"].into_iter().find(|word| starts_at(declared, keyword, word))?.len() + keyword;
    let quoted = skip_space(declared, after);
    matches!(at(declared, quoted), b'"' | b'\'').then(|| from(declared, quoted))
}

/// The end of the declaration: its `>` or what opens an internal subset.
fn end_of(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'>' | b'[')).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Class, ClassSet, scan};

    fn found(value: &str) -> Option<&'static str> {
        scan(value.as_bytes(), ClassSet::NONE.with(Class::Xxe)).map(|finding| finding.rule)
    }

    #[test]
    fn finds_what_makes_a_parser_open_something() {
        for (value, rule) in [
            ("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/hosts\">]><a>&b;</a>", "xxe-entity"),
            ("<!entity b PUBLIC 'x' 'http://evil.example/'>", "xxe-entity"),
            ("<!ENTITY % b 'c'>", "xxe-entity"),
            ("<!DOCTYPE a SYSTEM \"http://evil.example/a.dtd\">", "xxe-doctype"),
            ("<!DOCTYPE a PUBLIC \"-//evil//\" \"http://evil.example/\">", "xxe-doctype"),
            ("<xi:include href=\"file:///etc/hosts\" parse=\"text\"/>", "xxe-inclusion"),
            ("&lt;!ENTITY b SYSTEM \"x\"&gt;", "xxe-entity"),
            ("<\0!\0E\0N\0T\0I\0T\0Y\0 \0b\0 \0S\0Y\0S\0T\0E\0M\0 \0\"\0x\0\"\0>\0", "xxe-entity"),
        ] {
            assert_eq!(found(value), Some(rule), "{value}");
        }
    }

    #[test]
    fn ordinary_documents_raise_nothing() {
        for value in [
            "<!DOCTYPE html><p>a</p>",
            "<!doctype html SYSTEM \"about:legacy-compat\">",
            "<!ENTITY copy \"&#169;\">",
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">",
            "<x>system</x>",
            "<!-- ENTITY SYSTEM -->",
            "the SYSTEM \"a\"",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }
}
