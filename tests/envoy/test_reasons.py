"""Every reason for refusing credentials that docs/events.md publishes: its status, its words, its event and its counter.

The list is read from the document. A reason without a way to cause it fails, and so does a way that is no longer published.
"""

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from harness.certificates import Authority
from harness.configuration import inline_jwks, merged, plugin
from harness.credentials import AUDIENCE, ISSUER, bearer, private_key, service_headers, token
from harness.dependency import Said
from harness.expect import counted, passed
from test_signatures import signed as signed_whole

EVENTS = Path(__file__).parents[2] / "docs" / "events.md"
PARTNERS, DEVICES, MEMBERS = "https://partners.example.com", "https://devices.example.com", "https://members.example.com"
AUTHORITY = Authority()
ORDERS = AUTHORITY.issue("spiffe://cluster.local/ns/microservices/sa/order-service")
OTHERS = AUTHORITY.issue("spiffe://cluster.local/ns/microservices/sa/other-service")
PLUGIN = plugin(f"""
authentication:
  jwt:
    partners:
      issuer: {PARTNERS}
      algorithms: [ES256]
      jwks: {{ inline: {inline_jwks(("ES256", "e1"))} }}
    devices:
      issuer: {DEVICES}
      algorithms: [ES256]
      jwks: {{ inline: {inline_jwks(("ES256", "e1"))} }}
      bound_to_certificate: required
    members:
      issuer: {MEMBERS}
      algorithms: [HS256]
      keys: [{{ secret: jwt_secret }}]
      account: {{ cluster: accounts, uri: "http://accounts/{{subject}}" }}
  service:
    keys: [{{ secret: service_key }}]
    services: {{ order-service: {{ token: {{ secret: order_token }} }} }}
  mtls: {{ trust_domains: [cluster.local] }}
  revocation: {{ feed: {{ cluster: accounts, uri: "http://accounts/revocations", interval: 1s }} }}
tokens:
  issuer: {ISSUER}
  audience: {AUDIENCE}
  keys: [{{ secret: jwt_secret }}]
  login: {{ verify: {{ cluster: accounts, uri: "http://accounts/verify" }} }}
  refresh: {{ lookup: {{ cluster: accounts, uri: "http://accounts/{{user_id}}" }} }}
  logout: {{}}
routes:
  - match: {{ path: "/signed/**" }}
    authenticate: [service]
  - match: {{ path: "/peer/**" }}
    authenticate: [mtls]
  - match: {{ path: "/**" }}
""")


def published():
    """The rows of the table, reason -> (status, what the client reads), and the reasons that are never sent."""
    section = re.search(r"^### Credentials: 401, `AUTH_FAILURE`$(.*?)^#", EVENTS.read_text(), re.M | re.S)[1]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section, re.M)
    assert len(rows) > 25, rows
    unsent = {reason for reason, means, _ in rows if "Not sent by this version" in means}
    status = lambda means: int(means[:3]) if re.match(r"\d{3}: ", means) else 401
    return {reason: (status(means), reads) for reason, means, reads in rows if reason not in unsent}, unsent


@dataclass
class Request:
    """One request; with a certificate it goes over TLS."""

    headers: list = field(default_factory=list)
    target: str = "/x"
    certificate: object = None
    tls: bool = False
    body: bytes = b""

    def send(self, gateway):
        shown, method = self.certificate, "POST" if self.body else "GET"
        headers = [*self.headers, ("content-type", "application/json")] if self.body else self.headers
        return gateway.send(method, self.target, headers, self.body, tls=self.tls or bool(shown),
                            certificate=shown and shown.path)


def good(value=None, **changes):
    return Request([bearer(value, **changes)])


def theirs(issuer=PARTNERS, kid="e1", **changes):
    made = {"iss": issuer, "aud": None, "user_id": None, "sub": "p-7"} | changes
    return good(token(private_key("ES256"), "ES256", {"kid": kid}, **made))


def member(subject):
    return good(token(iss=MEMBERS, aud=None, user_id=None, sub=subject))


def device(shown, bound_to):
    made = theirs(DEVICES, cnf={"x5t#S256": bound_to.thumbprint})
    return Request(made.headers, certificate=shown)


def signed(**changes):
    return Request(service_headers(**changes), "/signed/1")


def whole(covered=b'{"item": 7}', body=b'{"item": 7}', **changes):
    """Signed with its body in the second form, then changed."""
    return Request([*(signed_whole("POST", "/signed/1", "", covered) | changes).items()], "/signed/1", body=body)


def credentials(username):
    return Request([], "/auth/login", body=json.dumps({"username": username, "password": "secret-1"}).encode())


def peer(certificate=None, target="/peer/1"):
    return Request(target=target, certificate=certificate, tls=True)


# Reason -> (the good request, the one that differs from it by what the reason says). Made when they are sent.
PRODUCERS = {
    "missing": lambda now: (good(), Request()),
    "malformed": lambda now: (good(), good(token() + "=")),
    "unsupported_algorithm": lambda now: (good(), good(token(algorithm="HS384"))),
    "unknown_issuer": lambda now: (good(), good(iss="https://auth.example.org")),
    "unknown_key": lambda now: (theirs(), theirs(kid="e2")),
    "bad_signature": lambda now: (good(), good(key="another-secret-that-is-long-enough-for-hs256")),
    "expired": lambda now: (good(exp=now + 60), good(iat=now - 900, exp=now - 60)),
    "not_yet_valid": lambda now: (good(nbf=now), good(nbf=now + 60)),
    "too_long_lived": lambda now: (good(iat=now, exp=now + 3600), good(iat=now, exp=now + 3601)),
    "wrong_audience": lambda now: (good(), good(aud="other-api")),
    "wrong_type": lambda now: (good(), good(type="refresh")),
    "no_subject": lambda now: (good(), good(user_id="")),
    "inactive": lambda now: (member("1"), member("2")),
    "unknown_user": lambda now: (member("1"), member("3")),
    "unbound": lambda now: (device(ORDERS, ORDERS), device(OTHERS, ORDERS)),
    "ambiguous": lambda now: (good(), Request([bearer(), ("cookie", "access_token=" + token(user_id="43"))])),
    "unavailable": lambda now: (member("1"), member("4")),
    "invalid_timestamp": lambda now: (signed(), signed(timestamp="1e9")),
    "timestamp_too_old": lambda now: (signed(age=290), signed(age=310)),
    "unknown_service": lambda now: (signed(), signed(name="orders-service")),
    "bad_service_signature": lambda now: (signed(), signed(key="another-key-of-a-service-0123456789")),
    "unsupported_signature": lambda now: (signed(), whole()),
    "invalid_nonce": lambda now: (whole(), whole(**{"X-Nonce": "short"})),
    "invalid_digest": lambda now: (whole(), whole(**{"Content-Digest": "sha-512=:AAAA:"})),
    "unsigned_body": lambda now: (whole(), whole(covered=b"")),
    "wrong_body": lambda now: (whole(), whole(body=b'{"item": 8}')),
    "replayed": lambda now: (signed(), whole()),
    "bad_login": lambda now: (good(), credentials("nobody")),
    "inactive_account": lambda now: (good(), credentials("ben")),
    "no_certificate": lambda now: (peer(ORDERS), peer()),
    "unverified_certificate": lambda now: (peer(ORDERS), peer(Authority("Another CA").issue("spiffe://cluster.local/a"))),
    "malformed_certificate": lambda now: (peer(ORDERS), peer(AUTHORITY.issue("spiffe://cluster.local//a"))),
    "untrusted_domain": lambda now: (peer(ORDERS), peer(AUTHORITY.issue("spiffe://example.org/a"))),
    "revoked": lambda now: (good(jti="kept"), good(jti="revoked")),
    "upstream_401": lambda now: (good(), Request([bearer()], "/status/401")),
}


def account(asked):
    """The accounts of `members`: one that is active, one that is not, none, and a failure; who may log in; what is revoked."""
    if asked.target == "/revocations":
        return Said({"revoked": [{"iss": ISSUER, "jti": "revoked", "until": int(time.time()) + 600}]})
    if asked.target == "/verify":
        ben = {"id": 9, "username": "ben", "email": "ben@example.com", "roles": [], "is_active": False}
        return Said(ben) if asked.json()["username"] == "ben" else Said({"error": "Invalid credentials"}, 401)
    subject = asked.target.strip("/")
    said = {"1": Said({"is_active": True}), "2": Said({"is_active": False}), "4": Said({}, 500)}
    return said.get(subject, Said({"error": "not found"}, 404))


@pytest.fixture(scope="module")
def listeners(start, dependency):
    """One that verifies certificates, and one that lets those pass which do not verify and takes one form of signatures."""
    clusters = {"accounts": dependency(account).port}
    options = {"tls": True, "client_ca": AUTHORITY.path, "clusters": clusters}
    older = merged(PLUGIN, {"authentication": {"service": {"signatures": ["v1"], "replay": {"v1": "allow"}}}})
    return start(PLUGIN, **options), start(older, **options, require_client_certificate=True, accept_untrusted=True)


def test_every_published_reason_can_be_caused_and_no_other(listeners):
    sent, unsent = published()
    assert PRODUCERS.keys() == sent.keys()
    series = re.findall(r'^auth_failures_total\{service="user-service",reason="(\w+)"\}', listeners[0].prometheus(), re.M)
    assert set(series) == sent.keys() | unsent


@pytest.mark.parametrize("reason", PRODUCERS)
def test_a_reason_has_its_status_words_event_and_counter(listeners, reason):
    verifying, lenient = listeners
    status, reads = published()[0][reason]
    fine, bad = PRODUCERS[reason](int(time.time()))
    passed(fine.send(verifying))

    gateway = lenient if reason in ("unverified_certificate", "unsupported_signature") else verifying
    service, told = "user-service", "REPLAY" if reason == "replayed" else "AUTH_FAILURE"
    if reason == "unsupported_signature":
        bad.certificate = ORDERS
    if reason == "replayed":
        passed(bad.send(gateway))
    with counted(gateway, "auth_failures_total", service=service, reason=reason), \
            counted(gateway, "security_events_total", event_type=told, service=service), \
            counted(gateway, "blocked_requests_total", service=service, reason="invalid_credentials"):
        answer = bad.send(gateway)
        assert answer.status == status, answer.body
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["reason"], event["details"]["status"]) == (told, reason, status)
    if reason == "upstream_401":
        assert answer.upstream
        return
    assert answer.upstream is None
    assert (answer.problem["status"], answer.problem["detail"]) == (status, reads)
    assert (answer.header("www-authenticate") is not None) == (status == 401)
    # Made anew: what was signed as a whole is good once.
    passed(PRODUCERS[reason](int(time.time()))[0].send(verifying))
