"""Credentials that another service judges, of clients that ask for many at once or leave before the answer: how many are
asked about, and what is counted."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import client
from harness.configuration import plugin
from harness.credentials import bearer
from harness.dependency import Said, eventually
from harness.gateway import HOST

BUDGET, FAILURES = 5, 3
# Seconds until what is bad is answered, and until what is good is.
SOON, LATE = 0.3, 1.0

PLUGIN = plugin(f"""
secrets: {{ oauth_client: {{ env: OAUTH_CLIENT_SECRET }} }}
authentication:
  unverified_credentials: {BUDGET}/m
  oauth2:
    opaque:
      introspection: {{ cluster: idp, uri: "https://idp.example.com/introspect", client_id: portcullis,
                       client_secret: {{ secret: oauth_client }} }}
tokens:
  issuer: https://auth.example.com
  audience: microservices-api
  keys: [{{ secret: jwt_secret }}]
  login: {{ verify: {{ cluster: idp, uri: "http://users/verify" }} }}
intrusion: {{ failures: {FAILURES}, count: [bad_login], block_for: 1h }}
events: {{ sample: 1000/s }}
routes: [{{ match: {{ path: "/**" }}, authenticate: [oauth2] }}]
""")


def says(asked):
    if asked.target == "/verify" and asked.json()["password"] == "right":
        time.sleep(LATE)
        return Said({"id": 7, "username": "ann"})
    time.sleep(SOON)
    return Said({}, 401) if asked.target == "/verify" else Said({"active": False})


@pytest.fixture(scope="module")
def idp(dependency):
    return dependency(says)


@pytest.fixture(scope="module")
def gateway(start, idp):
    return start(PLUGIN, clusters={"idp": idp.port}, environment={"OAUTH_CLIENT_SECRET": "s3cret"})


@pytest.fixture(autouse=True)
def nobody_asked(idp):
    idp.asked.clear()


def of(address):
    return ("x-forwarded-for", address)


def credentials(password):
    return json.dumps({"username": "ann", "password": password}).encode()


def login(gateway, address, password):
    return gateway.post("/auth/login", credentials(password), headers=[of(address)])


def leave(gateway, method, target, headers, body=b""):
    """Asks, and is gone before anybody has answered."""
    headers = [("host", HOST), ("content-length", str(len(body))), ("content-type", "application/json"), *headers]
    with client.Connection(gateway.port) as connection:
        connection.send(client.head(method, target, headers) + body)
        time.sleep(SOON / 3)


def at_once(count, work):
    with ThreadPoolExecutor(count) as pool:
        return sorted(answer.status for answer in pool.map(work, range(count)))


def test_no_more_tokens_are_asked_about_at_once_than_may_turn_out_bad(gateway, idp):
    statuses = at_once(30, lambda n: gateway.get("/direct/1", [of("198.51.100.1"), bearer(f"burst-{n}")]))
    assert statuses == [401] * BUDGET + [429] * (30 - BUDGET)
    assert len(idp.asked) == BUDGET


def test_no_more_logins_are_asked_about_at_once_than_may_turn_out_bad(gateway, idp):
    statuses = at_once(30, lambda n: login(gateway, "198.51.100.2", f"burst-{n}"))
    assert len(idp.asked) == BUDGET
    assert set(statuses) <= {401, 403, 429} and statuses.count(401) == FAILURES, statuses


def test_a_client_that_leaves_stays_charged(gateway, idp):
    for n in range(BUDGET):
        leave(gateway, "GET", "/direct/1", [of("198.51.100.3"), bearer(f"left-{n}")])
    time.sleep(2 * SOON)
    assert gateway.get("/direct/1", [of("198.51.100.3"), bearer("another")]).status == 429
    assert len(idp.asked) == BUDGET


def test_guesses_of_a_client_that_leaves_count(gateway, idp):
    for n in range(FAILURES):
        leave(gateway, "POST", "/auth/login", [of("198.51.100.4")], credentials(f"guess-{n}"))
    assert len(idp.asked) == FAILURES
    assert eventually(lambda: gateway.get("/direct/1", [of("198.51.100.4")]).status == 403)
    told = [event for event in gateway.logged_events() if event["details"].get("ip_address") == "198.51.100.4"]
    kinds = [(event["event_type"], event["details"]["reason"]) for event in told]
    assert kinds.count(("AUTH_FAILURE", "bad_login")) == FAILURES and ("IP_BLOCKED", "failures") in kinds, kinds


def test_an_address_that_was_blocked_meanwhile_gets_no_tokens(gateway, idp):
    passwords = ["right", *(f"wrong-{n}" for n in range(FAILURES))]
    with ThreadPoolExecutor(len(passwords)) as pool:
        answers = list(pool.map(lambda password: login(gateway, "198.51.100.5", password), passwords))
    assert len(idp.asked) == len(passwords)
    assert [answer.status for answer in answers] == [403] + [401] * FAILURES
    assert b"access_token" not in answers[0].body
