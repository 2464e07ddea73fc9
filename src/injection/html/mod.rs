//! Script in a browser: what HTML's tokeniser would make of the value, in text, in an attribute or in a script.
//!
//! The page around the value is unknown, so nothing here trusts quotes: a tag, an event handler or a script URL counts
//! wherever the value itself sets the scene for it. One pass, each trigger byte looks at a bounded neighbourhood.

mod closed;
mod passed;
mod script;
mod words;

use super::bytes::{at, contains, cut, from, is_word, skip_space, starts_at};
use super::edits;
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};
use super::work::spend;
pub(super) use closed::whole;
use passed::{ACTS, Attributes, HREF, META, Passed, SHEET, STYLE, STYLED};
use script::SHOWS;
use std::ops::Range;
use words::{ACTIVE, BY_ATTRIBUTE, EVENTS, SCRIPT_SCHEMES};

/// How far an element that sets an attribute is read for its name; others of this name set what a program knows.
const SET_REACH: usize = 64;
/// The most space before the place of a link.
const MAX_SPACE: usize = 8;
/// The longest name of an attribute of a framework.
const MAX_DIRECTIVE: usize = 44;
/// The most bytes that close a tag at the beginning of a value.
const MAX_CLOSED: usize = 8;
/// What a tag costs with the signs of its attributes, a declaration, the name of an attribute or of a scheme, and a URL of data.
const MARKUP: usize = 22;
const DECLARATION: usize = 64;
const NAME: usize = 5;
const DATA: usize = 96;
/// What a URL costs that runs script.
const SCRIPT: usize = 96;
/// How far a tag is read for what its attributes say.
const TAG_REACH: usize = 512;

/// Where a page is looked at: what begins a tag, and what ends the name of an attribute, a scheme, a call or an object.
pub(super) const TRIGGERS: [Trigger; 6] = [
    Trigger::new(Bytes::ANY, b"<", Bytes::LETTERS.or(Bytes::of(b"!?/\"'<%\0"))),
    Trigger::new(Bytes::WORD.or(Bytes::BLANK).or(Bytes::HIGH), b"=", Bytes::of(b"=").not()),
    // The last letters of the schemes and of the calls that are known.
    Trigger::new(Bytes::of(b"tsadlTSADL").or(Bytes::BLANK), b":", Bytes::ANY),
    Trigger::new(Bytes::of(b"tmlhnedpryTMLHNEDPRY )./\t\n"), b"(`", Bytes::ANY),
    Trigger::new(Bytes::of(b"twfpnrTWFPNR"), b".[", Bytes::ANY),
    Trigger::new(Bytes::of(b"sSyY$"), b".[", Bytes::LETTERS.or(Bytes::of(b"\"'`(/"))),
];

/// What has been passed of a view that may stand inside a page.
pub(super) struct Page<'a> {
    view: &'a [u8],
    /// The last place where a tag begins.
    tag: Option<usize>,
    /// Where the last name begins that was read as a tag's: several marks may stand before it.
    name: usize,
    /// Where the first quote is, once it has been looked for; the length when there is none.
    quote: Option<usize>,
    /// Where something else than space and quotes stands first, once it has been looked for.
    beginning: Option<usize>,
    attributes: Attributes,
    passed: Passed,
}

impl<'a> Page<'a> {
    pub(super) fn new(view: &'a [u8]) -> Self {
        Self {
            view,
            tag: None,
            name: 0,
            quote: None,
            beginning: None,
            attributes: Attributes::default(),
            passed: Passed::default(),
        }
    }

    /// Reports what the mark `byte` at `i` would do; marks are read in their order.
    #[inline(never)]
    pub(super) fn read(&mut self, i: usize, byte: u8, findings: &mut Findings) {
        match byte {
            b'<' => self.markup(i, findings),
            b'=' => self.attribute(i, findings),
            b':' => self.scheme(i, findings),
            b'(' | b'`' => self.call(i, findings),
            b'.' | b'[' => self.access(i, findings),
            _ => {}
        }
    }

    /// Goes on at `i` where what was passed has been read before.
    pub(super) fn resume(&mut self, i: usize) {
        if let Some(tag) = last_tag(cut(self.view, 0, i + MAX_OPENING), self.tag.unwrap_or(0)).filter(|&tag| tag < i) {
            self.tag = Some(tag);
        }
    }

    /// The first quote, if it stands before `i`.
    fn quote_before(&mut self, i: usize) -> Option<usize> {
        let view = self.view;
        let first = *self.quote.get_or_insert_with(|| memchr::memchr3(b'\'', b'"', b'`', view).unwrap_or(view.len()));
        (first < i).then_some(first)
    }

    /// Whether nothing but space and quotes stands before `i`.
    fn begins(&mut self, i: usize) -> bool {
        let opening = |&byte: &u8| byte <= b' ' || matches!(byte, b'"' | b'\'');
        *self.beginning.get_or_insert_with(|| self.view.iter().take_while(|byte| opening(byte)).count()) >= i
    }

    /// `<` at `i`.
    #[inline(never)]
    fn markup(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let mut start = i + 1;
        // Tokenisers that skip NULs, and filters that remove inner tags, see these as the tag itself.
        while matches!(at(view, start), 0 | b'<' | b'%') && start < view.len() && start - i < 4 {
            start += 1;
        }
        let closing = at(view, start) == b'/';
        let name_start = if closing { start + 1 } else { start };
        match at(view, name_start) {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'!' | b'?' => return self.declaration(i, name_start, findings),
            b'"' | b'\'' | b'/' if !closing => {
                self.tag = Some(i);
                return;
            }
            _ => return,
        }
        if !closing && i <= MAX_CLOSED && closes_tag(cut(view, 0, i)) {
            findings.report(Rule::XssAttributeBreakout);
        }
        self.tag = Some(i);
        let after_word = i > 0 && is_word(at(view, i - 1));
        if !after_word && std::mem::replace(&mut self.name, name_start) == name_start {
            return;
        }
        let name = self.tag_name(name_start);
        let local = name.rsplit(|&byte| byte == b':').next().unwrap_or_default();
        let after = name_start + name.len();
        if local.eq_ignore_ascii_case(b"script") && (closing || !is_word(at(view, after))) {
            findings.report(Rule::XssScriptTag);
            return;
        }
        if closing {
            return;
        }
        spend(MARKUP);
        if [&b"xml:"[..], b"svg:", b"esi:"].iter().any(|space| starts_at(name, 0, space)) {
            findings.report(Rule::XssActiveTag);
        }
        let (local_len, sheet) = (local.len(), match_name(local, b"style"));
        let named = matches!(at(view, after), 0..=b' ' | b'/' | b'>' | b'<' | b'"' | b'\'');
        // `Vec<Object>` and `L<base>` are types and links of text.
        let generic = after_word && at(view, after) == b'>';
        let listed = named
            && !generic
            && ACTIVE.contains(local)
            && !(BY_ATTRIBUTE.contains(local) && self.is_bare(after))
            && (!match_name(local, b"set") || contains(cut(view, after, after + SET_REACH), b"attributename"));
        let (meta, link) = (match_name(local, b"meta"), match_name(local, b"link"));
        let end = self.attributes.end(view, after);
        // A style sheet's own text follows its tag.
        let reach = if sheet { after + TAG_REACH } else { end };
        let signs = self.attributes.signs(view, after, reach);
        if listed
            || meta && signs & META != 0
            || link && signs & HREF != 0 && signs & SHEET != 0
            || local_len > 0 && signs & ACTS != 0
        {
            findings.report(Rule::XssActiveTag);
        }
        if (sheet || signs & STYLE != 0) && signs & STYLED != 0 || sheet && imports_only(from(view, end + 1)) {
            findings.report(Rule::XssStyle);
        }
    }

    /// Whether the tag whose name ends at `after` has no attribute.
    fn is_bare(&self, after: usize) -> bool {
        let marks = from(self.view, after).iter().take(TAG_REACH).take_while(|&&byte| byte <= b' ' || byte == b'/');
        let end = after + marks.count();
        end >= self.view.len() || at(self.view, end) == b'>'
    }

    fn tag_name(&self, start: usize) -> &'a [u8] {
        let rest = cut(self.view, start, start + 40);
        let len = rest.iter().take_while(|&&byte| is_word(byte) || matches!(byte, b':' | b'-')).count();
        cut(rest, 0, len)
    }

    /// `<!` and `<?` at `i`.
    fn declaration(&mut self, i: usize, mark: usize, findings: &mut Findings) {
        let view = self.view;
        spend(DECLARATION);
        let declares = starts_at(view, mark, b"!entity")
            || starts_at(view, mark, b"!attlist")
            || starts_at(view, mark, b"!element")
            || starts_at(view, mark, b"?import")
            || starts_at(view, mark, b"?xml-stylesheet")
            || starts_at(view, mark, b"![cdata[<");
        let head = cut(view, mark, mark + 96);
        let doctype = starts_at(view, mark, b"!doctype")
            && memchr::memchr2(b'[', b'>', head).is_some_and(|end| at(head, end) == b'[');
        let conditional = starts_at(view, mark, b"!--[if") && memchr::memchr(b'<', from(head, 6)).is_some();
        if declares || doctype {
            findings.report(Rule::XssDeclaration);
        }
        if conditional || at(view, mark + 1).is_ascii_alphabetic() {
            self.tag = Some(i);
        }
    }

    /// `=` at `i`: an event handler before it?
    #[inline(never)]
    fn attribute(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let mut end = i;
        // The name before an earlier mark is not reached again.
        while end > 0 && (at(view, end - 1) <= b' ' || at(view, end - 1) >= 0x80) {
            end -= 1;
        }
        let mut start = end;
        while start > 0 && end - start < 44 && is_word(at(view, start - 1)) {
            start -= 1;
        }
        let name = cut(view, start, end);
        spend(NAME);
        if let Some(tag) = self.tag
            && self.is_directive(start)
        {
            let value = skip_space(view, i + 1);
            if at(view, i + 1) != b'='
                && self.attributes.end(view, tag) > i
                && self.passed.runs(view, value, value + 96)
            {
                findings.report(Rule::XssEventHandler);
            }
            return;
        }
        if self.hands_on(start, name, i + 1) {
            findings.report(Rule::XssScriptBreakout);
            return;
        }
        if name.len() < 5 || !starts_at(name, 0, b"on") {
            return;
        }
        // `{onerror=alert}throw 1`
        let handed = name.eq_ignore_ascii_case(b"onerror") && SHOWS.iter().any(|show| starts_at(view, i + 1, show));
        if handed && matches!(at(view, start.wrapping_sub(1)), b'{' | b';' | b'-' | b',') {
            findings.report(Rule::XssScriptAccess);
            return;
        }
        let parted = start == 0
            || !(is_word(at(view, start - 1))
                || matches!(at(view, start - 1), b'.' | b'-' | b'$' | b'@' | b'[' | b'{'));
        let value = skip_space(view, i + 1);
        if !parted || value >= view.len() || at(view, i + 1) == b'=' {
            return;
        }
        let known = EVENTS.contains(from(name, 2));
        // Browsers name their handlers in letters alone, programs their variables also otherwise.
        if !known && (self.tag.is_none() || !name.iter().all(u8::is_ascii_alphabetic)) {
            return;
        }
        let scripted = self.passed.runs(view, value, value + 96);
        if self.tag.is_some() {
            if known || scripted {
                findings.report(Rule::XssEventHandler);
            }
        } else if known && (scripted || self.broke_out(start)) && !is_declared(view, start) {
            findings.report(Rule::XssAttributeBreakout);
        }
    }

    /// Whether the attribute whose last word begins at `start` is code for a framework of scripts: `@click`, `v-on:click`,
    /// `x-init`, `ng-focus`.
    fn is_directive(&self, start: usize) -> bool {
        let view = self.view;
        if !matches!(at(view, start.wrapping_sub(1)), b'@' | b':' | b'-') {
            return false;
        }
        let before = cut(view, start.saturating_sub(MAX_DIRECTIVE), start);
        let named = |&&byte: &&u8| is_word(byte) || matches!(byte, b'@' | b':' | b'-');
        let len = before.iter().rev().take_while(named).count();
        spend(len);
        let parted = before.len() > len && matches!(at(before, before.len() - len - 1), 0..=b' ' | b'/' | b'"' | b'\'');
        let prefixes: [&[u8]; 8] = [b"@", b"v-on:", b"x-", b"ng-", b"hx-on:", b"hx-on-", b"data-hx-on", b"data-ng-"];
        parted && prefixes.iter().any(|prefix| starts_at(view, start - len, prefix))
    }

    /// Whether a quote before `i` closes an attribute's value: nothing but what ends one stands between.
    fn broke_out(&mut self, i: usize) -> bool {
        self.quote_before(i).is_some_and(|quote| quote == 0 || at(self.view, quote - 1) > b' ')
    }

    /// `:` at `i`: a scheme that runs script before it?
    #[inline(never)]
    fn scheme(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let mut name = [0u8; 12];
        let mut len = 0;
        let mut start = i;
        // Browsers drop control characters inside a scheme, however many.
        while start > 0 {
            let byte = at(view, start - 1);
            if byte.is_ascii_alphabetic() {
                let Some(slot) = name.get_mut(len) else { return };
                *slot = byte.to_ascii_lowercase();
                len += 1;
            } else if byte > b' ' || byte == b' ' && len > 0 {
                break;
            }
            start -= 1;
        }
        if len < 3 {
            return;
        }
        spend(NAME);
        let Some(name) = name.get_mut(..len) else { return };
        name.reverse();
        let rest = from(view, i + 1);
        let begins = self.begins(start);
        let placed = begins
            || self.tag.is_some()
            || self.quote_before(i).is_some()
            || matches!(at(view, start.wrapping_sub(1)), b'=' | b'(' | b':' | b'/')
            || is_link(view, start);
        if SCRIPT_SCHEMES.iter().any(|scheme| name == scheme.as_bytes()) {
            spend(SCRIPT);
            let bare = self.tag.is_some() && at(view, start.wrapping_sub(1)) == b'=';
            if does_nothing(rest, bare) {
                return;
            }
            // A value that is a URL is script to its end, one that begins a sentence is not.
            let whole = begins && (at(rest, 0) > b' ' || !at(rest, skip_space(rest, 0)).is_ascii_alphabetic());
            let end = if whole { view.len() } else { i + 201 };
            let scripted = placed
                && (self.passed.runs(view, i + 1, end)
                    || starts_at(rest, 0, b"//") && contains(cut(rest, 0, 200), b"alert"));
            if scripted || self.tag.is_some() && at(rest, 0) > b' ' {
                findings.report(Rule::XssScriptUrl);
            }
        } else if name == b"data" && placed && self.passed.has_comma(view, i) && data_runs(rest, is_image(view, start))
            || (name == b"feed" || name == b"mhtml") && self.tag.is_some()
        {
            findings.report(Rule::XssScriptUrl);
        }
    }
}

/// The most bytes that tell whether a tag begins with the first.
const MAX_OPENING: usize = 8;

/// The last place after `since` where a tag begins.
fn last_tag(text: &[u8], since: usize) -> Option<usize> {
    let mut end = text.len();
    loop {
        let place = since + memchr::memrchr(b'<', cut(text, since, end))?;
        if begins_tag(text, place) {
            return Some(place);
        }
        end = place;
    }
}

/// The first place from `since` on where a tag begins.
fn next_tag(text: &[u8], since: usize) -> Option<usize> {
    let mut start = since;
    loop {
        let place = start + memchr::memchr(b'<', from(text, start))?;
        if begins_tag(text, place) {
            return Some(place);
        }
        start = place + 1;
    }
}

/// The same of a quote.
fn next_quote(text: &[u8], since: usize) -> Option<usize> {
    memchr::memchr3(b'\'', b'"', b'`', from(text, since)).map(|place| since + place)
}

/// Whether a tag may begin with the `<` at `i`.
fn begins_tag(text: &[u8], i: usize) -> bool {
    let skipped = cut(text, i + 1, i + 4).iter().take_while(|byte| matches!(byte, 0 | b'<' | b'%')).count();
    let start = i + 1 + skipped;
    let name = start + usize::from(at(text, start) == b'/');
    at(text, name).is_ascii_alphabetic() || matches!(at(text, start), b'!' | b'?' | b'"' | b'\'' | b'/')
}

/// `regions`, and what stands behind the first tag or the first quote of a view where `changes` made that the first.
pub(super) fn with_settings(view: &[u8], changes: &[Range<usize>], regions: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut all = Vec::with_capacity(regions.len());
    let set = unsettled(view, changes, next_tag);
    let quoted = unsettled(view, changes, next_quote);
    let wider = if set.start < quoted.start { [set, quoted] } else { [quoted, set] };
    let mut wider = wider.into_iter().filter(|region| !region.is_empty()).peekable();
    for region in regions {
        while let Some(wide) = wider.next_if(|wide| wide.start < region.start) {
            edits::join(&mut all, wide, 0);
        }
        edits::join(&mut all, region, 0);
    }
    wider.for_each(|wide| edits::join(&mut all, wide, 0));
    all
}

/// From the first place that is `next` to the first that is so whatever was changed.
fn unsettled(view: &[u8], changes: &[Range<usize>], next: fn(&[u8], usize) -> Option<usize>) -> Range<usize> {
    let Some(first) = next(view, 0) else { return 0..0 };
    let mut settled = first;
    for change in changes {
        if settled + MAX_OPENING < change.start {
            break;
        }
        if settled < change.end {
            settled = next(view, change.end).unwrap_or(view.len());
        }
    }
    first..settled
}

/// Whether space and before it what begins the place of a link stands before `i`: `[a]( b)`, `[a]: b`, `href= b`.
#[inline(never)]
fn is_link(view: &[u8], i: usize) -> bool {
    let before = cut(view, i.saturating_sub(MAX_SPACE), i);
    let text = before.trim_ascii_end();
    text.len() < before.len() && matches!(text, [.., b'(' | b'='] | [.., b']', b':'])
}

/// Whether the name at `i` is one that a program declares.
fn is_declared(view: &[u8], i: usize) -> bool {
    [&b"const "[..], b"let ", b"var "].iter().any(|word| i >= word.len() && starts_at(view, i - word.len(), word))
}

/// Whether a value that begins with `text` closes an attribute's value and the tag around it, and no more.
fn closes_tag(text: &[u8]) -> bool {
    matches!(text.trim_ascii(), [b'"' | b'\'', .., b'>'])
        && text.iter().all(|&byte| byte <= b' ' || matches!(byte, b'"' | b'\'' | b'/' | b'>'))
}

/// Whether a style sheet has little but an import: one among other styles is everyday in mail.
fn imports_only(sheet: &[u8]) -> bool {
    starts_at(sheet, skip_space(sheet, 0), b"@import") && sheet.len() < 200
}

fn match_name(name: &[u8], lower: &[u8]) -> bool {
    name.eq_ignore_ascii_case(lower)
}

/// Whether the script of a URL is the one that links of pages have where there is nothing to go to: `void(0)`. A `>` ends one
/// that is bare in its tag, and compares in others.
fn does_nothing(script: &[u8], bare: bool) -> bool {
    let start = skip_space(cut(script, 0, 8), 0);
    let voids = [&b"void(0)"[..], b"void 0"].into_iter().find(|void| starts_at(script, start, void));
    let end = start + voids.map_or(0, <[u8]>::len);
    let end = end + usize::from(at(script, end) == b';');
    end > start
        && (end >= script.len() || matches!(at(script, end), b'"' | b'\'' | b')') || bare && at(script, end) == b'>')
}

/// Whether a style names the URL at `start` as one of an image, in which no script runs.
fn is_image(view: &[u8], start: usize) -> bool {
    let start = start - usize::from(start > 0 && matches!(at(view, start - 1), b'"' | b'\''));
    start > 4 && starts_at(view, start - 4, b"url(")
}

/// Whether a data URL's type is one that a browser runs.
fn data_runs(rest: &[u8], image: bool) -> bool {
    spend(DATA);
    let start = skip_space(rest, 0);
    let head = cut(rest, start, start + 64);
    let end = head.iter().position(|&byte| matches!(byte, b',' | b';'));
    // Browsers cut space off a type.
    let end = end.or_else(|| head.iter().position(|&byte| byte <= b' ')).unwrap_or(head.len());
    let kind = cut(head, 0, end);
    let typed = [&b"text/html"[..], b"svg", b"xml", b"text/xsl", b"javascript", b"text/x-scriptlet"]
        .iter()
        .any(|sign| contains(kind, sign));
    let ends = matches!(at(rest, skip_space(rest, start + end)), b',' | b';');
    typed && ends && !(image && contains(kind, b"image/svg"))
}
