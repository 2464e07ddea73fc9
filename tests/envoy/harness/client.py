"""HTTP/1.1 and HTTP/2 clients that send exactly the bytes they are given."""

import json
import socket
import ssl
import time
from dataclasses import dataclass

TIMEOUT = 30


@dataclass
class Answer:
    """A response, and what the upstream saw of the request (None: nothing)."""

    status: int
    headers: list[tuple[str, bytes]]
    body: bytes
    upstream: object = None
    trailers: list[tuple[str, bytes]] = ()

    def all(self, name):
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    def header(self, name):
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def problem(self):
        assert self.header("content-type") == "application/problem+json", (self.status, self.headers, self.body)
        return json.loads(self.body)

    @property
    def request_id(self):
        if self.upstream is not None:
            return self.upstream.header("x-request-id")
        return self.problem["request_id"]


def octets(value):
    return value if isinstance(value, bytes) else value.encode()


def head(method, target, headers):
    lines = [b"%s %s HTTP/1.1" % (octets(method), octets(target))]
    lines += [b"%s: %s" % (octets(name), octets(value)) for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunks(body, size):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]


class Connection:
    """One HTTP/1.1 connection; `raw` goes out as it is. With TLS, `certificate` is a file of certificate and key, and
    `session` one of an earlier connection."""

    def __init__(self, port, tls=False, certificate=None, session=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = session.context if session else tls_context(certificate)
            self.socket = context.wrap_socket(self.socket, session=session.session if session else None)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.close()
        self.socket.close()

    def send(self, raw):
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered and closed before all was sent; the answer says why

    def read_until(self, part):
        """Everything that arrives until `part` is in it, whatever it belongs to."""
        got = b""
        while part not in got:
            received = self.reader.read1(4096)
            if not received:
                raise ConnectionError(f"closed after {got!r}")
            got += received
        return got

    def read(self, method="GET"):
        line = self.reader.readline()
        if not line:
            raise ConnectionError("closed without an answer")
        status = int(line.split(b" ", 2)[1])
        headers = []
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.rstrip(b"\r\n").partition(b":")
            headers.append((name.lower().decode(), value.strip()))
        answer = Answer(status, headers, b"")
        if status == 100:
            return self.read(method)
        if octets(method) == b"HEAD" or status in (204, 304):
            return answer
        if answer.header("transfer-encoding") == "chunked":
            while size := int(self.reader.readline(), 16):
                answer.body += self.reader.read(size)
                self.reader.readline()
            self.reader.readline()
        else:
            answer.body = self.reader.read(int(answer.header("content-length") or 0))
        return answer


def tls_context(certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def http1(port, raw, method="GET", tls=False, pause=0.0, certificate=None):
    """Sends `raw` (bytes, or pieces sent one by one with `pause` seconds between) and reads one answer."""
    with Connection(port, tls, certificate) as connection:
        for piece in [raw] if isinstance(raw, bytes) else raw:
            connection.send(piece)
            if pause:
                time.sleep(pause)
        return connection.read(method)


def http2(port, pseudo_and_headers, pieces=(), trailers=None):
    """One request over HTTP/2 with prior knowledge: body in `pieces`, one DATA frame and more each, then trailers."""
    with Connection2(port) as connection:
        stream = connection.begin(pseudo_and_headers, end=not pieces and trailers is None)
        for at, piece in enumerate(pieces):
            connection.send(stream, piece, end=at == len(pieces) - 1 and trailers is None)
        if trailers is not None:
            connection.end(stream, trailers)
        return connection.read(stream)


class Connection2:
    """One HTTP/2 connection with prior knowledge. What arrives for a stream is kept until it is asked for."""

    def __init__(self, port):
        import h2.config
        import h2.connection

        # Nothing is checked or changed on the way out: the tests send what no honest client would.
        config = h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.protocol = h2.connection.H2Connection(config)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers, self.ended, self.reset = {}, set(), set()
        self.protocol.initiate_connection()
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def begin(self, pseudo_and_headers, end=True):
        """Sends the head of a request; gives its stream."""
        stream = self.protocol.get_next_available_stream_id()
        self.answers[stream] = Answer(0, [], b"")
        self.protocol.send_headers(stream, _octets(pseudo_and_headers), end_stream=end)
        self._flush()
        return stream

    def send(self, stream, piece, end=False):
        """Part of a body, as far as the stream takes it. An empty one can still end it."""
        while stream not in self.ended:
            window = min(self.protocol.local_flow_control_window(stream), self.protocol.max_outbound_frame_size)
            if piece and window <= 0:
                self._receive()
                continue
            part, piece = piece[:window], piece[window:]
            self.protocol.send_data(stream, part, end_stream=end and not piece)
            self._flush()
            if not piece:
                return

    def send_bytes(self, stream, body):
        """The whole body in DATA frames of one byte each, as many at once as the stream takes; it ends the stream."""
        frame = b"\0\0\1\0\0" + stream.to_bytes(4, "big") + b"%c"
        sent = 0
        while sent < len(body) and stream not in self.ended:
            # What goes out here goes by the protocol's own account of the window.
            window = self.protocol.local_flow_control_window(stream) - sent
            part = body[sent : sent + window] if window > 0 else b""
            if not part:
                self._receive()
                continue
            self._send(b"".join(map(frame.__mod__, part)))
            sent += len(part)
        self._send(b"\0\0\0\0\1" + stream.to_bytes(4, "big"))

    def end(self, stream, trailers):
        if stream not in self.ended:
            self.protocol.send_headers(stream, _octets(trailers), end_stream=True)
            self._flush()

    def abort(self, stream):
        """Resets a stream: CANCEL."""
        self.protocol.reset_stream(stream, 8)
        self._flush()

    def read(self, stream):
        """The whole answer; its status is 0 where the stream was reset before its head."""
        return self.read_until(stream, lambda _: False)

    def read_until(self, stream, enough):
        """What has arrived when there is `enough` of it, or when it has ended."""
        while stream not in self.ended and not enough(self.answers[stream]):
            self._receive()
        return self.answers[stream]

    def _flush(self):
        self._send(self.protocol.data_to_send())

    def _send(self, raw):
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered and closed before all was sent; the answer says why

    def _receive(self):
        import h2.events

        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed without an answer")
        for event in self.protocol.receive_data(data):
            if isinstance(event, h2.events.ConnectionTerminated):
                self.ended.update(self.answers)
            answer = self.answers.get(getattr(event, "stream_id", None))
            if answer is None:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                fields = [(octets(name).decode(), octets(value)) for name, value in event.headers]
                answer.status = int(dict(fields)[":status"])
                answer.headers = [field for field in fields if not field[0].startswith(":")]
            elif isinstance(event, h2.events.TrailersReceived):
                answer.trailers = [(octets(name).decode(), octets(value)) for name, value in event.headers]
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended.add(event.stream_id)
                if isinstance(event, h2.events.StreamReset):
                    self.reset.add(event.stream_id)
        self._flush()


def _octets(fields):
    return [(octets(name), octets(value)) for name, value in fields]
