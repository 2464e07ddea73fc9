//! A host that answers with statuses nobody expects: no trap, and no request that goes on undecided.

use serde_json::json;

use crate::imports::SERVING;
use crate::requests::{Request, SECRET, claims, plain, signed, token};
use crate::vm::Vm;

/// Every status of the ABI, and one that it does not know.
const STATUSES: [u32; 10] = [1, 2, 3, 4, 5, 7, 8, 10, 12, 99];
const INJECTION: &str = r#"{"note":"1' OR '1'='1' UNION SELECT password FROM users--"}"#;

/// Requests that must never pass, whatever the host does.
fn never() -> Vec<(&'static str, Request)> {
    // Without `iat` and `nbf` only the clock says that it is over.
    let mut expired = claims("ada");
    expired["exp"] = json!(1_700_000_000);
    expired.as_object_mut().unwrap().remove("iat");
    let mut stranger = claims("ada");
    stranger["roles"] = json!(["guest"]);
    vec![
        ("no token", Request::get("/api/a")),
        ("no token, with a body", Request::post("/api/a", &["{}"])),
        ("forged", Request::get("/api/a").bearer(&signed(&claims("ada"), &SECRET.to_uppercase()))),
        ("expired", Request::get("/api/a").bearer(&token(&expired))),
        ("wrong role", Request::get("/api/a").bearer(&token(&stranger))),
        (
            "injection in the query",
            Request::get("/api/a?q=1'%20OR%20'1'='1'%20UNION%20SELECT%20a%20FROM%20b--").by("ada"),
        ),
        ("injection in the body", Request::post("/api/a", &[INJECTION]).by("ada")),
        ("the same before trailers", Request::post("/api/a", &[INJECTION]).by("ada").trailers(&[("x-a", "b")])),
        ("injection in the trailers", Request::post("/api/a", &["{}"]).by("ada").trailers(&[("x-a", INJECTION)])),
        ("no route", Request::get("/elsewhere").by("ada")),
    ]
}

#[test]
fn what_must_not_pass_does_not_pass_whatever_the_host_answers() {
    let mut vm = Vm::serving(&plain());
    let mut met = Vec::new();
    for import in SERVING {
        for status in STATUSES {
            vm.host().fault = Some((import, status));
            for (what, request) in never() {
                let outcome = vm.request(&request);
                assert!(!outcome.passed && outcome.leaked == 0, "{what} passed with {import} answering {status}");
            }
            vm.tick(1);
        }
        if std::mem::take(&mut vm.host().faults_met) > 0 {
            met.push(import);
        }
    }
    vm.host().fault = None;
    for reached in ["proxy_get_buffer_bytes", "proxy_get_header_map_pairs", "proxy_get_current_time_nanoseconds"] {
        assert!(met.contains(&reached), "{reached} was not called, only {met:?}");
    }
    for (what, request) in never() {
        assert!(matches!(vm.request(&request).status(), 401 | 403), "{what}");
    }
    assert_eq!(vm.request(&Request::get("/api/a").by("ada")).status(), 200);
}

#[test]
fn what_passes_on_a_failing_host_says_who_is_calling_and_nothing_that_was_forged() {
    let mut vm = Vm::serving(&plain());
    for import in SERVING {
        for status in STATUSES {
            vm.host().fault = Some((import, status));
            for request in [Request::get("/api/a"), Request::post("/api/a", &["{", "}"]).trailers(&[("x-a", "b")])] {
                let outcome = vm.request(&request.by("ada").header("x-auth-subject", "root"));
                if outcome.passed {
                    let told = outcome.upstream("x-auth-subject");
                    assert_eq!(told.as_deref(), Some("ada"), "{import} answering {status}");
                    assert_eq!(outcome.upstream("authorization"), None, "{import} answering {status}");
                }
            }
        }
    }
}

#[test]
fn a_configuration_on_a_failing_host_is_refused_or_serves_but_never_lets_pass() {
    let mut vm = Vm::new();
    for import in SERVING {
        for status in STATUSES {
            vm.host().fault = Some((import, status));
            let (Ok(root) | Err(root)) = vm.configure(&plain());
            vm.host().fault = None;
            for (what, request) in never() {
                let outcome = vm.request_under(root, &request);
                assert!(!outcome.passed, "{what} passed after {import} answered {status} to the configuration");
                assert_ne!(outcome.status(), 0, "{what} hangs after {import} answered {status} to the configuration");
            }
        }
    }
}

#[test]
fn a_host_without_a_word_on_signatures_is_not_believed() {
    // RFC 7515 appendix A.2: RS256, expires in March 2011.
    const KEY: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let configuration = json!({
        "service": "user-service",
        "authentication": { "jwt": { "joe": {
            "issuer": "joe", "algorithms": ["RS256"], "claims": { "subject": "iss" },
            "jwks": { "inline": { "keys": [{ "kty": "RSA", "e": "AQAB", "n": KEY }] } },
        } } },
        "routes": [{ "match": { "path": "/api/**" }, "authenticate": ["jwt"] }],
    });
    let forged = format!("{}AAAA", &TOKEN[..TOKEN.len() - 4]);
    let ask = |answer: Option<&[u8]>, fault: Option<u32>, token: &str| {
        let mut vm = Vm::serving(&configuration.to_string());
        vm.host().now = 1_300_819_000 * 1_000_000_000;
        vm.host().verify_signature = answer.map(<[u8]>::to_vec);
        vm.host().fault = fault.map(|status| ("proxy_call_foreign_function", status));
        vm.request(&Request::get("/api/a").bearer(token)).status()
    };
    assert_eq!(ask(Some(&[8, 1]), None, TOKEN), 200);
    for answer in [&[][..], &[8], &[8, 0], &[8, 2], &[0x12, 1], &[0x18, 1, 8, 1], &[0xff; 40]] {
        assert_eq!(ask(Some(answer), None, TOKEN), 401, "{answer:?}");
    }
    // Where the host has no such function, the module verifies by itself.
    for fault in [None, Some(2), Some(10), Some(12), Some(99)] {
        assert_eq!(ask(None, fault, TOKEN), 200, "{fault:?}");
        assert_eq!(ask(None, fault, &forged), 401, "{fault:?}");
    }
}
