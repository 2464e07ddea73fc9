"""An Envoy of one's own, and what it spends."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import weakref
from pathlib import Path

from configurations import typed
from tokens import FIELD_KEY, SECRET


class Envoy:
    """One Envoy with these filters in front of a direct response, or of `upstream` (a port); it listens on `port`, and on
    `tls_port` as well where `certificate` names a file with a certificate and its key. It serves once `wait` returns.
    `under` is the command of a program that runs it."""

    def __init__(self, filters, *, concurrency=1, upstream=None, certificate=None, under=()):
        self.directory = Path(tempfile.mkdtemp(prefix="portcullis-bench-"))
        # At the latest when the process ends: not everybody who starts one gets to close it.
        self._remove = weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        bootstrap = self.directory / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap(filters, upstream, certificate)))
        self.process = subprocess.Popen(
            [*under, os.environ["ENVOY"], "-c", str(bootstrap), "--concurrency", str(concurrency), "--use-dynamic-base-id",
             "--admin-address-path", str(self.directory / "admin"), "--log-level", "error"],
            stdout=subprocess.DEVNULL, stderr=(self.directory / "log").open("wb"),
            env={"PATH": os.environ["PATH"], "JWT_SECRET_KEY": SECRET.decode(), "FIELD_KEY": FIELD_KEY},
            preexec_fn=die_with_the_parent)

    def wait(self):
        """Until it serves; then the ports are known."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, ValueError):
                if self.admin("ready").startswith(b"LIVE"):
                    listeners = json.loads(self.admin("listeners?format=json"))["listener_statuses"]
                    ports = {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners}
                    self.port, self.tls_port = ports["plain"], ports.get("tls")
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return self
            time.sleep(0.05)
        raise RuntimeError("Envoy does not serve:\n" + (self.directory / "log").read_text()[-3000:])

    def cpu(self):
        """Nanoseconds of CPU time, all threads."""
        spent = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                spent += int((task / "schedstat").read_text().split()[0])
        return spent

    def keep_to(self, cores):
        """Its threads run on these cores only."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)

    def close(self):
        """Ends it; a second time does nothing."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._remove()

    def admin(self, path):
        """What the administration answers."""
        address = (self.directory / "admin").read_text().strip()
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=5) as reply:
            return reply.read()

    def _bootstrap(self, filters, upstream, certificate):
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
        file = {"filename": str(certificate)}
        tls = {"transport_socket": typed(
            "envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            {"common_tls_context": {"tls_certificates": [{"certificate_chain": file, "private_key": file}]}})}
        address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        listener = lambda name, more: {"name": name, "address": address(0), "filter_chains": [{**chain, **more}],
                                       "per_connection_buffer_limit_bytes": 8 << 20}
        cluster = {"name": "upstream", "type": "STATIC", "load_assignment": {
            "cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]}}
        return {
            "admin": {"address": address(0)},
            "static_resources": {
                "listeners": [listener("plain", {}), *([listener("tls", tls)] if certificate else [])],
                "clusters": [cluster] if upstream else [],
            },
        }


def die_with_the_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
