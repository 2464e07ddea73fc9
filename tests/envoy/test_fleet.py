"""Limits of a whole fleet: two Envoys of two workers, one real service with its counts in memory or in a Redis, and what
becomes of them."""

import pytest
from harness.configuration import plugin
from harness.dependency import closed_port, eventually
from harness.ratelimit import Load, RateLimitService, Redis, prepare

RATE, TIMEOUT = 1_000, 0.1
LIMIT = 3_000

pytestmark = pytest.mark.alone

PLUGIN = plugin(f"""
limits:
  fleet:
    key: [{{ header: x-caller }}]
    rate: {LIMIT}/10s
    rate_limit_service: {{ cluster: ratelimit, descriptor: caller, lease: 50, timeout: 100ms, local_share: 0.25 }}
  daily:
    key: [{{ header: x-caller }}]
    rate: {LIMIT}/24h
    rate_limit_service: {{ cluster: ratelimit, descriptor: daily, lease: 50, timeout: 100ms, local_share: 0.25 }}
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
  - match: {{ path: "/direct/daily/**" }}
    authenticate: none
    limits: [daily]
  - match: {{ path: "/direct/users/**" }}
    limits: [users]
  - match: {{ path: "/direct/unknown/**" }}
    authenticate: none
    limits: [unknown]
""")

# The windows in Redis begin when the clock says so: of a day's, no test sees the end.
LIMITS = (f"caller={LIMIT}/10", f"daily={LIMIT}/86400", "user=5/3600")


@pytest.fixture(scope="module", params=["bare", "statuses"])
def fleet(request, start):
    """Two gateways and their service."""
    prepare("ratelimit")
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


def survives(gateways, target, caller, breaks, mends):
    """While the service is away hardly a request waits for it. A machine may be busy with something else for once: of
    three times that the service goes, one is enough."""
    slow = []
    for attempt in range(3):
        load = outage(gateways, target, f"{caller}-{attempt}", breaks, mends)
        if load.slower_than(0.9 * TIMEOUT) <= 0.01 and max(load.latencies) < TIMEOUT + 0.5:
            return
        slow.append(sorted(load.latencies)[-30:])
    raise AssertionError((caller, slow))


def outage(gateways, target, caller, breaks, mends):
    """While the service is away each proxy admits its share, and both know when it is back."""
    before = told(gateways, "unavailable"), told(gateways, "recovered")
    breaks()
    load = Load(gateways, target, [("x-caller", caller)], 600, 3)
    assert set(load.statuses) <= {200, 429}, (caller, load.statuses)
    # A quarter of the limit for each of two proxies.
    assert 0.9 * LIMIT / 2 <= load.admitted <= LIMIT / 2, (caller, load.statuses)
    assert eventually(lambda: told(gateways, "unavailable") > before[0]), caller
    mends()

    def recovered():
        # The workers of one proxy share its leases: each must have a reason to ask for one.
        Load(gateways, target, [("x-caller", caller)], 300, 0.5)
        return told(gateways, "recovered") - before[1] == told(gateways, "unavailable") - before[0]

    assert eventually(recovered), (caller, before, told(gateways, "unavailable"), told(gateways, "recovered"))
    return load


def test_a_dead_service_costs_one_request_in_a_hundred_the_timeout_and_recovers_by_itself(fleet):
    gateways, service = fleet
    survives(gateways, "/direct/fleet/1", "hangs", service.hang, service.go_on)
    survives(gateways, "/direct/fleet/1", "killed", service.kill, service.start)


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


@pytest.fixture(scope="module")
def fleet_on_redis(start):
    """Two gateways, their service, and the Redis behind it."""
    prepare("ratelimit", "redis")
    redis = Redis()
    redis.start()
    service = RateLimitService(*LIMITS, answers=f"redis:{redis.port}")
    service.start()
    yield [start(PLUGIN, clusters={"ratelimit": service.port}, grpc=("ratelimit",)) for _ in range(2)], service, redis
    service.kill()
    redis.kill()


def counts_exactly(gateways, caller):
    before = calls(gateways)
    load = Load(gateways, "/direct/daily/1", [("x-caller", caller)], RATE, 5)
    assert set(load.statuses) == {200, 429}
    # Where the service takes longer than the timeout for once, a request is admitted from the local share, and what the
    # late answer grants is used by nobody: some are refused early, hardly one is admitted beyond the limit.
    assert LIMIT * 0.95 <= load.admitted <= LIMIT * 1.01, (caller, load.statuses)
    assert calls(gateways) - before < 0.05 * load.statuses.total(), caller


def test_a_redis_behind_the_service_counts_for_the_fleet(fleet_on_redis):
    counts_exactly(fleet_on_redis[0], "first")


@pytest.mark.parametrize("fault", ["redis killed", "redis hangs", "service killed", "both killed"])
def test_whatever_of_redis_and_service_dies_the_fleet_goes_on_and_recovers(fleet_on_redis, fault):
    gateways, service, redis = fleet_on_redis
    processes = {"redis": [redis], "service": [service], "both": [service, redis]}[fault.split()[0]]

    def breaks():
        for process in processes:
            process.hang() if fault.endswith("hangs") else process.kill()

    def mends():
        for process in reversed(processes):
            process.go_on() if fault.endswith("hangs") else process.start()

    survives(gateways, "/direct/daily/1", fault, breaks, mends)


def test_after_all_that_redis_counts_exactly_again(fleet_on_redis):
    counts_exactly(fleet_on_redis[0], "again")


def test_a_cluster_that_does_not_exist_is_a_service_that_is_away(start):
    gateway = start(PLUGIN, clusters={"ratelimit": closed_port()}, grpc=("ratelimit",))
    statuses = [gateway.get("/direct/unknown/1").status for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
