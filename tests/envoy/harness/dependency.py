"""A service that the module calls: says what it is told to say, well or badly, and remembers what it was asked."""

import json
import socket
import threading
import time
from dataclasses import dataclass, field

from .server import Server


@dataclass
class Asked:
    """One request as the service got it."""

    method: str
    target: str
    headers: dict
    body: bytes

    def form(self):
        """The fields of a form body."""
        from urllib.parse import parse_qsl

        return dict(parse_qsl(self.body.decode()))

    def json(self):
        return json.loads(self.body)


@dataclass
class Said:
    """One answer; a `body` that is not bytes is sent as JSON."""

    body: object = field(default_factory=dict)
    status: int = 200
    content_type: str = "application/json"


# How a service can go wrong, by what people call it. Each takes the good answer's bytes.
FAULTS = ("slow", "down", "500", "html", "truncated", "huge")


class Dependency:
    """Serves HTTP/1.1 on a free port of the loopback. `answer` is a function from [`Asked`] to [`Said`].

    `fault` is None or one of FAULTS: `slow` answers after `delay` seconds, `down` closes every connection at once, `500`,
    `html` and `truncated` (half of the body, then the connection closes) speak for themselves, `huge` is 10 MB of JSON.
    """

    def __init__(self, answer):
        self.answer, self.fault, self.delay = answer, None, 30.0
        self.asked = []
        self._ending = threading.Event()
        self._server = Server(self._serve)
        self.port = self._server.port

    def close(self):
        self._ending.set()
        self._server.close()

    def count(self, part=""):
        """How many requests had `part` in their target."""
        return sum(part in asked.target for asked in list(self.asked))

    def _serve(self, rfile, wfile):
        line = rfile.readline(1 << 20)
        if not line:
            return False
        method, target, _ = line.decode("latin-1").rstrip("\r\n").split(" ", 2)
        headers = {}
        while (line := rfile.readline(1 << 20)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            headers[name.lower()] = value.strip()
        asked = Asked(method, target, headers, rfile.read(int(headers.get("content-length", "0"))))
        self.asked.append(asked)
        fault = self.fault
        if fault == "down":
            return False
        if fault == "slow" and self._ending.wait(self.delay):
            return False
        said = _faulty(fault) or self.answer(asked)
        body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        head = f"HTTP/1.1 {said.status} Status\r\ncontent-type: {said.content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        wfile.write(head.encode() + (body[: len(body) // 2] if fault == "truncated" else body))
        wfile.flush()
        return fault != "truncated"


def _faulty(fault):
    if fault == "500":
        return Said({"error": "internal"}, 500)
    if fault == "html":
        return Said(b"<!doctype html><title>Sign in</title><p>Please sign in.", content_type="text/html")
    if fault == "huge":
        return Said(b'{"keys": [' + b",".join([b'{"kty": "oct"}'] * 700_000) + b"]}")
    return None


def closed_port():
    """A port of the loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, seconds=30.0):
    """Waits until `condition` holds; whether it does. The time is for a machine with much else to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def together(count, send):
    """The answers to `count` requests that are sent at once."""
    answers = [None] * count
    threads = [threading.Thread(target=lambda at=at: answers.__setitem__(at, send(at))) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(answers), "some requests hang"
    return answers
