"""API keys: whose they are, where they may stand, what happens to wrong ones."""

import json

import pytest
from harness.configuration import plugin
from harness.credentials import bearer
from harness.expect import passed, refused, unauthenticated

PLUGIN = plugin("""
secrets:
  reporting_key: { env: REPORTING_KEY }
  billing_key: { env: BILLING_KEY }
authentication:
  api_keys:
    from: [{ header: x-api-key }, { query: key }, { cookie: key }]
    keys: { reporting: { secret: reporting_key, roles: [manager] }, billing: { secret: billing_key } }
routes:
  - match: { path: "/roles/**" }
    authenticate: [api_keys]
    allow: [{ roles: [user] }]
  - match: { path: "/either/**" }
    authenticate: [jwt, api_keys]
  - match: { path: "/maybe/**" }
    authenticate: { optional: [api_keys] }
  - match: { path: "/public/**" }
    authenticate: none
  - match: { path: "/**" }
    authenticate: [api_keys]
""")
REPORTING, BILLING = "reporting-key-of-the-tests", "billing-key-of-the-tests"
OPTIONS = {"environment": {"REPORTING_KEY": REPORTING, "BILLING_KEY": BILLING}}


def key(value=REPORTING):
    return ("X-Api-Key", value)


@pytest.mark.parametrize(("target", "headers"), [
    ("/x?a=1&b=2", [key(), ("cookie", "a=b")]),
    (f"/x?a=1&key={REPORTING}&b=2", [("cookie", "a=b")]),
    ("/x?a=1&b=2", [("cookie", f"a=b; key={REPORTING}")]),
    (f"/x?a=1&%6bey={REPORTING}&b=2", [key(), ("cookie", f"key={REPORTING}; a=b")]),
], ids=["header", "query", "cookie", "everywhere"])
def test_a_key_stands_for_its_caller_and_goes_no_further(gateway, target, headers):
    seen = passed(gateway.get(target, headers))
    assert [seen.header(name) for name in ("x-auth-subject", "x-auth-method", "x-auth-roles")] == \
        ["reporting", "api_key", "manager"]
    assert seen.target == b"/x?a=1&b=2"
    assert (seen.header("cookie"), b"x-api-key" in seen.names()) == ("a=b", False)


@pytest.mark.parametrize("wrong", ["guess", "", REPORTING[:-1], REPORTING.upper(), REPORTING + "x", "\xff"])
def test_refuses_a_wrong_key(gateway, wrong):
    header = key(wrong.encode("latin-1"))
    answer, event = unauthenticated(gateway, "bad_signature", lambda: gateway.get("/x", [header]))
    assert answer.header("www-authenticate") == 'ApiKey realm="user-service"'
    assert "guess" not in json.dumps(event)


def test_refuses_a_missing_key(gateway):
    answer, _ = unauthenticated(gateway, "missing", lambda: gateway.get("/x"))
    assert answer.header("www-authenticate") == 'ApiKey realm="user-service"'


@pytest.mark.parametrize(("target", "headers"), [
    (f"/x?key={BILLING}", [key()]),
    ("/x", [key(), key(BILLING)]),
    ("/x", [key(), ("cookie", "key=")]),
])
def test_two_different_keys_are_ambiguous(gateway, target, headers):
    unauthenticated(gateway, "ambiguous", lambda: gateway.get(target, headers))


def test_a_key_has_the_roles_it_was_given(gateway):
    passed(gateway.get("/roles/1", [key()]))
    refused(gateway.get("/roles/1", [key(BILLING)]), 403)


def test_a_key_beside_a_token(gateway):
    assert passed(gateway.get("/either/1", [key()])).header("x-auth-subject") == "reporting"
    seen = passed(gateway.get("/either/1", [bearer(), key("guess")]))
    assert (seen.header("x-auth-subject"), b"x-api-key" in seen.names()) == ("42", False)
    assert passed(gateway.get("/maybe/1")).header("x-auth-subject") is None
    refused(gateway.get("/maybe/1", [key("guess")]), 401)


def test_a_key_that_a_route_does_not_look_at_goes_no_further(gateway):
    seen = passed(gateway.get(f"/public/1?key={REPORTING}&a=1", [key(), ("cookie", f"key={REPORTING}")]))
    assert (seen.target, {b"x-api-key", b"cookie"} & set(seen.names())) == (b"/public/1?a=1", set())


@pytest.mark.parametrize("path", ["/public/1", "/either/1"])
@pytest.mark.parametrize("spelling", ["x_api_key", "X_Api-Key"])
def test_a_key_under_another_spelling_goes_no_further(gateway, path, spelling):
    seen = passed(gateway.get(path, [key(), (spelling, "forged")]))
    assert all(b"forged" not in value for _, value in seen.headers)


def test_guessed_keys_block_their_address(start):
    strict = plugin("""
secrets: { reporting_key: { env: REPORTING_KEY } }
authentication: { api_keys: { keys: { reporting: { secret: reporting_key } } } }
intrusion: { failures: 3 }
routes: [{ match: { path: "/**" }, authenticate: [api_keys] }]
""")
    gateway = start(strict, environment={"REPORTING_KEY": REPORTING})
    client = ("x-forwarded-for", "203.0.113.9")
    for _ in range(3):
        refused(gateway.get("/x", [key("guess"), client]), 401)
    refused(gateway.get("/x", [key(), client]), 403)
    passed(gateway.get("/x", [key()]))


def test_no_key_in_any_log(gateway):
    for text in (REPORTING, BILLING, "guess"):
        assert text not in gateway.log()
