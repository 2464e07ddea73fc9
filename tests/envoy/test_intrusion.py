"""Addresses that fail too often are shut out, by all workers, until their time is over or somebody lets them in."""

import itertools
import json
import time

import pytest
from harness.configuration import merged, plugin
from harness.credentials import bearer, service_headers
from harness.expect import BLOCKED as BLOCKED_AS, counted, passed, refused
from harness.gateway import typed

PLUGIN = plugin("""
authentication:
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } } }
    signatures: [v1]
    replay: { v1: allow }
intrusion:
  failures: 5
  within: 1h
  block_for: 1h
  never_block: [198.51.100.0/24]
  admin: { roles: [admin] }
defaults: { authenticate: [jwt, service] }
routes:
  - match: { path: "/open/**" }
    authenticate: none
  - match: { path: "/watched/**" }
    authenticate: { optional: [jwt] }
    mode: monitor
  - match: { path: "/**" }
""")

FORGED = "another-secret-that-is-long-enough-for-hs256"
ADMIN = bearer(roles=["admin"], user_id="root")
BLOCKED = "/.portcullis/blocked"

_addresses = itertools.count(1)


@pytest.fixture
def address():
    """A client's address that no other test uses, as the header that says so."""
    return ("x-forwarded-for", f"203.0.113.{next(_addresses)}")


def fail(gateway, address):
    answer = gateway.get("/things/1", [address, bearer(key=FORGED)])
    refused(answer, 401)
    return answer


def is_blocked(gateway, address):
    answer = gateway.get("/open/1", [address])
    assert answer.status in (200, 403)
    return answer.status == 403


ABORT = typed("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault",
              {"abort": {"header_abort": {}, "percentage": {"numerator": 100}}})


@pytest.mark.parametrize("status", [401, 403, 429])
def test_what_a_filter_behind_the_module_answers_is_not_the_upstreams(start, address, status):
    gateway = start(PLUGIN, after=[ABORT])
    with counted(gateway, "security_events_total", by=0, event_type="AUTH_FAILURE", service="user-service"), \
            counted(gateway, "blocked_requests_total", by=0, service="user-service", reason=BLOCKED_AS[status]):
        for _ in range(6):
            assert gateway.get("/open/1", [address, ("x-envoy-fault-abort-request", str(status))]).status == status
        assert not is_blocked(gateway, address)
    with counted(gateway, "blocked_requests_total", service="user-service", reason=BLOCKED_AS[status]):
        assert gateway.get(f"/open/status/{status}", [address]).status == status


def test_the_fifth_failure_blocks_on_every_worker(gateway, address):
    for _ in range(4):
        fail(gateway, address)
    for _ in range(6):
        passed(gateway.get("/open/1", [address]))
    with counted(gateway, "security_events_total", event_type="IP_BLOCKED", service="user-service"):
        events = gateway.events(fail(gateway, address))
    assert [event["event_type"] for event in events] == ["AUTH_FAILURE", "IP_BLOCKED"]
    details = events[1]["details"]
    assert (details["ip_address"], details["failed_attempts"]) == (address[1], 5)
    assert abs(details["until"] - time.time() - 3600) < 60
    line = next(line for line in gateway.log().splitlines() if "IP_BLOCKED" in line and address[1] in line)
    assert "[critical]" in line
    # Connections of their own reach both workers.
    with counted(gateway, "blocked_requests_total", by=12, service="user-service", reason="blocked_address"), \
            counted(gateway, "security_events_total", by=12, event_type="ACCESS_DENIED", service="user-service"):
        answers = [gateway.get("/things/1", [address, bearer()]) for _ in range(12)]
        for answer in answers:
            refused(answer, 403)
    event = gateway.event(answers[0])
    assert (event["event_type"], event["details"]["reason"]) == ("ACCESS_DENIED", "blocked_address")
    passed(gateway.get("/things/1", [("x-forwarded-for", "192.0.2.200"), bearer()]))


@pytest.mark.parametrize(("kind", "send"), [
    ("bad service signature", lambda g, a: g.get("/things/1", [a, *service_headers(key="a-forged-key")])),
    ("wrong service token", lambda g, a: g.get("/things/1", [a, *service_headers(token="a-stolen-guess")])),
    ("unknown service", lambda g, a: g.get("/things/1", [a, *service_headers(name="intruder")])),
    ("injection", lambda g, a: g.get("/open/1?q=%3Cscript%3Ealert(1)%3C/script%3E", [a])),
    ("injection in the body", lambda g, a: g.post("/open/1", b'{"q":"<script>alert(1)</script>"}', headers=[a])),
    ("path traversal", lambda g, a: g.get("/open/%252e%252e/etc/passwd", [a])),
    ("the upstream's 401", lambda g, a: g.get("/open/status/401", [a])),
])
def test_counts(gateway, address, kind, send):
    for _ in range(4):
        assert send(gateway, address).status in (400, 401, 403)
    assert not is_blocked(gateway, address)
    assert send(gateway, address).status in (400, 401, 403)
    assert is_blocked(gateway, address)


@pytest.mark.parametrize(("kind", "send"), [
    ("no token", lambda g, a: g.get("/things/1", [a])),
    ("expired", lambda g, a: g.get("/things/1", [a, bearer(exp=int(time.time()) - 600, iat=int(time.time()) - 900)])),
    ("another audience", lambda g, a: g.get("/things/1", [a, bearer(aud="somebody-else")])),
    ("another issuer", lambda g, a: g.get("/things/1", [a, bearer(iss="https://elsewhere.example.com")])),
    ("garbage", lambda g, a: g.get("/things/1", [a, bearer("garbage")])),
    ("an old signature", lambda g, a: g.get("/things/1", [a, *service_headers(age=3600)])),
    ("a broken body", lambda g, a: g.post("/open/1", b"{", headers=[a])),
    ("the proxy's own 401", lambda g, a: g.get("/refused/1", [a, bearer()])),
    ("the upstream's 403", lambda g, a: g.get("/open/status/403", [a])),
    ("monitored", lambda g, a: g.get("/watched/1", [a, bearer(key=FORGED)])),
])
def test_does_not_count(gateway, address, kind, send):
    for _ in range(8):
        send(gateway, address)
    assert gateway.get("/open/1", [address]).status == 200


def test_a_network_that_is_allowed_is_never_blocked(gateway):
    friend = ("x-forwarded-for", "198.51.100.7")
    for _ in range(10):
        fail(gateway, friend)
    passed(gateway.get("/open/1", [friend]))


def test_an_admin_lists_and_lifts_blocks(gateway, address):
    for _ in range(5):
        fail(gateway, address)
    answer = gateway.get(BLOCKED, [ADMIN])
    assert (answer.status, answer.upstream) == (200, None)
    assert (answer.header("content-type"), answer.header("cache-control")) == ("application/json", "no-store")
    entry = next(entry for entry in json.loads(answer.body)["blocked"] if entry["address"] == address[1])
    assert abs(entry["until"] - time.time() - 3600) < 60
    one = gateway.get(f"{BLOCKED}/{address[1]}", [ADMIN])
    assert json.loads(one.body) == entry

    with counted(gateway, "security_events_total", event_type="IP_UNBLOCKED", service="user-service"):
        lifted = gateway.send("DELETE", f"{BLOCKED}/{address[1]}", [ADMIN])
    assert (lifted.status, lifted.upstream) == (200, None)
    assert json.loads(lifted.body) == {"unblocked": [{"address": address[1]}]}
    told = [event["details"] for event in gateway.logged_events() if event["event_type"] == "IP_UNBLOCKED"]
    assert [(one["ip_address"], one["user"]) for one in told] == [(address[1], "root")]
    line = next(line for line in gateway.log().splitlines() if "IP_UNBLOCKED" in line and address[1] in line)
    assert "[info]" in line
    for _ in range(6):
        passed(gateway.get("/open/1", [address]))
    assert gateway.get(f"{BLOCKED}/{address[1]}", [ADMIN]).status == 404


@pytest.mark.parametrize(("method", "target", "headers", "status"), [
    ("GET", BLOCKED, [], 401),
    ("DELETE", f"{BLOCKED}/203.0.113.1", [], 401),
    ("GET", BLOCKED, [bearer(key=FORGED, roles=["admin"])], 401),
    ("GET", BLOCKED, [bearer(roles=["manager"])], 403),
    ("DELETE", f"{BLOCKED}/203.0.113.1", [bearer(roles=["user"])], 403),
    ("GET", BLOCKED, service_headers, 403),
    ("GET", "/.portcullis/elsewhere", [ADMIN], 404),
    ("GET", f"{BLOCKED}/192.0.2.99", [ADMIN], 404),
    ("POST", BLOCKED, [ADMIN], 405),
    ("GET", f"{BLOCKED}/somebody", [ADMIN], 400),
    ("GET", f"{BLOCKED}?limit=0", [ADMIN], 400),
    ("GET", "/open/../.portcullis/blocked", [], 401),
])
def test_nobody_else_may_and_nothing_else_is_there(gateway, method, target, headers, status):
    # A signature is good for five minutes: it is made when it is sent.
    answer = gateway.send(method, target, headers() if callable(headers) else headers)
    assert (answer.status, answer.upstream) == (status, None)
    assert answer.header("content-type") == "application/problem+json"
    assert answer.problem["status"] == status


def test_a_block_ends_by_itself(start):
    gateway = start(merged(PLUGIN, {"intrusion": {"failures": 2, "block_for": "3s"}}))
    address = ("x-forwarded-for", "203.0.113.1")
    for _ in range(2):
        fail(gateway, address)
    assert is_blocked(gateway, address)
    time.sleep(4.2)
    for _ in range(4):
        assert not is_blocked(gateway, address)


def test_monitor_mode_tells_and_lets_pass_and_a_reload_keeps_blocks(start):
    gateway = start(merged(PLUGIN, {"intrusion": {"mode": "monitor"}}))
    address = ("x-forwarded-for", "203.0.113.2")
    for _ in range(4):
        fail(gateway, address)
    told = gateway.events(fail(gateway, address))[1]
    assert (told["event_type"], told["details"]["mode"]) == ("IP_BLOCKED", "monitor")
    answer = gateway.get("/open/1", [address])
    passed(answer)
    assert gateway.event(answer)["details"]["mode"] == "monitor"

    def in_force(path, plugin):
        routes = [{"match": {"path": path}, "authenticate": "none"}, *PLUGIN["routes"]]
        assert gateway.push(merged(plugin, {"routes": routes}))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            # Both workers: several connections in a row.
            probe = [("x-forwarded-for", "192.0.2.1")]
            if all(gateway.get(path, probe).status == 200 for _ in range(6)):
                return
            time.sleep(0.05)
        raise AssertionError(f"{path} never came into force")

    in_force("/first", PLUGIN)
    passed(gateway.get("/open/1", [address]))
    for _ in range(5):
        fail(gateway, address)
    assert is_blocked(gateway, address)
    in_force("/second", merged(PLUGIN, {"intrusion": {"block_for": "forever"}}))
    for _ in range(6):
        assert is_blocked(gateway, address)
