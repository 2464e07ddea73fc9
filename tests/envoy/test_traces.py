"""Recorded traces against real Envoy: the sliding windows keep both bounds by the times that were measured, and decide
every request as the same limiter does natively.

Where a request was decided is known to lie between when it was sent and when its answer came. Bound (a): no interval of
one window may hold more than the limit of admissions that were certainly in it. Bound (b): for each refusal, the last
1.02 windows must hold at least the limit of admissions that may have been in them.

The native result is that of `portcullis replay`, the same code in one process with one store. It is given each request
at the millisecond at which the module read its clock, which the event of that request tells. A window is counted in
fiftieths, whole multiples of 20 ms here, so that a millisecond says all that the limiter makes of a moment. What no
event tells is the order in which two workers wrote: see `Order`.
"""

import json
import os
import random
import subprocess
import threading
import time
from dataclasses import dataclass
from itertools import count

import pytest
from harness import client
from harness.configuration import merged, plugin
from harness.dependency import eventually

# The pattern makes an event of every request that is admitted, at the moment at which it was; a refusal is one anyway.
PLUGIN = plugin("""
limits:
  one: { key: [client_ip], rate: 20/s }
  two: { key: [client_ip], rate: 30/2s }
  three: { key: [client_ip], rate: 40/3s, burst: 15/s }
inspection: { patterns: [{ id: seen, regex: "^seen$", in: [query], mode: monitor }] }
routes:
  - { match: { path: "/direct/one" }, authenticate: none, limits: [one] }
  - { match: { path: "/direct/two" }, authenticate: none, limits: [two] }
  - { match: { path: "/direct/three" }, authenticate: none, limits: [three] }
""")

# Permits and seconds of each window of a limit.
LIMITS = {"one": [(20, 1)], "two": [(30, 2)], "three": [(40, 3), (15, 1)]}
SECONDS, CONNECTIONS = 6.0, 4
_callers = count(1)


@dataclass(frozen=True)
class Decided:
    sent: float
    answered: float
    admitted: bool
    # What its event is found by.
    agent: str
    # When the module read its clock, in whole milliseconds, rounded down.
    at: int = 0


class Callers:
    """Several connections of one caller that share what became of its requests."""

    def __init__(self, gateway, limit, trace):
        self.gateway, self.target = gateway, f"/direct/{limit}?t=seen"
        self.name, self.address = f"{limit} {trace}", f"203.0.113.{next(_callers)}"
        self.connections = [client.Connection(gateway.port) for _ in range(CONNECTIONS)]
        self.windows, self.decided, self.errors = LIMITS[limit], [], []
        self.numbers = count()
        self.start = time.time() + 0.2

    def ask(self, lane):
        connection, agent = self.connections[lane], f"{self.name} {next(self.numbers)}"
        raw = client.head("GET", self.target, [("host", "a"), ("x-forwarded-for", self.address), ("user-agent", agent)])
        sent = time.time()
        connection.send(raw)
        status = connection.read().status
        assert status in (200, 429), status
        self.decided.append(Decided(sent, time.time(), status == 200, agent))
        return status == 200

    def run(self, trace):
        """`trace(self, lane)` on every connection at once."""
        def guarded(lane):
            try:
                trace(self, lane)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test says so
                self.errors.append(error)

        threads = [threading.Thread(target=guarded, args=(lane,), daemon=True) for lane in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in self.connections:
            connection.close()
        assert not self.errors, self.errors[:3]

    def at(self, lane, moments):
        for moment in sorted(moments):
            time.sleep(max(0.0, self.start + moment - time.time()))
            self.ask(lane)

    def timed(self, moments):
        """What was decided with when it was, from `moments` by agent."""
        return [Decided(**{**vars(each), "at": moments[each.agent]}) for each in self.decided]

    def replayed(self, order, settings=PLUGIN):
        """Whether the native limiter admits each, in this order."""
        line = {"method": "GET", "path": self.target, "authority": "a", "downstream_remote_address": f"{self.address}:1"}
        log = self.gateway.directory / f"{self.name}.log"
        log.write_text("".join(json.dumps({**line, "start_time": f"{each.at / 1000:.3f}"}) + "\n" for each in order))
        configuration = self.gateway.directory / "replayed.json"
        configuration.write_text(json.dumps(settings))
        command = [os.environ["PORTCULLIS"], "replay", configuration, "--log", log, "--each"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        words = done.stdout.splitlines()[: len(order)]
        assert set(words) <= {"passed", "refused limit rate_limit " + self.name.split()[0]}, set(words)
        return [word == "passed" for word in words]


def random_arrivals(callers, lane):
    """Twice what the tightest window admits, at random."""
    source = random.Random(lane)
    rate = 2 * min(limit / seconds for limit, seconds in callers.windows) / CONNECTIONS
    moments, moment = [], 0.0
    while (moment := moment + source.expovariate(rate)) < SECONDS:
        moments.append(moment)
    callers.at(lane, moments)


def bursts_at_edges(callers, lane):
    """All that a window admits right before its end and right after, which fixed windows let through twice; and around
    the moment at which the first burst is forgotten."""
    limit, seconds = callers.windows[-1]
    moments, edge = [], 0.0
    while (edge := edge + seconds) < SECONDS:
        for offset in (-0.03, 0.02, seconds * 0.49):
            moments += [edge + offset] * (limit // CONNECTIONS + 1)
    callers.at(lane, moments)


def just_in_time(callers, lane):
    """Takes what there is, then asks again and again just when the oldest admission of each window leaves it."""
    while (now := time.time()) < callers.start + SECONDS:
        if callers.ask(lane):
            continue
        admitted = sorted(each.answered for each in callers.decided if each.admitted)
        leaving = [admitted[-limit] + seconds for limit, seconds in callers.windows if len(admitted) >= limit]
        coming = [moment for moment in leaving if moment > now]
        # A little early in turn, so that some are refused at the very edge.
        early = (-0.004, 0.0, 0.004, 0.012)[lane]
        time.sleep(min(max(0.002, min(coming, default=now) + early - time.time()), 0.25))


TRACES = {"random": random_arrivals, "edges": bursts_at_edges, "just in time": just_in_time}


def too_many(decided, limit, seconds):
    """Admissions that certainly lay within one window, where they are more than the limit."""
    admitted = [each for each in decided if each.admitted]
    for last in admitted:
        within = [each for each in admitted if each.answered <= last.answered and each.sent > last.answered - seconds]
        if len(within) > limit:
            return within
    return None


def wrongly_refused(decided, windows):
    """A refusal before which no window can have been full."""
    admitted = [each for each in decided if each.admitted]
    for refusal in (each for each in decided if not each.admitted):
        def full(limit, seconds, refusal=refusal):
            since = refusal.sent - 1.02 * seconds
            return sum(each.answered >= since and each.sent <= refusal.answered for each in admitted) >= limit

        if not any(full(*window) for window in windows):
            return refusal
    return None


class Order:
    """An order in which the native limiter says of every request what Envoy said.

    It begins as that of the clocks. Two requests change places only where each was decided before the other was surely
    done: the later one's clock was read before the earlier one's answer was there. No other freedom is taken: every order
    that is tried is one in which the workers may have written.
    """

    # Orders that are tried at most.
    MOST = 400

    def __init__(self, decided, replayed):
        self.requests = sorted(decided, key=lambda each: (each.at, each.answered))
        self.replayed, self.changed, self.tried = replayed, 0, 0

    def difference(self):
        """The request that the native limiter says something else of, in whatever possible order, and those around it: of the
        order in which it comes last. None: there is an order without."""
        # Each way leads on from an order that goes further than the one before; where none does, the one before was wrong.
        ways, reached, furthest = [iter([self.requests])], [-1], (-1, [])
        while ways and self.tried < self.MOST:
            order = next(ways[-1], None)
            if order is None:
                ways.pop(), reached.pop()
                continue
            self.tried += 1
            at = self.first(order)
            if at is None:
                self.changed = len(ways) - 1
                return None
            if at > reached[-1]:
                furthest = max(furthest, (at, order), key=lambda found: found[0])
                ways.append(self.others(order, at)), reached.append(at)
        at, order = furthest
        return {"this": order[at], "around": order[max(0, at - 40):at + 5], "tried": self.tried}

    def first(self, order):
        words = self.replayed(order)
        return next((at for at, (each, word) in enumerate(zip(order, words)) if each.admitted != word), None)

    def others(self, order, at):
        """Orders that could say otherwise of the request at this place of this one."""
        # Another wrote first, and took the permit or found none.
        for later in range(at + 1, len(order)):
            if not all(may_precede(order[later], each) for each in order[at:later]):
                break
            if order[later].admitted != order[at].admitted:
                yield order[:at] + [order[later]] + order[at:later] + order[later + 1:]
        # One that was admitted wrote after another whose clock stood in a later fiftieth, and is counted there; this one
        # itself may be it, and have found what had just left the window.
        for early in range(at, -1, -1):
            if order[early].admitted:
                yield from self.delayed(order, early)

    @staticmethod
    def delayed(order, early):
        for later in range(early + 1, len(order)):
            if not may_precede(order[later], order[early]):
                return
            if order[later].admitted and order[later].at // 20 > order[early].at // 20:
                yield order[:early] + order[early + 1:later + 1] + [order[early]] + order[later + 1:]


def may_precede(later, earlier):
    """Whether `later` may have been decided first, although its clock was read later or in the same millisecond."""
    return later.at <= earlier.answered * 1000


@pytest.fixture(scope="module")
def replayed(gateway):
    """Every trace on every limit, all at the same time; by limit and trace."""
    runs = {(limit, trace): Callers(gateway, limit, trace) for limit in LIMITS for trace in TRACES}
    threads = [threading.Thread(target=callers.run, args=(TRACES[trace],)) for (_, trace), callers in runs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    per_worker = [gateway.stat(f"listener.127.0.0.1_{gateway.port}.worker_{n}.downstream_cx_total") for n in (0, 1)]
    assert all(count > 3 for count in per_worker), f"both workers must take part: {per_worker}"
    return runs


@pytest.fixture(scope="module")
def moments(gateway, replayed):
    """When the module read its clock for each request, in milliseconds, by agent."""
    agents = {each.agent for callers in replayed.values() for each in callers.decided}
    found = {}

    def all_told():
        found.update((event["details"]["user_agent"], round(event["timestamp"] * 1000)) for event in gateway.logged_events())
        return agents <= found.keys()

    assert eventually(all_told), len(agents - found.keys())
    return found


EVERY = [(limit, trace) for limit in LIMITS for trace in TRACES]


@pytest.mark.parametrize(("limit", "trace"), EVERY)
def test_a_trace_keeps_both_bounds(replayed, limit, trace):
    callers = replayed[limit, trace]
    assert not callers.errors, callers.errors[:3]
    for window in callers.windows:
        assert not (found := too_many(callers.decided, *window)), (window, len(found), found)
    assert not (found := wrongly_refused(callers.decided, callers.windows)), found
    # The trace was one: most of what could be admitted was, and there were refusals.
    possible = min(limit * SECONDS / seconds for limit, seconds in callers.windows)
    admitted = sum(each.admitted for each in callers.decided)
    assert 0.6 * possible < admitted < len(callers.decided), (admitted, possible, len(callers.decided))


@pytest.mark.parametrize(("limit", "trace"), EVERY)
def test_two_workers_of_envoy_decide_every_request_as_the_limiter_does_natively(replayed, moments, limit, trace):
    callers = replayed[limit, trace]
    decided = callers.timed(moments)
    order = Order(decided, callers.replayed)
    difference = order.difference()
    print(f"{limit}, {trace}: {len(decided)} requests, {order.changed} times in another order than by the clock")
    assert difference is None, difference
    assert all(each.sent * 1000 - 1 <= each.at <= each.answered * 1000 for each in decided), "not the module's moments"


def test_the_checks_of_the_bounds_tell_a_limiter_that_breaks_them(replayed):
    decided = replayed["one", "just in time"].decided
    assert too_many(decided, 17, 1) and wrongly_refused(decided, [(23, 1)])
    assert too_many(decided, 20, 1.1) and wrongly_refused(decided, [(20, 0.9)])


def test_an_admission_that_wrote_after_a_later_clock_had_emptied_the_window_is_told(gateway):
    callers = Callers(gateway, "one", "late writer")
    full = [Decided(0.999, 1.001, True, "before", 1_000) for _ in range(20)]
    # Its clock stood in the last fiftieth in which those counted, that of the other in the next.
    late, other = Decided(2.017, 2.025, True, "late", 2_019), Decided(2.019, 2.022, True, "other", 2_020)
    assert callers.replayed([*full, late, other]) == [True] * 20 + [False, True]
    assert Order([*full, late, other], callers.replayed).difference() is None
    surely_done = Decided(2.017, 2.0195, True, "late", 2_019)
    assert Order([*full, surely_done, other], callers.replayed).difference()["this"] == surely_done


@pytest.mark.parametrize("other", [{"one": {"rate": "19/s"}}, {"one": {"rate": "21/s"}}, {"one": {"rate": "40/2s"}},
                                   {"one": {"burst": "19/2s"}}], ids=str)
def test_the_comparison_tells_any_other_limiter(replayed, moments, other):
    callers = replayed["one", "just in time"]
    another = merged(PLUGIN, {"limits": other})
    assert Order(callers.timed(moments), lambda order: callers.replayed(order, another)).difference()
