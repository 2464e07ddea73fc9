"""Limits: exact under concurrency, all windows or none, honest headers."""

import itertools
import re
import time

import pytest
from harness import client
from harness.configuration import plugin
from harness.credentials import bearer, token
from harness.expect import counted, passed, refused
from harness.flood import PIPELINED, flood

PLUGIN = plugin("""
authentication:
  unverified_credentials: 5/m
  jwt:
    partners: { issuer: "https://partners.example.com", algorithms: [HS256], keys: [{ secret: jwt_secret }] }
limits:
  few: { key: [client_ip], rate: 3/h }
  some: { key: [client_ip], rate: 10/h }
  short: { key: [client_ip], rate: 5/2s }
  burst: { key: [client_ip], rate: 6/h, burst: 4/2s }
  per_user:
    key: [subject]
    tiers:
      - { role: premium, rate: 8/h }
      - { role: pro, rate: 5/h }
      - { rate: 2/h }
    anonymous: { key: [client_ip], rate: 1/h }
  tenants: { key: [{ header: x-tenant }], rate: 10000/h }
  addresses: { key: [client_ip], rate: 10000/h }
  tenant: { key: [{ header: x-tenant }], rate: 2/h }
headers: { rate_limit: both }
routes:
  - match: { path: "/few/**" }
    authenticate: none
    limits: [few]
  - match: { path: "/some/**" }
    authenticate: none
    limits: [some]
  - match: { path: "/few-and-some/**" }
    authenticate: none
    limits: [some, few]
  - match: { path: "/short/**" }
    authenticate: none
    limits: [short]
  - match: { path: "/burst/**" }
    authenticate: none
    limits: [burst]
  - match: { path: "/users/**" }
    authenticate: { optional: [jwt] }
    limits: [per_user]
  - match: { path: "/direct/tenants/**" }
    authenticate: none
    limits: [tenants]
  - match: { path: "/direct/addresses/**" }
    authenticate: none
    limits: [addresses]
  - match: { path: "/tenant/**" }
    authenticate: none
    limits: [tenant]
  - match: { path: "/**" }
""")

_addresses = itertools.count(1)


@pytest.fixture
def address():
    """A client's address that no other test uses, as the header that says so."""
    return ("x-forwarded-for", f"203.0.113.{next(_addresses)}")


def statuses(gateway, target, headers, times):
    return [gateway.get(target, headers).status for _ in range(times)]


def test_admits_exactly_the_limit_and_reports_the_rest(gateway, address):
    assert statuses(gateway, "/few/1", [address], 3) == [200] * 3
    with counted(gateway, "security_events_total", event_type="RATE_LIMITED", service="user-service"), \
            counted(gateway, "blocked_requests_total", service="user-service", reason="rate_limit"):
        answer = gateway.get("/few/1", [address])
        refused(answer, 429)
    details = gateway.event(answer)["details"]
    assert (details["limit"], details["ip_address"], details["status"]) == ("few", address[1], 429)
    assert 3500 <= int(answer.header("retry-after")) <= 3700


def test_each_address_has_its_own_count_and_ipv6_counts_by_its_network(gateway, address):
    assert statuses(gateway, "/few/1", [address], 4) == [200, 200, 200, 429]
    assert statuses(gateway, "/few/1", [("x-forwarded-for", "198.51.100.1")], 1) == [200]
    within = [("x-forwarded-for", f"2001:db8:0:1::{n}") for n in range(1, 6)]
    assert [gateway.get("/few/1", [one]).status for one in within] == [200, 200, 200, 429, 429]
    assert gateway.get("/few/1", [("x-forwarded-for", "2001:db8:0:2::1")]).status == 200


def test_takes_from_every_window_or_from_none(gateway, address):
    assert statuses(gateway, "/few-and-some/1", [address], 8) == [200] * 3 + [429] * 5
    # The five that `few` refused were not charged to `some`: seven of its ten are left.
    assert statuses(gateway, "/some/1", [address], 8) == [200] * 7 + [429]


def test_a_burst_stands_beside_the_sustained_rate_and_refusals_cost_nothing(gateway):
    for _ in range(20):
        address, started = ("x-forwarded-for", f"203.0.113.{next(_addresses)}"), time.monotonic()
        sent = statuses(gateway, "/burst/1", [address], 10)
        # On a machine too busy to send ten in one window, somebody else tries again.
        if time.monotonic() - started < 2:
            break
    assert sent == [200] * 4 + [429] * 6
    time.sleep(2.2)
    # Of the six an hour four are gone, not ten: two are left, although the burst would allow four again.
    assert statuses(gateway, "/burst/1", [address], 4) == [200, 200, 429, 429]


def test_a_client_that_waits_for_retry_after_gets_through(gateway, address):
    for _ in range(2):
        while (answer := gateway.get("/short/1", [address])).status == 200:
            pass
        refused(answer, 429)
        wait = int(answer.header("retry-after"))
        assert 1 <= wait <= 3
        time.sleep(wait)
        assert gateway.get("/short/1", [address]).status == 200


def test_no_window_ever_admits_more_than_the_limit(gateway, address):
    admitted, end = [], time.monotonic() + 5
    while time.monotonic() < end or len(admitted) < 10 and time.monotonic() < end + 60:
        before = time.monotonic()
        if gateway.get("/short/1", [address]).status == 200:
            admitted.append((before, time.monotonic()))
        time.sleep(0.05)
    for first, sixth in zip(admitted, admitted[5:]):
        assert sixth[1] - first[0] >= 2, (first, sixth)
    assert len(admitted) >= 10


def test_the_first_tier_that_fits_decides(gateway):
    for roles, rate in ((["premium", "pro"], 8), (["pro"], 5), (["user"], 2)):
        who = [bearer(user_id=f"tier-{rate}", roles=roles)]
        assert statuses(gateway, "/users/1", who, rate + 2) == [200] * rate + [429] * 2


def test_who_shows_no_credentials_is_counted_by_address(gateway, address):
    assert statuses(gateway, "/users/1", [address], 2) == [200, 429]
    assert statuses(gateway, "/users/1", [address, bearer(user_id="after-anonymous")], 2) == [200, 200]


def test_who_sends_no_header_or_several_is_counted_by_address(gateway, address):
    sent = [gateway.get("/tenant/1", [address, ("x-tenant", f"r{n}"), ("x-tenant", "real")]).status for n in range(4)]
    assert sent == [200, 200, 429, 429]
    assert statuses(gateway, "/tenant/1", [address], 1) == [429]
    for other in range(4):
        assert statuses(gateway, "/tenant/1", [("x-forwarded-for", f"198.51.100.{100 + other}")], 1) == [200]
    assert statuses(gateway, "/tenant/1", [address, ("x-tenant", "real")], 3) == [200, 200, 429]


def test_the_same_subject_of_two_providers_is_two_callers(gateway):
    ours = [bearer(user_id="twin", roles=[])]
    theirs = [bearer(token(iss="https://partners.example.com", sub="twin", aud=None, type=None, user_id=None))]
    assert statuses(gateway, "/users/1", ours, 3) == [200, 200, 429]
    assert statuses(gateway, "/users/1", theirs, 3) == [200, 200, 429]


def test_a_new_token_of_the_same_caller_is_no_new_count(gateway):
    sent = [gateway.get("/users/1", [bearer(user_id="fresh-tokens", roles=[], jti=str(n))]).status for n in range(4)]
    assert sent == [200, 200, 429, 429]


def test_tells_the_client_its_limits_in_both_forms(gateway, address):
    for remaining in (2, 1, 0):
        answer = gateway.get("/few/1", [address])
        assert answer.header("ratelimit-policy") == '"few";q=3;w=3600'
        assert re.fullmatch(rf'"few";r={remaining}(;t=\d+)?', answer.header("ratelimit"))
        assert answer.header("x-ratelimit-limit").startswith("3")
        assert answer.header("x-ratelimit-remaining") == str(remaining)
        assert answer.header("x-ratelimit-reset").isdigit()
    answer = gateway.get("/few/1", [address])
    assert answer.status == 429
    assert re.fullmatch(r'"few";r=0(;t=\d+)?', answer.header("ratelimit"))
    both = gateway.get("/few-and-some/1", [("x-forwarded-for", "198.51.100.7")]).header("ratelimit-policy")
    assert both.count("q=") == 2


def block(target, *headers):
    return client.head("GET", target, [("host", "api.example.com"), *headers]) * PIPELINED, PIPELINED


@pytest.mark.parametrize(("target", "header"), [
    ("/direct/tenants/1", ("x-tenant", "acme")),
    ("/direct/addresses/1", ("x-forwarded-for", "192.0.2.200")),
])
def test_of_20000_concurrent_requests_exactly_10000_pass_on_a_key_never_seen(gateway, target, header):
    connections, blocks = 100, 50
    counts, _ = flood(gateway.port, lambda process: [[block(target, header)] * blocks for _ in range(connections)])
    assert counts == {200: 10_000, 429: 10_000}
    per_worker = [gateway.stat(f"listener.127.0.0.1_{gateway.port}.worker_{n}.downstream_cx_total") for n in (0, 1)]
    assert all(count > 10 for count in per_worker), f"both workers must take part: {per_worker}"
    assert gateway.get(target, [header]).status == 429


def test_bad_credentials_have_a_budget_per_address_that_good_cached_ones_do_not_need(gateway, address):
    good, marker = bearer(user_id="cached"), ("host", "api.example.com")
    with client.Connection(gateway.port) as connection:
        def keep_alive():
            connection.send(client.head("GET", "/things/1", [marker, address, good]))
            return connection.read().status

        assert keep_alive() == 200
        forged = [bearer(key="another-secret-that-is-long-enough-for-hs256", jti=str(n)) for n in range(8)]
        answers = [gateway.get("/things/1", [address, one]) for one in forged]
        sent = [answer.status for answer in answers]
        allowed = sent.count(401)
        # The first good token may have been counted as well: it was not verified before it was.
        assert allowed in (4, 5)
        assert sent == [401] * allowed + [429] * (8 - allowed)
        problem = refused(answers[-1], 429)
        assert problem["title"] == "Too Many Requests"
        # What is counted in the first instant of a fiftieth of a minute counts for 1.02 minutes: 61.2 seconds.
        assert 1 <= int(answers[-1].header("retry-after")) <= 62
        event = gateway.event(answers[-1])
        assert (event["event_type"], event["details"]["reason"]) == ("RATE_LIMITED", "unverified_credentials")
        # Nothing is verified for this address any more ...
        assert gateway.get("/things/1", [address, bearer(jti="never-seen")]).status == 429
        # ... but what was seen to be good is, and so is everybody else.
        assert keep_alive() == 200
    passed(gateway.get("/things/1", [("x-forwarded-for", "198.51.100.99"), bearer(jti="also-never-seen")]))
    refused(gateway.get("/things/1", [address]), 401)
