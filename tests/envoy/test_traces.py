"""Recorded traces against real Envoy: both bounds of the sliding windows, by the times that were measured.

Where a request was decided is known to lie between when it was sent and when its answer came. Bound (a): no interval of
one window may hold more than the limit of admissions that were certainly in it. Bound (b): for each refusal, the last
1.02 windows must hold at least the limit of admissions that may have been in them.
"""

import random
import threading
import time
from dataclasses import dataclass

import pytest
from harness import client
from harness.configuration import plugin

PLUGIN = plugin("""
limits:
  one: { key: [{ header: x-caller }], rate: 20/s }
  two: { key: [{ header: x-caller }], rate: 30/2s }
  three: { key: [{ header: x-caller }], rate: 40/3s, burst: 15/s }
routes:
  - { match: { path: "/direct/one" }, authenticate: none, limits: [one] }
  - { match: { path: "/direct/two" }, authenticate: none, limits: [two] }
  - { match: { path: "/direct/three" }, authenticate: none, limits: [three] }
""")

# Permits and seconds of each window of a limit.
LIMITS = {"one": [(20, 1)], "two": [(30, 2)], "three": [(40, 3), (15, 1)]}
SECONDS, CONNECTIONS = 6.0, 4


@dataclass(frozen=True)
class Decided:
    sent: float
    answered: float
    admitted: bool


class Callers:
    """Several connections of one caller that share what became of its requests."""

    def __init__(self, gateway, limit, caller):
        self.raw = client.head("GET", f"/direct/{limit}", [("host", "a"), ("x-caller", caller)])
        self.connections = [client.Connection(gateway.port) for _ in range(CONNECTIONS)]
        self.windows, self.decided, self.errors = LIMITS[limit], [], []
        self.start = time.time() + 0.2

    def ask(self, lane):
        connection = self.connections[lane]
        sent = time.time()
        connection.send(self.raw)
        status = connection.read().status
        assert status in (200, 429), status
        self.decided.append(Decided(sent, time.time(), status == 200))
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


@pytest.fixture(scope="module")
def replayed(gateway):
    """Every trace on every limit, all at the same time; by limit and trace."""
    runs = {(limit, trace): Callers(gateway, limit, f"{limit} {trace}") for limit in LIMITS for trace in TRACES}
    threads = [threading.Thread(target=callers.run, args=(TRACES[trace],)) for (_, trace), callers in runs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    per_worker = [gateway.stat(f"listener.127.0.0.1_{gateway.port}.worker_{n}.downstream_cx_total") for n in (0, 1)]
    assert all(count > 3 for count in per_worker), f"both workers must take part: {per_worker}"
    return runs


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


def test_the_checks_of_the_bounds_tell_a_limiter_that_breaks_them(replayed):
    decided = replayed["one", "just in time"].decided
    assert too_many(decided, 17, 1) and wrongly_refused(decided, [(23, 1)])
    assert too_many(decided, 20, 1.1) and wrongly_refused(decided, [(20, 0.9)])
