"""The configurations in `envoy/examples` in real Envoy, as users would load them; the time that real limits take is
replayed natively."""

import os
import ssl
import time
from pathlib import Path

import pytest
import yaml
from harness.certificates import Authority
from harness.configuration import PROXIES
from harness.credentials import bearer
from harness.expect import passed, refused

EXAMPLES = Path(os.environ.get("EXAMPLES", Path(__file__).parents[2] / "envoy" / "examples"))


def example(name):
    """The file as it is, but for the tests' own connections, which say who the client is."""
    return {**yaml.safe_load((EXAMPLES / name).read_text()), "client_ip": {"trusted_proxies": PROXIES}}


@pytest.fixture(scope="module")
def throttles(start):
    return start(example("throttles.yaml"))


@pytest.fixture(scope="module")
def limiter(start):
    return start(example("address-limiter.yaml"))


def client(address):
    return ("x-forwarded-for", address)


def test_the_address_limiter_admits_a_hundred_and_says_when_to_come_back(limiter):
    statuses = [limiter.get("/public/a", [client("192.0.2.1")]).status for _ in range(104)]
    assert statuses == [200] * 100 + [429] * 4
    answer = limiter.post("/api/v1/auth/login", b"{}", headers=[client("192.0.2.1")])
    refused(answer, 429)
    assert 0 < int(answer.header("retry-after")) <= 920
    passed(limiter.post("/api/v1/auth/login", b"{}", headers=[client("192.0.2.2")]))


def test_anonymous_callers_get_a_hundred_and_known_ones_go_on(throttles):
    # Not more than the burst of any second.
    statuses = [throttles.get("/api/a", [client("192.0.2.1")]).status for _ in range(101)]
    assert statuses.count(429) == 1 and statuses[-1] == 429
    passed(throttles.get("/api/a", [client("192.0.2.1"), bearer()]))


def test_who_backs_off_as_told_gets_everything_through(throttles):
    """A batch of sixty against a burst of twenty a second: refused now and then, never twice in a row."""
    caller = bearer(user_id="batch")
    started, refusals, sent = time.monotonic(), 0, 0
    while sent < 60:
        answer = throttles.get("/api/a", [caller])
        if answer.status == 429:
            refusals += 1
            time.sleep(int(answer.header("retry-after")))
            answer = throttles.get("/api/a", [caller])
        passed(answer)
        sent += 1
    took = time.monotonic() - started
    # Who is slower than the burst is not refused at all.
    assert took >= 2 and (refusals >= 2 or took >= 3)


@pytest.mark.parametrize("roles, rate", [([], 1000), (["pro"], 5000), (["premium", "pro"], 10_000)])
def test_known_callers_get_the_rate_of_their_group(throttles, roles, rate):
    answer = throttles.get("/api/a", [bearer(user_id=f"member-{rate}", roles=roles)])
    passed(answer)
    assert f"q={rate};w=3600" in answer.header("ratelimit-policy")


AUTHORITY = Authority()
ACCOUNTS = "spiffe://cluster.local/ns/microservices/sa/"
PEERS = {name: AUTHORITY.issue(ACCOUNTS + name) for name in ["order-service", "api-gateway", "cart-service"]}
PEERS["of another namespace"] = AUTHORITY.issue("spiffe://cluster.local/ns/default/sa/order-service")
PEERS["of another domain"] = AUTHORITY.issue("spiffe://example.org/ns/microservices/sa/order-service")
ALLOWED = {"order-service", "api-gateway"}


@pytest.fixture(scope="module")
def policy(start):
    return start(example("service-policy.yaml"), tls=True, client_ca=AUTHORITY.path)


@pytest.mark.parametrize("peer", [*PEERS, None])
def test_the_service_policy_lets_two_services_in_and_nobody_else(policy, peer):
    shown = {"tls": True, "certificate": PEERS[peer].path if peer else None}
    for method in ["GET", "POST", "PUT", "DELETE"]:
        answer = policy.send(method, "/api/v1/users/7", **shown)
        if peer in ALLOWED:
            assert passed(answer).header("x-auth-peer") == ACCOUNTS + peer
        else:
            refused(answer, 403)
    for method, target in [("PATCH", "/api/v1/users/7"), ("GET", "/api/v1/users"), ("GET", "/api/v1/orders/7"),
                           ("GET", "/api/v1/users/7/../../orders"), ("GET", "/")]:
        refused(policy.send(method, target, **shown), 403)


def test_the_service_policy_believes_certificates_only(policy):
    claimed = [("X-Forwarded-Client-Cert", f"URI={ACCOUNTS}order-service"), ("X-Auth-Peer", ACCOUNTS + "order-service")]
    refused(policy.get("/api/v1/users/7", claimed), 403)
    refused(policy.get("/api/v1/users/7", claimed, tls=True, certificate=PEERS["cart-service"].path), 403)
    forged = Authority("Another CA").issue(ACCOUNTS + "order-service")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        policy.get("/api/v1/users/7", tls=True, certificate=forged.path)
