"""Cookies as credentials: requests that other sites have browsers send, and cookies that the upstream sets."""

import pytest
from harness.configuration import plugin
from harness.credentials import bearer, token
from harness.expect import passed, refused

PLUGIN = plugin("""
headers:
  csrf: { origins: ["https://app.example.com"] }
  cors: { origins: ["https://app.example.com", "https://reader.example.com"], methods: [POST], credentials: allow }
  cookies: {}
routes:
  - { match: { path: "/public/**" }, authenticate: none }
  - { match: { path: "/**" } }
""")


EVIL, APP = ("origin", "https://evil.example"), ("origin", "https://app.example.com")
OWN = ("origin", "http://api.example.com")


def cookie():
    return ("cookie", "theme=dark; access_token=" + token())


@pytest.mark.parametrize(("headers", "reason"), [
    ([OWN], None),
    ([("sec-fetch-site", "same-origin")], None),
    ([("sec-fetch-site", "same-origin"), ("origin", "null")], None),
    ([APP, ("sec-fetch-site", "cross-site")], None),
    ([], "no_origin"),
    ([EVIL], "cross_origin"),
    ([("origin", "null")], "cross_origin"),
    ([("origin", "https://reader.example.com"), ("sec-fetch-site", "same-site")], "cross_origin"),
    ([("origin", "http://api.example.com:8080")], "cross_origin"),
    ([("origin", "http://api.example.com.evil.example")], "cross_origin"),
    ([("sec-fetch-site", "same-site")], "cross_site"),
    ([("sec-fetch-site", "cross-site"), OWN], "cross_site"),
    ([("Sec-Fetch-Site", "same-origin"), ("sec-fetch-site", "cross-site")], "cross_site"),
], ids=lambda value: str(value)[:60])
def test_a_cookie_alone_changes_nothing_unless_a_page_of_ours_sent_it(gateway, headers, reason):
    answers = [
        gateway.post("/things/1", b"{}", headers=[cookie(), *headers]),
        gateway.send("DELETE", "/things/1", [cookie(), *headers]),
        gateway.send2("PUT", "/things/1", [cookie(), *((name.lower(), value) for name, value in headers)]),
    ]
    for answer in answers:
        if reason is None:
            passed(answer)
            continue
        refused(answer, 403)
        event = gateway.event(answer)
        assert (event["event_type"], event["details"]["reason"]) == ("ACCESS_DENIED", reason)
        assert event["details"]["rule"] == "headers.csrf"


@pytest.mark.parametrize("headers", [[], [EVIL], [("sec-fetch-site", "cross-site")]], ids=str)
def test_reading_and_tokens_that_a_page_would_have_to_know_are_let_alone(gateway, headers):
    passed(gateway.get("/things/1", [cookie(), *headers]))
    passed(gateway.post("/things/1", b"{}", headers=[bearer(), *headers]))
    passed(gateway.post("/public/1", b"{}", headers=[cookie(), *headers]))


def test_beside_a_cookie_a_credential_in_a_header_is_proof_enough(start):
    both = start(plugin("""
authentication:
  api_keys: { from: [{ cookie: key }, { header: x-api-key }], keys: { reporting: { secret: order_token } } }
routes: [{ match: { path: "/**" }, authenticate: { all: [jwt, api_keys] } }]
"""))
    key = "order-service-token-of-the-tests"
    passed(both.post("/things/1", b"{}", headers=[bearer(), ("cookie", "key=" + key), EVIL]))
    passed(both.post("/things/1", b"{}", headers=[cookie(), ("x-api-key", key), EVIL]))
    refused(both.post("/things/1", b"{}", headers=[("cookie", f"key={key}; access_token={token()}"), EVIL]), 403)


def test_no_header_makes_another_method_of_a_request(gateway):
    for name in ("x-http-method-override", "x-method-override"):
        answer = gateway.get("/things/1", [cookie(), EVIL, (name, "DELETE")])
        passed(answer)
        assert answer.upstream.header(name) is None


def test_the_handshake_of_a_websocket_is_a_change(gateway):
    handshake = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
                 ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]
    answer = gateway.get("/live/1", [cookie(), *handshake, EVIL])
    refused(answer, 403)
    assert gateway.event(answer)["details"]["reason"] == "cross_origin"
    passed(gateway.get("/live/1", [cookie(), *handshake, OWN]))


def test_a_page_that_reads_answers_reads_the_refusal(gateway):
    answer = gateway.post("/things/1", b"{}", headers=[cookie(), ("origin", "https://reader.example.com")])
    refused(answer, 403)
    assert answer.header("access-control-allow-origin") == "https://reader.example.com"
    assert answer.header("access-control-allow-credentials") == "true"
    assert "page" in answer.problem["detail"]


def test_cookies_of_the_upstream_get_what_they_lack(gateway, upstream):
    cookies = [b"a=1; Path=/", b"b=2; Secure; HttpOnly; SameSite=Strict", b"c=3; samesite=none"]

    def answer(seen, send):
        lines = b"".join(b"set-cookie: " + cookie + b"\r\n" for cookie in cookies)
        send(b"HTTP/1.1 200 OK\r\n" + lines + b"content-length: 2\r\n\r\nok")
        return True

    upstream.scripted[b"/public/cookies"] = answer
    assert gateway.get("/public/cookies").all("set-cookie") == [
        "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "b=2; Secure; HttpOnly; SameSite=Strict",
        "c=3; samesite=none; Secure; HttpOnly",
    ]
    assert gateway.get("/public/1").all("set-cookie") == []
