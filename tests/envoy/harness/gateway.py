"""One real Envoy with the module in it, under one plugin configuration, and everything it says."""

import ctypes
import fcntl
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
import urllib.request
import weakref
from pathlib import Path

import jsonschema
import yaml

from . import client
from .directory import Directory
from .upstream import MARKER

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = jsonschema.Draft202012Validator(json.loads((DOCS / "event.schema.json").read_text()))

WORKERS = 2
ENVIRONMENT = {
    "JWT_SECRET_KEY": "jwt-secret-key-of-the-tests-0123456789-0123456789-0123456789-abcdef",
    "SERVICE_SECRET_KEY": "service-secret-key-of-the-tests-0123456789",
    "ORDER_SERVICE_TOKEN": "order-service-token-of-the-tests",
}
HOST = "api.example.com"

_markers = itertools.count(1)
_ports = set()
# Whose logs a failed test shows the end of.
running = weakref.WeakSet()


class Gateway:
    """Starts Envoy at once and waits until it serves; `close` ends it. `plugin` may be a function of the port; None is a
    plugin without a configuration.

    `clusters` are the services that the module may call, name: port of the loopback; those in `grpc` speak HTTP/2.
    `environment` are further variables that the module may read.
    With `tls`, a client certificate is verified against `client_ca`, a file; with `require_client_certificate` there
    must be one. `accept_untrusted` lets connections go on whose certificate does not verify; without `resume` no TLS
    session is taken up again. `forward_client_cert` is what the connection manager does with
    X-Forwarded-Client-Cert, `upgrades` are the protocols that it lets a stream switch to, `in_front` the filters that see a
    request before the module, `after` those that see it after.
    """

    def __init__(self, plugin, upstream, *, serves=True, tls=False, buffer_filter=False, clusters=None, grpc=(),
                 environment=None, client_ca=None, require_client_certificate=False, accept_untrusted=False,
                 resume=True, forward_client_cert=None, upgrades=("websocket",), in_front=(), after=()):
        self.clusters, self.grpc = clusters or {}, frozenset(grpc)
        self.environment = {**ENVIRONMENT, **(environment or {})}
        self.upstream = upstream
        (self.port, self._kept), self._directory = kept_port(), Directory()
        self.directory = self._directory.path
        self.options = {"tls": tls, "buffer_filter": buffer_filter, "client_ca": client_ca,
                        "require_client_certificate": require_client_certificate,
                        "accept_untrusted": accept_untrusted, "resume": resume,
                        "forward_client_cert": forward_client_cert, "upgrades": upgrades, "in_front": in_front, "after": after}
        self.log_file, self.access_log_file = self.directory / "envoy.log", self.directory / "events.jsonl"
        self.access_log_file.touch()
        if tls:
            _certificate(self.directory)
        self._write_listener(plugin(self.port) if callable(plugin) else plugin)
        bootstrap = self.directory / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap()))
        self.process = subprocess.Popen(
            [os.environ["ENVOY"], "-c", str(bootstrap), "--concurrency", str(WORKERS), "--use-dynamic-base-id",
             "--admin-address-path", str(self.directory / "admin"), "--log-level", "warning",
             "--component-log-level", "wasm:info", "--file-flush-interval-msec", "20", "--drain-time-s", "1"],
            stdout=subprocess.DEVNULL,
            stderr=self.log_file.open("wb"),
            env={"PATH": os.environ["PATH"], **self.environment},
            preexec_fn=die_with_the_parent,
        )
        running.add(self)
        try:
            wait_for(self._admin_is_up, 120, "the administration interface", self)
            wait_for(self._has_listener if serves else self.refusals, 120, "the listener", self)
        except BaseException:
            self.close()
            raise

    def close(self):
        """Ends this very process, whatever it does."""
        running.discard(self)
        self._kept.close()
        end(self.process)
        self._directory.remove()

    # What goes in.

    def send(self, method="GET", target="/", headers=(), body=b"", *, chunk=0, tls=False, pause=0.0, host=HOST,
             certificate=None):
        """One HTTP/1.1 request on a connection of its own; `chunk` bytes at a time when given."""
        marker, fields = self._mark(headers)
        fields = [("host", host), *fields]
        pieces = []
        if chunk:
            fields.append(("transfer-encoding", "chunked"))
            pieces = [*client.chunks(body, chunk), b"0\r\n\r\n"]
        elif body:
            fields.append(("content-length", str(len(body))))
            pieces = [body]
        raw = [client.head(method, target, fields), *pieces]
        answer = client.http1(self.port, raw if pause else b"".join(raw), method, tls, pause,
                              certificate)
        return self._complete(answer, marker)

    def get(self, target="/", headers=(), **more):
        return self.send("GET", target, headers, **more)

    def post(self, target, body, content_type="application/json", headers=(), **more):
        return self.send("POST", target, [("content-type", content_type), *headers], body, **more)

    def send2(self, method="GET", target="/", headers=(), pieces=(), trailers=None, host=HOST):
        """The same over HTTP/2."""
        marker, fields = self._mark(headers)
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", target)]
        return self._complete(client.http2(self.port, pseudo + fields, pieces, trailers), marker)

    def push(self, plugin):
        """Moves a new listener into place and waits until Envoy has taken or refused it; True when taken."""
        before = self._updates(), self.refusals()
        self._write_listener(plugin)
        wait_for(lambda: (self._updates(), self.refusals()) != before, 60, "the new configuration", self)
        return self.refusals() == before[1]

    # What comes out.

    def log(self):
        return self.log_file.read_bytes().decode("utf-8", "surrogateescape")

    def logged_events(self):
        """Every event in Envoy's log, each of which is one line."""
        found = re.findall(r"wasm log[^:\n]*: (\{.*)$", self.log(), re.MULTILINE)
        return [json.loads(line) for line in found]

    def access_logged_events(self):
        """Every event in the access log, which holds nothing but bare JSON lines."""
        text = self.access_log_file.read_bytes().decode("utf-8", "strict")
        return [json.loads(line) for line in text.split("\n") if line not in ("", "-")]

    def lines_that_break_the_schema(self):
        """What is wrong with the first lines of each kind in either log, by the published JSON Schema."""
        lines = {}
        for event in [*self.logged_events(), *self.access_logged_events()]:
            kind = (event["event_type"], *sorted(event["details"]), event["details"].get("reason"))
            lines.setdefault(kind, []).append(event)
        kept = [event for events in lines.values() for event in events[:20]]
        return [f"{error.json_path}: {error.message}" for event in kept for error in SCHEMA.iter_errors(event)]

    def events(self, answer, seconds=30):
        """The events of one exchange, the same in both logs; for none at all it waits this long."""
        of = lambda events: [event for event in events if event["details"].get("request_id") == answer.request_id]
        deadline = time.monotonic() + seconds
        while True:
            logged, access_logged = of(self.logged_events()), of(self.access_logged_events())
            if logged and logged == access_logged:
                return logged
            if time.monotonic() > deadline:
                assert logged == access_logged
                return []
            time.sleep(0.02)

    def event(self, answer):
        """The one event of an exchange."""
        events = self.events(answer)
        assert len(events) == 1, events
        return events[0]

    def admin(self, path):
        with urllib.request.urlopen(f"http://{self._admin}{path}", timeout=60) as reply:
            return reply.read().decode()

    @property
    def admin_port(self):
        return int(self._admin.rpartition(":")[2])

    def prometheus(self):
        return self.admin("/stats/prometheus")

    def counter(self, name, /, **labels):
        """The value of one series, 0 when there is none yet."""
        series = name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
        for line in self.prometheus().splitlines():
            if line.rpartition(" ")[0] == series:
                return float(line.rpartition(" ")[2])
        return 0

    def rss(self):
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def stat(self, name):
        found = re.search(rf"^{re.escape(name)}: (\d+)$", self.admin(f"/stats?filter={name}"), re.MULTILINE)
        return int(found[1]) if found else 0

    def refusals(self):
        return self.stat("listener_manager.lds.update_rejected")

    def trapped(self):
        """Lines that say the module died, which nothing may ever cause."""
        return [line for line in self.log().splitlines() if re.search(r"panicked|Function: proxy_on|VM failure", line)]

    # How it is set up.

    def _mark(self, headers):
        marker = b"%d" % next(_markers)
        return marker, [*headers, (MARKER, marker)]

    def _complete(self, answer, marker):
        answer.upstream = self.upstream.by_marker.get(marker)
        return answer

    def _updates(self):
        return self.stat("listener_manager.lds.update_success")

    def _admin_is_up(self):
        path = self.directory / "admin"
        self._admin = path.read_text().strip() if path.exists() else ""
        return bool(self._admin)

    def _has_listener(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        warming = self.stat("listener_manager.total_listeners_warming")
        return self.stat("listener_manager.workers_started") and not warming

    def _write_listener(self, plugin):
        plugin = yaml.safe_load(plugin) if isinstance(plugin, str) else plugin
        resource = {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **self._listener(plugin)}
        # A directory of its own: Envoy watches it, and must not be woken by every line of its log.
        lds = self.directory / "lds"
        lds.mkdir(exist_ok=True)
        part = lds / "part"
        part.write_text(json.dumps({"version_info": str(next(_markers)), "resources": [resource]}))
        part.rename(lds / "listener.json")

    def _bootstrap(self):
        tags = ["event_type", "service", "reason", "name"]
        http1 = {"explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}}
        clusters = [cluster("upstream", self.upstream.port, http1)]
        for name, port in self.clusters.items():
            protocol = {"http2_protocol_options" if name in self.grpc else "http_protocol_options": {}}
            clusters.append(cluster(name, port, {"explicit_http_config": protocol}))
        return {
            "node": {"id": "tests", "cluster": "tests"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "stats_config": {"stats_tags": [
                {"tag_name": tag, "regex": rf"^wasmcustom\.[a-z0-9_]+.*?(~{tag}=([^~]*))"} for tag in tags
            ]},
            "dynamic_resources": {"lds_config": {
                "resource_api_version": "V3",
                "path_config_source": {"path": str(self.directory / "lds" / "listener.json")},
            }},
            "static_resources": {"clusters": clusters},
        }

    def _listener(self, plugin):
        chain = {"filters": [typed(
            "envoy.filters.network.http_connection_manager",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            self._connection_manager(plugin),
        )]}
        listener = {
            "name": "ingress",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port}},
            "per_connection_buffer_limit_bytes": 4 << 20,
            "filter_chains": [chain],
        }
        if self.options["tls"]:
            secured = {"certificate_chain": {"filename": str(self.directory / "cert.pem")},
                       "private_key": {"filename": str(self.directory / "key.pem")}}
            common, validation = {"tls_certificates": [secured]}, {}
            if self.options["client_ca"]:
                validation["trusted_ca"] = {"filename": str(self.options["client_ca"])}
            if self.options["accept_untrusted"]:
                validation["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
            if validation:
                common["validation_context"] = validation
            tls = typed("envoy.transport_sockets.tls",
                        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                        {"common_tls_context": common,
                         "require_client_certificate": self.options["require_client_certificate"],
                         "disable_stateless_session_resumption": not self.options["resume"],
                         "disable_stateful_session_resumption": not self.options["resume"]})
            listener["filter_chains"] = [
                {**chain, "name": "tls", "filter_chain_match": {"transport_protocol": "tls"}, "transport_socket": tls},
                {**chain, "name": "plain", "filter_chain_match": {"transport_protocol": "raw_buffer"}},
            ]
            listener["listener_filters"] = [typed(
                "envoy.filters.listener.tls_inspector",
                "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", {},
            )]
        return listener

    def _connection_manager(self, plugin):
        behind = [BUFFER_FILTER] if self.options["buffer_filter"] else []
        module = self._module(plugin)
        router = typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", {})
        forward = self.options["forward_client_cert"]
        return {
            **({"forward_client_cert_details": forward} if forward else {}),
            "stat_prefix": "ingress",
            "use_remote_address": True,
            # Paths and header names are the module's to judge; here the proxy must not help it.
            "normalize_path": False,
            "merge_slashes": False,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"},
            "http_protocol_options": {"enable_trailers": True},
            # Envoy's buffer filter would wait for the end of a stream that has none.
            "upgrade_configs": [{"upgrade_type": name, **({"filters": [module, router]} if behind else {})}
                                for name in self.options["upgrades"]],
            "http_filters": [*self.options["in_front"], module, *self.options["after"], *behind, router],
            "access_log": [typed(
                "envoy.access_loggers.file", "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                {"path": str(self.access_log_file),
                 "log_format": {"text_format_source": {"inline_string": "%FILTER_STATE(wasm.portcullis:PLAIN)%\n"}}},
            )],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                # Floods are answered behind the module without an upstream.
                {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
                # Refused behind the module, and not by the upstream.
                {"match": {"prefix": "/refused"}, "direct_response": {"status": 401}},
                # Here the proxy itself answers for an upstream that takes longer.
                {"match": {"prefix": "/brief"},
                 "route": {"cluster": "upstream", "max_stream_duration": {"max_stream_duration": "0.5s"}}},
                {"match": {"prefix": ""}, "route": {"cluster": "upstream"}},
            ]}]},
        }

    def _module(self, plugin):
        # Envoy 1.40 hands a Struct over as protobuf, whatever its documentation says; a string arrives as it is.
        string = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(plugin)}
        return typed("envoy.filters.http.wasm", "envoy.extensions.filters.http.wasm.v3.Wasm", {"config": {
            "name": "portcullis",
            "failure_policy": "FAIL_RELOAD",
            "allow_on_headers_stop_iteration": not self.options["buffer_filter"],
            "vm_config": {
                "vm_id": "portcullis",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": os.environ["PORTCULLIS_WASM"]}},
                "environment_variables": {"host_env_keys": sorted(self.environment)},
            },
            **({} if plugin is None else {"configuration": string}),
        }})


def cluster(name, port, protocol):
    """One endpoint on the loopback; `protocol` as in Envoy's `HttpProtocolOptions`."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "2s",
        "typed_extension_protocol_options": {options: {"@type": f"type.googleapis.com/{options}", **protocol}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }


def typed(name, kind, value):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **value}}


BUFFER_FILTER = typed("envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer",
                      {"max_request_bytes": 4 << 20})


def own_addresses():
    """The machine's IPv4 addresses. Envoy appends one of them to X-Forwarded-For when the peer is on the loopback."""
    found = ["127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                reply = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
            except OSError:
                continue
            found.append(socket.inet_ntoa(reply[20:24]))
    return sorted(set(found))


def free_port():
    """A port that nobody listens on and that no other gateway of this run was given. Each process of a parallel run has
    ports of its own, below those that the system gives to whoever asks for any."""
    port, holder = kept_port()
    holder.close()
    return port


def kept_port():
    """The same, and the socket that holds it for an Envoy that is about to start: until it is closed, only who shares the
    port gets it. Envoy's listeners do share theirs, with those of another run on this machine too, whose requests one would
    answer then."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for port in range(16_000 + process * 1_000, 16_000 + (process + 1) * 1_000):
        if port in _ports:
            continue
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        # Only now: what is bound with it takes a port that somebody else shares.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _ports.add(port)
        return port, holder
    raise RuntimeError("no port is left")


def die_with_the_parent():
    """Should the tests be killed, nothing of theirs stays behind (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def end(process):
    """Ends a process that the tests started, however it takes it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_words(proxy):
    """The end of what it logged."""
    return "\n".join(proxy.log().splitlines()[-25:])


def wait_for(condition, seconds, what, gateway):
    deadline = time.monotonic() + seconds
    while not condition():
        ended = gateway.process.poll()
        if ended is not None or time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what} (Envoy's exit code: {ended})\n{last_words(gateway)}")
        time.sleep(0.03)


def _certificate(directory):
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256()))
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
