//! SQL that SQLite, MariaDB or PostgreSQL executes, each with the harmless text that resembles it.

use super::super::Class;
use super::{assert_found, rule_of};

#[test]
fn finds_conditions_over_documents_casts_and_rows() {
    assert_found(
        Class::Sqli,
        &[
            "7 or '{\"a\":2}' -> '$.a' = 2",
            "7 or '{\"a\":[3]}'::json #>> '{a}' = '3'",
            "7 and '{\"a\":2}'::jsonb ? 'a'",
            "7 or doc @> '{\"a\":2}'",
            "7 or doc->>'a' like '%'",
            "7 or 't'::bool",
            "7 and 2::bool",
            "x'or'1'::bool--",
            "7 or (2,3)=(2,3)",
            "%'or'7",
        ],
    );
    for value in [
        "'a' -> 'b' and 'c' -> 'd'",
        "`a -> b` or `c`",
        "2 or p->x",
        "a || b->c",
        "a && b ? 'c' : 'd'",
        "`Tag::A` or `Tag::B`",
        "\"%s, %s\" % (a, b)  # one",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_columns_and_rows_that_go_on_behind_a_closed_string() {
    assert_found(
        Class::Sqli,
        &[
            "x','y',7,'{}')returning *--",
            "x', role=\"admin\"-- ",
            "x',role=null where id=7--x",
            "x',role=7-- abcd",
            "x',null,null);\0",
            "a',age=7,role='b",
            "x',users.role='admin",
            "x',`role`='admin",
            "',role=name,name='b",
            "x','y'),('z",
            "x';values(7)-- abcd",
            "x'; show tables-- abcd",
            "7,role='admin'",
            "7, role='admin' where id=3--",
        ],
    );
    for value in [
        "a, b='c'",
        "foo('a'),('b')",
        "('a','b'),('c','d')",
        "'a','b','c'",
        "note', and more -- Ann",
        "a',\n    b='c",
        "1,x=5",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_queries_and_choices_that_need_no_value_before_them() {
    assert_found(
        Class::Sqli,
        &[
            "not(ascii(substr((select name from users),1,1))>82)",
            "likely((select name from users limit 1) like 'a%')",
            "exists(select 1 from users where length(name)=7)",
            "!(select 7)",
            "id limit (case when length((select name from users))=7 then 1 else 2 end)",
            "desc limit (case when ascii((select name from users))=7 then 1 else 2 end)",
            "limit 1 offset (length((select name from users))>7)",
            "id=case when length(name)=7 then 1 else 2 end",
            "id::int/(case when (select name from users)>'a' then 1 else 0 end)",
            "case when ascii(name)=83 then id else -id end",
            "red shoes'+(select name from users)+'",
            "7={fn sleep(9)}",
            "7'*(case when 1 then sleep(9) else 0 end)*'7",
            "!sleep(9)",
        ],
    );
    for value in [
        "case (select one) of",
        "not (select one of them)",
        "exists (select a few)",
        "limit (one each) or select more",
        "x = select(a)",
        "if ( select(fd,&set,0,0,0) < 0 ) {",
        "case x\nwhen 'a' then 1 end",
        "IF(LEN(A1)>5,\"yes\",\"no\")",
        "{return sleep(5)}",
        "else sleep(5)",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_statements_and_rows_of_other_spellings_behind_a_value() {
    assert_found(
        Class::Sqli,
        &[
            "7;insert users select 1,name from staff",
            "7; insert users set id=8",
            "7;delete a from users a",
            "7; update users,staff set role=name",
            "-7; truncate users",
            "7;set@@global.general_log=0",
            "id union all values(7,8)",
            "id union values(7,8)",
            "null union all select name a,role b from users",
            "null union select staff.* from staff",
        ],
    );
    for value in [
        "1; insert coin",
        "1; update now",
        "1; delete it",
        "1; truncate",
        "Credit union all select branches",
        "select(fd, &set, 0);",
        "set@example.com; b@example.com",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_literals_and_names_in_the_spellings_of_single_dialects() {
    assert_found(
        Class::Sqli,
        &[
            "7 or N'a'=N'a'",
            "7 or x'61'=x'61'",
            "7 or _utf8'a'=_utf8'a'",
            "x' or N'a'=N'a",
            "x' or date '2020-02-01'=date '2020-02-01",
            "x' or U&'a' notnull or '",
            "7 or $$a$$=$$a$$",
            "7 or $Tag$a$Tag$ like $Tag$a$Tag$",
            "7 and [name]=[name]",
            "x' or [name] or '",
            "x' and users.[name] like '",
            "x' or {d'2020-02-01'}='a",
            "x' or 0b1 or '",
            "x' or users.\"id\"<>'",
            "x' or name collate nocase='a",
            "x' or 'a' collate \"C\"='a",
            "x' is distinct from 7 or '",
            "x' or name !~* 'a",
            "x' and name::text::varchar like '",
            "x' <> case when 7 then 8 else 0 end or '",
            "x' notnull or name<>'a",
            "x' or name not null or '",
            "x' < 'a' in (7,2) || '",
        ],
    );
    for value in [
        "\"-b\",",
        "'%_save',",
        "\"<strong>\"",
        "\"<Nop>\" if the rest is empty.",
        "\"-e\" means one thing, use \"-q\" for another.",
        "echo(\"a<\".b.\"> c<\".d.\">\")",
        "e.g. \"Not Found\" or \"OK\".\n self.a = None",
        "a or don't",
        "a and $b or [c](d)",
        "assert f(b'a', 'b') == ('c', g('d'))  # and so on",
        "costs $$ and more $$",
        "a or {b}",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}

#[test]
fn finds_an_operator_between_the_only_quote_and_what_comments_out_the_rest() {
    assert_found(
        Class::Sqli,
        &[
            "x' <> name-- ",
            "7' != name--",
            "x'||name;--x",
            "x'%(name)--",
            "x' or id#x",
            "x' like name-- x",
            "x' is not name-- x",
            "x\"<=>name#",
            "x' & 'a' collate utf8_bin#",
            "7 <> name-- -",
            "-7=name;--",
            "7||name--",
        ],
    );
    for value in [
        "the boys' & girls --",
        "5' * tall --",
        "paper (8.5x11\"-300 a page) --",
        "\" - what follows, once ---",
        "\">>>---",
        "\"  +----------+",
        "O'Brien + son",
        "7 - an introduction --",
        "x = 7 -- or so, says the author",
        "grep -c '=' a.txt  # b",
    ] {
        assert_eq!(rule_of(value), None, "{value}");
    }
}
