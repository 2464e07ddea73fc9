"""Clients that cost little themselves: what they do is not measured, yet it takes its time."""

import itertools
import socket
import ssl
import struct

import hpack

BROWSER = [
    ("host", "api.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://app.example.com/users?page=2"),
    ("cookie", "theme=dark; _ga=GA1.2.1234567890.1700000000"),
]


def get(path="/api/v1/users?page=2&sort=name", bearer=None):
    fields = BROWSER + ([("authorization", "Bearer " + bearer.decode())] if bearer else [])
    return (f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode()


def post(body, content_type):
    fields = BROWSER + [("content-type", content_type), ("content-length", str(len(body)))]
    return b"POST /api/v1/users HTTP/1.1\r\n" + b"".join(
        f"{name}: {value}\r\n".encode() for name, value in fields) + b"\r\n" + body


class Client:
    """One keep-alive connection; requests go out one after the other."""

    def __init__(self, port, *, tls=None):
        self.socket = connected(port, tls)

    def statuses(self, requests):
        """The status of each answer, in the order of the requests."""
        return [self.status(request) for request in requests]

    def status(self, request):
        """Sends it and reads the whole answer."""
        self.send(request)
        return self.receive()[0]

    def body(self, request):
        """The body of the answer."""
        self.send(request)
        return self.receive()[1]

    def send(self, request):
        self.socket.sendall(request)

    def receive(self):
        """The status and the body of the next answer."""
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
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("closed")
            body += received
        return int(answer[9:12]), body

    def close(self):
        self.socket.close()


class Connections:
    """Several keep-alive connections with a request on its way on each at once."""

    def __init__(self, port, number):
        self.clients = [Client(port) for _ in range(number)]

    def statuses(self, requests):
        found, rest = [], iter(requests)
        while batch := list(itertools.islice(rest, len(self.clients))):
            busy = list(zip(self.clients, batch))
            for client, request in busy:
                client.send(request)
            found += [client.receive()[0] for client, _ in busy]
        return found

    def close(self):
        for client in self.clients:
            client.close()


class Http2:
    """One connection of HTTP/2 (RFC 9113) with so many streams at once; requests without a body, answers without one."""

    DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
    ACK, END_STREAM, END_HEADERS = 1, 1, 4

    def __init__(self, port, streams):
        self.socket, self.streams, self.next = connected(port), streams, 1
        self.encoder, self.decoder, self.blocks = hpack.Encoder(), hpack.Decoder(), {}
        self.unread = b""
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(self.SETTINGS, 0, 0))

    def statuses(self, requests):
        found, rest = [], iter(requests)
        while batch := list(itertools.islice(rest, self.streams)):
            flags, first = self.END_STREAM | self.END_HEADERS, self.next
            sent = [frame(self.HEADERS, flags, first + 2 * at, self._block(one)) for at, one in enumerate(batch)]
            self.socket.sendall(b"".join(sent))
            self.next += 2 * len(batch)
            found += self._answers(range(first, self.next, 2))
        return found

    def close(self):
        self.socket.close()

    def _block(self, request):
        """The fields of a request. From the second time on all of them are in the table, and the block stays as it is."""
        known = self.blocks.get(request)
        if known:
            return known
        block = self.encoder.encode(fields_of(request))
        self.blocks = {request: block if request in self.blocks else None}
        return block

    def _answers(self, streams):
        """The statuses of these streams, read until the last of them has ended."""
        statuses, open_streams = {}, set(streams)
        while open_streams:
            kind, flags, stream, payload = self._frame()
            if kind == self.HEADERS and flags & self.END_HEADERS:
                statuses[stream] = int(dict(self.decoder.decode(payload))[":status"])
            elif kind in (self.SETTINGS, self.PING):
                if not flags & self.ACK:
                    self.socket.sendall(frame(kind, self.ACK, 0, payload if kind == self.PING else b""))
            elif kind not in (self.DATA, self.WINDOW_UPDATE):
                raise ConnectionError(f"a frame of type {kind} on stream {stream}")
            if kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM:
                open_streams.remove(stream)
        return [statuses[stream] for stream in streams]

    def _frame(self):
        """Type, flags, stream and payload of the next frame."""
        head = self._read(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        return kind, flags, stream & 0x7fffffff, self._read(int.from_bytes(head[:3], "big"))

    def _read(self, size):
        while len(self.unread) < size:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("closed")
            self.unread += received
        read, self.unread = self.unread[:size], self.unread[size:]
        return read


def connected(port, tls=None):
    """A connection; over TLS where `tls` is the file of the authority that is trusted."""
    plain = socket.create_connection(("127.0.0.1", port), 30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return plain
    return ssl.create_default_context(cafile=str(tls)).wrap_socket(plain, server_hostname=dict(BROWSER)["host"])


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields_of(request):
    """The fields of HTTP/2 that say what this request of HTTP/1.1 says."""
    start, *lines = request.decode().rstrip("\r\n").split("\r\n")
    method, path, _ = start.split(" ")
    fields = [line.split(": ", 1) for line in lines]
    pseudo = [(":method", method), (":scheme", "http"), (":authority", dict(fields)["host"]), (":path", path)]
    return pseudo + [(name, value) for name, value in fields if name != "host"]
