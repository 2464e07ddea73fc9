"""Revoked tokens and sessions: by logging out here, by the feed of other places, over workers and reloads."""

import itertools
import json
import time

import jwt
import pytest
from harness.configuration import merged, plugin
from harness.credentials import AUDIENCE, ISSUER, SECRET, bearer
from harness.dependency import FAULTS, Said, eventually
from harness.expect import counted, passed, refused, unauthenticated

PERSON = {"id": "42", "username": "ann", "email": "ann@example.com", "roles": ["user"], "is_active": True}

FEED = """
authentication:
  jwt:
    others:
      issuer: https://others.example.com
      algorithms: [HS256]
      keys: [{ secret: jwt_secret }]
  revocation: { feed: { cluster: users, uri: "http://users/internal/revocations", interval: 1s } }
routes: [{ match: { path: "/**" } }]
"""

LOGIN = f"""
tokens:
  issuer: {ISSUER}
  audience: {AUDIENCE}
  keys: [{{ secret: jwt_secret }}]
  login: {{ verify: {{ cluster: users, uri: "http://users/internal/verify-credentials" }} }}
  refresh: {{ lookup: {{ cluster: users, uri: "http://users/internal/accounts/{{user_id}}" }} }}
  logout: {{}}
routes: [{{ match: {{ path: "/**" }} }}]
"""


class Users:
    def __init__(self):
        self.revoked = []

    def __call__(self, asked):
        return Said({"revoked": self.revoked} if asked.target.endswith("/revocations") else PERSON)

    def revoke(self, **named):
        self.revoked = [*self.revoked, {"iss": ISSUER, "until": int(time.time()) + 600, **named}]


@pytest.fixture(scope="module")
def serve(start, dependency):
    def serve(text, **more):
        users = Users()
        service = dependency(users)
        return start(merged(plugin(text), more), clusters={"users": service.port}), users, service

    return serve


@pytest.fixture(scope="module")
def fed(serve):
    gateway, users, service = serve(FEED)
    assert eventually(lambda: statuses(gateway, bearer(jti="any")) == {200}), "nothing is known before the feed was read"
    return gateway, users, service


_names = itertools.count(1)


@pytest.fixture
def name():
    return f"name-{next(_names)}"


def logged_in(gateway):
    answer = gateway.post("/auth/login", json.dumps({"username": "ann", "password": "x"}).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def log_out(gateway, tokens):
    return gateway.post("/auth/logout", json.dumps({"refresh_token": tokens["refresh_token"]}).encode()).status


def statuses(gateway, shown, count=8):
    """Connections of their own reach both workers."""
    return {gateway.get("/a", [shown]).status for _ in range(count)}


def test_a_logout_is_known_to_every_worker_within_the_bound(serve):
    gateway, _, _ = serve(LOGIN)
    for _ in range(5):
        tokens = logged_in(gateway)
        shown = bearer(tokens["access_token"])
        assert statuses(gateway, shown, 12) == {200}, "remembered by both workers"
        assert log_out(gateway, tokens) == 204
        time.sleep(0.1)
        assert statuses(gateway, shown, 12) == {401}
    unauthenticated(gateway, "revoked", lambda: gateway.get("/a", [shown]))


def test_a_logout_outlives_a_reload(serve):
    gateway, _, _ = serve(LOGIN)
    kept, gone = logged_in(gateway), logged_in(gateway)
    assert log_out(gateway, gone) == 204
    assert gateway.push(merged(plugin(LOGIN), {"headers": {"security": "strict"}}))
    assert eventually(lambda: gateway.get("/a", [bearer(kept["access_token"])]).header("x-frame-options") == "DENY")
    assert statuses(gateway, bearer(gone["access_token"])) == {401}
    assert statuses(gateway, bearer(kept["access_token"])) == {200}


def test_a_full_table_refuses_to_pretend(serve):
    gateway, _, _ = serve(LOGIN, tables={"revocations": 64})
    full = 0
    for _ in range(65):
        tokens = logged_in(gateway)
        status = log_out(gateway, tokens)
        if status == 503:
            full += 1
            passed(gateway.get("/a", [bearer(tokens["access_token"])]))
        else:
            assert status == 204
    assert full >= 1
    assert gateway.counter("security_events_total", event_type="DEGRADED", service="user-service") == full


def test_the_feed_revokes_tokens_and_sessions_that_were_in_use(fed, name):
    gateway, users, service = fed
    by_token, by_session, other = bearer(jti=name), bearer(sid=name, jti="x" + name), bearer(jti="y" + name)
    stranger = bearer(jwt.encode({"iss": "https://others.example.com", "sub": "1", "jti": name, "sid": name,
                                  "exp": int(time.time()) + 600}, SECRET))
    everybody = (by_token, by_session, other, stranger)
    assert [statuses(gateway, shown) for shown in everybody] == [{200}] * 4
    users.revoke(jti=name)
    users.revoke(sid=name)
    assert eventually(lambda: gateway.get("/a", [by_token]).status == 401)
    time.sleep(0.1)
    assert [statuses(gateway, shown) for shown in everybody] == [{401}, {401}, {200}, {200}]
    # What the feed does not name any more stays revoked.
    users.revoked = []
    asked = service.count("/revocations")
    assert eventually(lambda: service.count("/revocations") >= asked + 2)
    assert statuses(gateway, by_token) == {401}


def test_one_worker_asks_for_all(fed):
    _, _, service = fed
    before, started = service.count("/revocations"), time.monotonic()
    time.sleep(5)
    assert eventually(lambda: service.count("/revocations") >= before + 3)
    asked = service.count("/revocations") - before
    assert asked <= 1.1 * (time.monotonic() - started) + 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_feed_that_fails_leaves_what_is_known(fed, name, fault):
    gateway, users, service = fed
    users.revoke(jti=name)
    known = bearer(jti=name)
    assert eventually(lambda: gateway.get("/a", [known]).status == 401)
    before = gateway.counter("security_events_total", event_type="DEGRADED", service="user-service")
    service.fault, service.delay = fault, 30.0
    users.revoke(jti="later-" + name)

    def told():
        return gateway.counter("security_events_total", event_type="DEGRADED", service="user-service") > before

    assert eventually(told), gateway.log()[-2000:]
    assert statuses(gateway, known) == {401}
    assert statuses(gateway, bearer(jti="later-" + name)) == {200}
    service.fault = None
    assert eventually(lambda: gateway.get("/a", [bearer(jti="later-" + name)]).status == 401)


def test_a_start_without_the_feed_takes_no_token_that_may_be_revoked(start, dependency, name):
    users = Users()
    service = dependency(users)
    service.fault = "500"
    users.revoke(jti=name)
    gateway = start(plugin(FEED), clusters={"users": service.port})
    assert eventually(lambda: service.count("/revocations") >= 2)
    assert statuses(gateway, bearer(jti=name)) == statuses(gateway, bearer(sid=name)) == {401}
    unauthenticated(gateway, "unavailable", lambda: gateway.get("/a", [bearer(jti=name)]))
    service.fault = None
    assert eventually(lambda: statuses(gateway, bearer(sid="x" + name)) == {200})
    assert statuses(gateway, bearer(jti=name)) == {401}


def test_an_ended_session_stays_revoked_while_clocks_may_differ(serve, name):
    gateway, users, _ = serve(FEED, authentication={"jwt": {"users": {"clock_skew": "60s"}}})
    ended = int(time.time()) - 10
    shown = bearer(sid=name, exp=ended)
    assert eventually(lambda: gateway.get("/a", [shown]).status == 200), "it is taken for the clock skew"
    users.revoked = [{"iss": ISSUER, "sid": name, "until": ended}]
    assert eventually(lambda: gateway.get("/a", [shown]).status == 401)
    # The other worker looks again after a tenth of a second at most.
    time.sleep(0.1)
    unauthenticated(gateway, "revoked", lambda: gateway.get("/a", [shown]))


def test_a_start_takes_up_what_the_feed_says(serve, name):
    gateway, users, _ = serve(FEED)
    users.revoke(jti=name)
    assert eventually(lambda: gateway.get("/a", [bearer(jti=name)]).status == 401)
    # The other worker looks again after a tenth of a second at most.
    time.sleep(0.1)
    with counted(gateway, "auth_failures_total", service="user-service", reason="revoked"):
        refused(gateway.get("/a", [bearer(jti=name)]), 401)
