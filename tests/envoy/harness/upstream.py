"""An upstream that remembers every request it saw, byte for byte, from the moment its head arrives."""

import base64
import json
from dataclasses import dataclass, field

from .server import Server

MARKER = b"x-marker"


@dataclass
class Seen:
    """One request as the upstream got it."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    complete: bool = False

    def all(self, name):
        wanted = name.encode() if isinstance(name, str) else name
        return [value for key, value in self.headers if key.lower() == wanted.lower()]

    def header(self, name):
        """The one value of a header, or None; two are an error."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0].decode("latin-1") if values else None

    def names(self):
        return [key.lower() for key, _ in self.headers]


class Wire:
    """A client's connection: called with bytes, it sends them."""

    def __init__(self, rfile, wfile):
        self.rfile, self.wfile = rfile, wfile

    def __call__(self, raw):
        self.wfile.write(raw)
        self.wfile.flush()


class Upstream:
    """Serves HTTP/1.1 on a free port of the loopback.

    `/status/N` anywhere in the path answers N; everything else 200 with what was seen as JSON. Paths in `scripted` are
    answered by their functions, which get the request and the [`Wire`]; what they return says whether the connection
    stays open. Those in `heads` are called as soon as the head is there, and answer in the same way if they return
    anything but None.
    """

    def __init__(self):
        self.seen = []
        self.by_marker = {}
        self.scripted = {}
        self.heads = {}
        self._server = Server(self._serve)
        self.port = self._server.port

    def close(self):
        self._server.close()

    def _serve(self, rfile, wfile):
        line = rfile.readline(1 << 20)
        if not line:
            return False
        method, target, _ = line.rstrip(b"\r\n").split(b" ", 2)
        seen = Seen(method, target, _fields(rfile))
        self.seen.append(seen)
        for marker in seen.all(MARKER):
            self.by_marker[marker] = seen
        if target in self.heads and (stays := self.heads[target](seen, Wire(rfile, wfile))) is not None:
            return stays
        if b"chunked" in b",".join(seen.all("transfer-encoding")).lower():
            seen.body, seen.trailers = _chunked(rfile)
        else:
            length = int((seen.all("content-length") or [b"0"])[0])
            seen.body = rfile.read(length)
            if len(seen.body) < length:
                return False
        seen.complete = True
        if target in self.scripted:
            return self.scripted[target](seen, Wire(rfile, wfile))
        status = 200
        if b"/status/" in target:
            status = int(target.split(b"/status/")[1][:3])
        payload = json.dumps({
            "method": method.decode("latin-1"),
            "path": target.decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in seen.headers],
            "body": base64.b64encode(seen.body[:4096]).decode(),
        }).encode()
        head = f"HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
        wfile.write(head.encode() + (b"" if method == b"HEAD" else payload))
        wfile.flush()
        return True


def _fields(rfile):
    fields = []
    while (line := rfile.readline(1 << 20)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        fields.append((name, value.strip(b" \t")))
    return fields


def _chunked(rfile):
    body = b""
    while size := int(rfile.readline(1 << 16).split(b";")[0], 16):
        chunk = rfile.read(size)
        if len(chunk) < size:
            raise ConnectionError
        body += chunk
        rfile.readline(16)
    return body, _fields(rfile)
