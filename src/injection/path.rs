//! File names that leave their place: steps upwards in every disguise, files of the system, wrappers that open files.

use super::bytes::{at, contains, cut, from, is_word, starts_at};
use super::decode::OBSCURED;
use super::needles::Needles;
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};
use super::work::spend;

/// What a run of dots and separators costs beside its length.
const RUN: usize = 24;

/// Where a file name is looked at: dots but those inside names and numbers, and what stands for one.
pub(super) const TRIGGERS: [Trigger; 4] = [
    Trigger::new(Bytes::WORD.or(Bytes::of(b"\0")).not(), b".", Bytes::ANY),
    Trigger::new(Bytes::ANY, b".", Bytes::WORD.not().or(Bytes::of(b"0_"))),
    Trigger::new(Bytes::ANY, b"0", Bytes::of(b"xX")),
    Trigger::new(Bytes::ANY, &[OBSCURED], Bytes::ANY),
];

/// Reports what `view` would open as a file name, but for [`Traversal`].
pub(super) fn inspect(view: &[u8], findings: &mut Findings) {
    system_files(view, findings);
    wrappers(view, findings);
}

/// Runs of dots and separators: how many steps up, how many of them in disguise.
pub(super) struct Traversal<'a> {
    view: &'a [u8],
    /// What is before has been read.
    pos: usize,
}

impl<'a> Traversal<'a> {
    pub(super) fn new(view: &'a [u8]) -> Self {
        Self { view, pos: 0 }
    }

    /// Reports the run around the mark at `i`; marks are read in their order.
    #[inline]
    pub(super) fn read(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        if i < self.pos {
            return;
        }
        // Most dots and digits stand alone.
        let lone = match at(view, i) {
            b'0' => at(view, i + 1) | 0x20 != b'x' || dot_len(from(view, i)).is_none(),
            b'.' => {
                at(view, i + 1).is_ascii_alphanumeric()
                    && (i == 0 || is_word(at(view, i - 1)))
                    && !matches!(from(view, i), [_, b'0', b'x' | b'X', ..])
            }
            _ => false,
        };
        if !lone {
            self.run(i, findings);
        }
    }

    #[inline(never)]
    fn run(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let mut start = i;
        while start > self.pos && matches!(at(view, start - 1), b'/' | b'\\') {
            start -= 1;
        }
        let run = Run::of(view, start);
        spend(RUN + 2 * run.end.saturating_sub(start));
        self.pos = run.end.max(start + 1);
        let target = from(view, run.end);
        if run.is_attack(target)
            || start == 0 && (run.leads_out(view) || run.parametered)
            || start > 0 && run.leaves_alias(view, start, target)
        {
            findings.report(Rule::PathTraversal);
        }
    }
}

/// A run of dots and separators.
#[derive(Default)]
struct Run {
    end: usize,
    /// `..` between separators, or at the beginning.
    steps: usize,
    /// Three dots or more with a separator, mixed or doubled separators, disguised dots.
    odd: usize,
    separators: usize,
    dots: usize,
    backslashes: usize,
    /// A separator comes first, after something else.
    inner: bool,
    /// `..;/`, which some servers take for a step behind what guards them.
    parametered: bool,
}

impl Run {
    /// The run at `start`.
    fn of(view: &[u8], start: usize) -> Self {
        let mut run =
            Self { end: start, inner: start > 0 && separator_len(from(view, start)).is_some(), ..Self::default() };
        let mut dots = 0;
        let mut i = start;
        loop {
            match at(view, i) {
                b'.' => {
                    dots += 1;
                    i += 1;
                }
                byte @ (b'/' | b'\\') => {
                    run.separators += 1;
                    run.backslashes += usize::from(byte == b'\\');
                    run.dots += dots;
                    run.close(dots);
                    dots = 0;
                    i += 1;
                }
                byte if DISGUISED.contains(byte) => {
                    if let Some(len) = dot_len(from(view, i)).filter(|_| byte != OBSCURED || dots < 2) {
                        dots += 1;
                        run.odd += usize::from(len > 1 || byte == OBSCURED);
                        i += len;
                    } else if let Some(len) = separator_len(from(view, i)) {
                        run.separators += 1;
                        run.odd += usize::from(len > 1 || byte == OBSCURED);
                        // A value that begins so is a path: `/.;/admin`.
                        run.parametered |= byte == b';' && (dots == 2 || dots == 1 && start == 0 && run.separators > 0);
                        run.dots += dots;
                        run.close(dots);
                        dots = 0;
                        i += len;
                    } else {
                        break;
                    }
                }
                _ => break,
            }
        }
        run.dots += dots;
        run.end = i;
        // An ellipsis at the end is no step of its own.
        if dots == 2 || dots > 2 && sensitive(from(view, i)) {
            run.close(dots);
        }
        run
    }

    fn close(&mut self, dots: usize) {
        match dots {
            0 | 1 => {}
            2 => self.steps += 1,
            _ => {
                self.steps += 1;
                self.odd += 1;
            }
        }
    }

    /// Whether a client has no reason to send this, given what stands after it.
    fn is_attack(&self, target: &[u8]) -> bool {
        if self.separators == 0 || self.steps == 0 {
            return self.separators > 0 && self.dots > 0 && sensitive(target) && self.separators + self.dots > 2;
        }
        if self.odd > 0 && (self.steps > 1 || !target.is_empty() && self.separators > 1) || sensitive(target) {
            return true;
        }
        if self.separators >= 8 && self.dots >= 8 || self.parametered && self.steps > 0 {
            return true;
        }
        self.steps >= 3 || self.steps >= 2 && (self.backslashes > 0 || self.inner || at(target, 0) == b'{')
    }
}

impl Run {
    /// Whether a value that begins with this run leads out of its directory: from the root, or to a script or its settings.
    fn leads_out(&self, view: &[u8]) -> bool {
        if self.steps == 0 || self.separators == 0 || view.contains(&b' ') {
            return false;
        }
        let alone = self.end >= view.len() && self.steps + self.separators >= 3;
        if alone && self.steps >= 2 && self.separators >= 2 {
            return true;
        }
        let rooted = matches!(at(view, 0), b'/' | b'\\') && (self.steps >= 2 || self.odd > 0 || alone);
        rooted || SUFFIXES.any_in(from(view, self.end.saturating_sub(1)))
    }
}

impl Run {
    /// Whether this run, at `start` of a path from the root, leaves the directory whose name a server puts another for: `/static../a`.
    fn leaves_alias(&self, view: &[u8], start: usize, target: &[u8]) -> bool {
        at(view, 0) == b'/'
            && self.steps == 1
            && (self.dots, self.separators) == (2, 1)
            && is_word(at(view, start - 1))
            && is_word(at(target, 0))
            && !view.contains(&b' ')
    }
}

/// What scripts and their settings end with.
static SUFFIXES: Needles =
    Needles::new(&[b".php", b".inc", b".conf", b".ini", b".db", b".bak", b".log", b".pass", b".asp"]);

/// What a dot or a separator in disguise begins with.
static DISGUISED: Bytes = Bytes::of(&[b'0', b'%', b';', OBSCURED, 1]);

/// The length of a dot at the beginning of `rest`, in any disguise.
#[inline]
const fn dot_len(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'.' | OBSCURED, ..] => Some(1),
        [b'0', b'x' | b'X', b'2', b'e' | b'E', ..] => Some(4),
        _ => None,
    }
}

/// The length of a separator at the beginning of `rest`, in any disguise.
#[inline]
const fn separator_len(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'/' | b'\\' | OBSCURED | 1, ..] => Some(1),
        [b'0', b'x' | b'X', b'2', b'f' | b'F', ..] | [b'0', b'x' | b'X', b'5', b'c' | b'C', ..] => Some(4),
        [b'%', first, second, b'%', ..] if first.is_ascii_alphanumeric() && second.is_ascii_alphanumeric() => Some(6),
        [b';', b'/', ..] => Some(2),
        [b'%', b'/' | b'\\' | b'.', ..] => Some(1),
        _ => None,
    }
}

/// What traversals go for; matched at the beginning, after separators.
static TARGETS: Needles = Needles::new(&[
    b"boot.ini",
    b"windows",
    b"winnt",
    b"win.ini",
    b"proc/",
    b"web-inf",
    b"meta-inf",
    b"{file}",
    b"passwd",
    b"shadow",
    b"var/log",
    b"inetpub",
    b"system32",
    b".ssh",
    b".git",
    b".env",
    b".htaccess",
    b".htpasswd",
    b"wp-config",
    b"root/",
    b"autoexec.bat",
]);

fn sensitive(target: &[u8]) -> bool {
    TARGETS.any_at(target, 0) || starts_at(target, 0, b"etc") && !is_word(at(target, 3))
}

/// Files that no client has reason to name, wherever they stand.
static FILES: Needles = Needles::new(&[
    b"etc/passwd",
    b"etc/shadow",
    b"etc/group",
    b"etc/master.passwd",
    b"etc/security/",
    b"etc/issue",
    b"etc/crontab",
    b"etc/sudoers",
    b"proc/self/",
    b"proc/version",
    b"proc/cpuinfo",
    b"boot.ini",
    b"win.ini",
    b"windows/system32",
    b"windows\\system32",
    b"web-inf/",
    b"repair/sam",
    b"config/sam",
    b".ssh/",
    b"/.aws/",
    b"/.docker/",
    b"php.ini",
    b"httpd.conf",
    b"my.cnf",
    b".bash_history",
    b".mysql_history",
    b"access_log",
    b"error_log",
    b"access.log",
    b"error.log",
    b".htpasswd",
    b"var/log/",
    b"meta-inf/",
    b"/.git/",
    b"/.env",
    b"/wp-config.php",
    b"::$data",
    b"/.htaccess",
    b"/.svn/",
    b"/.hg/",
    b"/.npmrc",
    b"/web.config",
    b"\\web.config",
    b"tomcat-users.xml",
    b"vhosts.conf",
    b".kube/config",
    b"run/secrets/",
    b"var/mail/",
    b"var/spool/",
    b"windows/repair",
    b"windows\\repair",
    b"windows/panther",
    b"windows\\panther",
    b"winnt/system32",
    b"winnt\\system32",
    b"inetpub/logs",
    b"ntuser.dat",
    b"autoexec.bat",
    b"pagefile.sys",
    b"hiberfil.sys",
    b"sysprep",
]);

/// What old servers run, whatever is cut off behind a NUL.
static SCRIPTS: Needles = Needles::new(&[b".php\0", b".jsp\0", b".asp\0", b".aspx\0", b".cgi\0"]);

fn system_files(view: &[u8], findings: &mut Findings) {
    // Space behind a name that begins at the root is none of it.
    let view = if separates(at(view, 0)) { view.trim_ascii_end() } else { view };
    if memchr::memchr3(b'/', b'\\', b'.', view).is_none() {
        return;
    }
    if memchr::memchr(0, view).is_some() && SCRIPTS.any_in(cut(view, 0, 512)) {
        findings.report(Rule::PathSystemFile);
    }
    if [&b"%windir%"[..], b"%systemroot%"]
        .iter()
        .any(|name| starts_at(view, 0, name) && separates(at(view, name.len())))
    {
        findings.report(Rule::PathSystemFile);
    }
    // `c:\boot.ini`, but not `a: boot.ini`, which is prose.
    let drive =
        at(view, 1) == b':' && (matches!(at(view, 2), b'/' | b'\\' | b'.') || at(view, 2).is_ascii_alphabetic());
    let begins = matches!(at(view, 0), b'/' | b'\\' | b'.') || drive;
    if !begins {
        let named: [&[u8]; 13] = [
            b".aws/credentials",
            b".git-credentials",
            b"web-inf/",
            b"meta-inf/",
            // The contents of a file for Windows, whose name leads to its script.
            b"::$data",
            b".ssh/",
            b"_history",
            b"etc/passwd",
            b"etc\\passwd",
            b"etc/shadow",
            b"boot.ini",
            b"win.ini",
            b"etc/issue",
        ];
        if view.len() <= 512 && !view.contains(&b' ') && named.iter().any(|name| contains(view, name)) {
            findings.report(Rule::PathSystemFile);
        }
        return;
    }
    // Of several separators one counts.
    let root = view.iter().take_while(|&&byte| matches!(byte, b'/' | b'\\')).count().saturating_sub(1);
    let places = [
        &b"/etc/"[..],
        b"\\etc\\",
        b"/proc/",
        b"/var/log/",
        b"/usr/local/etc/",
        b".git/",
        // Escaped, so that it is no path of the machine that built this.
        b"\x2Froot/.",
        b"/dev/fd/",
        b"/var/lib/mysql/",
        b"/var/run/docker.sock",
    ];
    if places.iter().any(|place| starts_at(view, root, place)) && !view.contains(&b' ') {
        findings.report(Rule::PathSystemFile);
    }
    let drive = at(view, 1) == b':';
    if (drive || !view.contains(&b' ')) && FILES.any_in(cut(view, 0, 512)) {
        findings.report(Rule::PathSystemFile);
    }
}

const fn separates(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Schemes that open files or run filters.
static WRAPPERS: Needles = Needles::new(&[
    b"data://",
    b"php://",
    b"phar://",
    b"expect://",
    b"zip://",
    b"zlib://",
    b"glob://",
    b"ogg://",
    b"rar://",
    b"compress.zlib://",
    b"compress.bzip2://",
    // PHP in base64.
    b"data:text/plain;base64,pd9",
    b"data:;base64,pd9",
    b"ssh2.",
    b"jar:",
    b"netdoc:",
    b"gopher://",
    b"dict://",
    b"ldap://",
    b"ldaps://",
    b"tftp://",
]);

fn wrappers(view: &[u8], findings: &mut Findings) {
    let start = super::bytes::skip_space(view, 0);
    if WRAPPERS.any_at(view, start) {
        findings.report(Rule::PathWrapper);
    }
    if starts_at(view, start, b"file:") && matches!(at(view, start + 5), b'/' | b'\\') {
        findings.report(Rule::PathWrapper);
    }
    let head = cut(view, start, start + 256);
    let inner = memchr::memchr(b':', head).is_some();
    if inner && (contains(head, b"php://filter") || contains(head, b"php://input")) {
        findings.report(Rule::PathWrapper);
    }
}
