"""A real rate limit service, and clients that send at a steady pace and measure how long answers take."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from . import client
from .dependency import closed_port, eventually
from .gateway import die_with_the_parent

ROOT = Path(__file__).resolve().parents[3]
REDIS = ROOT / "target" / "redis"


def prepare(*what):
    """Builds or unpacks what tests run, once: `ratelimit`, `redis`, `tables`."""
    for name in what:
        subprocess.run([ROOT / ".ci" / name], check=True)


class Process:
    """A process that can be killed, stopped and started anew on the same port."""

    def __init__(self):
        self.port, self.process = closed_port(), None

    def start(self):
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], **self.environment()}, preexec_fn=die_with_the_parent)
        assert eventually(self.is_up, 60), f"{self.command()[0]} did not start: {self.process.poll()}"

    def environment(self):
        return {}

    def is_up(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def hang(self):
        """It takes connections and says nothing any more."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


class Redis(Process):
    """Debian's Redis, which keeps nothing on disk."""

    def command(self):
        return [str(REDIS / "usr/bin/redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]

    def environment(self):
        return {"LD_LIBRARY_PATH": ":".join(map(str, REDIS.glob("usr/lib/*-linux-gnu")))}


class RateLimitService(Process):
    """Counters behind Envoy's protocol: Limitador's, or those in the Redis of `redis:PORT`; `limits` as
    DESCRIPTOR=LIMIT/SECONDS."""

    def __init__(self, *limits, answers):
        super().__init__()
        self.limits, self.answers = limits, answers

    def command(self):
        binary = ROOT / "target" / "ratelimit" / "release" / "ratelimit"
        return [str(binary), str(self.port), self.answers, "portcullis", *self.limits]


class Load:
    """`rate` requests a second for `seconds`, on `connections` to each of the gateways in turn."""

    def __init__(self, gateways, target, headers, rate, seconds, connections=3):
        self.statuses, self.latencies, self.errors = Counter(), [], []
        lanes = [gateway for gateway in gateways for _ in range(connections)]
        pause = len(lanes) / rate
        raw = client.head("GET", target, [("host", "api.example.com"), *headers])
        start = time.monotonic() + 0.1
        args = [(gateway.port, raw, start + at * pause / len(lanes), pause, start + seconds)
                for at, gateway in enumerate(lanes)]
        threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in args]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.errors, self.errors[:3]

    def _run(self, port, raw, due, pause, end):
        try:
            with client.Connection(port) as connection:
                while due < end:
                    time.sleep(max(0.0, due - time.monotonic()))
                    sent = time.monotonic()
                    connection.send(raw)
                    self.statuses[connection.read().status] += 1
                    self.latencies.append(time.monotonic() - sent)
                    due += pause
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says so
            self.errors.append(error)

    @property
    def admitted(self):
        return self.statuses[200]

    def slower_than(self, seconds):
        """The share of the requests that took longer."""
        return sum(latency > seconds for latency in self.latencies) / len(self.latencies)
