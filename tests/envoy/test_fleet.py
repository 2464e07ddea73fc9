"""Limits of a whole fleet: two Envoys of two workers, one real service, and what becomes of them."""

import pytest
from harness.configuration import plugin
from harness.dependency import closed_port, eventually
from harness.ratelimit import Load, RateLimitService, prepare

RATE, TIMEOUT = 1_000, 0.1
LIMIT = 3_000

pytestmark = pytest.mark.alone

PLUGIN = plugin(f"""
limits:
  fleet:
    key: [{{ header: x-caller }}]
    rate: {LIMIT}/10s
    rate_limit_service: {{ cluster: ratelimit, descriptor: caller, lease: 50, timeout: 100ms, local_share: 0.25 }}
  users:
    key: [subject]
    rate: 5/h
    rate_limit_service: {{ cluster: ratelimit, descriptor: user, lease: 2, timeout: 1s }}
  unknown:
    key: [client_ip]
    rate: 8/h
    rate_limit_service: {{ cluster: nobody, descriptor: caller, local_share: 0.5 }}
routes:
  - match: {{ path: "/direct/fleet/**" }}
    authenticate: none
    limits: [fleet]
  - match: {{ path: "/direct/users/**" }}
    limits: [users]
  - match: {{ path: "/direct/unknown/**" }}
    authenticate: none
    limits: [unknown]
""")

LIMITS = (f"caller={LIMIT}/10", "user=5/3600")


@pytest.fixture(scope="module", params=["bare", "statuses"])
def fleet(request, start):
    """Two gateways and their service."""
    prepare()
    service = RateLimitService(*LIMITS, answers=request.param)
    service.start()
    yield [start(PLUGIN, clusters={"ratelimit": service.port}, grpc=("ratelimit",)) for _ in range(2)], service
    service.kill()


def calls(gateways):
    return sum(gateway.stat("cluster.ratelimit.upstream_rq_total") for gateway in gateways)


def told(gateways, reason):
    """How many workers have said so."""
    events = [event for gateway in gateways for event in gateway.logged_events()]
    return sum(event["details"].get("reason") == f"rate_limit_service_{reason}" for event in events)


def test_two_envoys_admit_the_number_that_the_service_counts_and_hardly_ever_ask(fleet):
    gateways, _ = fleet
    before = calls(gateways)
    load = Load(gateways, "/direct/fleet/1", [("x-caller", "exact")], RATE, 6)
    assert set(load.statuses) == {200, 429}
    assert LIMIT * 0.99 <= load.admitted <= LIMIT, load.statuses
    asked = calls(gateways) - before
    assert asked < 0.05 * load.statuses.total(), (asked, load.statuses)


def test_a_dead_service_costs_one_request_in_a_hundred_the_timeout_and_recovers_by_itself(fleet):
    gateways, service = fleet
    faults = {
        "hangs": (service.hang, service.go_on),
        "killed": (service.kill, service.start),
    }
    for fault, (breaks, mends) in faults.items():
        before = told(gateways, "unavailable"), told(gateways, "recovered")
        breaks()
        load = Load(gateways, "/direct/fleet/1", [("x-caller", fault)], 600, 3)
        assert set(load.statuses) <= {200, 429}, (fault, load.statuses)
        # A quarter of the limit for each of two proxies.
        assert 0.9 * LIMIT / 2 <= load.admitted <= LIMIT / 2, (fault, load.statuses)
        assert load.slower_than(0.9 * TIMEOUT) <= 0.01, (fault, sorted(load.latencies)[-30:])
        assert max(load.latencies) < TIMEOUT + 0.5, fault
        assert eventually(lambda: told(gateways, "unavailable") > before[0]), fault
        mends()

        def recovered():
            for gateway in gateways:
                gateway.get("/direct/fleet/1", [("x-caller", fault)])
            return told(gateways, "recovered") - before[1] == told(gateways, "unavailable") - before[0]

        assert eventually(recovered, 15), fault


def test_after_all_that_the_count_is_exact_again(fleet):
    gateways, _ = fleet
    load = Load(gateways, "/direct/fleet/1", [("x-caller", "again")], RATE, 5)
    assert LIMIT * 0.98 <= load.admitted <= LIMIT * 1.02, load.statuses


def test_the_last_permits_reach_whoever_asks(fleet):
    from harness.credentials import bearer

    gateways, _ = fleet
    ann = [bearer(user_id="ann")]
    answers = [gateways[n % 2].get("/direct/users/1", ann) for n in range(12)]
    statuses = [answer.status for answer in answers]
    assert statuses.count(200) == 5 and statuses[-3:] == [429] * 3, statuses
    assert 1 <= int(answers[-1].header("retry-after")) <= 3600
    assert answers[-1].header("ratelimit-policy") == '"users";q=5;w=3600'


def test_a_cluster_that_does_not_exist_is_a_service_that_is_away(start):
    gateway = start(PLUGIN, clusters={"ratelimit": closed_port()}, grpc=("ratelimit",))
    statuses = [gateway.get("/direct/unknown/1").status for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
