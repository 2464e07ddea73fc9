"""HTTP/1.1 and HTTP/2 clients that send exactly the bytes they are given."""

import json
import socket
import ssl
import time
from dataclasses import dataclass

TIMEOUT = 10


@dataclass
class Answer:
    """A response, and what the upstream saw of the request (None: nothing)."""

    status: int
    headers: list[tuple[str, bytes]]
    body: bytes
    upstream: object = None

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
    import h2.config
    import h2.connection
    import h2.events
    import h2.settings

    # Nothing is checked or changed on the way out: the tests send what no honest client would.
    config = h2.config.H2Configuration(
        header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    protocol = h2.connection.H2Connection(config)
    transport = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer, ended = Answer(0, [], b""), False

    def receive():
        nonlocal ended
        data = transport.recv(65536)
        if not data:
            raise ConnectionError("closed without an answer")
        for event in protocol.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                fields = [(octets(name).decode(), octets(value)) for name, value in event.headers]
                answer.status = int(dict(fields)[":status"])
                answer.headers = [field for field in fields if not field[0].startswith(":")]
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                ended = True
        transport.sendall(protocol.data_to_send())

    try:
        protocol.initiate_connection()
        stream = protocol.get_next_available_stream_id()
        bare = not pieces and trailers is None
        fields = [(octets(name), octets(value)) for name, value in pseudo_and_headers]
        protocol.send_headers(stream, fields, end_stream=bare)
        transport.sendall(protocol.data_to_send())
        for at, piece in enumerate(pieces):
            while piece and not ended:
                window = min(protocol.local_flow_control_window(stream), protocol.max_outbound_frame_size)
                if window <= 0:
                    receive()
                    continue
                part, piece = piece[:window], piece[window:]
                last = not piece and at == len(pieces) - 1 and trailers is None
                protocol.send_data(stream, part, end_stream=last)
                transport.sendall(protocol.data_to_send())
        if trailers is not None and not ended:
            protocol.send_headers(stream, [(octets(n), octets(v)) for n, v in trailers], end_stream=True)
            transport.sendall(protocol.data_to_send())
        while not ended:
            receive()
    finally:
        transport.close()
    return answer
