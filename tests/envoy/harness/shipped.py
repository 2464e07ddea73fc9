"""The bootstraps that are shipped, in real Envoy: the files as they are but for where this machine's files and ports are."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from .certificates import Authority
from .client import Answer
from .directory import Directory
from .gateway import ENVIRONMENT, HOST, die_with_the_parent, end, free_port, running, wait_for

ENVOY = Path(__file__).parents[3] / "envoy"
ACCOUNTS = "spiffe://cluster.local/ns/"
GATEWAY = ACCOUNTS + "gateway/sa/api-gateway"
USERS, ORDERS, PAYMENTS = (f"{ACCOUNTS}microservices/sa/{name}-service" for name in ("user", "order", "payment"))
SECRETS = {**ENVIRONMENT, "USER_SERVICE_TOKEN": "user-service-token-of-the-tests"}


class Mesh:
    """The authorities of a test: `public` for what clients see, `mesh` for who is who among services."""

    def __init__(self):
        self.public, self.mesh = Authority("Public CA"), Authority("Mesh CA")
        self.edge = self.public.issue(hosts=[HOST], subject=HOST)
        self.identities = {uri: self.mesh.issue(uri) for uri in (GATEWAY, USERS, ORDERS, PAYMENTS)}

    def files(self, directory, identity):
        """What /etc/portcullis holds on a proxy with this identity."""
        (directory / "module").mkdir(parents=True)
        (directory / "module/plugin.wasm").symlink_to(os.environ["PORTCULLIS_WASM"])
        for name, certificate in (("public", self.edge), ("mesh", self.identities[identity])):
            (directory / name).mkdir()
            chain, begin, key = certificate.path.read_text().partition("-----BEGIN PRIVATE KEY")
            (directory / name / "tls.crt").write_text(chain)
            (directory / name / "tls.key").write_text(begin + key)
        shutil.copy(self.mesh.path, directory / "mesh/ca.crt")


def localised(document, directory, ports):
    """A bootstrap for this machine: files below /etc/portcullis are those of `directory`, addresses are looked up in
    `ports` ("ADDRESS:PORT" of the file: port of the loopback). An address that is not in there is an error."""
    text = document.replace("/etc/portcullis", str(directory))
    bootstrap = yaml.safe_load(text)

    def walk(node):
        if isinstance(node, list):
            for entry in node:
                walk(entry)
        elif isinstance(node, dict) and "port_value" in node:
            node["port_value"] = ports[f"{node['address']}:{node['port_value']}"]
            if not node["address"][0].isdigit():
                node["address"] = "127.0.0.1"
        elif isinstance(node, dict):
            for entry in node.values():
                walk(entry)

    # What YAML's anchors share must not be changed twice.
    bootstrap = json.loads(json.dumps(bootstrap))
    walk(bootstrap)
    return bootstrap


class Running:
    """An Envoy under this bootstrap in a [`Directory`]; its administration listens on `admin_port`."""

    def __init__(self, bootstrap, directory, admin_port):
        self._directory, self.directory, self.admin_port = directory, directory.path, admin_port
        directory = directory.path
        (directory / "envoy.json").write_text(json.dumps(bootstrap))
        self.log_file, self.output = directory / "envoy.log", directory / "output"
        self.process = subprocess.Popen(
            [os.environ["ENVOY"], "-c", str(directory / "envoy.json"), "--concurrency", "2", "--use-dynamic-base-id",
             "--log-level", "warning", "--component-log-level", "wasm:info", "--file-flush-interval-msec", "20"],
            stdout=self.output.open("wb"), stderr=self.log_file.open("wb"),
            env={"PATH": os.environ["PATH"], **SECRETS}, preexec_fn=die_with_the_parent)
        running.add(self)
        try:
            wait_for(self._is_ready, 120, "a shipped bootstrap to serve", self)
        except BaseException:
            self.close()
            raise

    def close(self):
        running.discard(self)
        end(self.process)
        self._directory.remove()

    def log(self):
        return self.log_file.read_text(errors="replace")

    def admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=60) as reply:
            return reply.read().decode()

    def lines(self):
        """Everything on the standard output, which holds nothing but lines of JSON."""
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def events(self, wanted, request_id=None):
        """The events of one request, or of all; waits until there are as many as `wanted`."""
        deadline = time.monotonic() + 30
        while True:
            found = [line for line in self.lines() if "event_type" in line
                     and request_id in (None, line["details"].get("request_id"))]
            if len(found) >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def _is_ready(self):
        try:
            return self.admin("/ready").strip() == "LIVE"
        except OSError:
            return False


class Shipped(Running):
    """One Envoy from `envoy/NAME/envoy.yaml`; `elsewhere` are the ports of what it calls, as in [`localised`]."""

    def __init__(self, name, mesh, identity, elsewhere, change=lambda bootstrap: None):
        directory = Directory()
        mesh.files(directory.path, identity)
        text = (ENVOY / name / "envoy.yaml").read_text()
        own = ("127.0.0.1:9901", "127.0.0.1:9000", "0.0.0.0:8000", "0.0.0.0:8080", "0.0.0.0:8443", "0.0.0.0:9902")
        self.ports = {address: free_port() for address in own}
        bootstrap = localised(text, directory.path, self.ports | elsewhere)
        change(bootstrap)
        super().__init__(bootstrap, directory, self.ports["127.0.0.1:9901"])


def tls(authority, certificate=None, host=HOST):
    """What a client believes and shows."""
    context = ssl.create_default_context(cafile=str(authority.path))
    context.check_hostname = bool(host)
    if certificate:
        context.load_cert_chain(certificate.path)
    return context


def call(port, context=None, method="GET", target="/", headers=(), body=b"", host=HOST, source="127.0.0.1"):
    """One HTTP/1.1 request, sent as it is given, from any address of the loopback."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.sock = context.wrap_socket(raw, server_hostname=host or None) if context else raw
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        fields = [("host", host), *headers, *([("content-length", str(len(body)))] if body else [])]
        for name, value in fields:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        reply = connection.getresponse()
        fields = [(name.lower(), value.encode("latin-1")) for name, value in reply.getheaders()]
        return Answer(reply.status, fields, reply.read())
    finally:
        connection.close()
        raw.close()


def seen(answer):
    """The path and the headers that the tests' upstream says it got."""
    assert answer.status == 200, (answer.status, answer.body)
    got = json.loads(answer.body)
    return got["path"], {name.lower(): value for name, value in got["headers"]}


@dataclass
class Called:
    """One request that a [`Peer`] got, and whose certificate came with it."""

    method: str
    target: str
    headers: dict
    body: bytes
    names: list = field(default_factory=list)


class Peer:
    """A service behind mutual TLS on the loopback, with this identity; remembers who called what."""

    def __init__(self, mesh, identity):
        self.called, outer = [], self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                names = [value for kind, value in self.connection.getpeercert()["subjectAltName"] if kind == "URI"]
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.called.append(Called(self.command, self.path, headers, body, names))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(mesh.identities[identity].path)
        context.load_verify_locations(mesh.mesh.path)
        context.verify_mode = ssl.CERT_REQUIRED

        class Server(ThreadingHTTPServer):
            def get_request(self):
                connection, address = self.socket.accept()
                connection.settimeout(10)
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
