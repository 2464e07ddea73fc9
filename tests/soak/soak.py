#!/usr/bin/env python3
"""`make soak MINUTES=...`: a long mixed load against real Envoy, with every request accounted for.

Each kind of request has one status that it must get. At the end the counts of clients, upstream, events and metrics must be
the same, memory what it was, nothing left under way, and the module alive. Now and then the configuration is pushed anew,
and a bad one is, between requests; one of the services that the module asks fails in every way in turn.
"""

import argparse
import itertools
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "envoy"))

from harness import client  # noqa: E402
from harness.configuration import inline_jwks, plugin  # noqa: E402
from harness.credentials import bearer, claims, private_key, service_headers, tampered, token  # noqa: E402
from harness.dependency import FAULTS, Dependency, Said, eventually  # noqa: E402
from harness.gateway import ENVIRONMENT, HOST, Gateway  # noqa: E402
from harness.upstream import Upstream  # noqa: E402
import jwt  # noqa: E402

LANES = 8
SLACK = 24 << 20
LIMIT, WINDOW = 20, 2
PARTNERS = "https://partners.example.com"
JSON = ("content-type", "application/json")

PLUGIN = plugin(f"""
secrets: {{ client_secret: {{ env: JWT_SECRET_KEY }}, pii_key: {{ env: PII_KEY }} }}
authentication:
  jwt:
    partners: {{ issuer: {PARTNERS}, algorithms: [RS256, ES256], claims: {{ subject: sub }},
                 jwks: {{ inline: {inline_jwks(("RS256", "r1"), ("ES256", "e1"))} }} }}
  oauth2:
    opaque:
      introspection: {{ cluster: idp, uri: "http://idp/introspect", timeout: 1s, client_id: p, client_secret: {{ secret: client_secret }} }}
      claims: {{ subject: sub }}
      cache: 2s
    broken:
      token_prefix: broken-
      introspection: {{ cluster: broken, uri: "http://broken/introspect", timeout: 300ms, client_id: p, client_secret: {{ secret: client_secret }} }}
      claims: {{ subject: sub }}
  service:
    keys: [{{ secret: service_key }}]
    services: {{ order-service: {{ token: {{ secret: order_token }} }} }}
limits:
  tight: {{ key: [{{ header: x-tenant }}], rate: {LIMIT}/{WINDOW}s }}
  wide: {{ key: [client_ip], rate: 1000000/h, burst: 100000/s }}
encryption: {{ keys: [{{ secret: pii_key }}] }}
inspection: {{ body_limit: 128KiB }}
bodies: {{ hold: headers, string_length: 200000 }}
intrusion: {{ failures: 5, count: [unknown_service], never_block: [10.0.0.0/8] }}
events: {{ sample: 5/s, sensitive_paths: ["/admin/**"] }}
headers: {{ security: strict, rate_limit: both }}
defaults: {{ authenticate: [jwt, oauth2, service], limits: [wide] }}
routes:
  - {{ match: {{ path: "/public/**" }}, authenticate: none }}
  - {{ match: {{ path: "/admin/**" }}, allow: [{{ roles: [admin] }}] }}
  - {{ match: {{ path: "/tight/**" }}, authenticate: none, limits: [tight] }}
  - match: {{ path: "/documents/**" }}
    authenticate: none
    body:
      schema: {{ type: object, properties: {{ name: {{ type: string, format: username }} }} }}
      sanitize_html: {{ fields: [bio] }}
      encrypt: [ssn]
    response: {{ fields: {{ deny: [headers, secret] }} }}
  - {{ match: {{ path: "/things/**" }} }}
""")
OPTIONS = {"environment": {**ENVIRONMENT, "PII_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}}

_numbers = itertools.count(1)


def partner(algorithm, kid):
    made = claims(iss=PARTNERS, aud=None, user_id=None, sub=str(next(_numbers)))
    return jwt.encode(made, private_key(algorithm), algorithm, {"kid": kid})


def document(**members):
    return json.dumps({"bio": "<p onclick=x()>a<i>b</i></p>", "ssn": "078-05-1120", "rows": ["x" * random.randrange(3000)], **members}).encode()


def kind(status, method, path, headers=lambda: [], body=lambda: b"", *, upstream=None, event=None, share=10):
    """What is sent, and the one status that it gets; whether the upstream sees it; the type of its event."""
    return {"status": status, "method": method, "path": path, "headers": headers, "body": body, "event": event,
            "upstream": status < 400 if upstream is None else upstream, "share": share}


KINDS = {
    "cached token": kind(200, "GET", "/things/1", lambda: [bearer(SAME)], share=40),
    "new token": kind(200, "GET", "/things/2", lambda: [bearer(jti=str(next(_numbers)))]),
    "RS256": kind(200, "GET", "/things/3", lambda: [bearer(partner("RS256", "r1"))]),
    "ES256": kind(200, "GET", "/things/4", lambda: [bearer(partner("ES256", "e1"))]),
    "opaque token": kind(200, "GET", "/things/5", lambda: [bearer(f"good-{random.randrange(500)}")]),
    "signed": kind(200, "GET", "/things/6", service_headers),
    "public": kind(200, "GET", "/public/1", share=20),
    "document": kind(200, "POST", "/documents/1", lambda: [JSON], document, share=20),
    "upstream fails": kind(500, "GET", "/public/status/500", upstream=True),
    "no token": kind(401, "GET", "/things/1", event="AUTH_FAILURE"),
    "expired": kind(401, "GET", "/things/1", lambda: [bearer(exp=int(time.time()) - 60)], event="AUTH_FAILURE"),
    "forged": kind(401, "GET", "/things/1", lambda: [bearer(tampered(SAME, user_id=str(next(_numbers))))], event="AUTH_FAILURE"),
    "unknown opaque": kind(401, "GET", "/things/1", lambda: [bearer(f"bad-{random.randrange(500)}")], event="AUTH_FAILURE"),
    "bad signature": kind(401, "GET", "/things/1", lambda: service_headers(signature="0" * 64), event="AUTH_FAILURE"),
    "provider fails": kind(401, "GET", "/things/1", lambda: [bearer(f"broken-{next(_numbers)}")], event="AUTH_FAILURE", share=3),
    "wrong role": kind(403, "GET", "/admin/1", lambda: [bearer(SAME)], event="ACCESS_DENIED"),
    "no route": kind(403, "GET", "/nowhere", event="ACCESS_DENIED"),
    "injection": kind(403, "GET", "/public/1?q=1%27%20UNION%20SELECT%20a%20FROM%20b--%20", event="SUSPICIOUS_REQUEST"),
    "injected body": kind(403, "POST", "/public/1", lambda: [JSON], lambda: document(q="1' UNION SELECT a FROM b-- "),
                          event="SUSPICIOUS_REQUEST"),
    "bad path": kind(400, "GET", "/public/%2e%2e%2fx", event="SUSPICIOUS_REQUEST"),
    "bad document": kind(422, "POST", "/documents/1", lambda: [JSON], lambda: document(name="no name"), event="SUSPICIOUS_REQUEST"),
    "too large": kind(413, "POST", "/public/1", lambda: [JSON], lambda: document(x="y" * 140_000), event="SUSPICIOUS_REQUEST", share=2),
}
SAME = token(exp=int(time.time()) + 7 * 86_400, iat=int(time.time()))
PLUGIN["authentication"]["jwt"]["users"].pop("max_lifetime")


class Account:
    """What was sent and what came back, by kind."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answered, self.wrong, self.left, self.slowest = Counter(), [], 0, 0.0
        self.tight = Counter()
        self.events = Counter()

    def add(self, name, status, took, tight=False):
        with self.lock:
            self.answered[name] += 1
            self.slowest = max(self.slowest, took)
            if tight:
                self.tight[status] += 1
                if status == 429:
                    self.events["RATE_LIMITED"] += 1
                return
            expected = KINDS[name]
            if expected["event"]:
                self.events[expected["event"]] += 1
            if status != expected["status"]:
                self.wrong.append((name, status))


class Traffic:
    """Connections that end when somebody wants the road to himself."""

    def __init__(self):
        self.free, self.open, self.held = threading.Condition(), 0, False

    def __enter__(self):
        with self.free:
            self.free.wait_for(lambda: not self.held)
            self.open += 1

    def __exit__(self, *_):
        with self.free:
            self.open -= 1
            self.free.notify_all()

    @contextmanager
    def alone(self):
        with self.free:
            self.held = True
            self.free.wait_for(lambda: not self.open)
        yield
        with self.free:
            self.held = False
            self.free.notify_all()


def fields_of(kind, address):
    return [("x-forwarded-for", address), *kind["headers"]()]


def lane(number, gateway, traffic, account, end):
    """One client: most of the time on one connection, on HTTP/1.1 or HTTP/2 by turns; now and then it leaves half-way."""
    source = random.Random(number)
    names, shares = list(KINDS), [kind["share"] for kind in KINDS.values()]
    while time.monotonic() < end:
        address = f"10.{source.randrange(256)}.{source.randrange(256)}.{source.randrange(1, 255)}"
        second = source.random() < 0.4
        with traffic, (client.Connection2 if second else client.Connection)(gateway.port) as connection:
            for _ in range(source.randrange(1, 60)):
                if traffic.held or time.monotonic() > end:
                    break
                name = source.choices(names, shares)[0]
                kind = KINDS[name]
                body, fields, began = kind["body"](), fields_of(kind, address), time.monotonic()
                closes = False
                if second:
                    head = [(":method", kind["method"]), (":scheme", "http"), (":authority", HOST), (":path", kind["path"])]
                    head += [(key.lower(), value) for key, value in fields]
                    stream = connection.begin(head, end=not body)
                    if body:
                        connection.send(stream, body, end=True)
                    answer = connection.read(stream)
                else:
                    length = [("content-length", str(len(body)))] if body else []
                    connection.send(client.head(kind["method"], kind["path"], [("host", HOST), *fields, *length]) + body)
                    answer = connection.read(kind["method"])
                    closes = answer.header("connection") == "close"
                account.add(name, answer.status, time.monotonic() - began)
                if closes or answer.status in (0, 413):
                    break
            else:
                if not second and source.random() < 0.5:
                    connection.send(client.head("POST", "/documents/1", [("host", HOST), JSON, ("content-length", "5000")]) + b'{"a":')
                    account.left += 1


def tight_lane(gateway, traffic, account, end):
    """Always asks for a little more than a limit has."""
    raw = client.head("GET", "/tight/1", [("host", HOST), ("x-tenant", "soak")])
    while time.monotonic() < end:
        with traffic, client.Connection(gateway.port) as connection:
            while not traffic.held and (began := time.monotonic()) < end:
                connection.send(raw)
                account.add("tight", connection.read().status, time.monotonic() - began, tight=True)
                time.sleep(WINDOW / LIMIT / 1.5)


def disturb(gateway, traffic, broken, memory, problems, end):
    """Pushes configurations, one in three of them bad, and watches memory."""
    faults = itertools.cycle(FAULTS)
    for number in itertools.count(1):
        memory.append(gateway.rss())
        broken.fault = next(faults)
        time.sleep(min(5, max(0, end - time.monotonic())))
        if time.monotonic() >= end:
            return
        if number % 3:
            continue
        good = number % 9 != 0
        # What changes means the same for every kind of request; a listener that is replaced closes its connections.
        settings = PLUGIN if good else {**PLUGIN, "nonsense": True}
        settings = {**settings, "events": {**PLUGIN["events"], "sample": f"{5 + number % 2}/s"}}
        with traffic.alone():
            if gateway.push(settings) != good:
                problems.append(f"push {number}: taken {not good}")
            time.sleep(1.5)


def total(gateway, name):
    found = re.findall(rf"^{name}\{{(.*)\}} (\d+)$", gateway.prometheus(), re.MULTILINE)
    by = Counter()
    for labels, value in found:
        by[dict(re.findall(r'(\w+)="([^"]*)"', labels)).get("event_type" if "events" in name else "reason")] += int(value)
    return by


def verdict(gateway, upstream, account, memory, problems, seconds):
    """All that does not add up."""
    def expect(what, found, wanted):
        if found != wanted:
            problems.append(f"{what}: {found}, expected {wanted}")

    expect("answers with another status", Counter(account.wrong), Counter())
    events = total(gateway, "security_events_total")
    for name in sorted(set(account.events) | set(events) - {"SENSITIVE_ACCESS", "DEGRADED"}):
        expect(f"events of {name}", events[name], account.events[name])
    for name in {"SUSPICIOUS_REQUEST", "AUTH_FAILURE", "RATE_LIMITED", "ACCESS_DENIED"}:
        lines = [event for event in gateway.logged_events() if event["event_type"] == name]
        # A line that only states what was left out is about no request.
        told = sum("request_id" in event["details"] for event in lines) + sum(event["details"].get("left_out", 0) for event in lines)
        # What a worker had left out when its configuration was replaced is stated by nobody.
        if not 0 <= account.events[name] - told <= account.events[name] * 0.02 + 50:
            problems.append(f"lines of {name}: {told} with those left out, {account.events[name]} events")
    blocked = total(gateway, "blocked_requests_total")
    expect("requests refused for their credentials", blocked["invalid_credentials"], account.events["AUTH_FAILURE"])
    expect("requests refused by a limit", blocked["rate_limit"], account.events["RATE_LIMITED"])
    sent = sum(account.answered.values()) + account.left
    expect("requests that Envoy counted", gateway.stat("http.ingress.downstream_rq_total"), sent)
    reached = sum(account.answered[name] for name, kind in KINDS.items() if kind["upstream"]) + account.tight[200]
    expect("requests that the upstream saw", upstream.count, reached)
    # How much was asked depends on how busy the machine is; that more than the limit was, on nothing but a quiet moment.
    most = LIMIT * (seconds / WINDOW + 1)
    if not LIMIT <= account.tight[200] <= most:
        problems.append(f"the tight limit admitted {account.tight}, at most {most}")
    for stat in ["http.ingress.downstream_rq_active", "cluster.upstream.upstream_rq_active"]:
        if not eventually(lambda stat=stat: gateway.stat(stat) == 0):
            problems.append(f"{stat}: {gateway.stat(stat)}")
    # Caches and pools fill in the first half.
    half = len(memory) // 2
    if len(memory) > 5 and max(memory[half:]) - max(memory[:half]) > SLACK:
        problems.append(f"memory grew: {[size >> 20 for size in memory]} MiB")
    problems += gateway.trapped()


class Counting(Upstream):
    """Counts what it sees and forgets it."""

    def __init__(self):
        super().__init__()
        self.count, counting = 0, threading.Lock()
        outer = self

        class Forgetful(list):
            def append(self, _seen):
                with counting:
                    outer.count += 1

        self.seen = Forgetful()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    upstream = Counting()
    idp = Dependency(lambda asked: Said({"active": True, "sub": asked.form()["token"], "exp": int(time.time()) + 600}
                                        if asked.form()["token"].startswith("good") else {"active": False}))
    broken = Dependency(idp.answer)
    gateway = Gateway(PLUGIN, upstream, clusters={"idp": idp.port, "broken": broken.port}, **OPTIONS)
    try:
        account, traffic, memory, problems = Account(), Traffic(), [], []
        began = time.monotonic()
        end = began + 60 * minutes
        work = [(lane, (number, gateway, traffic, account, end)) for number in range(LANES)]
        work += [(tight_lane, (gateway, traffic, account, end)), (disturb, (gateway, traffic, broken, memory, problems, end))]

        def guarded(task, args):
            try:
                task(*args)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                problems.append(f"{task.__name__}: {error!r}")

        threads = [threading.Thread(target=guarded, args=each, daemon=True) for each in work]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(min(30, max(0.5, end - time.monotonic())))
            print(f"soak: {(time.monotonic() - began) / 60:5.1f} min, {sum(account.answered.values())} answers, "
                  f"{gateway.rss() >> 20} MiB, {len(account.wrong) + len(problems)} problems", flush=True)
        seconds = time.monotonic() - began
        eventually(lambda: not gateway.stat("http.ingress.downstream_rq_active"))
        verdict(gateway, upstream, account, memory, problems, seconds)
        for name, times in sorted(account.answered.items()):
            print(f"  {name:<16} {KINDS[name]['status'] if name in KINDS else dict(account.tight)!s:<24} {times:>9}")
        print(f"  {'left half-way':<41} {account.left:>9}")
        print(f"soak: {sum(account.answered.values())} requests in {seconds:.0f} s, the slowest {account.slowest:.2f} s, "
              f"memory {memory[0] >> 20} to {max(memory) >> 20} MiB")
        for problem in problems[:40]:
            print(f"soak: PROBLEM {problem}")
        return 1 if problems else 0
    finally:
        gateway.close()
        idp.close()
        broken.close()
        upstream.close()


if __name__ == "__main__":
    sys.exit(main())
