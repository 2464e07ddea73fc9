"""Rounds of short bursts over configurations that run side by side, and the ratios between them."""

import contextlib
import itertools
import os
import random
import statistics

from clients import Client
from proxy import Envoy


class Subject:
    """One configuration under load: its Envoy, its client, the requests that come round in turn.

    `filters` may be an Envoy that serves another subject already. `warm` is how many requests at least come before the
    first that is timed, `refuses` what it must answer otherwise: one that lets everything pass would be fast. `connect`
    makes the client of an Envoy.
    """

    def __init__(self, filters, requests, burst, *, status=200, refuses=None, warm=0,
                 connect=lambda envoy: Client(envoy.port), **options):
        self.envoy = filters if isinstance(filters, Envoy) else Envoy(filters, **options)
        self.connect, self.client = connect, None
        self.requests, self.burst = itertools.cycle(requests), burst
        self.bursts_to_warm, self.refuses = max(2, -(-warm // burst)), refuses or {}
        self.statuses = (status,) if isinstance(status, int) else status

    def open(self):
        self.envoy.wait()
        for request, status in self.refuses.items():
            # Envoy may close the connection of a request that it refused.
            with contextlib.closing(self.connect(self.envoy)) as client:
                [got] = client.statuses([request])
            if got not in ((status,) if isinstance(status, int) else status):
                raise SystemExit(f"bench: a request that must get {status} got {got}")
        self.client = self.connect(self.envoy)

    def warm(self):
        """Bursts before those that are timed: caches are filled, and the module's code is compiled."""
        for _ in range(self.bursts_to_warm):
            self.run()

    def run(self):
        """Nanoseconds per request over one burst."""
        requests = list(itertools.islice(self.requests, self.burst))
        before = self.envoy.cpu()
        statuses = self.client.statuses(requests)
        spent = self.envoy.cpu() - before
        wrong = [status for status in statuses if status not in self.statuses]
        if wrong:
            raise SystemExit(f"bench: a request that is timed must get {self.statuses}; it got {wrong[0]}")
        return spent / self.burst

    def close(self):
        if self.client:
            self.client.close()
        self.envoy.close()


# Where the client and the Envoys run: on cores of their own, all on one, or wherever the system puts them.
PLACES = ("apart", "together", "free")


@contextlib.contextmanager
def placed(subjects, place):
    """The Envoys of `subjects` on one core, and the client, which is this process, on another ("apart") or on the same one.

    Left to itself the system keeps a chain that answers soon on the client's core and moves another to one that has to be woken
    for every request, so that chains that are compared run under different circumstances.
    """
    cores = sorted(os.sched_getaffinity(0))
    if place == "free" or len(cores) < 2:
        yield
        return
    try:
        for subject in subjects.values():
            subject.envoy.keep_to({cores[-1]})
        os.sched_setaffinity(0, {cores[0] if place == "apart" else cores[-1]})
        yield
    finally:
        os.sched_setaffinity(0, cores)


class Run:
    """Rounds of bursts over some subjects, and the ratios between them."""

    def __init__(self, subjects, rounds, place):
        self.subjects, self.cost = subjects, {name: [] for name in subjects}
        for subject in subjects.values():
            subject.open()
        with placed(subjects, place):
            for subject in subjects.values():
                subject.warm()
            for _ in range(rounds):
                for name in random.sample(list(subjects), len(subjects)):
                    self.cost[name].append(subjects[name].run())

    def ratio(self, above, below):
        return spread([a / b for a, b in zip(self.cost[above], self.cost[below], strict=True)])

    def difference(self, above, below):
        return spread([a - b for a, b in zip(self.cost[above], self.cost[below], strict=True)])

    def share(self, above, below, of):
        """How much of `of` lies between the two."""
        costs = zip(self.cost[above], self.cost[below], self.cost[of], strict=True)
        return spread([(a - b) / c for a, b, c in costs])


def spread(values):
    """Median, and the quartiles around it."""
    low, _, high = statistics.quantiles(values, n=4)
    return statistics.median(values), low, high


@contextlib.contextmanager
def running(subjects, rounds, place):
    try:
        yield Run(subjects, rounds, place)
    finally:
        for subject in subjects.values():
            subject.close()
