"""Bearer tokens: every reason for refusing one, each beside the good case it differs from."""

import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from harness.configuration import inline_jwks, plugin
from harness.credentials import ISSUER, SECRET, bearer, private_key, tampered, token
from harness.dependency import eventually
from harness.expect import counted, passed, refused, unauthenticated
from jwt.utils import base64url_decode, base64url_encode

PARTNERS, DEVICES = "https://partners.example.com", "https://devices.example.com"
LONG, LONGER = "https://hs384.example.com", "https://hs512.example.com"

PLUGIN = plugin(f"""
authentication:
  jwt:
    users:
      claim_to_headers: {{ x-user-email: email }}
      payload_header: x-jwt-payload
    hs384: {{ issuer: {LONG}, algorithms: [HS384], keys: [{{ secret: jwt_secret }}] }}
    hs512: {{ issuer: {LONGER}, algorithms: [HS512], keys: [{{ secret: jwt_secret }}] }}
    partners:
      issuer: {PARTNERS}
      algorithms: [RS256, ES256]
      jwks: {{ inline: {inline_jwks(("RS256", "r1"), ("ES256", "e1"))} }}
      forward: allow
    devices:
      issuer: {DEVICES}
      algorithms: [EdDSA]
      jwks: {{ inline: {inline_jwks(("EdDSA", "d1"))} }}
    legacy:
      issuer: https://legacy.example.com
      algorithms: [HS256]
      keys: [{{ secret: jwt_secret }}]
      require_expiration: false
routes:
  - match: {{ path: "/open/**" }}
    authenticate: none
  - match: {{ path: "/maybe/**" }}
    authenticate: {{ optional: [jwt] }}
  - match: {{ path: "/partners/**" }}
    authenticate: [jwt.partners]
  - match: {{ path: "/**" }}
""")


def basic(**changes):
    """Claims of the providers that map nothing: only `sub` counts."""
    return {"sub": "p-7", "aud": None, "user_id": None, "type": None, "is_active": None} | changes


def refusals():
    """Per reason the headers of each request that is refused for it; made afresh, because time passes."""
    now = int(time.time())
    return {
        "missing": [
            [],
            [("authorization", "Basic YW5uOnNlY3JldA==")],
            [("cookie", "other=1; theme=dark")],
        ],
        "malformed": [
            [("authorization", "Bearer garbage")],
            [("authorization", "Bearer a.b.c")],
            [("authorization", "Bearer " + token() + ".more")],
            [("authorization", "Bearer " + token()[:-20] + "=" * 20)],
            [("authorization", "Bearer " + "A" * 20_000)],
            [("authorization", b"Bearer \xff\xfe.\xff.\xff")],
            [bearer(algorithm="none")],  # unsigned: it has no third part
            [bearer(exp="tomorrow")],
            [bearer(exp=None)],
            [bearer(email="ann@example.com\r\nx-auth-roles: admin")],
            [bearer(user_id="42,43")],
            [bearer(roles=["user,admin"])],
        ],
        "unsupported_algorithm": [
            [bearer(algorithm="HS384")],
            [bearer(token(algorithm="none") + "AAAA")],
            [bearer(key=private_key("RS256"), algorithm="RS256")],
            [bearer(iss=LONG)],
        ],
        "unknown_issuer": [[bearer(iss="https://evil.example.com")], [bearer(iss=None)], [bearer(iss=ISSUER + "/")]],
        "unknown_key": [
            [bearer(key=private_key("RS256"), algorithm="RS256", headers={"kid": "r9"}, **basic(iss=PARTNERS))],
            [bearer(key=private_key("EdDSA"), algorithm="EdDSA", headers={"kid": "d9"}, **basic(iss=DEVICES))],
        ],
        "bad_signature": [
            [bearer(key="another-secret-that-is-long-enough-for-hs256")],
            [bearer(tampered(token(), roles=["admin"]))],
            [bearer(tampered(token(), exp=now + 800))],
        ],
        "expired": [[bearer(iat=now - 900, exp=now - 30)]],
        "not_yet_valid": [[bearer(nbf=now + 60)], [bearer(iat=now + 60)]],
        "too_long_lived": [[bearer(exp=now + 30 * 86_400)]],
        "wrong_audience": [[bearer(aud="another-api")], [bearer(aud=None)], [bearer(aud=["a", "b"])]],
        "wrong_type": [[bearer(type="refresh")], [bearer(type=None)]],
        "no_subject": [[bearer(user_id=None)], [bearer(user_id="")], [bearer(user_id=None, sub="42")]],
        "inactive": [[bearer(is_active=False)]],
        "ambiguous": [
            [bearer(), ("cookie", "access_token=" + token(user_id="43"))],
            [("cookie", "access_token=" + token()), ("cookie", "access_token=" + token(user_id="43"))],
        ],
    }


def acceptances():
    """Changes to the claims of a good token that leave it good."""
    now = int(time.time())
    return [
        {},
        {"aud": ["another-api", "microservices-api"]},
        {"nbf": now - 5, "jti": "1"},
        {"exp": now - 2},
        {"iat": now + 3},
        {"user_id": 42},
        {"roles": None},
        {"roles": "user"},
        {"is_active": None},
        {"name": "Änne 你好"},
    ]


@pytest.mark.parametrize(
    ("reason", "which"), [(reason, n) for reason, sent in refusals().items() for n in range(len(sent))]
)
def test_refuses_a_token_and_says_why_to_client_log_and_metrics(gateway, reason, which):
    headers = refusals()[reason][which]
    answer, event = unauthenticated(gateway, reason, lambda: gateway.get("/things/1?q=2", headers))
    assert answer.header("www-authenticate").startswith("Bearer")
    assert ('error="invalid_token"' in answer.header("www-authenticate")) == (reason != "missing")
    assert event["details"]["path"] == "/things/1"
    assert event["details"]["method"] == "GET"
    assert "user" not in event["details"]
    passed(gateway.get("/things/1?q=2", [bearer()]))


@pytest.mark.parametrize("which", range(len(acceptances())))
def test_accepts_a_good_token(gateway, which):
    seen = passed(gateway.get("/things/1", [bearer(**acceptances()[which])]))
    assert seen.header("x-auth-subject") == "42"


@pytest.mark.parametrize(("algorithm", "kid", "issuer"), [
    ("HS384", None, LONG), ("HS512", None, LONGER), ("RS256", "r1", PARTNERS), ("ES256", "e1", PARTNERS),
    ("EdDSA", "d1", DEVICES),
])
def test_verifies_every_algorithm_and_refuses_each_with_another_signature(gateway, algorithm, kid, issuer):
    key = SECRET if algorithm.startswith("HS") else private_key(algorithm)
    good = token(key, algorithm, {"kid": kid} if kid else None, **basic(iss=issuer))
    for _ in range(3):
        seen = passed(gateway.get("/things/1", [bearer(good)]))
        assert seen.header("x-auth-subject") == "p-7"
    unauthenticated(gateway, "bad_signature", lambda: gateway.get("/things/1", [bearer(tampered(good, sub="p-8"))]))


def test_never_takes_a_public_key_for_a_shared_secret(gateway):
    public = private_key("RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = ".".join(token(**basic(iss=PARTNERS)).split(".")[:2])
    forged = signed + "." + base64url_encode(hmac.new(public, signed.encode(), hashlib.sha256).digest()).decode()
    unauthenticated(gateway, "unsupported_algorithm", lambda: gateway.get("/things/1", [bearer(forged)]))


def test_a_provider_without_mapped_roles_grants_none(gateway):
    good = token(private_key("ES256"), "ES256", {"kid": "e1"}, **basic(iss=PARTNERS, roles=["admin"]))
    seen = passed(gateway.get("/things/1", [bearer(good)]))
    assert seen.header("x-auth-roles") in (None, "")


def test_a_route_takes_tokens_of_its_own_providers_only(gateway):
    unauthenticated(gateway, "unknown_issuer", lambda: gateway.get("/partners/1", [bearer()]))
    theirs = token(private_key("ES256"), "ES256", {"kid": "e1"}, **basic(iss=PARTNERS))
    passed(gateway.get("/partners/1", [bearer(theirs)]))
    # ... even when the token is known to be good from another route.
    good = bearer()
    passed(gateway.get("/things/1", [good]))
    unauthenticated(gateway, "unknown_issuer", lambda: gateway.get("/partners/1", [good]))


def test_require_expiration_can_be_switched_off_for_a_provider(gateway):
    passed(gateway.get("/things/1", [bearer(**basic(iss="https://legacy.example.com", exp=None))]))


def test_a_token_expires_although_it_is_remembered(gateway):
    short = bearer(exp=int(time.time()))
    passed(gateway.get("/things/1", [short]))
    assert eventually(lambda: gateway.get("/things/1", [short]).status == 401)
    unauthenticated(gateway, "expired", lambda: gateway.get("/things/1", [short]))


@pytest.mark.parametrize("place", ["header", "lower-case scheme", "cookie", "query"])
def test_finds_a_token_in_each_of_its_places_and_takes_it_away(gateway, place):
    value = token()
    target, headers = {
        "header": ("/things/1?a=1&b=2", [("Authorization", "Bearer " + value), ("cookie", "a=1; b=2")]),
        "lower-case scheme": ("/things/1?a=1&b=2", [("authorization", "bearer " + value), ("cookie", "a=1; b=2")]),
        "cookie": ("/things/1?a=1&b=2", [("cookie", f"a=1; access_token={value}; b=2")]),
        "query": (f"/things/1?a=1&access_token={value}&b=2", [("cookie", "a=1; b=2")]),
    }[place]
    seen = passed(gateway.get(target, headers))
    assert seen.target == b"/things/1?a=1&b=2"
    assert seen.all("authorization") == []
    assert seen.header("cookie").replace(" ", "") == "a=1;b=2"
    leaked = [field for field in seen.headers if value.split(".")[2].encode() in field[1]]
    assert not leaked


def test_the_same_token_in_two_places_is_no_ambiguity_and_both_are_taken_away(gateway):
    value = token()
    seen = passed(gateway.get(f"/things/1?access_token={value}", [bearer(value), ("cookie", "access_token=" + value)]))
    assert seen.target == b"/things/1"
    assert seen.all("authorization") == seen.all("cookie") == []


def test_forwards_a_token_where_the_provider_says_so(gateway):
    value = token(private_key("RS256"), "RS256", {"kid": "r1"}, **basic(iss=PARTNERS))
    assert passed(gateway.get("/things/1", [bearer(value)])).header("authorization") == "Bearer " + value


def test_two_authorization_headers_are_refused_even_when_they_are_the_same(gateway):
    good = bearer()
    for second in (good, bearer(user_id="43"), ("authorization", "Basic YTpi")):
        answer = gateway.get("/things/1", [good, second])
        assert answer.status in (400, 401), answer.status
        assert answer.upstream is None
    answer = gateway.send2("GET", "/things/1", [good, bearer(user_id="43")])
    assert answer.status in (400, 401)
    assert answer.upstream is None


@pytest.mark.parametrize("headers", [
    [("authorization", "Basic YW5uOnNlY3JldA=="), ("authorization", "Bearer FORGED")],
    [("authorization", ",Bearer FORGED")],
    [("authorization", "Basic xBearer FORGED")],
    [("authorization", b"Bearer\xa0FORGED")],
    [("authorization", b"\xc2\xa0Bearer FORGED")],
    [("cookie", b"a=1;\xc2\xa0access_token=FORGED")],
    [("cookie", b"a=1; access_token\x85=FORGED")],
    [("cookie", "a;" * 900 + "access_token=FORGED")],
])
def test_no_spelling_hides_a_forged_token_from_being_taken_away(gateway, headers):
    forged = tampered(token(), roles=["admin"]).encode()
    headers = [(name, (value.encode() if isinstance(value, str) else value).replace(b"FORGED", forged))
               for name, value in headers]
    seen = passed(gateway.get("/open/1", headers))
    assert all(forged not in value for _, value in seen.headers)
    refused(gateway.get("/maybe/1", headers), 401)


def test_tells_the_upstream_who_calls(gateway):
    seen = passed(gateway.get("/things/1", [bearer(roles=["user", "editor"])]))
    assert seen.header("x-auth-subject") == "42"
    assert seen.header("x-auth-roles") == "user,editor"
    assert seen.header("x-auth-method").startswith("jwt")
    assert seen.header("x-user-email") == "ann@example.com"
    assert json.loads(base64url_decode(seen.header("x-jwt-payload")))["user_id"] == "42"


def test_an_open_route_needs_no_token_and_an_optional_one_still_refuses_a_bad_one(gateway):
    assert passed(gateway.get("/open/1")).header("x-auth-subject") is None
    assert passed(gateway.get("/maybe/1")).header("x-auth-subject") is None
    assert passed(gateway.get("/maybe/1", [bearer()])).header("x-auth-subject") == "42"
    expired = bearer(iat=int(time.time()) - 900, exp=int(time.time()) - 60)
    unauthenticated(gateway, "expired", lambda: gateway.get("/maybe/1", [expired]))


def test_an_upstream_401_is_reported_and_counted_as_the_upstreams(gateway):
    with counted(gateway, "auth_failures_total", service="user-service", reason="upstream_401"), \
            counted(gateway, "blocked_requests_total", service="user-service", reason="invalid_credentials"):
        answer = gateway.get("/status/401", [bearer()])
    assert answer.status == 401
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["reason"]) == ("AUTH_FAILURE", "upstream_401")
    assert event["details"]["user"] == "42"
