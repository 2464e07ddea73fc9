//! `portcullis encrypt` and `portcullis decrypt`.

use crate::tool::{File, portcullis_with};

/// With a key in the environment.
fn sealed(args: &[&str], input: &str) -> (i32, String, String) {
    let variables = [
        ("A_KEY", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="),
        ("B_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
        ("NO_KEY", "s3cret"),
    ];
    portcullis_with(&variables, args, input)
}

#[test]
fn encrypts_and_decrypts_files() {
    let plain = File::new("plain.txt", "größer\n");
    let (code, token, err) = sealed(&["encrypt", plain.path(), "--key", "A_KEY"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(token.starts_with("gAAAAA"), "{token}");
    assert_ne!(sealed(&["encrypt", plain.path(), "--key", "A_KEY"], "").1, token);
    let token = File::new("token.txt", &format!("{token}\n"));
    let keys = ["decrypt", token.path(), "--key", "B_KEY", "--key", "A_KEY", "--ttl", "60"];
    assert_eq!(sealed(&keys, ""), (0, "größer\n".to_owned(), String::new()));
    let (code, out, err) = sealed(&["decrypt", token.path(), "--key", "B_KEY"], "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("none of the keys made it"), "{err}");
    let made_in_1985 =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
    assert_eq!(sealed(&["decrypt", "-", "--key", "A_KEY"], made_in_1985).1, "hello");
    assert_eq!(sealed(&["decrypt", "-", "--key", "A_KEY", "--ttl", "60"], made_in_1985).0, 1);
}

#[test]
fn exits_2_for_a_bad_key_and_never_prints_it() {
    for args in [
        &["encrypt"][..],
        &["encrypt", "-"],
        &["encrypt", "-", "--key"],
        &["encrypt", "-", "--key", "NO_KEY"],
        &["encrypt", "-", "--key", "NOT_SET_AT_ALL"],
        &["encrypt", "-", "--key", "A_KEY", "--ttl", "1"],
        &["decrypt", "-", "--key", "A_KEY", "--ttl", "soon"],
        &["decrypt", "-", "--key", "A_KEY", "--ttl", "60", "--ttl", "61"],
        &["decrypt", "/nowhere/at/all", "--key", "A_KEY"],
        &["decrypt", "a", "b", "--key", "A_KEY"],
    ] {
        let (code, out, err) = sealed(args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("portcullis: ") && !err.contains("s3cret"), "{args:?}: {err}");
    }
}

#[test]
fn both_directions_explain_themselves() {
    for command in ["encrypt", "decrypt"] {
        let (code, out, err) = sealed(&[command, "--help"], "");
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.starts_with("usage: portcullis encrypt FILE"), "{out}");
    }
}
