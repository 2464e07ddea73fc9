#!/usr/bin/env python3
"""Portcullis beside Envoy's own filters: CPU time of Envoy per request, as ratios taken in the same run.

Every configuration runs in an Envoy of its own, all at once. A round sends one short burst to each, in random order, and
reads the CPU time that its Envoy spent; ratios are paired within the round, and the median of the rounds is the figure.
What a configuration answers is checked before it is timed. Prints a table and writes target/bench.json.
"""

import argparse
import contextlib
import ctypes
import hashlib
import hmac
import itertools
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import urlsafe_b64encode
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from weight import weigh

ROOT = Path(__file__).parents[1]
ISSUER, AUDIENCE = "https://auth.example.com", "microservices-api"
SECRET = b"jwt-secret-key-of-the-benchmark-0123456789-0123456789-0123456789"
BROWSER = [
    ("host", "api.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://app.example.com/users?page=2"),
    ("cookie", "theme=dark; _ga=GA1.2.1234567890.1700000000"),
]


# Tokens.

def segment(value):
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(raw).rstrip(b"=")


def claims(number):
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user-{number}", "user_id": f"user-{number}", "iat": now,
            "exp": now + 7200, "type": "access", "roles": ["user"]}


def token(number, algorithm, sign):
    signed = segment({"alg": algorithm, "typ": "JWT", "kid": algorithm}) + b"." + segment(claims(number))
    return signed + b"." + segment(sign(signed))


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def hs256(number):
    return token(number, "HS256", lambda text: hmac.digest(SECRET, text, "sha256"))


def rs256(number):
    return token(number, "RS256", lambda text: RSA_KEY.sign(text, padding.PKCS1v15(), hashes.SHA256()))


def es256(number):
    def sign(text):
        r, s = utils.decode_dss_signature(EC_KEY.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return token(number, "ES256", sign)


def hashes_of(text, size):
    """Bytes that look like a signature of this text."""
    return hashlib.shake_256(text).digest(size)


def number(n):
    return segment(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode()


JWKS = {"keys": [
    {"kty": "oct", "kid": "HS256", "alg": "HS256", "k": segment(SECRET).decode()},
    {"kty": "RSA", "kid": "RS256", "alg": "RS256", "n": number(RSA_KEY.public_key().public_numbers().n), "e": "AQAB"},
    {"kty": "EC", "kid": "ES256", "alg": "ES256", "crv": "P-256", "x": number(EC_KEY.public_key().public_numbers().x),
     "y": number(EC_KEY.public_key().public_numbers().y)},
]}


# Configurations.

def typed(name, kind, value):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **value}}


def native_chain(*algorithms, cache=False):
    """What an operator would write without Portcullis: jwt_authn, rbac on the token's roles, local_ratelimit."""
    keys = {"keys": [key for key in JWKS["keys"] if key["alg"] in algorithms]}
    provider = {"issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"inline_string": json.dumps(keys)},
                "payload_in_metadata": "payload", "forward": False,
                **({"jwt_cache_config": {"jwt_cache_size": 1000}} if cache else {})}
    roles = {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "payload"}, {"key": "roles"}],
             "value": {"list_match": {"one_of": {"string_match": {"exact": "user"}}}}}
    return [
        typed("envoy.filters.http.jwt_authn", "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
              {"providers": {"users": provider},
               "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "users"}}]}),
        typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC",
              {"rules": {"policies": {"users": {"permissions": [{"any": True}], "principals": [{"metadata": roles}]}}}}),
        typed("envoy.filters.http.local_ratelimit", "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
              {"stat_prefix": "limit", "filter_enabled": share(100), "filter_enforced": share(100),
               "token_bucket": {"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "60s"}}),
    ]


def share(percent):
    return {"default_value": {"numerator": percent, "denominator": "HUNDRED"}}


def buffer_filter():
    return [typed("envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer",
                  {"max_request_bytes": 4 << 20})]


def provider(algorithms, **more):
    return {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": algorithms,
            "claims": {"subject": "user_id", "roles": "roles", "type": "type"}, **more}


def full(jwt=None, routes=(), **more):
    """The whole pipeline: token, role, address and user windows with burst, inspection, identity and RateLimit headers."""
    return {
        "service": "user-service",
        "secrets": {"jwt_secret": {"env": "JWT_SECRET_KEY"}},
        "authentication": {"unverified_credentials": "10000000/m",
                           "jwt": {"users": jwt or provider(["HS256"], keys=[{"secret": "jwt_secret"}])}},
        "limits": {"per_address": {"key": ["client_ip"], "rate": "900000000/h"},
                   "per_user": {"key": ["subject"], "rate": "900000000/h", "burst": "1000000/s"}},
        "headers": {"security": "strict", "rate_limit": "draft", "https_redirect": False},
        "routes": [*routes, {"match": {"path": "/api/**"}, "authenticate": ["jwt"], "allow": [{"roles": ["user"]}],
                             "limits": ["per_address", "per_user"]}],
        **more,
    }


def route(plugin, **entry):
    """`plugin`, with one route of these settings."""
    headers = entry.pop("headers", {})
    entry = {"match": {"path": "/api/**"}, "authenticate": ["jwt"], **entry}
    return {**full(), **plugin, "headers": {**plugin["headers"], **headers}, "routes": [entry]}


def bodies(**inspection):
    """Nothing but the inspection of a body."""
    return {"headers": {"security": "off", "rate_limit": "off"},
            **({"inspection": inspection} if inspection else {}),
            "routes": [{"match": {"path": "/api/**"}, "authenticate": "none"}]}


def portcullis(plugin, module):
    configuration = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(plugin)}
    return [typed("envoy.filters.http.wasm", "envoy.extensions.filters.http.wasm.v3.Wasm", {"config": {
        "name": "portcullis", "failure_policy": "FAIL_RELOAD", "allow_on_headers_stop_iteration": True,
        "vm_config": {"vm_id": "portcullis", "runtime": "envoy.wasm.runtime.v8",
                      "code": {"local": {"filename": str(module)}},
                      "environment_variables": {"host_env_keys": ["JWT_SECRET_KEY"]}},
        "configuration": configuration,
    }})]


class Envoy:
    """One Envoy with these filters in front of a direct response, or of `upstream` (a port)."""

    def __init__(self, filters, *, concurrency=1, upstream=None):
        self.directory = Path(tempfile.mkdtemp(prefix="portcullis-bench-"))
        self.port = free_port()
        bootstrap = self.directory / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap(filters, upstream)))
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [os.environ["ENVOY"], "-c", str(bootstrap), "--concurrency", str(concurrency), "--use-dynamic-base-id",
             "--admin-address-path", str(self.directory / "admin"), "--log-level", "error"],
            stdout=subprocess.DEVNULL, stderr=(self.directory / "log").open("wb"),
            env={"PATH": os.environ["PATH"], "JWT_SECRET_KEY": SECRET.decode()}, preexec_fn=die_with_the_parent)
        self._wait()

    def cpu(self):
        """Nanoseconds of CPU time, all threads."""
        spent = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                spent += int((task / "schedstat").read_text().split()[0])
        return spent

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _wait(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, ValueError):
                admin = (self.directory / "admin").read_text().strip()
                with urllib.request.urlopen(f"http://{admin}/ready", timeout=5) as reply:
                    if reply.read().startswith(b"LIVE"):
                        socket.create_connection(("127.0.0.1", self.port), 1).close()
                        return
            time.sleep(0.05)
        raise RuntimeError("Envoy does not serve:\n" + (self.directory / "log").read_text()[-3000:])

    def _bootstrap(self, filters, upstream):
        route = {"route": {"cluster": "upstream"}} if upstream else {"direct_response": {"status": 200}}
        manager = {
            "stat_prefix": "ingress", "use_remote_address": True, "normalize_path": True,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                                                "routes": [{"match": {"prefix": ""}, **route}]}]},
            "http_filters": [*filters, typed("envoy.filters.http.router",
                                             "envoy.extensions.filters.http.router.v3.Router", {})],
        }
        chain = {"filters": [typed(
            "envoy.filters.network.http_connection_manager",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager)]}
        address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        cluster = {"name": "upstream", "type": "STATIC", "load_assignment": {
            "cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]}}
        return {
            "admin": {"address": address(0)},
            "static_resources": {
                "listeners": [{"name": "ingress", "address": address(self.port), "filter_chains": [chain],
                               "per_connection_buffer_limit_bytes": 8 << 20}],
                "clusters": [cluster] if upstream else [],
            },
        }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_the_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Client:
    """One keep-alive connection; requests go out one after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def status(self, request):
        """Sends it and reads the whole answer."""
        self.socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("closed")
            answer += received
        head, _, body = answer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            body += self.socket.recv(65536)
        return int(answer[9:12])

    def close(self):
        self.socket.close()


def get(path="/api/v1/users?page=2&sort=name", bearer=None):
    fields = BROWSER + ([("authorization", "Bearer " + bearer.decode())] if bearer else [])
    return (f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode()


def post(body, content_type):
    fields = BROWSER + [("content-type", content_type), ("content-length", str(len(body)))]
    return b"POST /api/v1/users HTTP/1.1\r\n" + b"".join(
        f"{name}: {value}\r\n".encode() for name, value in fields) + b"\r\n" + body


class Subject:
    """One configuration under load: its Envoy, its connection, the requests that come round in turn."""

    def __init__(self, filters, requests, burst, *, status=200, **options):
        self.envoy = Envoy(filters, **options)
        self.client = Client(self.envoy.port)
        self.requests, self.burst = itertools.cycle(requests), burst
        self.statuses = (status,) if isinstance(status, int) else status

    def run(self):
        """Nanoseconds per request over one burst."""
        requests = list(itertools.islice(self.requests, self.burst))
        before = self.envoy.cpu()
        for request in requests:
            status = self.client.status(request)
            if status not in self.statuses:
                raise SystemExit(f"bench: a request that is timed must get {self.statuses}; it got {status}")
        return (self.envoy.cpu() - before) / self.burst

    def close(self):
        self.client.close()
        self.envoy.close()


class Run:
    """Rounds of bursts over some subjects, and the ratios between them."""

    def __init__(self, subjects, rounds):
        self.subjects, self.cost = subjects, {name: [] for name in subjects}
        for subject in subjects.values():
            subject.run()
            subject.run()
        for _ in range(rounds):
            for name in random.sample(list(subjects), len(subjects)):
                self.cost[name].append(subjects[name].run())

    def ratio(self, above, below):
        return spread([a / b for a, b in zip(self.cost[above], self.cost[below], strict=True)])

    def difference(self, above, below):
        return spread([a - b for a, b in zip(self.cost[above], self.cost[below], strict=True)])

    def close(self):
        for subject in self.subjects.values():
            subject.close()


def spread(values):
    """Median, and the quartiles around it."""
    low, _, high = statistics.quantiles(values, n=4)
    return statistics.median(values), low, high


@contextlib.contextmanager
def running(subjects, rounds):
    run = None
    try:
        run = Run(subjects, rounds)
        yield run
    finally:
        for subject in subjects.values():
            subject.close()


def refuses(filters, request, status):
    """A configuration that lets everything pass would be fast: it must refuse what it is there to refuse."""
    envoy = Envoy(filters)
    try:
        client = Client(envoy.port)
        got = client.status(request)
        if got != status:
            raise SystemExit(f"bench: a request that must get {status} got {got}")
        client.close()
    finally:
        envoy.close()


class Bench:
    def __init__(self, module, quick):
        self.module, self.quick, self.figures, self.spreads = module, quick, {}, {}

    def rounds(self, n):
        return max(5, n // 5) if self.quick else n

    def take(self, name, measured):
        self.figures[name] = round(measured[0], 3)
        self.spreads[name] = measured
        print(f"  {name:<32} {measured[0]:8.3f}   ({measured[1]:.3f} to {measured[2]:.3f})", flush=True)

    def subject(self, plugin, requests, burst, **options):
        return Subject(portcullis(plugin, self.module), requests, burst, **options)

    def pipeline(self):
        print("one token again and again, ten headers, CPU per request:", flush=True)
        request = [get(bearer=hs256(1))]
        forged = get(bearer=hs256(1)[:-4] + b"AAAA")
        for filters in (portcullis(full(), self.module), native_chain("HS256", cache=True), native_chain("HS256")):
            refuses(filters, forged, 401)
            refuses(filters, get(), 401)
        refuses(portcullis(full(), self.module), get("/api/v1/users?q=1'%20or%20'1'='1", bearer=hs256(1)), 403)
        subjects = {
            "bare": Subject([], request, 400),
            "full": self.subject(full(), request, 400),
            "native_cached": Subject(native_chain("HS256", cache=True), request, 400),
            "native": Subject(native_chain("HS256"), request, 400),
        }
        with running(subjects, self.rounds(40)) as run:
            self.take("full_vs_bare", run.ratio("full", "bare"))
            self.take("full_vs_native_cached", run.ratio("full", "native_cached"))
            self.take("full_vs_native", run.ratio("full", "native"))
            print(f"  (bare Envoy: {statistics.median(run.cost['bare']) / 1000:.1f} µs here)")

    def parts(self):
        print("the same request, one part more each time, by an Envoy without filters:", flush=True)
        request = [get(bearer=hs256(1))]
        nothing = {"headers": {"security": "off", "rate_limit": "off", "https_redirect": False}, "limits": {}}
        address, user = full()["limits"].items()
        told = {"headers": {"security": "off", "rate_limit": "draft", "https_redirect": False}}
        plugins = {
            "nothing": route(nothing, authenticate="none", inspection={"mode": "off"}),
            "inspection": route(nothing, authenticate="none"),
            "security_headers": route(nothing, authenticate="none", inspection={"mode": "off"},
                                      headers={"security": "strict"}),
            "token": route(nothing, inspection={"mode": "off"}),
            "token_and_limit": route({**nothing, "limits": dict([address])}, inspection={"mode": "off"},
                                     limits=["per_address"]),
            "token_and_two_limits": route({**nothing, "limits": dict([address, user])}, inspection={"mode": "off"},
                                          limits=["per_address", "per_user"]),
            "and_limits_told": route({**told, "limits": dict([address, user])}, inspection={"mode": "off"},
                                     limits=["per_address", "per_user"]),
        }
        subjects = {"bare": Subject([], request, 300),
                    **{name: self.subject(plugin, request, 300) for name, plugin in plugins.items()}}
        with running(subjects, self.rounds(40)) as run:
            for name in plugins:
                self.take(f"part_{name}_vs_bare", run.ratio(name, "bare"))

    def tokens(self):
        print("ten thousand tokens in turn:", flush=True)
        requests = [get(bearer=hs256(n)) for n in range(2_000 if self.quick else 10_000)]
        subjects = {
            "full": self.subject(full(), requests, len(requests)),
            "native_cached": Subject(native_chain("HS256", cache=True), requests, len(requests)),
        }
        with running(subjects, self.rounds(8)) as run:
            self.take("tokens_10k_vs_native_cached", run.ratio("full", "native_cached"))

    def signatures(self):
        print("every token new, by asymmetric signature:", flush=True)
        rounds, burst = self.rounds(15), 60
        for algorithm, make in (("RS256", rs256), ("ES256", es256)):
            keys = {"keys": [key for key in JWKS["keys"] if key["alg"] == algorithm]}
            plugin = full(jwt=provider([algorithm], jwks={"inline": keys}))
            requests = [get(bearer=make(n)) for n in range(burst * (rounds + 2))]
            subjects = {"full": self.subject(plugin, requests, burst),
                        "native": Subject(native_chain(algorithm), requests, burst)}
            with running(subjects, rounds) as run:
                self.take(f"{algorithm.lower()}_first_vs_native", run.ratio("full", "native"))

    def forged(self):
        print("forged RS256 tokens, every one another:", flush=True)
        rounds, burst = self.rounds(15), 60
        keys = {"keys": [key for key in JWKS["keys"] if key["alg"] == "RS256"]}
        plugin = full(jwt=provider(["RS256"], jwks={"inline": keys}))
        forge = lambda n: token(n, "RS256", lambda text: hashes_of(text, 256))
        requests = [get(bearer=forge(n)) for n in range(burst * (rounds + 2))]
        subjects = {"full": self.subject(plugin, requests, burst, status=401),
                    "native": Subject(native_chain("RS256"), requests, burst, status=401)}
        with running(subjects, rounds) as run:
            self.take("rs256_forged_vs_native", run.ratio("full", "native"))
        self.forged_flood(keys, forge)

    def forged_flood(self, keys, forge):
        """One address, a thousand a second for as many seconds as there are bursts, under the default budget."""
        seconds, rate = 3 if self.quick else 30, 1000
        plugin = full(jwt=provider(["RS256"], jwks={"inline": keys}))
        del plugin["authentication"]["unverified_credentials"]
        requests = [get(bearer=forge(10**6 + n)) for n in range(rate * seconds)]
        subjects = {"full": self.subject(plugin, requests, rate, status=(401, 429)),
                    "native": Subject(native_chain("RS256"), requests, rate, status=401)}
        try:
            rounds = [{name: subject.run() for name, subject in subjects.items()} for _ in range(seconds)]
        finally:
            for subject in subjects.values():
                subject.close()
        total = {name: sum(spent[name] for spent in rounds) for name in subjects}
        _, low, high = spread([spent["full"] / spent["native"] for spent in rounds])
        self.take("rs256_flood_vs_native", (total["full"] / total["native"], low, high))

    def body(self):
        print("a body of 64 KB:", flush=True)
        words = ["alpha", "beta", "gamma", "delta", "the quick brown fox", "jumps over", "a lazy dog"]
        items = [{"id": n, "name": words[n % 7], "note": " ".join(words), "tags": words[:3]} for n in range(440)]
        body = json.dumps({"items": items}).encode()
        request = [post(body, "application/json")]
        subjects = {"buffer": Subject(buffer_filter(), request, 40),
                    "inspected": self.subject(bodies(), request, 40)}
        with running(subjects, self.rounds(25)) as run:
            print(f"  (the body has {len(body)} bytes)")
            self.take("body_64k_vs_buffer", run.ratio("inspected", "buffer"))

    def scan(self):
        print("inspection in the module, megabytes of a body in a second of CPU, copy included:", flush=True)
        size = 1_000_000
        benign = ("The quick brown fox jumps over the lazy dog, and nobody knows why. " * 20_000)[:size].encode()
        hostile = {
            "quotes that compare": b"='", "references": b"&amp;amp;amp;", "every encoding": b"%2525252525&amp;amp;amp;\\u005cu005c",
            "steps upwards": b"../a", "arguments without an end": b";ls+a", "markup": b"<p class=\"a\">text &amp; more</p>\n",
            "quotes and brackets": b"'+(((((((((1)))))))))", "script URLs": b"javascript:a ",
        }
        # Monitored: what is found is told, and the body passes.
        plugin = bodies(mode="monitor", body_limit="2MiB")
        def rate(piece):
            body = (piece * (size // len(piece) + 1))[:size]
            request = [post(body, "text/plain")]
            subjects = {"buffer": Subject(buffer_filter(), request, 2), "scan": self.subject(plugin, request, 2)}
            with running(subjects, self.rounds(10)) as run:
                per_body = run.difference("scan", "buffer")
                return tuple(size / nanoseconds * 1000 for nanoseconds in (per_body[0], per_body[2], per_body[1]))
        self.take("scan_benign_mb_s", rate(benign))
        worst = min(((rate(piece), name) for name, piece in hostile.items()), key=lambda found: found[0][0])
        self.take("scan_hostile_mb_s", worst[0])
        print(f"  (the worst of {len(hostile)} kinds: {worst[1]})")

    def start(self):
        print("size, start and memory:", flush=True)
        weigh(self.take, self.module, launch=lambda filters, workers: Envoy(filters, concurrency=workers),
              filters=lambda module: portcullis(full(), module), ask=lambda port: Client(port).status(get(bearer=hs256(1))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, no figures to keep")
    parser.add_argument("--only", help="pipeline, parts, tokens, signatures, forged, body, scan or start")
    parser.add_argument("--json", default=str(ROOT / "target" / "bench.json"))
    options = parser.parse_args()
    bench = Bench(Path(os.environ["PORTCULLIS_WASM"]), options.quick)
    started = time.monotonic()
    for part in options.only.split(",") if options.only else ["pipeline", "parts", "tokens", "signatures", "forged", "body", "scan", "start"]:
        getattr(bench, part)()
    Path(options.json).write_text(json.dumps(bench.figures, indent=2) + "\n")
    print(f"bench: {len(bench.figures)} figures in {options.json}, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
