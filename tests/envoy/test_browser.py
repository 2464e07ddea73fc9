"""What browsers need: CORS before authentication, HTTPS, security headers."""

import pytest
from harness.configuration import plugin
from harness.credentials import bearer
from harness.expect import passed, refused

PLUGIN = plugin("""
headers:
  security: strict
  cors: { origins: ["https://app.example.com"], methods: [GET, POST], headers: [authorization, content-type],
          credentials: allow, max_age: 24h }
limits: { per_address: { key: [client_ip], rate: 1/h } }
routes:
  - match: { path: "/limited/**" }
    authenticate: none
    limits: [per_address]
  - match: { path: "/open/**" }
    authenticate: none
  - match: { path: "/posted/**", methods: [POST] }
  - match: { path: "/admin/**" }
    allow: [{ roles: [admin] }]
  - match: { path: "/things/**" }
  - match: { path: "/status/**" }
""")

HTTPS = plugin("""
headers: { https_redirect: true, security: strict }
routes: [{ match: { path: "/**" }, authenticate: none }]
""")

APP, EVIL = ("origin", "https://app.example.com"), ("origin", "https://evil.example.com")
PREFLIGHT = [("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")]


def test_a_preflight_is_answered_before_authentication(gateway):
    answer = gateway.send("OPTIONS", "/things/1", [APP, *PREFLIGHT])
    assert answer.status in (200, 204)
    assert answer.upstream is None
    assert answer.header("access-control-allow-origin") == "https://app.example.com"
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-max-age") == "86400"
    assert {m.strip() for m in answer.header("access-control-allow-methods").split(",")} == {"GET", "POST"}
    assert "authorization" in answer.header("access-control-allow-headers").lower()


def test_a_preflight_is_answered_for_a_route_that_names_its_methods(gateway):
    answer = gateway.send("OPTIONS", "/posted/1", [APP, *PREFLIGHT])
    assert answer.status in (200, 204)
    assert answer.header("access-control-allow-origin") == "https://app.example.com"
    refused(gateway.send("OPTIONS", "/posted/1"), 403)


def test_a_preflight_from_elsewhere_is_told_nothing_and_goes_nowhere(gateway):
    answer = gateway.send("OPTIONS", "/things/1", [EVIL, *PREFLIGHT])
    assert answer.upstream is None
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


def test_options_that_is_no_preflight_needs_a_token(gateway):
    refused(gateway.send("OPTIONS", "/things/1", [APP]), 401)


@pytest.mark.parametrize(("target", "headers", "status"), [
    ("/things/1", [], 401),
    ("/admin/1", [bearer()], 403),
    ("/limited/1", [], 429),
    ("/open/1?q=%3Cscript%3Ealert(1)%3C/script%3E", [], 403),
])
def test_a_denial_can_be_read_by_the_page(gateway, target, headers, status):
    if status == 429:
        gateway.get(target)
    answer = gateway.get(target, [APP, *headers])
    refused(answer, status)
    assert answer.header("access-control-allow-origin") == "https://app.example.com"
    assert "Origin" in answer.header("vary")
    assert answer.header("x-content-type-options") == "nosniff"


def test_a_response_carries_cors_for_its_origin_only(gateway):
    assert gateway.get("/open/1", [APP]).header("access-control-allow-origin") == "https://app.example.com"
    for other in ([EVIL], [("origin", "null")], [("origin", "https://app.example.com.evil.example.com")], []):
        answer = gateway.get("/open/1", other)
        assert answer.header("access-control-allow-origin") is None
        assert "Origin" in ",".join(answer.all("vary"))


def test_what_the_upstream_says_of_cors_goes_no_further(gateway, upstream):
    def answer(seen, send):
        send(b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n"
             b"content-length: 0\r\n\r\n")
        return True

    upstream.scripted[b"/open/cors"] = answer
    for origin, allowed in ((APP, "https://app.example.com"), (EVIL, None), (("origin", "null"), None)):
        told = gateway.get("/open/cors", [origin])
        assert told.all("access-control-allow-origin") == ([allowed] if allowed else [])
        assert told.all("access-control-allow-credentials") == (["true"] if allowed else [])


def test_strict_security_headers_are_on_every_response(gateway):
    for answer in (gateway.get("/open/1"), gateway.get("/things/1"), gateway.get("/status/500", [bearer()])):
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("x-frame-options") == "DENY"
        assert answer.header("referrer-policy")
        assert "default-src" in answer.header("content-security-policy")


def test_plain_http_is_sent_to_https_and_https_is_served(start):
    gateway = start(HTTPS, tls=True)
    answer = gateway.get("/a//b?c=1")
    assert answer.status == 308
    assert answer.header("location") == "https://api.example.com/a/b?c=1"
    assert answer.upstream is None
    # What a client says about its own transport counts for nothing.
    assert gateway.get("/a", [("x-forwarded-proto", "https")]).status == 308
    answer = gateway.get("/a", tls=True)
    passed(answer)
    assert "max-age=" in answer.header("strict-transport-security")
